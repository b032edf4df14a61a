"""Magnitude-preserving layers and networks: mean squares of 1, and weights of which only the direction matters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from ganrun.architectures.magnitude_preserving import (
    MpConv,
    MpDense,
    mp_concatenate,
    mp_leaky_relu,
    mp_silu,
    mp_sum,
    normalised,
    pixels_to_channels,
    with_constant,
)
from ganrun.architectures.r3gan2 import R3gan2
from ganrun.errors import ConfigError
from ganrun.methods.gan.spec import gan_spec

RNG = np.random.default_rng(0)
CASES = {
    "vectors": (R3gan2(width=64, depth=3), (16,)),
    "8 x 8": (R3gan2(width=32, group_width=8), (8, 8, 1)),
    "12 x 16": (R3gan2(width=16), (12, 16, 3)),
}


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def mean_square(x):
    return float(np.mean(np.square(np.asarray(x, np.float64))))


@pytest.mark.parametrize(
    ("activation", "tolerance"),
    [(functools.partial(mp_leaky_relu, slope=slope), 1e-6) for slope in (0.0, 0.2, 0.5)] + [(mp_silu, 2e-3)],
)
def test_activations_keep_the_mean_square_of_a_standard_normal_variable(activation, tolerance):
    # By integration over the density; 0.596 is the paper's rounding of the constant of SiLU.
    x = np.linspace(-12, 12, 200_001)
    with jax.enable_x64(True):
        squares = np.asarray(activation(jnp.asarray(x))) ** 2
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    assert np.trapezoid(squares * density, x) == pytest.approx(1, abs=tolerance)


def test_leaky_relu_by_hand():
    # The factor for a slope of 1/7 is sqrt(2 / (1 + 1/49)) = 7/5.
    np.testing.assert_allclose(mp_leaky_relu(jnp.array([-1.0, 0.0, 5.0]), 1 / 7), [-0.2, 0.0, 7.0], rtol=1e-6)


def test_sums_and_concatenations_by_hand():
    # t = 3/7: weights 4/7 and 3/7 of norm 5/7, so 0.8 and 0.6. Both halves of a concatenation have the sum of squares
    # (A + B) / 2 per example: A = 1, B = 3 of ones: sqrt(4 / 0.5) * 0.5 = sqrt(2) and sqrt(2/3).
    np.testing.assert_allclose(mp_sum(jnp.array(5.0), jnp.array(10.0), 3 / 7), 10.0, rtol=1e-6)
    found = mp_concatenate(jnp.ones((1, 1)), jnp.ones((1, 3)))
    np.testing.assert_allclose(found, [[2**0.5, *[(2 / 3) ** 0.5] * 3]], rtol=1e-6)
    assert mean_square(mp_sum(normal(10_000), normal(10_000), 0.3)) == pytest.approx(1, abs=0.05)
    assert mean_square(mp_concatenate(normal(1000, 3), normal(1000, 20), 0.2)) == pytest.approx(1, abs=0.05)


def test_weights_have_unit_norm_for_each_output():
    kernel = jnp.array([[3.0, 0.0], [4.0, -2.0]])
    np.testing.assert_allclose(normalised(kernel), [[0.6, 0.0], [0.8, -1.0]], rtol=1e-6)
    dense = MpDense(2).apply({"params": {"kernel": kernel}}, jnp.array([[10.0, 5.0]]))
    np.testing.assert_allclose(dense, [[10.0, -5.0]], rtol=1e-6)
    # A 1x1 convolution in two groups of one channel multiplies by the signs.
    kernel = jnp.array([3.0, -4.0]).reshape(1, 1, 1, 2)
    found = MpConv(2, 1, groups=2).apply({"params": {"kernel": kernel}}, jnp.array([7.0, 5.0]).reshape(1, 1, 1, 2))
    np.testing.assert_allclose(found.ravel(), [7.0, -5.0], rtol=1e-6)


def test_pixels_become_channels_and_a_constant_joins():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(pixels_to_channels(x)[0, 0], [[0, 1, 4, 5], [2, 3, 6, 7]])
    np.testing.assert_array_equal(with_constant(jnp.array([[2.0, 3.0]])), [[2, 3, 1]])


def networks(case):
    """The networks of a case, with inputs of mean square 1."""
    option, shape = CASES[case]
    built = option.build(shape, 16)
    count = 2048 if len(shape) == 1 else 16
    return (built.generator, normal(count, 16)), (built.discriminator, normal(count, *shape))


@functools.partial(jax.jit, static_argnums=0)
def intermediates(module, data):
    """The output of every layer at the start."""
    variables = module.init(jax.random.key(0), data[:1], False)
    return module.apply(variables, data, False, capture_intermediates=True, mutable=["intermediates"])[1]


@functools.partial(jax.jit, static_argnums=0)
def outputs_of(module, params, data):
    return module.apply({"params": params}, data, False)


@functools.partial(jax.jit, static_argnums=0)
def slopes_of(module, params, data):
    return jax.grad(lambda p: jnp.sum(jnp.sin(module.apply({"params": p}, data, False))))(params)


@pytest.mark.parametrize("case", CASES)
def test_activations_keep_their_magnitude_through_the_networks(case):
    for module, data in networks(case):
        seen = intermediates(module, data)
        outputs = {
            jax.tree_util.keystr(path): mean_square(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(seen["intermediates"])
            if leaf.shape[-1] > 1 and leaf.ndim > 1  # the last layers have a single output, of one random direction
        }
        outputs = {name: value for name, value in outputs.items() if "Gain" not in name and "Mp" in name}
        assert len(outputs) >= 10
        # Zero padding takes a third off the windows of small maps, and some layers have few units.
        assert all(0.55 < value < 1.7 for value in outputs.values()), outputs
        blocks = {name: value for name, value in outputs.items() if name.count("Mp") == 1 and "Block" in name}
        blocks |= {name: value for name, value in outputs.items() if name.count("Mp") == 1 and "Bottle" in name}
        assert len(blocks) >= 2 and all(0.75 < value < 1.3 for value in blocks.values()), blocks


def directions(params):
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if "scale" not in jax.tree_util.keystr(path)
    }


@pytest.mark.parametrize("case", ["vectors", "8 x 8"])
@pytest.mark.parametrize("factor", [1e-3, 3.7, 1e4])
def test_weights_of_any_scale_are_the_same_function(case, factor):
    for module, data in networks(case):
        params = drawn(module, data[:4])["params"]
        assert len(directions(params)) == len(jax.tree.leaves(params)) - 1  # all but the gain
        scaled = jax.tree.map(lambda leaf: leaf * (1.0 if leaf.ndim == 0 else factor), params)
        one, other = (outputs_of(module, each, data[:4]) for each in (params, scaled))
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-5)
        assert np.abs(one).max() > 1e-3


@pytest.mark.parametrize("case", ["vectors", "8 x 8"])
def test_the_gradient_of_a_unit_is_orthogonal_to_its_weights(case):
    for module, data in networks(case):
        params = drawn(module, data[:4])["params"]
        gradient = slopes_of(module, params, data[:4])
        weights, slopes = directions(params), directions(gradient)
        for name, slope in slopes.items():
            axes = (0, 1) if "basis" in name else tuple(range(slope.ndim - 1))
            along = np.sum(slope * weights[name], axis=axes)
            size = np.sqrt(np.sum(slope**2, axis=axes) * np.sum(weights[name] ** 2, axis=axes))
            assert np.abs(along).max() < 1e-4 * size.max() and size.max() > 0, name


@pytest.mark.parametrize("case", CASES)
def test_a_network_starts_at_zero_and_its_gain_moves_it(case):
    for module, data in networks(case):
        params = jax.jit(module.init, static_argnums=2)(jax.random.key(0), data[:4], False)["params"]
        assert not np.any(outputs_of(module, params, data[:4]))
        gradient = slopes_of(module, params, data[:4])
        moved = [jax.tree_util.keystr(p) for p, leaf in jax.tree_util.tree_leaves_with_path(gradient) if np.any(leaf)]
        assert moved == ["['Gain_0']['scale']"]


@pytest.mark.parametrize("case", ["vectors", "8 x 8"])
def test_the_gradient_of_a_gradient_penalty_is_that_of_its_differences(case):
    option, shape = CASES[case]
    module = option.build(shape, 4).discriminator
    x = normal(4, *shape)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), drawn(module, x)["params"])
        x = jnp.asarray(x, jnp.float64)

        def penalty(params):
            slopes = jax.grad(lambda x: jnp.sum(module.apply({"params": params}, x, False)))(x)
            return jnp.sum(slopes**2)

        step = jax.tree.map(lambda leaf: jnp.asarray(normal(*leaf.shape), jnp.float64), params)
        gradient = jax.jit(jax.grad(penalty))(params)
        found = sum(jax.tree.leaves(jax.tree.map(lambda g, s: jnp.sum(g * s), gradient, step)))
        one, other = (jax.jit(penalty)(jax.tree.map(lambda p, s, h=h: p + h * s, params, step)) for h in (1e-6, -1e-6))
        found, difference = float(found), (float(one) - float(other)) / 2e-6
    assert found == pytest.approx(difference, rel=1e-4) and abs(found) > 1e-6


def test_what_does_not_go_with_unit_weights_is_refused_in_a_line(compose_config):
    base = ("architecture=r3gan2", "architecture.width=8")
    assert [one.gradient for one in gan_spec(compose_config((*base, "penalty=[r1,r2]")), (2,)).penalties] == [
        "exact"
    ] * 2
    for words, line in (
        (("penalty=r1", "penalty.r1.gradient=fused"), "must also be piecewise linear"),
        (
            ("penalty=spectral_normalisation",),
            "has no effect on architecture=r3gan2, whose weights are divided by their",
        ),
        (("penalty=[r1,weight_clipping]",), "penalty=weight_clipping has no effect on architecture=r3gan2"),
    ):
        with pytest.raises(ConfigError, match=line):
            gan_spec(compose_config((*base, *words)), (2,))

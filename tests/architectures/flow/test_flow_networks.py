"""Flows: log-determinants by automatic differentiation, inverses, what each half depends on, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_flows import AFFINE, CONVOLUTIONAL, FLOWS, SPLINE, by_differentiation, drawn

from ganrun.architectures.flow.conditioners import Dense
from ganrun.architectures.flow.couplings import Couplings, interleaved, separated
from ganrun.architectures.flow.elements import Affine, AffineMap, Scaling, Spline, SplineMap, total
from ganrun.architectures.flow.images import squeeze, unsqueeze
from ganrun.architectures.flow.options import NeuralSpline, RealNvp
from ganrun.architectures.flow.vectors import LineFlow, VectorFlow
from ganrun.architectures.layers import with_convolutions
from ganrun.architectures.networks import builder
from ganrun.errors import ConfigError


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def examples(shape, n=3, seed=1):
    return jnp.asarray(1.5 * np.random.default_rng(seed).normal(size=(n, *shape)))


# --- layers ---


@pytest.mark.parametrize("element", [AffineMap(3), SplineMap(3, 4, 2.0)], ids=["affine", "spline"])
def test_the_slopes_of_maps_of_single_numbers_are_those_of_differentiation(element, double):
    x, outputs = examples((3,)), 2 if isinstance(element, AffineMap) else 11
    raw = examples((3 * outputs,), seed=2)
    variables = {"params": {"factor": jnp.asarray([0.5, -1.0, 2.0])}} if isinstance(element, AffineMap) else {}
    z, log_slopes = element.apply(variables, x, raw, method="forward")
    for row in range(3):

        def of_row(one, row=row):
            return element.apply(variables, one[None], raw[row : row + 1], method="forward")[0][0]

        matrix = jax.jacobian(of_row)(x[row])
        np.testing.assert_allclose(matrix, np.diag(np.diag(matrix)), atol=1e-14)
        np.testing.assert_allclose(log_slopes[row], np.log(np.diag(matrix)), rtol=1e-9)
    np.testing.assert_allclose(element.apply(variables, z, raw, method="inverse"), x, atol=1e-9)


def test_an_affine_map_is_the_number_derived_by_hand():
    # a = atanh(1/2) and f = 2 log 3: the scale is exp(log 3) = 3; 3 * 2 - 1 = 5.
    variables = {"params": {"factor": jnp.asarray([2 * np.log(3.0)])}}
    raw = jnp.asarray([[np.arctanh(0.5), -1.0]])
    z, log_slope = AffineMap(1).apply(variables, jnp.asarray([[2.0]]), raw, method="forward")
    assert (float(z[0, 0]), float(log_slope[0, 0])) == pytest.approx((5.0, np.log(3.0)), rel=1e-6)
    # However large the output of the network, the scale is bounded.
    raw = jnp.asarray([[1e6, 0.0]])
    assert float(AffineMap(1).apply(variables, jnp.ones((1, 1)), raw, method="forward")[0][0, 0]) == pytest.approx(9.0)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)])
def test_a_scaling_has_a_scale_for_each_feature_and_as_many_slopes_as_there_are_numbers(shape):
    # exp(log 2) (1 + 3) = 8 and so on: 2, 1/2 and 1 are the scales; of four pixels, each counts four times.
    variables = {
        "params": {"log_scale": jnp.log(jnp.asarray([2.0, 0.5, 1.0])), "offset": jnp.asarray([3.0, -1.0, 0.0])}
    }
    z, log_slopes = Scaling(3).apply(variables, jnp.ones((1, *shape)), method="forward")
    np.testing.assert_allclose(z.reshape(-1, 3), np.broadcast_to([8.0, 0.0, 1.0], (z.size // 3, 3)), atol=1e-6)
    assert float(total(log_slopes)[0]) == pytest.approx(0.0, abs=1e-6)
    variables["params"]["log_scale"] = jnp.asarray([0.1, 0.2, 0.3])
    _, log_slopes = Scaling(3).apply(variables, jnp.ones((1, *shape)), method="forward")
    assert float(total(log_slopes)[0]) == pytest.approx(0.6 * (z.size // 3), rel=1e-6)
    z, _ = Scaling(3).apply(variables, 2.0 * jnp.ones((1, *shape)), method="forward")
    np.testing.assert_allclose(Scaling(3).apply(variables, z, method="inverse"), 2.0, rtol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8])
def test_interleaving_is_a_permutation_that_is_undone_and_moves_every_number_but_of_two(size):
    x = jnp.arange(size)[None]
    found = np.asarray(interleaved(x))[0]
    assert sorted(found) == list(range(size))
    np.testing.assert_array_equal(separated(interleaved(x)), x)
    first = set(found[: size // 2].tolist())
    assert (first == set(range(size // 2))) == (size == 2)  # other numbers are in the first half


def test_interleaving_is_what_its_description_says():
    assert np.asarray(interleaved(jnp.arange(4)[None]))[0].tolist() == [0, 2, 1, 3]
    assert np.asarray(interleaved(jnp.arange(5)[None]))[0].tolist() == [4, 0, 2, 1, 3]


@pytest.mark.parametrize("index", [0, 1])
def test_a_coupling_transforms_one_half_given_the_other(index, double):
    module = Couplings(5, index + 1, Affine(), Dense((6,), "tanh"))
    x = examples((5,), n=1)
    variables = drawn(module, x)
    for name, leaf in variables["params"]["networks_0"].items():
        variables["params"]["networks_0"][name] = jax.tree.map(lambda a: a * (index == 0), leaf)
    matrix = jax.jacobian(lambda one: module.apply(variables, one[None])[0][0])(x[0])
    first, second = slice(0, 2), slice(2, 5)
    kept, moved = (second, first) if index else (first, second)
    for block in (matrix[kept, kept], matrix[moved, moved]):
        np.testing.assert_allclose(block, np.diag(np.diag(block)), atol=1e-14)
    assert np.all(matrix[kept, moved] == 0) and np.all(matrix[moved, kept] != 0)


# --- squeezing ---


def test_squeezing_puts_the_colours_of_a_checkerboard_into_the_halves():
    image = jnp.asarray([[1, 2, 3, 4], [5, 6, 7, 8]])[None, :, :, None]
    np.testing.assert_array_equal(squeeze(image)[0, 0], [[1, 6, 2, 5], [3, 8, 4, 7]])
    rows = np.add.outer(np.arange(4), np.arange(6)) % 2  # the colours
    halves = np.asarray(squeeze(jnp.asarray(np.repeat(rows[None, :, :, None], 3, axis=3))))
    assert halves.shape == (1, 2, 3, 12) and np.all(halves[..., :6] == 0) and np.all(halves[..., 6:] == 1)


def test_squeezing_is_undone():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    np.testing.assert_array_equal(unsqueeze(squeeze(x)), x)
    np.testing.assert_array_equal(squeeze(unsqueeze(squeeze(x))), squeeze(x))


# --- whole networks ---


@pytest.mark.parametrize(
    ("name", "classes"),
    [*((name, 0) for name in FLOWS), ("spline of 1", 3), ("spline of 2", 3), ("realnvp of 4x4x1", 3)],
)
def test_the_log_determinant_is_that_of_differentiation(name, classes, double):
    option, shape = FLOWS[name]
    module, x = option.build_flow(shape, classes), examples(shape)
    y = jnp.asarray([0, 2, 1]) if classes else None
    variables = drawn(module, x, y, scale=0.3)

    @jax.jit
    def both(variables, x, y):
        wanted = by_differentiation(lambda *one: module.apply(variables, *one)[0], x, y)
        z, log_det = module.apply(variables, x, y)
        return z, log_det, wanted, module.apply(variables, z, y, method="inverse")

    z, log_det, wanted, back = both(variables, x, y)
    assert z.shape == (3, np.prod(shape)) and log_det.shape == (3,)
    assert np.abs(wanted).min() > 1e-3
    np.testing.assert_allclose(log_det, wanted, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(back, x, atol=1e-8)


@pytest.mark.parametrize("name", FLOWS)
def test_the_inverse_is_accurate_in_single_precision_both_ways(name):
    option, shape = FLOWS[name]
    module, x = option.build_flow(shape), examples(shape, n=50).astype(jnp.float32)
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), drawn(module, x, scale=0.2))
    z, _ = module.apply(variables, x)
    np.testing.assert_allclose(module.apply(variables, z, method="inverse"), x, atol=1e-4)
    latents = jax.random.normal(jax.random.key(0), z.shape)
    back, _ = module.apply(variables, module.apply(variables, latents, method="inverse"))
    np.testing.assert_allclose(back, latents, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "spline of 1"])
def test_the_initial_flow_is_a_permutation_of_the_numbers(name):
    option, shape = FLOWS[name]
    module = option.build_flow(shape)
    x = jnp.asarray(np.random.default_rng(0).permutation(np.prod(shape)).reshape(1, *shape) / np.prod(shape))
    variables = module.init(jax.random.key(0), x)
    z, log_det = module.apply(variables, x)
    np.testing.assert_allclose(np.sort(z[0]), np.sort(x.ravel()), atol=1e-5)
    np.testing.assert_allclose(log_det, 0.0, atol=1e-4)


def test_the_initial_flow_of_the_line_is_near_the_identity_and_its_splines_differ():
    module = SPLINE.build_flow((1,))
    assert isinstance(module, LineFlow)
    x = jnp.linspace(-3.0, 3.0, 61)[:, None]
    variables = module.init(jax.random.key(0), x)
    z, log_det = module.apply(variables, x)
    assert 0 < np.abs(z - x).max() < 0.5 and 0 < np.abs(log_det).max() < 1.0
    first, second = (np.asarray(variables["params"][f"spline_{i}"]) for i in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["spline of 1", "spline of 2", "realnvp of 4x4x1"])
def test_every_latent_and_every_class_depends_on_the_parameters_of_its_class(name):
    option, shape = FLOWS[name]
    module, x = option.build_flow(shape, 3), examples(shape, n=1).astype(jnp.float32)
    one = jnp.zeros((1,), jnp.int32)
    variables = drawn(module, x, one)
    found = [module.apply(variables, x, one + label)[0] for label in range(3)]
    assert not np.allclose(found[0], found[1]) and not np.allclose(found[1], found[2])
    with pytest.raises(ValueError, match="needs labels"):
        module.apply(variables, x)


def test_forms_of_convolutions_agree_and_are_chosen_from_outside():
    module, x = CONVOLUTIONAL.build_flow((8, 8, 1)), examples((8, 8, 1)).astype(jnp.float32)
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), drawn(module, x, scale=0.2))
    wanted = module.apply(variables, x)
    for form in ("xla", "matmul", "direct"):
        other = with_convolutions(module, form)
        assert other != module and other.form == form
        for own, found in zip(wanted, other.apply(variables, x), strict=True):
            np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-4)
    text = str(jax.make_jaxpr(lambda x: with_convolutions(module, "matmul").apply(variables, x))(x))
    assert "conv_general_dilated" not in text


# --- options ---


def test_shapes_decide_the_network():
    assert isinstance(SPLINE.build_flow((1,)), LineFlow) and isinstance(SPLINE.build_flow((2, 2, 1)), VectorFlow)
    assert (NeuralSpline().build_flow((2,)).elements, RealNvp().build_flow((2,)).elements) == (
        Spline(16, 5.0),
        Affine(),
    )
    scales = {(28, 28, 1): 2, (32, 32, 3): 2, (8, 8, 1): 2, (4, 4, 1): 1, (14, 14, 1): 1, (6, 4, 3): 1}
    assert {shape: RealNvp().build_flow(shape).scales for shape in scales} == scales
    assert RealNvp(scales=4).build_flow((32, 32, 3)).scales == 4
    option = RealNvp()
    assert builder(option, "build_flow", "flow") == option.build_flow


def test_networks_are_values():
    for option, shape in FLOWS.values():
        one, same = option.build_flow(shape), option.build_flow(list(shape))
        assert one == same and hash(one) == hash(same) and one != option.build_flow(shape, 2)


@pytest.mark.parametrize(
    ("option", "shape", "message"),
    [
        (AFFINE, (1,), "takes at least two numbers, .* vectors of 1: use architecture=spline"),
        (RealNvp(), (7, 7, 1), "images whose sides are even and at least 4; the data is 7 x 7 pixels"),
        (RealNvp(), (8, 7, 1), "images whose sides are even"),
        (RealNvp(), (2, 2, 1), "at least 4"),
        (SPLINE, (28, 28, 1), "images of at most 256 numbers; the data is 28 x 28 pixels .*: use architecture=realnvp"),
        (SPLINE, (1, 1, 1), "no images of one number"),
        (NeuralSpline(hidden=()), (2,), "architecture.hidden must have at least one layer"),
        (RealNvp(hidden=()), (2,), "architecture.hidden must have at least one layer"),
    ],
)
def test_what_no_flow_can_be_built_for_is_refused_in_one_line(option, shape, message):
    with pytest.raises(ConfigError, match=message) as caught:
        option.build_flow(shape)
    assert "\n" not in str(caught.value)

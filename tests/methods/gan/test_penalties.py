"""Penalties in the game that test_algorithm.py works out with paper and pencil.

The discriminator is a x, so its slope is a everywhere. In the first step b = 0, and without a penalty
a = 1.5, then 1.5 + 5.5 = 7, then 7 + 9.5 = 16.5.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from test_algorithm import PAPER_GAME, Counting, Linear, a, b, create, mean, one_step, paper_numbers

from ganrun.config.registry import options, static, traced
from ganrun.methods.gan.penalties.base import PenaltyInputs, squared_gradient_norms
from ganrun.methods.gan.penalties.consensus import Consensus
from ganrun.methods.gan.penalties.constraints import (
    SpectrallyNormalised,
    SpectralNormalisation,
    WeightClipping,
    _matrices,
    normalised,
)
from ganrun.methods.gan.penalties.gradients import R1, R2, Dragan, Drift, GradientPenalty


@dataclasses.dataclass(frozen=True)
class Score(Linear):
    output_type = "critic"


def penalised(penalties, k=2, steps=1):
    """The states of the paper game with ``penalties``, and the game."""
    spec = dataclasses.replace(PAPER_GAME, loss=Score(), penalties=tuple(map(static, penalties)))
    hparams = paper_numbers(k=k)
    hparams["penalty"] = jax.tree.map(jnp.float32, {one.name: traced(one) for one in penalties})
    states = [create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(steps):
        states.append(one_step(spec, states[-1], Counting()))
    return states, spec


@pytest.mark.parametrize(
    ("penalty", "reported", "slope"),
    [
        # γ/2 a² at a = 1.5, whose derivative is γ a.
        (R1(weight=0.5), 0.5625, 5.5 - 0.75),
        (R2(weight=0.5), 0.5625, 5.5 - 0.75),
        # λ (|a| - 1)², derivative 2 λ (a - 1).
        (GradientPenalty(weight=0.5), 0.125, 5.5 - 0.5),
        (Dragan(weight=0.5), 0.125, 5.5 - 0.5),
        # A slope of 1.5 is too small for a target of 2, unless only too large ones count.
        (GradientPenalty(weight=0.5, target=2.0), 0.125, 5.5 + 0.5),
        (GradientPenalty(weight=0.5, target=2.0, one_sided=True), 0.0, 5.5),
        (GradientPenalty(weight=0.5, one_sided=True), 0.125, 5.5 - 0.5),
        (Dragan(weight=0.5, target=2.0, one_sided=True), 0.0, 5.5),
        # ε a² E x² with x = 4, 5, 6, 7: 31.5 a², derivative 63 a.
        (Drift(weight=0.01), 0.01 * 31.5 * 2.25, 5.5 - 0.01 * 63 * 1.5),
        # γ/2 ((b - 5.5)² + a²), of which a moves only the second part.
        (Consensus(weight=0.5), 0.25 * (5.5**2 + 2.25), 5.5 - 0.75),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_a_penalty_by_hand(penalty, reported, slope):
    states, spec = penalised([penalty])
    # The first update is made at a = 0, where a slope has no direction to be pushed in.
    assert a(states[1]) == pytest.approx(1.5 + slope, rel=1e-5)
    assert mean(states[1], f"penalty/{penalty.name}", spec) == pytest.approx(reported, rel=1e-5, abs=1e-9)
    assert mean(states[1], "loss/discriminator", spec) == pytest.approx(-1.5 * 5.5)  # the loss by itself
    assert mean(states[1], "grad_norm/discriminator", spec) == pytest.approx(slope, rel=1e-5)


def test_penalties_add_up():
    states, spec = penalised([R1(weight=0.5), Drift(weight=0.01), R2(weight=0.1)])
    assert a(states[1]) == pytest.approx(7 - 0.75 - 0.945 - 0.15, rel=1e-5)
    assert spec.tags[-3:] == ("penalty/r1", "penalty/drift", "penalty/r2")


def test_consensus_draws_the_generator_too():
    # a = 7 - 0.1 * 1.5 = 6.85. The generator's data are 8 to 11, mean 9.5, and b = 0: its own term is γ (b - 9.5).
    states, _ = penalised([Consensus(weight=0.1)])
    assert b(states[1]) == pytest.approx(6.85 + 0.95, rel=1e-5)
    assert int(states[1].cursor.offset) == 12


@pytest.mark.parametrize(
    ("every", "k", "wanted"), [(1, 3, 16.5 - 0.75 - 0.5 * 6.25), (2, 2, 7.0), (2, 3, 9.5), (3, 3, 16.5)]
)
def test_a_lazy_penalty_comes_less_often_and_weighs_more(every, k, wanted):
    # Turns 0, 2, 4, ... for 2: in the third update at a = 7, twice γ a = 7.
    states, _ = penalised([R1(weight=0.5, every=every)], k=k)
    assert a(states[1]) == pytest.approx(wanted, rel=1e-5)


def test_lazy_turns_are_counted_over_the_steps():
    # k = 1 and every = 2: due in steps 1, 3, ... At a = 1.5 step 2 is as without a penalty, step 3 is not.
    states, spec = penalised([R1(weight=0.5, every=2)], k=1, steps=3)
    reported = [float(state.accumulator.sums[spec.tags.index("penalty/r1")]) for state in states]
    steps = np.diff(reported)
    assert steps[:2].tolist() == [0.0, 0.0]
    assert steps[2] == pytest.approx(2 * 0.25 * a(states[2]) ** 2, rel=1e-5)


def test_weights_are_clipped_after_every_update_and_nothing_is_reported():
    states, spec = penalised([WeightClipping(limit=1.25)], k=3)
    assert a(states[1]) == 1.25
    assert not [tag for tag in spec.tags if tag.startswith("penalty/")]


def test_weights_are_clipped_on_both_sides():
    kept = WeightClipping().project({"w": jnp.array([-3.0, -0.5, 0.5, 3.0])}, {"limit": jnp.float32(2.0)})
    assert kept["w"].tolist() == [-2.0, -0.5, 0.5, 2.0]


@pytest.mark.parametrize(
    ("decay", "done", "gamma"),
    [("constant", 0.7, 4.0), ("linear", 0.25, 3.5), ("cosine", 0.5, 3.0), ("cosine", 1.0, 2.0), ("linear", 1.0, 2.0)],
)
def test_the_weight_of_a_zero_centred_penalty_over_the_run(decay, done, gamma):
    hparams = {"weight": jnp.float32(4.0), "final_weight": jnp.float32(2.0)}
    assert float(R1(decay=decay).gamma(jnp.float32(done), hparams)) == pytest.approx(gamma)


def match(critic, real, fake, conditioning=None, **known):
    conditioning = conditioning or {}
    inputs = {
        "critic": critic,
        "real": real,
        "fake": fake,
        "real_conditioning": conditioning,
        "fake_conditioning": conditioning,
        "real_scores": jnp.zeros(len(real)),
        "fake_scores": jnp.zeros(len(fake)),
        "squared_norms": {},
        "field": lambda: ((), ()),
        "done": jnp.float32(0),
        "key": jax.random.key(3),
    }
    return PenaltyInputs(**(inputs | known))


def test_the_slope_of_a_curved_critic_is_taken_at_each_row():
    # The critic x² + 3 y has the gradient (2 x, 3).
    rows = jnp.array([[1.0, 5.0], [2.0, -1.0]])
    seen = match(lambda x, conditioning, key: x[:, 0] ** 2 + 3 * x[:, 1], rows, rows)
    np.testing.assert_allclose(squared_gradient_norms(seen, rows, {}), [4 + 9, 16 + 9])


def test_a_latent_beside_the_example_counts_and_a_label_does_not():
    # x z + 4 y at x = 2, z = 3: the gradient by (x, z) is (3, 2).
    rows = jnp.array([[2.0]])
    conditioning = {"z": jnp.array([[3.0]]), "y": jnp.array([1])}
    seen = match(
        lambda x, conditioning, key: x[:, 0] * conditioning["z"][:, 0] + 4 * conditioning["y"], rows, rows, conditioning
    )
    np.testing.assert_allclose(squared_gradient_norms(seen, rows, conditioning), [13.0])


def test_interpolates_lie_between_and_are_drawn_row_by_row():
    looked = []

    def critic(x, conditioning, key):
        jax.debug.callback(lambda rows: looked.append(np.asarray(rows)), x)
        return jnp.sum(x, axis=1)

    real, fake = jnp.ones((100, 2)), jnp.array([[3.0, -1.0]] * 100)
    jax.block_until_ready(GradientPenalty().term(match(critic, real, fake), traced(GradientPenalty())))
    jax.effects_barrier()
    shares = (looked[0] - np.asarray(fake)) / (np.asarray(real) - np.asarray(fake))
    np.testing.assert_allclose(shares[:, 0], shares[:, 1], rtol=1e-4)
    assert 0 <= shares.min() < 0.1 and 0.9 < shares.max() <= 1
    assert len(np.unique(shares[:, 0])) == 100


def around(data):
    """Where DRAGAN looks at the slope, as steps away from ``data``."""
    looked = []

    def critic(x, conditioning, key):
        jax.debug.callback(lambda rows: looked.append(np.asarray(rows)), x)
        return jnp.sum(x, axis=1)

    penalty = Dragan(spread=0.5)
    jax.block_until_ready(penalty.term(match(critic, data, data), traced(penalty)))
    jax.effects_barrier()
    return looked[0] - np.asarray(data)


def test_dragan_looks_around_the_data_as_far_as_they_spread():
    # Half of them are -3 and half 3: the standard deviation is 3, and a step is α 0.5 * 3 u, of which α and u are
    # uniform on [0, 1]: between 0 and 1.5, on average 1.5 / 4.
    data = jnp.tile(jnp.array([[-3.0], [3.0]]), (2000, 1))
    steps = around(data)
    assert steps.min() >= 0 and 1.3 < steps.max() <= 1.5
    # α u has the variance 1/9 - 1/16.
    assert abs(steps.mean() - 0.375) < 5 * 1.5 * np.sqrt((1 / 9 - 1 / 16) / 4000)
    np.testing.assert_allclose(around(10 * data), 10 * steps, rtol=1e-4, atol=1e-4)


# --- spectral normalisation ---


class Two(nn.Module):
    """Two dense layers, with batch norm between them."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(5)(x))
        return nn.Dense(1)(nn.relu(x))[:, 0]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 6))
def test_after_enough_iterations_the_largest_singular_value_is_one(seed, inputs, outputs):
    kernel = jax.random.normal(jax.random.key(seed), (inputs, outputs))
    values = np.linalg.svd(kernel, compute_uv=False)
    if values[1] > 0.95 * values[0]:
        return  # the power method cannot tell them apart in so few iterations
    params = {"layer": {"kernel": kernel, "bias": jnp.full(outputs, 7.0)}}
    start = {"layer/kernel": jnp.ones(outputs) / np.sqrt(outputs)}
    scaled, _ = normalised(params, start, 300)
    assert np.linalg.svd(scaled["layer"]["kernel"], compute_uv=False)[0] == pytest.approx(1.0, rel=1e-3)
    assert scaled["layer"]["bias"].tolist() == [7.0] * outputs


def test_a_convolution_is_a_matrix_from_its_window_to_its_features():
    kernel = jnp.zeros((3, 3, 2, 4)).at[1, 2, 0, 3].set(-5.0)
    scaled, _ = normalised({"kernel": kernel}, {"kernel": jnp.ones(4) / 2}, 3)
    assert float(scaled["kernel"][1, 2, 0, 3]) == pytest.approx(-1.0)


def test_the_gradient_goes_through_the_singular_value():
    # W / σ(W) does not change with the size of W, so the gradient along W itself vanishes.
    kernel = jnp.array([[3.0, 1.0], [0.5, 2.0]])
    start = {"kernel": jnp.ones(2) / np.sqrt(2)}

    def size(kernel):
        return jnp.sum(normalised({"kernel": kernel}, start, 100)[0]["kernel"] ** 3)

    slope = jax.grad(size)(kernel)
    assert float(jnp.sum(slope * kernel)) == pytest.approx(0.0, abs=1e-4)
    assert float(jnp.abs(slope).max()) > 0.1


def test_a_normalised_network_is_used_like_any_other():
    network = SpectralNormalisation(iterations=2).bind(Two())
    assert network == SpectrallyNormalised(Two(), 2) and hash(network) == hash(SpectrallyNormalised(Two(), 2))
    x = jax.random.normal(jax.random.key(1), (8, 3))
    variables = network.init({"params": jax.random.key(0)}, x, train=False)
    assert set(variables["batch_stats"]) == {"BatchNorm_0", "spectral"}
    # Used as it is, it changes nothing; in training the batch statistics and the directions move on.
    first = network.apply(variables, x, train=False)
    moved = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.sign(leaf), variables["params"])
    out, new = network.apply({**variables, "params": moved}, x, train=True, mutable=["batch_stats"])
    assert out.shape == first.shape == (8,)
    before, after = variables["batch_stats"]["spectral"], new["batch_stats"]["spectral"]
    assert float(jnp.abs(before["Dense_0/kernel"] - after["Dense_0/kernel"]).max()) > 1e-4
    assert float(jnp.abs(new["batch_stats"]["BatchNorm_0"]["mean"]).max()) > 0


def test_a_normalised_network_does_not_depend_on_the_scale_of_its_kernels():
    network, x = SpectrallyNormalised(Two(), 1), jax.random.normal(jax.random.key(1), (8, 3))
    variables = network.init({"params": jax.random.key(0)}, x, train=False)
    larger = jax.tree.map(lambda leaf: 10 * leaf if leaf.ndim == 2 else leaf, variables["params"])
    np.testing.assert_allclose(
        network.apply(variables, x, train=False),
        network.apply({**variables, "params": larger}, x, train=False),
        rtol=1e-5,
    )


def test_every_penalty_says_whether_it_reports():
    assert {name for name, option in options("penalty").items() if not option.reports} == {
        "weight_clipping",
        "spectral_normalisation",
    }


def test_outside_training_a_normalised_network_divides_by_what_it_knew():
    # W = diag(3, 1) and the direction (0, 1) of old: σ is read as 1, and only training turns it to (1, 0).
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(2, use_bias=False)(x)

    network, x = SpectrallyNormalised(Layer(), 20), jnp.array([[1.0, 1.0]])
    params = {"Dense_0": {"kernel": jnp.diag(jnp.array([3.0, 1.0]))}}
    direction = jnp.array([0.01, 1.0]) / np.sqrt(1.0001)
    variables = {"params": params, "batch_stats": {"spectral": {"Dense_0/kernel": direction}}}
    # |W d|² = (9e-4 + 1) / 1.0001.
    old = np.sqrt(1.0009 / 1.0001)
    np.testing.assert_allclose(network.apply(variables, x, train=False), [[3 / old, 1 / old]], rtol=1e-5)
    kept = network.apply(variables, x, train=False, mutable=["batch_stats"])[1]["batch_stats"]["spectral"]
    np.testing.assert_array_equal(kept["Dense_0/kernel"], direction)
    out, new = network.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(out, [[1.0, 1 / 3]], rtol=1e-5)
    np.testing.assert_allclose(new["batch_stats"]["spectral"]["Dense_0/kernel"], [1.0, 0.0], atol=1e-5)


SHAPES = {
    "dcgan": [(16, 16, 1)],
    "resnet": [(8, 8, 1)],
    "r3gan": [(8, 8, 1), (2,)],
    "r3gan2": [(8, 8, 1), (2,)],
    "dirac": [(1,)],
}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name, option in options("architecture").items()
        if hasattr(option, "build")  # the networks of a GAN
        for shape in SHAPES.get(name, [(2,)])
    ],
)
def test_every_weight_of_every_discriminator_is_normalised(name, shape):
    # All that multiplies its input: not biases, the scales and offsets of a normalisation, nor the gate of attention.
    settings = {"attention": True, "minibatch": "discrimination", "width": 4}
    option = options("architecture")[name]
    known = {field.name for field in dataclasses.fields(option)}
    classes = 0 if name == "dirac" else 3
    networks = option(**{key: value for key, value in settings.items() if key in known}).build(shape, 2, classes)

    def made():
        labels, x = jnp.zeros((2,), jnp.int32), jnp.zeros((2, *shape))
        params = networks.discriminator.init(jax.random.key(0), x, train=False, y=labels)["params"]
        return params, _matrices(params)

    params, matrices = jax.eval_shape(made)
    names = {"/".join(part.key for part in path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    assert {name.rpartition("/")[2] for name in names - set(matrices)} <= {"bias", "scale", "gamma"}
    assert matrices


@pytest.mark.parametrize(("size", "stride", "bound"), [(3, 1, 3.0), (4, 2, 2.0)])
def test_how_far_a_normalised_convolution_may_stretch(size, stride, bound):
    # The docs' bound is reached by a constant picture and a constant kernel, which is one of norm 1 as a matrix.
    kernel = jnp.ones((size, size, 1, 1))
    scaled, _ = normalised({"kernel": kernel}, {"kernel": jnp.ones(1)}, 1)
    assert float(jnp.linalg.norm(scaled["kernel"])) == pytest.approx(1.0)
    # Inside, every pixel of the output is the sum over the window, size; every stride-th pixel is one.
    picture = jnp.ones((1, 64, 64, 1))
    out = jax.lax.conv_general_dilated(
        picture, scaled["kernel"], (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    seen = float(jnp.linalg.norm(out) / jnp.linalg.norm(picture))
    assert 0.9 * bound < seen <= bound

"""The transport term of the generator's update: numbers by hand, monotone maps on the line, members, what is refused.

In the paper game of test_algorithm.py, x = b for every latent z, and the gradient of the generator's loss is -a. That
of w E (b - z)² is 2 w (b - mean of z).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_algorithm import PAPER_GAME, Counting, a, b, create, mean, one_step, paper_numbers
from test_moves import generator_noise_key

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.logged import logged
from ganrun.methods.gan.annealing import jumps
from ganrun.methods.gan.networks import draw_noise
from ganrun.methods.gan.spec import gan_hparams, gan_spec
from ganrun.methods.gan.transport import cost, normaliser, weight
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import build
from ganrun.training.executor import SingleRun

DECAY = 0.9


def play(steps, *, numbers, **changes):
    """The spec of the paper game with ``changes``, and its states."""
    spec = dataclasses.replace(PAPER_GAME, **changes)
    hparams = paper_numbers() | jax.tree.map(jnp.asarray, {"generator_update": numbers})
    states = [create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(steps):
        states.append(one_step(spec, states[-1], Counting()))
    return spec, states


def mean_noise(state):
    return float(np.mean(draw_noise(PAPER_GAME, generator_noise_key(state), 4)))


# --- numbers by hand ---


def test_the_cost_is_the_mean_square_of_what_separates_samples_from_latents():
    samples, noise = jnp.asarray([[[1.0], [2.0]], [[0.0], [4.0]]]), jnp.asarray([[1.0, 0.0], [3.0, 3.0]])
    assert float(cost(samples, noise)) == pytest.approx((0 + 4 + 9 + 1) / 4)


@pytest.mark.parametrize(("decay", "wanted"), [("constant", 0.4), ("linear", 0.4 - 0.25 * 0.3), ("cosine", 0.35606602)])
def test_the_weight_goes_to_its_final_value(decay, wanted):
    # A quarter of the run: cos(pi / 4) = 0.70710678, so 0.1 + 0.3 (1 + 0.70710678) / 2 = 0.35606602.
    hparams = {"transport": jnp.float32(0.4), "final_transport": jnp.float32(0.1)}
    assert float(weight(decay, hparams, jnp.float32(0.25))) == pytest.approx(wanted, rel=1e-6)


def test_the_generator_also_descends_the_transport_term():
    # The gradients of steps 1 and 2 are -16.5 + 2 w (0 - mean z) and -a + 2 w (b - mean z), at rate 1; w falls from 0.4
    # by 0.003 a step, being linear over 100 steps.
    spec, states = play(2, numbers={"transport": 0.4, "final_transport": 0.1}, transport="linear")
    first = 16.5 + 2 * 0.4 * mean_noise(states[0])
    assert (a(states[1]), b(states[1])) == (16.5, pytest.approx(first, rel=1e-5))
    second = first + a(states[2]) - 2 * 0.397 * (first - mean_noise(states[1]))
    assert b(states[2]) == pytest.approx(second, rel=1e-5) and abs(mean_noise(states[1])) > 0.05
    noise = np.asarray(draw_noise(PAPER_GAME, generator_noise_key(states[0]), 4))
    assert mean(states[1], "transport/cost", spec) == pytest.approx(np.mean(noise**2), rel=1e-5)  # x = b = 0
    assert mean(states[1], "transport/weight", spec) == pytest.approx(0.4)
    # grad_norm is that of both terms, the loss that of the adversarial one alone.
    assert mean(states[1], "grad_norm/generator", spec) == pytest.approx(abs(first), rel=1e-5)
    assert mean(states[1], "loss/generator", spec) == pytest.approx(0.0)  # -a b at b = 0


def test_the_adversarial_gradient_is_divided_by_its_running_norm():
    # Each of the 4 samples has the gradient -a / 4: 4 times the squared norm is a². The first divisor is |a| itself, so
    # b = 1. Then a = 16.5 + (13.5 + 17.5 + 21.5) - 3 = 66, and the mean square is (0.09 16.5² + 0.1 66²) / 0.19.
    spec, states = play(2, numbers={"normalisation_decay": DECAY}, normalised=True)
    assert b(states[1]) == pytest.approx(1.0, rel=1e-5)
    assert a(states[2]) == pytest.approx(66.0, rel=1e-6)
    assert b(states[2]) == pytest.approx(1.0 + 66.0 / np.sqrt((0.09 * 16.5**2 + 0.1 * 66.0**2) / 0.19), rel=1e-5)
    assert float(states[2].model.generator.gradient_square) == pytest.approx(0.09 * 16.5**2 + 0.1 * 66.0**2, rel=1e-5)
    assert not jax.tree.leaves(states[2].model.discriminator.gradient_square)
    assert mean(states[1], "grad_norm/generator", spec) == pytest.approx(1.0, rel=1e-5)


def test_the_transport_term_is_not_normalised():
    numbers = {"transport": 0.4, "final_transport": 0.4, "normalisation_decay": DECAY}
    _, states = play(1, numbers=numbers, transport="constant", normalised=True)
    assert b(states[1]) == pytest.approx(1.0 + 2 * 0.4 * mean_noise(states[0]), rel=1e-5)


def test_a_normalised_gradient_has_the_norm_of_a_mean_of_slope_1_whatever_its_scale():
    gradient = jax.random.normal(jax.random.key(0), (5, 2, 3))
    for scale in (1e-6, 1.0, 1e6):
        divisor, average = normaliser(scale * gradient, jnp.zeros(()), jnp.int32(0), jnp.float32(DECAY))
        assert float(jnp.linalg.norm(scale * gradient / divisor)) == pytest.approx(1 / np.sqrt(30), rel=1e-4)
        assert float(average) == pytest.approx(0.1 * 30 * scale**2 * float(jnp.sum(gradient**2)), rel=1e-5)
    divisor, _ = normaliser(0 * gradient, jnp.zeros(()), jnp.int32(0), jnp.float32(DECAY))
    assert float(divisor) > 0  # nothing to divide: 0 stays 0


# --- the optimal map on the line ---

LINE = (
    "dataset=mixture1d",
    "loss=relativistic",
    "penalty=[r1,r2]",
    "architecture.generator_hidden=[16,16]",
    "architecture.discriminator_hidden=[16,16]",
    "batch_size=128",
    "probe=off",
    "steps=1500",
    "ema.decay=0.9",
)
FALLING = ("generator_update.transport=1", "generator_update.final_transport=0.01")
FALLING += ("generator_update.transport_decay=cosine", "generator_update.normalised=true")
START = 3  # a seed from which the map falls without the term


def slopes(compose_config, *words):
    """The slopes of a trained generator on the line, and its samples' mean and standard deviation."""
    experiment = build(compose_config((*LINE, f"seed={START}", *words)))
    run = SingleRun(experiment)
    state, _ = run.advance(run.init(), 1500)
    z = jnp.linspace(-2.5, 2.5, 501)[:, None]
    x = np.asarray(experiment.method.decode(experiment.variables(state), z))[:, 0]
    return np.diff(x) / np.diff(z[:, 0]), experiment, state


def test_with_the_term_the_map_on_the_line_increases(compose_config):
    # The optimal map for the squared distance on the line is monotone (Santambrogio 2015, theorem 2.9).
    found, experiment, state = slopes(compose_config, *FALLING)
    assert found.min() > 0
    samples = np.asarray(experiment.method.sample(experiment.variables(state), {}, jax.random.key(0), 4000))
    source = experiment.data.density
    assert source is not None
    data = np.asarray(source.minibatch(jax.random.key(1), state.cursor, 4000)[0])
    assert samples.mean() == pytest.approx(data.mean(), abs=0.3)  # and it is a model of the data
    assert samples.std() == pytest.approx(data.std(), rel=0.2)


def test_without_the_term_it_may_fall(compose_config):
    assert slopes(compose_config)[0].max() < 0


# --- runs ---


def test_a_run_that_is_restored_goes_on_to_the_same_bits(compose_config, tmp_path):
    small = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off")
    words = ("generator_update.transport=1", "generator_update.transport_decay=linear")
    experiment = build(compose_config((*small, *words, "generator_update.normalised=true")))
    run = SingleRun(experiment)
    whole, _ = run.advance(run.init(), 6)
    half, _ = run.advance(run.init(), 3)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, half, {})
    checkpoints.wait()
    restored, _ = checkpoints.restore(experiment.abstract())
    again, _ = run.advance(restored, 3)
    one, other = flatten(whole), flatten(again)
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in other.items()
    }
    assert float(one["model/generator/gradient_square"]) > 0


# --- configs ---


@pytest.mark.parametrize(
    ("words", "transport", "used"),
    [
        ([], "", None),
        (["generator_update.transport=0.1"], "constant", {"transport", "final_transport"}),
        (["generator_update.final_transport=0.1"], "", None),
        (
            ["generator_update.final_transport=0.1", "generator_update.transport_decay=linear"],
            "linear",
            {"transport", "final_transport"},
        ),
        (["generator_update.normalised=true"], "", {"normalisation_decay"}),
        (["generator_update.top_k=0.5"], "", {"top_k"}),
    ],
)
def test_a_run_has_the_hyperparameters_that_it_uses(words, transport, used, compose_config):
    config = compose_config(words)
    spec, hparams = gan_spec(config, (2,)), gan_hparams(config)
    assert spec.transport == transport and spec.normalised == ("generator_update.normalised=true" in words)
    assert set(hparams.get("generator_update", {})) == (used or set())
    assert ("transport/cost" in logged(config)) == ("transport/weight" in spec.tags) == bool(transport)


@pytest.mark.parametrize(("words", "dim", "n"), [(["latent.dim=3"], 3, 2), (["dataset=digits", "latent.dim=8"], 8, 64)])
def test_latents_of_another_dimension_are_refused_in_one_line(words, dim, n):
    config = check(compose("train", ["generator_update.transport=1", *words]))
    with pytest.raises(ConfigError) as caught:
        gan_spec(config, config.dataset.shape)
    reason = "generator_update.transport compares samples with their latents"
    assert str(caught.value) == f"{reason}: latent.dim must be the dimension of an example, {n}, not {dim}."


def test_latents_of_the_dimension_of_an_image_are_accepted():
    config = check(compose("train", ["generator_update.transport=1", "dataset=digits"]))  # 8 x 8 pixels, 64 latents
    assert gan_spec(config, config.dataset.shape).transport == "constant"


def test_a_weight_that_follows_the_share_of_the_run_jumps(compose_config):
    words = ("optimizer=sgd", "generator_update.transport=4", "generator_update.transport_decay=linear")
    before, now = (dataclasses.replace(compose_config(words), steps=steps) for steps in (100, 200))
    line = "steps=200 in place of 100 changes at step 100: generator_update.transport 0 -> 2."
    assert jumps(before, now, 100) == line

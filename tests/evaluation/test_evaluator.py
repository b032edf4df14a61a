"""Looks at a run: when they are taken, that they outlive the state, and what they make of a known generator."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.config.settings import Log, Train
from ganrun.evaluation.divergence.estimate import Estimate
from ganrun.evaluation.divergence.probe import Measuring, Off, Probe, Stack, Streaming
from ganrun.evaluation.evaluator import Evaluator, NotFinite
from ganrun.evaluation.metrics.exact import values
from ganrun.training.build import build

SLOPE = 0.2  # of the leaky ReLU below zero
SHIFT_BY_ONE = 0.1114  # nats: the Jensen-Shannon divergence of N(0, 1) and N(1, 1)
SMALL = ("architecture.generator_hidden=[2]", "architecture.discriminator_hidden=[4]", "batch_size=16")


@dataclasses.dataclass(frozen=True)
class Spy(Measuring):
    """A probe that knows nothing and notes what it is shown."""

    name: str = "spy"
    result: list = dataclasses.field(default_factory=list)

    def estimate(self, data, model, seed, workers=1):
        self.result.append((data, model, seed))
        return Estimate(0.25, 0.125, 0.0, "spy", 1, data.d)


@pytest.fixture
def evaluator(compose_config):
    """Make an observer of a small game (and the game) with a probe that costs nothing."""

    def made(*words: str, probe: Probe | None = None) -> Evaluator:
        config: Train = compose_config([*SMALL, "probe=off", *words])
        if probe is not None:
            config = dataclasses.replace(config, probe=probe)
        return Evaluator(build(config), config)

    return made


def affine(state, scale, shift):
    """``state`` with an averaged generator that is exactly z -> scale * z + shift, for one latent number.

    The hidden units are z and -z, and leaky(z) - leaky(-z) = 1.2 z.
    """
    first, last = state.model.average["params"]["Dense_0"], state.model.average["params"]["Dense_1"]
    assert first["kernel"].shape == (1, 2) and last["kernel"].shape == (2, 1)
    weight = scale / (1 + SLOPE)
    params = {
        "Dense_0": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.zeros(2)},
        "Dense_1": {"kernel": jnp.array([[weight], [-weight]]), "bias": jnp.array([shift])},
    }
    return with_average(state, {**state.model.average, "params": params})


def with_average(state, average):
    return state.replace(model=state.model.replace(average=average))


def spoilt(tree):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), tree)


def due(evaluator: Evaluator, steps: int) -> list[int]:
    return [step for step in range(steps + 1) if evaluator.due(step)]


# When


@pytest.mark.parametrize(
    ("log", "probe", "pictured", "probed"),
    [
        (Log(10, 4), Off(), [0, 30, 60, 90, 120], []),
        (Log(10, 0), Off(), [], []),
        (Log(10, 0), Streaming(times=4), [], [30, 60, 90, 120]),
        (Log(10, 2), Streaming(times=3), [0, 60, 120], [40, 80, 120]),
        # To the nearest row, never less than one; the last step whatever the spacing.
        (Log(10, 1000), Streaming(times=1000), [*range(0, 121, 10)], [*range(10, 121, 10)]),
        (Log(10, 0), Streaming(every=37), [], [40, 80, 120]),
        (Log(10, 0), Streaming(every=1), [], [*range(10, 121, 10)]),
        (Log(10, 0), Streaming(every=50, times=100), [], [50, 100, 120]),
        (Log(10, 0), Streaming(every=5000), [], [120]),
        (Log(10, 7), Off(), [*range(0, 121, 20)], []),
        (Log(50, 1), Stack(times=1), [0, 100, 120], [100, 120]),
        (Log(500, 1), Stack(times=1), [0, 120], [120]),
    ],
)
def test_looks_fall_on_rows_and_on_the_last_step(log, probe, pictured, probed, tiny_config, tiny_ring):
    evaluator = Evaluator(tiny_ring, dataclasses.replace(tiny_config, steps=120, log=log, probe=probe))
    assert due(evaluator, 120) == sorted({*pictured, *probed})
    assert [step for step in range(121) if evaluator._due(evaluator.picture_every, step)] == pictured
    assert [step for step in range(1, 121) if evaluator._due(evaluator.probe_every, step)] == probed
    assert {*pictured, *probed} <= {*range(0, 121, log.every), 120}


def test_before_the_first_step_there_is_a_picture_and_no_probe(evaluator):
    spy = Spy(times=2)
    evaluator = evaluator("dataset=gaussian", "steps=20", "log.every=10", "log.pictures=1", probe=spy)
    assert due(evaluator, 20) == [0, 10, 20]
    state = evaluator.experiment.init()
    first = evaluator.read(evaluator.snapshot(state, 0))
    assert set(first.pictures) == {"samples"} and not spy.result
    assert "jsd/exact" in first.scalars and "jsd/probe" not in first.scalars
    middle = evaluator.read(evaluator.snapshot(state, 10))  # the probe's alone
    assert set(middle.pictures) == {"densities"} and middle.scalars["jsd/probe"] == 0.25
    last = evaluator.read(evaluator.snapshot(state, 20))
    assert set(last.pictures) == {"samples", "densities"} and len(spy.result) == 2


def test_without_a_probe_the_exact_numbers_remain(evaluator):
    evaluator = evaluator("dataset=gaussian", "steps=20", "log.every=10")
    result = evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 20))
    exact = {"jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse", "w1"}
    assert exact | {"samples/diversity"} == set(result.scalars)
    assert set(result.pictures) == {"samples"} and set(result.histograms) == {"logits/real", "logits/fake"}


# What


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, 1.0), (0.5, -0.5), (2.0, 0.25)])
def test_a_generator_on_the_line_is_measured_as_by_hand(scale, shift, evaluator):
    evaluator = evaluator("dataset=gaussian", "steps=20", "log.pictures=0")
    result = evaluator.read(evaluator.snapshot(affine(evaluator.experiment.init(), scale, shift), 20)).scalars
    # KL of N(0, 1) and N(shift, scale^2), in closed form.
    forward = np.log(scale) + (1 + shift**2) / (2 * scale**2) - 0.5
    reverse = -np.log(scale) + (scale**2 + shift**2) / 2 - 0.5
    assert result["kl/forward"] == pytest.approx(forward, abs=2e-4)
    assert result["kl/reverse"] == pytest.approx(reverse, abs=2e-4)
    quantiles = np.random.default_rng(0).normal(size=400_000)
    assert result["w1"] == pytest.approx(np.abs((scale - 1) * quantiles + shift).mean(), abs=3e-3)
    x = np.linspace(-14, 14, 40_001)
    p, q = (np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for m, s in ((0, 1), (shift, scale)))
    middle = 0.5 * (p + q)
    parts = [np.where(part > 0, part * np.log(np.maximum(part, 1e-300) / middle), 0) for part in (p, q)]
    jsd = 0.5 * sum(parts).sum() * (x[1] - x[0])
    assert result["jsd/exact"] == pytest.approx(jsd, abs=1e-4 + result["jsd/exact_error"])
    if (scale, shift) == (1.0, 1.0):
        assert result["jsd/exact"] == pytest.approx(SHIFT_BY_ONE, abs=5e-4)


def test_a_generator_that_makes_one_point_leaves_out_the_data(evaluator):
    evaluator = evaluator("dataset=mixture1d", "steps=20", "log.pictures=1", probe=Spy(times=1))
    result = evaluator.read(evaluator.snapshot(affine(evaluator.experiment.init(), 0.0, 2.0), 20))
    assert result.scalars["jsd/exact"] == pytest.approx(np.log(2), abs=1e-6)
    assert result.scalars["kl/forward"] == np.inf
    assert (result.scalars["modes/covered"], result.scalars["modes/high_quality"]) == (1.0, 1.0)
    assert set(result.pictures) == {"samples", "densities"}


def test_in_the_plane_one_point_shares_nothing_with_the_data(evaluator):
    evaluator = evaluator("dataset=ring", "dataset.modes=1", "dataset.std=1", "steps=20")
    state = evaluator.experiment.init()
    average = jax.tree.map(jnp.zeros_like, state.model.average)
    average["params"]["Dense_1"]["bias"] = jnp.array([2.0, 0.0])  # all on the centre of the only mode
    result = evaluator.read(evaluator.snapshot(with_average(state, average), 10)).scalars
    assert result["jsd/exact"] == pytest.approx(np.log(2), abs=0.02)
    assert {tag for tag in result if tag.startswith("modes/") or tag == "w1"} == set()


@pytest.mark.parametrize(
    ("words", "rank"),
    [
        (("latent.dim=1",), 1),
        (("latent.dim=1", "inference=bigan"), 1),
        (("latent.dim=1", "conditional=true"), 1),
        (("latent.dim=3", "architecture.generator_hidden=[4,1,4]"), 1),
        (("latent.dim=3", "architecture.generator_hidden=[4]"), 2),
        (("latent.dim=1", "dataset=gaussian"), 1),
    ],
)
def test_a_generator_fills_no_more_dimensions_than_it_has_latents_or_units(words, rank, evaluator):
    assert evaluator("dataset=ring", "steps=20", *words).experiment.method.rank == rank


def test_a_generator_that_fills_no_area_is_as_far_as_can_be(evaluator):
    """A generator may have a degenerate distribution; its divergence is log 2, and that of both after smoothing less.

    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 6; Arjovsky & Bottou 2017, theorem 2.3.
    """
    evaluator = evaluator("dataset=ring", "steps=20", "log.pictures=0", "latent.dim=1", "inference=bigan")
    result = evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 20)).scalars
    assert (result["jsd/exact"], result["jsd/exact_error"]) == (np.log(2), 0.0)
    assert (result["kl/forward"], result["kl/reverse"], result["data_missed"]) == (np.inf, np.inf, 1.0)
    assert 0.5 < result["jsd/smoothed"] <= np.log(2) and 0 < result["jsd/smoothed_error"] < 0.05


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [(0.107, 0.29, False), (0.107, 0.1, True), (0.0001, 0.0099, True), (0.0001, 0.011, False), (0.0, 0.01, True)],
)
def test_a_value_whose_error_is_larger_is_left_out(value, error, told):
    assert values("jsd/exact", value, error) == {"jsd/exact_error": error} | ({"jsd/exact": value} if told else {})


def test_a_plane_has_its_own_kl_and_no_data_are_missed_for_want_of_latents(evaluator):
    evaluator = evaluator("dataset=ring", "dataset.modes=1", "dataset.radius=1e-9", "dataset.std=1", "steps=20")
    state = evaluator.experiment.init()
    average = jax.tree.map(jnp.zeros_like, state.model.average)
    # Both hidden units are above zero as far as any data need it, so z goes to z / 2.
    average["params"]["Dense_0"] = {"kernel": jnp.eye(2), "bias": jnp.full(2, 1000.0)}
    average["params"]["Dense_1"] = {"kernel": jnp.eye(2) / 2, "bias": jnp.full(2, -500.0)}
    result = evaluator.read(evaluator.snapshot(with_average(state, average), 20)).scalars
    assert result["data_missed"] == 0
    assert result["kl/forward"] == pytest.approx(3 - np.log(4), abs=2e-3)


@pytest.mark.parametrize(
    "words", [("dataset=gaussian", "latent.dim=2"), ("dataset=ring", "dataset.std=1", "latent.dim=3")], ids=" ".join
)
def test_what_cannot_be_followed_is_measured_by_fresh_samples_of_every_step(words, evaluator):
    evaluator = evaluator(*words, "steps=20", "log.pictures=0")
    state = evaluator.experiment.init()
    one, again, other = (evaluator.read(evaluator.snapshot(state, step)).scalars for step in (10, 10, 20))
    assert one == again
    assert one["jsd/exact"] != other["jsd/exact"]
    assert one["jsd/exact"] == pytest.approx(other["jsd/exact"], abs=2 * one["jsd/exact_error"] + 0.01)


def test_the_randomness_is_that_of_the_seed_and_the_step_alone(evaluator):
    seeds = {}
    for seed in (0, 1):
        spy = Spy(times=1)
        made = evaluator("dataset=gaussian", "steps=30", "log.every=10", "log.pictures=0", f"seed={seed}", probe=spy)
        assert due(made, 30) == [30]
        made.probe_every = 10
        snapshot = {step: made.snapshot(made.experiment.init(), step) for step in (10, 20)}
        for step in (10, 20, 10):
            made.read(snapshot[step])
        asked = [number for *_, number in spy.result]
        assert asked[0] == asked[2] != asked[1]
        seeds[seed] = asked
    assert len({*seeds[0], *seeds[1]}) == 4


def test_the_probe_is_shown_the_data_and_the_averaged_generator(evaluator):
    spy = Spy(times=1)
    evaluator = evaluator("dataset=gaussian", "dataset.mean=5", "steps=20", probe=spy)
    state = affine(evaluator.experiment.init(), 0.5, -3.0)
    evaluator.read(evaluator.snapshot(state, 20))
    ((data, model, _),) = spy.result
    real, fake = (side.draw(20_000, 1) for side in (data, model))
    assert (real.mean(), real.std()) == (pytest.approx(5, abs=0.05), pytest.approx(1, abs=0.05))
    assert (fake.mean(), fake.std()) == (pytest.approx(-3, abs=0.03), pytest.approx(0.5, abs=0.03))


def test_images_are_seen_as_a_grid_with_nothing_exact(compose_config):
    spy = Spy(times=1)
    words = ("dataset=digits", "architecture=dcgan", "architecture.width=2", "latent.dim=4", "batch_size=16")
    config = dataclasses.replace(compose_config([*words, "steps=20"]), probe=spy)
    evaluator = Evaluator(build(config), config)
    result = evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 20))
    probed = {"jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"}
    assert set(result.scalars) == probed | {"samples/diversity", "samples/nearest_training"}
    assert set(result.pictures) == {"samples", "neighbours", "interpolations"}  # the run ends here
    ((data, model, _),) = spy.result
    assert data.rows.shape == (360, 64) and model.draw(600, 0).shape == (600, 64)


def test_whatever_judges_the_run_sees_held_out_data(compose_config, monkeypatch):
    from ganrun.evaluation.metrics import diversity
    from ganrun.methods import experiment as module

    config = compose_config(["dataset=digits", "architecture=mlp", "steps=20", "probe=off"])
    evaluator = Evaluator(build(config), config)
    data, given = evaluator.experiment.data, {}
    held_out = np.asarray(data.held_out.flat)
    assert held_out.shape != np.asarray(data.train.flat).shape
    monkeypatch.setattr(module, "_snapshot", lambda *words: given.update(snapshot=words) or (None, None))
    monkeypatch.setattr(diversity, "Diversity", lambda *words: given.update(diversity=words))
    evaluator.snapshot(None, 10)
    diversity.SampleDiversity().prepare(evaluator.experiment)
    assert given["snapshot"][2] is data.held_out
    assert given["diversity"] == (data.train, data.held_out)
    np.testing.assert_allclose(evaluator.data.rows, held_out / 127.5 - 1, atol=1e-6)


# A look outlives the state


def test_a_look_shows_the_players_as_they_were_when_the_state_is_long_gone(evaluator):
    evaluator = evaluator(
        "dataset=gaussian", "steps=20", "log.every=10", "log.pictures=2", "ema.decay=0", probe=Spy(times=2)
    )
    wanted = evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 10))
    state = evaluator.experiment.init()
    held = jax.tree.leaves((state.model.average, state.model.discriminator.variables))
    snapshot = evaluator.snapshot(state, 10)
    after, _ = evaluator.experiment.advance(state, 10)
    after, _ = evaluator.experiment.advance(after, 10)
    jax.block_until_ready(after)
    assert all(leaf.is_deleted() for leaf in held)  # or this test would show nothing
    result = evaluator.read(snapshot)
    assert untimed(result.scalars) == untimed(wanted.scalars)
    assert result.pictures == wanted.pictures
    assert all(np.array_equal(result.histograms[tag], wanted.histograms[tag]) for tag in wanted.histograms)
    later = evaluator.read(evaluator.snapshot(after, 10))
    assert not any(np.array_equal(later.histograms[tag], result.histograms[tag]) for tag in result.histograms)
    assert later.pictures.keys() == result.pictures.keys()
    assert not any(later.pictures[tag] == result.pictures[tag] for tag in result.pictures)


def untimed(scalars):
    return {tag: value for tag, value in scalars.items() if tag != "probe/seconds"}


def test_a_look_changes_nothing_in_the_state(evaluator):
    evaluator = evaluator("dataset=gaussian", "steps=20")
    state = evaluator.experiment.init()
    before = jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))
    evaluator.read(evaluator.snapshot(state, 20))
    after = jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))
    assert all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(after)))


# What is lost


def test_a_discriminator_that_is_lost_is_told(evaluator):
    evaluator = evaluator("dataset=gaussian", "steps=20", probe=Spy(times=1))
    state = evaluator.experiment.init()
    lost = state.model.discriminator.replace(params=spoilt(state.model.discriminator.params))
    with pytest.raises(NotFinite, match=r"^logits/real$"):
        evaluator.read(evaluator.snapshot(state.replace(model=state.model.replace(discriminator=lost)), 20))


def test_a_generator_that_is_lost_is_told(evaluator):
    spy = Spy(times=1)
    evaluator = evaluator("dataset=ring", "steps=20", probe=spy)
    state = evaluator.experiment.init()
    with pytest.raises(NotFinite, match=r"^logits/fake$"):
        evaluator.read(evaluator.snapshot(with_average(state, spoilt(state.model.average)), 20))
    assert not spy.result


# Critics


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_a_critic_is_calibrated_first(loss, evaluator, monkeypatch):
    from ganrun.evaluation import evaluator as module
    from ganrun.methods.gan.calibration import calibrate

    fields = []
    monkeypatch.setattr(
        module, "densities", lambda samples, density, field, title, label: fields.append((field, label))
    )
    evaluator = evaluator("dataset=gaussian", f"loss={loss}", "steps=20", probe=Spy(times=1))
    snapshot = evaluator.snapshot(evaluator.experiment.init(), 20)
    result = evaluator.read(snapshot)
    assert {"D(x)/calibrated", "D(G(z))/calibrated", "jsd/probe", "jsd/exact"} <= set(result.scalars)
    ((field, label),) = fields
    assert label == "D(x), calibrated"
    scale, offset = calibrate(result.histograms["logits/real"], result.histograms["logits/fake"])
    assert field == pytest.approx(scale * np.asarray(snapshot.fetch()[0].inspected["field"], np.float64) + offset)

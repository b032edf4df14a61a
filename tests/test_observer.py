"""Looks at a run: when they are taken, that they outlive the state, and what they make of a known generator."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.config import Log, Train
from ganrun.divergence.estimate import Estimate
from ganrun.divergence.probe import Measuring, Off, Probe, Stack, Streaming
from ganrun.divergence.run_side import rank_of
from ganrun.observer import NotFinite, Observer, values
from ganrun.run import build

SLOPE = 0.2  # of the leaky ReLU below zero
SHIFT_BY_ONE = 0.1114  # nats: the Jensen-Shannon divergence of N(0, 1) and N(1, 1)
SMALL = ("architecture.generator_hidden=[2]", "architecture.discriminator_hidden=[4]", "batch_size=16")


@dataclasses.dataclass(frozen=True)
class Spy(Measuring):
    """A probe that knows nothing and notes what it is shown."""

    name: str = "spy"
    seen: list = dataclasses.field(default_factory=list)

    def estimate(self, data, model, seed):
        self.seen.append((data, model, seed))
        return Estimate(0.25, 0.125, 0.0, "spy", 1, data.d)


@pytest.fixture
def observer(compose_config):
    """Make an observer of a small game (and the game) with a probe that costs nothing."""

    def made(*words: str, probe: Probe | None = None) -> Observer:
        config: Train = compose_config([*SMALL, "probe=off", *words])
        if probe is not None:
            config = dataclasses.replace(config, probe=probe)
        return Observer(build(config), config)

    return made


def affine(state, scale, shift):
    """``state`` with an averaged generator that is exactly z -> scale * z + shift, for one latent number.

    The hidden units are z and -z, and leaky(z) - leaky(-z) = 1.2 z.
    """
    first, last = state.average["params"]["Dense_0"], state.average["params"]["Dense_1"]
    assert first["kernel"].shape == (1, 2) and last["kernel"].shape == (2, 1)
    weight = scale / (1 + SLOPE)
    params = {
        "Dense_0": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.zeros(2)},
        "Dense_1": {"kernel": jnp.array([[weight], [-weight]]), "bias": jnp.array([shift])},
    }
    return state.replace(average={**state.average, "params": params})


def spoilt(tree):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), tree)


def due(watch: Observer, steps: int) -> list[int]:
    return [step for step in range(steps + 1) if watch.due(step)]


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
    watch = Observer(tiny_ring, dataclasses.replace(tiny_config, steps=120, log=log, probe=probe))
    assert due(watch, 120) == sorted({*pictured, *probed})
    assert [step for step in range(121) if watch._due(watch.picture_every, step)] == pictured
    assert [step for step in range(1, 121) if watch._due(watch.probe_every, step)] == probed
    assert {*pictured, *probed} <= {*range(0, 121, log.every), 120}


def test_before_the_first_step_there_is_a_picture_and_no_probe(observer):
    spy = Spy(times=2)
    watch = observer("dataset=gaussian", "steps=20", "log.every=10", "log.pictures=1", probe=spy)
    assert due(watch, 20) == [0, 10, 20]
    state = watch.method.init()
    first = watch.read(watch.look(state, 0))
    assert set(first.pictures) == {"samples"} and not spy.seen
    assert "jsd/exact" in first.scalars and "jsd/probe" not in first.scalars
    middle = watch.read(watch.look(state, 10))  # the probe's alone
    assert set(middle.pictures) == {"densities"} and middle.scalars["jsd/probe"] == 0.25
    last = watch.read(watch.look(state, 20))
    assert set(last.pictures) == {"samples", "densities"} and len(spy.seen) == 2


def test_without_a_probe_the_exact_numbers_remain(observer):
    watch = observer("dataset=gaussian", "steps=20", "log.every=10")
    seen = watch.read(watch.look(watch.method.init(), 20))
    exact = {"jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse", "w1"}
    assert exact | {"samples/diversity"} == set(seen.scalars)
    assert set(seen.pictures) == {"samples"} and set(seen.histograms) == {"logits/real", "logits/fake"}


# What


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, 1.0), (0.5, -0.5), (2.0, 0.25)])
def test_a_generator_on_the_line_is_measured_as_by_hand(scale, shift, observer):
    watch = observer("dataset=gaussian", "steps=20", "log.pictures=0")
    seen = watch.read(watch.look(affine(watch.method.init(), scale, shift), 20)).scalars
    # KL of N(0, 1) and N(shift, scale^2), in closed form.
    forward = np.log(scale) + (1 + shift**2) / (2 * scale**2) - 0.5
    reverse = -np.log(scale) + (scale**2 + shift**2) / 2 - 0.5
    assert seen["kl/forward"] == pytest.approx(forward, abs=2e-4)
    assert seen["kl/reverse"] == pytest.approx(reverse, abs=2e-4)
    quantiles = np.random.default_rng(0).normal(size=400_000)
    assert seen["w1"] == pytest.approx(np.abs((scale - 1) * quantiles + shift).mean(), abs=3e-3)
    x = np.linspace(-14, 14, 40_001)
    p, q = (np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for m, s in ((0, 1), (shift, scale)))
    middle = 0.5 * (p + q)
    parts = [np.where(part > 0, part * np.log(np.maximum(part, 1e-300) / middle), 0) for part in (p, q)]
    jsd = 0.5 * sum(parts).sum() * (x[1] - x[0])
    assert seen["jsd/exact"] == pytest.approx(jsd, abs=1e-4 + seen["jsd/exact_error"])
    if (scale, shift) == (1.0, 1.0):
        assert seen["jsd/exact"] == pytest.approx(SHIFT_BY_ONE, abs=5e-4)


def test_a_generator_that_makes_one_point_leaves_out_the_data(observer):
    watch = observer("dataset=mixture1d", "steps=20", "log.pictures=1", probe=Spy(times=1))
    seen = watch.read(watch.look(affine(watch.method.init(), 0.0, 2.0), 20))
    assert seen.scalars["jsd/exact"] == pytest.approx(np.log(2), abs=1e-6)
    assert seen.scalars["kl/forward"] == np.inf
    assert (seen.scalars["modes/covered"], seen.scalars["modes/high_quality"]) == (1.0, 1.0)
    assert set(seen.pictures) == {"samples", "densities"}


def test_in_the_plane_one_point_shares_nothing_with_the_data(observer):
    watch = observer("dataset=ring", "dataset.modes=1", "dataset.std=1", "steps=20")
    state = watch.method.init()
    average = jax.tree.map(jnp.zeros_like, state.average)
    average["params"]["Dense_1"]["bias"] = jnp.array([2.0, 0.0])  # all on the centre of the only mode
    seen = watch.read(watch.look(state.replace(average=average), 10)).scalars
    assert seen["jsd/exact"] == pytest.approx(np.log(2), abs=0.02)
    assert {tag for tag in seen if tag.startswith("modes/") or tag == "w1"} == set()


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
def test_a_generator_fills_no_more_dimensions_than_it_has_latents_or_units(words, rank, observer):
    assert rank_of(observer("dataset=ring", "steps=20", *words).method) == rank


def test_a_generator_that_fills_no_area_is_as_far_as_can_be(observer):
    watch = observer("dataset=ring", "steps=20", "log.pictures=0", "latent.dim=1", "inference=bigan")
    seen = watch.read(watch.look(watch.method.init(), 20)).scalars
    assert (seen["jsd/exact"], seen["jsd/exact_error"]) == (np.log(2), 0.0)
    assert (seen["kl/forward"], seen["kl/reverse"], seen["data_missed"]) == (np.inf, np.inf, 1.0)
    assert 0.5 < seen["jsd/smoothed"] <= np.log(2) and 0 < seen["jsd/smoothed_error"] < 0.05


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [(0.107, 0.29, False), (0.107, 0.1, True), (0.0001, 0.0099, True), (0.0001, 0.011, False), (0.0, 0.01, True)],
)
def test_a_value_whose_error_is_larger_is_left_out(value, error, told):
    assert values("jsd/exact", value, error) == {"jsd/exact_error": error} | ({"jsd/exact": value} if told else {})


def test_a_plane_has_its_own_kl_and_no_data_are_missed_for_want_of_latents(observer):
    watch = observer("dataset=ring", "dataset.modes=1", "dataset.radius=1e-9", "dataset.std=1", "steps=20")
    state = watch.method.init()
    average = jax.tree.map(jnp.zeros_like, state.average)
    # Both hidden units are above zero as far as any data need it, so z goes to z / 2.
    average["params"]["Dense_0"] = {"kernel": jnp.eye(2), "bias": jnp.full(2, 1000.0)}
    average["params"]["Dense_1"] = {"kernel": jnp.eye(2) / 2, "bias": jnp.full(2, -500.0)}
    seen = watch.read(watch.look(state.replace(average=average), 20)).scalars
    assert seen["data_missed"] == 0
    assert seen["kl/forward"] == pytest.approx(3 - np.log(4), abs=2e-3)


@pytest.mark.parametrize(
    "words", [("dataset=gaussian", "latent.dim=2"), ("dataset=ring", "dataset.std=1", "latent.dim=3")], ids=" ".join
)
def test_what_cannot_be_followed_is_measured_by_fresh_samples_of_every_step(words, observer):
    watch = observer(*words, "steps=20", "log.pictures=0")
    state = watch.method.init()
    one, again, other = (watch.read(watch.look(state, step)).scalars for step in (10, 10, 20))
    assert one == again
    assert one["jsd/exact"] != other["jsd/exact"]
    assert one["jsd/exact"] == pytest.approx(other["jsd/exact"], abs=2 * one["jsd/exact_error"] + 0.01)


def test_the_randomness_is_that_of_the_seed_and_the_step_alone(observer):
    seeds = {}
    for seed in (0, 1):
        spy = Spy(times=1)
        watch = observer("dataset=gaussian", "steps=30", "log.every=10", "log.pictures=0", f"seed={seed}", probe=spy)
        assert due(watch, 30) == [30]
        watch.probe_every = 10
        look = {step: watch.look(watch.method.init(), step) for step in (10, 20)}
        for step in (10, 20, 10):
            watch.read(look[step])
        asked = [number for *_, number in spy.seen]
        assert asked[0] == asked[2] != asked[1]
        seeds[seed] = asked
    assert len({*seeds[0], *seeds[1]}) == 4


def test_the_probe_is_shown_the_data_and_the_averaged_generator(observer):
    spy = Spy(times=1)
    watch = observer("dataset=gaussian", "dataset.mean=5", "steps=20", probe=spy)
    state = affine(watch.method.init(), 0.5, -3.0)
    watch.read(watch.look(state, 20))
    ((data, model, _),) = spy.seen
    real, fake = (side.draw(20_000, 1) for side in (data, model))
    assert (real.mean(), real.std()) == (pytest.approx(5, abs=0.05), pytest.approx(1, abs=0.05))
    assert (fake.mean(), fake.std()) == (pytest.approx(-3, abs=0.03), pytest.approx(0.5, abs=0.03))


def test_images_are_seen_as_a_grid_with_nothing_exact(compose_config):
    spy = Spy(times=1)
    words = ("dataset=digits", "architecture=dcgan", "architecture.width=2", "latent.dim=4", "batch_size=16")
    config = dataclasses.replace(compose_config([*words, "steps=20"]), probe=spy)
    watch = Observer(build(config), config)
    seen = watch.read(watch.look(watch.method.init(), 20))
    probed = {"jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"}
    assert set(seen.scalars) == probed | {"samples/diversity", "samples/nearest_training"}
    assert set(seen.pictures) == {"samples"}
    ((data, model, _),) = spy.seen
    assert data.rows.shape == (360, 64) and model.draw(600, 0).shape == (600, 64)


def test_whatever_judges_the_run_sees_held_out_data(compose_config, monkeypatch):
    from ganrun import observer as module
    from ganrun.game import method as game

    config = compose_config(["dataset=digits", "architecture=mlp", "steps=20", "probe=off"])
    watch = Observer(build(config), config)
    data, given = watch.method.data, {}
    held_out = np.asarray(data.held_out.flat)
    assert held_out.shape != np.asarray(data.train.flat).shape
    monkeypatch.setattr(game, "_snapshot", lambda *words: given.update(snapshot=words) or (None, None))
    monkeypatch.setattr(module, "Likeness", lambda *words: given.update(likeness=words))
    watch.look(None, 10)
    watch._likeness()
    assert given["snapshot"][2] is data.held_out
    assert given["likeness"] == (data.train, data.held_out)
    np.testing.assert_allclose(watch.data.rows, held_out / 127.5 - 1, atol=1e-6)


# A look outlives the state


def test_a_look_shows_the_players_as_they_were_when_the_state_is_long_gone(observer):
    watch = observer(
        "dataset=gaussian", "steps=20", "log.every=10", "log.pictures=2", "ema.decay=0", probe=Spy(times=2)
    )
    wanted = watch.read(watch.look(watch.method.init(), 10))
    state = watch.method.init()
    held = jax.tree.leaves((state.average, state.discriminator.variables))
    look = watch.look(state, 10)
    after, _ = watch.method.advance(state, 10)
    after, _ = watch.method.advance(after, 10)
    jax.block_until_ready(after)
    assert all(leaf.is_deleted() for leaf in held)  # or this test would show nothing
    seen = watch.read(look)
    assert untimed(seen.scalars) == untimed(wanted.scalars)
    assert seen.pictures == wanted.pictures
    assert all(np.array_equal(seen.histograms[tag], wanted.histograms[tag]) for tag in wanted.histograms)
    later = watch.read(watch.look(after, 10))
    assert not any(np.array_equal(later.histograms[tag], seen.histograms[tag]) for tag in seen.histograms)
    assert later.pictures.keys() == seen.pictures.keys()
    assert not any(later.pictures[tag] == seen.pictures[tag] for tag in seen.pictures)


def untimed(scalars):
    return {tag: value for tag, value in scalars.items() if tag != "probe/seconds"}


def test_a_look_changes_nothing_in_the_state(observer):
    watch = observer("dataset=gaussian", "steps=20")
    state = watch.method.init()
    before = jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))
    watch.read(watch.look(state, 20))
    after = jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))
    assert all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(after)))


# What is lost


def test_a_discriminator_that_is_lost_is_told(observer):
    watch = observer("dataset=gaussian", "steps=20", probe=Spy(times=1))
    state = watch.method.init()
    lost = state.discriminator.replace(params=spoilt(state.discriminator.params))
    with pytest.raises(NotFinite, match=r"^logits/real$"):
        watch.read(watch.look(state.replace(discriminator=lost), 20))


def test_a_generator_that_is_lost_is_told(observer):
    spy = Spy(times=1)
    watch = observer("dataset=ring", "steps=20", probe=spy)
    state = watch.method.init()
    with pytest.raises(NotFinite, match=r"^logits/fake$"):
        watch.read(watch.look(state.replace(average=spoilt(state.average)), 20))
    assert not spy.seen


# Critics


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_a_critic_is_calibrated_first(loss, observer, monkeypatch):
    from ganrun import observer as module

    fields = []
    monkeypatch.setattr(
        module, "densities", lambda samples, density, field, title, label: fields.append((field, label))
    )
    watch = observer("dataset=gaussian", f"loss={loss}", "steps=20", probe=Spy(times=1))
    look = watch.look(watch.method.init(), 20)
    seen = watch.read(look)
    assert {"D(x)/calibrated", "D(G(z))/calibrated", "jsd/probe", "jsd/exact"} <= set(seen.scalars)
    ((field, label),) = fields
    assert label == "D(x), calibrated"
    scale, offset = module.calibrate(seen.histograms["logits/real"], seen.histograms["logits/fake"])
    assert field == pytest.approx(scale * np.asarray(look.fetch()[0].field, np.float64) + offset)

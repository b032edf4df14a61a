"""The probe of a run: what it may be told, what it tells, and what it does not look at."""

import dataclasses
import subprocess
import sys

import jax
import numpy as np
import pytest

from ganrun.commands.train_checks import inspect
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check, to_dict
from ganrun.datasets.images import Digits
from ganrun.datasets.point import Dirac
from ganrun.errors import ConfigError
from ganrun.evaluation.divergence.classifier import stack, streaming
from ganrun.evaluation.divergence.distribution import Distribution, data_distribution, to_unit_range
from ganrun.evaluation.divergence.estimate import LOG_2, Estimate
from ganrun.evaluation.divergence.probe import FINITE, Off, Stack, Streaming
from ganrun.evaluation.evaluator import Evaluator
from ganrun.training.build import build

pytestmark = pytest.mark.optimised

TAGS = ["jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"]
SHIFT = 0.1114  # nats, between N(0, 1) and N(1, 1)


@pytest.fixture
def lean(monkeypatch):
    """Only the quickest of the experts: enough for normal distributions."""
    monkeypatch.setattr(stack, "parametric_learners", lambda d, budget: [stack.base_learners.quadratic])
    monkeypatch.setattr(stack, "neighbour_learners", lambda d, updates, workers=1: [])


def normal(mean: float = 0.0) -> Distribution:
    def draw(n: int, seed: int) -> np.ndarray:
        return (np.random.default_rng(seed).normal(size=(n, 1)) + mean).astype(np.float32)

    return Distribution(f"N({mean}, 1)", (1,), draw=draw)


def untimed(tags):
    return {tag: value for tag, value in tags.items() if tag != "probe/seconds"}


# What it may be told


def refusal(*words):
    with pytest.raises(ConfigError) as caught:
        inspect(compose("train", list(words)), False)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_streaming_needs_data_without_end():
    message = refusal("dataset=digits", "probe=streaming")
    assert message == "probe=streaming needs a known density, and digits is a finite set: use probe=stack."


@pytest.mark.parametrize("words", [("dataset=digits",), ("dataset=ring", "probe=stack"), ("probe=off",)], ids=" ".join)
def test_other_pairs_of_data_and_probe_fit(words):
    inspect(compose("train", [*words]), False)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("probe.times=0", "probe.times must be at least 1 and at most 100000, not 0."),
        ("probe.times=2.5", "probe.times must be a whole number, not 2.5."),
        ("probe.every=-1", "probe.every must be at least 0 and at most"),
        ("probe.budget=0.04", "probe.budget must be at least 0.05 and at most 1000, not 0.04."),
        ("probe.budget=1001", "probe.budget must be at least 0.05 and at most 1000, not 1001."),
        ("probe.budget=nan", "probe.budget must be a finite number"),
        ("probe.name=knn", "probe has no option 'knn'. It has off, stack, streaming."),
        ("probe.budgt=1", "'probe.budgt' is not a setting"),
        ("probe=knn", "'knn'"),
    ],
)
def test_ranges(word, message):
    assert message in refusal(word)


def test_the_stack_has_the_same_ranges():
    assert refusal("dataset=digits", "probe.budget=0.01").startswith("probe.budget must be at least 0.05")


def test_no_probe_keeps_the_numbers_of_one_that_a_resumed_run_may_have(tiny_config):
    assert tiny_config.probe == Off()
    assert to_dict(tiny_config)["probe"] == {"name": "off", "times": 4, "every": 0, "budget": 0.2}
    resumed = check({**to_dict(tiny_config), "probe": {**to_dict(tiny_config)["probe"], "name": "streaming"}})
    assert resumed.probe == Streaming()


def test_a_config_from_before_there_were_probes_has_none(tiny_config):
    old = to_dict(tiny_config)
    del old["probe"]
    assert check(old) == tiny_config


@pytest.mark.parametrize(
    ("dataset", "kind"),
    [("ring", Streaming), ("gaussian", Streaming), ("mixture1d", Streaming), ("digits", Stack), ("mnist", Stack)],
)
def test_every_dataset_has_a_probe_that_suits_it(dataset, kind, compose_config):
    config = compose_config([f"dataset={dataset}"])
    assert config.probe == kind()
    config.probe.check(config.dataset)


# What it tells


@pytest.mark.parametrize("probe", [Streaming(budget=0.05), Stack(budget=0.2)], ids=lambda probe: probe.name)
def test_tags_of_a_known_divergence(probe, lean):
    found = probe.measure(normal(), normal(1), seed=3, step=100)
    assert list(found) == TAGS and all(type(value) is float for value in found.values())
    assert found["jsd/probe_lower"] <= found["jsd/probe"]
    assert found["jsd/probe_lower"] < SHIFT and 0 < found["jsd/probe_se"] < 0.04
    assert found["jsd/probe"] == pytest.approx(SHIFT, abs=4 * found["jsd/probe_se"] + 0.004)
    assert 0 < found["probe/seconds"] < 60


@pytest.mark.parametrize("probe", [Streaming(budget=0.05), Stack(budget=0.05)], ids=lambda probe: probe.name)
@pytest.mark.parametrize("apart", [0.0, 20.0])
def test_the_ends_of_the_scale(probe, apart, lean):
    found = probe.measure(normal(), normal(apart), seed=0, step=1)
    assert found["jsd/probe_lower"] <= found["jsd/probe"] < LOG_2 + 1e-9
    assert found["jsd/probe"] == pytest.approx(LOG_2 if apart else 0.0, abs=0.02)


def test_all_the_experts_together_see_what_the_quick_ones_do():
    probe = Streaming(budget=0.05)
    found = probe.measure(normal(), normal(1), 0, 100)
    assert found["jsd/probe"] == pytest.approx(SHIFT, abs=4 * found["jsd/probe_se"] + 0.004)
    assert found["jsd/probe_lower"] <= found["jsd/probe"]


@pytest.mark.parametrize("probe", [Streaming(budget=0.05), Stack(budget=0.05)], ids=lambda probe: probe.name)
def test_a_look_depends_on_the_seed_and_the_step_alone(probe, lean):
    def look(seed, step):
        return untimed(probe.measure(normal(), normal(1), seed, step))

    one = look(0, 100)
    np.random.seed(5)  # nobody may listen to it
    assert look(0, 100) == one
    others = [look(0, 200), look(100, 0)]
    assert len({found["jsd/probe"] for found in (one, *others)}) == 3


def test_more_budget_asks_for_more(monkeypatch):
    asked = []

    def estimate(real, fake, seed, budget, workers=1):
        asked.append((len(real), len(fake), budget) if isinstance(real, np.ndarray) else budget)
        return Estimate(0.1, 0.01, 0.0, "spy", 1, 1)

    monkeypatch.setattr(stack, "estimate", estimate)
    monkeypatch.setattr(streaming, "estimate", estimate)
    for budget in (0.05, 1.0, 2.0):
        Stack(budget=budget).measure(normal(), normal(), 0, 0)
        Streaming(budget=budget).measure(normal(), normal(), 0, 0)
    assert asked == [(200, 200, 0.05), 0.05, (FINITE, FINITE, 1.0), 1.0, (2 * FINITE, 2 * FINITE, 2.0), 2.0]


def test_no_more_threads_than_one_are_used_while_it_works_and_the_rest_get_them_back(monkeypatch):
    from threadpoolctl import threadpool_info

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before, during = threads(), []

    def estimate(*_, **__):
        during.extend(threads())
        return Estimate(0.1, 0.01, 0.0, "spy", 1, 1)

    monkeypatch.setattr(streaming, "estimate", estimate)
    Streaming().measure(normal(), normal(), 0, 0)
    assert set(during) == {1} and threads() == before


# A finite set


@pytest.fixture(scope="module")
def digits():
    return Digits().load(None)  # type: ignore[arg-type]


@pytest.fixture
def compared(monkeypatch):
    """The pairs of arrays that the stack was asked about."""
    pairs = []

    def estimate(real, fake, seed, budget, workers=1):
        pairs.append((real, fake))
        return Estimate(0.1, 0.01, 0.0, "stack", len(real), real.shape[1])

    monkeypatch.setattr(stack, "estimate", estimate)
    return pairs


def as_set(rows):
    return {row.tobytes() for row in np.ascontiguousarray(rows, np.float32)}


@pytest.mark.parametrize(("budget", "n"), [(0.05, 200), (0.1, 200), (0.15, 300), (1.0, 360), (50.0, 360)])
def test_images_are_compared_with_those_held_out_from_training(budget, n, digits, compared, compose_config):
    words = ["dataset=digits", "architecture=dcgan", "architecture.width=2", "latent.dim=4", "batch_size=16"]
    experiment = build(compose_config(words))
    model = Distribution("model", (8, 8, 1), draw=lambda n, seed: np.zeros((n, 64), np.float32))
    Stack(budget=budget).measure(data_distribution("digits", experiment.data), model, 0, 100)
    ((real, fake),) = compared
    assert len(real) == len(fake) == n and real.dtype == np.float32
    assert len(as_set(real)) > 0.99 * n  # without repeats (but for digits that are twice in the data)
    assert as_set(real) <= as_set(to_unit_range(digits.held_out))
    assert len(as_set(real) & as_set(to_unit_range(digits.train))) < 0.01 * n


def test_another_look_takes_other_images(digits, compared):
    held_out = Distribution("digits", (8, 8, 1), rows=to_unit_range(digits.held_out))
    model = Distribution("model", (8, 8, 1), draw=lambda n, seed: np.zeros((n, 64), np.float32))
    for step in (1, 1, 2):
        Stack(budget=0.05).measure(held_out, model, 0, step)
    first, again, other = (real for real, _ in compared)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_to_replay_some_of_the_training_images_is_not_to_match_the_data(digits):
    train, held_out = to_unit_range(digits.train), to_unit_range(digits.held_out)
    data = Distribution("digits", (8, 8, 1), rows=held_out)

    def replayed(rows):
        return Distribution(
            "model", (8, 8, 1), draw=lambda n, seed: rows[np.random.default_rng(seed).integers(len(rows), size=n)]
        )

    def fresh(n, seed):  # images that nobody else has: what a perfect generator makes
        return train[np.random.default_rng(seed).permutation(len(train))[:n]]

    probe = Stack(budget=0.05)
    perfect = probe.measure(data, Distribution("model", (8, 8, 1), draw=fresh), 0, 1)
    assert abs(perfect["jsd/probe"]) < 0.05 and perfect["jsd/probe_lower"] < 0
    learned_by_heart = probe.measure(data, replayed(train[:30]), 0, 1)
    assert learned_by_heart["jsd/probe"] > 0.4 and learned_by_heart["jsd/probe_lower"] > 0.2
    # The trap that is avoided: against the images that it has learned by heart, the same model looks far better.
    trapped = probe.measure(
        Distribution("digits", (8, 8, 1), rows=train[:30].repeat(12, axis=0)), replayed(train[:30]), 0, 1
    )
    assert trapped["jsd/probe"] < 0.1


# What it does not look at


def test_the_training_discriminator_has_no_say(compose_config, lean):
    small = ("architecture.generator_hidden=[2]", "architecture.discriminator_hidden=[4]", "batch_size=16")
    config = compose_config(
        [*small, "dataset=gaussian", "steps=20", "log.pictures=0", "probe.times=1", "probe.budget=0.05"]
    )
    evaluator = Evaluator(build(config), config)
    state = evaluator.experiment.init()
    other = jax.tree.map(lambda leaf: -3.0 * leaf + 0.5, state.model.discriminator.params)
    changed = state.model.replace(discriminator=state.model.discriminator.replace(params=other))
    # Nor have the generator's own weights: samples come from the average.
    weights = jax.tree.map(lambda leaf: leaf + 1.0, state.model.generator.params)
    changed = state.replace(model=changed.replace(generator=state.model.generator.replace(params=weights)))
    seen, again = (evaluator.read(evaluator.snapshot(one, 20)) for one in (state, changed))
    assert not np.array_equal(seen.histograms["logits/real"], again.histograms["logits/real"])
    kept = [tag for tag in seen.scalars if tag.startswith(("jsd/", "kl/", "w1"))]
    assert "jsd/probe" in kept and "jsd/exact" in kept
    assert {tag: seen.scalars[tag] for tag in kept} == {tag: again.scalars[tag] for tag in kept}


def test_its_settings_compare_by_value():
    assert Streaming(budget=0.05) == Streaming(budget=0.05) != Streaming(budget=0.1)
    assert dataclasses.replace(Stack(), times=7) == Stack(times=7)


def test_no_estimator_is_imported_before_it_is_needed():
    code = (
        "import sys, ganrun.evaluation.divergence.probe\n"
        "print([m for m in ('sklearn', 'jax', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "sklearn" not in done.stdout and "jax" not in done.stdout


@pytest.mark.parametrize("probe", [Streaming(), Stack()])
def test_a_point_has_no_divergence_to_probe(probe):
    with pytest.raises(ConfigError, match="dirac has no density, so no divergence can be measured: use probe=off"):
        probe.check(Dirac())

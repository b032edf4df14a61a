"""The estimators by name, over sides of every kind."""

from types import SimpleNamespace

import numpy as np
import pytest

from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.divergence import estimators
from ganrun.evaluation.divergence.distribution import Distribution, drawing
from ganrun.evaluation.divergence.estimate import Estimate
from ganrun.evaluation.divergence.exact import model as exact_model

pytestmark = pytest.mark.optimised

SHIFT = 0.1114  # nats, between N(0, 1) and N(1, 1)
STANDARD = mixture(np.zeros((1, 1)), 1.0)


def frozen(n: int, seed: int, mean: float = 0.0) -> Distribution:
    return Distribution("frozen", (1,), rows=np.random.default_rng(seed).normal(size=(n, 1)) + mean)


def endless(mean: float = 0.0) -> Distribution:
    def draw(n: int, seed: int) -> np.ndarray:
        return (np.random.default_rng(seed).normal(size=(n, 1)) + mean).astype(np.float32)

    return Distribution("endless", (1,), draw=draw)


def known(mean: float = 0.0) -> Distribution:
    density = mixture(np.array([[mean]]), 1.0)
    return Distribution("known", (1,), draw=drawing(density), density=density)


def run(latent_dim: int = 1) -> Distribution:
    """A generator that moves its latent number by one."""

    def push(z: np.ndarray) -> np.ndarray:
        return (z[:, :1] + 1).astype(np.float32)

    def draw(n: int, seed: int) -> np.ndarray:
        return push(np.random.default_rng(seed).normal(size=(n, latent_dim)))

    return Distribution("run", (1,), draw=draw, push=push, latent_dim=latent_dim)


@pytest.fixture
def shown(monkeypatch):
    """What the estimators are given, written down instead of worked on."""
    calls = []

    def record(name):
        def method(real, fake, *rest, **options):
            calls.append((name, real, fake, rest, options))
            return Estimate(0.25, 0.01, 0.2, name, 1, 1)

        return method

    for module in (estimators.stack, estimators.streaming, estimators.knn):
        monkeypatch.setattr(module, "estimate", record(module.__name__.rsplit(".", 1)[1]))
    return calls


@pytest.mark.parametrize("method", ["stack", "knn"])
def test_two_files(shown, method):
    a, b = frozen(300, 0), frozen(200, 1, mean=5)
    found = estimators.estimate(a, b, method, seed=7)
    ((name, real, fake, rest, _),) = shown
    assert name == method
    assert rest[0] == 7
    assert np.array_equal(np.sort(real, axis=0), np.sort(a.rows, axis=0))  # every example, each on its side
    assert np.array_equal(np.sort(fake, axis=0), np.sort(b.rows, axis=0))
    assert found.estimate == 0.25
    assert found.seconds > 0


def test_as_many_examples_as_asked_for(shown):
    a, b = frozen(300, 0), frozen(200, 1, mean=100)
    estimators.estimate(a, b, "stack", n=50)
    estimators.estimate(a, endless(100), "stack", n=60)
    estimators.estimate(a, b, "stack", n=250)  # as far as there are
    sizes = [(len(real), len(fake)) for _, real, fake, _, _ in shown]
    assert sizes == [(50, 50), (60, 60), (250, 200)]
    for _, real, fake, _, _ in shown:
        assert real.max() < 50 < fake.min()
        assert len(np.unique(real)) == len(real)  # without putting back
        assert np.isin(real, a.rows).all()
    assert not np.array_equal(shown[0][1], a.rows[:50])  # drawn: a file may be sorted


def test_as_many_draws_as_the_file_has_examples(shown):
    estimators.estimate(frozen(300, 0), endless(100), "knn")
    estimators.estimate(endless(100), frozen(300, 0), "knn")
    estimators.estimate(endless(), endless(100), "knn")
    sizes = [(len(real), len(fake)) for _, real, fake, _, _ in shown]
    assert sizes == [(300, 300), (300, 300), (estimators.SAMPLES, estimators.SAMPLES)]
    assert shown[1][1].min() > 50 > shown[1][2].max()


def test_two_sides_with_one_source_of_noise_are_drawn_apart(shown):
    estimators.estimate(endless(), endless(), "stack", n=200)
    _, real, fake, _, _ = shown[0]
    assert not np.isin(real, fake).any()


def test_another_seed_is_another_choice(shown):
    for seed in (0, 0, 1):
        estimators.estimate(frozen(300, 0), endless(), "stack", n=100, seed=seed)
    first, again, other = shown
    for side in (1, 2):
        assert np.array_equal(first[side], again[side])
        assert not np.array_equal(first[side], other[side])


def test_streaming_gets_the_draws(shown):
    a, b = endless(), endless(1)
    estimators.estimate(a, b, "streaming", n=500, seed=3, budget=0.5)
    ((name, real, fake, rest, options),) = shown
    assert (name, real, fake, rest, options["scored"]) == ("streaming", a.draw, b.draw, (3, 0.5), 500)
    with pytest.raises(ValueError, match="sampled without limit"):
        estimators.estimate(a, frozen(100, 0), "streaming")


def test_the_budget_reaches_the_stack(shown):
    estimators.estimate(frozen(100, 0), frozen(100, 1), "stack", seed=3, budget=0.5)
    assert shown[0][3] == (3, 0.5)


def test_seed_and_budget_are_0_and_1_unless_told(shown):
    estimators.estimate(frozen(100, 0), frozen(100, 1), "stack")
    estimators.floor(frozen(200, 0), "stack")
    assert [rest for *_, rest, _ in shown] == [(0, 1.0), (0, 1.0)]


# Exactly -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("model", [known(1), run()], ids=["density", "push"])
def test_exact(model, turned):
    found = estimators.estimate(*((model, known()) if turned else (known(), model)), "exact")
    assert found.estimate == pytest.approx(SHIFT, abs=5e-5)
    assert found.se < 1e-4
    assert found.lower == pytest.approx(found.estimate - 2 * found.se)
    assert (found.estimator, found.n, found.d) == ("exact", 0, 1)
    assert found.seconds > 0


@pytest.mark.parametrize("model", [endless(1), run(latent_dim=2)], ids=["draws", "two latent numbers"])
def test_exact_from_samples(model):
    found = estimators.estimate(known(), model, "exact", n=200_000)
    assert found.estimate == pytest.approx(SHIFT, abs=4 * found.se)
    assert 1e-4 < found.se < 2e-3
    assert found.n == 200_000


def test_two_latent_numbers_are_followed_in_the_plane(monkeypatch):
    given = []

    def of_plane(density, push, prior, *_, **__):
        given.append((density, push, prior))
        return SimpleNamespace(jsd=0.3, kl_forward=0.0, kl_reverse=0.0, missed=0.0, error=0.02)

    monkeypatch.setattr(exact_model, "of_plane", of_plane)
    density = mixture(np.zeros((1, 2)), 1.0)
    data = Distribution("data", (2,), draw=drawing(density), density=density)
    model = Distribution(
        "run", (2,), draw=lambda n, seed: np.zeros((n, 2)), push=lambda z: z, prior="uniform", latent_dim=2
    )
    found = estimators.estimate(model, data, "exact")
    assert given == [(density, model.push, "uniform")]
    assert (found.estimate, found.se, found.d) == (0.3, 0.01, 2)
    assert found.lower == pytest.approx(0.28)


def test_a_model_on_a_curve_is_as_far_as_can_be_and_says_so():
    density = mixture(np.zeros((1, 2)), 1.0)
    data = Distribution("data", (2,), draw=drawing(density), density=density)

    def push(z: np.ndarray) -> np.ndarray:
        return np.concatenate([z, np.float32(0) * z], axis=1)

    model = Distribution("run", (2,), draw=lambda n, seed: push(np.zeros((n, 1))), push=push, latent_dim=1)
    found = estimators.estimate(data, model, "exact")
    assert (found.estimate, found.se, found.lower) == (np.log(2), 0.0, np.log(2))
    (told,) = found.warnings
    assert told.startswith("singular: ") and "standard deviation 0.5 added to both it is 0.11" in told


def test_an_error_that_is_larger_than_the_value_is_told(monkeypatch):
    def of_model(*_, **__):
        return exact_model.ModelDivergences(exact_model.Exact(0.107, 1.0, 1.0, None, 0.29))

    monkeypatch.setattr(estimators, "of_model", of_model)
    found = estimators.estimate(known(), endless(1), "exact", n=1000)
    assert (found.estimate, found.lower) == (0.107, 0.0)
    assert found.warnings == ("not known: the error, 0.2900, is larger than the estimate.",)


def test_exact_follows_the_budget(monkeypatch):
    monkeypatch.setattr(estimators, "DENSE", 1 << 14)
    sizes = [estimators.estimate(known(), endless(1), "exact", budget=budget).n for budget in (0.5, 1.0, 2.0, 1000.0)]
    assert sizes == [1 << 13, 1 << 14, 1 << 15, 1 << 15]


def test_exact_with_next_to_no_budget():
    assert estimators.estimate(known(), endless(1), "exact", budget=1e-6).estimate == pytest.approx(SHIFT, abs=0.05)


def test_exact_needs_a_density():
    with pytest.raises(ValueError, match="known density"):
        estimators.estimate(endless(), frozen(100, 0), "exact")
    with pytest.raises(ValueError, match="generator"):
        estimators.estimate(known(), frozen(100, 0), "exact")


# The floor -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "each"), [(None, 150), (100, 100), (1000, 150)])
def test_the_floor_of_a_file_is_between_its_halves(shown, n, each):
    a = frozen(300, 0)
    assert estimators.floor(a, "stack", n=n) == 0.25
    _, half, other, _, _ = shown[0]
    assert len(half) == len(other) == each
    assert not np.isin(half, other).any()
    assert np.isin(half, a.rows).all() and np.isin(other, a.rows).all()
    assert abs(half.mean() - other.mean()) < 0.5  # by chance, not by place: a file may be sorted


def test_the_floor_of_a_sorted_file(shown):
    a = Distribution("sorted", (1,), rows=np.arange(300.0)[:, None])
    estimators.floor(a, "knn")
    assert abs(shown[0][1].mean() - shown[0][2].mean()) < 40  # 150 if cut in the middle, 10 the standard error


def test_the_floor_of_an_endless_side_is_between_two_draws(shown):
    estimators.floor(endless(), "stack", n=200)
    _, real, fake, _, _ = shown[0]
    assert len(real) == len(fake) == 200
    assert not np.isin(real, fake).any()


def test_floors_are_near_zero():
    assert abs(estimators.floor(frozen(4000, 0), "knn")) < 0.015
    assert abs(estimators.floor(endless(), "knn", n=4000)) < 0.01
    assert estimators.floor(known(), "exact") == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_floors_of_classifiers_are_near_zero():
    assert abs(estimators.floor(endless(), "streaming", n=4000, budget=0.05)) < 0.003
    assert abs(estimators.floor(frozen(4000, 0), "stack", budget=0.1)) < 0.01

"""The frozen probe on pairs whose divergence is known, and who is scored by whom."""

from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ganrun.evaluation.divergence.classifier import stack
from ganrun.evaluation.divergence.estimate import LOG_2

pytestmark = pytest.mark.optimised

SHIFT = 0.1114  # nats, between N(0, 1) and N(1, 1)
CAUCHY = 0.0290  # between Cauchy distributions of scale 1 and 2


@pytest.fixture(autouse=True)
def one_thread():
    """As the methods run it: many small products are far slower on threads that also have other work."""
    with threadpool_limits(1):
        yield


def normal(n: int, seed: int, mean: float = 0.0, d: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + mean


# Known divergences. Few examples and little work: what is not seen is missing, about a hundredth. -------------------


def test_nothing_to_tell():
    found = stack.estimate(normal(4000, 1), normal(4000, 2), budget=0.05, workers=2)
    assert abs(found.estimate) < 0.003
    assert found.lower < found.estimate


def test_shift():
    found = stack.estimate(normal(2000, 1), normal(2000, 2, mean=1), budget=0.1, workers=2)
    assert found.estimate == pytest.approx(SHIFT, abs=3.5 * found.se + 0.005)
    assert 0.004 < found.se < 0.009
    assert found.lower < SHIFT
    assert found.estimate - 6 * found.se < found.lower < found.estimate
    assert (found.estimator, found.n, found.d) == ("stack", 2000, 1)


def test_as_many_examples_as_there_are():
    """More of one side than of the other is no difference between them: 4 to 1, a log-odds of 1.4 for every example."""
    found = stack.estimate(normal(1000, 1), normal(4000, 2, mean=1), budget=0.05, workers=2)
    assert found.estimate == pytest.approx(SHIFT, abs=3.5 * found.se + 0.01)
    assert found.n == 1000


def test_disjoint_segments():
    """{0} x [0, 1] and {0.001} x [0, 1]: nothing in common, however near (claim 4 of the sources)."""
    rng = np.random.default_rng(0)
    real, fake = (np.c_[np.full(500, x), rng.random(500)] for x in (0.0, 0.001))
    found = stack.estimate(real, fake, budget=0.05, workers=2)
    assert LOG_2 - 0.01 < found.estimate < LOG_2
    assert LOG_2 - 0.1 < found.lower < LOG_2


def test_heavy_tails():
    rng = np.random.default_rng(0)
    found = stack.estimate(rng.standard_cauchy((2000, 1)), 2 * rng.standard_cauchy((2000, 1)), budget=0.05, workers=2)
    assert found.estimate == pytest.approx(CAUCHY, abs=3.5 * found.se + 0.006)


def test_copied_examples_are_no_difference():
    """Half of the fakes are real examples, number for number: both samples still come from one distribution."""
    real, more = normal(1000, 1, d=2), normal(500, 2, d=2)
    found = stack.estimate(real, np.concatenate([real[:500], more]), budget=0.05, workers=2)
    assert abs(found.estimate) < 0.006


def test_more_dimensions_than_are_kept():
    """A hundred columns, each of them shifted by a little: 0.2 sqrt(100) = 2 along the diagonal."""
    found = stack.estimate(normal(1000, 1, d=100), normal(1000, 2, mean=0.2, d=100), budget=0.05, workers=2)
    assert 0.12 < found.estimate < 0.3368 + 3.5 * found.se  # a frozen thousand does not show all of it
    assert found.d == 100


def test_next_to_no_budget_and_the_largest_seed():
    """Whatever the command line accepts gives a number, if not a good one."""
    found = stack.estimate(normal(100, 1), normal(100, 2, mean=1), seed=2**32 - 1, budget=1e-6, workers=2)
    assert -0.1 < found.estimate < 0.25


# A cheap panel, where only the bookkeeping matters -------------------------------------------------------------------


@pytest.fixture
def parabolas_only(monkeypatch):
    """One quick expert instead of all: the Jensen-Shannon divergence of Gaussians needs no other."""
    quick = stack.base_learners.quadratic
    monkeypatch.setattr(stack, "parametric_learners", lambda d, budget: [quick])
    monkeypatch.setattr(stack, "neighbour_learners", lambda d, updates, workers=1: [])
    monkeypatch.setattr(stack.network, "on_examples", lambda x, is_real, seed, updates: quick(x, is_real, seed))


def test_the_same_seed_is_the_same_number(parabolas_only):
    real, fake = normal(300, 1), normal(300, 2, mean=1)
    assert stack.estimate(real, fake, seed=3) == stack.estimate(real, fake, seed=3)
    assert stack.estimate(real, fake, seed=3) != stack.estimate(real, fake, seed=4)


def test_folds_side_by_side(parabolas_only):
    real, fake = normal(300, 1), normal(400, 2, mean=1)
    assert stack.estimate(real, fake, workers=3) == stack.estimate(real, fake)


def test_sides_swapped(parabolas_only):
    real, fake = normal(2000, 1), normal(2000, 2, mean=1)
    one, other = stack.estimate(real, fake), stack.estimate(fake, real)
    assert one.estimate == pytest.approx(other.estimate, abs=0.004)  # other folds, the same examples
    assert one.se == pytest.approx(other.se, rel=0.05)


@pytest.mark.parametrize("sizes", [(4000, 4000), (500, 4000), (4000, 500)])
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_sizes_of_the_sides(parabolas_only, sizes, mean):
    found = stack.estimate(normal(sizes[0], 1), normal(sizes[1], 2, mean=mean))
    assert found.estimate == pytest.approx(SHIFT * mean, abs=3.5 * found.se + 0.003)
    assert found.lower < SHIFT * mean


def test_the_standard_error_is_the_spread_of_estimates(parabolas_only):
    found = [stack.estimate(normal(400, 2 * seed), normal(400, 2 * seed + 1, mean=1)) for seed in range(40)]
    spread = np.std([one.estimate for one in found])
    # A spread of forty numbers is known to 11 %; classifiers that differ add a little to the error of the score.
    assert np.mean([one.se for one in found]) == pytest.approx(spread, rel=0.35)
    assert np.mean([one.lower <= SHIFT for one in found]) >= 0.95
    # What is learned from 240 examples is a little worse than the best, never better.
    assert SHIFT - 0.015 < np.mean([one.estimate for one in found]) < SHIFT + 3 * spread / np.sqrt(40)


@pytest.mark.parametrize("sizes", [(100, 100), (103, 57)])
def test_everyone_is_scored_once_by_a_judge_who_never_saw_them(monkeypatch, sizes):
    real, fake = np.arange(sizes[0]) + 0.0, np.arange(sizes[1]) + 1000.0
    folds = []

    def expert(x, is_real, seed, **_):
        assert np.array_equal(is_real, x[:, 0] < 1000)
        folds[-1]["learned"].append(set(x[:, 0]))
        return lambda rows: np.zeros(len(rows))

    def fit(x):
        folds.append({"fitted": set(x[:, 0]), "learned": [], "scored": set()})
        return lambda rows: rows

    def combine(judges, x, is_real):
        fold = folds[-1]
        fold["judges"], fold["combined"] = len(judges), set(x[:, 0])
        assert np.array_equal(is_real, x[:, 0] < 1000)

        def judge(rows):
            fold["scored"] |= set(rows[:, 0])
            return rows[:, 0]

        return judge

    monkeypatch.setattr(stack, "Coordinates", SimpleNamespace(fit=fit))
    monkeypatch.setattr(stack, "parametric_learners", lambda d, budget: [expert])
    monkeypatch.setattr(stack, "neighbour_learners", lambda d, updates, workers=1: [expert])
    monkeypatch.setattr(stack.network, "on_examples", expert)
    monkeypatch.setattr(stack, "combine", combine)
    scored = stack.cross_fit(real[:, None], fake[:, None], seed=0, budget=1.0)

    everyone = {*real, *fake}
    assert np.array_equal(np.sort(scored.real), real)  # each once, and on the side it came from
    assert np.array_equal(np.sort(scored.fake), fake)
    assert len(folds) == len(scored.classifiers) == stack.FOLDS
    for fold in folds:
        assert fold["judges"] == len(fold["learned"]) == 3
        assert all(learned == fold["fitted"] for learned in fold["learned"])
        assert not fold["scored"] & (fold["fitted"] | fold["combined"])
        assert not fold["fitted"] & fold["combined"]
        assert fold["scored"] | fold["fitted"] | fold["combined"] == everyone  # and nobody is wasted


def test_the_order_of_examples_says_nothing(parabolas_only):
    """Sorted files and shuffled ones are the same samples; the bound relies on an order that was drawn."""
    real, fake = normal(1000, 1), normal(1000, 2, mean=1)
    found = stack.estimate(np.sort(real, axis=0), np.sort(fake, axis=0))
    assert found.estimate == pytest.approx(SHIFT, abs=3.5 * found.se + 0.003)
    assert found.lower < SHIFT


# From log-odds to an estimate ----------------------------------------------------------------------------------------


def summary(real: list[float], fake: list[float], limit: float):
    return stack.summarise(np.array(real), np.array(fake), limit, estimator="stack", d=1)


def test_no_opinion():
    found = summary([0.0, 0.0], [0.0, 0.0], 5.0)
    assert (found.estimate, found.se) == (0, 0)
    assert found.lower < 0


def test_log_odds_by_hand():
    """D = 3/4 on both real ones, 1/4 and 1/2 on the fakes: log 1.5 on three of them, log 1 on the last."""
    found = summary([np.log(3), np.log(3)], [-np.log(3), 0.0], 5.0)
    assert found.estimate == pytest.approx((np.log(1.5) + 0.5 * np.log(1.5)) / 2)
    assert found.se == pytest.approx(0.5 * np.sqrt(np.log(1.5) ** 2 / 2 / 2))


def test_log_odds_are_cut_off():
    """At a limit of log 9, D lies between 1/10 and 9/10: at best log 1.8, at worst log 0.2."""
    best = summary([50.0] * 3, [-50.0] * 3, np.log(9))
    assert best.estimate == pytest.approx(np.log(1.8))
    assert best.lower < best.estimate < LOG_2
    worst = summary([-50.0] * 3, [50.0] * 3, np.log(9))
    assert worst.estimate == worst.lower == pytest.approx(np.log(0.2))


def test_small_budgets_leave_out_experts():
    for d in (1, 3, 8, 32):
        assert len(stack.parametric_learners(d, 0.1)) < len(stack.parametric_learners(d, 1.0))
    assert len(stack.neighbour_learners(2, 100)) > 0
    assert stack.neighbour_learners(32, 100) == []  # in 32 dimensions the nearest examples are not near

"""The streaming probe: fresh examples for everything, and what comes of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ganrun.evaluation.divergence.classifier import network, stack, streaming
from ganrun.evaluation.divergence.classifier.streaming import Plan, Source
from ganrun.evaluation.divergence.estimate import LOG_2

pytestmark = pytest.mark.optimised

SHIFT = 0.1114  # nats, between N(0, 1) and N(1, 1)


@pytest.fixture(autouse=True)
def one_thread():
    """As the methods run it: many small products are far slower on threads that also have other work."""
    with threadpool_limits(1):
        yield


def normal(mean: float = 0.0):
    def draw(n: int, seed: int) -> np.ndarray:
        return (np.random.default_rng(seed).normal(size=(n, 1)) + mean).astype(np.float32)

    return draw


def test_shift():
    found = streaming.estimate(normal(), normal(1), budget=0.05, workers=2)
    assert found.estimate == pytest.approx(SHIFT, abs=3.5 * found.se + 0.004)
    assert found.estimate - 6 * found.se < found.lower < SHIFT
    assert (found.estimator, found.n, found.d) == ("streaming", 10_000, 1)


def test_the_same_seed_is_the_same_number(monkeypatch):
    monkeypatch.setattr(stack, "parametric_learners", lambda d, budget: [stack.base_learners.quadratic])
    monkeypatch.setattr(stack, "neighbour_learners", lambda d, updates, workers=1: [])
    one, again, other = (streaming.estimate(normal(), normal(1), seed, budget=0.05) for seed in (0, 0, 1))
    assert one == again
    assert one.estimate != other.estimate
    assert streaming.estimate(normal(), normal(1), budget=0.05, workers=3) == one


def test_sides_that_share_a_source_of_noise_and_nothing_to_tell():
    found = streaming.estimate(normal(), normal(), seed=1, budget=0.05, scored=20_000, workers=2)
    assert abs(found.estimate) < 0.002
    assert found.n == 20_000


@pytest.fixture
def without_learning(monkeypatch):
    """Nobody learns anything; who is shown which examples is written down."""
    shown = {"experts": [], "stream": [], "stopping": [], "combination": []}

    def expert(x, is_real, seed, **_):
        shown["experts"].append((x, is_real))
        return lambda rows: np.zeros(len(rows))

    def learn(stream, held, seed, updates):
        shown["stopping"].append(held)
        shown["stream"] += [stream(1000), stream(1000)]
        return lambda rows: np.zeros(len(rows))

    def combine(judges, x, is_real):
        shown["combination"].append((x, is_real))
        return lambda rows: np.zeros(len(rows))

    monkeypatch.setattr(stack, "parametric_learners", lambda d, budget: [expert])
    monkeypatch.setattr(stack, "neighbour_learners", lambda d, updates, workers=1: [expert])
    monkeypatch.setattr(network, "learn", learn)
    monkeypatch.setattr(streaming, "combine", combine)
    monkeypatch.setattr(streaming, "Coordinates", SimpleNamespace(fit=lambda x: lambda rows: rows))
    return shown


@pytest.fixture
def counted():
    """Two sides that never give the same number twice, the fakes negative, and the (n, seed) of every draw."""
    draws, given = [], iter(range(1, 10**9))

    def side(sign: float):
        def draw(n: int, seed: int) -> np.ndarray:
            draws.append((n, seed))
            return sign * np.array([[next(given)] for _ in range(n)], np.float64)

        return draw

    return side(1.0), side(-1.0), draws


def test_every_request_gets_examples_of_its_own(without_learning, counted):
    real, fake, draws = counted
    found = streaming.estimate(real, fake, budget=0.05, scored=500)
    seeds = [seed for _, seed in draws]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert [n for n, _ in draws[-2:]] == [500, 500]  # the score, last
    assert found.estimate == 0

    used = [np.abs(x[:, 0]) for part in without_learning.values() for x, _ in part]
    assert len(used) == 6  # two experts, early stopping, two minibatches, the combination
    together = np.concatenate(used)
    assert len(np.unique(together)) == len(together)
    assert together.max() + 1000 == sum(n for n, _ in draws)  # the scored are the last, and nobody has seen them
    for part in without_learning.values():
        for x, is_real in part:
            assert np.array_equal(is_real, x[:, 0] > 0)
            assert is_real.mean() == 0.5


def test_another_seed_asks_for_other_examples(without_learning):
    asked = []

    def draw(n: int, seed: int) -> np.ndarray:
        asked[-1].add(seed)
        return np.zeros((n, 1))

    for seed in (0, 1):
        asked.append(set())
        streaming.estimate(draw, draw, seed=seed, budget=0.05, scored=100)
    assert not asked[0] & asked[1]


def test_labelled_examples_are_shuffled():
    source = Source(normal(), normal(100), 0)
    x, is_real = source.labelled(500)
    assert np.array_equal(is_real, x[:, 0] < 50)
    assert 200 < is_real[:500].sum() < 300
    assert not np.array_equal(is_real, source.labelled(500)[1])


def test_plans():
    low, usual, high = Plan.of(0.05), Plan.of(1.0), Plan.of(1000.0)
    for part in ("learned", "neighbours", "combined", "scored", "updates"):
        assert 0 < getattr(low, part) < getattr(usual, part) < getattr(high, part)
    assert low.updates >= 2 * network.CALL  # early stopping has something to choose from
    assert Plan.of(1e-6) == Plan.of(1e-9)
    assert high == Plan.of(1e6)
    assert high.scored < np.exp(streaming.LIMIT + 1)


def test_never_above_log_2():
    found = stack.summarise(np.full(9, 99.0), np.full(9, -99.0), streaming.LIMIT, estimator="streaming", d=1)
    assert LOG_2 - 1e-5 < found.estimate < LOG_2

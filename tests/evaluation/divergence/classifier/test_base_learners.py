"""Each expert where it should be good, and what all of them promise."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from ganrun.evaluation.divergence.classifier import base_learners
from ganrun.evaluation.divergence.classifier.classifier import LOGIT
from ganrun.evaluation.divergence.estimate import scores

pytestmark = pytest.mark.optimised

ANGLES = 2 * np.pi * np.arange(8) / 8
CENTRES = 2 * np.c_[np.cos(ANGLES), np.sin(ANGLES)]

ALL = {
    "quadratic": base_learners.quadratic,
    "kernel": base_learners.kernel,
    "neighbours": base_learners.neighbours,
    "distances": partial(base_learners.distances, updates=100),
    "mixture": base_learners.mixture,
}


@pytest.fixture(autouse=True)
def one_thread():
    """As the methods run it: many small products are far slower on threads that also have other work."""
    with threadpool_limits(1):
        yield


def labelled(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(len(real) + len(fake))
    return np.concatenate([real, fake])[order], order < len(real)


def ring(std: float, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(8, size=n)] + std * rng.normal(size=(n, 2))


def ring_log_ratio(x: np.ndarray, real: float, fake: float) -> np.ndarray:
    square = ((x[:, None] - CENTRES) ** 2).sum(axis=-1)
    logs = [logsumexp(-0.5 * square / std**2, axis=1) - 2 * np.log(std) for std in (real, fake)]
    return logs[0] - logs[1]


def found(judge, real: np.ndarray, fake: np.ndarray) -> float:
    """What ``judge`` says of the Jensen-Shannon divergence; the truth at most, on examples it has not seen."""
    on_real, on_fake = scores(judge(real), judge(fake))
    return 0.5 * float(on_real.mean() + on_fake.mean())


@pytest.fixture(scope="module")
def ring_examples() -> tuple[np.ndarray, np.ndarray]:
    return labelled(ring(0.1, 4000, seed=1), ring(0.2, 4000, seed=2))


@pytest.fixture(scope="module")
def fresh() -> tuple[np.ndarray, np.ndarray]:
    return ring(0.1, 4000, seed=3), ring(0.2, 4000, seed=4)


def test_quadratic_on_two_gaussians():
    """N(0, 1) against N(1, 1.5^2), whose log-odds are a parabola."""
    rng = np.random.default_rng(0)
    judge = base_learners.quadratic(*labelled(rng.normal(size=(4000, 1)), rng.normal(1, 1.5, size=(4000, 1))), 0)
    x = np.linspace(-2, 2.5, 10)
    assert judge(x[:, None]) == pytest.approx(norm.logpdf(x) - norm.logpdf(x, 1, 1.5), abs=0.15)


def test_quadratic_on_correlations():
    """What tells the sides apart is a product of two columns: x y with a correlation of 0.6 against -0.6."""
    rng = np.random.default_rng(0)
    both = [rng.multivariate_normal([0, 0], [[1, r], [r, 1]], 4000) for r in (0.6, -0.6)]
    judge = base_learners.quadratic(*labelled(*both), 0)
    x = rng.normal(size=(200, 2))
    assert judge(x) == pytest.approx(2 * 0.6 / (1 - 0.6**2) * x[:, 0] * x[:, 1], abs=0.9)
    assert np.sqrt(np.mean((judge(x) - 1.875 * x[:, 0] * x[:, 1]) ** 2)) < 0.2


@pytest.mark.parametrize(
    ("name", "seen"),
    [("kernel", 0.9), ("neighbours", 0.75), ("distances", 0.8), ("mixture", 0.9)],
)
def test_ring_of_modes(name, seen, ring_examples, fresh):
    """Modes of two widths in the same places. A parabola sees nothing of it, these experts most."""
    expert = {
        "kernel": base_learners.kernel,
        "neighbours": partial(base_learners.neighbours, counts=(25,)),
        "distances": partial(base_learners.distances, updates=300),
        "mixture": partial(base_learners.mixture, components=10),
    }[name]
    judge = expert(*ring_examples, 0)
    truth = found(lambda x: ring_log_ratio(x, 0.1, 0.2), *fresh)
    value = found(lambda x: judge(x).reshape(-1), *fresh)
    assert seen * truth < value < truth + 0.005


def test_a_parabola_does_not_see_the_ring(ring_examples, fresh):
    assert abs(found(base_learners.quadratic(*ring_examples, 0), *fresh)) < 0.01


def test_mixture_of_the_true_number_of_components():
    rng = np.random.default_rng(0)
    real = np.where(rng.random(4000) < 0.5, rng.normal(-3, 0.5, 4000), rng.normal(3, 0.5, 4000))[:, None]
    fake = rng.normal(0, 3, (4000, 1))
    judge = base_learners.mixture(*labelled(real, fake), 0, components=2)
    x = np.linspace(2, 4, 9)
    truth = np.log(0.5) + norm.logpdf(x, 3, 0.5) - norm.logpdf(x, 0, 3)
    assert judge(x[:, None]) == pytest.approx(truth, abs=0.2)


def test_neighbours_by_hand():
    """Forty points in a row, the lower half real. r real ones among the nearest k: log (r + 1/2) / (k - r + 1/2)."""
    x = np.arange(40.0)[:, None]
    judge = base_learners.neighbours(x, x[:, 0] < 20, 0, counts=(2, 4))
    rows = np.array([[-5.0], [19.5], [20.6], [50.0]])
    assert judge(rows) == pytest.approx(np.log([[5, 9], [1, 1], [1 / 5, 1.5 / 3.5], [1 / 5, 1 / 9]]))


def test_few_examples_have_few_neighbours():
    x = np.arange(40.0)[:, None]
    assert base_learners.neighbours(x, x[:, 0] < 20, 0)(x).shape == (40, 1)  # 8 of 40; 25 are more than a quarter
    assert base_learners.neighbours(x[:20], x[:20, 0] < 10, 0)(x).shape == (40, 1)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_distances_do_not_give_away_a_copy(kind):
    """Every example asked about has a copy on the other side. That is of the draw, and says nothing of the law."""
    x = np.random.default_rng(0).normal(size=(1500, 2))
    copied = x.astype(kind).astype(np.float64)  # one side may have been saved in single precision
    judge = base_learners.distances(*labelled(x[:1000], copied[500:]), 0, updates=200)
    assert abs(found(judge, x[1000:], copied[:500])) < 0.03


@pytest.mark.parametrize("name", ALL)
def test_promises(name):
    """Finite logits within ±15 for any number of rows, wherever they are; the same again with the same seed."""
    rng = np.random.default_rng(0)
    x, is_real = labelled(rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 3)
    rows = np.concatenate([rng.normal(size=(20, 2)), [[1e3, -1e3], [-1e6, 0], [0, 1e6]]])
    judge = ALL[name](x, is_real, 5)
    logits = judge(rows)
    assert logits.shape[0] == len(rows)
    assert logits.ndim == (2 if name == "neighbours" else 1)
    assert np.abs(logits).max() <= LOGIT
    assert np.array_equal(judge(rows), logits)
    assert np.array_equal(ALL[name](x, is_real, 5)(rows), logits)
    assert judge(rows[:1]) == pytest.approx(logits[:1], abs=1e-4)


@pytest.mark.parametrize("name", ["kernel", "mixture"])
def test_another_seed_is_another_opinion(name):
    rng = np.random.default_rng(0)
    x, is_real = labelled(rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 1)
    assert not np.array_equal(ALL[name](x, is_real, 0)(x), ALL[name](x, is_real, 1)(x))


@pytest.mark.parametrize("name", ALL)
def test_sides_far_apart(name):
    rng = np.random.default_rng(0)
    x, is_real = labelled(rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + 20)
    logits = ALL[name](x, is_real, 0)(x).reshape(len(x), -1)
    assert np.all(logits[is_real] > 0.5)
    assert np.all(logits[~is_real] < -0.5)


@pytest.mark.parametrize("name", ALL)
def test_the_largest_seeds(name):
    """A run's seed may be as large as 2^32 - 1, and every fold adds a number of its own to it."""
    rng = np.random.default_rng(0)
    x, is_real = labelled(rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 1)
    assert np.isfinite(ALL[name](x, is_real, 2**32 + 3)(x)).all()


def test_mixtures_side_by_side_leave_the_warnings_as_they_are():
    """Too few rounds are no cause for a warning, nor for silence about others, in whatever order threads finish."""
    rng = np.random.default_rng(0)
    x, is_real = labelled(rng.normal(size=(300, 2)), rng.normal(size=(300, 2)))
    before = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        tasks = [(seed, *sizes) for seed in range(30) for sizes in ((4, 2), (25, 5))]
        list(pool.map(lambda task: base_learners.mixture(x, is_real, *task), tasks))
    assert warnings.filters == before


@pytest.mark.parametrize("name", ALL)
def test_two_values_only(name):
    """Zeros and ones, 3 : 1 on one side and 1 : 3 on the other, without a warning of any library."""
    rng = np.random.default_rng(0)
    x, is_real = labelled(*((rng.random((400, 1)) < share).astype(float) for share in (0.25, 0.75)))
    logits = ALL[name](x, is_real, 0)(np.array([[0.0], [1.0]]))
    assert np.isfinite(logits).all()
    if name in ("quadratic", "kernel"):
        assert logits == pytest.approx([np.log(3), -np.log(3)], abs=0.5)

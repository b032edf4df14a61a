"""Every metric of samples against an implementation that others wrote, to 1e-6 on fixed inputs.

Of prdc and POT, which need not be installed, the numbers that they gave are in the tests as well. The inputs do not
depend on the stream of a generator.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg, special, stats
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity, polynomial_kernel
from sklearn.neighbors import KernelDensity, NearestNeighbors

from ganrun.evaluation.features.classification_score import binomial
from ganrun.evaluation.metrics.mode_kl import mode_kl
from ganrun.evaluation.sample_metrics import mind as mind_module
from ganrun.evaluation.sample_metrics.data_copying import data_copying
from ganrun.evaluation.sample_metrics.frechet import frechet, frechet_of_moments
from ganrun.evaluation.sample_metrics.intervals import proportion
from ganrun.evaluation.sample_metrics.kernel import kernel_distance
from ganrun.evaluation.sample_metrics.manifold import manifold
from ganrun.evaluation.sample_metrics.memorisation import authenticity, nearest_distances
from ganrun.evaluation.sample_metrics.mind import mind
from ganrun.evaluation.sample_metrics.parzen import parzen
from ganrun.evaluation.sample_metrics.vendi import vendi


def waves(n: int, d: int, phase: float) -> np.ndarray:
    """Return numbers that look like independent ones in [-1, 1]."""
    i = np.arange(n * d).reshape(n, d)
    return np.sin(1.7 * i + phase) * np.cos(0.37 * i**1.3 + phase)


# Real and fake features by name: few dimensions, many, and more than there are examples.
PAIRS = {
    "low": (waves(120, 6, 0.0), waves(90, 6, 0.4) + 0.1),
    "high": (waves(400, 64, 0.0), 1.2 * waves(300, 64, 0.9)),
    "singular": (waves(30, 50, 0.2), waves(40, 50, 0.7) - 0.2),
}
# prdc 0.2, compute_prdc(real, fake, nearest_k=5): precision, recall, density, coverage.
OF_PRDC = {
    "low": (1.0, 1.0, 0.9933333333333334, 0.925),
    "high": (0.81, 0.9975, 0.4633333333333334, 0.84),
    "singular": (0.9, 1.0, 0.8, 1.0),
}
# POT 0.9.7.post1: 3 d sliced_wasserstein_distance(real, fake, projections=...)^2 for the directions of mind, seed 0.
SLICED_OF_POT = {"low": 0.2918389855441787, "high": 2.754737512206135, "singular": 10.322266055789527}
# POT 0.9.7.post1: ot.gaussian.bures_wasserstein_distance of the means and covariances, squared.
GAUSSIAN_OF_POT = {"low": 0.09882248437772813, "high": 2.41733521043481}
PROJECTIONS = 100


def four(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, ...]:
    found = manifold(real, fake, k)
    return found.precision, found.recall, found.density, found.coverage


@pytest.mark.parametrize("name", PAIRS)
def test_precision_recall_density_and_coverage_are_those_that_prdc_gave(name) -> None:
    assert four(*PAIRS[name]) == pytest.approx(OF_PRDC[name], rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5, 10])
@pytest.mark.parametrize("name", PAIRS)
def test_precision_recall_density_and_coverage_are_those_of_prdc(name, k) -> None:
    prdc = pytest.importorskip("prdc", reason="prdc is not installed")
    found = prdc.compute_prdc(*PAIRS[name], nearest_k=k)
    expected = [found[of] for of in ("precision", "recall", "density", "coverage")]
    assert four(*PAIRS[name], k) == pytest.approx(expected, rel=1e-12)


def directions(d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    groups = [
        mind_module._orthogonal_directions(d, min(d, PROJECTIONS - start), rng) for start in range(0, PROJECTIONS, d)
    ]
    return np.concatenate(groups, axis=1)


@pytest.mark.parametrize("name", PAIRS)
def test_mind_is_the_sliced_distance_that_pot_gave(name) -> None:
    assert mind(*PAIRS[name], projections=PROJECTIONS).value == pytest.approx(SLICED_OF_POT[name], rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", PAIRS)
def test_mind_is_the_sliced_distance_of_pot(name, seed) -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed")
    real, fake = PAIRS[name]
    d = real.shape[1]
    distance = ot.sliced_wasserstein_distance(real, fake, projections=directions(d, seed))
    assert mind(real, fake, PROJECTIONS, seed).value == pytest.approx(3 * d * distance**2, rel=1e-9)
    # In one dimension all directions are the same.
    expected = 3 * float(ot.wasserstein_1d(real[:, 0], fake[:, 0], p=2))
    assert mind(real[:, :1], fake[:, :1], 2).value == pytest.approx(expected, rel=1e-9)


def moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


@pytest.mark.parametrize("name", GAUSSIAN_OF_POT)
def test_the_frechet_distance_is_that_of_the_square_root_of_scipy_and_that_which_pot_gave(name) -> None:
    (mean, covariance), (other, other_covariance) = (moments(rows) for rows in PAIRS[name])
    root = np.real(linalg.sqrtm(covariance @ other_covariance))
    expected = float(((mean - other) ** 2).sum() + np.trace(covariance + other_covariance - 2 * root))
    assert frechet(*PAIRS[name]).value == pytest.approx(expected, abs=1e-6, rel=1e-9)
    assert expected == pytest.approx(GAUSSIAN_OF_POT[name], rel=1e-9)
    of_moments = frechet_of_moments(mean, covariance, other, other_covariance)
    assert of_moments.value == pytest.approx(expected, abs=1e-6, rel=1e-9)


@pytest.mark.parametrize("name", GAUSSIAN_OF_POT)
def test_the_frechet_distance_is_that_of_pot(name) -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed")
    (mean, covariance), (other, other_covariance) = (moments(rows) for rows in PAIRS[name])
    distance = ot.gaussian.bures_wasserstein_distance(mean, other, covariance, other_covariance)
    assert frechet(*PAIRS[name]).value == pytest.approx(float(distance) ** 2, rel=1e-9)


def test_the_frechet_distance_of_singular_covariances_is_that_of_the_nuclear_norm() -> None:
    # Tr (S_1 S_2)^(1/2) is the sum of the singular values of F_1 F_2' for any factors, here the centred examples.
    real, fake = PAIRS["singular"]
    factors = [(rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1) for rows in (real, fake)]
    (mean, covariance), (other, other_covariance) = moments(real), moments(fake)
    cross = np.linalg.norm(factors[0] @ factors[1].T, "nuc")
    expected = ((mean - other) ** 2).sum() + np.trace(covariance) + np.trace(other_covariance) - 2 * cross
    assert frechet(real, fake).value == pytest.approx(expected, abs=1e-6, rel=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_the_kernel_distance_has_the_kernel_of_scikit_learn(name) -> None:
    real, fake = PAIRS[name]

    def mean_of_pairs(rows: np.ndarray) -> float:
        kernel = polynomial_kernel(rows, degree=3, gamma=1 / rows.shape[1], coef0=1)
        return (kernel.sum() - np.trace(kernel)) / (len(rows) * (len(rows) - 1))

    across = polynomial_kernel(real, fake, degree=3, gamma=1 / real.shape[1], coef0=1).mean()
    expected = mean_of_pairs(real) + mean_of_pairs(fake) - 2 * across
    assert kernel_distance(real, fake).value == pytest.approx(expected, abs=1e-12, rel=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_the_vendi_score_is_that_of_scikit_learns_similarities_and_scipys_entropy(name) -> None:
    real, _ = PAIRS[name]
    values = np.linalg.eigvalsh(cosine_similarity(real) / len(real))
    assert vendi(real) == pytest.approx(float(np.exp(stats.entropy(np.maximum(values, 0)))), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("name", PAIRS)
def test_the_parzen_windows_are_those_of_scikit_learn_and_scipy(name, sigma) -> None:
    real, fake = PAIRS[name]
    # One leaf: scikit-learn 1.9 bounds densities over the leaves of a tree in a way that loses small ones.
    density = KernelDensity(bandwidth=sigma, kernel="gaussian", leaf_size=len(fake)).fit(fake)
    expected = density.score_samples(real)
    exponents = special.logsumexp(-cdist(real, fake, "sqeuclidean") / (2 * sigma**2), axis=1)
    volume = np.log(len(fake)) + 0.5 * real.shape[1] * np.log(2 * np.pi * sigma**2)
    assert expected == pytest.approx(exponents - volume, rel=1e-9)
    found = parzen(fake, real[:5], real, [sigma])
    assert found.mean == pytest.approx(expected.mean(), rel=1e-9)
    assert found.standard_error == pytest.approx(expected.std() / np.sqrt(len(real)), rel=1e-8)
    assert found.validation_means == pytest.approx([expected[:5].mean()], rel=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_nearest_training_examples_are_those_of_scikit_learn(name) -> None:
    training, samples = PAIRS[name]
    held_out = samples[::2] + 0.05
    search = NearestNeighbors(n_neighbors=2).fit(training)
    distances, indices = search.kneighbors(samples)
    others, _ = search.kneighbors(held_out)
    own = search.kneighbors()[0][:, 0]  # without the example itself
    expected = 100 * np.mean(distances[:, 0] > own[indices[:, 0]])
    assert authenticity(samples, training).percent == pytest.approx(expected, rel=1e-12)
    found = nearest_distances(samples, held_out, training)
    assert found.ratios == pytest.approx(distances[:, 0] / distances[:, 1], rel=1e-9)
    assert found.median_ratio == pytest.approx(np.median(distances[:, 0]) / np.median(others[:, 0]), rel=1e-9)


def test_the_test_for_copying_in_one_cell_is_that_of_mann_and_whitney_in_scipy() -> None:
    training, samples = PAIRS["low"]
    held_out = samples[::2] + 0.05
    search = NearestNeighbors(n_neighbors=1).fit(training)
    near, far = (search.kneighbors(rows)[0][:, 0] for rows in (samples, held_out))
    found = data_copying(samples, held_out, training, cells=1)
    test = stats.mannwhitneyu(near, far, alternative="less", method="asymptotic", use_continuity=False)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 20), (188, 200)])
def test_intervals_of_shares_are_those_of_scipy(k, n) -> None:
    test = stats.binomtest(k, n)
    wilson, exact = test.proportion_ci(method="wilson"), test.proportion_ci(method="exact")
    ours = proportion(k / n, n)
    assert (ours.low, ours.high) == pytest.approx((wilson.low, wilson.high), abs=1e-12)
    assert (binomial(k, n).low, binomial(k, n).high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_divergence_over_modes_is_scipys_relative_entropy() -> None:
    counts, weights = np.array([5, 0, 12, 3]), np.array([0.1, 0.2, 0.3, 0.4])
    assert mode_kl(counts, weights) == pytest.approx(stats.entropy(counts, weights), rel=1e-12)

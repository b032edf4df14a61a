"""Memorisation: whether samples are closer to the training set than new examples of the data are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension, nearest_neighbours

SMALLEST_TAIL = 8  # ranks in the first tail that is tested for copies


@dataclass(frozen=True)
class Authenticity:
    """How many samples are not copies, by the distances within the training set.

    Attributes:
        percent: AuthPct, of samples that are authentic, 0 to 100.
        is_authentic: of each sample ``(n,)``.
    """

    percent: float
    is_authentic: np.ndarray


@dataclass(frozen=True)
class NearestDistances:
    """Distances from samples to the training set, beside those of held-out examples.

    Attributes:
        ratios: distance to the nearest divided by that to the second nearest training example, in [0, 1], of each
            sample.
        held_out_ratios: the same of each held-out example.
        median_ratio: median distance of samples to the nearest training example, divided by that of held-out examples.
    """

    ratios: np.ndarray
    held_out_ratios: np.ndarray
    median_ratio: float


@dataclass(frozen=True)
class CopyTest:
    """A test of the hypothesis that samples are no closer to single training examples than held-out examples are.

    Attributes:
        p_value: of the hypothesis; corrected for the number of tails.
        tail: number of smallest ratios, of samples and held-out examples together, in the most significant tail.
        samples_in_tail: how many of them are of samples.
        below_held_out: number of samples with a ratio below that of every held-out example.
    """

    p_value: float
    tail: int
    samples_in_tail: int
    below_held_out: int


def authenticity(samples: np.ndarray, training: np.ndarray) -> Authenticity:
    """Return AuthPct, the percentage of authentic samples.

    A sample is authentic if it is farther from its nearest training example than that example is from its own nearest
    training example.

    Args:
        samples: features ``(n, d)``.
        training: features ``(m, d)``, m >= 2.

    Returns:
        The percentage. Copies give 0. It has no fixed value for a perfect model: compare it with that of held-out
        examples.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or fewer than 2 training
            examples.

    Paper: Alaa et al. 2022, "How faithful is your synthetic data?" (authenticity); the percentage is that
        of Stein et al. 2023, "Exposing flaws of generative model evaluation metrics".

    Biases: it falls with m for samples that are neither copies nor outliers, and with samples in dense regions. It
        detects neither few copies among many samples nor copies of outliers with changes. Minimum size: 1 sample; a
        percentage to about 3 points takes 1000.
    """
    samples, training = check_features(samples, "sample"), check_features(training, "training", 2)
    check_same_dimension(samples=samples, training=training)
    return authenticity_of(*nearest_neighbours(samples, training), training)


def authenticity_of(distances: np.ndarray, indices: np.ndarray, training: np.ndarray) -> Authenticity:
    """Return AuthPct from known neighbours.

    Args:
        distances: of each sample to its nearest training examples ``(n, 1 or more)``, increasing.
        indices: of these examples, likewise.
        training: float64 features ``(m, d)``.
    """
    used, position = np.unique(indices[:, 0], return_inverse=True)
    # The nearest of two is the example itself, or a duplicate, whose distance is 0 as well.
    own = nearest_neighbours(training[used], training, 2)[0][:, 1]
    authentic = distances[:, 0] > own[position]
    return Authenticity(100 * float(authentic.mean()), authentic)


def nearest_distances(samples: np.ndarray, held_out: np.ndarray, training: np.ndarray) -> NearestDistances:
    """Return ratios of nearest-neighbour distances of samples and of held-out examples.

    Args:
        samples: features ``(n, d)``.
        held_out: features ``(h, d)`` of examples that the model was not trained on.
        training: features ``(m, d)``, m >= 2.

    Returns:
        Per example, the distance to the nearest over that to the second nearest training example, which is near 0 for a
        copy and near 1 for a new example in high dimensions. It is 0 where two training examples are at distance 0. The
        ratio of median distances is about 1 for a model that generalises, and 0 if most samples are copies; it is NaN
        if the median of the held-out examples is 0.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or fewer than 2 training
            examples.

    Source: the ratio is that of Lowe 2004, "Distinctive image features from scale-invariant keypoints", section 7.1,
        and a usual measure of privacy of synthetic data.

    Biases: in low dimensions, new examples have small ratios by chance: use :func:`copy_test`. Near-duplicates in the
        training set (augmented pictures) make both distances of a copy small and hide it. Minimum size: 1 sample, 1
        held-out example.
    """
    samples, held_out = check_features(samples, "sample"), check_features(held_out, "held-out")
    training = check_features(training, "training", 2)
    check_same_dimension(samples=samples, held_out=held_out, training=training)
    return nearest_distances_of(*(nearest_neighbours(rows, training, 2)[0] for rows in (samples, held_out)))


def nearest_distances_of(distances: np.ndarray, held_out_distances: np.ndarray) -> NearestDistances:
    """Return :func:`nearest_distances` from the distances to the two nearest training examples, ``(n, 2)`` each."""
    both = distances, held_out_distances
    ratios = [near[:, 0] / np.where(near[:, 1] > 0, near[:, 1], 1) for near in both]
    median = float(np.median(held_out_distances[:, 0]))
    ratio = float(np.median(distances[:, 0])) / median if median > 0 else float("nan")
    return NearestDistances(ratios[0], ratios[1], ratio)


def copy_test(samples: np.ndarray, held_out: np.ndarray, training: np.ndarray) -> CopyTest:
    """Test whether some samples are copies of training examples, possibly with small changes.

    Samples and held-out examples are sorted by their ratio of nearest-neighbour distances (:func:`nearest_distances`).
    If both come from one distribution, the number of samples among the r smallest ratios has a hypergeometric
    distribution. The p-value is the smallest upper tail probability over r = 8, 16, 32, ... up to half of all examples,
    times the number of tails (Bonferroni). Equal ratios count in favour of the hypothesis.

    Args:
        samples: features ``(n, d)``.
        held_out: features ``(h, d)`` of examples of the data that the model was not trained on.
        training: features ``(m, d)``, m >= 2.

    Returns:
        The test. Where n = h, about 10 copies, however many the samples, give p < .05; where n > h, more are needed.
        ``docs/sample_metrics.md`` has the measured power.

    Raises:
        ConfigError: as :func:`nearest_distances`, or for fewer than 16 samples and held-out examples together.

    Source: exact by exchangeability, as the two-sample test of Meehan et al. 2020 (:func:`data_copying`), but of the
        smallest ratios rather than of the mean rank, so that few copies among many samples are found.

    Biases: a model whose samples are not distributed as the data, for example in the densest regions only, can be
        reported without a copy, as new examples there are closer to training examples. Held-out examples that also are
        in the training set hide copies. Minimum size: 16 together; 500 each for copies of 2 %.
    """
    found = nearest_distances(samples, held_out, training)
    return copy_test_of(found.ratios, found.held_out_ratios)


def copy_test_of(ratios: np.ndarray, held_out_ratios: np.ndarray) -> CopyTest:
    """Return :func:`copy_test` from ratios of nearest-neighbour distances, ``(n,)`` and ``(h,)``."""
    n, h = len(ratios), len(held_out_ratios)
    tails = [SMALLEST_TAIL << i for i in range((n + h).bit_length()) if (SMALLEST_TAIL << i) <= (n + h) // 2]
    if not tails:
        raise ConfigError(f"The test needs at least {2 * SMALLEST_TAIL} samples and held-out examples, not {n + h}.")
    is_sample = np.repeat([True, False], [n, h])
    order = np.lexsort((is_sample, np.concatenate([ratios, held_out_ratios])))  # held-out first where equal
    counts = is_sample[order].cumsum()[np.array(tails) - 1]
    p_values = stats.hypergeom.sf(counts - 1, n + h, n, tails)
    best = int(p_values.argmin())
    below = int((ratios < held_out_ratios.min()).sum())
    return CopyTest(min(1.0, float(p_values[best]) * len(tails)), tails[best], int(counts[best]), below)

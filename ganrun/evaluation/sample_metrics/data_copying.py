"""The data-copying statistic C_T: ranks of distances to the training set, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension, nearest_neighbours

ITERATIONS = 100  # of k-means, at most


@dataclass(frozen=True)
class DataCopying:
    """The data-copying statistic.

    Attributes:
        value: C_T; far below 0 for copies, about 0 for a model as good as the data, far above 0 for samples that lie
            farther from the training set than the data do.
        p_value: one-sided, of a value this small if samples and held-out examples of each cell have one distribution.
        z_scores: of the cells ``(cells,)``; NaN where a cell has too few samples or held-out examples.
        weights: share of the held-out examples in each cell ``(cells,)``.
    """

    value: float
    p_value: float
    z_scores: np.ndarray
    weights: np.ndarray


def data_copying(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    cells: int = 3,
    minimum: int = 20,
    seed: int = 0,
) -> DataCopying:
    """Return the data-copying statistic C_T.

        C_T = sum_c P(c) Z_c / sum_c P(c),  Z = (U - n h / 2) / sqrt(n h (n + h + 1) / 12)

    U is the Mann-Whitney statistic of a cell, the number of pairs in which the sample is farther from its nearest
    training example than the held-out example is (ties count half), n and h are the numbers of samples and held-out
    examples in the cell, and P(c) is the share of the held-out examples in it.

    Args:
        samples: features ``(n, d)``.
        held_out: features ``(h, d)`` of examples that the model was not trained on.
        training: features ``(m, d)``.
        cells: number of cells, by k-means on the held-out examples.
        minimum: cells with fewer samples, or without held-out examples, are left out.
        seed: of k-means.

    Returns:
        The statistic. Its p-value takes the z-scores as independent standard normal variables.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, unless 1 <= cells <= h, or if
            every cell is left out.

    Paper: Meehan et al. 2020, "A non-parametric test to detect data-copying in generative models" (C_T);
        the paper partitions by the training set, later implementations by held-out examples, which are fewer.

    Biases: copies of a part of the samples are hidden by others that lie far from the training set, since a mean rank
        is compared: :func:`ganrun.evaluation.sample_metrics.memorisation.copy_test` is for those. |C_T| grows with the
        root of the sizes. Cells are fitted to the held-out examples, which leaves a small bias for h of a few times
        ``cells``. Minimum size: 20 samples and 20 held-out examples per cell.
    """
    samples, held_out = check_features(samples, "sample"), check_features(held_out, "held-out")
    training = check_features(training, "training")
    check_same_dimension(samples=samples, held_out=held_out, training=training)
    if not 1 <= cells <= len(held_out):
        raise ConfigError(f"cells must be at least 1 and at most {len(held_out)}, not {cells}.")
    near, held_out_near = (nearest_neighbours(rows, training)[0][:, 0] for rows in (samples, held_out))
    cell, held_out_cell = (cells_of(rows, centres(held_out, cells, seed)) for rows in (samples, held_out))
    return data_copying_of(near, held_out_near, cell, held_out_cell, cells, minimum)


def data_copying_of(
    near: np.ndarray,
    held_out_near: np.ndarray,
    cell: np.ndarray,
    held_out_cell: np.ndarray,
    cells: int = 3,
    minimum: int = 20,
) -> DataCopying:
    """Return :func:`data_copying` from known distances and cells.

    Args:
        near: of each sample, the distance to its nearest training example ``(n,)``.
        held_out_near: of each held-out example, likewise ``(h,)``.
        cell: of each sample, its cell ``(n,)``.
        held_out_cell: of each held-out example, likewise ``(h,)``.
        cells: number of cells.
        minimum: cells with fewer samples, or without held-out examples, are left out.

    Raises:
        ConfigError: if every cell is left out.
    """
    pairs = [(near[cell == c], held_out_near[held_out_cell == c]) for c in range(cells)]
    weights = np.array([len(real) / len(held_out_near) for _, real in pairs])
    z_scores = np.array([_z_score(*pair, minimum) for pair in pairs])
    used = ~np.isnan(z_scores)
    if not used.any():
        raise ConfigError(f"Each of {cells} cells has fewer than {minimum} of {len(near)} samples; use fewer cells.")
    shares = weights[used] / weights[used].sum()
    value = float(shares @ z_scores[used])
    return DataCopying(value, float(stats.norm.cdf(value / np.sqrt(shares @ shares))), z_scores, weights)


def _z_score(fake: np.ndarray, real: np.ndarray, minimum: int) -> float:
    n, h = len(fake), len(real)
    if n < max(1, minimum) or h == 0:
        return float("nan")
    larger = stats.rankdata(np.concatenate([fake, real]))[:n].sum() - n * (n + 1) / 2
    return float((larger - n * h / 2) / np.sqrt(n * h * (n + h + 1) / 12))


def cells_of(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the index of the nearest of the ``centres`` ``(cells, d)`` for each of the ``rows`` ``(n, d)``."""
    return nearest_neighbours(rows, centres)[1][:, 0]


def centres(rows: np.ndarray, cells: int, seed: int) -> np.ndarray:
    """Return the centres of k-means: first by k-means++ (Arthur & Vassilvitskii 2007), then Lloyd's algorithm."""
    rng = np.random.default_rng(seed)
    chosen = [int(rng.integers(len(rows)))]
    square = np.full(len(rows), np.inf)
    for _ in range(cells - 1):
        square = np.minimum(square, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
        total = square.sum()
        shares = square / total if total > 0 else None  # 0 if all rows are equal
        chosen.append(int(rng.choice(len(rows), p=shares)))
    found, cell = rows[chosen], np.full(len(rows), -1)
    for _ in range(ITERATIONS):
        previous, cell = cell, cells_of(rows, found)
        if (cell == previous).all():
            break
        for c in np.unique(cell):  # an empty cell keeps its centre, and is left out
            found[c] = rows[cell == c].mean(axis=0)
    return found

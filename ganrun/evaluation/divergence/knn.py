"""Divergence from nearest-neighbour entropies: an estimate without any classifier, as a cross-check."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ganrun.evaluation.divergence.coordinates import Coordinates
from ganrun.evaluation.divergence.estimate import Estimate

NEIGHBOUR = 5


def estimate(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> Estimate:
    """Estimate the Jensen-Shannon divergence of ``real`` and ``fake``, both ``(n, d)``, in nats.

    H(mixture) - (H(real) + H(fake)) / 2 with the entropy estimator of Kozachenko & Leonenko 1987, k = 5, where the
    mixture consists of n examples of each. Constants cancel, which leaves a mean of log ratios of distances. It is
    neither an upper nor a lower bound: it is biased where the density changes within the distance to the fifth
    neighbour, increasingly so in higher dimensions. The bias has either sign and is often larger than ``se`` (itself
    about a fifth too small, as the neighbourhoods overlap), so there is no ``lower``. Repeated examples have distance
    0: all examples are jittered by about one part in 10^10.
    """
    rng = np.random.default_rng(seed)
    n = min(len(real), len(fake))
    samples = [part[rng.permutation(len(part))[:n]] for part in (real, fake)]
    transform = Coordinates.fit(np.concatenate(samples))
    samples = [transform(part) for part in samples]
    samples = [part + 1e-10 * rng.standard_normal(part.shape) for part in samples]
    mixed = KDTree(np.concatenate(samples))
    d = samples[0].shape[1]
    # An example has 2n - 1 potential neighbours in the mixture and n - 1 in its own sample.
    surplus = np.log((2 * n - 1) / (n - 1))
    terms = [d * (_log_distance(mixed, part) - _log_distance(KDTree(part), part)) + surplus for part in samples]
    value = 0.5 * float(terms[0].mean() + terms[1].mean())
    se = 0.5 * float(np.sqrt(terms[0].var(ddof=1) / n + terms[1].var(ddof=1) / n))
    return Estimate(value, se, None, "knn", n, real.shape[1])


def _log_distance(tree: KDTree, rows: np.ndarray) -> np.ndarray:
    distance, _ = tree.query(rows, k=NEIGHBOUR + 1, workers=-1)  # the nearest neighbour is the example itself
    return np.log(distance[:, -1])

"""Divergence from nearest-neighbour entropies: a second opinion that involves no classifier."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ganrun.divergence.coordinates import Coordinates
from ganrun.divergence.estimate import Estimate

NEIGHBOUR = 5


def estimate(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> Estimate:
    """Estimate the Jensen-Shannon divergence of ``real`` and ``fake``, both ``(n, d)``, in nats.

    H(mixture) - (H(real) + H(fake)) / 2 with the entropies of Kozachenko & Leonenko 1987, k = 5, the mixture being n
    of each. Constants cancel, and what is left is a mean of log ratios of distances. Neither an upper nor a lower
    bound: it is biased wherever the density changes within the distance to the fifth neighbour, more so the more
    dimensions there are. The bias has either sign and is often larger than ``se`` (itself about a fifth too small, for
    neighbours share their neighbours), so there is no ``lower``. Repeated examples have no distance and are spread
    apart by about one part in 10^10.
    """
    rng = np.random.default_rng(seed)
    n = min(len(real), len(fake))
    sides = [part[rng.permutation(len(part))[:n]] for part in (real, fake)]
    see = Coordinates.fit(np.concatenate(sides))
    sides = [see(part) for part in sides]
    sides = [part + 1e-10 * rng.standard_normal(part.shape) for part in sides]
    mixed = KDTree(np.concatenate(sides))
    d = sides[0].shape[1]
    # In the mixture an example has twice the neighbours: log(2n - 1) - log(n - 1) is log 2 and a little more.
    surplus = np.log((2 * n - 1) / (n - 1))
    terms = [d * (_log_distance(mixed, part) - _log_distance(KDTree(part), part)) + surplus for part in sides]
    value = 0.5 * float(terms[0].mean() + terms[1].mean())
    se = 0.5 * float(np.sqrt(terms[0].var(ddof=1) / n + terms[1].var(ddof=1) / n))
    return Estimate(value, se, None, "knn", n, real.shape[1])


def _log_distance(tree: KDTree, rows: np.ndarray) -> np.ndarray:
    distance, _ = tree.query(rows, k=NEIGHBOUR + 1, workers=-1)  # the first neighbour is the example itself
    return np.log(distance[:, -1])

"""The methods of estimating a divergence by name, over whatever two sides are at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.divergence import exact, knn, plane, stack, streaming
from ganrun.divergence.estimate import Estimate
from ganrun.divergence.side import Side

SAMPLES = 10_000  # drawn of a side that has no end, where no number is given
DENSE = 1 << 21  # samples behind an exact value, where the model can only be sampled
NODES = 1024  # a side of the grid on which a latent plane is followed


def estimate(a: Side, b: Side, method: str, *, n: int | None = None, seed: int = 0, budget: float = 1.0) -> Estimate:
    """Estimate the Jensen-Shannon divergence of ``a`` (the data, say) and ``b`` (the model) by ``method``, in nats.

    ``n`` is how many examples a side are used (for streaming: scored), ``budget`` how much work in units of the usual.
    The sides must have passed :func:`ganrun.divergence.pairs.check_pair`, and the method must suit them.
    """
    begun = time.perf_counter()
    with threadpool_limits(1):  # experts and folds run side by side, which is faster than threads within each
        found = _METHODS[method](a, b, n, seed, budget)
    return replace(found, seconds=time.perf_counter() - begun)


def floor(a: Side, method: str, *, n: int | None = None, seed: int = 0, budget: float = 1.0) -> float:
    """Return what ``method`` finds between ``a`` and itself: two disjoint halves, or two independent draws.

    The true value is 0, so this is what an estimate cannot be told from.
    """
    if a.rows is None:
        return estimate(a, a, method, n=n, seed=seed + 1, budget=budget).estimate
    order = np.random.default_rng(seed).permutation(len(a.rows))[: 2 * n if n else None]
    half, other = (replace(a, rows=a.rows[part]) for part in np.array_split(order, 2))
    return estimate(half, other, method, seed=seed, budget=budget).estimate


def _stack(a: Side, b: Side, n: int | None, seed: int, budget: float) -> Estimate:
    return stack.estimate(*_finite(a, b, n, seed), seed, budget, workers=os.cpu_count() or 1)


def _knn(a: Side, b: Side, n: int | None, seed: int, budget: float) -> Estimate:
    return knn.estimate(*_finite(a, b, n, seed), seed)


def _streaming(a: Side, b: Side, n: int | None, seed: int, budget: float) -> Estimate:
    if a.draw is None or b.draw is None:
        raise ValueError("streaming needs two sides that can be drawn from")
    return streaming.estimate(a.draw, b.draw, seed, budget, scored=n, workers=os.cpu_count() or 1)


def _finite(a: Side, b: Side, n: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return up to ``n`` examples of each side; of a side without end as many as the other has, if it has an end."""
    ends = [len(side.rows) for side in (a, b) if side.rows is not None]
    wanted = n or (max(ends) if ends else SAMPLES)
    rng = np.random.default_rng(seed)
    found = []
    for side in (a, b):
        if side.rows is not None:
            found.append(side.rows[rng.permutation(len(side.rows))[:wanted]])
        elif side.draw is not None:
            found.append(side.draw(wanted, int(rng.integers(2**32))))
    return found[0], found[1]


def _exact(a: Side, b: Side, n: int | None, seed: int, budget: float) -> Estimate:
    data, model = (a, b) if a.density is not None else (b, a)
    if data.density is None:
        raise ValueError("exact needs a known density on one side")
    used = 0
    if model.density is not None:
        found = exact.of_densities(data.density, model.density)
    elif model.push is not None and model.latent_dim == 1 and model.d == 1:
        found = exact.of_push(data.density, model.push, model.prior)
    elif model.push is not None and model.latent_dim == 2 and model.d == 2:
        nodes = int(np.clip(NODES * budget**0.5, 128, 2048))
        found = plane.of_plane(data.density, model.push, model.prior, nodes, seed=seed, network=model.layers)
    elif model.draw is not None:
        used = n or max(exact.FEWEST, int(DENSE * min(budget, 2.0)))
        found = exact.of_samples(data.density, model.draw(used, seed))
    else:
        raise ValueError("exact needs a generator or a second known density on the other side")
    return Estimate(found.jsd, 0.5 * found.error, found.jsd - found.error, "exact", used, data.d)


_METHODS: dict[str, Callable[[Side, Side, int | None, int, float], Estimate]] = {
    "stack": _stack,
    "streaming": _streaming,
    "knn": _knn,
    "exact": _exact,
}

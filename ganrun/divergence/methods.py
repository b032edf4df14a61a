"""The methods of estimating a divergence by name, over whatever two sides are at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.divergence import exact, knn, stack, streaming
from ganrun.divergence.estimate import Estimate, withheld
from ganrun.divergence.exact_model import of_model
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
    if model.density is not None:
        return _bounded(exact.of_densities(data.density, model.density), 0, data.d)
    if model.draw is None and model.push is None:
        raise ValueError("exact needs a generator or a second known density on the other side")
    wanted = n or max(exact.FEWEST, int(DENSE * min(budget, 2.0)))
    nodes = int(np.clip(NODES * budget**0.5, 128, 2048))

    def dense() -> np.ndarray:
        assert model.draw is not None
        return model.draw(wanted, seed)

    found = of_model(data.density, model, dense, nodes, seed=seed)
    warnings = []
    if (smoothed := found.smoothed) is not None:
        warnings.append(
            f"singular: the model fills no area, so the divergence is log 2 however near it is. With noise of standard "
            f"deviation {smoothed.sigma:.3g} on both sides it is {smoothed.jsd:.4f} ± {smoothed.error:.4f} nats."
        )
    if withheld(found.exact.jsd, found.exact.error):
        warnings.append(f"not known: the error, {found.exact.error:.4f}, is larger than the estimate.")
    return replace(_bounded(found.exact, found.samples, data.d), warnings=tuple(warnings))


def _bounded(found: exact.Exact, used: int, d: int) -> Estimate:
    # The error is two standard errors and what cells of finite size lose.
    return Estimate(found.jsd, 0.5 * found.error, max(0.0, found.jsd - found.error), "exact", used, d)


_METHODS: dict[str, Callable[[Side, Side, int | None, int, float], Estimate]] = {
    "stack": _stack,
    "streaming": _streaming,
    "knn": _knn,
    "exact": _exact,
}

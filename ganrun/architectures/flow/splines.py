"""Monotone rational-quadratic splines on an interval, with the identity outside (Durkan et al. 2019).

A spline maps [-bound, bound] onto itself. Between two knots it is a quotient of two quadratic polynomials, and its
derivative is continuous everywhere, being 1 at both ends.

Paper: Durkan et al. 2019, "Neural spline flows", section 3.1 and appendix A.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

MIN_SHARE = 1e-3  # smallest width and height of a bin, as a fraction of the interval
MIN_SLOPE = 1e-3  # smallest derivative at a knot
UNIT = math.log(math.expm1(1.0 - MIN_SLOPE))  # softplus(UNIT) + MIN_SLOPE = 1


class Knots(NamedTuple):
    """The knots of splines, each array ``(..., bins + 1)``.

    Attributes:
        x: positions, increasing from -bound to bound.
        y: values, likewise.
        slope: derivatives, positive; 1 at both ends.
    """

    x: jax.Array
    y: jax.Array
    slope: jax.Array


def outputs(bins: int) -> int:
    """Return how many numbers describe a spline of ``bins``: widths, heights, and the derivatives between bins."""
    return 3 * bins - 1


def knots(raw: jax.Array, bound: float) -> Knots:
    """Return the knots that unconstrained numbers describe; zeros describe the identity.

    Args:
        raw: ``(..., 3 * bins - 1)``, which :func:`outputs` counts.
        bound: half the length of the interval.
    """
    bins = (raw.shape[-1] + 1) // 3
    ends = jnp.ones_like(raw[..., :1])
    slopes = MIN_SLOPE + jax.nn.softplus(raw[..., 2 * bins :] + UNIT)
    return Knots(
        x=_positions(raw[..., :bins], bound),
        y=_positions(raw[..., bins : 2 * bins], bound),
        slope=jnp.concatenate([ends, slopes, ends], axis=-1),
    )


def _positions(raw: jax.Array, bound: float) -> jax.Array:
    """Divide [-bound, bound] in the shares softmax(``raw``): ``(..., bins)`` to ``(..., bins + 1)``."""
    shares = MIN_SHARE + (1.0 - MIN_SHARE * raw.shape[-1]) * jax.nn.softmax(raw, axis=-1)
    inner = 2.0 * bound * jnp.cumsum(shares[..., :-1], axis=-1) - bound
    end = jnp.full_like(raw[..., :1], bound)
    return jnp.concatenate([-end, inner, end], axis=-1)


class _Bin(NamedTuple):
    """The bin of each element: its lower left corner, its size, the mean slope, and the slopes at its ends."""

    x: jax.Array
    y: jax.Array
    width: jax.Array
    height: jax.Array
    mean: jax.Array
    left: jax.Array
    right: jax.Array


def _bin(spline: Knots, at: jax.Array, positions: jax.Array) -> _Bin:
    """Return the bins of ``at`` ``(...)`` by the knots' ``positions``, which are those of x or of y."""
    index = jnp.sum(at[..., None] >= positions[..., 1:-1], axis=-1)
    # Not a gather, whose gradient is a scatter: slow, and on a GPU without a fixed order.
    chosen = jax.nn.one_hot(index, positions.shape[-1] - 1, dtype=at.dtype)

    def pick(values: jax.Array) -> jax.Array:
        return jnp.sum(chosen * values, axis=-1)

    width, height = (pick(jnp.diff(values, axis=-1)) for values in (spline.x, spline.y))
    return _Bin(
        x=pick(spline.x[..., :-1]),
        y=pick(spline.y[..., :-1]),
        width=width,
        height=height,
        mean=height / width,
        left=pick(spline.slope[..., :-1]),
        right=pick(spline.slope[..., 1:]),
    )


def forward(spline: Knots, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the values of splines at ``x``, and the logs of their derivatives, each ``(...)``.

    Formula: y = y_k + h (s t² + d_k t (1 - t)) / (s + (d_k+1 + d_k - 2 s) t (1 - t)), with t = (x - x_k) / w, s = h / w
    Paper: Durkan et al. 2019, "Neural spline flows", eqs. 4 and 5.
    """
    bound = spline.x[..., -1]
    inside = jnp.abs(x) < bound
    at = jnp.where(inside, x, 0.0)  # elsewhere a gradient might not be finite
    part = _bin(spline, at, spline.x)
    t = (at - part.x) / part.width
    both = t * (1.0 - t)
    denominator = part.mean + (part.right + part.left - 2.0 * part.mean) * both
    y = part.y + part.height * (part.mean * t**2 + part.left * both) / denominator
    numerator = part.right * t**2 + 2.0 * part.mean * both + part.left * (1.0 - t) ** 2
    log_slope = 2.0 * jnp.log(part.mean) + jnp.log(numerator) - 2.0 * jnp.log(denominator)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)


def inverse(spline: Knots, y: jax.Array) -> jax.Array:
    """Return where splines have the values ``y`` ``(...)``.

    The root of the quadratic equation for t is written without a difference of nearly equal numbers.

    Paper: Durkan et al. 2019, "Neural spline flows", eqs. 6 to 8 and appendix A.2.
    """
    bound = spline.y[..., -1]
    inside = jnp.abs(y) < bound
    at = jnp.where(inside, y, 0.0)
    part = _bin(spline, at, spline.y)
    above, excess = at - part.y, part.right + part.left - 2.0 * part.mean
    a = part.height * (part.mean - part.left) + above * excess
    b = part.height * part.left - above * excess
    c = -part.mean * above
    t = 2.0 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4.0 * a * c, 0.0)))
    return jnp.where(inside, part.x + t * part.width, y)

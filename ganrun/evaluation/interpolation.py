"""Interpolation between latents, the samples along it, and planes of latents.

Latents are interpolated on the host in double precision. The prior is ``normal`` (standard normal) or ``uniform`` (on
[-1, 1]), as in ``latent.prior``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment

STRAIGHT = 1e-4  # sine of the angle below which slerp is linear: parallel or antiparallel latents


def slerp(start: np.ndarray, end: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return the spherical interpolation ``(..., dim)`` from ``start`` to ``end`` at ``t`` ``(...)`` in [0, 1].

    Between two latents of equal norm, the norm is constant. For parallel and antiparallel latents (where the shortest
    arc is not unique or does not exist), the interpolation is linear.

    Formula: (sin((1 - t) a) start + sin(t a) end) / sin(a), where a is the angle between start and end

    Paper: Shoemake 1985, "Animating rotation with quaternion curves"; for latents, White 2016, "Sampling generative
    networks".
    """
    norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
    cosine = np.sum(start * end, axis=-1) / np.maximum(norms, np.finfo(np.float64).tiny)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    straight = np.sin(angle) < STRAIGHT
    sine = np.where(straight, 1.0, np.sin(angle))
    left = np.where(straight, 1.0 - t, np.sin((1.0 - t) * angle) / sine)
    right = np.where(straight, t, np.sin(t * angle) / sine)
    return left[..., None] * start + right[..., None] * end


def interpolate(starts: np.ndarray, ends: np.ndarray, prior: str, steps: int) -> np.ndarray:
    """Return ``(n, steps, dim)`` latents from each of ``starts`` ``(n, dim)`` to its end in ``ends``, both included.

    The interpolation is spherical for a normal prior, whose mass lies near a sphere, and linear for a uniform one.
    """
    start, end = (np.asarray(part, np.float64)[:, None, :] for part in (starts, ends))
    t = np.linspace(0.0, 1.0, steps)[None, :]
    if prior == "normal":
        return slerp(start, end, t)
    return (1.0 - t)[..., None] * start + t[..., None] * end


def plane(prior: str, side: int) -> np.ndarray:
    """Return a square of latents ``(side, side, 2)`` whose cells have equal probability under the prior.

    The first coordinate grows from left to right and the second from bottom to top. Coordinates are the quantiles of
    the middles of ``side`` equal parts of [0, 1].

    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", figure 4.
    """
    middles = (np.arange(side) + 0.5) / side
    values = ndtri(middles) if prior == "normal" else 2.0 * middles - 1.0
    return np.stack(np.meshgrid(values, values[::-1], indexing="xy"), axis=-1)


def interpolated_samples(experiment: Experiment, variables: Any, rows: int, columns: int) -> np.ndarray | None:
    """Return samples ``(rows, columns, *shape)``: each row leads from one latent to another, both ends included.

    The latents depend on the run's seed only. With classes, the samples of a row have one class: 0, 1, ... in turn.

    Args:
        experiment: of the run.
        variables: of the model.
        rows: number of pairs of latents.
        columns: number of samples from each latent to the other, at least 2.

    Returns:
        The samples; None for a method without latents.
    """
    method = experiment.method
    if method.prior is None or "decode" not in method.capabilities:
        return None
    key = key_for(jax.random.key(np.uint32(experiment.seed)), "interpolation")
    ends = np.asarray(method.prior.draw(key, 2 * rows))
    z = interpolate(ends[::2], ends[1::2], method.prior.name, columns).astype(np.float32)
    labels = None
    if method.classes:
        labels = jnp.asarray(np.repeat(np.arange(rows) % method.classes, columns), jnp.int32)
    samples = np.asarray(experiment.decode(variables, jnp.asarray(z.reshape(rows * columns, -1)), labels))
    return samples.reshape(rows, columns, *samples.shape[1:])

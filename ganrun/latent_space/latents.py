"""Latents: draws from the prior, truncation, and walks.

Latents are drawn on the device, and walks are computed on the host in double precision. The prior is ``normal``
(standard normal) or ``uniform`` (on [-1, 1]), as in ``latent.prior``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr, ndtri

from ganrun.errors import ConfigError
from ganrun.evaluation.samples import BATCH, block_key
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.priors import Prior

EDGE = (
    1e-6  # quantiles of a uniform prior are clipped to [EDGE, 1 - EDGE]: the normal quantiles of 0 and 1 are infinite
)


def draw(prior: Prior, seed: int, n: int, truncation: float | None = None) -> np.ndarray:
    """Return ``(n, prior.dim)`` latents from ``prior``; latent i depends only on the seed and i.

    They are the latents of the samples of ``ganrun sample`` with the same seed. ``truncation`` is the bound of
    :func:`truncate`.
    """
    blocks = []
    for start in range(0, n, BATCH):
        key = block_key(seed, start)
        block = prior.draw(key_for(key, "noise"), BATCH)
        if truncation is not None:
            block = truncate(block, key_for(key, "truncation"), prior.name, truncation)
        blocks.append(np.asarray(block))
    return np.concatenate(blocks)[:n]


def truncate(latents: jax.Array, key: jax.Array, prior: str, bound: float) -> jax.Array:
    """Apply the truncation trick to ``latents`` of the ``prior``: samples become more typical and less diverse.

    For a normal prior, values beyond ``bound`` are resampled from the truncated prior, which is equivalent to rejection
    sampling; the others are unchanged. For a uniform prior, all values are multiplied by ``bound``.

    Paper: Brock et al. 2019, "Large scale GAN training for high fidelity natural image synthesis", section 3.1.
    """
    if prior == "uniform":
        return latents * bound
    inside = jax.random.truncated_normal(key, -bound, bound, latents.shape)
    return jnp.where(jnp.abs(latents) <= bound, latents, inside)


def walk(points: np.ndarray, prior: str, steps: int) -> np.ndarray:
    """Return a closed smooth walk ``(n, steps, dim)`` through ``points``; row i leads from point i to the next.

    If the ``points`` ``(n, dim)`` are independent draws from the prior, every latent of the walk has the prior's
    distribution: a weighted sum of independent standard normal latents is standard normal if the squared weights sum to
    1. The weights are those of a cubic spline, normalised accordingly. Latents of a uniform prior are mapped to normal
    ones by their quantiles.
    """
    points = np.asarray(points, np.float64)
    if prior == "uniform":
        quantiles = np.clip((points + 1.0) / 2.0, EDGE, 1.0 - EDGE)
        return 2.0 * ndtr(walk(ndtri(quantiles), "normal", steps)) - 1.0
    n = len(points)
    weights = _spline(np.arange(steps) / steps)
    # With fewer than four points, the four terms of a latent are not all independent: account for repeated ones.
    places = np.arange(4)
    same = (places[:, None] - places[None, :]) % n == 0
    weights /= np.sqrt(np.einsum("tk,kl,tl->t", weights, same, weights))[:, None]
    around = np.stack([np.roll(points, 1 - k, axis=0) for k in places])
    return np.einsum("tk,knd->ntd", weights, around)


def _spline(t: np.ndarray) -> np.ndarray:
    """Return the Catmull-Rom weights ``(steps, 4)`` of points -1, 0, 1 and 2 at the fractions ``t`` between 0 and 1."""
    before = (-(t**3) + 2 * t**2 - t) / 2
    at = (3 * t**3 - 5 * t**2 + 2) / 2
    after = (-3 * t**3 + 4 * t**2 + t) / 2
    beyond = (t**3 - t**2) / 2
    return np.stack([before, at, after, beyond], axis=1)


def pushing(experiment: Experiment, label: int | None) -> Callable[[Any, jax.Array], jax.Array]:
    """Return ``push(variables, latents)``: the samples of latents, of class ``label`` if the run has classes."""
    if label is None:
        return experiment.decode
    decode = experiment.method.decode
    return jax.jit(lambda variables, latents: decode(variables, latents, jnp.full(len(latents), label, jnp.int32)))


def encoder(experiment: Experiment, variables: Any) -> Callable[[Any], Any]:
    """Return the function from examples to latents; raise :class:`ConfigError` if the run has none."""
    require_encoder(experiment)
    return partial(experiment.encode, variables)


def require_encoder(experiment: Experiment) -> None:
    """Raise :class:`ConfigError` if the run has no function from examples to latents."""
    if "encode" not in experiment.method.capabilities:
        if experiment.method.classes:
            raise ConfigError("this run has no encoder of examples without their classes: use project=FILE.")
        raise ConfigError("this run has no encoder: use project=FILE, or train a GAN with inference=bigan.")

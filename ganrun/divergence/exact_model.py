"""The divergence of a known density from a model that can be followed or sampled, by whatever way suits the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ganrun.datasets.synthetic import Mixture
from ganrun.divergence import cells, exact
from ganrun.divergence.estimate import LOG_2
from ganrun.divergence.exact import Exact
from ganrun.divergence.plane import of_plane
from ganrun.divergence.side import Side

SMOOTHING = 0.5  # sigma of the smoothed divergence, in standard deviations of the data's narrowest mode
COPIES = 4  # noisy copies of each sample behind it


@dataclass(frozen=True)
class Smoothed:
    """The Jensen-Shannon divergence of data and model after Gaussian noise is added to both.

    Attributes:
        jsd: nats; at most the divergence without noise (data processing inequality).
        error: how far ``jsd`` may be off, nats.
        sigma: standard deviation of the noise along each axis, in the data's units.
    """

    jsd: float
    error: float
    sigma: float


@dataclass(frozen=True)
class Found:
    """What is known of a model exactly.

    Attributes:
        exact: the divergences themselves.
        missed: share of the data where the model has no density; None where that was not looked for.
        smoothed: where the model has no density at all; None elsewhere.
        samples: of the model that were drawn; 0 where it was followed.
    """

    exact: Exact
    missed: float | None = None
    smoothed: Smoothed | None = None
    samples: int = 0


def of_model(
    density: Mixture,
    model: Side,
    dense: Callable[[], np.ndarray],
    nodes: int = 512,
    points: int = 1 << 16,
    seed: int = 0,
) -> Found:
    """Return the divergences of ``density`` and ``model``.

    A model whose samples lie on a set of lower dimension than the data, such as a curve in the plane, has no density
    there: data and model are mutually singular, so the Jensen-Shannon divergence is log 2 and both KL are infinite,
    without any error, whatever the curve looks like (Arjovsky & Bottou 2017, theorem 2.2). That says nothing about
    how near the curve is, so it comes with :class:`Smoothed`.

    Args:
        density: the data, in one or two dimensions.
        model: must have ``draw``; is followed where it has ``push`` and as many latent numbers as the data.
        dense: returns many samples ``(n, d)`` of the model; called only where it is sampled.
        nodes: along each side of the grid on which a latent plane is followed where it cannot be in pieces.
        points: of each side, in the plane.
        seed: of the points, and of the noise.
    """
    if model.is_singular:
        return _of_singular(density, model, dense, seed)
    if model.push is not None and model.d == model.latent_dim == 1:
        return Found(exact.of_push(density, model.push, model.prior))
    if model.push is not None and model.d == model.latent_dim == 2:
        plane = of_plane(density, model.push, model.prior, nodes, points, seed, model.layers)
        return Found(Exact(plane.jsd, plane.kl_forward, plane.kl_reverse, None, plane.error), plane.missed)
    samples = dense()
    return Found(exact.of_samples(density, samples), samples=len(samples))


def _of_singular(density: Mixture, model: Side, dense: Callable[[], np.ndarray], seed: int) -> Found:
    infinite = float("inf")
    if model.push is not None and model.latent_dim == 1:
        # Evenly spaced latents stand for the whole curve, so that only the noise is left to chance.
        even = (np.arange(1 << 17) + 0.5) / (1 << 17)
        latents = 2 * even - 1 if model.prior == "uniform" else ndtri(even)
        rows, copies, drawn = model.push(latents[:, None].astype(np.float32)), COPIES, 0
    else:
        rows, copies = dense(), 1  # copies of a random sample are not independent
        drawn = len(rows)
    smoothed = of_smoothed(density, np.tile(rows, (copies, 1)), np.random.default_rng([seed, 2]))
    return Found(Exact(LOG_2, infinite, infinite, None, 0.0), missed=1.0, smoothed=smoothed, samples=drawn)


def of_smoothed(density: Mixture, samples: np.ndarray, rng: np.random.Generator) -> Smoothed:
    """Return the divergence of ``density`` and ``samples`` ``(n, dim)``, both with noise of half a mode's width.

    Sigma is :data:`SMOOTHING` times the standard deviation of the narrowest mode, so the data stay what they are while
    a curve within a mode becomes as wide as it.
    """
    means, stds, weights = cells.components(density)
    sigma = SMOOTHING * float(stds.min())
    noisy = samples + sigma * rng.standard_normal(samples.shape)
    found = exact.of_samples(Mixture(means, np.hypot(stds, sigma), weights), noisy)  # type: ignore[arg-type]
    return Smoothed(found.jsd, found.error, sigma)

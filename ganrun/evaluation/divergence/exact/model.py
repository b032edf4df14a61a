"""The divergence of a known density from a model, by integration over its latents where possible, else from samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ganrun.datasets import cells
from ganrun.datasets.synthetic import Mixture
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.estimate import LOG_2
from ganrun.evaluation.divergence.exact import densities
from ganrun.evaluation.divergence.exact.densities import Exact
from ganrun.evaluation.divergence.exact.plane import of_known, of_plane

SMOOTHING = 0.5  # sigma of the smoothed divergence, in standard deviations of the data's narrowest mode
COPIES = 4  # noisy copies of each sample for the smoothed divergence


@dataclass(frozen=True)
class Smoothed:
    """The Jensen-Shannon divergence of data and model after Gaussian noise is added to both.

    Attributes:
        jsd: nats; at most the divergence without noise (data processing inequality).
        error: error bound of ``jsd``, nats.
        sigma: standard deviation of the noise along each axis, in the data's units.
    """

    jsd: float
    error: float
    sigma: float


@dataclass(frozen=True)
class ModelDivergences:
    """The divergences of a model.

    Attributes:
        exact: the divergences themselves.
        missed: share of the data where the model has no density; None if not computed.
        smoothed: for a model without a density; None otherwise.
        samples: number of samples of the model; 0 if its latents were integrated over.
    """

    exact: Exact
    missed: float | None = None
    smoothed: Smoothed | None = None
    samples: int = 0


def of_model(
    density: Mixture,
    model: Distribution,
    dense: Callable[[], np.ndarray],
    nodes: int = 512,
    points: int = 1 << 16,
    seed: int = 0,
) -> ModelDivergences:
    """Return the divergences of ``density`` and ``model``.

    A model whose samples lie on a set of lower dimension than the data, such as a curve in the plane, has no density
    there: data and model are mutually singular, so the Jensen-Shannon divergence is exactly log 2 and both KL are
    infinite, whatever the shape of the curve (Arjovsky & Bottou 2017, theorem 2.2). These values carry no information
    about how close the curve is, so the result includes :class:`Smoothed`.

    Args:
        density: the data, in one or two dimensions.
        model: must have ``draw``. In the plane, its ``log_density`` is taken if it has one; otherwise, and on the line,
            its latents are integrated over if it has ``push`` and their dimension is the data's.
        dense: returns many samples ``(n, d)`` of the model; called only if it has to be sampled.
        nodes: grid nodes along each axis of a latent plane, for generators that are not piecewise linear.
        points: query points of data and of model each, in the plane.
        seed: of the query points, and of the noise.
    """
    if model.is_singular:
        return _of_singular(density, model, dense, seed)
    if model.push is not None and model.d == model.latent_dim == 1:
        return ModelDivergences(densities.of_push(density, model.push, model.prior))
    if model.log_density is not None and model.d == 2:
        plane = of_known(density, model.log_density, model.draw, model.push, points, seed)
        return ModelDivergences(Exact(plane.jsd, plane.kl_forward, plane.kl_reverse, None, plane.error), plane.missed)
    if model.push is not None and model.d == model.latent_dim == 2:
        plane = of_plane(density, model.push, model.prior, nodes, points, seed, model.layers)
        return ModelDivergences(Exact(plane.jsd, plane.kl_forward, plane.kl_reverse, None, plane.error), plane.missed)
    samples = dense()
    return ModelDivergences(densities.of_samples(density, samples), samples=len(samples))


def _of_singular(density: Mixture, model: Distribution, dense: Callable[[], np.ndarray], seed: int) -> ModelDivergences:
    infinite = float("inf")
    if model.push is not None and model.latent_dim == 1:
        # Quantiles of the prior represent the whole curve, so that only the noise is random.
        even = (np.arange(1 << 17) + 0.5) / (1 << 17)
        latents = 2 * even - 1 if model.prior == "uniform" else ndtri(even)
        rows, copies, drawn = model.push(latents[:, None].astype(np.float32)), COPIES, 0
    else:
        rows, copies = dense(), 1  # copies of a random sample are not independent
        drawn = len(rows)
    smoothed = of_smoothed(density, np.tile(rows, (copies, 1)), np.random.default_rng([seed, 2]))
    return ModelDivergences(Exact(LOG_2, infinite, infinite, None, 0.0), missed=1.0, smoothed=smoothed, samples=drawn)


def of_smoothed(density: Mixture, samples: np.ndarray, rng: np.random.Generator) -> Smoothed:
    """Return the divergence of ``density`` and ``samples`` ``(n, dim)``, both with noise of half a mode's width.

    Sigma is :data:`SMOOTHING` times the standard deviation of the narrowest mode: the data change little, while a curve
    within a mode becomes about as wide as the mode.
    """
    means, stds, weights = cells.components(density)
    sigma = SMOOTHING * float(stds.min())
    noisy = samples + sigma * rng.standard_normal(samples.shape)
    exact = densities.of_samples(Mixture(means, np.hypot(stds, sigma), weights), noisy)  # type: ignore[arg-type]
    return Smoothed(exact.jsd, exact.error, sigma)

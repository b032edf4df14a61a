"""Datasets whose density is known: mixtures of isotropic Gaussians in one or two dimensions.

Samples are drawn afresh inside every step, so there is no finite set to memorise. The held-out split is an
independent stream of the same density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.datasets.sampler import Cursor
from ganrun.errors import ConfigError
from ganrun.registry import number, register


@struct.dataclass
class Mixture:
    """A mixture of isotropic Gaussians; a source of endless samples and a density.

    Attributes:
        means: float32 ``(modes, dim)``.
        stds: float32 ``(modes,)``, standard deviation along each axis.
        weights: float32 ``(modes,)``, summing to 1.
    """

    SHARED: ClassVar[tuple[str, ...]] = ()

    means: jax.Array
    stds: jax.Array
    weights: jax.Array

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return ``n`` fresh samples ``(n, dim)``; the cursor stays where it is."""
        mode_key, noise_key = jax.random.split(key)
        mode = jax.random.choice(mode_key, self.means.shape[0], (n,), p=self.weights)
        noise = jax.random.normal(noise_key, (n, self.means.shape[1]))
        return self.means[mode] + self.stds[mode, None] * noise, cursor

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x) in nats for ``x`` of shape ``(n, dim)``, computed in double precision on the host."""
        means, stds, weights = (np.asarray(part, np.float64) for part in (self.means, self.stds, self.weights))
        square = np.sum((np.asarray(x, np.float64)[:, None, :] - means) ** 2, axis=-1)
        log_parts = np.log(weights) - 0.5 * square / stds**2 - means.shape[1] * np.log(stds * math.sqrt(2 * math.pi))
        top = log_parts.max(axis=1, keepdims=True)
        return top[:, 0] + np.log(np.exp(log_parts - top).sum(axis=1))


def mixture(means: np.ndarray, stds: np.ndarray | float, weights: np.ndarray | None = None) -> Mixture:
    """Build a :class:`Mixture`; ``stds`` may be one number, ``weights`` default to equal and are normalised."""
    means = np.asarray(means, np.float32)
    weights = np.ones(len(means)) if weights is None else np.asarray(weights, np.float64)
    return Mixture(
        means=jnp.asarray(means),
        stds=jnp.asarray(np.broadcast_to(np.asarray(stds, np.float32), (len(means),))),
        weights=jnp.asarray(weights / weights.sum(), jnp.float32),
    )


@register("dataset", "gaussian")
@dataclass(frozen=True)
class Gaussian:
    """One normal distribution on the line: N(mean, std^2)."""

    name: str = "gaussian"
    mean: float = number(0.0)
    std: float = number(1.0, low=1e-6, high=1e6)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1,)

    def density(self) -> Mixture:
        return mixture(np.array([[self.mean]]), self.std)


@register("dataset", "mixture1d")
@dataclass(frozen=True)
class Mixture1d:
    """A mixture of normal distributions on the line, one entry of each list per component."""

    name: str = "mixture1d"
    means: tuple[float, ...] = number((-1.5, 2.0))
    stds: tuple[float, ...] = number((0.7, 1.0), low=1e-6, high=1e6)
    weights: tuple[float, ...] = number((0.6, 0.4), above=0.0)

    def __post_init__(self) -> None:
        sizes = {len(self.means), len(self.stds), len(self.weights)}
        if sizes == {0} or len(sizes) > 1:
            raise ConfigError(
                f"dataset.means, dataset.stds and dataset.weights need one entry per component each, but have "
                f"{len(self.means)}, {len(self.stds)} and {len(self.weights)}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return (1,)

    def density(self) -> Mixture:
        return mixture(np.array(self.means)[:, None], np.array(self.stds), np.array(self.weights))


@register("dataset", "ring")
@dataclass(frozen=True)
class Ring:
    """Gaussians evenly spaced on a circle in the plane (8 of them in most papers)."""

    name: str = "ring"
    modes: int = number(8, low=1, high=1000)
    radius: float = number(2.0, above=0.0)
    std: float = number(0.02, low=1e-6, high=1e6)

    @property
    def shape(self) -> tuple[int, ...]:
        return (2,)

    def density(self) -> Mixture:
        angle = 2 * np.pi * np.arange(self.modes) / self.modes
        return mixture(self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), self.std)


@register("dataset", "grid")
@dataclass(frozen=True)
class Grid:
    """Gaussians on a square grid in the plane, centred on the origin (5 x 5 in most papers)."""

    name: str = "grid"
    side: int = number(5, low=1, high=100)
    spacing: float = number(2.0, above=0.0)
    std: float = number(0.05, low=1e-6, high=1e6)

    @property
    def shape(self) -> tuple[int, ...]:
        return (2,)

    def density(self) -> Mixture:
        line = self.spacing * (np.arange(self.side) - (self.side - 1) / 2)
        return mixture(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2), self.std)

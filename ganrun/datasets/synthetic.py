"""Datasets with a known density: mixtures of isotropic Gaussians in one or two dimensions.

Every step draws fresh samples, so there is no finite set to memorise. The held-out split is an independent stream of
samples of the same density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.config.registry import number, register
from ganrun.datasets.sampler import Cursor
from ganrun.errors import ConfigError
from ganrun.mesh import over_data


@struct.dataclass
class Mixture:
    """A mixture of isotropic Gaussians, as a density and as an infinite source of samples.

    Attributes:
        means: float32 ``(modes, dim)``.
        stds: standard deviation of each mode along each axis, float32 ``(modes,)``.
        weights: float32 ``(modes,)``, summing to 1.

    The label of a sample is the index of the component that it was drawn from.
    """

    SHARED: ClassVar[tuple[str, ...]] = ()

    means: jax.Array
    stds: jax.Array
    weights: jax.Array

    @property
    def classes(self) -> int:
        """Number of components, or 0 if there is only one."""
        return classes_of(self.means.shape[0])

    @property
    def class_probabilities(self) -> np.ndarray:
        """Frequency of each component, ``(components,)``."""
        return np.asarray(self.weights)

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return ``n`` fresh samples ``(n, dim)``; the cursor is unchanged."""
        x, _, cursor = self.labelled(key, cursor, n)
        return x, cursor

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return the samples of :meth:`minibatch`, their components int32 ``(n,)``, and the cursor."""
        mode_key, noise_key = jax.random.split(key)
        mode = self.labels(mode_key, n)
        noise = jax.random.normal(noise_key, (n, self.means.shape[1]))
        return over_data(self.means[mode] + self.stds[mode, None] * noise), mode, cursor

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Return ``n`` random components, int32 ``(n,)``, drawn with the mixture's weights."""
        return jax.random.choice(key, self.means.shape[0], (n,), p=self.weights).astype(jnp.int32)

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


def classes_of(components: int) -> int:
    """Return the number of classes of a mixture of this many ``components``; a single component has none."""
    return components if components > 1 else 0


@register("dataset", "gaussian")
@dataclass(frozen=True)
class Gaussian:
    """One normal distribution on the line.

    Formula: p(x) = N(x; mean, std²)
    """

    name: str = "gaussian"
    mean: float = number(0.0)
    std: float = number(1.0, low=1e-6, high=1e6)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (1,)

    @property
    def classes(self) -> int:
        """Number of classes; 0 if there are none."""
        return 0

    def density(self) -> Mixture:
        """Return the density, which is also the source of samples."""
        return mixture(np.array([[self.mean]]), self.std)


@register("dataset", "mixture1d")
@dataclass(frozen=True)
class Mixture1d:
    """A mixture of normal distributions on the line, one entry of each list per component.

    Formula: p(x) = sum_i weights_i N(x; means_i, stds_i²), with weights that sum to 1 once normalised
    """

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
        """Shape of one example."""
        return (1,)

    @property
    def classes(self) -> int:
        """Number of classes; 0 if there are none."""
        return classes_of(len(self.means))

    def density(self) -> Mixture:
        """Return the density, which is also the source of samples."""
        return mixture(np.array(self.means)[:, None], np.array(self.stds), np.array(self.weights))


@register("dataset", "ring")
@dataclass(frozen=True)
class Ring:
    """Gaussians evenly spaced on a circle in the plane (8 of them in most papers).

    Formula: p(x) = 1/modes sum_i N(x; radius (cos a_i, sin a_i), std² I), a_i = 2π i / modes, i = 0 ... modes - 1
    Paper: Metz et al. 2017, "Unrolled generative adversarial networks", section 3.1.
    """

    name: str = "ring"
    modes: int = number(8, low=1, high=1000)
    radius: float = number(2.0, above=0.0)
    std: float = number(0.02, low=1e-6, high=1e6)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (2,)

    @property
    def classes(self) -> int:
        """Number of classes; 0 if there are none."""
        return classes_of(self.modes)

    def density(self) -> Mixture:
        """Return the density, which is also the source of samples."""
        angle = 2 * np.pi * np.arange(self.modes) / self.modes
        return mixture(self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), self.std)


@register("dataset", "grid")
@dataclass(frozen=True)
class Grid:
    """Gaussians on a square grid in the plane, centred on the origin (5 x 5 in most papers).

    Formula: p(x) = 1/side² sum_ij N(x; spacing (i - c, j - c), std² I), c = (side - 1)/2, i, j = 0 ... side - 1
    Paper: Dumoulin et al. 2017, "Adversarially learned inference"; Srivastava et al. 2017, "VEEGAN: reducing mode
    collapse in GANs using implicit variational learning".
    """

    name: str = "grid"
    side: int = number(5, low=1, high=100)
    spacing: float = number(2.0, above=0.0)
    std: float = number(0.05, low=1e-6, high=1e6)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (2,)

    @property
    def classes(self) -> int:
        """Number of classes; 0 if there are none."""
        return classes_of(self.side**2)

    def density(self) -> Mixture:
        """Return the density, which is also the source of samples."""
        line = self.spacing * (np.arange(self.side) - (self.side - 1) / 2)
        return mixture(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2), self.std)

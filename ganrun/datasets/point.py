"""A dataset without a density: a single point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.config.registry import number, register
from ganrun.datasets.sampler import Cursor
from ganrun.errors import ConfigError

NO_CLASSES = "a single point has no classes"


@struct.dataclass
class Point:
    """A point mass on the line; an infinite source of the same example.

    Attributes:
        at: position of the mass, float32 ``()``.
    """

    SHARED: ClassVar[tuple[str, ...]] = ()

    at: jax.Array

    @property
    def classes(self) -> int:
        """Number of classes: 0."""
        return 0

    @property
    def class_probabilities(self) -> np.ndarray:
        """Raise ValueError: there are no classes."""
        raise ValueError(NO_CLASSES)

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return the point ``n`` times, ``(n, 1)``; the cursor is unchanged."""
        del key
        return jnp.full((n, 1), self.at), cursor

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Raise ValueError: there are no classes."""
        raise ValueError(NO_CLASSES)

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Raise ValueError: there are no classes."""
        raise ValueError(NO_CLASSES)


@register("dataset", "dirac")
@dataclass(frozen=True)
class Dirac:
    """A point mass on the line: the data of the Dirac-GAN, whose training dynamics are known analytically.

    It has no density: the divergence of a generator with no mass at exactly this point is log 2.

    Formula: p = δ(x - at)
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 2, definition 2.1.
    """

    name: str = "dirac"
    at: float = number(0.0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (1,)

    @property
    def classes(self) -> int:
        """Number of classes; 0 if there are none."""
        return 0

    def source(self) -> Point:
        """Return the source of examples."""
        return Point(at=jnp.float32(self.at))

    def load(self, data_dir: Path, labels: bool = False) -> NoReturn:
        """Raise ConfigError: there is no finite set of examples."""
        raise ConfigError("dirac is a single point, without a density or a set of examples to compare with.")

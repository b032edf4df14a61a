"""Data without a density: one point, always the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.datasets.sampler import Cursor
from ganrun.errors import ConfigError
from ganrun.registry import number, register

NO_CLASSES = "a single point has no classes"


@struct.dataclass
class Point:
    """All of the mass on one number; a source that never ends and never varies.

    Attributes:
        at: float32 ``()``, where the mass is.
    """

    SHARED: ClassVar[tuple[str, ...]] = ()

    at: jax.Array

    @property
    def classes(self) -> int:
        """How many classes there are: none."""
        return 0

    @property
    def class_probabilities(self) -> np.ndarray:
        """Raise ValueError: there are no classes."""
        raise ValueError(NO_CLASSES)

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return the point ``n`` times, ``(n, 1)``; the cursor stays where it is."""
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
    """A point mass on the line: the data of the Dirac-GAN, on which the dynamics of training can be worked out.

    It has no density: any generator that does not put mass on the very point is at the divergence log 2.

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
        """How many classes there are; 0 without any."""
        return 0

    def source(self) -> Point:
        """Return the source of examples."""
        return Point(at=jnp.float32(self.at))

    def load(self, data_dir: Path, labels: bool = False) -> NoReturn:
        """Raise ConfigError: whoever wants a finite set of examples cannot have one."""
        raise ConfigError("dirac is a single point, without a density or a set of examples to compare with.")

"""A dataset with a known density."""

from dataclasses import dataclass

import numpy as np

from ganrun.config.registry import number, register
from ganrun.datasets.synthetic import Mixture, classes_of, mixture


@register("dataset", "row")
@dataclass(frozen=True)
class Row:
    """Gaussians evenly spaced on a line through the plane.

    Formula: p(x) = 1/modes sum_i N(x; (2 i - modes + 1, 0), std² I), i = 0 ... modes - 1
    """

    name: str = "row"
    modes: int = number(3, low=1, high=100)
    std: float = number(0.2, low=1e-6, high=1e6)

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
        places = 2.0 * np.arange(self.modes) - self.modes + 1
        return mixture(np.stack([places, np.zeros(self.modes)], axis=1), self.std)

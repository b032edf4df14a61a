"""The distributions p(x|z) of an example given its latent: independent elements, whose parameters a decoder computes.

Examples and outputs have the shape of the data; the last axis of the outputs holds the parameters of each element.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

LEVELS = 256  # values of an 8-bit pixel, evenly spaced in [-1, 1]
HALF = 1.0 / (LEVELS - 1)  # half the distance between two of them
MIN_LOG_SCALE = -7.0  # of the discretised logistic distribution, as in Salimans et al. 2017: a quarter of HALF
MAX_LOG_SCALE = 7.0  # likewise: above it, nearly all mass is that of the lowest and the highest level


@dataclass(frozen=True)
class Likelihood(ABC):
    """The distribution of an example given the decoder's outputs.

    Attributes:
        OUTPUTS: outputs of the decoder network per element.
        SHARED_SCALE: whether the last parameter is not an output but one learned number for all elements.
    """

    OUTPUTS: ClassVar[int]
    SHARED_SCALE: ClassVar[bool] = False

    def observed(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """Return the examples as this distribution observes them, of the same shape as ``x`` ``(n, *shape)``."""
        del key
        return x

    @abstractmethod
    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        """Return log p of each element in nats, ``(n, *shape)``.

        Args:
            parameters: ``(n, *shape, parameters)``.
            x: examples ``(n, *shape)`` as observed.
        """

    @abstractmethod
    def mean(self, parameters: jax.Array) -> jax.Array:
        """Return the mean of each element in the range of the data, ``(n, *shape)``."""

    @abstractmethod
    def sample(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        """Return one draw of each element, ``(n, *shape)``."""


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """White or black pixels, for images: a grey value is the probability of white.

    Every observation is a fresh draw (dynamic binarisation), so log p(x) is that of binarised images and not comparable
    with values for another binarisation. A sample is not binarised: it shows the probability of white of each pixel,
    the same reading of grey as for data.

    Formula: log p(x) = x l - log(1 + e^l) with the logit l, for x = 0 (black) or 1 (white)
    Paper: Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks", for the binarisation.
    """

    OUTPUTS: ClassVar[int] = 1

    def observed(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """Return -1 or 1 for each pixel of ``x`` in [-1, 1]; 1 with probability (x + 1) / 2."""
        white = jax.random.uniform(key, x.shape, x.dtype) < (x + 1.0) / 2.0
        return jnp.where(white, 1.0, -1.0).astype(x.dtype)

    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        return jax.nn.log_sigmoid(parameters[..., 0] * x)

    def mean(self, parameters: jax.Array) -> jax.Array:
        return jnp.tanh(parameters[..., 0] / 2.0)  # 2 sigmoid(l) - 1

    def sample(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        """Return the means, not draws."""
        del key
        return self.mean(parameters)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Normal elements with one learned standard deviation for all of them, for vectors and images.

    Formula: log p(x) = -(x - m)² / (2 s²) - log s - log(2π) / 2
    """

    OUTPUTS: ClassVar[int] = 1
    SHARED_SCALE: ClassVar[bool] = True

    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        mean, log_std = parameters[..., 0], parameters[..., 1]
        return -0.5 * ((x - mean) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi)

    def mean(self, parameters: jax.Array) -> jax.Array:
        return parameters[..., 0]

    def sample(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        mean, log_std = parameters[..., 0], parameters[..., 1]
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)


@dataclass(frozen=True)
class DiscretisedLogistic(Likelihood):
    """A logistic distribution over the 256 levels of an 8-bit pixel.

    A level has the mass of the interval half-way to its neighbours; the lowest and the highest level have that of
    everything below and above. It is computed as a sum of logarithms, which is exact where both CDFs are nearly equal.

    Formula: p(x) = F((x + h - m) / s) - F((x - h - m) / s), F(t) = 1 / (1 + e^-t), h = 1/255
    Paper: Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow"; Salimans et al. 2017,
    "PixelCNN++", section 2.1, for one component of the mixture.
    """

    OUTPUTS: ClassVar[int] = 2

    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        location, log_scale = self._location_and_log_scale(parameters)
        centred, inverse = x - location, jnp.exp(-log_scale)
        above, below = (centred + HALF) * inverse, (centred - HALF) * inverse
        # F(a) - F(b) = F(a) (1 - F(b)) (1 - e^(b - a)).
        inner = jax.nn.log_sigmoid(above) + jax.nn.log_sigmoid(-below) + jax.nn.log1mexp(2.0 * HALF * inverse)
        lowest, highest = x < -1.0 + HALF, x > 1.0 - HALF
        outer = jnp.where(lowest, jax.nn.log_sigmoid(above), jax.nn.log_sigmoid(-below))
        return jnp.where(lowest | highest, outer, inner)

    def mean(self, parameters: jax.Array) -> jax.Array:
        """Return the location, which is the median, in the range of the data."""
        return jnp.clip(self._location_and_log_scale(parameters)[0], -1.0, 1.0)

    def sample(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        """Return draws of the levels: of the continuous distribution, rounded to a level and clipped."""
        location, log_scale = self._location_and_log_scale(parameters)
        draw = location + jnp.exp(log_scale) * jax.random.logistic(key, location.shape, location.dtype)
        return jnp.clip(jnp.rint((draw + 1.0) / (2.0 * HALF)), 0, LEVELS - 1) * (2.0 * HALF) - 1.0

    @staticmethod
    def _location_and_log_scale(parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        return parameters[..., 0], jnp.clip(parameters[..., 1], MIN_LOG_SCALE, MAX_LOG_SCALE)


LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(),
    "logistic": DiscretisedLogistic(),
}

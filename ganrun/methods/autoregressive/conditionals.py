"""The distributions p(x_i | x_1, ..., x_i-1) of one element given the earlier ones; a network computes parameters.

Parameters have the shape of the elements and one more axis, the last one, with :attr:`Conditional.outputs` values. The
parameters of a mixture are the logits of its weights, then the locations, then the log scales of its components. The
components of outputs that are all zero are evenly spaced, so that they differ before the first step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.keys import key_for
from ganrun.methods.likelihoods import Bernoulli, DiscretisedLogistic

MIN_LOG_STD = -7.0  # of a normal component: bounds the density of data that repeat values
SPREAD = 3.0  # the components of outputs that are zero lie between -SPREAD and SPREAD, for vectors


@dataclass(frozen=True)
class Conditional(ABC):
    """The distribution of an element given the outputs of a network."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Outputs of the network per element."""

    def observed(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """Return the examples as this distribution observes them, of the same shape as ``x`` ``(n, *shape)``."""
        del key
        return x

    @abstractmethod
    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        """Return log p of each element of ``x`` in nats; ``parameters`` is ``(*x.shape, outputs)``."""

    @abstractmethod
    def draw(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        """Return one draw for each of ``parameters`` ``(..., outputs)``: values that later elements depend on."""

    def shown(self, parameters: jax.Array, drawn: jax.Array) -> jax.Array:
        """Return what a sample shows of elements that were ``drawn``; by default themselves."""
        del parameters
        return drawn


@dataclass(frozen=True)
class BernoulliConditional(Conditional):
    """White or black pixels, for images: :class:`ganrun.methods.likelihoods.Bernoulli`.

    Later pixels depend on draws of the earlier ones. A sample shows the probability of white of each pixel given those
    draws, the same reading of grey as for data.
    """

    @property
    def outputs(self) -> int:
        return 1

    def observed(self, x: jax.Array, key: jax.Array) -> jax.Array:
        return Bernoulli().observed(x, key)

    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        return Bernoulli().log_prob(parameters, x)

    def draw(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        return Bernoulli().observed(Bernoulli().mean(parameters), key)

    def shown(self, parameters: jax.Array, drawn: jax.Array) -> jax.Array:
        return Bernoulli().mean(parameters)


@dataclass(frozen=True)
class Mixture(Conditional):
    """A mixture of several components of one family.

    Formula: p(x) = sum_k w_k p_k(x), with w = softmax of the logits

    Attributes:
        components: number of components.
    """

    components: int = 10

    @property
    def outputs(self) -> int:
        return 3 * self.components

    @property
    @abstractmethod
    def reach(self) -> float:
        """Components of outputs that are zero lie between minus this and this, as wide as half their distance."""

    @abstractmethod
    def component_log_prob(self, location: jax.Array, log_scale: jax.Array, x: jax.Array) -> jax.Array:
        """Return the log density of ``x`` under components, all of the same shape."""

    @abstractmethod
    def component_draw(self, location: jax.Array, log_scale: jax.Array, key: jax.Array) -> jax.Array:
        """Return one draw of each component."""

    def log_prob(self, parameters: jax.Array, x: jax.Array) -> jax.Array:
        logits, location, log_scale = self._split(parameters)
        each = self.component_log_prob(location, log_scale, jnp.broadcast_to(x[..., None], location.shape))
        return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each, axis=-1)

    def draw(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        logits, location, log_scale = self._split(parameters)
        chosen = jax.random.categorical(key_for(key, "component"), logits)[..., None]
        location, log_scale = (jnp.take_along_axis(part, chosen, axis=-1)[..., 0] for part in (location, log_scale))
        return self.component_draw(location, log_scale, key_for(key, "value"))

    def _split(self, parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return the logits, the locations and the log scales ``(..., components)``."""
        logits, location, log_scale = jnp.split(parameters, 3, axis=-1)
        k = np.arange(self.components, dtype=np.float32)
        centres = self.reach * ((2 * k + 1) / self.components - 1)
        return logits, location + centres, log_scale + np.float32(np.log(self.reach / self.components))


@dataclass(frozen=True)
class LogisticMixture(Mixture):
    """A mixture of discretised logistic distributions over the 256 levels of an 8-bit pixel.

    Paper: Salimans et al. 2017, "PixelCNN++", section 2.1, here with a mixture of its own for each channel, given the
    earlier channels.
    """

    @property
    def reach(self) -> float:
        return 1.0

    def component_log_prob(self, location: jax.Array, log_scale: jax.Array, x: jax.Array) -> jax.Array:
        return DiscretisedLogistic().log_prob(self._parameters(location, log_scale), x)

    def component_draw(self, location: jax.Array, log_scale: jax.Array, key: jax.Array) -> jax.Array:
        return DiscretisedLogistic().sample(self._parameters(location, log_scale), key)

    @staticmethod
    def _parameters(location: jax.Array, log_scale: jax.Array) -> jax.Array:
        return jnp.stack([location, log_scale], axis=-1)


@dataclass(frozen=True)
class GaussianMixture(Mixture):
    """A mixture of normal distributions, for vectors and images.

    Formula: p_k(x) = N(x; m_k, s_k²), with s_k at least e^-7
    Paper: Uria et al. 2013, "RNADE: the real-valued neural autoregressive density-estimator", eq. 3.
    """

    @property
    def reach(self) -> float:
        return SPREAD

    def component_log_prob(self, location: jax.Array, log_scale: jax.Array, x: jax.Array) -> jax.Array:
        log_std = jnp.maximum(log_scale, MIN_LOG_STD)
        return -0.5 * ((x - location) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi)

    def component_draw(self, location: jax.Array, log_scale: jax.Array, key: jax.Array) -> jax.Array:
        std = jnp.exp(jnp.maximum(log_scale, MIN_LOG_STD))
        return location + std * jax.random.normal(key, location.shape, location.dtype)


CONDITIONALS = ("bernoulli", "gaussian", "logistic")


def conditional_of(name: str, components: int) -> Conditional:
    """Return the distribution ``name``, one of :data:`CONDITIONALS`; mixtures have ``components``."""
    if name == "bernoulli":
        return BernoulliConditional()
    return (GaussianMixture if name == "gaussian" else LogisticMixture)(components)

"""Distributions on the line by quadrature: expectations of ganrun's own losses without sampling error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PANELS, NODES = 1200, 8  # Gauss-Legendre panels, and nodes of each
RANGE = 24.0  # the integrals run over [-24, 24], where all densities of the experiments lie
LOG_ROOT = 0.5 * float(np.log(2 * np.pi))


def nodes() -> tuple[jax.Array, jax.Array]:
    """Return the points and the weights of the quadrature, each ``(points,)``."""
    at, weight = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(-RANGE, RANGE, PANELS + 1)
    half = np.diff(edges)[:, None] / 2
    points = (edges[:-1, None] + half * (1 + at)).ravel()
    return jnp.asarray(points), jnp.asarray((half * weight).ravel())


@dataclass(frozen=True)
class Mixture:
    """A mixture of normal distributions; the fields are one number per component, which may be traced."""

    means: Any
    stds: Any
    weights: Any = (1.0,)

    def log_density(self, x: jax.Array) -> jax.Array:
        """Return log p(x), nats, for ``x`` ``(n,)``."""
        means, stds, weights = (jnp.asarray(value, x.dtype) for value in (self.means, self.stds, self.weights))
        each = -0.5 * ((x[:, None] - means) / stds) ** 2 - jnp.log(stds) - LOG_ROOT + jnp.log(weights)
        return jax.nn.logsumexp(each, axis=1)

    def draw(self, generator: np.random.Generator, n: int) -> np.ndarray:
        """Return ``n`` samples ``(n, 1)``."""
        kind = generator.choice(len(self.means), size=n, p=np.asarray(self.weights))
        return generator.normal(np.asarray(self.means)[kind], np.asarray(self.stds)[kind]).astype(np.float32)[:, None]


MIXTURE1D = Mixture([-1.5, 2.0], [0.7, 1.0], (0.6, 0.4))  # the default data of dataset=mixture1d


def normal(mean: Any = 0.0, std: Any = 1.0) -> Mixture:
    """Return the normal distribution with this mean and standard deviation."""
    return Mixture([mean], [std])


def hparams_of(loss: Any) -> dict[str, jax.Array]:
    """Return the hyperparameters of ``loss`` as its functions take them."""
    values = {name: getattr(loss, name) for name in getattr(loss, "__dataclass_fields__", {})}
    return {name: jnp.asarray(value) for name, value in values.items() if isinstance(value, float)}


def expectation(of: Callable[[jax.Array], jax.Array], p: Mixture) -> jax.Array:
    """Return E of(x) for x from ``p``, where ``of`` maps ``(n,)`` to ``(n,)``."""
    x, weight = nodes()
    mass = weight * jnp.exp(p.log_density(x))
    return jnp.sum(jnp.where(mass > 0, mass * of(x), 0.0))


def discriminator_loss(loss: Any, logit: Callable[[jax.Array], jax.Array], p: Mixture, q: Mixture) -> jax.Array:
    """Return the discriminator's loss for data ``p``, a model ``q`` and a discriminator with these logits.

    A loss is a mean over examples of the data plus a mean over samples. Each is evaluated on one example at a time.
    """
    hparams, zero = hparams_of(loss), jnp.zeros((1,))

    def on_data(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda value: loss.discriminator(value[None], zero, hparams))(logit(x))

    def on_samples(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda value: loss.discriminator(zero, value[None], hparams))(logit(x))

    return expectation(on_data, p) + expectation(on_samples, q) - loss.discriminator(zero, zero, hparams)


def generator_loss(loss: Any, logit: Callable[[jax.Array], jax.Array], mean: jax.Array, std: jax.Array) -> jax.Array:
    """Return the generator's loss for G(z) = mean + std z with standard normal z, against these logits."""
    hparams = hparams_of(loss)

    def of(z: jax.Array) -> jax.Array:
        return jax.vmap(lambda value: loss.generator(None, value[None], hparams))(logit(mean + std * z))

    return expectation(of, normal())


def generator_gradient(loss: Any, p: Mixture, mean: float, std: float, ratio: Any = None) -> np.ndarray:
    """Return the gradient of the generator's loss by (mean, std), with D fixed at its optimum for this generator.

    Args:
        loss: an option of the group ``loss``.
        p: the data.
        mean: mean of the generator, a normal distribution.
        std: its standard deviation.
        ratio: maps log p - log q to the discriminator's output; None: the identity, which is optimal for logits.
    """
    q = normal(mean, std)

    def logit(x: jax.Array) -> jax.Array:
        found = p.log_density(x) - q.log_density(x)
        return found if ratio is None else ratio(found)

    gradient = jax.grad(lambda theta: generator_loss(loss, logit, theta[0], theta[1]))
    return np.asarray(gradient(jnp.asarray([mean, std])))


def kl(p: Mixture, q: Mixture) -> jax.Array:
    """Return KL(p, q), nats."""
    return expectation(lambda x: p.log_density(x) - q.log_density(x), p)


def jsd(p: Mixture, q: Mixture) -> jax.Array:
    """Return the Jensen-Shannon divergence of ``p`` and ``q``, nats."""

    def to_middle(one: Mixture, x: jax.Array) -> jax.Array:
        middle = jnp.logaddexp(p.log_density(x), q.log_density(x)) - jnp.log(2.0)
        return one.log_density(x) - middle

    halves = [expectation(lambda x, one=one: to_middle(one, x), one) for one in (p, q)]
    return 0.5 * sum(halves, start=jnp.zeros(()))

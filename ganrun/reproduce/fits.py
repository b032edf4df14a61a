"""The best normal distribution for given data by each divergence of ganrun's f-GAN loss."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from ganrun.methods.gan.losses import FGan
from ganrun.reproduce.line import Mixture, discriminator_loss, generator_loss, normal

TARGET = Mixture([-1.0, 2.0], [0.255, 1.415], (0.33, 0.67))  # found by solving for the fifteen published numbers
# The network's output at the optimum, g_f(v) = f'(p/q), given log p - log q.
OPTIMA: dict[str, Callable[[jax.Array], jax.Array]] = {
    "kl": lambda r: 1.0 + r,
    "reverse_kl": lambda r: r,
    "js": lambda r: r,
    "jeffrey": lambda r: 1.0 + r - jnp.exp(-r),
    "pearson": lambda r: 2.0 * jnp.expm1(r),
}


def fit(name: str, start: tuple[float, float], target: Mixture = TARGET) -> tuple[float, float, float]:
    """Return the divergence at the best normal model, its mean and its standard deviation, by ganrun's own losses.

    Args:
        name: the divergence.
        start: mean and standard deviation from which the search begins.
        target: the data.
    """
    loss = FGan(divergence=name)

    def gradient(theta: jax.Array) -> jax.Array:
        logit = _optimum(name, target, normal(*jax.lax.stop_gradient(theta)))
        return jax.grad(lambda moved: generator_loss(loss, logit, moved[0], moved[1]))(theta)

    compiled = jax.jit(gradient)
    found = optimize.root(lambda theta: np.asarray(compiled(jnp.asarray(theta))), np.array(start), tol=1e-10)
    q = normal(*found.x)
    value = -float(discriminator_loss(loss, _optimum(name, target, q), target, q))
    return value, float(found.x[0]), float(found.x[1])


def _optimum(name: str, p: Mixture, q: Mixture) -> Callable[[jax.Array], jax.Array]:
    return lambda x: OPTIMA[name](p.log_density(x) - q.log_density(x))

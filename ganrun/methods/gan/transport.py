"""The transport term of the generator's update, and the normalisation of the adversarial gradient beside it.

Whatever distribution G(z) has, many maps have it. With the term, the generator prefers maps that move the latents
little: at the optimum of a term of small weight it is the optimal transport map for the squared distance.

Formula: minimise L_adversarial + w E ||G(z) - z||² / n, for latents and samples of n numbers
Paper: Lin et al. 2025, "Adversarial flow models" (arXiv 2511.22475), section 3.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.optimizers import between

SMALLEST = 1e-20  # added to a mean square by whose root a gradient is divided
TAGS = ("transport/cost", "transport/weight")


def cost(samples: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the mean square of the elements of ``samples`` ``(m, *shape)`` minus ``noise`` ``(m, n)``."""
    return jnp.mean((samples.reshape(noise.shape) - noise) ** 2)


def weight(decay: str, hparams: dict[str, jax.Array], done: jax.Array) -> jax.Array:
    """Return the weight w of the term when a fraction ``done`` of the run is done."""
    return between(hparams["transport"], hparams["final_transport"], done, decay)


def normaliser(
    gradient: jax.Array, before: jax.Array, updates: jax.Array, decay: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the divisor of the adversarial gradient, and the moving average that it is computed from.

    Divided by it, the gradient at the samples of a minibatch has the norm 1 / sqrt(m n) on average: that of a mean over
    m n elements of slope 1. The weight of the transport term then means the same for every discriminator. In contrast
    to the paper's code, the average is corrected for its start at zero.

    Formula: g / sqrt(mean of m n ||g||²), the mean being an exponential moving average
    Paper: Lin et al. 2025, "Adversarial flow models", section 3, on gradient normalisation.

    Args:
        gradient: g, the gradient of the adversarial loss with respect to the samples, ``(m, *shape)``.
        before: the moving average before this update, a scalar.
        updates: number of updates before this one.
        decay: of the moving average.
    """
    average = decay * before + (1.0 - decay) * gradient.size * jnp.sum(gradient**2)
    corrected = average / (1.0 - decay ** (updates + 1))
    return jnp.sqrt(corrected + SMALLEST), average

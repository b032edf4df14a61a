"""A loss of a critic that is robust to outliers."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.config.registry import number, register
from ganrun.methods.gan.losses import Hparams, Loss


@register("loss", "least_absolute")
@dataclass(frozen=True)
class LeastAbsolute(Loss):
    """The critic C is regressed on a target for data and on 0 for samples, by absolute and not by squared errors.

    Formula: C minimises E |C(x) - t| + E |C(G(z))|, G minimises E |C(G(z)) - t|, with t = target
    """

    name: str = "least_absolute"
    target: float = number(1.0, above=0.0)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(jnp.abs(real_logits - hparams["target"])) + jnp.mean(jnp.abs(fake_logits))

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(jnp.abs(fake_logits - hparams["target"]))

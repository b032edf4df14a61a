"""The last layers of all discriminators: features, minibatch features, logits, and the class projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import Projection
from ganrun.architectures.layers import leaky_relu
from ganrun.architectures.minibatch import MINIBATCH, with_minibatch
from ganrun.config.registry import choice, number

PAIR = 256  # units of the layers that combine features with a latent
dense_init = nn.initializers.lecun_normal()


def keep_features(network: nn.Module, h: jax.Array) -> None:
    """Store ``h`` as ``features/last`` if the collection ``features`` is mutable; otherwise do nothing."""
    if not network.is_initializing():  # features are not part of the initial variables
        network.sow("features", "last", h, reduce_fn=lambda _, new: new, init_fn=lambda: h)


class Discriminator(nn.Module, kw_only=True):
    """Base class of discriminators: subclasses compute features and pass them to :meth:`head`.

    Attributes:
        classes: number of classes that it is conditioned on; 0: none.
        outputs: outputs per example.
        minibatch: minibatch features: ``none``, ``stddev`` or ``discrimination``.
        kernels: number of projections of minibatch discrimination.
        row: dimension of each projection.
    """

    classes: int = 0
    outputs: int = 1
    minibatch: str = "none"
    kernels: int = 16
    row: int = 5

    def head(
        self,
        h: jax.Array,
        y: jax.Array | None,
        z: jax.Array | None = None,
        kernel_init: nn.initializers.Initializer = dense_init,
    ) -> jax.Array:
        """Map the last activations ``(n, ...)`` to logits, ``(n,)`` or ``(n, outputs)``. Call it once per network.

        If latents ``z`` ``(n, d)`` are given, a further layer combines them with the activations: a sum of separate
        terms could not depend on whether the two belong together.
        """
        h = h.reshape(h.shape[0], -1)
        if z is not None:
            latent = leaky_relu(nn.Dense(PAIR, name="latent")(z))
            h = leaky_relu(nn.Dense(PAIR, name="pair")(jnp.concatenate([h, latent], axis=-1)))
        keep_features(self, h)
        features = with_minibatch(h, self.minibatch, self.kernels, self.row)
        logits = nn.Dense(self.outputs, kernel_init=kernel_init)(features)
        if self.classes:
            logits = logits + Projection(self.classes, self.outputs)(h, y)
        return logits[:, 0] if self.outputs == 1 else logits


@dataclass(frozen=True, kw_only=True)
class MinibatchOption:
    """Base class of architecture options with the settings of the discriminator's minibatch features.

    Attributes:
        minibatch: ``none``, ``stddev`` (the mean standard deviation of the features) or ``discrimination`` (how close
            each row is to the others).
        minibatch_kernels: number of projections in which ``discrimination`` compares rows.
        minibatch_row: dimension of each projection.
    """

    minibatch: str = choice("none", MINIBATCH)
    minibatch_kernels: int = number(16, low=1, high=65_536)
    minibatch_row: int = number(5, low=1, high=65_536)

    def head_options(self, classes: int, outputs: int) -> dict[str, Any]:
        """Return the keyword arguments of :class:`Discriminator`."""
        return {
            "classes": classes,
            "outputs": outputs,
            "minibatch": self.minibatch,
            "kernels": self.minibatch_kernels,
            "row": self.minibatch_row,
        }

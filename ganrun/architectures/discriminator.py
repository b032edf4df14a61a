"""What all discriminators end with: their features, what the minibatch says, the logits, and the class's share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import Projection
from ganrun.architectures.layers import leaky_relu
from ganrun.architectures.minibatch import MINIBATCH, with_minibatch
from ganrun.registry import choice, number

PAIR = 256  # units that judge features and a latent together
dense_init = nn.initializers.lecun_normal()


def keep_features(network: nn.Module, h: jax.Array) -> None:
    """Leave ``h`` under ``features/last`` where the caller asked for it by ``mutable``; else do nothing."""
    if not network.is_initializing():  # what a network starts with is its state only
        network.sow("features", "last", h, reduce_fn=lambda _, new: new, init_fn=lambda: h)


class Discriminator(nn.Module, kw_only=True):
    """A network that judges examples; the parts that differ come before :meth:`judge`.

    Attributes:
        classes: of labels that it takes into account; 0: none.
        outputs: numbers per example.
        minibatch: what it is told of the minibatch: ``none``, ``stddev`` or ``discrimination``.
        kernels: projections of minibatch discrimination.
        row: numbers in each.
    """

    classes: int = 0
    outputs: int = 1
    minibatch: str = "none"
    kernels: int = 16
    row: int = 5

    def judge(
        self,
        h: jax.Array,
        y: jax.Array | None,
        z: jax.Array | None = None,
        kernel_init: nn.initializers.Initializer = dense_init,
    ) -> jax.Array:
        """Map the last activations ``(n, ...)`` to logits, ``(n,)`` or ``(n, outputs)``; to be called once.

        Given latents ``z`` ``(n, d)``, it judges the pair: a further layer sees both, since a sum of what each says
        by itself could not tell whether they belong together.
        """
        h = h.reshape(h.shape[0], -1)
        if z is not None:
            latent = leaky_relu(nn.Dense(PAIR, name="latent")(z))
            h = leaky_relu(nn.Dense(PAIR, name="pair")(jnp.concatenate([h, latent], axis=-1)))
        keep_features(self, h)
        seen = with_minibatch(h, self.minibatch, self.kernels, self.row)
        logits = nn.Dense(self.outputs, kernel_init=kernel_init)(seen)
        if self.classes:
            logits = logits + Projection(self.classes, self.outputs)(h, y)
        return logits[:, 0] if self.outputs == 1 else logits


@dataclass(frozen=True, kw_only=True)
class MinibatchOption:
    """The settings that architectures share: what their discriminator is told of the minibatch.

    Attributes:
        minibatch: ``none``, ``stddev`` (one number for how much the features vary) or ``discrimination`` (how close
            each row is to the others).
        minibatch_kernels: projections in which rows are compared by ``discrimination``.
        minibatch_row: numbers in each.
    """

    minibatch: str = choice("none", MINIBATCH)
    minibatch_kernels: int = number(16, low=1, high=65_536)
    minibatch_row: int = number(5, low=1, high=65_536)

    def ending(self, classes: int, outputs: int) -> dict[str, Any]:
        """Return what :class:`Discriminator` needs beside a network's own fields."""
        return {
            "classes": classes,
            "outputs": outputs,
            "minibatch": self.minibatch,
            "kernels": self.minibatch_kernels,
            "row": self.minibatch_row,
        }

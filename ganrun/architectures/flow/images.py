"""Flows of images at several scales."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.flow.conditioners import Residual
from ganrun.architectures.flow.couplings import Couplings
from ganrun.architectures.flow.elements import Affine

# The pixels of a 2x2 block, numbered by rows, in the order of the channels: first those of one colour of a
# checkerboard, then those of the other.
CHECKERBOARD = (0, 3, 1, 2)
ORDER = tuple(CHECKERBOARD.index(pixel) for pixel in range(4))


def squeeze(x: jax.Array) -> jax.Array:
    """Turn the pixels of 2x2 blocks into channels: ``(n, h, w, c)``, even sides, to ``(n, h / 2, w / 2, 4 c)``.

    The first half of the channels are the pixels whose row and column have an even sum.
    """
    n, height, width, channels = x.shape
    blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    blocks = blocks.reshape(n, height // 2, width // 2, 4, channels)
    return jnp.concatenate([blocks[..., pixel, :] for pixel in CHECKERBOARD], axis=-1)


def unsqueeze(x: jax.Array) -> jax.Array:
    """Undo :func:`squeeze`."""
    n, height, width, _ = x.shape
    parts = jnp.split(x, 4, axis=-1)
    blocks = jnp.stack([parts[position] for position in ORDER], axis=3)
    blocks = blocks.reshape(n, height, width, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, 2 * height, 2 * width, -1)


class MultiScaleFlow(nn.Module):
    """An invertible map between images and latents of the same dimension, in the multi-scale architecture of Real NVP.

    At every scale but the last, 2x2 blocks of pixels become channels (:func:`squeeze`); couplings transform one half of
    the channels given the other; then one half becomes latents, and the other one goes on to the next scale. The halves
    of the first pair of couplings are the two colours of a checkerboard, and those of the second pair, of images with
    one channel, the rows of a block: the checkerboard and the channel-wise masks of the paper. The networks see the
    half that is kept at the smaller side, without zeros in the place of the other half.

    Paper: Dinh et al. 2017, "Density estimation using Real NVP", sections 3.4 to 3.6.

    Attributes:
        shape: height, width and channels of one image.
        scales: number of scales with a squeeze, at least 1; both sides must be divisible by 2**scales.
        count: couplings per scale.
        width: channels of the hidden maps of the networks.
        blocks: residual blocks of each network.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
        classes: number of classes that the networks are conditioned on; 0 for none.
    """

    shape: tuple[int, ...]
    scales: int
    count: int
    width: int
    blocks: int
    form: str = "auto"
    classes: int = 0

    def setup(self) -> None:
        networks = Residual(self.width, self.blocks, self.form)
        channels = [4 * self.shape[-1] * 2**scale for scale in range(self.scales)]
        channels.append(channels[-1] // 2)  # at the last scale, nothing is squeezed
        self.stacks = [Couplings(size, self.count, Affine(), networks, self.classes) for size in channels]

    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Map images ``(n, *shape)``, and labels ``(n,)`` if there are classes, to latents and log-determinants.

        Returns:
            z ``(n, prod(shape))``, first the latents of the largest scale, and log|det dz/dx| ``(n,)``.
        """
        log_det, latents = jnp.zeros(x.shape[:1], x.dtype), []
        for stack in self.stacks[:-1]:
            x, change = stack(squeeze(x), y)
            x, done = jnp.split(x, 2, axis=-1)
            latents.append(done.reshape(done.shape[0], -1))
            log_det = log_det + change
        x, change = self.stacks[-1](x, y)
        latents.append(x.reshape(x.shape[0], -1))
        return jnp.concatenate(latents, axis=-1), log_det + change

    def inverse(self, z: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, prod(shape))`` to the images ``(n, *shape)`` whose latents they are."""
        *done, last = jnp.split(z, self._ends(), axis=-1)
        height, width = (side // 2**self.scales for side in self.shape[:2])
        x = self.stacks[-1].inverse(last.reshape(-1, height, width, self.stacks[-1].features), y)
        for stack, part in zip(reversed(self.stacks[:-1]), reversed(done), strict=True):
            x = jnp.concatenate([x, part.reshape(x.shape)], axis=-1)
            x = unsqueeze(stack.inverse(x, y))
        return x

    def _ends(self) -> list[int]:
        """Return where the latents of each scale but the last one end: after 1/2, 3/4, ... of all."""
        size = math.prod(self.shape)
        return [size - size // 2**scale for scale in range(1, self.scales + 1)]

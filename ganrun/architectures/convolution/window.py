"""The geometry of a convolution, which is static."""

from __future__ import annotations

from dataclasses import dataclass

import jax


@dataclass(frozen=True)
class Window:
    """The window of a convolution, the same along both axes; hashable.

    Attributes:
        size: side of the window.
        stride: 1, or 2 if size is 4 and padding 1.
        padding: rows and columns of zeros at each edge of the input, fewer than ``size``.
    """

    size: int
    stride: int
    padding: int

    @property
    def rotated(self) -> Window:
        """The window of the gradient with respect to the input, for stride 1."""
        return Window(self.size, 1, self.size - 1 - self.padding)


# 4x4 with stride 2: halves the side, which must be even.
HALVING = Window(size=4, stride=2, padding=1)


def same(size: int) -> Window:
    """Return the window of odd ``size`` and stride 1 that keeps the side."""
    return Window(size, stride=1, padding=size // 2)


def rotated(kernel: jax.Array) -> jax.Array:
    """Rotate a kernel by 180 degrees, and exchange its input channels and features."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def as_blocks(kernel: jax.Array) -> jax.Array:
    """Reorder ``(4, 4, c, f)`` for an input whose channels are those of 2x2 blocks of pixels: ``(2, 2, 4 c, f)``."""
    channels, features = kernel.shape[2:]
    split = kernel.reshape(2, 2, 2, 2, channels, features)  # (block row, row, block column, column, ...)
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(2, 2, 4 * channels, features)


def from_blocks(kernel: jax.Array) -> jax.Array:
    """Undo :func:`as_blocks`."""
    channels, features = kernel.shape[2] // 4, kernel.shape[3]
    split = kernel.reshape(2, 2, 2, 2, channels, features)  # (block row, block column, row, column, ...)
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, channels, features)

"""Magnitude-preserving layers: activations of mean square 1 stay so, whatever the weights have become.

Every layer is scaled such that inputs of mean square 1 give outputs of mean square 1, if the weights are independent of
each other and of the activations. There are no biases: a constant is concatenated with the input instead.

The weights of an output unit are divided by their norm whenever they are used, so the function does not depend on that
norm, and the gradient is orthogonal to the weights. Steps along it therefore let the norm of the stored weights grow,
which divides their effective learning rate. The paper also rescales the stored weights after every update, which only
sets this rate to that of the optimizer; here it decays in addition to the optimizer's own decay.

Paper: Karras et al. 2024, "Analyzing and improving the training dynamics of diffusion models", section 2, appendix B.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.convolution import same_convolution

SLOPE = 0.2
SUM = 0.3  # weight of a residual branch, of 0 to 1 (Karras et al. 2024, appendix B.2)
SMALLEST = 1e-12  # added to a squared norm of weights, which is near their number at the start
SILU = 0.596  # root mean square of the SiLU of a standard normal variable
unit_init = nn.initializers.normal(1.0)


def normalised(kernel: jax.Array, axes: tuple[int, ...] | None = None) -> jax.Array:
    """Return ``kernel`` with unit norm over ``axes``; None: over all but the last, the output units."""
    axes = tuple(range(kernel.ndim - 1)) if axes is None else axes
    return kernel * jax.lax.rsqrt(jnp.sum(kernel**2, axis=axes, keepdims=True) + SMALLEST)


def mp_leaky_relu(x: jax.Array, slope: float = SLOPE) -> jax.Array:
    """Leaky ReLU, scaled to keep the mean square of standard normal inputs.

    Formula: max(x, slope x) / sqrt((1 + slope²) / 2): half of the inputs keep their square, half have slope² of it.
    """
    return nn.leaky_relu(x, negative_slope=slope) * math.sqrt(2.0 / (1.0 + slope**2))


def mp_silu(x: jax.Array) -> jax.Array:
    """SiLU, scaled to keep the mean square of standard normal inputs.

    Formula: x sigmoid(x) / 0.596
    Paper: Karras et al. 2024, eq. 81.
    """
    return nn.silu(x) / SILU


def mp_sum(a: jax.Array, b: jax.Array, t: float = SUM) -> jax.Array:
    """Return the weighted sum of ``a`` and ``b`` of the same shape, scaled to keep the mean square of independent ones.

    Formula: ((1 - t) a + t b) / sqrt((1 - t)² + t²)
    Paper: Karras et al. 2024, eq. 88.
    """
    return ((1.0 - t) * a + t * b) / math.sqrt((1.0 - t) ** 2 + t**2)


def mp_concatenate(a: jax.Array, b: jax.Array, t: float = 0.5) -> jax.Array:
    """Concatenate along the last axis, with contributions of ``a`` and ``b`` as 1 - t to t whatever their sizes.

    Formula: sqrt((A + B) / ((1 - t)² + t²)) [(1 - t) / sqrt(A) a, t / sqrt(B) b] for A and B features
    Paper: Karras et al. 2024, eq. 103.
    """
    sizes = a.shape[-1], b.shape[-1]
    scale = math.sqrt(sum(sizes) / ((1.0 - t) ** 2 + t**2))
    return jnp.concatenate([(1.0 - t) * scale / math.sqrt(sizes[0]) * a, t * scale / math.sqrt(sizes[1]) * b], axis=-1)


def with_constant(x: jax.Array) -> jax.Array:
    """Return ``x`` ``(..., features)`` with a further feature of 1, which takes the place of biases."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)


def pixels_to_channels(x: jax.Array) -> jax.Array:
    """Halve the side: 2x2 pixels become channels; ``(n, h, w, c)``, even sides, to ``(n, h / 2, w / 2, 4 c)``."""
    n, height, width, channels = x.shape
    blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height // 2, width // 2, 4 * channels)


class MpDense(nn.Module):
    """A dense layer without bias whose weights have unit norm for each output; parameter ``kernel``.

    Attributes:
        features: output units.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, inputs)`` to ``(n, features)``."""
        return x @ normalised(self.param("kernel", unit_init, (x.shape[-1], self.features)))


class MpConv(nn.Module):
    """A convolution with stride 1 and zero padding, without bias, whose weights have unit norm for each output.

    Attributes:
        features: output channels.
        size: side of the window, odd.
        groups: number of groups of channels that are convolved separately; must divide input and output channels.
        form: how it is computed, see :class:`ganrun.architectures.layers.Conv`.
    """

    features: int
    size: int
    groups: int = 1
    form: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height, width, features)``."""
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        return same_convolution(x, normalised(self.param("kernel", unit_init, shape)), self.form, self.groups)


class Gain(nn.Module):
    """A learned factor, initially 0; parameter ``scale``, a scalar."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return ``x`` times the factor."""
        return x * self.param("scale", nn.initializers.zeros, ())

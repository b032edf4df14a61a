"""The gated PixelCNN: masked convolutions in a vertical and a horizontal stack.

The vertical stack sees the rows above a pixel, the horizontal stack also the pixels to the left in its row, so that
together they see all earlier pixels. The channels of a pixel are ordered too: features are divided into one group per
channel, and a group depends on the earlier channels of the current pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ganrun.architectures.autoregressive import Draw, network_inputs
from ganrun.architectures.conditional import Embedding
from ganrun.architectures.convolution import FORMS, same_convolution
from ganrun.architectures.networks import checked_shape, describe, is_image
from ganrun.config.registry import choice, number, register
from ganrun.errors import ConfigError

FIRST = 7  # side of the window of the first layer
SIDE = 3  # side of the windows of the other layers
kernel_init = nn.initializers.lecun_normal()


def groups(features: int, channels: int) -> np.ndarray:
    """Return the group of each feature, 0 to ``channels`` - 1, in sizes that differ by at most one."""
    return np.arange(features) * channels // features


def pixel_mask(before: np.ndarray, after: np.ndarray, strict: bool = False) -> np.ndarray:
    """Return 1 where a feature may depend on another of the same pixel, float32 ``(len(before), len(after))``.

    Args:
        before: the groups of the inputs.
        after: the groups of the outputs, which depend on inputs of their own and of earlier groups.
        strict: whether only on those of earlier groups (mask A of the paper instead of B).
    """
    return (before[:, None] < after if strict else before[:, None] <= after).astype(np.float32)


def gated(x: jax.Array) -> jax.Array:
    """Return tanh of the first half of the features times the sigmoid of the other half (eq. 2 of the paper)."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


class GatedLayer(nn.Module):
    """A layer of both stacks.

    Attributes:
        inputs: groups of the input features of the horizontal stack; the vertical one has as many.
        features: features of each stack.
        channels: channels of an image: the number of groups.
        side: side of the window, odd.
        first: whether the inputs are pixels: then the current one is not seen, and there is no residual connection.
        form: how convolutions are computed, see :mod:`ganrun.architectures.convolution.forms`.
        classes: number of classes, 0 for none.
        pixels: height and width of an image if each pixel has biases of its own; empty if they are shared.
    """

    inputs: tuple[int, ...]
    features: int
    channels: int
    side: int
    first: bool
    form: str
    classes: int
    pixels: tuple[int, ...] = ()

    def setup(self) -> None:
        inputs, gates, reach = len(self.inputs), 2 * self.features, self.side // 2
        self.vertical = self.param("vertical", kernel_init, (reach + 1, self.side, inputs, gates))
        self.vertical_bias = self.param("vertical_bias", nn.initializers.zeros, (gates,))
        self.left = self.param("horizontal", kernel_init, (reach + 1, inputs, gates))
        self.horizontal_bias = self.param("horizontal_bias", nn.initializers.zeros, (gates,))
        self.link = self.param("link", kernel_init, (gates, gates))
        self.project = self.param("project", kernel_init, (self.features, self.features))
        self.project_bias = self.param("project_bias", nn.initializers.zeros, (self.features,))
        if self.pixels:
            self.pixel_bias = self.param("pixel_bias", nn.initializers.zeros, (*self.pixels, gates))
        if self.classes:
            self.class_biases = [Embedding(self.classes, gates, nn.initializers.zeros) for _ in range(2)]

    def __call__(self, v: jax.Array, h: jax.Array, y: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Map the two stacks, each ``(n, height, width, inputs)``, to ``(n, height, width, features)``."""
        weights, size = self.weights(y), self.side // 2
        kernel = jnp.pad(weights["vertical"], ((0, size), (0, 0), (0, 0), (0, 0)))  # rows below are not seen
        above = same_convolution(v, kernel, self.form) + weights["vertical_bias"]
        link = jnp.pad(above, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1] @ weights["link"]
        link += weights["pixel_bias"]
        padded, width = jnp.pad(h, ((0, 0), (0, 0), (size, 0), (0, 0))), h.shape[2]
        window = jnp.concatenate([padded[:, :, i : i + width] for i in range(size + 1)], axis=-1)
        return gated(above), self.right(weights, link, window, h)

    def right(self, weights: dict[str, jax.Array], link: jax.Array, window: jax.Array, h: jax.Array) -> jax.Array:
        """Return the horizontal stack's features.

        Args:
            weights: as :meth:`weights` returns them, whose biases broadcast with the other arguments.
            link: from the vertical stack at the row above, ``(..., 2 features)``.
            window: the inputs of the pixels to the left and of the current one, ``(..., pixels * inputs)``.
            h: the inputs of the current pixel, ``(..., inputs)``.
        """
        after = gated(window @ weights["left"] + weights["horizontal_bias"] + link)
        after = after @ weights["project"] + weights["project_bias"]
        return after if self.first else h + after

    def weights(self, y: jax.Array | None) -> dict[str, jax.Array]:
        """Return the masked kernels, and the biases ``(n or 1, 1, 1, features)``."""
        own = groups(self.features, self.channels)
        current = pixel_mask(np.asarray(self.inputs), np.concatenate([own, own]), strict=self.first)
        seen = np.concatenate([np.ones((self.side // 2, *current.shape), np.float32), current[None]])
        biases = [self.vertical_bias, self.horizontal_bias]
        if self.classes:
            biases = [bias + of_class(y) for bias, of_class in zip(biases, self.class_biases, strict=True)]
        vertical_bias, horizontal_bias = (bias.reshape(-1, 1, 1, 2 * self.features) for bias in biases)
        return {
            "vertical": self.vertical,
            "vertical_bias": vertical_bias,
            "left": jnp.where(seen > 0, self.left, 0.0).reshape(-1, 2 * self.features),
            "horizontal_bias": horizontal_bias,
            "link": self.link,
            "pixel_bias": self.pixel_bias if self.pixels else jnp.zeros((1, 1, 2 * self.features), self.link.dtype),
            "project": jnp.where(pixel_mask(own, own) > 0, self.project, 0.0),
            "project_bias": self.project_bias,
        }


class PixelCnn(nn.Module):
    """A first layer with a window of 7x7 pixels, layers with 3x3 pixels, and two layers of single pixels.

    It has the functions of :mod:`ganrun.architectures.autoregressive`; its order is that of rows, columns, channels.

    Attributes:
        shape: shape of one example: ``(height, width, channel)``.
        outputs: outputs per element: the parameters of its distribution.
        features: features of each stack.
        layers: layers after the first one.
        form: how convolutions are computed, see :mod:`ganrun.architectures.convolution.forms`.
        classes: number of classes, 0 for none; a class has its own biases.
        pixel_biases: whether the first layer has biases for each pixel, which tell the network where it is.
    """

    shape: tuple[int, ...]
    outputs: int
    features: int
    layers: int
    form: str = "auto"
    classes: int = 0
    pixel_biases: bool = True

    @property
    def orders(self) -> int:
        return 1

    def setup(self) -> None:
        channels = self.shape[-1]
        inputs = [tuple(range(channels)), *[tuple(groups(self.features, channels).tolist())] * self.layers]
        pixels = self.shape[:2] if self.pixel_biases else ()
        settings = {"features": self.features, "channels": channels, "form": self.form, "classes": self.classes}
        first = GatedLayer(inputs[0], side=FIRST, first=True, pixels=pixels, **settings)
        self.stack = [first, *(GatedLayer(given, side=SIDE, first=False, **settings) for given in inputs[1:])]
        self.head = self.param("head", kernel_init, (self.features, self.features))
        self.head_bias = self.param("head_bias", nn.initializers.zeros, (self.features,))
        self.output_kernel = self.param("output_kernel", kernel_init, (self.features, channels * self.outputs))
        self.output_bias = self.param("output_bias", nn.initializers.zeros, (channels * self.outputs,))

    def __call__(self, x: jax.Array, y: jax.Array | None = None, order: jax.Array | int = 0) -> jax.Array:
        """Map images ``(n, *shape)`` and labels ``(n,)`` to the outputs of each element ``(n, *shape, outputs)``."""
        del order
        v = h = network_inputs(x, self.shape)
        for layer in self.stack:
            v, h = layer(v, h, y)
        return _outputs(self._head(), h).reshape(-1, *self.shape, self.outputs)

    def _head(self) -> tuple[jax.Array, ...]:
        """Return the masked kernels and the biases of the last two layers."""
        channels = self.shape[-1]
        own = groups(self.features, channels)
        head = jnp.where(pixel_mask(own, own) > 0, self.head, 0.0)
        seen = pixel_mask(own, np.repeat(np.arange(channels), self.outputs))
        return head, self.head_bias, jnp.where(seen > 0, self.output_kernel, 0.0), self.output_bias

    def sample(
        self, draw: Draw, n: int, y: jax.Array | None = None, order: jax.Array | int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """Draw ``n`` images element by element.

        The vertical stack is computed once per row, the horizontal one at the current pixel; the inputs that their
        windows still need are kept.
        """
        del order
        height, width, channels = self.shape
        dtype = self.head.dtype
        layers = [(layer, layer.weights(y)) for layer in self.stack]
        sizes = [(layer.side // 2, len(layer.inputs)) for layer in self.stack]
        head = self._head()
        pixel_weights = [(layer, _of_pixel(weights)) for layer, weights in layers]

        def pixel(windows: tuple[jax.Array, ...], given: tuple) -> tuple[tuple[jax.Array, ...], tuple]:
            links, position = given
            x, found = jnp.zeros((n, channels), dtype), []
            after: list[jax.Array] = []
            for channel in range(channels):
                h, after = x, []
                for (layer, weights), link, window in zip(pixel_weights, links, windows, strict=True):
                    window = jnp.concatenate([window, h[:, None]], axis=1)
                    after.append(window[:, 1:])
                    h = layer.right(weights, link, window.reshape(n, -1), h)
                parameters = _outputs(head, h).reshape(n, channels, self.outputs)[:, channel]
                drawn, shown = draw(parameters.astype(jnp.float32), position * channels + channel)
                found.append((drawn, shown))
                x = x.at[:, channel].set(network_inputs(drawn, self.shape).astype(dtype))
            after[0] = after[0].at[:, -1].set(x)  # the last channel is drawn after the last pass
            return tuple(after), (x, *(jnp.stack(part, axis=-1) for part in zip(*found, strict=True)))

        def row(carry: tuple, index: jax.Array) -> tuple[tuple, tuple]:
            buffers, above = carry
            links = tuple(
                (pre @ weights["link"] + weights["pixel_bias"][index]).swapaxes(0, 1)
                for pre, (_, weights) in zip(above, layers, strict=True)
            )
            windows = tuple(jnp.zeros((n, reach, inputs), dtype) for reach, inputs in sizes)
            positions = index * width + jnp.arange(width, dtype=jnp.int32)
            _, (x, drawn, shown) = jax.lax.scan(pixel, windows, (links, positions))
            v, after, pres = x.swapaxes(0, 1), [], []
            for (_, weights), buffer in zip(layers, buffers, strict=True):
                rows = jnp.concatenate([buffer, v[:, None]], axis=1)
                after.append(rows[:, 1:])
                pres.append(_last_row(rows, weights["vertical"]) + weights["vertical_bias"][:, 0])
                v = gated(pres[-1])
            return (tuple(after), tuple(pres)), (drawn, shown)

        buffers = tuple(jnp.zeros((n, reach, width, inputs), dtype) for reach, inputs in sizes)
        above = tuple(jnp.zeros((n, width, 2 * self.features), dtype) for _ in sizes)
        _, found = jax.lax.scan(row, (buffers, above), jnp.arange(height, dtype=jnp.int32))
        drawn, shown = (part.transpose(2, 0, 1, 3) for part in found)
        return drawn, shown


def _outputs(head: tuple[jax.Array, ...], h: jax.Array) -> jax.Array:
    kernel, bias, output_kernel, output_bias = head
    return nn.relu(nn.relu(h) @ kernel + bias) @ output_kernel + output_bias


def _of_pixel(weights: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {**weights, "horizontal_bias": weights["horizontal_bias"][:, 0, 0]}


def _last_row(rows: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve ``rows`` ``(n, rows, width, channel)`` with a kernel of as many rows: ``(n, width, features)``."""
    side, width = kernel.shape[1], rows.shape[2]
    padded = jnp.pad(rows, ((0, 0), (0, 0), (side // 2, side // 2), (0, 0)))
    parts = [padded[:, i, j : j + width] for i in range(rows.shape[1]) for j in range(side)]
    return jnp.concatenate(parts, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


@register("architecture", "pixelcnn")
@dataclass(frozen=True)
class PixelCnnOption:
    """A gated PixelCNN for images, for ``method=autoregressive``.

    Formula: features = tanh(W_f * x) sigmoid(W_g * x), with convolutions W that see earlier pixels only
    Paper: van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", eq. 2 and figure 2.

    Attributes:
        features: features of each of the two stacks.
        layers: layers after the first one. The first sees 3 pixels in each direction, every other one 1 pixel more.
        pixel_biases: whether the first layer has biases for each pixel. They tell the network where it is, which the
            windows of a few layers do not (section 2.3 of the paper has such biases for classes).
        convolution: how convolutions are computed; ``auto`` for the fastest one on the device.
    """

    features: int = number(32, low=1, high=100_000)
    layers: int = number(6, low=0, high=1000)
    pixel_biases: bool = True
    convolution: str = choice("auto", FORMS)
    name: str = "pixelcnn"

    def build_autoregressive(self, shape: tuple[int, ...], outputs: int, classes: int = 0) -> PixelCnn:
        """Return the network for images of ``shape`` with ``outputs`` per element; see :class:`PixelCnn`."""
        shape = checked_shape(shape, 1)
        if not is_image(shape):
            raise ConfigError(f"architecture=pixelcnn takes images; the data is {describe(shape)}. Try made or fvsbn.")
        if self.features < shape[-1]:
            raise ConfigError(
                f"architecture.features must be at least {shape[-1]}, one for each channel of the images, not "
                f"{self.features}."
            )
        return PixelCnn(shape, outputs, self.features, self.layers, self.convolution, classes, self.pixel_biases)

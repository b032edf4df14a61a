"""The architectures of flows: ``realnvp`` with affine couplings, and ``spline`` with rational-quadratic splines."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ganrun.architectures.autoencoder import ACTIVATIONS
from ganrun.architectures.convolution import FORMS
from ganrun.architectures.flow.conditioners import Dense
from ganrun.architectures.flow.elements import Affine, Spline
from ganrun.architectures.flow.images import MultiScaleFlow
from ganrun.architectures.flow.vectors import LineFlow, VectorFlow
from ganrun.architectures.networks import checked_shape, describe, is_image
from ganrun.config.registry import choice, number, register
from ganrun.errors import ConfigError

LARGEST = 256  # numbers of an image up to which architecture=spline takes it
SMALLEST = 2  # side of an image below which it is not squeezed once more


@register("architecture", "realnvp")
@dataclass(frozen=True)
class RealNvp:
    """Affine couplings for ``method=flow``: dense networks for vectors, and for images convolutions at several scales.

    Formula: z_1 = x_1, z_2 = x_2 exp(s(x_1)) + t(x_1), alternating and interleaving the halves
    Paper: Dinh et al. 2017, "Density estimation using Real NVP".

    Attributes:
        couplings: number of couplings; of an image, at each scale. 0 means 16 for vectors and 4 for images.
        hidden: vectors: units of each hidden layer of the networks.
        activation: vectors: activation of the hidden layers, ``relu`` or ``tanh``.
        scales: images: maximum number of scales, besides the last one, at which the side is halved.
        width: images: channels of the hidden maps of the networks.
        blocks: images: residual blocks of each network.
        convolution: how convolutions are computed.
    """

    couplings: int = number(0, low=0, high=1000)
    hidden: tuple[int, ...] = number((64, 64), low=1, high=1_000_000, most=100)
    activation: str = choice("tanh", tuple(ACTIVATIONS))
    scales: int = number(2, low=1, high=20)
    width: int = number(32, low=1, high=100_000)
    blocks: int = number(1, low=0, high=1000)
    convolution: str = choice("auto", FORMS)
    name: str = "realnvp"

    def build_flow(self, shape: tuple[int, ...], classes: int = 0) -> VectorFlow | MultiScaleFlow:
        """Return an invertible network for examples of ``shape``.

        Args:
            shape: shape of one example.
            classes: number of classes that it is conditioned on; 0 for none.

        Raises:
            ConfigError: the shape is not supported.
        """
        shape = checked_shape(shape, 1)
        if is_image(shape):
            return MultiScaleFlow(
                shape=shape,
                scales=self._scales(shape),
                count=self.couplings or 4,
                width=self.width,
                blocks=self.blocks,
                form=self.convolution,
                classes=classes,
            )
        if shape[0] < 2:
            raise ConfigError(
                "architecture=realnvp takes at least two numbers, of which one half is transformed given the other; "
                f"the data is {describe(shape)}: use architecture=spline."
            )
        _require_hidden(self.hidden, self.name)
        return VectorFlow(shape, self.couplings or 16, Affine(), Dense(tuple(self.hidden), self.activation), classes)

    def _scales(self, shape: tuple[int, ...]) -> int:
        """Return how often both sides of an image of ``shape`` are halved."""
        height, width = shape[:2]
        found = 0
        while found < self.scales and height % 2 == width % 2 == 0 and min(height, width) >= 2 * SMALLEST:
            height, width, found = height // 2, width // 2, found + 1
        if not found:
            raise ConfigError(
                "architecture=realnvp takes vectors, and images whose sides are even and at least "
                f"{2 * SMALLEST}; the data is {describe(shape)}."
            )
        return found


@register("architecture", "spline")
@dataclass(frozen=True)
class NeuralSpline:
    """Couplings of rational-quadratic splines for ``method=flow``, for vectors and very small images.

    On the line, where there is no other half to condition on, a chain of splines with learned knots.

    Formula: z_1 = x_1, z_2 = spline(x_2; h(x_1)), alternating and interleaving the halves
    Paper: Durkan et al. 2019, "Neural spline flows".

    Attributes:
        couplings: number of couplings; on the line, of splines.
        hidden: units of each hidden layer of the networks.
        activation: activation of the hidden layers, ``relu`` or ``tanh``.
        bins: bins of each spline.
        bound: the splines map [-bound, bound] onto itself, and are the identity beyond.
    """

    couplings: int = number(6, low=1, high=1000)
    hidden: tuple[int, ...] = number((64, 64), low=1, high=1_000_000, most=100)
    activation: str = choice("tanh", tuple(ACTIVATIONS))
    bins: int = number(16, low=2, high=500)
    bound: float = number(5.0, above=0.0, high=1e6)
    name: str = "spline"

    def build_flow(self, shape: tuple[int, ...], classes: int = 0) -> VectorFlow | LineFlow:
        """Return an invertible network for examples of ``shape``; see :meth:`RealNvp.build_flow`.

        Raises:
            ConfigError: the shape is not supported.
        """
        shape = checked_shape(shape, 1)
        elements = Spline(self.bins, self.bound)
        if is_image(shape) and math.prod(shape) > LARGEST:
            raise ConfigError(
                f"architecture=spline takes vectors, and images of at most {LARGEST} numbers; the data is "
                f"{describe(shape)}: use architecture=realnvp."
            )
        if shape == (1,):
            return LineFlow(self.couplings, elements, classes)
        if math.prod(shape) < 2:
            raise ConfigError(f"architecture=spline takes no images of one number; the data is {describe(shape)}.")
        _require_hidden(self.hidden, self.name)
        return VectorFlow(shape, self.couplings, elements, Dense(tuple(self.hidden), self.activation), classes)


def _require_hidden(hidden: tuple[int, ...], name: str) -> None:
    if not hidden:
        raise ConfigError(f"architecture.hidden must have at least one layer with architecture={name}.")

"""Fully connected autoregressive networks: logistic regressions (FVSBN) and masked multilayer perceptrons (MADE)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ganrun.architectures.autoencoder import ACTIVATIONS
from ganrun.architectures.autoregressive import Draw, network_inputs
from ganrun.architectures.conditional import Embedding
from ganrun.architectures.networks import checked_shape, is_image
from ganrun.config.registry import choice, number, register

no_bias = nn.initializers.zeros
output_init = nn.initializers.lecun_normal()


@functools.lru_cache
def sequences(size: int, orders: int) -> np.ndarray:
    """Return ``orders`` orders of ``size`` elements, int32 ``(orders, size)``: the natural one, then random ones.

    They are the same in every process.
    """
    rng = np.random.default_rng(0)
    return np.stack([np.arange(size), *(rng.permutation(size) for _ in range(orders - 1))]).astype(np.int32)


@functools.lru_cache
def ranks(size: int, orders: int) -> np.ndarray:
    """Return the position of each element in each of :func:`sequences`, from 1 to ``size``."""
    return (np.argsort(sequences(size, orders), axis=1) + 1).astype(np.int32)


def degrees(size: int, units: int) -> np.ndarray:
    """Return the degree of each hidden unit, int32 ``(units,)``: how many elements, the first ones, it may depend on.

    They are evenly distributed over 1 to ``size`` - 1 (Germain et al. 2015, eq. 12, has them drawn at random).
    """
    return (1 + np.arange(units) * (size - 1) // units).clip(1).astype(np.int32)


class MaskedMlp(nn.Module):
    """A multilayer perceptron whose outputs for an element depend on earlier elements only.

    Of every kernel the entries that would break the order are replaced by zero. Hidden units have a degree k and see
    the first k elements of the order; the outputs of the element of rank r see units of degree below r, and with
    ``direct`` the elements of rank below r. Changing the order changes the ranks of the elements and not the degrees.

    It has the functions of :mod:`ganrun.architectures.autoregressive`.

    Attributes:
        shape: shape of one example.
        outputs: outputs per element: the parameters of its distribution.
        hidden: units of each hidden layer; empty for an affine map, which must be ``direct``.
        activation: activation of the hidden layers, ``relu`` or ``tanh``.
        orders: number of orders of the elements; the first one is the natural one.
        direct: whether there are connections from the elements to the outputs.
        classes: number of classes, 0 for none; a class has its own biases.
    """

    shape: tuple[int, ...]
    outputs: int
    hidden: tuple[int, ...]
    activation: str = "relu"
    orders: int = 1
    direct: bool = True
    classes: int = 0

    def setup(self) -> None:
        size = math.prod(self.shape)
        widths, (_, init) = (size, *self.hidden), ACTIVATIONS[self.activation]
        self.kernels = [self.param(f"kernel_{i}", init, widths[i : i + 2]) for i in range(len(self.hidden))]
        self.biases = [self.param(f"bias_{i}", no_bias, (width,)) for i, width in enumerate(self.hidden)]
        self.output_bias = self.param("output_bias", no_bias, (size * self.outputs,))
        if self.hidden:
            self.output_kernel = self.param("output_kernel", output_init, (widths[-1], size * self.outputs))
        if self.direct:
            self.direct_kernel = self.param("direct_kernel", output_init, (size, size * self.outputs))
        if self.classes:
            self.class_biases = [Embedding(self.classes, width, no_bias) for width in self.hidden]
            self.class_output_bias = Embedding(self.classes, size * self.outputs, no_bias)

    def __call__(self, x: jax.Array, y: jax.Array | None = None, order: jax.Array | int = 0) -> jax.Array:
        """Map examples ``(n, *shape)`` and labels ``(n,)`` to outputs ``(n, *shape, outputs)``, in one order."""
        size = math.prod(self.shape)
        rank = jnp.asarray(ranks(size, self.orders))[order]
        inputs = network_inputs(x, self.shape).reshape(-1, size)
        hidden, before = inputs, rank
        for kernel, bias, units in zip(self.kernels, self._hidden_biases(y), self.hidden, strict=True):
            degree = jnp.asarray(degrees(size, units))
            kernel = jnp.where(before[:, None] <= degree, kernel, 0.0)
            hidden, before = ACTIVATIONS[self.activation][0](hidden @ kernel + bias), degree
        outputs = self._output_bias(y)
        if self.hidden:
            outputs += hidden @ _masked(self.output_kernel, before, rank)
        if self.direct:
            outputs += inputs @ _masked(self.direct_kernel, rank, rank)
        return outputs.reshape(-1, *self.shape, self.outputs)

    def _hidden_biases(self, y: jax.Array | None) -> list[jax.Array]:
        """Return the biases of the hidden layers, ``(units,)`` or ``(n, units)``."""
        if not self.classes:
            return self.biases
        return [bias + of_class(y) for bias, of_class in zip(self.biases, self.class_biases, strict=True)]

    def _output_bias(self, y: jax.Array | None) -> jax.Array:
        return self.output_bias + self.class_output_bias(y) if self.classes else self.output_bias

    def _by_element(self, kernel: jax.Array) -> jax.Array:
        """Return ``(elements, units, outputs)``, so that the columns of an element are contiguous."""
        return kernel.reshape(kernel.shape[0], -1, self.outputs).swapaxes(0, 1)

    def sample(
        self, draw: Draw, n: int, y: jax.Array | None = None, order: jax.Array | int = 0
    ) -> tuple[jax.Array, jax.Array]:
        """Draw ``n`` examples element by element; ``order`` is a number, or one for each example ``(n,)``.

        The sums of the first layer are kept from element to element: a step adds the new element to them. A step
        computes the outputs of one element only.
        """
        size = math.prod(self.shape)
        sequence = jnp.asarray(sequences(size, self.orders))[order]
        degree = [jnp.asarray(degrees(size, units)) for units in self.hidden]
        dtype = self.output_bias.dtype
        kernels = [
            jnp.where(degree[i][:, None] <= degree[i + 1], kernel, 0.0) for i, kernel in enumerate(self.kernels[1:])
        ]
        biases = self._hidden_biases(y)
        output_bias = jnp.broadcast_to(self._output_bias(y), (n, size * self.outputs)).reshape(n, size, self.outputs)
        output_kernel = self._by_element(self.output_kernel) if self.hidden else None
        direct_kernel = self._by_element(self.direct_kernel) if self.direct else None
        first_kernel, rows = self.kernels[0] if self.hidden else None, jnp.arange(n)
        activation = ACTIVATIONS[self.activation][0]

        def step(carry: tuple[jax.Array, jax.Array], t: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple]:
            sums, inputs = carry
            element = sequence[..., t]
            parameters = output_bias[rows, element]
            if output_kernel is not None:
                hidden = activation(sums)
                for kernel, bias in zip(kernels, biases[1:], strict=True):
                    hidden = activation(hidden @ kernel + bias)
                hidden = jnp.where(degree[-1] <= t, hidden, 0.0)  # the rank is t + 1
                parameters += _columns(hidden, output_kernel, element)
            if direct_kernel is not None:
                parameters += _columns(inputs, direct_kernel, element)  # later elements are still 0
            drawn, shown = draw(parameters.astype(jnp.float32), t)
            value = network_inputs(drawn, self.shape).astype(dtype)
            if first_kernel is not None:
                sums += value[:, None] * jnp.where(t < degree[0], first_kernel[element], 0.0)
            if direct_kernel is not None:
                inputs = inputs.at[rows, element].set(value)
            return (sums, inputs), (drawn, shown)

        start = jnp.broadcast_to(biases[0], (n, self.hidden[0])) if self.hidden else jnp.zeros((n, 0))
        carry = (start.astype(dtype), jnp.zeros((n, size if self.direct else 0), dtype))
        _, found = jax.lax.scan(step, carry, jnp.arange(size, dtype=jnp.int32))
        rank = jnp.broadcast_to(jnp.asarray(ranks(size, self.orders))[order], (n, size))
        drawn, shown = (jnp.take_along_axis(part.T, rank - 1, axis=1).reshape(n, *self.shape) for part in found)
        return drawn, shown


def _masked(kernel: jax.Array, before: jax.Array, rank: jax.Array) -> jax.Array:
    """Return ``kernel`` ``(inputs, size * outputs)`` with zeros where a rank or degree is not below ``rank``."""
    outputs = kernel.shape[1] // rank.shape[0]
    return jnp.where(jnp.repeat(before[:, None] < rank, outputs, axis=1), kernel, 0.0)


def _columns(hidden: jax.Array, kernel: jax.Array, element: jax.Array) -> jax.Array:
    """Return ``hidden`` ``(n, units)`` times the part of ``kernel`` ``(elements, units, outputs)`` of ``element``.

    ``element`` is a scalar, or one for each row ``(n,)``; the result is ``(n, outputs)``.
    """
    columns = kernel[element]
    return hidden @ columns if element.ndim == 0 else jnp.einsum("nu,nuo->no", hidden, columns)


@register("architecture", "fvsbn")
@dataclass(frozen=True)
class Fvsbn:
    """A logistic regression of every pixel on the earlier ones, for ``method=autoregressive``.

    For other distributions than Bernoulli, their parameters are affine functions of the earlier elements.

    Formula: p(x_i = 1 | x_1, ..., x_i-1) = sigmoid(b_i + sum_{j < i} W_ij x_j)
    Paper: Frey 1998, "Graphical models for machine learning and digital communication".
    """

    name: str = "fvsbn"

    def build_autoregressive(self, shape: tuple[int, ...], outputs: int, classes: int = 0) -> MaskedMlp:
        """Return the network for examples of ``shape`` with ``outputs`` per element; see :class:`MaskedMlp`."""
        return MaskedMlp(checked_shape(shape, 1), outputs, (), classes=classes)


@register("architecture", "made")
@dataclass(frozen=True)
class Made:
    """A masked multilayer perceptron, for ``method=autoregressive``: all conditionals in one pass.

    Formula: h <- f((W * M) h + b) layer by layer, with masks M of 0 and 1 that keep the order of the elements
    Paper: Germain et al. 2015, "MADE: masked autoencoder for distribution estimation", eqs. 8 to 14.

    Attributes:
        hidden: units of each hidden layer; empty means 64, 64, 64 for vectors and 500, 500 for images.
        activation: activation of the hidden layers: ``relu``, ``tanh``, or ``auto``: tanh for vectors, relu for images.
        orders: number of orders of the elements. A step trains one of them, drawn at random. The model is their
            mixture with equal weights, so log p(x) is the log of their mean density. One order is the natural one.
        direct: whether there are connections from the elements to the outputs.
    """

    hidden: tuple[int, ...] = number((), low=1, high=1_000_000, most=100)
    activation: str = choice("auto", ("auto", *ACTIVATIONS))
    orders: int = number(1, low=1, high=10_000)
    direct: bool = True
    name: str = "made"

    def build_autoregressive(self, shape: tuple[int, ...], outputs: int, classes: int = 0) -> MaskedMlp:
        """Return the network for examples of ``shape`` with ``outputs`` per element; see :class:`MaskedMlp`."""
        shape = checked_shape(shape, 1)
        default, suited = ((500, 500), "relu") if is_image(shape) else ((64, 64, 64), "tanh")
        activation = suited if self.activation == "auto" else self.activation
        hidden = tuple(self.hidden) or default
        return MaskedMlp(shape, outputs, hidden, activation, self.orders, self.direct, classes)

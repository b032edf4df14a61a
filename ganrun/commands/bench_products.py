"""The matrix products of a training step: their shapes and their work, and how fast this machine computes one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.convolution.derivatives import implementation
from ganrun.datasets.sampler import Cursor
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import update

LARGE = {"cpu": 1024}  # rows and columns of a product that is large enough for its full speed, by backend
LARGE_ELSEWHERE = 8192
CALL_FLOPS = 2e8  # minimum work of one timed call, so that dispatching it is negligible
LOOPS = ("scan", "while", "cond")  # operations whose functions are not computed exactly once
MAX_PAIRS = 16  # maximum number of pairs of products in a call, so that values stay finite


class Product(NamedTuple):
    """A batch of matrix products ``(rows, inner) @ (inner, columns)``."""

    rows: int
    inner: int
    columns: int
    batch: int = 1
    dtype: str = "float32"

    @property
    def flops(self) -> int:
        """Floating-point operations: one multiplication and one addition per term."""
        return 2 * self.batch * self.rows * self.inner * self.columns

    def __str__(self) -> str:
        return f"{self.rows}x{self.inner} @ {self.inner}x{self.columns}" + (
            f", {self.batch} of them" * (self.batch > 1)
        )


def work_of_step(experiment: Experiment, loops: float = 1.0) -> dict[Product, float]:
    """Return the floating-point operations of a training step of ``experiment``, by matrix product.

    They are counted in the traced step and not in the compiled program, whose cost analysis counts the body of a loop
    once, however often it runs. A convolution counts as the product of its windows, without padding and without the
    zeros of a dilated input, with its kernel. Of a branch, the side with the most work is counted, and of equal
    expressions one.

    Args:
        experiment: the run.
        loops: iterations of loops whose number is not fixed: the discriminator updates per step.
    """
    window = experiment.window(Cursor.start(), 1)
    step = partial(update, experiment.method)
    return work_of(jax.make_jaxpr(step)(experiment.abstract(), window, experiment.data.held_out).jaxpr, loops)


def work_of(jaxpr: Any, loops: float = 1.0) -> dict[Product, float]:
    """Return the floating-point operations of ``jaxpr`` by matrix product; see :func:`work_of_step`."""
    work: dict[Product, float] = {}
    for product, flops in _products(jaxpr, loops, 1.0):
        work[product] = work.get(product, 0.0) + flops
    return work


def large_product(dtype: str = "float32") -> Product:
    """Return a product of ``dtype`` that is large enough to reach the full speed of the default backend."""
    side = LARGE.get(jax.default_backend(), LARGE_ELSEWHERE)
    return Product(side, side, side, dtype=dtype)


def product_speed(product: Product, seconds: float) -> float:
    """Return the floating-point operations per second of ``product``: the fastest of several calls.

    A call multiplies by a matrix and then by another one back to the first shape, which takes the same number of
    operations, so that each product depends on the one before, and nothing else is computed.

    Args:
        product: the product.
        seconds: time for the measurement.
    """
    pairs = min(MAX_PAIRS, max(1, math.ceil(CALL_FLOPS / (2 * product.flops))))
    rows, inner, columns = product.rows, product.inner, product.columns
    rng = np.random.default_rng(0)

    def matrix(height: int, width: int, scale: float) -> jax.Array:
        values = rng.standard_normal((product.batch, height, width), dtype=np.float32) * scale
        return jnp.asarray(values if product.batch > 1 else values[0], product.dtype)

    # These scales keep the variance, so that no value becomes subnormal, which is slow on some processors.
    left, there, back = (
        matrix(rows, inner, 1),
        matrix(inner, columns, inner**-0.5),
        matrix(columns, inner, columns**-0.5),
    )
    call = _compiled_pairs(pairs, left, there, back)
    best, end = math.inf, time.perf_counter() + seconds
    while True:
        begun = time.perf_counter()
        jax.block_until_ready(call(left, there, back))
        now = time.perf_counter()
        best = min(best, now - begun)
        if now >= end:
            return 2 * pairs * product.flops / best


def _compiled_pairs(pairs: int, *matrices: jax.Array) -> Any:
    def call(left: jax.Array, there: jax.Array, back: jax.Array) -> jax.Array:
        for _ in range(pairs):
            left = (left @ there) @ back
        return left

    compiled = jax.jit(call).lower(*matrices).compile()
    jax.block_until_ready(compiled(*matrices))  # the first call also allocates memory
    return compiled


def _products(jaxpr: Any, loops: float, times: float) -> Iterator[tuple[Product, float]]:
    """Yield the products of ``jaxpr``, which is computed ``times`` times, and the operations of each."""
    for equation in _distinct(jaxpr):
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            product = _dot(equation)
            yield product, times * product.flops
        elif name == "conv_general_dilated":
            product, flops = _convolution(equation)
            yield product, times * flops
        elif name == "cond":
            sides = [list(_products(branch.jaxpr, loops, times)) for branch in params["branches"]]
            yield from max(sides, key=lambda side: sum(flops for _, flops in side))
        else:
            if (compute := implementation(equation.primitive)) is not None:
                traced = jax.make_jaxpr(partial(compute, **params))(*(variable.aval for variable in equation.invars))
                yield from _products(traced.jaxpr, loops, times)
            factor = {"scan": params.get("length", 1), "while": loops}.get(name, 1)
            for inner in _called(params):
                yield from _products(inner, loops, times * factor)


def _distinct(jaxpr: Any) -> list[Any]:
    """Return the equations of ``jaxpr`` and of the functions that it calls, without repetitions.

    XLA computes equal expressions once. A gradient penalty, for instance, evaluates the discriminator where the loss
    has evaluated it already.
    """
    found: dict[Any, tuple[Any, list[Any]]] = {}  # equations and the values that they return, by what they compute

    def run(jaxpr: Any, arguments: Iterable[Any]) -> list[Any]:
        values = dict(zip(jaxpr.invars, arguments, strict=True))

        def value(variable: Any) -> Any:
            if hasattr(variable, "val"):  # a constant
                return variable.aval, str(variable.val)
            return values.setdefault(variable, object())

        for equation in jaxpr.eqns:
            inputs = [value(variable) for variable in equation.invars]
            inner = list(_called(equation.params))
            if equation.primitive.name not in LOOPS and len(inner) == 1 and len(inner[0].invars) == len(inputs):
                outputs = run(inner[0], inputs)
            else:
                settings = [(name, _hashable(setting)) for name, setting in equation.params.items()]
                key = (equation.primitive, *settings, *inputs)
                _, outputs = found.setdefault(key, (equation, [object() for _ in equation.outvars]))
            values |= zip(equation.outvars, outputs, strict=True)
        return [value(variable) for variable in jaxpr.outvars]

    run(jaxpr, [object() for _ in jaxpr.invars])
    return [equation for equation, _ in found.values()]


def _hashable(setting: Any) -> Any:
    try:
        hash(setting)
    except TypeError:
        return id(setting)
    return setting


def _called(params: dict[str, Any]) -> Iterator[Any]:
    """Yield the jaxprs among the parameters of an equation."""
    for value in params.values():
        for part in value if isinstance(value, (list, tuple)) else (value,):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield inner


def _dot(equation: Any) -> Product:
    (contracted, _), (batched, _) = equation.params["dimension_numbers"]
    left, right = (variable.aval for variable in equation.invars)
    batch = math.prod(left.shape[axis] for axis in batched)
    inner = math.prod(left.shape[axis] for axis in contracted)
    rows, columns = (math.prod(side.shape) // (batch * inner) for side in (left, right))
    return Product(rows, inner, columns, batch, str(left.dtype))


def _convolution(equation: Any) -> tuple[Product, float]:
    """Return a convolution as the product of its windows with its kernel, one for each group, and its operations.

    The inner dimension is the mean number of values that a window has, rounded.
    """
    params, numbers = equation.params, equation.params["dimension_numbers"]
    left, kernel = (variable.aval for variable in equation.invars)
    out = equation.outvars[0].aval
    groups = params["feature_group_count"] * params["batch_group_count"]
    taps = math.prod(
        _taps(left.shape[a], kernel.shape[b], out.shape[c], stride, low, spread, dilation)
        for a, b, c, stride, (low, _), spread, dilation in zip(
            numbers.lhs_spec[2:],
            numbers.rhs_spec[2:],
            numbers.out_spec[2:],
            params["window_strides"],
            params["padding"],
            params["lhs_dilation"],
            params["rhs_dilation"],
            strict=True,
        )
    )
    positions = math.prod(out.shape[axis] for axis in numbers.out_spec[2:])
    rows = out.shape[numbers.out_spec[0]] * positions
    columns, channels = out.shape[numbers.out_spec[1]], kernel.shape[numbers.rhs_spec[1]]
    inner = max(1, round(channels * taps / positions))
    flops = 2.0 * rows * columns * channels * taps / positions
    return Product(rows, inner, columns // groups, groups, str(left.dtype)), flops


def _taps(size: int, kernel: int, out: int, stride: int, low: int, spread: int, dilation: int) -> int:
    """Return how many pairs of an output position and a kernel position meet an input pixel, along one axis."""
    at = np.arange(out)[:, None] * stride + np.arange(kernel) * dilation - low
    return int(np.sum((at >= 0) & (at <= (size - 1) * spread) & (at % spread == 0)))

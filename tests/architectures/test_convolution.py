"""The forms of the convolutions: values, derivatives of two orders, and their form in compiled loops."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.architectures.convolution import (
    pooled_convolution,
    resolved_form,
    same_convolution,
    strided_convolution,
    transposed_convolution,
    upsampled_convolution,
)
from ganrun.architectures.convolution.derivatives import convolve, input_gradient, kernel_gradient
from ganrun.architectures.convolution.window import HALVING, as_blocks, from_blocks, same
from ganrun.architectures.layers import Conv
from ganrun.architectures.resampling import average_pool, nearest_upsample

OURS = ("direct", "matmul")
# Side of the kernel by function; a layer with at most four channels or features takes another path through matmul.
LAYERS = {
    same_convolution: 3,
    strided_convolution: 4,
    transposed_convolution: 4,
    pooled_convolution: 3,
    upsampled_convolution: 3,
}
WIDTHS = [(2, 6), (6, 3), (5, 7)]


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def windows_by_loops(x, kernel, stride, padding):
    """The convolution as a sum over the positions of the window, in double precision."""
    x, kernel = np.pad(np.asarray(x, np.float64), ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0))), np.asarray(kernel)
    height, width = ((side - kernel.shape[0]) // stride + 1 for side in x.shape[1:3])
    out = np.zeros((len(x), height, width, kernel.shape[3]))
    for row in range(height):
        for column in range(width):
            a, b = row * stride, column * stride
            window = x[:, a : a + kernel.shape[0], b : b + kernel.shape[1]]
            out[:, row, column] = np.einsum("nabc,abcf->nf", window, kernel)
    return out


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.sampled_from(OURS)
)
def test_values_are_sums_over_windows(n, rows, columns, channels, features, form):
    x, kernel = normal(rows, n, rows, columns, channels), normal(1, 3, 3, channels, features)
    expected = windows_by_loops(x, kernel, stride=1, padding=1)
    np.testing.assert_allclose(same_convolution(x, kernel, form), expected, atol=1e-4)
    x, kernel = normal(columns, n, 2 * rows, 2 * columns, channels), normal(1, 4, 4, channels, features)
    expected = windows_by_loops(x, kernel, stride=2, padding=1)
    np.testing.assert_allclose(strided_convolution(x, kernel, form), expected, atol=1e-4)


@pytest.mark.parametrize("form", OURS)
@pytest.mark.parametrize("window", [same(1), same(3), same(5), HALVING], ids=["1x1", "3x3", "5x5", "4x4 stride 2"])
@pytest.mark.parametrize(("channels", "features"), WIDTHS)
def test_the_three_functions_are_derivatives_of_each_other(form, window, channels, features):
    """For a bilinear convolution, <dy, x * k> = <x, input gradient(dy, k)> = <k, kernel gradient(x, dy)>."""
    x, kernel = normal(0, 2, 6, 8, channels), normal(1, window.size, window.size, channels, features)
    y = convolve(x, kernel, window, form)
    dy = normal(2, *y.shape)
    inner = float(jnp.vdot(dy, y))
    assert float(jnp.vdot(x, input_gradient(dy, kernel, window, form))) == pytest.approx(inner, rel=1e-4, abs=1e-3)
    assert float(jnp.vdot(kernel, kernel_gradient(x, dy, window, form))) == pytest.approx(inner, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize(("channels", "features"), WIDTHS)
def test_forms_agree_in_a_gradient_penalty(layer, channels, features):
    """Outputs, and the gradients of a squared gradient norm, which have derivatives of the second order."""
    x, size = normal(3, 2, 4, 6, channels), LAYERS[layer]
    kernels = 0.2 * normal(4, size, size, channels, features), 0.2 * normal(5, size, size, features, features)

    def network(form, kernels, x):
        y = jnp.sin(layer(x, kernels[0], form))
        return jnp.sum(jnp.sin(layer(y, kernels[1], form)) ** 2)

    def penalty(form, kernels, x):
        return jnp.sum(jax.grad(network, argnums=2)(form, kernels, x) ** 2)

    def found(form):
        value = jax.jit(jax.value_and_grad(penalty, argnums=(1, 2)), static_argnums=0)(form, kernels, x)
        return layer(x, kernels[0], form), value

    if layer in (strided_convolution, pooled_convolution):
        x = normal(3, 2, 8, 4, channels)
    theirs = found("xla")
    for form in OURS:
        # Relative to the largest number, as for a sum whose terms are added in another order.
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.max(np.abs(b))), found(form), theirs
        )


@pytest.mark.parametrize("form", ["direct", "matmul", "xla"])
def test_resampling_is_part_of_the_convolution(form):
    x, kernel = normal(0, 2, 4, 6, 5), normal(1, 3, 3, 5, 7)
    pooled = average_pool(same_convolution(x, kernel, "xla"))
    np.testing.assert_allclose(pooled_convolution(x, kernel, form), pooled, atol=1e-4)
    upsampled = same_convolution(nearest_upsample(x), kernel, "xla")
    np.testing.assert_allclose(upsampled_convolution(x, kernel, form), upsampled, atol=1e-4)


def test_a_layer_resamples():
    x = normal(0, 2, 4, 6, 5)
    variables = Conv(7).init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, Conv(7, resample="up").init(jax.random.key(0), x)) == jax.tree.map(
        jnp.shape, variables
    )
    plain = Conv(7).apply(variables, x)
    np.testing.assert_allclose(Conv(7, resample="down").apply(variables, x), average_pool(plain), atol=1e-5)
    upsampled = Conv(7).apply(variables, nearest_upsample(x))
    np.testing.assert_allclose(Conv(7, resample="up").apply(variables, x), upsampled, atol=1e-5)
    with pytest.raises(ValueError, match="resamples with size 3 and one group only, not size 1 in 1"):
        Conv(7, size=1, resample="up").init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="unknown resampling 'half': use one of down, none, up"):
        Conv(7, resample="half").init(jax.random.key(0), x)


def test_blocks_are_undone():
    kernel = normal(0, 4, 4, 3, 5)
    assert (from_blocks(as_blocks(kernel)) == kernel).all()


@pytest.mark.parametrize("form", OURS)
def test_members_of_a_vmapped_population_equal_single_ones(form):
    x, kernels = normal(0, 3, 2, 4, 4, 5), normal(1, 3, 3, 3, 5, 7)

    def gradient(x, kernel):
        return jax.grad(lambda k: jnp.sum(jnp.sin(same_convolution(x, k, form))))(kernel)

    for found, x_i, kernel_i in zip(jax.vmap(gradient)(x, kernels), x, kernels, strict=True):
        np.testing.assert_allclose(found, gradient(x_i, kernel_i), atol=1e-4)


def convolutions_in_loop(layer, form, x, kernel):
    """The convolutions of a compiled loop that updates the kernel by the gradient of a gradient penalty."""

    def network(kernel, x):
        return jnp.sum(jnp.sin(layer(x, kernel, form)))

    def penalty(kernel):
        return jnp.sum(jax.grad(network, argnums=1)(kernel, x) ** 2) + network(kernel, x)

    def steps(kernel):
        return jax.lax.fori_loop(0, 3, lambda _, k: k - 0.1 * jax.grad(penalty)(k), kernel)

    return re.findall(r"convolution\(.*", jax.jit(steps).lower(kernel).compile().as_text())


def is_canonical(convolution):
    """XLA on the CPU has a fast implementation in a loop for these alone: no reversal, no dilation of the input."""
    return (
        "dim_labels=b01f_01io->b01f" in convolution
        and "rhs_reversal" not in convolution
        and "lhs_dilate" not in convolution
    )


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the forms of loops on the CPU")
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize("side", [2, 8])
def test_loops_keep_the_fast_form(layer, side):
    """Side 2: the cotangent, as the kernel of the kernel's gradient, is as large as the input."""
    x, kernel = normal(0, 4, side, side, 6), normal(1, LAYERS[layer], LAYERS[layer], 6, 8)
    found = convolutions_in_loop(layer, "direct", x, kernel)
    assert found
    assert all(map(is_canonical, found)), found
    assert not all(map(is_canonical, convolutions_in_loop(layer, "xla", x, kernel)))
    assert not convolutions_in_loop(layer, "matmul", x, kernel)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what auto means on the CPU")
def test_auto_takes_products_for_few_channels_and_few_pixels():
    assert resolved_form("auto", 64, 128, 25) == "direct"
    assert resolved_form("auto", 1, 128, 25) == resolved_form("auto", 64, 3, 25) == "matmul"
    assert resolved_form("auto", 64, 128, 16) == "matmul"
    assert resolved_form("xla", 1, 1, 1) == "xla"


def test_auto_is_xla_elsewhere(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert resolved_form("auto", 64, 128, 25) == resolved_form("auto", 1, 128, 4) == "xla"


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize("form", OURS)
def test_forward_mode_is_the_derivative_along_a_direction(layer, form):
    """A convolution is bilinear: its derivative along (u, v) is the sum of those by each argument, each exact."""
    size = LAYERS[layer]
    x, u, kernel, v = (
        normal(0, 2, 4, 6, 5),
        normal(1, 2, 4, 6, 5),
        normal(2, size, size, 5, 7),
        normal(3, size, size, 5, 7),
    )
    _, along = jax.jvp(lambda x, kernel: layer(x, kernel, form), (x, kernel), (u, v))
    np.testing.assert_allclose(along, layer(u, kernel, "xla") + layer(x, v, "xla"), atol=1e-4)


@pytest.mark.parametrize("form", OURS)
def test_derivatives_have_the_precision_of_the_place_of_the_convolution(form):
    def network(kernel):
        with jax.default_matmul_precision("tensorfloat32"):
            return jnp.sum(jnp.sin(same_convolution(normal(0, 2, 4, 4, 5), kernel, form)))

    with jax.default_matmul_precision("float32"):
        program = jax.jit(jax.grad(network)).lower(normal(1, 3, 3, 5, 7)).as_text()
    assert set(re.findall(r"HIGH\w*|DEFAULT", program)) == {"HIGH"}

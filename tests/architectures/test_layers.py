"""The convolutional layers in all forms, and maxout, against numbers worked out by hand and against XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from ganrun.architectures.convolution import resolved_form
from ganrun.architectures.layers import (
    Conv,
    Maxout,
    StridedConv,
    TransposedConv,
    batch_norm,
    largest_divisor,
)

# k[u, v] = 4 u + v + 1: every tap of the window has its own number.
COUNTING = jnp.arange(1.0, 17.0).reshape(4, 4, 1, 1)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("form", ["direct", "matmul", "xla"])
def test_strided_conv_by_hand(form):
    # One pixel of padding puts the 2x2 image on the window's middle taps 6, 7, 10, 11:
    # 1 * 6 + 2 * 7 + 3 * 10 + 4 * 11 = 94, and the bias adds 0.5.
    image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    params = {"kernel": COUNTING, "bias": jnp.array([0.5])}
    assert StridedConv(1, form).apply({"params": params}, image).tolist() == [[[[94.5]]]]


@pytest.mark.parametrize("form", ["direct", "matmul", "xla"])
def test_transposed_conv_by_hand(form):
    # Spread and padded by two, the single pixel 2 lies at row 2, column 2. The window of output (0, 0) meets it with
    # tap (2, 2) = 11, (0, 1) with (2, 1) = 10, (1, 0) with (1, 2) = 7 and (1, 1) with (1, 1) = 6; the bias adds 1.
    params = {"kernel": COUNTING, "bias": jnp.array([1.0])}
    output = TransposedConv(1, form).apply({"params": params}, jnp.full((1, 1, 1, 1), 2.0))
    assert output[0, :, :, 0].tolist() == [[23.0, 21.0], [15.0, 13.0]]


@pytest.mark.parametrize("form", ["direct", "matmul", "xla"])
def test_conv_by_hand(form):
    # Taps 1 ... 9 by rows. Output (0, 0) meets the image at taps 5, 6, 8, 9: 1 * 5 + 2 * 6 + 3 * 8 + 4 * 9 = 77, and
    # (0, 1) at 4, 5, 7, 8: 4 + 10 + 21 + 32 = 67; (1, 0) at 2, 3, 5, 6: 2 + 6 + 15 + 24 = 47; (1, 1) at 1, 2, 4, 5: 37.
    image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    params = {"kernel": jnp.arange(1.0, 10.0).reshape(3, 3, 1, 1), "bias": jnp.array([0.5])}
    output = Conv(1, form=form).apply({"params": params}, image)
    assert output[0, :, :, 0].tolist() == [[77.5, 67.5], [47.5, 37.5]]


@pytest.mark.parametrize("form", ["direct", "matmul", "xla"])
def test_grouped_conv_by_hand(form):
    # Two groups of one channel in and two out: the first two outputs see only the channel 3, the others only 5.
    params = {"kernel": jnp.array([1.0, 2.0, 10.0, 20.0]).reshape(1, 1, 1, 4)}
    layer = Conv(4, size=1, groups=2, form=form, use_bias=False)
    output = layer.apply({"params": params}, jnp.array([3.0, 5.0]).reshape(1, 1, 1, 2))
    assert output.ravel().tolist() == [3.0, 6.0, 50.0, 100.0]


def test_maxout_by_hand():
    # x = (1, -2). Unit 0: pieces 1 and -1 + 4 = 3, the larger is 3. Unit 1: pieces -2 and 2 - 2 - 1 = -1, hence -1.
    kernel = jnp.array([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, -2.0, 1.0]])
    params = {"kernel": kernel, "bias": jnp.array([0.0, 0.0, 0.0, -1.0])}
    assert Maxout(2, pieces=2).apply({"params": params}, jnp.array([[1.0, -2.0]])).tolist() == [[3.0, -1.0]]


def test_maxout_of_one_piece_is_dense():
    x = normal(0, 3, 5)
    variables = Maxout(4, pieces=1).init(jax.random.key(1), x)
    np.testing.assert_allclose(Maxout(4, 1).apply(variables, x), nn.Dense(4).apply(variables, x), atol=1e-6)


def value_and_gradients(layer, params, x):
    """Output of ``layer`` and the gradients of a scalar of it by the parameters and the input."""

    def scalar(params, x):
        y = layer.apply({"params": params}, x)
        return jnp.mean(jnp.sin(y) * jnp.arange(y.size).reshape(y.shape) / y.size), y

    (_, y), gradients = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True))(params, x)
    return y, gradients


@pytest.mark.parametrize("layer", [StridedConv, TransposedConv])
@pytest.mark.parametrize(
    ("height", "width", "channels", "features"), [(2, 2, 1, 1), (8, 8, 1, 6), (14, 14, 3, 4), (6, 10, 5, 1)]
)
def test_forms_agree_in_value_and_gradients(layer, height, width, channels, features):
    x = normal(height + channels, 3, height, width, channels)
    params = {"kernel": normal(1, 4, 4, channels, features), "bias": normal(2, features)}
    with jax.default_matmul_precision("highest"):
        found = {form: value_and_gradients(layer(features, form), params, x) for form in ("direct", "matmul", "xla")}
    for form in ("direct", "matmul"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found[form], found["xla"])


@pytest.mark.parametrize(("size", "groups"), [(1, 1), (1, 2), (3, 1), (3, 2), (3, 4), (5, 1)])
def test_forms_of_conv_agree_in_value_and_gradients(size, groups):
    x = normal(size + groups, 3, 5, 6, 4)
    params = {"kernel": normal(1, size, size, 4 // groups, 8), "bias": normal(2, 8)}
    with jax.default_matmul_precision("highest"):
        found = {
            form: value_and_gradients(Conv(8, size, groups, form), params, x) for form in ("direct", "matmul", "xla")
        }
    for form in ("direct", "matmul"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found[form], found["xla"])


def test_conv_is_the_one_of_flax():
    x = normal(0, 2, 3, 4, 6)
    variables = Conv(4, groups=2).init(jax.random.key(1), x)
    theirs = nn.Conv(4, (3, 3), feature_group_count=2).apply(variables, x)
    np.testing.assert_allclose(Conv(4, groups=2, form="matmul").apply(variables, x), theirs, atol=1e-5)


def test_transposed_conv_is_the_one_of_flax():
    x = normal(0, 2, 3, 4, 2)
    variables = TransposedConv(5).init(jax.random.key(1), x)
    theirs = nn.ConvTranspose(5, (4, 4), strides=(2, 2), padding="SAME").apply(variables, x)
    np.testing.assert_allclose(TransposedConv(5, "matmul").apply(variables, x), theirs, atol=1e-5)


@pytest.mark.parametrize("layer", [StridedConv, TransposedConv, Conv])
def test_matmul_form_has_neither_convolution_nor_scatter(layer):
    """Either would bring back the slow loops that the form exists to avoid."""
    x = jnp.ones((2, 4, 4, 3))
    module = layer(5, form="matmul")
    variables = module.init(jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda v, x: module.apply(v, x).sum(), argnums=(0, 1)))
    program = gradient.lower(variables, x).as_text()
    assert "dot_general" in program
    assert "convolution" not in program
    assert "scatter" not in program


def test_kernels_start_at_the_papers_scale():
    variables = StridedConv(64).init(jax.random.key(0), jnp.ones((1, 4, 4, 16)))
    assert np.std(variables["params"]["kernel"]) == pytest.approx(0.02, rel=0.05)
    assert not variables["params"]["bias"].any()


def test_forms_and_sizes_are_checked():
    with pytest.raises(ValueError, match="unknown form 'fast' of a convolution: use one of auto, direct, matmul, xla"):
        resolved_form("fast", 1, 1, 1)
    with pytest.raises(ValueError, match="even height and width, not 5 x 4"):
        StridedConv(1).init(jax.random.key(0), jnp.ones((1, 5, 4, 1)))
    for wrong in (Conv(4, size=2), Conv(4, groups=3), Conv(5, groups=2)):
        with pytest.raises(ValueError, match=r"an odd size, not ., and groups that divide"):
            wrong.init(jax.random.key(0), jnp.ones((1, 4, 4, 6)))


@given(st.integers(1, 3000), st.integers(1, 200))
def test_largest_divisor(n, most):
    found = largest_divisor(n, most)
    assert 1 <= found <= most
    assert n % found == 0
    assert not any(n % larger == 0 for larger in range(found + 1, min(n, most) + 1))


def test_batch_norm_by_hand():
    # Batch 1, 3: mean 2, variance 1, so the outputs are -1 and 1; the running mean moves a tenth of the way, to 0.2.
    x = jnp.array([[1.0], [3.0]])
    layer = batch_norm(train=True)
    y, new = layer.apply(layer.init(jax.random.key(0), x), x, mutable=["batch_stats"])
    np.testing.assert_allclose(y, [[-1.0], [1.0]], atol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["mean"], [0.2], atol=1e-6)

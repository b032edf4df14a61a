"""The strided layers in both forms, and maxout, against numbers worked out by hand and against XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ganrun.architectures.layers import Maxout, StridedConv, TransposedConv, batch_norm, resolved_form

# k[u, v] = 4 u + v + 1: every tap of the window has its own number.
COUNTING = jnp.arange(1.0, 17.0).reshape(4, 4, 1, 1)


@pytest.mark.parametrize("form", ["matmul", "xla"])
def test_strided_conv_by_hand(form):
    # One pixel of padding puts the 2x2 image on the window's middle taps 6, 7, 10, 11:
    # 1 * 6 + 2 * 7 + 3 * 10 + 4 * 11 = 94, and the bias adds 0.5.
    image = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    params = {"kernel": COUNTING, "bias": jnp.array([0.5])}
    assert StridedConv(1, form).apply({"params": params}, image).tolist() == [[[[94.5]]]]


@pytest.mark.parametrize("form", ["matmul", "xla"])
def test_transposed_conv_by_hand(form):
    # Spread and padded by two, the single pixel 2 lies at row 2, column 2. The window of output (0, 0) meets it with
    # tap (2, 2) = 11, (0, 1) with (2, 1) = 10, (1, 0) with (1, 2) = 7 and (1, 1) with (1, 1) = 6; the bias adds 1.
    params = {"kernel": COUNTING, "bias": jnp.array([1.0])}
    output = TransposedConv(1, form).apply({"params": params}, jnp.full((1, 1, 1, 1), 2.0))
    assert output[0, :, :, 0].tolist() == [[23.0, 21.0], [15.0, 13.0]]


def test_maxout_by_hand():
    # x = (1, -2). Unit 0: pieces 1 and -1 + 4 = 3, the larger is 3. Unit 1: pieces -2 and 2 - 2 - 1 = -1, hence -1.
    kernel = jnp.array([[1.0, 0.0, -1.0, 2.0], [0.0, 1.0, -2.0, 1.0]])
    params = {"kernel": kernel, "bias": jnp.array([0.0, 0.0, 0.0, -1.0])}
    assert Maxout(2, pieces=2).apply({"params": params}, jnp.array([[1.0, -2.0]])).tolist() == [[3.0, -1.0]]


def test_maxout_of_one_piece_is_dense():
    x = jax.random.normal(jax.random.key(0), (3, 5))
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
    keys = jax.random.split(jax.random.key(height + channels), 3)
    x = jax.random.normal(keys[0], (3, height, width, channels))
    params = {
        "kernel": jax.random.normal(keys[1], (4, 4, channels, features)),
        "bias": jax.random.normal(keys[2], (features,)),
    }
    with jax.default_matmul_precision("highest"):
        ours = value_and_gradients(layer(features, "matmul"), params, x)
        theirs = value_and_gradients(layer(features, "xla"), params, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ours, theirs)


def test_transposed_conv_is_the_one_of_flax():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 2))
    variables = TransposedConv(5).init(jax.random.key(1), x)
    theirs = nn.ConvTranspose(5, (4, 4), strides=(2, 2), padding="SAME").apply(variables, x)
    np.testing.assert_allclose(TransposedConv(5, "matmul").apply(variables, x), theirs, atol=1e-5)


@pytest.mark.parametrize("layer", [StridedConv, TransposedConv])
def test_matmul_form_has_neither_convolution_nor_scatter(layer):
    """Either would bring back the slow loops that the form exists to avoid."""
    x = jnp.ones((2, 4, 4, 3))
    module = layer(5, "matmul")
    variables = module.init(jax.random.key(0), x)
    program = str(jax.make_jaxpr(jax.grad(lambda v, x: module.apply(v, x).sum(), argnums=(0, 1)))(variables, x))
    assert "dot_general" in program
    assert "conv_general_dilated" not in program
    assert "scatter" not in program


def test_kernels_start_at_the_papers_scale():
    variables = StridedConv(64).init(jax.random.key(0), jnp.ones((1, 4, 4, 16)))
    assert np.std(variables["params"]["kernel"]) == pytest.approx(0.02, rel=0.05)
    assert not variables["params"]["bias"].any()


def test_forms_and_sizes_are_checked():
    assert resolved_form("xla") == "xla"
    assert resolved_form("auto") == ("matmul" if jax.default_backend() == "cpu" else "xla")
    with pytest.raises(ValueError, match="unknown form 'fast'"):
        resolved_form("fast")
    with pytest.raises(ValueError, match="even sides; it was given 5 x 4"):
        StridedConv(1).init(jax.random.key(0), jnp.ones((1, 5, 4, 1)))


def test_batch_norm_by_hand():
    # Batch 1, 3: mean 2, variance 1, so the outputs are -1 and 1; the running mean moves a tenth of the way, to 0.2.
    x = jnp.array([[1.0], [3.0]])
    layer = batch_norm(train=True)
    y, new = layer.apply(layer.init(jax.random.key(0), x), x, mutable=["batch_stats"])
    np.testing.assert_allclose(y, [[-1.0], [1.0]], atol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["mean"], [0.2], atol=1e-6)

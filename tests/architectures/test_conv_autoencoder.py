"""Convolutional encoders and decoders: shapes, what they compute, and sizes that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.conv_autoencoder import ConvVae
from ganrun.errors import ConfigError


@pytest.mark.parametrize(("shape", "outputs", "base"), [((8, 8, 1), 1, (4, 4)), ((12, 24, 3), 2, (6, 12))])
def test_the_shapes_are_those_of_halvings_and_doublings(shape, outputs, base):
    module = ConvVae(width=4, hidden=9).build_autoencoder(shape, 5, outputs)
    x, noise = jnp.zeros((3, *shape)), jnp.zeros((2, 3, 5))
    out, variables = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), x, noise, True))
    assert [part.shape for part in out] == [(3, 5), (3, 5), (6, *shape, outputs)]
    encoder, decoder = (variables["params"][name] for name in ("encoder", "decoder"))
    pixels = base[0] * base[1]
    assert encoder["Conv_0"]["kernel"].shape == (3, 3, shape[-1], 4)
    assert [encoder[f"Dense_{i}"]["kernel"].shape for i in (0, 1)] == [(pixels * 4, 9), (9, 10)]
    assert [decoder[f"Dense_{i}"]["kernel"].shape for i in (0, 1)] == [(5, 9), (9, pixels * 4)]
    assert decoder["Conv_0"]["kernel"].shape == (3, 3, 4, shape[-1] * outputs)


def test_a_pass_encodes_moves_by_the_noise_and_decodes_each_of_several_latents():
    module = ConvVae(width=4, hidden=9).build_autoencoder((8, 8, 1), 2, 1)
    x, noise = jax.random.normal(jax.random.key(1), (4, 8, 8, 1)), jax.random.normal(jax.random.key(2), (3, 4, 2))
    variables = module.init(jax.random.key(0), x, noise, False)
    mean, log_variance, out = module.apply(variables, x, noise, True)
    np.testing.assert_allclose(mean, module.apply(variables, x, False, method="encode")[0], rtol=1e-6)
    for k in range(3):
        z = np.asarray(mean) + np.sqrt(np.exp(np.asarray(log_variance))) * np.asarray(noise[k])
        wanted = module.apply(variables, z, False, method="decode")
        np.testing.assert_allclose(out[4 * k : 4 * (k + 1)], wanted, rtol=1e-4, atol=1e-5)


def test_with_classes_each_of_several_latents_is_decoded_with_the_label_of_its_image():
    module = ConvVae(width=4, hidden=9).build_autoencoder((8, 8, 1), 2, 1, 3)
    x, noise = jax.random.normal(jax.random.key(1), (4, 8, 8, 1)), jax.random.normal(jax.random.key(2), (3, 4, 2))
    y = jnp.asarray([0, 1, 2, 1])
    variables = module.init(jax.random.key(0), x, noise, False, y)
    found = {name: variables["params"][name]["Dense_0"]["kernel"].shape for name in ("encoder", "decoder")}
    assert found == {"encoder": (4 * 4 * 4 + 3, 9), "decoder": (2 + 2, 9)}
    mean, log_variance, out = module.apply(variables, x, noise, True, y)
    for row, label in enumerate(y):
        alone = module.apply(variables, x[row : row + 1], False, label[None], method="encode")
        np.testing.assert_allclose(mean[row], alone[0][0], rtol=1e-4, atol=1e-5)
        other = module.apply(variables, x[row : row + 1], False, (label[None] + 1) % 3, method="encode")
        assert not np.allclose(mean[row], other[0][0], atol=1e-3)
        for k in range(3):
            z = mean[row] + jnp.exp(log_variance[row] / 2) * noise[k, row]
            wanted = module.apply(variables, z[None], False, label[None], method="decode")
            np.testing.assert_allclose(out[4 * k + row], wanted[0], rtol=1e-4, atol=1e-5)


def test_black_pixels_are_encoded_as_zeros():
    module = ConvVae(width=4, hidden=9).build_autoencoder((8, 8, 1), 2, 1)
    black = jnp.full((1, 8, 8, 1), -1.0)
    params = module.init(jax.random.key(0), black, jnp.zeros((1, 2)), False)["params"]
    other = jax.tree.map(lambda leaf: 2.0 * leaf, params)  # biases are zero at first: so is the output for zeros
    for variables in (params, other):
        for part in module.apply({"params": variables}, black, False, method="encode"):
            np.testing.assert_array_equal(part, 0.0)


@pytest.mark.parametrize("shape", [(2,), (9, 9, 1), (4, 4, 1)])
def test_sizes_that_cannot_be_halved_are_refused(shape):
    with pytest.raises(ConfigError, match=r"^architecture=conv_vae takes images") as caught:
        ConvVae().build_autoencoder(shape, 2, 1)
    assert "\n" not in str(caught.value) and ("Try mlp_vae." in str(caught.value)) == (shape == (2,))

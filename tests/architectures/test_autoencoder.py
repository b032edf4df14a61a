"""Encoders and decoders: shapes, sizes, what they compute, and architectures that build none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from narrow import METHODS

from ganrun.architectures.autoencoder import MlpAutoencoder, MlpVae
from ganrun.architectures.mlp import Mlp
from ganrun.architectures.networks import builder
from ganrun.config.registry import options
from ganrun.errors import ConfigError

SMALL = MlpVae(encoder_hidden=(8, 7), decoder_hidden=(6,), activation="tanh")


def shapes(module, shape):
    example, noise = jnp.zeros((1, *shape)), jnp.zeros((1, module.latent_dim))
    tree = jax.eval_shape(lambda key: module.init(key, example, noise, False), jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf.shape, tree["params"])


@pytest.mark.parametrize(("shape", "outputs"), [((2,), 1), ((4, 6, 3), 2)])
def test_the_encoder_has_two_outputs_per_latent_and_the_decoder_those_asked_for_per_element(shape, outputs):
    module = SMALL.build_autoencoder(shape, 5, outputs)
    elements = int(np.prod(shape))
    found = shapes(module, shape)
    assert [found["encoder"][f"Dense_{i}"]["kernel"] for i in range(3)] == [(elements, 8), (8, 7), (7, 10)]
    assert [found["decoder"][f"Dense_{i}"]["kernel"] for i in range(2)] == [(5, 6), (6, elements * outputs)]
    mean, log_variance, out = jax.eval_shape(
        lambda: module.init_with_output(jax.random.key(0), jnp.zeros((3, *shape)), jnp.zeros((3, 5)), True)[0]
    )
    assert (mean.shape, log_variance.shape, out.shape) == ((3, 5), (3, 5), (3, *shape, outputs))


def test_a_pass_encodes_moves_by_the_noise_and_decodes():
    module = SMALL.build_autoencoder((3,), 2, 1)
    x, noise = jax.random.normal(jax.random.key(1), (4, 3)), jax.random.normal(jax.random.key(2), (4, 2))
    variables = module.init(jax.random.key(0), x, noise, False)
    mean, log_variance, out = module.apply(variables, x, noise, True)
    encoded = module.apply(variables, x, False, method="encode")
    np.testing.assert_allclose(mean, encoded[0], rtol=1e-6)
    np.testing.assert_allclose(log_variance, encoded[1], rtol=1e-6)
    # The noise is multiplied by the standard deviation, the exponential of half the log variance.
    z = np.asarray(mean) + np.sqrt(np.exp(np.asarray(log_variance))) * np.asarray(noise)
    np.testing.assert_allclose(out, module.apply(variables, z, False, method="decode"), rtol=1e-5)


def test_without_hidden_layers_both_maps_are_affine():
    module = MlpAutoencoder((2,), 1, 1, (), ())
    x, z = jax.random.normal(jax.random.key(1), (3, 2)), jax.random.normal(jax.random.key(2), (3, 1))
    variables = module.init(jax.random.key(0), x, z, False)
    encoder, decoder = (variables["params"][name]["Dense_0"] for name in ("encoder", "decoder"))
    mean, log_variance = module.apply(variables, x, False, method="encode")
    np.testing.assert_allclose(jnp.concatenate([mean, log_variance], 1), x @ encoder["kernel"], rtol=1e-6)
    np.testing.assert_allclose(module.apply(variables, z, False, method="decode")[..., 0], z @ decoder["kernel"])


def test_pixels_are_encoded_from_0_for_black_to_1_for_white():
    module = MlpAutoencoder((1, 2, 1), 1, 1, (), ())
    x = jnp.asarray([-1.0, 1.0]).reshape(1, 1, 2, 1)
    variables = module.init(jax.random.key(0), x, jnp.zeros((1, 1)), False)
    kernel = variables["params"]["encoder"]["Dense_0"]["kernel"]
    mean, log_variance = module.apply(variables, x, False, method="encode")
    np.testing.assert_allclose(jnp.concatenate([mean, log_variance], 1)[0], kernel[1], rtol=1e-6)


def test_with_classes_the_encoder_gets_the_one_hot_vector_of_the_label_and_the_decoder_its_embedding():
    module = MlpVae((3,), (3,), "tanh").build_autoencoder((2,), 1, 1, 4)
    x, noise, y = jnp.asarray([[1.0, 2.0], [3.0, 4.0]]), jnp.asarray([[[0.5], [0.0]]] * 3), jnp.asarray([3, 0])
    variables = module.init(jax.random.key(0), x, noise, False, y)
    encoder, decoder = (variables["params"][name]["Dense_0"]["kernel"] for name in ("encoder", "decoder"))
    embedding = np.asarray(variables["params"]["decoder"]["Embedding_0"]["embedding"])
    assert (encoder.shape, decoder.shape, embedding.shape) == ((2 + 4, 3), (1 + 1, 3), (4, 1))
    mean, log_variance, outputs = module.apply(variables, x, noise, False, y)
    hidden = np.tanh(np.asarray([[1.0, 2.0, 0, 0, 0, 1], [3.0, 4.0, 1, 0, 0, 0]]) @ encoder)
    wanted = hidden @ variables["params"]["encoder"]["Dense_1"]["kernel"]
    np.testing.assert_allclose(jnp.concatenate([mean, log_variance], 1), wanted, rtol=1e-5)
    # Each of three latents of an example is decoded with the label of the example.
    z = np.asarray(mean + jnp.exp(log_variance / 2) * noise[0])
    hidden = np.tanh(np.concatenate([z, embedding[[3, 0]]], 1) @ decoder)
    wanted = hidden @ variables["params"]["decoder"]["Dense_1"]["kernel"]
    np.testing.assert_allclose(outputs[..., 0], np.tile(wanted, (3, 1)), rtol=1e-4)
    with pytest.raises(ValueError, match="4 classes needs labels"):
        module.apply(variables, x, noise, False)


def test_the_activations_are_relu_and_tanh():
    x = jnp.asarray([[-2.0, 0.5, 3.0]])
    for name, function in (("relu", lambda h: np.maximum(h, 0.0)), ("tanh", np.tanh)):
        module = MlpAutoencoder((3,), 1, 1, (4,), (4,), name)
        variables = module.init(jax.random.key(0), x, jnp.zeros((1, 1)), False)
        first, second = (variables["params"]["encoder"][f"Dense_{i}"]["kernel"] for i in range(2))
        wanted = function(np.asarray(x @ first)) @ np.asarray(second)
        found = jnp.concatenate(module.apply(variables, x, False, method="encode"), axis=1)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_defaults_suit_the_data():
    vectors, images = (MlpVae().build_autoencoder(shape, 2, 1) for shape in ((2,), (8, 8, 1)))
    assert vectors.encoder_hidden == vectors.decoder_hidden == (64, 64, 64)
    assert images.encoder_hidden == images.decoder_hidden == (500, 500)
    assert (vectors.activation, images.activation) == ("tanh", "relu")
    assert MlpVae(activation="relu").build_autoencoder((2,), 2, 1).activation == "relu"


def test_autoencoders_are_values():
    one, same, other = (SMALL.build_autoencoder(shape, 2, 1) for shape in ((3,), [3], (4,)))
    assert one == same and hash(one) == hash(same) and one != other


def test_impossible_shapes_and_latents_are_refused():
    with pytest.raises(ConfigError, match=r"\(dim,\) or images .* is \(4, 4\)"):
        MlpVae().build_autoencoder((4, 4), 2, 1)
    with pytest.raises(ConfigError, match="at least 1; it is 0"):
        MlpVae().build_autoencoder((4,), 0, 1)


def test_an_architecture_without_the_networks_of_a_method_is_refused_with_those_that_have_them():
    option = Mlp()
    assert builder(option, "build", "gan") == option.build
    with pytest.raises(ConfigError) as caught:
        builder(Mlp(), "build_autoencoder", "vae")
    assert str(caught.value) == "architecture=mlp has no networks for method=vae: use architecture=conv_vae or mlp_vae."
    with pytest.raises(ConfigError, match=r"^architecture=mlp_vae has no networks for method=gan: use ") as caught:
        builder(MlpVae(), "build", "gan")
    assert all(name in str(caught.value) for name in set(options("architecture")) - set(METHODS))

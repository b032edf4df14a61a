"""Denoisers: shapes, sizes and what they compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.denoiser import MlpDenoiser, MlpDenoiserOption


@pytest.mark.parametrize(("shape", "outputs"), [((2,), 1), ((4, 6, 3), 2)])
def test_a_denoiser_has_the_outputs_asked_for_per_element(shape, outputs):
    module = MlpDenoiserOption(hidden=(8, 7)).build_denoiser(shape, outputs)
    out, variables = module.init_with_output(jax.random.key(0), jnp.zeros((3, *shape)), True)
    assert out.shape == (3, *shape, outputs)
    elements = int(np.prod(shape))
    kernels = [variables["params"]["DenseLayers_0"][f"Dense_{i}"]["kernel"].shape for i in range(3)]
    assert kernels == [(elements, 8), (8, 7), (7, elements * outputs)]


def test_the_defaults_suit_vectors_and_images():
    option = MlpDenoiserOption()
    vectors, images = option.build_denoiser((2,), 1), option.build_denoiser((8, 8, 1), 1)
    assert (vectors.hidden, vectors.activation) == ((64, 64, 64), "tanh")
    assert (images.hidden, images.activation) == ((500, 500), "relu")


def test_without_hidden_layers_it_is_affine_in_pixels_from_0_to_1():
    module = MlpDenoiser((1, 2, 1), 1, ())
    x = jnp.asarray([-1.0, 1.0]).reshape(1, 1, 2, 1)
    out, variables = module.init_with_output(jax.random.key(0), x, False)
    dense = variables["params"]["DenseLayers_0"]["Dense_0"]
    np.testing.assert_allclose(out.ravel(), dense["kernel"][1] + dense["bias"], rtol=1e-6)

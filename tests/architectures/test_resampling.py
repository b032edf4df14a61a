"""Half and twice the side, against numbers worked out by hand and against JAX's own resizing."""

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.resampling import average_pool, bilinear_upsample, nearest_upsample


def image(rows):
    return jnp.array(rows, jnp.float32)[None, :, :, None]


def test_average_pool_by_hand():
    pooled = average_pool(image([[1, 2, 0, 0], [3, 6, 0, 4]]))
    assert pooled[0, :, :, 0].tolist() == [[3.0, 1.0]]


def test_nearest_upsample_by_hand():
    assert nearest_upsample(image([[1, 2]]))[0, :, :, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_bilinear_upsample_by_hand():
    # Along a row 0, 4: 0, then 3/4 * 0 + 1/4 * 4 = 1, then 3, then 4; rows are alike.
    assert bilinear_upsample(image([[0, 4]]))[0, :, :, 0].tolist() == [[0, 1, 3, 4], [0, 1, 3, 4]]


def test_upsampling_is_that_of_jax():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    for ours, method in ((bilinear_upsample, "bilinear"), (nearest_upsample, "nearest")):
        np.testing.assert_allclose(ours(x), jax.image.resize(x, (2, 6, 10, 4), method), atol=1e-6)


def test_pooling_undoes_nearest_upsampling():
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    np.testing.assert_allclose(average_pool(nearest_upsample(x)), x, atol=1e-6)

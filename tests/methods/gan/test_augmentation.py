"""Differentiable augmentations: values by hand, ranges, gradients, and the same images for data and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.config.settings import AUGMENTATIONS as NAMES
from ganrun.errors import ConfigError
from ganrun.methods.gan.augmentation import AUGMENTATIONS, augmented, colour, cutout, translation
from ganrun.methods.gan.spec import gan_spec

KEY = jax.random.key(3)


def images(n=200, height=8, width=16, channels=3):
    return jax.random.uniform(jax.random.key(0), (n, height, width, channels), minval=-1.0, maxval=1.0)


def test_the_settings_names_are_those_of_the_functions():
    assert tuple(AUGMENTATIONS) == NAMES


def test_no_augmentation_changes_nothing_and_the_order_of_names_does_not_matter():
    x = images(4)
    np.testing.assert_array_equal(augmented(x, (), KEY), x)
    np.testing.assert_array_equal(augmented(x, ("cutout", "colour"), KEY), augmented(x, ("colour", "cutout"), KEY))


def test_shifts_are_by_whole_pixels_and_reach_an_eighth_in_each_direction():
    x = images()
    shifted = np.asarray(translation(x, KEY))
    padded = np.pad(np.asarray(x), ((0, 0), (1, 1), (2, 2), (0, 0)))
    found = set()
    for image, result in zip(padded, shifted, strict=True):
        places = [
            (down, right)
            for down in range(3)
            for right in range(5)
            if np.array_equal(image[down : down + 8, right : right + 16], result)
        ]
        assert len(places) == 1
        found.update(places)
    assert found == {(down, right) for down in range(3) for right in range(5)}


def test_half_of_the_height_and_width_is_cut_out_around_any_pixel():
    x = images() + 3.0  # no pixel is 0
    cut = np.asarray(cutout(x, KEY)) == 0.0
    assert (cut == cut[..., :1]).all()  # in all channels
    rows, columns = cut[..., 0].any(axis=2), cut[..., 0].any(axis=1)
    assert (cut[..., 0] == rows[:, :, None] & columns[:, None, :]).all()  # a rectangle
    assert rows.sum(axis=1).max() == 4 and columns.sum(axis=1).max() == 8
    assert rows.sum(axis=1).min() >= 2 and columns.sum(axis=1).min() >= 4
    assert rows.any(axis=0).all() and columns.any(axis=0).all()
    np.testing.assert_array_equal(np.asarray(cutout(x, KEY))[~cut], np.asarray(x)[~cut])


def test_colours_change_as_the_three_factors_say():
    # A constant grey image is changed by its brightness alone.
    brightness = np.asarray(colour(jnp.full((400, 2, 2, 3), 0.25), KEY))
    assert np.ptp(brightness, axis=(1, 2, 3)).max() < 1e-6
    shift = brightness[:, 0, 0, 0] - 0.25
    assert -0.5 <= shift.min() < -0.45 and 0.45 < shift.max() <= 0.5 and abs(shift.mean()) < 0.06
    # Two pixels of one grey level each differ by 0.4, times the contrast.
    grey = jnp.array([0.1, 0.5])[None, :, None, None] * jnp.ones((400, 2, 1, 3))
    changed = np.asarray(colour(grey, KEY))
    contrast = (changed[:, 1, 0] - changed[:, 0, 0]) / 0.4
    assert np.ptp(contrast, axis=1).max() < 1e-5
    assert 0.5 <= contrast.min() < 0.55 and 1.45 < contrast.max() <= 1.5
    # The channels of one pixel differ by 0.3, times saturation and contrast.
    tinted = jnp.tile(jnp.array([-0.3, 0.0, 0.0]), (400, 2, 1, 1))
    changed = np.asarray(colour(tinted, KEY))
    both = (changed[:, 0, 0, 1] - changed[:, 0, 0, 0]) / 0.3
    saturation = both / contrast[:, 0]
    assert -1e-5 <= saturation.min() < 0.1 and 1.9 < saturation.max() <= 2.0 + 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_gradients_pass_through(name):
    x = images(3, channels=1)
    found = jax.grad(lambda x: jnp.sum(augmented(x, (name,), KEY) ** 2))(x)
    step = 1e-3 * jax.random.normal(jax.random.key(1), x.shape)
    change = jnp.sum(augmented(x + step, (name,), KEY) ** 2) - jnp.sum(augmented(x - step, (name,), KEY) ** 2)
    assert float(change / 2) == pytest.approx(float(jnp.vdot(found, step)), rel=2e-2, abs=2e-4)
    assert float(jnp.abs(found).sum()) > 1.0


def test_what_is_not_an_image_is_refused(compose_config):
    config = compose_config(("inputs.augmentation=[colour]",))
    with pytest.raises(ConfigError, match=r"inputs.augmentation changes images, and the examples of dataset=ring"):
        gan_spec(config, config.dataset.shape)
    with pytest.raises(ConfigError, match=r"inputs.augmentation\[0\] must be one of .*Did you mean 'cutout'"):
        compose_config(("inputs.augmentation=[cutoutt]",))

"""Differentiable augmentation of the discriminator's inputs, data and samples alike, in all updates.

Paper: Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training", section 3 and the code that came
with it, from which the ranges are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ganrun.keys import key_for

SHIFT = 8  # images are shifted by at most 1/SHIFT of their height and width
CUT = 2  # the part that is cut out has 1/CUT of the height and of the width


def augmented(x: jax.Array, names: Sequence[str], key: jax.Array) -> jax.Array:
    """Return the images ``x`` ``(n, height, width, channel)``, of values in [-1, 1], augmented one by one.

    Args:
        x: the images.
        names: of :data:`AUGMENTATIONS`; each is applied with random numbers of its own.
        key: a random key.
    """
    for name, augment in AUGMENTATIONS.items():
        if name in names:
            x = augment(x, key_for(key, name))
    return x


def colour(x: jax.Array, key: jax.Array) -> jax.Array:
    """Change brightness by at most 1/2, saturation by a factor in [0, 2], and contrast by one in [1/2, 3/2]."""
    brightness, saturation, contrast = jax.random.uniform(key, (3, len(x), 1, 1, 1))
    x = x + brightness - 0.5
    grey = jnp.mean(x, axis=3, keepdims=True)
    x = grey + (x - grey) * (2.0 * saturation)
    mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
    return mean + (x - mean) * (contrast + 0.5)


def translation(x: jax.Array, key: jax.Array) -> jax.Array:
    """Shift by whole pixels, at most 1/8 of height and width; what enters is grey."""
    height, width = x.shape[1:3]
    most = round(height / SHIFT), round(width / SHIFT)
    padded = jnp.pad(x, ((0, 0), (most[0], most[0]), (most[1], most[1]), (0, 0)))
    down = jax.random.randint(key_for(key, "down"), (len(x),), 0, 2 * most[0] + 1)
    right = jax.random.randint(key_for(key, "right"), (len(x),), 0, 2 * most[1] + 1)

    def window(image: jax.Array, down: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (down, right, 0), (height, width, image.shape[-1]))

    return jax.vmap(window)(padded, down, right)


def cutout(x: jax.Array, key: jax.Array) -> jax.Array:
    """Make a part of half the height and half the width grey; its centre is anywhere in the image."""
    inside = []
    for axis, name in ((1, "row"), (2, "column")):
        size = x.shape[axis]
        part = round(size / CUT)
        start = jax.random.randint(key_for(key, name), (len(x), 1), 0, size + (1 - part % 2)) - part // 2
        place = jnp.arange(size)
        inside.append((place >= start) & (place < start + part))
    cut = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    return jnp.where(cut, 0.0, x)


# By the names that the setting ``inputs.augmentation`` has, in the order in which they are applied.
AUGMENTATIONS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}

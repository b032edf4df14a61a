"""Pictures of ways and of reconstructions: every image is where it belongs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ganrun.datasets.synthetic import mixture
from ganrun.plots.pairs import animation, pairs
from ganrun.plots.pictures import table


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def flat(values: list[float], side: int = 4, channels: int = 1) -> np.ndarray:
    """One image per value, all of that value."""
    return np.ones((len(values), side, side, channels), np.float32) * np.array(values).reshape(-1, 1, 1, 1)


def test_a_table_has_a_row_per_way_and_a_column_per_step():
    images = flat([-1, 0, 1, 1, -1, 0]).reshape(2, 3, 4, 4, 1)
    picture = opened(table(images))
    down, right = 2 * 6 + 2, 3 * 6 + 2
    zoom = 500 // right
    assert picture.size == (right * zoom, down * zoom) and picture.mode == "L"
    small = np.asarray(picture)[zoom // 2 :: zoom, zoom // 2 :: zoom]
    seen = [[small[2 + 6 * i, 2 + 6 * j] for j in range(3)] for i in range(2)]
    assert seen == [[0, 128, 255], [255, 0, 128]]
    assert (small[:2] == 32).all() and (small[-2:] == 32).all() and (small[:, -2:] == 32).all()


def test_a_table_of_colours_keeps_them():
    images = np.stack([flat([1.0], channels=1), flat([-1.0], channels=1), flat([-1.0], channels=1)], axis=-2)
    picture = opened(table(images.reshape(1, 1, 4, 4, 3)))
    assert picture.mode == "RGB" and picture.getpixel((picture.width // 2, picture.height // 2)) == (255, 0, 0)


def test_an_image_stands_above_its_reconstruction():
    picture = opened(pairs(flat([1.0]), flat([-1.0])))
    middle = picture.width // 2
    column = np.asarray(picture)[:, middle]
    top, bottom = column[len(column) // 4], column[3 * len(column) // 4]
    assert (top, bottom) == (255, 0)


@pytest.mark.parametrize("dim", [1, 2])
def test_points_and_their_reconstructions_are_drawn(dim):
    x = np.random.default_rng(0).normal(size=(20, dim))
    near, far = opened(pairs(x, x)), opened(pairs(x, x + 1.0))
    assert near.size == far.size == (500, 500)
    assert np.asarray(near).tobytes() != np.asarray(far).tobytes()


def test_an_animation_shows_the_images_one_after_the_other():
    picture = opened(animation(flat([-1, 0, 1]), None))
    assert picture.format == "GIF" and picture.n_frames == 3 and picture.info["loop"] == 0
    assert picture.size == (256, 256)
    seen = []
    for frame in range(3):
        picture.seek(frame)
        seen.append(picture.convert("L").getpixel((128, 128)))
    assert seen == [0, 128, 255]


def test_an_animation_of_points_adds_one_point_a_frame():
    density = mixture(np.array([[0.0, 0.0], [4.0, 4.0]]), 1.0)
    picture = opened(animation(np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]), density))
    green = []
    for frame in range(picture.n_frames):
        picture.seek(frame)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        green.append(int(((pixels[..., 1] - pixels[..., 0] > 30) & (pixels[..., 1] - pixels[..., 2] > 30)).sum()))
    assert len(green) == 3 and 0 < green[0] < green[1] < green[2]

"""Examples out of files: what is taken, and how the rest is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganrun.errors import ConfigError
from ganrun.latent_space.inputs import read_inputs, require_inputs

GREY, COLOUR = (4, 5, 1), (4, 5, 3)


def refused(path, shape, key=None) -> str:
    with pytest.raises(ConfigError) as told:
        read_inputs(path, key, shape)
    message = str(told.value)
    assert "\n" not in message and path.name in message
    return message


def test_vectors_are_taken_as_single_precision(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.5, -7.0], [0.25, 1e10]]))
    rows = read_inputs(tmp_path / "x.npy", None, (2,))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.array([[1.5, -7.0], [0.25, 1e10]], np.float32))


def test_one_example_may_stand_without_its_first_axis(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1.0, 2.0]))
    assert read_inputs(tmp_path / "x.npy", None, (2,)).shape == (1, 2)


def test_bytes_are_scaled_and_a_missing_channel_is_added(tmp_path):
    np.save(tmp_path / "x.npy", np.full((3, 4, 5), 255, np.uint8))
    images = read_inputs(tmp_path / "x.npy", None, GREY)
    assert images.shape == (3, *GREY) and (images == 1.0).all()


def test_an_archive_of_several_arrays_is_read_by_name(tmp_path):
    np.savez(tmp_path / "x.npz", inputs=np.zeros((2, 2)), latents=np.ones((2, 2)))
    assert (read_inputs(tmp_path / "x.npz", "latents", (2,)) == 1).all()
    assert "key=NAME" in refused(tmp_path / "x.npz", (2,))
    np.savez(tmp_path / "y.npz", latents=np.ones((2, 2)), samples=np.zeros((2, 2)))
    assert (read_inputs(tmp_path / "y.npz", None, (2,)) == 0).all()  # as `ganrun sample` writes them


@pytest.mark.parametrize(("shape", "mode"), [(GREY, "L"), (COLOUR, "RGB")])
def test_a_png_is_one_image_whatever_its_own_channels(tmp_path, shape, mode):
    Image.new("RGBA", (5, 4), (255, 255, 255, 255)).save(tmp_path / "x.png")
    images = read_inputs(tmp_path / "x.png", None, shape)
    assert images.shape == (1, *shape) and (images == 1.0).all()
    gradient = Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).convert(mode)
    gradient.save(tmp_path / "y.png")
    images = read_inputs(tmp_path / "y.png", None, shape)
    assert images[0, 1, 2, 0] == pytest.approx(7 / 127.5 - 1)


def test_another_shape_is_told_with_the_runs_own(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((6, 3)))
    assert "6 x 3" in refused(tmp_path / "x.npy", (2,)) and "vectors of 2" in refused(tmp_path / "x.npy", (2,))
    np.save(tmp_path / "y.npy", np.zeros((2, 4, 5, 3)))
    assert "4 x 5 pixels with 1 channel" in refused(tmp_path / "y.npy", GREY)


def test_a_picture_of_another_size_is_told(tmp_path):
    Image.new("L", (8, 9)).save(tmp_path / "x.png")
    assert "9 x 8 pixels" in refused(tmp_path / "x.png", GREY)
    assert "vectors of 2" in refused(tmp_path / "x.png", (2,))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_no_finite_number_is_told_with_its_place(tmp_path, value):
    rows = np.zeros((4, 2))
    rows[2, 1] = value
    np.save(tmp_path / "x.npy", rows)
    assert "example 2" in refused(tmp_path / "x.npy", (2,))


def test_numbers_whose_square_overflows_are_told(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 2), 1e30))
    assert "1e+30" in refused(tmp_path / "x.npy", (2,))


def test_pixels_beyond_the_range_are_told(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, *GREY), 200.0))
    assert "[-1, 1]" in refused(tmp_path / "x.npy", GREY)
    np.save(tmp_path / "x.npy", np.full((2, *GREY), 1.0 + 1e-6))  # rounding
    assert read_inputs(tmp_path / "x.npy", None, GREY).shape == (2, *GREY)


@pytest.mark.parametrize("name", ["none.npy", "none.npz", "none.png"])
def test_a_missing_file_is_told(tmp_path, name):
    refused(tmp_path / name, GREY)
    with pytest.raises(ConfigError, match=name):
        require_inputs(tmp_path / name, None)


def test_files_of_other_kinds_are_told(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")
    assert ".npy, .npz, .png" in refused(tmp_path / "x.jpg", GREY)
    (tmp_path / "x.png").write_bytes(b"\x89PNG and no more")
    assert "not a PNG" in refused(tmp_path / "x.png", GREY)


def test_a_damaged_picture_is_told(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 5), np.uint8)).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: len(whole) // 2])
    assert "not a PNG" in refused(tmp_path / "x.png", GREY)


# The range of pixels


def saved(path, pixels):
    np.save(path, pixels)
    return path


@pytest.mark.parametrize(
    ("pixels", "span", "told", "first"),
    [
        ([0, 128, 255], None, "[0, 255]", -1.0),  # as bytes
        ([-0.5, 0.0, 1.0], None, "[-1, 1]", -0.5),
        ([0.25, 0.5, 1.0], (0.0, 1.0), "[0, 1]", -0.5),
        ([51.0, 102.0, 255.0], (0.0, 255.0), "[0, 255]", -0.6),
        ([0.25, 0.5, 0.75], (-1.0, 1.0), "[-1, 1]", 0.25),
        ([1, 0, 1], (0.0, 1.0), "[0, 1]", 1.0),  # as bytes
        ([0.0, 8.0, 16.0], (0.0, 16.0), "[0, 16]", -1.0),
    ],
)
def test_pixels_are_brought_from_their_range_which_is_told(pixels, span, told, first, tmp_path):
    kind = np.uint8 if isinstance(pixels[0], int) else np.float64
    array = np.resize(np.array(pixels, kind), (3, *GREY))
    lines: list[str] = []
    rows = read_inputs(saved(tmp_path / "x.npy", array), None, GREY, span, note=lines.append)
    assert rows.flat[0] == pytest.approx(first) and np.abs(rows).max() <= 1 and rows.dtype == np.float32
    assert lines == [f"{tmp_path / 'x.npy'}: pixels were taken as {told}"]


@pytest.mark.parametrize(
    ("values", "kind", "ends"),
    [
        ([0.0, 1.0], np.float32, "0 to 1,"),
        ([0.1, 0.9], np.float32, "0.1 to 0.9,"),
        ([0.0, 255.0], np.float64, "0 to 255,"),
        ([0, 255], np.int64, "0 to 255,"),
        ([0, 1], np.uint8, "0 to 1,"),  # bytes, but black and white as likely as nearly black
        ([-1.5, 1.0], np.float64, "-1.5 to 1,"),
    ],
)
def test_pixels_whose_range_is_open_are_refused_with_what_to_write(values, kind, ends, tmp_path):
    path = saved(tmp_path / "x.npy", np.resize(np.array(values, kind), (2, *GREY)))
    message = refused(path, GREY)
    assert f"pixels go from {ends}" in message
    assert message.endswith("write 'range=[0,1]', 'range=[0,255]' or 'range=[-1,1]'.")


def test_pixels_beyond_the_range_that_is_said_are_refused_to_the_last_digit(tmp_path):
    path = saved(tmp_path / "x.npy", np.full((2, *GREY), 1.002))
    with pytest.raises(ConfigError, match=r"pixels go from 1.002 to 1.002, beyond the range \[0, 1\]\."):
        read_inputs(path, None, GREY, (0.0, 1.0))


def test_vectors_have_no_range(tmp_path):
    path = saved(tmp_path / "x.npy", np.array([[0.0, 1.0], [0.5, 0.25]]))
    lines: list[str] = []
    np.testing.assert_array_equal(read_inputs(path, None, (2,), note=lines.append), [[0.0, 1.0], [0.5, 0.25]])
    assert lines == []


def test_numbers_on_the_line_need_no_second_axis(tmp_path):
    path = saved(tmp_path / "x.npy", np.array([0.5, -1.0, 2.0]))
    np.testing.assert_array_equal(read_inputs(path, None, (1,)), [[0.5], [-1.0], [2.0]])
    assert "vectors of 2" in refused(path, (2,))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_picture_that_lets_something_through_is_refused(mode, tmp_path):
    picture = Image.new("RGBA", (5, 4), (255, 255, 255, 255))
    picture.putpixel((1, 2), (255, 255, 255, 254))
    if mode == "P":
        picture = Image.new("P", (5, 4), 1)
        picture.putpixel((1, 2), 0)
        picture.save(tmp_path / "x.png", transparency=0)
    else:
        picture.convert(mode).save(tmp_path / "x.png")
    for shape in (GREY, COLOUR):
        assert "1 of 20 pixels are transparent" in refused(tmp_path / "x.png", shape)


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_an_opaque_picture_is_taken_whatever_its_form(mode, tmp_path):
    Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(tmp_path / "x.png")
    assert (read_inputs(tmp_path / "x.png", None, COLOUR) == 1.0).all()


def test_a_picture_of_sixteen_bits_is_refused(tmp_path):
    Image.fromarray(np.full((4, 5), 40_000, np.uint16)).save(tmp_path / "x.png")
    assert "more than 8 bits" in refused(tmp_path / "x.png", GREY)

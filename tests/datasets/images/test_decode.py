"""Images of every format and mode become the pixels that they show, or the reason why they are left out."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from ganrun.datasets.images import decode
from ganrun.datasets.images.decode import LeftOut, Rules, centred, fitted, opened, safe_decoding

EXIF_ORIENTATION = 0x0112
# Red, green, blue and white in the corners of a picture: top left, top right, bottom left, bottom right.
CORNERS = np.zeros((16, 24, 3), np.uint8)
CORNERS[:8, :12], CORNERS[:8, 12:], CORNERS[8:, :12], CORNERS[8:, 12:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
NAMES = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue", (255, 255, 255): "white"}


def saved(image, kind="PNG", **options):
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def read(content):
    with safe_decoding():
        return opened(content)


def corners(image):
    """The names of the colours in the four corners, each the nearest one."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    found = [pixels[2, 2], pixels[2, -3], pixels[-3, 2], pixels[-3, -3]]
    return [min(NAMES.items(), key=lambda item: np.abs(colour - item[0]).sum())[1] for colour in found]


def reason(content):
    with pytest.raises(LeftOut) as caught:
        read(content)
    return str(caught.value)


FORMATS = {"PNG": {}, "JPEG": {"quality": 95}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("kind", FORMATS)
def test_colours_and_orientation_are_kept(kind):
    image = read(saved(Image.fromarray(CORNERS), kind, **FORMATS[kind]))
    assert (image.mode, image.size) == ("RGB", (24, 16))
    assert corners(image) == ["red", "green", "blue", "white"]


# What the stored corners show once they are turned as EXIF says (TIFF 6.0, "Orientation"): the row and the column of
# the stored picture that are its visual top and left side.
TURNED = {
    1: ["red", "green", "blue", "white"],
    2: ["green", "red", "white", "blue"],
    3: ["white", "blue", "green", "red"],
    4: ["blue", "white", "red", "green"],
    5: ["red", "blue", "green", "white"],
    6: ["blue", "red", "white", "green"],
    7: ["white", "green", "blue", "red"],
    8: ["green", "white", "red", "blue"],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", FORMATS)
def test_pictures_are_turned_as_exif_says(kind, orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = read(saved(Image.fromarray(CORNERS), kind, exif=exif.tobytes(), **FORMATS[kind]))
    assert corners(image) == TURNED[orientation]
    assert image.size == ((16, 24) if orientation >= 5 else (24, 16))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("LA", "L"), ("I;16", "L"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGB")],
)
def test_every_mode_becomes_grey_or_colour(mode, expected):
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 5), 40_000, np.uint16))
    else:
        image = Image.fromarray(CORNERS).convert(mode)
    assert image.mode == mode
    assert read(saved(image)).mode == expected


def test_a_palette_of_greys_is_grey():
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 17).convert("P")
    plain = read(saved(image))
    assert plain.mode == "L" and np.asarray(plain)[1, 2] == 6 * 17


def test_sixteen_bits_are_rounded_to_eight():
    levels = np.array([[0, 128, 129, 257, 32_896, 65_535]], np.uint16)
    # 65535 = 255 * 257: level v becomes the nearest of v / 257; 128.5 is the first that rounds up.
    assert np.asarray(read(saved(Image.fromarray(levels)))).tolist() == [[0, 0, 1, 1, 128, 255]]


def test_transparency_is_composited_onto_white():
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [200, 100, 0, 51]]], np.uint8)
    # A fifth of (200, 100, 0) on white: 255 - 0.2 (55, 155, 255).
    shown = np.asarray(read(saved(Image.fromarray(pixels)))).tolist()
    assert shown == [[[255, 255, 255], [0, 0, 0], [255, 255, 255], [244, 224, 204]]]
    grey = np.array([[[0, 0], [0, 255], [100, 51]]], np.uint8)
    assert np.asarray(read(saved(Image.fromarray(grey)))).tolist() == [[255, 0, 224]]


def test_a_transparent_entry_of_a_palette_is_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 0, 0])
    assert np.asarray(read(saved(image, transparency=0))).tolist() == [[[255, 255, 255], [200, 0, 0]]]


def test_cmyk_has_the_colours_that_it_is_printed_with():
    flat = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    red = np.asarray(read(saved(flat, "JPEG", quality=100)))[4, 4]
    assert red[0] > 240 and red[1] < 15 and red[2] < 15


def png_header(width, height):
    """A PNG that claims to be of this size, with the data of one row."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(8193, 8192), (100_000, 100_000), (70_000, 1), (2**31 - 1, 2**31 - 1)])
def test_a_picture_that_claims_to_be_huge_is_not_unpacked(size):
    assert reason(png_header(*size)) == decode.TOO_LARGE


GOOD = saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)), "JPEG")
LEFT = {
    "nothing": (b"", decode.EMPTY),
    "text": (b"hello", decode.NOT_IMAGE),
    "a gif": (saved(Image.new("L", (4, 4)), "GIF"), decode.NOT_IMAGE),
    "a sound": (b"RIFF\x24\0\0\0WAVEfmt ", decode.NOT_IMAGE),
    "half a jpeg": (GOOD[: len(GOOD) // 2], decode.TRUNCATED),
    "half a png": (saved(Image.fromarray(CORNERS))[:60], decode.TRUNCATED),
    "a png without data": (b"\x89PNG\r\n\x1a\n" + bytes(40), decode.CORRUPT),
    "a pickle": (b"\x80\x04cos\nsystem\n.", decode.NOT_IMAGE),
}


@pytest.mark.parametrize(("content", "expected"), LEFT.values(), ids=LEFT.keys())
def test_what_is_no_whole_image_is_left_out_with_the_reason(content, expected):
    assert reason(content) == expected


def test_truncated_images_are_not_completed_whatever_was_set_before(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert reason(GOOD[: len(GOOD) // 2]) == decode.TRUNCATED
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True and Image.MAX_IMAGE_PIXELS is None


def test_the_centre_is_cut_to_the_aspect_ratio():
    assert centred((24, 16), (1, 1)) == (4, 0, 20, 16)
    assert centred((24, 16), (2, 1)) == (0, 2, 24, 14)
    assert centred((10, 10), (3, 2)) == pytest.approx((0, 5 / 3, 10, 25 / 3))


def rules(height, width, channels=3, crop="centre", resize="area"):
    return Rules(height, width, channels, crop, resize)


def test_area_means_the_mean_of_the_pixels():
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8)
    halved = fitted(Image.fromarray(pixels), rules(2, 4, channels=1))
    # The means of 2 x 2 pixels: 0, 1, 8, 9 have the mean 4.5, and so on by 2; halves are rounded up.
    assert halved[..., 0].tolist() == [[5, 7, 9, 11], [21, 23, 25, 27]]


def test_the_sides_are_cut_off_or_the_whole_is_stretched():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 200
    cut = fitted(Image.fromarray(pixels), rules(4, 4))
    assert (cut == 200).all()
    stretched = fitted(Image.fromarray(pixels), rules(4, 4, crop="none"))
    assert stretched[0, :, 0].tolist() == [0, 200, 200, 0]


@pytest.mark.parametrize("resize", decode.FILTERS)
def test_an_image_of_the_right_size_is_not_changed(resize):
    np.testing.assert_array_equal(fitted(Image.fromarray(CORNERS), rules(16, 24, resize=resize)), CORNERS)


def test_filters_differ():
    pixels = np.random.default_rng(1).integers(0, 255, (12, 12, 3), np.uint8)
    found = {resize: fitted(Image.fromarray(pixels), rules(5, 5, resize=resize)).tobytes() for resize in decode.FILTERS}
    assert len(set(found.values())) == 3


def test_grey_becomes_three_equal_channels_and_colour_its_luma():
    grey = fitted(Image.fromarray(np.array([[7, 9]], np.uint8)), rules(1, 2))
    assert grey.tolist() == [[[7, 7, 7], [9, 9, 9]]]
    # ITU-R 601: 0.299 red + 0.587 green + 0.114 blue.
    assert fitted(Image.new("RGB", (1, 1), (255, 0, 0)), rules(1, 1, channels=1)).tolist() == [[[76]]]

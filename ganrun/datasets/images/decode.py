"""Decodes PNG, JPEG and WebP images of any origin to pixels of one size, or gives the reason why one is left out.

Every image is untrusted: the size is checked before pixels are decompressed, warnings of the decoder count as errors,
and truncated images are not completed.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # the first bytes of a file of these formats
MAX_BYTES = 1 << 26  # of an encoded image
MAX_PIXELS = 1 << 26  # of a decoded image: 8192 x 8192
MAX_SIDE = 1 << 16  # pixels
FILTERS = {
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
WHITE = 255

NOT_IMAGE = "not a PNG, JPEG or WebP image"
EMPTY = "empty"
TRUNCATED = "truncated"
CORRUPT = "corrupt"
TOO_LARGE = f"too large (more than {MAX_PIXELS >> 20} million pixels or {MAX_BYTES >> 20} MiB)"
UNREADABLE = "unreadable"
NO_CLASS = "not in the folder of a class"


class LeftOut(Exception):
    """The reason why an image is left out."""


@dataclass(frozen=True)
class Rules:
    """How an image becomes pixels of one size.

    Attributes:
        height: of the result, in pixels.
        width: likewise.
        channels: 1 (grey) or 3 (red, green, blue).
        crop: ``centre``: the largest centred part with the aspect ratio of the result; ``none``: the whole image,
            which is stretched.
        resize: the filter, a key of :data:`FILTERS`.
    """

    height: int
    width: int
    channels: int
    crop: str
    resize: str


@contextmanager
def safe_decoding() -> Iterator[None]:
    """Return the context in which images are decoded, by any number of threads.

    The settings belong to the process: a context for each thread would let one thread reset those of another.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, MAX_PIXELS
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def opened(content: bytes) -> Image.Image:
    """Return the image in ``content``, upright, in mode ``L`` (grey) or ``RGB``; call it in :func:`safe_decoding`.

    Bits beyond eight are dropped by rounding, transparency is composited onto white, CMYK and palettes are converted,
    and the orientation of EXIF is applied.

    Raises:
        LeftOut: it is none, or is damaged or too large.
    """
    if not content:
        raise LeftOut(EMPTY)
    if not content.startswith(MAGIC):
        raise LeftOut(NOT_IMAGE)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise LeftOut(TOO_LARGE)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _plain(image)
    except LeftOut:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise LeftOut(TOO_LARGE) from error
    except UnidentifiedImageError as error:  # the header is damaged, or it is another kind of RIFF file
        raise LeftOut(CORRUPT if not content.startswith(MAGIC[2]) else NOT_IMAGE) from error
    except Exception as error:  # Pillow raises many types of exceptions on malformed files
        raise LeftOut(TRUNCATED if "truncated" in str(error).lower() else CORRUPT) from error


def _plain(image: Image.Image) -> Image.Image:
    """Return ``image`` in mode ``L`` or ``RGB``."""
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip instead of scaling
        levels = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode == "P":
        plain = image.convert("RGB")
        return plain.convert("L") if _is_grey(plain) else plain
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Return ``image``, which has transparent pixels, on white; grey if its visible colours are."""
    layered = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, (WHITE, WHITE, WHITE, WHITE))
    flat = Image.alpha_composite(ground, layered).convert("RGB")
    return flat.convert("L") if image.mode in ("1", "L", "LA", "La") or (image.mode == "P" and _is_grey(flat)) else flat


def _is_grey(image: Image.Image) -> bool:
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


def fitted(image: Image.Image, rules: Rules) -> np.ndarray:
    """Return ``image`` as uint8 ``(height, width, channel)`` by ``rules``."""
    mode = "L" if rules.channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    size = (rules.width, rules.height)
    if image.size != size:
        box = centred(image.size, size) if rules.crop == "centre" else None
        image = image.resize(size, FILTERS[rules.resize], box=box)
    return np.asarray(image, np.uint8).reshape(rules.height, rules.width, rules.channels)


def centred(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box (left, top, right, bottom) of ``size`` with the aspect ratio of ``target``.

    Args:
        size: width and height in pixels.
        target: width and height in any unit.
    """
    scale = min(size[0] / target[0], size[1] / target[1])
    width, height = target[0] * scale, target[1] * scale
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height

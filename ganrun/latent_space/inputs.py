"""Reads examples from files and checks that they match the shape and range of a run's samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ganrun.architectures.networks import describe, is_image
from ganrun.errors import ConfigError, did_you_mean, exact, shown
from ganrun.evaluation.divergence.open_distribution import LARGEST
from ganrun.evaluation.divergence.pixel_range import BYTES, Range, ambiguous, range_of, range_text, to_signed
from ganrun.storage.array_files import SUFFIXES, read_array, require_array
from ganrun.storage.safe_io import open_file

FORMATS = (*SUFFIXES, ".png")


def require_inputs(path: Path, key: str | None) -> None:
    """Raise the :class:`ConfigError` of :func:`read_inputs` that can be detected without reading the data."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(
            f"{shown(str(path))}: examples are read from {', '.join(FORMATS)}.{did_you_mean(suffix, FORMATS)}"
        )
    if suffix in SUFFIXES:
        require_array(path, key)
    elif not path.is_file():
        raise ConfigError(f"{shown(str(path))}: there is no such file.")


def read_inputs(
    path: Path,
    key: str | None,
    shape: tuple[int, ...],
    span: Range | None = None,
    note: Callable[[str], object] = lambda line: None,
) -> np.ndarray:
    """Return the examples in ``path`` as float32 ``(n, *shape)``, images in [-1, 1].

    The first axis may be omitted for a single example, the last for images of one channel and for one-dimensional data.

    Args:
        path: an .npy or .npz file of arrays, or a .png file with one image.
        key: the name of the array in an archive of several.
        shape: of one example: ``(dim,)`` or ``(height, width, channel)``.
        span: the range of the pixels of images; None: inferred by :mod:`ganrun.evaluation.divergence.pixel_range`.
        note: called with a line that states the pixel range used for an array.

    Raises:
        ConfigError: in one line, the file cannot be read, or its examples do not match the run's data.
    """
    require_inputs(path, key)
    name = shown(str(path))
    array = _read_png(path, shape) if path.suffix.lower() == ".png" else read_array(path, key)
    rows = _as_rows(array, shape)
    if rows is None:
        held = " x ".join(map(str, array.shape))
        raise ConfigError(f"{name}: holds {held} numbers, but this run is about {describe(shape)}.")
    with np.errstate(all="ignore"):  # overflow gives Inf, which is refused next
        floats = rows.astype(np.float32)
    _require_plausible(name, floats)
    if not is_image(shape):
        return floats
    if path.suffix.lower() == ".png":
        return to_signed(name, rows, BYTES)
    pixel_range = span or range_of(rows)
    if pixel_range is None:
        raise ambiguous(name, rows, "range")
    note(f"{name}: pixels were taken as {range_text(pixel_range)}")
    return to_signed(name, rows, pixel_range)


def _as_rows(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return ``array`` as ``(n, *shape)``; None if its shape does not match."""
    forms = [shape, shape[:-1]] if shape[-1] == 1 else [shape]
    for form in forms:
        if array.shape[1:] == form or array.shape == form:
            return array.reshape(-1, *shape)
    return None


def _read_png(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    name = shown(str(path))
    if not is_image(shape):
        raise ConfigError(f"{name}: a picture, but this run is about {describe(shape)}: give an .npy or .npz file.")
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large and malformed images
            with open_file(path) as file, Image.open(file, formats=["PNG"]) as picture:
                # The size is known from the header: an image of another size is never decompressed.
                if picture.size != (width, height):
                    held = f"{picture.height} x {picture.width} pixels"
                    raise ConfigError(f"{name}: holds {held}, but this run is about {describe(shape)}.")
                _require_opaque(name, picture)
                return np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(1, *shape)
    except ConfigError:
        raise
    except Exception as error:  # Pillow raises many types of exceptions on malformed files
        raise ConfigError(f"{name}: is not a PNG picture that can be read.") from error


def _require_opaque(name: str, picture: Image.Image) -> None:
    """Refuse images of more than 8 bits per channel, and transparent pixels, whose colour is undefined."""
    if picture.mode[0] in "IF":
        raise ConfigError(f"{name}: has more than 8 bits a channel; save it with 8.")
    if picture.has_transparency_data:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        if (through := int((alpha < 255).sum())) > 0:
            raise ConfigError(f"{name}: {through} of {alpha.size} pixels are transparent; save it without that.")


def _require_plausible(name: str, rows: np.ndarray) -> None:
    finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    if not finite.all():
        first = int((~finite).argmax())
        raise ConfigError(f"{name}: example {first} (counted from 0) holds a NaN or Inf.")
    largest = max(rows.max(), -rows.min())
    if largest > LARGEST:
        raise ConfigError(f"{name}: holds numbers as large as {exact(largest)}; at most {LARGEST:g} are taken.")

"""Examples out of files, checked to be such as a run's generator makes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ganrun.architectures.networks import describe, is_image
from ganrun.divergence.array_files import SUFFIXES, read_array, require_array
from ganrun.divergence.pixel_range import BYTES, Range, ambiguous, range_of, to_signed, told
from ganrun.divergence.sides import LARGEST
from ganrun.errors import ConfigError, did_you_mean, exact, shown
from ganrun.untrusted import open_file

FORMATS = (*SUFFIXES, ".png")


def require_inputs(path: Path, key: str | None) -> None:
    """Raise :class:`ConfigError` where :func:`read_inputs` would, as far as can be told without reading the numbers."""
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

    A single example may stand without its first axis, images of one channel without their last, and numbers on the
    line without their only one.

    Args:
        path: an .npy or .npz file of arrays, or a .png file with one image.
        key: the name of the array in an archive of several.
        shape: of one example: ``(dim,)`` or ``(height, width, channel)``.
        span: the range of the pixels of images; None: what :mod:`ganrun.divergence.pixel_range` finds.
        note: called with the line that says which range the pixels of an array were taken for.

    Raises:
        ConfigError: in one line, the file cannot be read, or what it holds is not what the run is about.
    """
    require_inputs(path, key)
    name = shown(str(path))
    array = _read_png(path, shape) if path.suffix.lower() == ".png" else read_array(path, key)
    rows = _as_rows(array, shape)
    if rows is None:
        held = " x ".join(map(str, array.shape))
        raise ConfigError(f"{name}: holds {held} numbers, but this run is about {describe(shape)}.")
    with np.errstate(all="ignore"):  # what does not fit becomes Inf, and is refused as such
        floats = rows.astype(np.float32)
    _require_plausible(name, floats)
    if not is_image(shape):
        return floats
    if path.suffix.lower() == ".png":
        return to_signed(name, rows, BYTES)
    found = span or range_of(rows)
    if found is None:
        raise ambiguous(name, rows, "range")
    note(f"{name}: pixels were taken as {told(found)}")
    return to_signed(name, rows, found)


def _as_rows(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return ``array`` as ``(n, *shape)``; None where it is no such thing."""
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
            warnings.simplefilter("ignore")  # Pillow comments on large pictures, and on odd ones
            with open_file(path) as file, Image.open(file, formats=["PNG"]) as picture:
                # The header tells the size: a picture of another is never unpacked.
                if picture.size != (width, height):
                    found = f"{picture.height} x {picture.width} pixels"
                    raise ConfigError(f"{name}: holds {found}, but this run is about {describe(shape)}.")
                _require_opaque(name, picture)
                return np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(1, *shape)
    except ConfigError:
        raise
    except Exception as error:  # Pillow raises whatever comes up when it meets what it did not expect
        raise ConfigError(f"{name}: is not a PNG picture that can be read.") from error


def _require_opaque(name: str, picture: Image.Image) -> None:
    """Refuse what is no picture of bytes by itself: what shows through depends on what is behind it."""
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

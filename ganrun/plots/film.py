"""A film of training: the pictures of a run in the order of their steps, as an animation."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ganrun.errors import ConfigError, shown
from ganrun.storage.safe_io import open_file

BAR = 14  # height in pixels of the line that shows the step, below a picture
LARGEST = 1 << 24  # maximum pixels of a picture
HOLD = 10  # times as long as the others, the last picture is shown


def steps_of(folder: Path, suffix: str = "") -> dict[int, Path]:
    """Return the pictures of one kind in ``folder``, by step in ascending order.

    Args:
        folder: ``samples/`` of a run directory.
        suffix: of their names: empty for the samples, ``_densities`` for the densities.
    """
    stems = {
        path.stem.removesuffix(suffix): path for path in folder.glob(f"*{suffix}.png") if path.stem.endswith(suffix)
    }
    return {int(stem): stems[stem] for stem in sorted(stems) if stem.isascii() and stem.isdecimal()}


def film(pictures: dict[int, Path], milliseconds: int, format: str) -> bytes:
    """Return the ``pictures`` as a looping animation; each has a line with its step below.

    Args:
        pictures: PNG files by step, all of one size.
        milliseconds: time for which each is shown, the last one ten times as long.
        format: ``GIF`` or ``WEBP``.

    Raises:
        ConfigError: a file is no picture that can be read, or not of the size of the first.
    """
    frames = [_frame(path, step, max(pictures)) for step, path in pictures.items()]
    for path, frame in zip(pictures.values(), frames, strict=True):
        if frame.size != frames[0].size:
            raise ConfigError(f"{shown(str(path))}: has another size than the picture of the first step.")
    durations = [milliseconds] * (len(frames) - 1) + [HOLD * milliseconds]
    file = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {}
    _save(file, frames, durations, format, options)
    return file.getvalue()


def _save(
    file: io.BytesIO, frames: Sequence[Image.Image], durations: Sequence[int], format: str, options: dict[str, bool]
) -> None:
    first, *others = frames
    first.save(file, format, save_all=True, append_images=others, duration=list(durations), loop=0, **options)


def picture_of(path: Path) -> Image.Image:
    """Return the picture of a run in the PNG file at ``path``.

    Raises:
        ConfigError: it cannot be read, or is larger than any picture of a run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large and malformed images
            with open_file(path) as file, Image.open(file, formats=["PNG"]) as picture:
                if picture.width * picture.height > LARGEST:
                    raise ConfigError(f"{shown(str(path))}: is larger than any picture of a run.")
                return picture.convert("RGB")
    except ConfigError:
        raise
    except Exception as error:  # Pillow raises many types of exceptions on malformed files
        raise ConfigError(f"{shown(str(path))}: is not a PNG picture that can be read.") from error


def _frame(path: Path, step: int, last: int) -> Image.Image:
    """Return the picture in ``path`` above a line with ``step`` as a number, and as a bar that is full at ``last``."""
    content = picture_of(path)
    frame = Image.new("RGB", (content.width, content.height + BAR), "white")
    frame.paste(content)
    draw = ImageDraw.Draw(frame)
    done = round(content.width * step / max(1, last))
    draw.rectangle((0, content.height, done, content.height + 1), fill="seagreen")
    draw.text((3, content.height + 2), f"step {step}", fill="black")
    return frame

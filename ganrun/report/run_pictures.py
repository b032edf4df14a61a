"""The last pictures of a run, small enough for a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from ganrun.errors import ConfigError
from ganrun.plots.film import picture_of, steps_of

SIDE = 420  # maximum pixels of a side
QUALITY = 82  # of WebP
KINDS = ("samples", "densities", "neighbours", "interpolations", "plane", "latents")


def last_pictures(folder: Path, kinds: tuple[str, ...] = KINDS) -> dict[str, tuple[int, str]]:
    """Return the newest picture of each of ``kinds`` in the run directory ``folder``: its step and a ``data:`` address.

    Pictures that cannot be read are left out: a page about other runs should not fail for them.
    """
    found = {}
    for kind in kinds:
        steps = steps_of(folder / "samples", "" if kind == "samples" else f"_{kind}")
        if steps:
            step = max(steps)
            address = address_of(steps[step])
            if address:
                found[kind] = (step, address)
    return found


def address_of(path: Path) -> str:
    """Return the picture at ``path`` as a ``data:`` address, shrunk to :data:`SIDE`; empty if it cannot be read."""
    try:
        picture = picture_of(path)
    except ConfigError:
        return ""
    picture.thumbnail((SIDE, SIDE))
    ways: list[dict[str, int | bool]] = [{"lossless": True}, {"quality": QUALITY}]
    encoded = min((_webp(picture, options) for options in ways), key=len)
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode('ascii')}"


def _webp(picture: Image.Image, options: dict[str, int | bool]) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return file.getvalue()

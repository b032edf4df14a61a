"""The last pictures of a run, small enough for a page."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

from PIL import Image

from ganrun.errors import ConfigError
from ganrun.plots.film import picture_of, steps_of

SIDES = (420, 300, 210)  # maximum pixels of a side, the next one for pictures of too many bytes
QUALITY = 82  # of WebP
KINDS = ("samples", "densities", "neighbours", "interpolations", "plane", "latents")


def last_pictures(folder: Path, limit: float = math.inf) -> dict[str, tuple[int, str]]:
    """Return the newest picture of each kind in the run directory ``folder``: its step and a ``data:`` address.

    Pictures that cannot be read are left out: a page about other runs should not fail for them. ``limit``: bytes of a
    picture, beyond which it is shrunk further.
    """
    found = {}
    for kind in KINDS:
        steps = steps_of(folder / "samples", "" if kind == "samples" else f"_{kind}")
        if steps:
            step = max(steps)
            address = address_of(steps[step], limit)
            if address:
                found[kind] = (step, address)
    return found


def address_of(path: Path, limit: float = math.inf) -> str:
    """Return the picture at ``path`` as a ``data:`` address of about ``limit`` bytes; empty if it cannot be read."""
    try:
        picture = picture_of(path)
    except ConfigError:
        return ""
    encoded = b""
    for side in SIDES:
        picture.thumbnail((side, side))
        encoded = min(_webp(picture, {"lossless": True}), _webp(picture, {"quality": QUALITY}), key=len)
        if len(encoded) <= limit:
            break
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode('ascii')}"


def _webp(picture: Image.Image, options: dict[str, int | bool]) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return file.getvalue()

"""Mutated images, archives and tables of a user for fuzz.py, and the datasets that read them."""

from __future__ import annotations

import io
import os
import random
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
from fuzz_files import Files, mutated, rechecked
from PIL import Image


def encoded() -> list[tuple[str, bytes]]:
    """Return small images of every format and mode that are read, each with the suffix of its name."""
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 4), np.uint8)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    kinds = [(".png", "PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    kinds += [(".jpg", "JPEG", mode, {"exif": exif.tobytes()}) for mode in ("L", "RGB", "CMYK")]
    kinds += [(".jpg", "JPEG", "RGB", {"progressive": True, "quality": 30})]
    kinds += [(".webp", "WEBP", mode, {"lossless": mode == "RGBA", "exif": exif.tobytes()}) for mode in ("RGB", "RGBA")]
    found = []
    for suffix, kind, mode, options in kinds:
        held = io.BytesIO()
        grey = image.convert("L") if mode == "I;16" else image
        grey.convert(mode).save(held, kind, **options)
        found.append((suffix, held.getvalue()))
    return found


class Pictures(Files):
    """A folder with a good image and a bad one: it is counted, and one image is too few."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "images")
        self.cache = place / "cache"
        self.good = encoded()

    def make(self, rng: random.Random) -> None:
        from ganrun.datasets.images import ImageFolder

        self.place.mkdir(exist_ok=True)
        for old in self.place.iterdir():
            old.unlink()
        (self.place / "a.png").write_bytes(self.good[4][1])
        suffix, content = rng.choice(self.good)
        by_chunk = suffix == ".png" and rng.random() < 0.6
        (self.place / f"b{suffix}").write_bytes(rechecked(content, rng) if by_chunk else mutated(content, rng))
        resize, crop = rng.choice(("area", "bicubic", "lanczos")), rng.choice(("centre", "none"))
        self.option = ImageFolder(side=rng.choice((1, 4, 8)), resize=resize, crop=crop, channels=rng.choice("13"))

    def give(self) -> None:
        from ganrun.datasets.images import files

        files._known.clear()
        with mock.patch.dict(os.environ, {"GANRUN_CACHE": str(self.cache)}), mock.patch("sys.stderr", io.StringIO()):
            arrays = self.option.load(self.place)
        assert len(arrays.train) == len(arrays.held_out) == 1


class Archives(Pictures):
    """Zip archives of images, with damage in the images, in the archive, or in its directory."""

    def make(self, rng: random.Random) -> None:
        from ganrun.datasets.images import ImageZip

        self.place.mkdir(exist_ok=True)
        held = io.BytesIO()
        kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
        with zipfile.ZipFile(held, "w", rng.choice(kinds)) as archive:
            for name in ("a.png", "b.png"):
                suffix, content = rng.choice(self.good)
                archive.writestr(f"{name}{suffix}", mutated(content, rng) if rng.random() < 0.2 else content)
        content = held.getvalue()
        form = rng.randrange(3)
        if form == 0:
            content = mutated(content, rng)
        elif form == 1:  # the directory at the end
            at = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))
            content = content[:at] + mutated(content[at:], rng)
        (self.place / "x.zip").write_bytes(content)
        self.option = ImageZip(side=4, path="x.zip")


class Tables(Files):
    """.csv files with two columns of numbers and one of classes."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        rng = np.random.default_rng(0)
        lines = [f"{x!r},{y!r},{'abc'[i % 3]}" for i, (x, y) in enumerate(rng.normal(size=(12, 2)).tolist())]
        self.good = "\n".join(["x,y,class", *lines, ""]).encode()

    def make(self, rng: random.Random) -> None:
        from ganrun.datasets.array import ArrayFile

        (self.place / "x.csv").write_bytes(mutated(self.good, rng))
        self.option = ArrayFile(path="x.csv", label="class", columns=rng.choice(((), ("x", "y"))))

    def give(self) -> None:
        from ganrun.datasets import array

        array._known.clear()
        with mock.patch("sys.stderr", io.StringIO()):
            arrays = self.option.load(self.place, labels=True)
        assert np.isfinite(arrays.train).all() and np.isfinite(arrays.held_out).all()

"""Mutated data files and images for fuzz.py, and the loaders that read them."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

TOKENS = (
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"0x" + b"f" * 300, b"9" * 5000, b"1e-400", b"null", b"~", b"[]", b"{}"),
    *(b"${oc.env:HOME}", b"!!python/object/apply:os.system ['true']", b"_target_: os.system", b"hydra:", b"defaults:"),
    *(b"&a", b"*a", b"<<: *a", b"---", b"...", b"? ", b"- " * 600, b"[" * 600, b"{" * 600, b"{a: " * 600, b"#", b"'"),
    *(b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[2J", b"\n", b"\r", b"\xe2\x80\xa8", b"../../x", b"/etc/passwd"),
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\x04cos\nsystem\n.", b"PK\x03\x04", b"\x1f\x8b\x08"),
    *(b"true", b"1:2:3", b"2024-01-01", b".inf", b"1_000", b"O", b"|O", b"<f8", b"(1,)", b"-0", b"\\u0000"),
    *(b"\\", b'"', b"True", b"9**9"),
)
SHAPE = (8, 8, 1)  # of the images, and the shape that the loaders expect
MAX = 1 << 22  # maximum bytes of an unpacked idx file


def mutated(content: bytes, rng: random.Random, times: int = 8) -> bytes:
    """Return ``content`` with bits flipped, or parts removed, repeated, or replaced by hostile tokens."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, times))):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 16, 200))
        kind = rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            data[at : at + size] = rng.choice(TOKENS)
        elif kind == 5:
            other = rng.randrange(len(data) + 1)
            data[at:at] = data[other : other + 8 * size]
        elif kind == 6 and rng.random() < 0.4:
            del data[at:]
        else:
            _exchange_word(data, rng)
    return bytes(data)


def _exchange_word(data: bytearray, rng: random.Random) -> None:
    """Replace a word by a token, which keeps the text's structure."""
    words = bytes(data).split(b" ")
    if len(words) > 1:
        words[rng.randrange(len(words))] = rng.choice(TOKENS)
        data[:] = b" ".join(words)


class Files:
    """Bad files of one kind in ``place``: :meth:`make` writes the next one, :meth:`give` loads it."""

    names: tuple[str, ...] = ()

    def __init__(self, place: Path) -> None:
        self.place = place

    def make(self, rng: random.Random) -> None:
        raise NotImplementedError

    def give(self) -> None:
        raise NotImplementedError

    def keep(self, folder: Path) -> None:
        """Copy the files to ``folder``."""
        shutil.copytree(self.place, folder / "input", dirs_exist_ok=True)


class Idx(Files):
    """idx files, compressed and plain."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        rng = np.random.default_rng(0)
        arrays = [rng.integers(0, 255, shape, np.uint8) for shape in ((7,), (5, 4, 3), (20, 28, 28))]
        plain = [struct.pack(f">HBB{a.ndim}I", 0, 8, a.ndim, *a.shape) + a.tobytes() for a in arrays]
        self.plain = plain

    def make(self, rng: random.Random) -> None:
        content = rng.choice(self.plain)
        form = rng.randrange(3)
        if form == 0:
            content = mutated(content[:40], rng) + content[40:]
        content = mutated(content, rng) if form == 1 else gzip.compress(content, 1) if form == 2 else content
        content = mutated(content, rng) if form == 2 else content
        (self.place / "images").write_bytes(gzip.compress(content, 1) if rng.random() < 0.3 else content)

    def give(self) -> None:
        from ganrun.datasets.idx import read_idx_hashed

        read_idx_hashed(self.place / "images", MAX)


class Npz(Files):
    """.npy and .npz files, as inputs of ``jsd`` and of ``sample``."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        rng = np.random.default_rng(0)
        self.arrays = [rng.normal(size=(120, 2)), rng.normal(size=(4, *SHAPE)).astype(np.float32)]
        self.arrays += [rng.integers(0, 255, (130, 8, 8), np.uint8), np.asfortranarray(rng.normal(size=(200, 3)))]
        self.arrays += [np.array([1, "a"] * 60, dtype=object), np.zeros(120, "f4,i8"), np.float64(1.0)]

    def make(self, rng: random.Random) -> None:
        held = io.BytesIO()
        np.save(held, rng.choice(self.arrays), allow_pickle=True)
        content = held.getvalue()
        if rng.random() < 0.6:  # the header, which is text
            content = mutated(content[:128], rng) + content[128:]
        self.path = self.place / rng.choice(("x.npy", "x.npz"))
        if self.path.suffix == ".npz":
            content = zipped(content, rng)
        for old in self.place.iterdir():
            old.unlink()
        self.key = rng.choice((None, None, "x", "../x"))
        self.path.write_bytes(mutated(content, rng) if rng.random() < 0.5 else content)

    def give(self) -> None:
        from ganrun.errors import GanrunError
        from ganrun.evaluation.divergence.open_distribution import open_distribution, require_distribution
        from ganrun.latent_space.inputs import read_inputs

        try:
            read_inputs(self.path, self.key, SHAPE)
        except GanrunError:  # for example, because of the shape
            require_distribution(str(self.path), key=self.key)
            open_distribution(str(self.path), key=self.key, data_dir=None)


def zipped(content: bytes, rng: random.Random) -> bytes:
    """Return an archive with ``content`` as a member, possibly with others."""
    held = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(held, "w", kind) as archive:
        for name in rng.choice((("x.npy",), ("x.npy",), ("x.npy", "y.npy"), ("../x.npy",), ("x.txt",), ())):
            archive.writestr(name, content)
    return held.getvalue()


class Png(Files):
    """PNG images, more than half of them with correct chunk checksums."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 4), np.uint8)
        more = PngImagePlugin.PngInfo()
        more.add_text("a", "b" * 200, zip=True)
        more.add_itxt("c", "d" * 200, zip=True)
        self.good = []
        for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16"):
            image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode).convert(mode)
            held = io.BytesIO()
            image.save(held, "PNG", pnginfo=more, icc_profile=bytes(100), dpi=(1, 1))
            self.good.append(held.getvalue())
        held = io.BytesIO()
        frames = [Image.fromarray(pixels[..., i]) for i in range(3)]
        frames[0].save(held, "PNG", save_all=True, append_images=frames[1:])
        self.good.append(held.getvalue())

    def make(self, rng: random.Random) -> None:
        content = rng.choice(self.good)
        content = rechecked(content, rng) if rng.random() < 0.6 else mutated(content, rng)
        (self.place / "x.png").write_bytes(content)
        self.shape = rng.choice((SHAPE, (8, 8, 3)))

    def give(self) -> None:
        from ganrun.latent_space.inputs import read_inputs

        read_inputs(self.place / "x.png", None, self.shape)


def rechecked(content: bytes, rng: random.Random) -> bytes:
    """Return the PNG ``content`` with some chunks changed, repeated or renamed, and correct checksums."""
    chunks, at = [], 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    rows = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(chunks))
        kind, data = chunks[i]
        how = rng.randrange(5)
        if how <= 1:
            chunks[i] = kind, mutated(data, rng)
        elif how == 2:
            chunks[i] = b"IDAT", zlib.compress(mutated(rows, rng))
        elif how == 3:
            chunks.insert(rng.randrange(len(chunks)), chunks[i])
        else:
            chunks[i] = rng.choice((b"tRNS", b"PLTE", b"IDAT", b"IHDR", b"fdAT", b"acTL", b"eXIf", b"abCd")), data
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:8] + b"".join(parts)

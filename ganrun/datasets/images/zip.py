"""``dataset=zip``: the images in a zip archive, which is read in place."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ganrun.config.registry import register
from ganrun.datasets.images.decode import CORRUPT, EMPTY, MAX_BYTES, TOO_LARGE, TRUNCATED, LeftOut
from ganrun.datasets.images.files import ImageFiles
from ganrun.datasets.images.source import Entry, Listing
from ganrun.datasets.locate import located
from ganrun.errors import ConfigError, shown
from ganrun.storage.safe_io import open_file

ENCRYPTED = "encrypted"
OUTSIDE = "outside the archive (an absolute path, or ..)"
NESTED = "an archive in the archive"
LINK = "a link"
TWICE = "a name that occurs twice"
BOMB = "a decompression bomb"
PACKING = "packed by another method than deflate"
NESTED_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
MAX_RATIO = 100  # of the unpacked to the packed size of a file of more than
UNQUESTIONED = 1 << 20  # bytes
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    struct.error,
    LookupError,
)


@register("dataset", "zip")
@dataclass(frozen=True)
class ImageZip(ImageFiles):
    """PNG, JPEG and WebP images in a zip archive, which is not unpacked; resized and decoded once into the cache.

    The rules are those of ``folder``.

    Attributes:
        path: the archive, relative to ``data_dir`` or to the working directory; None: the only one in ``data_dir``.
    """

    name: str = "zip"
    path: str | None = None

    def place(self, data_dir: Path) -> Path:
        """Return the archive; raise ConfigError if there is none."""
        return located(self.name, self.path, data_dir, (".zip",))

    def collection(self, place: Path) -> Archive:
        """Open the archive ``place``; raise ConfigError if it is damaged."""
        return Archive(place)


class Archive:
    """A zip archive of images. Nothing is extracted.

    Raises:
        ConfigError: it cannot be read, or is no zip archive.
    """

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        try:
            self._file = open_file(path)
            try:
                self._archive = zipfile.ZipFile(self._file)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise ConfigError(f"{shown(self.place)} cannot be read: {error.strerror or error}.") from error
        except Exception as error:  # the directory of the archive is malformed
            reason = shown(str(error).strip() or type(error).__name__)
            raise ConfigError(f"{shown(self.place)} is not a zip archive that can be read ({reason}).") from error
        self._infos: dict[str, zipfile.ZipInfo] = {}

    def listing(self) -> Listing:
        """Return the files that may be images, sorted by name; raise ConfigError if they overlap in the archive."""
        found = Listing()
        names: set[str] = set()
        for info in self._archive.infolist():
            name = info.filename
            if info.is_dir() or _parts(name)[-1].startswith(".") or name.startswith("__MACOSX/"):
                continue
            reason = TWICE if name in names else _refusal(info)
            names.add(name)
            if reason:
                found.left_out.append((name, reason))
            else:
                self._infos[name] = info
                found.entries.append(Entry(name, (info.file_size, info.CRC)))
        # Entries that share their data would unpack to far more than the archive holds.
        packed = sum(info.compress_size for info in self._infos.values())
        if packed > os.fstat(self._file.fileno()).st_size:
            raise ConfigError(f"{shown(self.place)}: the files in the archive overlap, so it is no archive of images.")
        found.entries.sort(key=lambda entry: entry.name.encode("utf-8", "surrogatepass"))
        return found

    def read(self, entry: Entry) -> bytes:
        """Return the content of a file; raise LeftOut if it is damaged."""
        info = self._infos[entry.name]
        try:
            with self._archive.open(info) as file:
                content = file.read(info.file_size + 1)
        except DAMAGED as error:
            raise LeftOut(TRUNCATED if isinstance(error, EOFError) else CORRUPT) from error
        if len(content) < info.file_size:
            raise LeftOut(TRUNCATED)
        return content

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()
        self._file.close()


def _parts(name: str) -> list[str]:
    """Return the parts of a path in an archive; some programs separate them by backslashes."""
    return name.replace("\\", "/").split("/")


def _refusal(info: zipfile.ZipInfo) -> str:
    """Return why the entry ``info`` is left out without being read; empty if it is read."""
    parts = _parts(info.filename)
    tests = {
        OUTSIDE: not parts[0] or ".." in parts or parts[0][1:2] == ":",
        ENCRYPTED: bool(info.flag_bits & 0x41),
        LINK: stat.S_ISLNK(info.external_attr >> 16),
        NESTED: info.filename.lower().endswith(NESTED_SUFFIXES),
        EMPTY: info.file_size == 0,
        TOO_LARGE: info.file_size > MAX_BYTES,
        BOMB: info.file_size > max(UNQUESTIONED, MAX_RATIO * info.compress_size),
        PACKING: info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
    }
    return next((reason for reason, holds in tests.items() if holds), "")

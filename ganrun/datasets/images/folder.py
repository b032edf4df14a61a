"""``dataset=folder``: the images in a folder and the folders below it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ganrun.config.registry import register
from ganrun.datasets.images.decode import EMPTY, MAX_BYTES, TOO_LARGE, UNREADABLE, LeftOut
from ganrun.datasets.images.files import ImageFiles
from ganrun.datasets.images.source import Entry, Listing
from ganrun.errors import ConfigError, shown
from ganrun.storage.safe_io import open_file

LOOP = "a link to a folder that is read already"
BROKEN = "a link to nothing"
DEEP = "in folders that are nested too deeply"
NO_FILE = "not a file"
DEEPEST = 64  # folders within folders
MAX_FILES = 10_000_000


@register("dataset", "folder")
@dataclass(frozen=True)
class ImageFolder(ImageFiles):
    """PNG, JPEG and WebP images in ``data_dir`` and the folders below it, resized and decoded once into the cache.

    Files that are no images, or are damaged, are counted and left out.
    """

    ELSEWHERE: ClassVar[dict[str, str]] = dict.fromkeys(
        ("path", "folder", "dir", "directory", "root", "data_dir"), "the folder of images is data_dir=FOLDER"
    )

    name: str = "folder"

    def place(self, data_dir: Path) -> Path:
        """Return ``data_dir``; raise ConfigError if it is no folder."""
        if not data_dir.is_dir():
            raise ConfigError(f"dataset=folder: there is no folder {shown(str(data_dir))}: set data_dir=FOLDER.")
        return data_dir

    def collection(self, place: Path) -> Folder:
        """Open the folder ``place``."""
        return Folder(place)


class Folder:
    """A folder of images, with the folders below it. Links are followed, but no folder is read twice."""

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, str(root)

    def listing(self) -> Listing:
        """Return the regular files, hidden ones excepted, sorted by name; raise ConfigError if there are too many."""
        found = Listing()
        seen: set[tuple[int, int]] = set()
        waiting = [("", 0)]
        while waiting:
            inside, depth = waiting.pop()
            try:
                status = (self.root / inside).stat()
                with os.scandir(self.root / inside) as scanned:
                    children = sorted(scanned, key=lambda child: child.name)
            except OSError as error:
                if not inside:
                    raise ConfigError(f"{shown(self.place)} cannot be read: {error.strerror or error}.") from error
                found.left_out.append((inside, UNREADABLE))
                continue
            if (status.st_dev, status.st_ino) in seen or depth > DEEPEST:
                found.left_out.append((inside, DEEP if depth > DEEPEST else LOOP))
                continue
            seen.add((status.st_dev, status.st_ino))
            for child in children:
                name = f"{inside}/{child.name}" if inside else child.name
                if child.name.startswith("."):
                    continue
                self._add(child, name, found, waiting, depth)
            if len(found.entries) > MAX_FILES:
                raise ConfigError(f"{shown(self.place)} holds more than {MAX_FILES} files.")
        found.entries.sort(key=lambda entry: os.fsencode(entry.name))
        return found

    def _add(
        self, child: os.DirEntry[str], name: str, found: Listing, waiting: list[tuple[str, int]], depth: int
    ) -> None:
        """Add ``child`` to ``found``, or to the folders that are ``waiting``."""
        try:
            status = child.stat()
        except FileNotFoundError:
            found.left_out.append((name, BROKEN))
        except OSError:  # links in circles, or a folder that may not be entered
            found.left_out.append((name, LOOP if child.is_symlink() else UNREADABLE))
        else:
            if stat.S_ISDIR(status.st_mode):
                waiting.append((name, depth + 1))
            elif not stat.S_ISREG(status.st_mode):
                found.left_out.append((name, NO_FILE))
            elif not status.st_size:
                found.left_out.append((name, EMPTY))
            else:
                found.entries.append(Entry(name, (status.st_size, status.st_mtime_ns)))

    def read(self, entry: Entry) -> bytes:
        """Return the content of a file; raise LeftOut if it cannot be read, is too large, or is no image."""
        if entry.stamp[0] > MAX_BYTES:
            raise LeftOut(TOO_LARGE)
        try:
            with open_file(self.root / entry.name) as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise LeftOut(UNREADABLE) from error

    def close(self) -> None:
        """Do nothing: files are opened one at a time."""

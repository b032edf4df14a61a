"""What a collection of image files offers to the cache: a listing, and the content of each file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """One file that may be an image.

    Attributes:
        name: its path in the collection, with ``/`` between its parts.
        stamp: what changes if the file does: its size and time of modification, or its checksum.
    """

    name: str
    stamp: tuple[int, ...]

    @property
    def folder(self) -> str:
        """The name of the folder that contains the file; empty at the top."""
        return self.name.rpartition("/")[0].rpartition("/")[2]

    @property
    def top(self) -> str:
        """The name of the topmost folder above the file; empty at the top."""
        top, slash, _ = self.name.partition("/")
        return top if slash else ""


@dataclass
class Listing:
    """The files of a collection.

    Attributes:
        entries: sorted by name.
        left_out: the names that are left out without being read, each with the reason.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


class Collection(Protocol):
    """A folder or an archive of images. ``place`` names it in messages."""

    place: str

    def listing(self) -> Listing:
        """Return its files; raise ConfigError if it cannot be read."""
        ...

    def read(self, entry: Entry) -> bytes:
        """Return the content of a file, at most one byte more than the limit; raise LeftOut if it cannot be read."""
        ...

    def close(self) -> None: ...

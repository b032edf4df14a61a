"""Images in files of any size and kind: what ``folder``, ``zip`` and ``huggingface`` have in common."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from ganrun.config.registry import choice, number, recorded
from ganrun.datasets.images import build, cache, cache_size
from ganrun.datasets.images.arrays import ImageArrays
from ganrun.datasets.images.decode import FILTERS
from ganrun.datasets.images.source import Collection
from ganrun.errors import ConfigError, shown

MAX_SIDE = 4096  # pixels of an image after resizing
FORMAT = 1  # of the cache: another number for any change of what is written
Accept = Callable[[tuple[int, ...], int], None]  # is given the shape and the number of classes of images to decode
_known: dict[tuple[object, ...], tuple[Path, cache.Manifest]] = {}  # what this process has opened already


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Images of the user's own, decoded once into the cache: the base class of ``folder``, ``zip`` and ``huggingface``.

    Attributes:
        side: height and width to which images are resized; None: all images must have the same size.
        height: the height, if it differs from the width.
        width: likewise.
        channels: ``1`` (grey), ``3`` (colour), or ``auto``: 1 if all images are grey.
        crop: ``centre``: the largest centred part with the aspect ratio of the result; ``none``: images are stretched.
        resize: filter: ``area``, ``bicubic`` or ``lanczos``.
        labels: ``folder``: the class of an image is the name of its folder; ``none``: there are no classes.
        held_out: fraction of the images, chosen by a hash of their files, that are held out from training.
        held_out_folder: topmost folder whose images are held out instead; None: by ``held_out``.
        flip: whether a training example is mirrored left to right with probability 1/2 in every epoch.
        shape: recorded: ``(height, width, channel)``.
        classes: recorded: number of classes; 0 if there are none.
        examples: recorded: number of training examples.
        content: recorded: hash of the images and labels. Other images are refused if it is set.
    """

    name: str
    side: int | None = number(None, low=1, high=MAX_SIDE)
    height: int | None = number(None, low=1, high=MAX_SIDE)
    width: int | None = number(None, low=1, high=MAX_SIDE)
    channels: str = choice("auto", ("auto", "1", "3"))
    crop: str = choice("centre", ("centre", "none"))
    resize: str = choice("area", tuple(FILTERS))
    labels: str = choice("none", ("none", "folder"))
    held_out: float = number(0.1, above=0.0, below=1.0)
    held_out_folder: str | None = None
    flip: bool = False
    shape: tuple[int, ...] = recorded((), low=1, high=1 << 16, most=3)
    classes: int = recorded(0, low=0, high=1 << 16)
    examples: int = recorded(0, low=0)
    content: str = recorded("")

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ConfigError("dataset.height and dataset.width belong together: set both, or dataset.side.")
        if self.side is not None and self.height is not None:
            raise ConfigError("dataset.side is both height and width: set it, or dataset.height and dataset.width.")

    @property
    def size(self) -> tuple[int, int] | None:
        """``(height, width)`` of the result; None: that of the images."""
        if self.side is not None:
            return self.side, self.side
        return None if self.height is None or self.width is None else (self.height, self.width)

    @abstractmethod
    def place(self, data_dir: Path) -> Path:
        """Return the folder or the archive; raise ConfigError if there is none."""

    @abstractmethod
    def collection(self, place: Path) -> Collection:
        """Open the folder or the archive ``place``; raise ConfigError if it cannot be read."""

    def stamp(self, place: Path) -> tuple[object, ...]:
        """Return what this process knows an opened collection by."""
        status = place.stat()
        return str(place), status.st_mtime_ns, status.st_size

    def resolve(self, data_dir: Path) -> ImageFiles:
        """Return this option with the recorded settings, after decoding the images unless they are in the cache.

        Raises:
            ConfigError: there are no images, they have different sizes, or they are not those recorded before.
        """
        return self.resolve_accepted(data_dir, lambda option: None)

    def resolve_accepted(self, data_dir: Path, accept: Callable[[ImageFiles], None]) -> ImageFiles:
        """Return what :meth:`resolve` does; before images are decoded, ``accept`` is called with their shape recorded.

        Raises:
            ConfigError: as of :meth:`resolve`, or ``accept`` has raised it.
        """

        def accept_images(shape: tuple[int, ...], classes: int) -> None:
            accept(dataclasses.replace(self, shape=shape, classes=classes))

        _, manifest = self._prepared(data_dir, accept_images)
        return dataclasses.replace(
            self,
            shape=manifest.shape,
            classes=len(manifest.classes),
            examples=manifest.counts["train"],
            content=manifest.content,
        )

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the images, mapped from the cache, and with ``labels`` their labels.

        Raises:
            ConfigError: as of :meth:`resolve`.
        """
        return cache.mapped(*self._prepared(data_dir), labels)

    def _prepared(self, data_dir: Path, accept: Accept = lambda shape, classes: None) -> tuple[Path, cache.Manifest]:
        """Return the folder in the cache, and its manifest."""
        place = self.place(data_dir)
        settings = self._settings()
        known = (*self.stamp(place), settings)
        # A command looks at its data several times, a sweep once for each run: the files are listed once.
        if known not in _known or cache.read_manifest(_known[known][0]) is None:
            collection = self.collection(place)
            try:
                _known[known] = self._opened(collection, settings, accept)
            finally:
                collection.close()
            folder, manifest = _known[known]
            print(summary(self.name, folder, manifest), file=sys.stderr)
        folder, manifest = _known[known]
        if self.content and self.content != manifest.content:
            raise ConfigError(
                f"dataset={self.name}: the images in {shown(str(place))} are not those of the run "
                f"(dataset.content={shown(self.content)}, now {manifest.content}): restore them, or start a new run."
            )
        return folder, manifest

    def _settings(self) -> tuple[object, ...]:
        """Return what determines the decoded images besides the files."""
        split = (self.held_out, self.held_out_folder)
        return (FORMAT, build.DECODER, self.size, self.channels, self.crop, self.resize, self.labels, *split)

    def _opened(
        self, collection: Collection, settings: tuple[object, ...], accept: Accept
    ) -> tuple[Path, cache.Manifest]:
        listing = collection.listing()
        names = [(entry.name, entry.stamp) for entry in listing.entries]
        key = cache.key_of(settings, names + [(name, ()) for name, _ in listing.left_out])
        folder = cache.datasets_folder() / key
        most = cache_size.maximum()
        if cache_size.hold(folder) and (manifest := cache.read_manifest(folder)) is not None:
            with contextlib.suppress(OSError):
                os.utime(folder)  # when it was last used
            return folder, manifest
        plan = build.Plan(
            size=self.size,
            channels=None if self.channels == "auto" else int(self.channels),
            crop=self.crop,
            resize=self.resize,
            by_folder=self.labels != "none",
            held_out=self.held_out,
            held_out_folder=self.held_out_folder,
        )
        manifest = build.build(collection, listing, plan, folder, self.name, accept)
        cache_size.hold(folder)
        cache_size.bound(folder.parent, most)
        return folder, manifest


def summary(name: str, folder: Path, manifest: cache.Manifest) -> str:
    """Return the line that says what a dataset contains, and what was left out."""
    height, width, channels = manifest.shape
    counts = manifest.counts
    parts = [
        f"{name}: {sum(counts.values())} images of {height}x{width}x{channels} "
        f"({counts['train']} for training, {counts['held_out']} held out)"
    ]
    if manifest.classes:
        parts.append(f"{len(manifest.classes)} classes")
    if manifest.left_out:
        parts.append(f"{cache.describe(manifest.left_out)}: {folder / cache.LEFT_OUT}")
    return "; ".join(parts)

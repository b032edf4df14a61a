"""Decodes a collection of images in threads, in the order of their names, and writes them to the cache."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from ganrun.datasets.images import cache
from ganrun.datasets.images.decode import MAX_BYTES, NO_CLASS, TOO_LARGE, LeftOut, Rules, fitted, opened, safe_decoding
from ganrun.datasets.images.progress import Advance, progress
from ganrun.datasets.images.source import Collection, Entry, Listing
from ganrun.datasets.split import is_held_out, rank_of
from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.machine.cores import usable_cores

DECODER = f"pillow {PIL.__version__}"
THREADS = 8  # at most
BATCH = 32  # images per task
SURVEYED = 64  # images that are opened first, to find out whether some are coloured
MAX_CLASSES = 1 << 16


@dataclass(frozen=True)
class Plan:
    """How a collection is decoded and divided.

    Attributes:
        size: ``(height, width)`` of the result; None: that of the images, which must be the same.
        channels: 1 or 3; None: 1 if all images are grey.
        crop: see :class:`Rules`.
        resize: likewise.
        by_folder: whether the name of its folder is the class of an image.
        held_out: fraction of the images that are held out.
        held_out_folder: topmost folder whose images are held out instead; None: by ``held_out``.
    """

    size: tuple[int, int] | None
    channels: int | None
    crop: str
    resize: str
    by_folder: bool
    held_out: float
    held_out_folder: str | None


@dataclass(frozen=True)
class _Target:
    """What images become: ``exact`` if none may have another size, ``grey`` if none may be coloured."""

    rules: Rules
    exact: bool
    grey: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)``."""
        return self.rules.height, self.rules.width, self.rules.channels


@dataclass(frozen=True)
class _Decoded:
    """An image, or the reason why it is left out; ``rank`` is the hash of its file."""

    entry: Entry
    reason: str = ""
    image: np.ndarray | None = None
    rank: int = 0


class _Coloured(Exception):
    """An image is coloured although those surveyed are grey."""


def build(
    collection: Collection,
    listing: Listing,
    plan: Plan,
    folder: Path,
    name: str,
    accept: Callable[[tuple[int, int, int], int], None] = lambda shape, classes: None,
) -> cache.Manifest:
    """Decode the images of ``collection`` into ``folder`` of the cache; return the manifest.

    Args:
        collection: the images.
        listing: its files.
        plan: how they are decoded.
        folder: where they are written.
        name: of the dataset, for messages.
        accept: called with the shape of the images and the number of folders that are classes (0 without classes)
            before they are decoded; raises ConfigError for what is of no use.

    Raises:
        ConfigError: there are fewer than two images or two classes, they have different sizes, the held-out folder does
            not exist, the cache cannot be written, or ``accept`` has raised it.
    """
    if plan.held_out_folder is not None and all(entry.top != plan.held_out_folder for entry in listing.entries):
        known = sorted({entry.top for entry in listing.entries} - {""})
        name, guess = shown(plan.held_out_folder), did_you_mean(plan.held_out_folder, known)
        raise ConfigError(f"dataset.held_out_folder={name}: there is no such folder in {collection.place}.{guess}")
    with safe_decoding():
        target = _surveyed(collection, listing, plan)
        # Fewer than two classes are refused below, and by what accepts the data with a less apt message.
        classes = max(2, len({entry.folder for entry in listing.entries} - {""})) if plan.by_folder else 0
        accept(target.shape, classes)
        try:
            try:
                return _written(collection, listing, plan, target, folder, name)
            except _Coloured:
                coloured = replace(target, rules=replace(target.rules, channels=3), grey=False)
                accept(coloured.shape, classes)
                return _written(collection, listing, plan, coloured, folder, name)
        except OSError as error:
            raise cache.cannot_cache(error) from error


def _surveyed(collection: Collection, listing: Listing, plan: Plan) -> _Target:
    """Open some images, evenly spaced, and return what all become.

    Raises:
        ConfigError: no image can be opened.
    """
    entries = listing.entries
    first = next(_openable(collection, entries), None)
    if first is None:
        left_out = listing.left_out + [(entry.name, _reason(collection, entry)) for entry in entries]
        raise _too_few(collection, 0, left_out)
    surveyed = _openable(collection, entries[:: max(1, len(entries) // SURVEYED)]) if plan.channels is None else ()
    coloured = first.mode == "RGB" or any(image.mode == "RGB" for image in surveyed)
    channels = plan.channels or (3 if coloured else 1)
    height, width = plan.size or (first.height, first.width)
    rules = Rules(height, width, channels, plan.crop, plan.resize)
    return _Target(rules, exact=plan.size is None, grey=plan.channels is None and not coloured)


def _openable(collection: Collection, entries: Iterable[Entry]) -> Iterator[Image.Image]:
    for entry in entries:
        try:
            yield opened(_content(collection, entry))
        except LeftOut:
            continue


def _reason(collection: Collection, entry: Entry) -> str:
    """Return why ``entry`` is left out; empty if it is not."""
    try:
        opened(_content(collection, entry))
    except LeftOut as reason:
        return str(reason)
    return ""


def _written(
    collection: Collection, listing: Listing, plan: Plan, target: _Target, folder: Path, name: str
) -> cache.Manifest:
    left_out, entries = list(listing.left_out), listing.entries
    if plan.by_folder:
        left_out += [(entry.name, NO_CLASS) for entry in entries if not entry.folder]
        entries = [entry for entry in entries if entry.folder]
    writer = cache.Writer(folder)
    try:
        with progress(name, len(entries)) as advance, closing(_decoded(collection, entries, target, advance)) as images:
            for found in images:
                if found.image is None:
                    left_out.append((found.entry.name, found.reason))
                    continue
                label = found.entry.folder if plan.by_folder else None
                writer.add(found.image, _is_held_out(plan, found), found.rank, label)
        _require_enough(collection, writer, left_out, plan)
        return writer.finish(left_out)
    finally:
        writer.discard()


def _decoded(
    collection: Collection, entries: list[Entry], target: _Target, advance: Advance
) -> Generator[_Decoded, None, None]:
    """Yield the images of ``entries`` in their order, while the next few batches are decoded in threads."""
    threads = min(THREADS, usable_cores())
    waiting: deque[Future[list[_Decoded]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            waiting.append(pool.submit(lambda batch: [_one(collection, entry, target) for entry in batch], batch))
            if len(waiting) > 2 * threads:  # bounds the memory
                yield from _next(waiting, advance)
        while waiting:
            yield from _next(waiting, advance)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(waiting: deque[Future[list[_Decoded]]], advance: Advance) -> list[_Decoded]:
    batch = waiting.popleft().result()
    advance(len(batch))
    return batch


def _one(collection: Collection, entry: Entry, target: _Target) -> _Decoded:
    try:
        content = _content(collection, entry)
        image = opened(content)
    except LeftOut as reason:
        return _Decoded(entry, str(reason))
    rules = target.rules
    if target.exact and (image.height, image.width) != (rules.height, rules.width):
        raise ConfigError(
            f"the images in {shown(collection.place)} have different sizes ({rules.height} x {rules.width}, and "
            f"{image.height} x {image.width} in {shown(entry.name)}): set dataset.side=64, or another size."
        )
    if target.grey and image.mode == "RGB":
        raise _Coloured
    return _Decoded(entry, image=fitted(image, rules), rank=rank_of(content))


def _content(collection: Collection, entry: Entry) -> bytes:
    content = collection.read(entry)
    if len(content) > MAX_BYTES:
        raise LeftOut(TOO_LARGE)
    return content


def _is_held_out(plan: Plan, found: _Decoded) -> bool:
    if plan.held_out_folder is not None:
        return found.entry.top == plan.held_out_folder
    return is_held_out(found.rank, plan.held_out)


def _require_enough(collection: Collection, writer: cache.Writer, left_out: list[tuple[str, str]], plan: Plan) -> None:
    """Raise ConfigError unless there are images in both splits, and at least two classes if there are classes."""
    total, place = sum(writer.counts.values()), shown(collection.place)
    if total < 2:
        raise _too_few(collection, total, left_out)
    if plan.held_out_folder is not None and not all(writer.counts.values()):
        where = "outside" if writer.counts["held_out"] else "in"
        folder = shown(plan.held_out_folder)
        raise ConfigError(f"dataset.held_out_folder={folder}: there is no image {where} this folder of {place}.")
    if plan.by_folder and not 2 <= len(writer.classes) <= MAX_CLASSES:
        raise ConfigError(
            f"dataset.labels=folder: the images in {place} are in {len(writer.classes)} "
            f"folder{'s' if len(writer.classes) != 1 else ''}; 2 to {MAX_CLASSES} are needed, one for each class."
        )


def _too_few(collection: Collection, total: int, left_out: list[tuple[str, str]]) -> ConfigError:
    counts = cache.describe(dict(sorted(Counter(reason for _, reason in left_out).items())))
    held = "no image" if total == 0 else "1 image"
    return ConfigError(
        f"{shown(collection.place)} holds {held}; at least 2 are needed{f'. {counts}' if counts else ''}."
    )

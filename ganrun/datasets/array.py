"""``dataset=array``: images or vectors in an array file or a table."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganrun.config.registry import number, recorded, register
from ganrun.datasets.images.arrays import ImageArrays
from ganrun.datasets.locate import located
from ganrun.datasets.mapped_images import begun_digest, divided
from ganrun.datasets.split import held_out_rows
from ganrun.datasets.tables import read_table
from ganrun.errors import ConfigError, shown
from ganrun.storage.array_files import map_array, read_array

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet")
PIXELS = ("uint8", "uint16")
MAX_CHANNELS = 16
MAX_COLUMNS = 1000
MAPPED_BYTES = 1 << 28  # size of an .npy file from which on its images are not read into memory
MAX_CLASSES = 1 << 16
LARGEST = 1e18  # maximum magnitude of a number: its square fits single precision
Accept = Callable[[tuple[int, ...], int], None]  # is given the shape and the number of classes of a file
_known: dict[tuple[object, ...], Contents] = {}  # the data that this process has read last


@dataclass(frozen=True)
class Contents:
    """The examples of a file, divided and scaled.

    Attributes:
        arrays: both splits, with labels if the file has some.
        classes: number of classes; 0 without labels.
        content: hash of the examples and labels, hexadecimal.
        mean: of each column of vectors, in the units of the file; empty for images.
        std: likewise, the standard deviation.
    """

    arrays: ImageArrays
    classes: int
    content: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@register("dataset", "array")
@dataclass(frozen=True)
class ArrayFile:
    """Images or vectors in one file: .npy, .npz, .csv, or .parquet (with ``pip install 'ganrun[parquet]'``).

    Images are uint8 or uint16 arrays ``(n, height, width)`` or ``(n, height, width, channel)`` with 1 to 16 channels.
    Vectors are arrays ``(n,)`` or ``(n, dim)`` of real numbers, or columns of a table. Each column is standardised with
    the mean and the standard deviation of the training examples; samples are written in the units of the file.

    Attributes:
        path: the file, relative to ``data_dir`` or to the working directory; None: the only one in ``data_dir``.
        key: name of the array in an .npz file; optional if there is only one.
        columns: columns of a table; empty: all but ``label``.
        label: column of a table, or array in an .npz file, with the class of each example; None: there are no classes.
        held_out: fraction of the examples, chosen by a hash of their numbers, that are held out from training.
        flip: whether a training image is mirrored left to right with probability 1/2 in every epoch.
        shape: recorded: ``(height, width, channel)``, or ``(dim,)``.
        classes: recorded: number of classes; 0 if there are none.
        examples: recorded: number of training examples.
        content: recorded: hash of the examples and labels. Other examples are refused if it is set.
        mean: recorded: mean of each column of vectors.
        std: recorded: standard deviation of each column of vectors.
    """

    name: str = "array"
    path: str | None = None
    key: str | None = None
    columns: tuple[str, ...] = number((), most=MAX_COLUMNS)
    label: str | None = None
    held_out: float = number(0.1, above=0.0, below=1.0)
    flip: bool = False
    shape: tuple[int, ...] = recorded((), low=1, high=1 << 16, most=3)
    classes: int = recorded(0, low=0, high=MAX_CLASSES)
    examples: int = recorded(0, low=0)
    content: str = recorded("")
    mean: tuple[float, ...] = recorded((), most=MAX_COLUMNS)
    std: tuple[float, ...] = recorded((), low=0, most=MAX_COLUMNS)

    def resolve(self, data_dir: Path) -> ArrayFile:
        """Return this option with the recorded settings; raise ConfigError as :meth:`load` does."""
        return self.resolve_accepted(data_dir, lambda option: None)

    def resolve_accepted(self, data_dir: Path, accept: Callable[[ArrayFile], None]) -> ArrayFile:
        """Return what :meth:`resolve` does; ``accept`` is called with the shape before examples are divided and hashed.

        Raises:
            ConfigError: as of :meth:`load`, or ``accept`` has raised it.
        """

        def accept_array(shape: tuple[int, ...], classes: int) -> None:
            accept(dataclasses.replace(self, shape=shape, classes=classes))

        contents = self._contents(data_dir, accept_array)
        return dataclasses.replace(
            self,
            shape=contents.arrays.shape,
            classes=contents.classes,
            examples=len(contents.arrays.train),
            content=contents.content,
            mean=contents.mean,
            std=contents.std,
        )

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the examples, and with ``labels`` their labels.

        Raises:
            ConfigError: the file is missing or damaged, holds something else, or not the examples recorded before.
        """
        arrays = self._contents(data_dir).arrays
        return arrays if labels else dataclasses.replace(arrays, train_labels=None, held_out_labels=None)

    def in_data_units(self, x: np.ndarray) -> np.ndarray:
        """Return vectors ``(..., dim)`` of the model in the units of the file; images are not changed."""
        if not self._is_scaled(x):
            return x
        return (x * np.array(self.std) + np.array(self.mean)).astype(np.float32)

    def from_data_units(self, x: np.ndarray) -> np.ndarray:
        """Return vectors ``(..., dim)`` in the units of the file as the model sees them; images are not changed."""
        return ((x - np.array(self.mean)) / np.array(self.std)).astype(np.float32) if self._is_scaled(x) else x

    @property
    def log_volume(self) -> float:
        """Log of the volume, in the units of the file, of a unit cube of the model: 0 for images, nats."""
        return float(np.log(self.std).sum()) if self.std else 0.0

    def _is_scaled(self, x: np.ndarray) -> bool:
        return len(self.mean) == len(self.std) == x.shape[-1] and len(self.shape) == 1

    def _contents(self, data_dir: Path, accept: Accept = lambda shape, classes: None) -> Contents:
        place = located(self.name, self.path, data_dir, ARRAYS + TABLES)
        status = place.stat()
        known = (str(place), status.st_mtime_ns, status.st_size, self.key, self.columns, self.label, self.held_out)
        if known not in _known:  # a command looks at its data several times, a sweep once for each run
            _known.clear()
            _known[known] = self._read(place, accept)
            print(self._summary(_known[known]), file=sys.stderr)
        contents = _known[known]
        if self.content and self.content != contents.content:
            raise ConfigError(
                f"dataset=array: the examples in {shown(str(place))} are not those of the run (dataset.content="
                f"{shown(self.content)}, now {contents.content}): restore them, or start a new run."
            )
        return contents

    def _read(self, place: Path, accept: Accept) -> Contents:
        """Return the examples of the file ``place``; raise ConfigError if they are not images or vectors."""
        names: list[str] | None = None
        if place.suffix.lower() in TABLES:
            if self.key is not None:
                raise ConfigError(f"dataset.key names an array of an .npz file, and {shown(place.name)} is a table.")
            table = read_table(place, self.columns, self.label)
            rows, names = table.rows, table.classes
        else:
            if self.columns:
                raise ConfigError(f"dataset.columns names columns of a table, and {shown(place.name)} is an array.")
            if self.label is not None and place.suffix.lower() != ".npz":
                raise ConfigError(f"dataset.label names an array of an .npz file, not of {shown(place.name)}.")
            if (contents := self._mapped(place, accept)) is not None:
                return contents
            rows = read_array(place, self.key)
            if self.label is not None:
                names = _label_texts(place, self.label, read_array(place, self.label))
        if len(rows) < 2:
            held = f"{len(rows)} example{'' if len(rows) == 1 else 's'}"
            raise ConfigError(f"{shown(str(place))}: holds {held}; at least 2 are needed.")
        if names is not None and len(names) != len(rows):
            raise ConfigError(f"{shown(str(place))}: holds {len(rows)} examples and {len(names)} labels.")
        shape, labels = _shape(str(place), rows), _labels(str(place), names)
        accept(shape, _classes(labels))
        return _divided(rows.reshape(len(rows), -1), shape, labels, self.held_out)

    def _mapped(self, place: Path, accept: Accept) -> Contents | None:
        """Return the images of a large .npy file, which stay in the file; None if it is another file."""
        if place.suffix.lower() != ".npy" or place.stat().st_size < MAPPED_BYTES:
            return None
        rows = map_array(place)
        if rows is None or rows.ndim not in (3, 4) or len(rows) < 2:
            return None
        shape = _shape(str(place), rows)
        accept(shape, 0)
        train, rest, content = divided(place, rows.reshape(len(rows), -1), shape, self.held_out)
        return Contents(ImageArrays(train, rest, shape), 0, content, (), ())

    def _summary(self, contents: Contents) -> str:
        arrays = contents.arrays
        size = "x".join(map(str, arrays.shape)) if len(arrays.shape) == 3 else f"{arrays.shape[0]} numbers"
        kind = "images of " if len(arrays.shape) == 3 else "vectors of "
        total = len(arrays.train) + len(arrays.held_out)
        split = f"({len(arrays.train)} for training, {len(arrays.held_out)} held out)"
        classes = f"; {contents.classes} classes" if contents.classes else ""
        return f"array: {total} {kind}{size} {split}{classes}"


def _shape(name: str, rows: np.ndarray) -> tuple[int, ...]:
    """Return the shape of one example; raise ConfigError if ``rows`` are neither images nor vectors."""
    name, shape = shown(name), rows.shape[1:]
    held = f"holds {rows.dtype} {' x '.join(map(str, rows.shape))}"
    if len(shape) in (2, 3):
        if rows.dtype.name not in PIXELS:
            raise ConfigError(f"{name}: {held}; images are arrays of uint8 or uint16.")
        full = (*shape, 1) if len(shape) == 2 else shape
        if full[-1] > MAX_CHANNELS:
            raise ConfigError(f"{name}: {held}; images are (n, height, width, channel), with 1 to 16 channels.")
        return tuple(map(int, full))
    if len(shape) > 3:
        raise ConfigError(f"{name}: {held}; images have 3 or 4 axes and vectors 1 or 2.")
    if math.prod(shape) > MAX_COLUMNS:
        raise ConfigError(f"{name}: {held}; vectors have at most {MAX_COLUMNS} numbers.")
    flat = rows.reshape(len(rows), -1)
    bad = ~(np.abs(flat.astype(np.float64)) <= LARGEST).all(axis=1)  # NaN compares as false
    if bad.any():
        raise ConfigError(
            f"{name}: {int(bad.sum())} of {len(rows)} rows hold a NaN, an Inf or a number beyond {LARGEST:g} "
            f"(the first is row {int(bad.argmax())}, counted from 0)."
        )
    return (flat.shape[1],)


def _divided(rows: np.ndarray, shape: tuple[int, ...], labels: np.ndarray | None, share: float) -> Contents:
    """Divide ``rows`` ``(n, d)`` into splits, and standardise vectors."""
    held_out = held_out_rows(rows, share)
    train, rest = rows[~held_out], rows[held_out]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    if len(shape) == 1:
        exact = train.astype(np.float64)
        means, stds = exact.mean(axis=0), exact.std(axis=0)
        stds[~(stds > 0)] = 1.0  # a constant column stays constant
        train, rest = (((part.astype(np.float64) - means) / stds).astype(np.float32) for part in (exact, rest))
        mean, std = tuple(means.tolist()), tuple(stds.tolist())
    digest = begun_digest(shape, len(train), train.dtype.name, (mean, std))
    parts = [train, rest] if labels is None else [train, rest, labels[~held_out], labels[held_out]]
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    arrays = ImageArrays(train, rest, shape, *parts[2:])
    return Contents(arrays, _classes(labels), digest.hexdigest()[:16], mean, std)


def _classes(labels: np.ndarray | None) -> int:
    return 0 if labels is None else int(labels.max()) + 1


def _label_texts(place: Path, key: str, labels: np.ndarray) -> list[str]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ConfigError(f"{shown(str(place))}, array '{shown(key)}': labels are one whole number for each example.")
    return [str(label) for label in labels.tolist()]


def _labels(name: str, texts: list[str] | None) -> np.ndarray | None:
    """Return the labels, which count the distinct ``texts``: numbers in their order, others alphabetically."""
    if texts is None:
        return None
    distinct = sorted(set(texts), key=lambda text: (not text.lstrip("-").isdecimal(), _whole(text), text))
    if not 2 <= len(distinct) <= MAX_CLASSES:
        raise ConfigError(f"{shown(name)}: dataset.label has {len(distinct)} classes; 2 to {MAX_CLASSES} are needed.")
    places = {text: place for place, text in enumerate(distinct)}
    return np.array([places[text] for text in texts], np.uint16)


def _whole(text: str) -> int:
    digits = text.lstrip("-")
    return int(text) if digits.isdecimal() and digits.isascii() and len(digits) < 20 and text.count("-") <= 1 else 0

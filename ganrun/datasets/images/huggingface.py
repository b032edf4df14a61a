"""``dataset=huggingface``: the images of a dataset in the format of Hugging Face, from its hub or a local folder."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganrun.config.registry import choice, register
from ganrun.datasets.images.decode import CORRUPT, EMPTY, MAX_BYTES, TOO_LARGE, UNREADABLE, LeftOut
from ganrun.datasets.images.files import ImageFiles
from ganrun.datasets.images.source import Entry, Listing
from ganrun.errors import ConfigError, instead, shown
from ganrun.storage.safe_io import open_file

INSTALL = "dataset=huggingface needs the package datasets: pip install 'ganrun[huggingface]'"
SAVED = ("dataset_dict.json", "state.json")  # files of a folder that `save_to_disk` has written
LEAST_VERSION = 4  # of the package: earlier ones can run code that a dataset brings


@register("dataset", "huggingface")
@dataclass(frozen=True)
class HuggingFace(ImageFiles):
    """A dataset of images on the Hugging Face hub or in a local folder; resized and decoded once into the cache.

    The rules are those of ``folder``. An image's name is ``SPLIT/CLASS/NUMBER``, so ``held_out_folder`` is the name of
    a split, such as ``test``. The package ``datasets`` downloads to its own cache.

    Attributes:
        path: name on the hub, or a folder: one that ``save_to_disk`` wrote, or one with Parquet or image files.
        subset: one of the configurations of the dataset; None: the only one.
        revision: version on the hub: a branch, a tag or a commit.
        column: name of the column with the images.
        label: name of the column with the classes; used with ``labels=column``.
        labels: ``column``: the class of an image is the value of its ``label``; ``none``: there are no classes.
    """

    name: str = "huggingface"
    path: str | None = None
    subset: str | None = None
    revision: str | None = None
    column: str = "image"
    label: str = "label"
    labels: str = choice("none", ("none", "column"))

    def place(self, data_dir: Path) -> Path:
        """Return the local folder, or the name on the hub as a path; raise ConfigError if there is none."""
        if self.path is None:
            raise ConfigError("dataset=huggingface: set dataset.path to a name on the hub, or to a folder.")
        local = [place for place in (data_dir / self.path, Path(self.path).expanduser()) if place.is_dir()]
        return local[0].absolute() if local else Path(self.path)

    def stamp(self, place: Path) -> tuple[object, ...]:
        """Return the settings that select the data: the package itself notices changes of its files."""
        return (str(place), self.subset, self.revision, self.column, self.label)

    def collection(self, place: Path) -> Table:
        """Open the dataset; raise ConfigError if it cannot be opened, or has other columns."""
        return Table(str(place), _opened(place, self.subset, self.revision), self.column, self._label_column())

    def _label_column(self) -> str | None:
        return self.label if self.labels == "column" else None


@dataclass
class Table:
    """The splits of a dataset as a collection of images.

    Args:
        place: as the user named it.
        splits: the splits by name.
        column: of the images.
        label: column of the classes; None: not used.

    Raises:
        ConfigError: there is no such column.
    """

    place: str
    splits: dict[str, Any]
    column: str
    label: str | None = None
    _rows: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        package: Any = importlib.import_module("datasets")
        for name, split in self.splits.items():
            for key, wanted in (("column", self.column), ("label", self.label)):
                if wanted is not None and wanted not in split.column_names:
                    raise ConfigError(
                        f"dataset.{key}: the split {shown(name)} of {shown(self.place)} has no column "
                        f"'{shown(wanted)}'.{instead(wanted, map(shown, split.column_names), 'It has')}"
                    )
            if not isinstance(split.features[self.column], package.Image):
                raise ConfigError(f"dataset.column: '{shown(self.column)}' of {shown(self.place)} holds no images.")
            self.splits[name] = split.cast_column(self.column, package.Image(decode=False))

    def listing(self) -> Listing:
        """Return the images, named ``SPLIT/CLASS/NUMBER``."""
        found = Listing()
        for name, split in sorted(self.splits.items()):
            fingerprint = zlib.crc32(str(split._fingerprint).encode())
            classes = self._classes(split)
            for i in range(len(split)):
                part = "" if classes is None else f"{classes[i]}/"
                entry = Entry(f"{name}/{part}{i:09d}", (fingerprint, i))
                self._rows[entry.name] = (name, i)
                found.entries.append(entry)
        found.entries.sort(key=lambda entry: entry.name.encode("utf-8", "surrogatepass"))
        return found

    def _classes(self, split: Any) -> list[str] | None:
        if self.label is None:
            return None
        names = getattr(split.features[self.label], "names", None)
        values: Iterable[Any] = split[self.label]
        texts = [str(names[value] if names is not None and isinstance(value, int) else value) for value in values]
        return [text.replace("/", "_").replace("\0", "") or "_" for text in texts]

    def read(self, entry: Entry) -> bytes:
        """Return the encoded image; raise LeftOut if there is none."""
        name, i = self._rows[entry.name]
        try:
            value = self.splits[name][i][self.column]
        except Exception as error:  # Arrow raises many types of exceptions on malformed files
            raise LeftOut(CORRUPT) from error
        content = value.get("bytes") if isinstance(value, dict) else None
        if content is None and isinstance(value, dict) and value.get("path"):
            content = _content(Path(str(value["path"])))
        if not content:
            raise LeftOut(EMPTY)
        if len(content) > MAX_BYTES:
            raise LeftOut(TOO_LARGE)
        return bytes(content)

    def close(self) -> None:
        """Do nothing: the files are mapped, and closed with the objects."""


def _content(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LeftOut(UNREADABLE) from error


def _opened(place: Path, subset: str | None, revision: str | None) -> dict[str, Any]:
    """Return the splits of the dataset at ``place`` by name."""
    try:
        package: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise ConfigError(f"{INSTALL}.") from error
    if int(str(package.__version__).partition(".")[0]) < LEAST_VERSION:
        raise ConfigError(f"dataset=huggingface needs datasets {LEAST_VERSION} or later, not {package.__version__}.")
    try:
        if any((place / name).is_file() for name in SAVED):
            loaded = package.load_from_disk(str(place))
        else:
            loaded = package.load_dataset(str(place), subset, revision=revision)
    except Exception as error:  # the package raises anything, from network errors to those of Arrow
        reason = shown(str(error).strip().partition("\n")[0] or type(error).__name__)
        raise ConfigError(f"dataset=huggingface: {shown(str(place))} cannot be opened ({reason}).") from error
    splits = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    return {str(name).replace("/", "_"): split for name, split in splits.items()}

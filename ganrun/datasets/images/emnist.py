"""EMNIST: handwritten digits and letters in six splits, in the format of MNIST."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from ganrun.config.registry import choice, register
from ganrun.datasets import download
from ganrun.datasets.download import announce
from ganrun.datasets.idx import read_idx_stream, refusing
from ganrun.datasets.images.mnist import IdxImages, is_file
from ganrun.errors import ConfigError, shown
from ganrun.storage.safe_io import open_file

ARCHIVE = "gzip.zip"
MIRRORS = ("https://biometrics.nist.gov/cs_links/EMNIST/",)
MD5 = "58c8d27c78d21e728a6bc7b3cc06412e"
MAX_ARCHIVE = 1 << 30  # bytes: twice the archive
# Training images, held-out images and classes of each split (Cohen et al. 2017, table II).
SPLITS = {
    "balanced": (112_800, 18_800, 47),
    "letters": (124_800, 20_800, 26),
    "digits": (240_000, 40_000, 10),
    "mnist": (60_000, 10_000, 10),
    "byclass": (697_932, 116_323, 62),
    "bymerge": (697_932, 116_323, 47),
}


@register("dataset", "emnist")
@dataclasses.dataclass(frozen=True)
class Emnist(IdxImages):
    """EMNIST: handwritten digits and letters, 28x28 grey, in the splits of the paper.

    All splits are in one archive of 536 MB, which is read in place; its md5 is verified when this program downloads it.
    Files that were extracted from it (``emnist-letters-train-images-idx3-ubyte.gz``) are read as well. The files
    contain the images transposed; they are loaded upright. The labels of ``letters`` count from 1 in the files and
    from 0 here.

    Paper: Cohen et al. 2017, "EMNIST: an extension of MNIST to handwritten letters".

    Attributes:
        split: the split of the paper: ``balanced``, ``letters``, ``digits``, ``mnist``, ``byclass`` or ``bymerge``.
    """

    name: str = "emnist"
    split: str = choice("balanced", tuple(SPLITS))
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: MIRRORS)

    torchvision: ClassVar[str] = "EMNIST"
    md5: ClassVar[dict[str, str]] = {ARCHIVE: MD5}
    splits: ClassVar[dict[str, tuple[int, int, int]]] = SPLITS

    @property
    def counts(self) -> dict[str, int]:  # type: ignore[override]
        """Number of examples of each part."""
        train, held_out, _ = self.splits[self.split]
        return {"train": train, "held_out": held_out}

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.splits[self.split][2]

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return the paths of :meth:`IdxImages.find`; that of the archive for files that were not extracted."""
        files = super().find(data_dir, labels)
        archive = next((path for folder in self._folders(data_dir) if is_file(path := folder / ARCHIVE)), None)
        return files if archive is None else dict.fromkeys(self._stems(labels), archive) | files

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Ensure that the files exist: download the archive into ``data_dir/emnist/`` if one is missing.

        Raises:
            ConfigError: a file is missing, and the archive may not or cannot be downloaded.
        """
        if len(self.find(data_dir, labels)) == len(self._stems(labels)):
            return
        if not self.download:
            raise self._without_archive(data_dir, "dataset.download is false, or the run is resumed.")
        announce(self.name, ARCHIVE, data_dir / self.name)
        try:
            known = self.md5.get(ARCHIVE)
            download.fetch(ARCHIVE, self.mirrors, data_dir / self.name, known, verify=self._verify, limit=MAX_ARCHIVE)
        except ConfigError as error:
            raise self._without_archive(data_dir, str(error)) from error

    def _stems(self, labels: bool) -> dict[str, str]:
        parts = {"train": "train-images-idx3", "held_out": "test-images-idx3"}
        of_labels = {"train_labels": "train-labels-idx1", "held_out_labels": "test-labels-idx1"}
        wanted = parts | of_labels if labels else parts
        return {part: f"emnist-{self.split}-{stem}-ubyte" for part, stem in wanted.items()}

    def _folders(self, data_dir: Path) -> tuple[Path, ...]:
        folders = super()._folders(data_dir)
        return (*folders, *(folder / "gzip" for folder in folders))

    def _verify(self, path: Path) -> None:
        """Raise ConfigError if the archive ``path`` does not have the training images of this split."""
        self._read("train", path)

    def _read(self, part: str, path: Path) -> np.ndarray:
        if path.name == ARCHIVE:
            content, sha256 = _from_archive(path, self._stems(labels=True)[part], self._limit(part))
        else:
            content, sha256 = self._from_file(part, path)
        if not part.endswith("_labels") and content.ndim == 3:
            content = content.transpose(0, 2, 1)
        elif self.split == "letters" and part.endswith("_labels"):
            if content.min() < 1:
                raise ConfigError(f"{path}: holds the label 0; those of letters count from 1.")
            content = content - np.uint8(1)
        return self._checked(part, path, np.ascontiguousarray(content), sha256)

    def _without_archive(self, data_dir: Path, reason: str) -> ConfigError:
        searched = " and ".join(str(folder) for folder in self._folders(data_dir)[:2])
        source = f"{self.mirrors[0].rstrip('/')}/{ARCHIVE}" if self.mirrors else "a mirror"
        return ConfigError(
            f"{self.name}: neither {ARCHIVE} nor the files of the split {self.split} are in {searched}; {reason}\n"
            f"Set data_dir=... or $GANRUN_DATA to a folder that holds {self.name}/, "
            f"or put {source} into {data_dir / self.name}."
        )


def _from_archive(path: Path, stem: str, limit: int) -> tuple[np.ndarray, str]:
    """Return the array and the sha256 of the gzipped idx file ``stem`` in the archive ``path``, which stays packed."""
    with refusing(shown(f"{path}: {stem}")):
        try:
            with open_file(path) as file, zipfile.ZipFile(file) as archive:
                names = (f"gzip/{stem}.gz", f"{stem}.gz")
                member = next((name for name in names if name in archive.namelist()), None)
                if member is None:
                    raise ValueError(f"the archive has no {names[0]}")
                with archive.open(member) as stream:
                    return read_idx_stream(stream, limit)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # damaged, encrypted, unknown packing
            raise ValueError(f"the archive is damaged ({error})") from error

"""Datasets in the format of Hugging Face: with the package where it is installed, and with a stand-in for it."""

import importlib.metadata
import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from ganrun.datasets.images import HuggingFace, huggingface
from ganrun.errors import ConfigError


def encoded(value, side=6):
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


class Split(list):
    """A split with the columns ``image`` and ``label``, of classes ``cat`` and ``dog``."""

    column_names = ("image", "label")
    _fingerprint = "7"

    @property
    def features(self):
        return {"image": StandIn.Image(), "label": types.SimpleNamespace(names=["dog", "cat"])}

    def cast_column(self, name, feature):
        assert name == "image" and feature.decode is False
        return self

    def __getitem__(self, key):
        return [row["label"] for row in self] if key == "label" else super().__getitem__(key)


class StandIn(types.ModuleType):
    """What ganrun uses of the package."""

    __version__ = "5.1.0"

    class Image:
        def __init__(self, decode=True):
            self.decode = decode

    def load_dataset(self, name, subset, revision=None):
        if name == "nobody/nothing":
            raise FileNotFoundError("there is no such dataset\nand much more")
        self.asked = (name, subset, revision)
        rows = [{"image": {"bytes": encoded(20 * i), "path": None}, "label": i % 2} for i in range(8)]
        rows += [{"image": {"bytes": b"", "path": None}, "label": 0}, {"image": None, "label": 1}]
        return {"train": Split(rows), "test": Split(rows[:3])}


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    package = StandIn("datasets")
    monkeypatch.setitem(sys.modules, "datasets", package)
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    return package


def test_the_shape_and_the_classes_are_told_before_images_are_decoded(stand_in, tmp_path):
    told = []

    def refuse(option):
        told.append((option.shape, option.classes))
        raise ConfigError("no")

    option = HuggingFace(path="some/name", labels="column")
    with pytest.raises(ConfigError, match="no"):
        option.resolve_accepted(tmp_path, refuse)
    assert told == [((6, 6, 1), 2)]
    assert not (tmp_path / "cache").exists()
    assert option.resolve_accepted(tmp_path, lambda option: None) == option.resolve(tmp_path)


def test_images_and_classes_come_from_the_columns_and_a_split_is_held_out(stand_in, tmp_path, capsys):
    option = HuggingFace(path="some/name", subset="small", revision="v1", labels="column", held_out_folder="test")
    option = option.resolve(tmp_path)
    assert stand_in.asked == ("some/name", "small", "v1")
    assert (option.shape, option.classes, option.examples) == ((6, 6, 1), 2, 8)
    assert "2 left out (2 empty)" in capsys.readouterr().err
    arrays = option.load(tmp_path, labels=True)
    values = {int(row[0]): int(label) for row, label in zip(arrays.train, arrays.train_labels, strict=True)}
    assert values == {20 * i: 1 - i % 2 for i in range(8)}  # the classes are sorted by name: cat, dog
    assert sorted(int(row[0]) for row in arrays.held_out) == [0, 20, 40]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "set dataset.path to a name on the hub, or to a folder"),
        ({"path": "nobody/nothing"}, "nobody/nothing cannot be opened (there is no such dataset)"),
        ({"path": "x/y", "column": "imag"}, "has no column 'imag'. Did you mean 'image'? It has image, label."),
        ({"path": "x/y", "column": "label"}, "'label' of x/y holds no images"),
        (
            {"path": "x/y", "labels": "column", "label": "kind"},
            "dataset.label: the split train of x/y has no column 'kind'",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(stand_in, tmp_path, settings, message):
    with pytest.raises(ConfigError) as error:
        HuggingFace(**settings).resolve(tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_version_that_can_run_code_is_refused(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(StandIn, "__version__", "3.6.0")
    with pytest.raises(ConfigError, match=r"needs datasets 4 or later, not 3\.6\.0"):
        HuggingFace(path="x/y").resolve(tmp_path)


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'ganrun\[huggingface\]'"):
        HuggingFace(path="x/y").resolve(tmp_path)


def installed():
    """Return whether the package is installed; a folder of this name is no package."""
    try:
        return bool(importlib.metadata.version("datasets"))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(not installed(), reason="needs the package datasets")
@pytest.mark.parametrize("saved", [True, False])
def test_a_local_folder_is_read_with_the_package(tmp_path, monkeypatch, saved):
    import datasets  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    rows = {"image": [{"bytes": encoded(10 * i), "path": None} for i in range(9)], "label": [i % 3 for i in range(9)]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    table = datasets.Dataset.from_dict(rows, features=features)
    folder = tmp_path / "data"
    if saved:
        table.save_to_disk(str(folder))
    else:
        folder.mkdir()
        table.to_parquet(str(folder / "train.parquet"))
    option = HuggingFace(path=str(folder), labels="column").resolve(tmp_path)
    assert (option.shape, option.classes) == ((6, 6, 1), 3)
    arrays = option.load(tmp_path, labels=True)
    pixels = np.concatenate([arrays.train, arrays.held_out])[:, 0]
    labels = np.concatenate([arrays.train_labels, arrays.held_out_labels])
    assert {int(pixel): int(label) for pixel, label in zip(pixels, labels, strict=True)} == {
        10 * i: i % 3 for i in range(9)
    }
    assert int(datasets.__version__.partition(".")[0]) >= huggingface.LEAST_VERSION

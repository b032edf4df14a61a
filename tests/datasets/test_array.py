"""Images and vectors in one file: what is read, how it is divided and scaled, and what is refused."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from ganrun import datasets
from ganrun.datasets import array
from ganrun.datasets.array import ArrayFile
from ganrun.errors import ConfigError


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(array, "_known", {})


RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 3)) * [1.0, 100.0, 0.01] + [5.0, -7.0, 0.0]


def table(path, rows=VECTORS, classes=None, header="x,y,z"):
    lines = [",".join(map(repr, row)) for row in rows.tolist()]
    if classes is not None:
        header, lines = f"{header},kind", [f"{line},{kind}" for line, kind in zip(lines, classes, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def both(arrays):
    return np.concatenate([arrays.train, arrays.held_out])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (3, 7, 3), (2, 2, 16), (6, 6, 4)])
def test_images_keep_their_levels_and_their_shape(dtype, shape, tmp_path):
    images = RNG.integers(0, np.iinfo(dtype).max, (20, *shape), dtype)
    np.save(tmp_path / "x.npy", images)
    option = ArrayFile(held_out=0.3).resolve(tmp_path)
    arrays = option.load(tmp_path)
    assert option.shape == arrays.shape == ((*shape, 1) if len(shape) == 2 else shape)
    assert arrays.train.dtype == dtype and (option.mean, option.std) == ((), ())
    assert option.examples == len(arrays.train) and len(arrays.train) + len(arrays.held_out) == 20
    assert sorted(map(bytes, both(arrays))) == sorted(image.tobytes() for image in images)
    assert option.in_data_units(images) is images


def test_sixteen_bits_reach_the_model_between_minus_one_and_one(tmp_path):
    images = np.array([[[0, 65_535]], [[32_767, 32_768]]], np.uint16)
    np.save(tmp_path / "x.npy", images)
    data = datasets.load(ArrayFile(), tmp_path, 0)
    found = np.concatenate(
        [np.asarray(source.minibatch(None, start(), 1)[0]) for source in (data.train, data.held_out)]
    )
    assert sorted(found.ravel().tolist()) == pytest.approx([-1, -1 / 65_535, 1 / 65_535, 1], abs=1e-7)


def start():
    from ganrun.datasets.sampler import Cursor

    return Cursor.start()


def test_vectors_are_standardised_by_the_training_examples(tmp_path):
    np.save(tmp_path / "x.npy", VECTORS)
    option = ArrayFile(held_out=0.3).resolve(tmp_path)
    arrays = option.load(tmp_path)
    assert option.shape == (3,) and arrays.train.dtype == np.float32
    np.testing.assert_allclose(arrays.train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(arrays.train.std(axis=0), 1, atol=1e-5)
    back = option.in_data_units(both(arrays))
    order = np.argsort(back[:, 0])
    np.testing.assert_allclose(back[order], VECTORS[np.argsort(VECTORS[:, 0])], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(option.from_data_units(back), both(arrays), atol=1e-4)
    assert option.log_volume == pytest.approx(np.log(np.array(option.std)).sum())


def test_a_constant_column_stays_constant(tmp_path):
    np.save(tmp_path / "x.npy", np.stack([np.arange(9.0), np.full(9, 4.0)], axis=1))
    option = ArrayFile().resolve(tmp_path)
    assert (option.mean[1], option.std[1]) == (4, 1)
    assert (both(option.load(tmp_path))[:, 1] == 0).all()


def test_a_table_gives_the_columns_that_are_named(tmp_path):
    table(tmp_path / "x.csv", classes=["b", "a"] * 20)
    option = ArrayFile(label="kind").resolve(tmp_path)
    assert (option.shape, option.classes) == ((3,), 2)
    arrays = option.load(tmp_path, labels=True)
    back = option.in_data_units(both(arrays))[:, 0]
    labels = [*arrays.train_labels, *arrays.held_out_labels]
    for x, label in zip(back, labels, strict=True):
        row = int(np.abs(VECTORS[:, 0] - x).argmin())
        assert label == 1 - row % 2  # b is the second class
    one = ArrayFile(columns=("y",)).resolve(tmp_path)
    assert one.shape == (1,) and abs(one.mean[0] - VECTORS[:, 1].mean()) < 30
    swapped = ArrayFile(columns=("y", "x")).resolve(tmp_path)
    assert swapped.shape == (2,) and swapped.std[0] > 50 > 3 > swapped.std[1]


def test_numbers_as_classes_are_counted_in_their_order(tmp_path):
    table(tmp_path / "x.csv", VECTORS[:6], classes=["10", "9", "-1", "10", "9", "-1"])
    arrays = ArrayFile(label="kind").load(tmp_path, labels=True)
    assert sorted([*arrays.train_labels, *arrays.held_out_labels]) == [0, 0, 1, 1, 2, 2]
    back = ArrayFile(label="kind").resolve(tmp_path).in_data_units(arrays.train)[:, 0]
    for x, label in zip(back, arrays.train_labels, strict=True):
        row = int(np.abs(VECTORS[:6, 0] - x).argmin())
        assert label == (2, 1, 0)[row % 3]


def test_an_archive_of_arrays_has_examples_and_labels(tmp_path):
    images, labels = RNG.integers(0, 255, (10, 4, 4), np.uint8), np.arange(10) % 3 + 5
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    option = ArrayFile(key="images", label="labels", flip=True).resolve(tmp_path)
    assert option.classes == 3
    arrays = option.load(tmp_path, labels=True)
    kinds = {image.tobytes(): label - 5 for image, label in zip(images, labels, strict=True)}
    for row, label in zip(both(arrays), [*arrays.train_labels, *arrays.held_out_labels], strict=True):
        assert kinds[row.tobytes()] == label
    with pytest.raises(ConfigError, match="which array"):
        ArrayFile().load(tmp_path)
    assert option.load(tmp_path).train_labels is None


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_gives_the_same_as_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = ["b", "a"] * 20
    table(tmp_path / "x.csv", classes=kinds)
    columns = dict(zip("xyz", VECTORS.T, strict=True)) | {"kind": kinds}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    one, other = (ArrayFile(path=f"x.{suffix}", label="kind").resolve(tmp_path) for suffix in ("csv", "parquet"))
    assert one.content == other.content and one.mean == other.mean
    with pytest.raises(ConfigError, match="the column 'kind' holds string, not numbers"):
        ArrayFile(path="x.parquet").load(tmp_path)
    (tmp_path / "x.parquet").write_bytes((tmp_path / "x.parquet").read_bytes()[:100])
    array._known.clear()
    with pytest.raises(ConfigError, match=r"x\.parquet: cannot be read") as caught:
        ArrayFile(path="x.parquet").load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_is_told_what_to_install(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"pip install 'ganrun\[parquet\]'"):
        ArrayFile().load(tmp_path)


def saved(path, rows):
    np.save(path, rows)
    return path


REFUSED = {
    "floats as images": (lambda p: saved(p / "x.npy", np.zeros((5, 4, 4))), {}, "images are arrays of uint8 or uint16"),
    "channels first": (
        lambda p: saved(p / "x.npy", np.zeros((5, 3, 32, 32), np.uint8)),
        {},
        "with 1 to 16 channels",
    ),
    "five axes": (lambda p: saved(p / "x.npy", np.zeros((5, 1, 1, 1, 1), np.uint8)), {}, "images have 3 or 4 axes"),
    "too wide": (lambda p: saved(p / "x.npy", np.zeros((5, 1001))), {}, "at most 1000 numbers"),
    "a nan": (lambda p: saved(p / "x.npy", np.array([0, 1, np.nan])), {}, "1 of 3 rows hold a NaN"),
    "one row": (lambda p: saved(p / "x.npy", np.zeros((1, 2))), {}, "holds 1 example; at least 2"),
    "objects": (lambda p: saved(p / "x.npy", np.array([1, "a"], object)), {}, "Python objects"),
    "no such column": (lambda p: table(p / "x.csv"), {"columns": ("xx",)}, "Did you mean 'x'?"),
    "no such label": (lambda p: table(p / "x.csv"), {"label": "q"}, "dataset.label: "),
    "text": (lambda p: table(p / "x.csv", classes=["a"] * 40), {}, "line 2 holds 'a' in the column 'kind'"),
    "one class": (lambda p: table(p / "x.csv", classes=["a"] * 40), {"label": "kind"}, "has 1 classes"),
    "twice": (lambda p: table(p / "x.csv", header="x,x,z"), {}, "the column 'x' occurs twice"),
    "a short line": (
        lambda p: (p / "x.csv").write_text("x,y\n1,2\n3\n"),
        {},
        "line 3 has 1 fields",
    ),
    "a quote": (lambda p: (p / "x.csv").write_text('x,y\n"1,2\n'), {}, "cannot be read"),
    "no text": (lambda p: (p / "x.csv").write_bytes(b"x\n\xff\xfe\n"), {}, "cannot be read"),
    "nothing": (lambda p: (p / "x.csv").write_bytes(b""), {}, "the file is empty"),
    "key of a table": (lambda p: table(p / "x.csv"), {"key": "a"}, "is a table"),
    "columns of an array": (lambda p: saved(p / "x.npy", VECTORS), {"columns": ("x",)}, "is an array"),
    "label of an array": (lambda p: saved(p / "x.npy", VECTORS), {"label": "x"}, "not of x.npy"),
    "no file": (lambda p: None, {}, "holds no .npy, .npz, .csv or .parquet file"),
}


@pytest.mark.parametrize(("make", "settings", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_is_refused_in_one_line(make, settings, message, tmp_path):
    make(tmp_path)
    with pytest.raises(ConfigError) as caught:
        ArrayFile(**settings).load(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_other_examples_than_those_of_the_run_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", VECTORS)
    option = ArrayFile().resolve(tmp_path)
    assert option.resolve(tmp_path) == option
    np.save(tmp_path / "x.npy", np.concatenate([VECTORS, VECTORS[:1] + 1]))
    with pytest.raises(ConfigError, match=f"not those of the run .dataset.content={option.content}, now"):
        option.load(tmp_path)


def test_a_stranger_s_scale_of_another_length_changes_nothing():
    option = dataclasses.replace(ArrayFile(), shape=(3,), mean=(1.0,), std=(2.0,))
    assert option.in_data_units(VECTORS) is VECTORS


def test_a_log_density_is_in_the_units_of_the_file():
    # With x = 10 z + 5 the density of x is a tenth of that of z: log p(x) = log p(z) - log 10.
    option = dataclasses.replace(ArrayFile(), shape=(1,), mean=(5.0,), std=(10.0,))
    assert datasets.log_volume(option) == pytest.approx(np.log(10))
    assert datasets.in_data_units(option, np.array([[0.0], [1.0]])).tolist() == [[5.0], [15.0]]
    assert datasets.from_data_units(option, np.array([[25.0]])).tolist() == [[2.0]]
    assert datasets.log_volume(datasets.synthetic.Ring()) == 0

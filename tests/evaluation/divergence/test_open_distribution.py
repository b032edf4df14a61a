"""What A and B can be: files, runs and datasets, each opened as a side."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.divergence import run_distribution
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.memorisation import memorised
from ganrun.evaluation.divergence.open_distribution import (
    glimpse,
    open_distribution,
    require_distribution,
    require_ranges,
)
from ganrun.evaluation.divergence.pairs import check_pair
from ganrun.storage.run_directory import load_config
from ganrun.training.train import train

POINTS = np.random.default_rng(0).normal(size=(200, 2))


def opened(text: object, **options) -> Distribution:
    return open_distribution(str(text), **({"key": None, "data_dir": None} | options))


@pytest.fixture
def save(tmp_path):
    def write(array: np.ndarray, name: str = "x.npy") -> Path:
        np.save(tmp_path / name, array)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def ring_run(tiny_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ring"
    config = dataclasses.replace(tiny_config, steps=40)
    assert train(config, folder) == 0
    return folder


@pytest.fixture(scope="module")
def digits_run(compose_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    words = ("dataset=digits", "architecture=dcgan", "architecture.width=4", "latent.dim=8", "batch_size=16")
    assert train(compose_config((*words, "steps=2", "log.pictures=0", "latent.prior=uniform")), folder) == 0
    return folder


# Files


@pytest.mark.parametrize(
    ("array", "shape", "kind"),
    [
        (POINTS, (2,), np.float64),
        (POINTS.astype(np.float32), (2,), np.float32),
        (POINTS.astype(np.float16), (2,), np.float32),
        (POINTS.astype(">f8"), (2,), np.float64),
        (POINTS.astype(np.longdouble), (2,), np.float64),
        (POINTS[:, 0], (1,), np.float64),
        (POINTS.reshape(100, 2, 2), (2, 2), np.float64),
        (POINTS.reshape(100, 2, 2, 1), (2, 2, 1), np.float64),
    ],
)
def test_a_file_gives_rows_of_floats_and_the_shape_of_one_example(array, shape, kind, save):
    side = opened(save(array))
    assert side.shape == shape and side.d == np.prod(shape) and side.notes == ()
    assert side.rows is not None and side.rows.dtype == kind and side.rows.shape == (len(array), side.d)
    np.testing.assert_array_equal(side.rows, array.reshape(len(array), -1).astype(kind))
    assert side.draw is side.density is side.push is side.training is None


def test_bytes_of_images_are_scaled_and_a_note_says_so(save):
    side = opened(save(np.full((100, 2, 2), 255, np.uint8)))
    assert side.rows is not None and (side.rows == 1).all() and side.rows.dtype == np.float32
    (note,) = side.notes
    assert "scaled to [-1, 1]" in note
    assert opened(save(np.zeros((100, 2, 2), np.uint8))).rows.min() == -1  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "u8"])
def test_other_whole_numbers_are_taken_as_they_are_and_a_note_says_so(kind, save):
    array = np.arange(240).reshape(120, 2).astype(kind)
    side = opened(save(array))
    np.testing.assert_array_equal(side.rows, array.astype(np.float64))
    assert "taken as they are" in side.notes[0] and np.dtype(kind).name in side.notes[0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "1 of 200 rows holds a NaN or Inf (the first is row 7,"),
        (-np.inf, "1 of 200 rows holds a NaN or Inf (the first is row 7,"),
        (1e30, "as large as 1e+30"),
    ],
)
def test_numbers_that_cannot_be_computed_with_are_told(value, reason, save):
    array = POINTS.copy()
    array[7, 1] = value
    with pytest.raises(ConfigError) as caught:
        opened(save(array))
    assert reason in str(caught.value)


def test_many_bad_rows_are_counted(save):
    array = POINTS.copy()
    array[[3, 5, 9]] = np.nan
    with pytest.raises(ConfigError, match="3 of 200 rows hold a NaN or Inf \\(the first is row 3,"):
        opened(save(array))


def test_what_overflows_double_precision_counts_as_inf(save):
    array = POINTS.astype(np.longdouble)
    array[0] = np.finfo(np.longdouble).max
    if np.isfinite(array[0].astype(np.longdouble)).all() and array.dtype.itemsize > 8:
        with pytest.raises(ConfigError, match="NaN or Inf"):
            opened(save(array))


def test_fewer_than_a_hundred_samples_are_refused(save):
    with pytest.raises(ConfigError, match="99 samples are too few; at least 100"):
        opened(save(POINTS[:99]))
    assert opened(save(POINTS[:100])).rows is not None


# The range of pixels


def images(values, kind=np.float32):
    return np.resize(np.array(values, kind), (100, 8, 8))


def test_the_range_that_is_said_brings_pixels_to_the_usual_one_and_a_note_says_so(save):
    side = opened(save(images([0.25, 1.0])), span=(0.0, 1.0))
    np.testing.assert_array_equal(side.rows, np.resize(np.array([-0.5, 1.0], np.float32), (100, 64)))
    assert side.span == (0.0, 1.0) and "pixels in [0, 1] were scaled to [-1, 1]" in side.notes[0]
    with pytest.raises(ConfigError, match=r"x\.npy: pixels go from 0.25 to 1, beyond the range \[-1, 0.5\]"):
        opened(save(images([0.25, 1.0])), span=(-1.0, 0.5))


@pytest.mark.parametrize("values", [images([0.0, 1.0]), images([0, 255], np.int32), images([0, 1], np.uint8)])
def test_pixels_of_an_open_range_are_not_compared_with_those_of_a_known_one(values, save):
    side, known = opened(save(values)), opened("digits")
    for pair, setting in (((side, known), "range"), ((known, side), "range_b")):
        with pytest.raises(ConfigError, match=rf"leaves their range open .* write '{setting}=\[0,1\]'"):
            require_ranges(*pair)
    require_ranges(side, side)  # a divergence is the same on every scale
    flat = opened(save(values.reshape(100, 64)))
    with pytest.raises(ConfigError, match="leaves their range open"):
        require_ranges(flat, known)


def test_pixels_of_a_known_range_are_compared_with_each_other(save, digits_run):
    known = opened("digits")
    for array in (images([-0.5, 1.0]), images([0, 255], np.uint8)):
        require_ranges(opened(save(array)), known)
        require_ranges(known, opened(save(array)))
    with pytest.raises(ConfigError, match="'range=\\[0,1\\]'"):
        require_ranges(opened(digits_run), opened(save(images([0.0, 1.0]))))


def test_points_have_no_range(save, ring_run):
    points = opened(save(np.abs(POINTS)))
    require_ranges(points, opened("ring"))
    require_ranges(opened(ring_run), points)


# Names


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("rin", ["'rin' is not there", ".npy or .npz", "a run directory", "latest", "Did you mean 'ring'?"]),
        ("real.np", ["'real.np' is not there", "Did you mean 'real.npy'?"]),
        ("rael.npy", ["'rael.npy' is not there", "Did you mean 'real.npy'?"]),
        ("table.csv", ["'table.csv' is no file of arrays"]),
        ("place", ["'place' is not a run directory: it has no config.yaml"]),
        ("nowhere/x.npy", ["'nowhere/x.npy' is not there"]),
        ("", ["'' is not a run directory"]),
        ("n" * 300, ["cannot be a file: File name too long", "nnn...nnn"]),
        ("~nobody-here/x.npy", ["'~nobody-here/x.npy' is not there"]),
        ("a\nb.npy", ["'a\\nb.npy'"]),
        ("latest", ["there is no run under"]),
        ("real.npy/x", ["is not there"]),
        ("pipe.npy", ["not a file"]),
    ],
)
def test_what_names_nothing_is_told_in_one_line_with_the_closest(text, hints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("real.npy", POINTS)
    Path("table.csv").write_text("1,2\n")
    Path("place").mkdir()
    os.mkfifo("pipe.npy")
    for open_it in (opened, lambda text: require_distribution(text, key=None)):
        with pytest.raises(ConfigError) as caught:
            open_it(text)
        told = str(caught.value)
        assert "\n" not in told
        for hint in hints:
            assert hint in told or (hint == "nnn...nnn" and len(told) < 400)


@pytest.mark.parametrize("name", ["with space.npy", "a=b.npy", "ünï → 図.npy", 'it\'s "it".npy', "${x}.npy", "-x.npy"])
def test_any_name_that_a_file_can_have_is_opened(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(name, POINTS)
    require_distribution(name, key=None)
    assert opened(name).label == name


def test_a_dataset_is_meant_by_its_name_whatever_lies_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ring").mkdir()
    assert opened("ring").density is not None
    with pytest.raises(ConfigError, match="not a run directory"):
        opened("./ring")


# Datasets


@pytest.mark.parametrize(("name", "d"), [("ring", 2), ("grid", 2), ("gaussian", 1), ("mixture1d", 1)])
def test_a_synthetic_dataset_draws_without_end_from_a_known_density(name, d):
    side = opened(name)
    assert side.rows is None and side.density is not None and side.draw is not None and side.d == d
    few, many = side.draw(100, 3), side.draw(9000, 3)
    assert many.shape == (9000, d) and many.dtype == np.float32
    np.testing.assert_array_equal(few, many[:100])
    assert (side.draw(100, 4) != few).any() and len(np.unique(many, axis=0)) > 8900
    assert np.isfinite(side.density.log_density(many)).all()
    np.testing.assert_allclose(many.mean(axis=0), np.asarray(side.density.weights @ side.density.means), atol=0.15)


def test_a_seed_may_be_any_whole_number():
    draw = opened("gaussian").draw
    assert draw is not None
    assert len({float(draw(1, seed)[0, 0]) for seed in (0, 1, 2**31, 2**32 - 1, np.int64(5))}) == 5


def test_an_image_dataset_is_its_held_out_split_between_minus_one_and_one():
    side = opened("digits")
    assert side.rows is not None and side.rows.shape == (360, 64) and side.rows.dtype == np.float32
    assert side.shape == (8, 8, 1) and (side.rows.min(), side.rows.max()) == (-1, 1)
    assert side.draw is None and "held-out" in side.about


def test_missing_files_of_a_dataset_are_told_and_never_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("ganrun.datasets.download.fetch", lambda *args, **options: pytest.fail("downloads"))
    with pytest.raises(ConfigError, match=r"missing in .*; dataset\.download is false"):
        opened("mnist", data_dir=str(tmp_path))
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="elsewhere"):
        opened("mnist")
    assert list(tmp_path.iterdir()) == []


# Runs


def listing(folder: Path) -> list[tuple[str, int, int]]:
    paths = sorted(folder.rglob("*"))
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]


def test_a_run_is_its_generator_without_end(ring_run):
    before = listing(ring_run)
    side = opened(ring_run)
    assert side.rows is side.density is side.training is None and side.notes == ()
    assert (side.shape, side.prior, side.latent_dim) == ((2,), "normal", 2)
    assert "step 40" in side.about and side.draw is not None and side.push is not None
    few, many = side.draw(5, 1), side.draw(5000, 1)
    assert many.shape == (5000, 2) and many.dtype == np.float32 and len(np.unique(many, axis=0)) == 5000
    np.testing.assert_array_equal(few, many[:5])
    latents = np.random.default_rng(0).normal(size=(5000, 2))
    images = side.push(latents)
    assert images.shape == (5000, 2) and images.dtype == np.float32
    np.testing.assert_allclose(side.push(latents[:3]), images[:3], rtol=1e-5, atol=1e-6)
    # What is drawn is what is pushed: both are the averaged generator.
    np.testing.assert_allclose(many.mean(axis=0), images.mean(axis=0), atol=0.1)
    assert listing(ring_run) == before


def test_the_weights_as_trained_are_others_than_their_average(ring_run):
    average, latest = opened(ring_run).draw, opened(ring_run, average=False).draw
    assert average is not None and latest is not None
    assert (average(10, 0) != latest(10, 0)).any()


def test_latest_is_the_newest_run(ring_run, tmp_path, monkeypatch):
    shutil.copytree(ring_run, tmp_path / "outputs" / "one")
    monkeypatch.chdir(tmp_path)
    side = opened("latest")
    assert side.label == "latest" and "run outputs/one, step 40, averaged" in side.about


def test_a_run_on_images_brings_what_it_was_trained_on(digits_run):
    side = opened(digits_run)
    assert (side.shape, side.d, side.prior, side.latent_dim) == ((8, 8, 1), 64, "uniform", 8)
    assert side.training is not None and side.training.shape == (1437, 64) and np.abs(side.training).max() == 1
    assert side.held_out is not None and side.held_out.shape == (360, 64)
    assert side.draw is not None and side.draw(600, 0).shape == (600, 64)
    assert memorised(side) is None  # two steps are no training


def test_a_run_whose_images_are_gone_is_opened_with_a_note(digits_run, tmp_path):
    shutil.copytree(digits_run, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("name: digits", "name: mnist\n  download: true"))
    # The checkpoint is of 8x8 images, so it does not fit; only what is told of the data is looked at.
    training, held_out, notes = run_distribution._images("run", load_config(tmp_path / "run"), str(tmp_path / "none"))
    assert training is held_out is None
    assert len(notes) == 1 and "memorised samples were not looked for" in notes[0] and "\n" not in notes[0]


def test_a_run_without_checkpoint_or_with_a_damaged_one_is_told(ring_run, tmp_path):
    shutil.copytree(ring_run, tmp_path / "run")
    (step,) = (tmp_path / "run" / "checkpoints").iterdir()
    shutil.rmtree(step)
    with pytest.raises(ConfigError, match="no complete checkpoint"):
        opened(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").rmdir()
    with pytest.raises(ConfigError, match="has no checkpoint yet"):
        opened(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text("seed: [")
    for open_it in (opened, lambda path: require_distribution(str(path), key=None)):
        with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
            open_it(tmp_path / "run")


def test_a_checkpoint_of_another_architecture_is_told(ring_run, tmp_path):
    shutil.copytree(ring_run, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("- 8", "- 9"))
    with pytest.raises(ConfigError, match="cannot be read"):
        opened(tmp_path / "run")


def test_a_glimpse_of_an_endless_side_gives_it_rows_and_finds_nan(ring_run):
    side = opened(ring_run)
    assert glimpse(side, 0).rows.shape == (1000, 2)  # type: ignore[union-attr]
    broken = dataclasses.replace(side, draw=lambda n, seed: np.full((n, 2), np.nan, np.float32))
    with pytest.raises(ConfigError, match="1000 of 1000 rows hold a NaN"):
        glimpse(broken, 0)
    assert check_pair(glimpse(side, 0), glimpse(opened("ring"), 1)) == ()

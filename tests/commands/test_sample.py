"""``ganrun sample``: what it draws, and into which files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def points(inside, tiny, tmp_path_factory) -> Path:
    """A folder with a trained run on the ring."""
    cwd = tmp_path_factory.mktemp("points")
    done = inside("train", *tiny, "steps=40", "log.every=20", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture(scope="module")
def digits(inside, tiny_dcgan, tmp_path_factory) -> Path:
    """A folder with a trained run on the digits."""
    cwd = tmp_path_factory.mktemp("digits")
    done = inside("train", *tiny_dcgan, "steps=5", "log.every=5", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture(scope="module")
def draw(inside) -> Callable[..., Path]:
    """Run ``ganrun sample out=NAME WORDS`` in the folder ``cwd``; return the file."""

    def run(cwd: Path, name: str, *words: str) -> Path:
        done = inside("sample", f"out={name}", *words, cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert name in done.stdout and done.stderr == ""
        return cwd / name

    return run


def test_npy_holds_as_many_points_as_asked_in_single_precision(points, draw):
    samples = np.load(draw(points, "a.npy", "n=7"), allow_pickle=False)
    assert samples.shape == (7, 2) and samples.dtype == np.float32
    assert np.isfinite(samples).all() and len(np.unique(samples, axis=0)) == 7


def test_npz_holds_the_same_numbers_under_the_name_samples(points, draw):
    with np.load(draw(points, "b.npz", "n=9"), allow_pickle=False) as file:
        assert file.files == ["samples"]
        samples = file["samples"]
    assert samples.shape == (9, 2) and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.load(draw(points, "b.npy", "n=9")))


def test_the_same_seed_gives_the_same_bits_and_another_others(points, draw):
    first = draw(points, "c.npy", "seed=1").read_bytes()
    assert draw(points, "d.npy", "seed=1", "run=latest").read_bytes() == first
    assert draw(points, "d.npy", "seed=2").read_bytes() != first


def test_a_real_process_draws_the_same_bits(points, draw, ganrun, tmp_path):
    run = next(points.glob("outputs/*/*"))
    done = ganrun("sample", f"run={run}", "out=e.npy", "n=11", "seed=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["e.npy"]
    assert (tmp_path / "e.npy").read_bytes() == draw(points, "e.npy", "n=11", "seed=5").read_bytes()


def test_the_average_is_drawn_from_unless_told_otherwise(points, draw):
    average = np.load(draw(points, "f.npy"))
    np.testing.assert_array_equal(average, np.load(draw(points, "f.npy", "average=true")))
    latest = np.load(draw(points, "g.npy", "average=false"))
    assert latest.shape == average.shape == (64, 2)
    assert (latest != average).any()


def test_png_of_points_is_a_picture(points, draw):
    with Image.open(draw(points, "h.png", "n=100")) as picture:
        picture.load()
        assert picture.format == "PNG" and min(picture.size) >= 300


def test_the_default_is_a_picture_in_this_folder(points, inside):
    done = inside("sample", cwd=points)
    assert done.returncode == 0, done.stderr
    assert (points / "samples.png").read_bytes()[:4] == b"\x89PNG"


def test_images_are_arrays_of_height_width_channel_in_their_range(digits, draw):
    images = np.load(draw(digits, "a.npy", "n=6"), allow_pickle=False)
    assert images.shape == (6, 8, 8, 1) and images.dtype == np.float32
    assert np.abs(images).max() <= 1 and images.std() > 0


def test_png_of_images_is_a_square_grid(digits, draw):
    with Image.open(draw(digits, "b.png", "n=9")) as picture:
        picture.load()
        assert picture.format == "PNG" and picture.mode == "L"
        assert picture.width == picture.height and picture.width % (3 * (8 + 2) + 2) == 0


def test_the_newest_run_is_meant_by_latest(points, inside, tiny, draw, tmp_path):
    for steps in (20, 40):
        done = inside("train", *tiny, f"steps={steps}", "log.every=20", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = inside("sample", "out=x.npy", cwd=tmp_path)
    assert done.returncode == 0 and "step 40" in done.stdout


def test_a_run_without_checkpoint_is_told_and_stays_as_it_was(points, inside, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = next(points.glob("outputs/*/*/config.yaml"))
    (run / "config.yaml").write_bytes(config.read_bytes())
    done = inside("sample", "run=run", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "checkpoint" in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "config.yaml"]


def test_an_older_file_stays_when_drawing_fails(points, inside, tmp_path):
    (tmp_path / "x.npy").write_text("kept")
    done = inside("sample", "run=nowhere", "out=x.npy", cwd=tmp_path)
    assert done.returncode == 2 and (tmp_path / "x.npy").read_text() == "kept"


def test_a_file_in_place_of_the_folder_is_told_without_a_traceback(points, inside):
    (points / "there.png").mkdir(exist_ok=True)
    done = inside("sample", "out=there.png", cwd=points)
    assert done.returncode in (1, 2)
    assert "there.png" in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2
    assert not [path for path in points.iterdir() if path.name.startswith(".ganrun-")]


def test_sample_sweeps_too(points, inside, tmp_path):
    run = next(points.glob("outputs/*/*"))
    done = inside("sample", "-m", f"run={run}", "seed=1,2", f"out={tmp_path}/${{seed}}.npy", "n=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = np.load(tmp_path / "1.npy"), np.load(tmp_path / "2.npy")
    assert one.shape == two.shape == (3, 2) and (one != two).any()


def test_more_samples_begin_with_the_fewer_also_beyond_what_is_drawn_at_once(points, draw):
    few = np.load(draw(points, "few.npy", "n=5", "seed=3"))
    many = np.load(draw(points, "many.npy", "n=1100", "seed=3"))
    assert many.shape == (1100, 2) and len(np.unique(many, axis=0)) == 1100
    np.testing.assert_array_equal(many[:5], few)


def test_flags_may_stand_between_the_settings(points, inside):
    done = inside("sample", "n=3", "--cfg", "job", "seed=5", cwd=points)
    assert done.returncode == 0, done.stderr
    assert "seed: 5" in done.stdout

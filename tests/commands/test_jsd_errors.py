"""``ganrun jsd``: errors in the distributions or the settings are one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

WRONG = {
    "no distributions": ([], ["A and B are missing", "usage: ganrun jsd A B"]),
    "one side": (["real.npy"], ["one of them is missing", "usage: ganrun jsd A B"]),
    "three distributions": (["real.npy", "fake.npy", "ring"], ["there are 3", "usage: ganrun jsd A B"]),
    "three distributions, one by key": (["a=real.npy", "fake.npy", "ring"], ["there are 3"]),
    "a file that is not there": (["reel.npy", "ring"], ["'reel.npy' is not there", "Did you mean 'real.npy'?"]),
    "a dataset that does not exist": (["real.npy", "rinng"], ["Did you mean 'ring'?", "run directory"]),
    "a folder that is no run": (["sub", "ring"], ["'sub' is not a run directory"]),
    "no run yet": (["latest", "ring"], ["there is no run under"]),
    "a dataset without files": (["mnist", "real.npy", "data_dir=sub"], ["missing in", "dataset.download is false"]),
    "several arrays": (["two.npz", "ring"], ["key=NAME", "train (300 x 2), test (200 x 2)"]),
    "a wrong key": (["two.npz", "ring", "key=tset"], ["array 'tset'", "Did you mean 'test'?"]),
    "a key without archive": (["real.npy", "ring", "key=x"], ["key=x", "neither A nor B"]),
    "a key of B without archive": (["one.npz", "ring", "key_b=x"], ["key_b=x", "B is none"]),
    "other dimensions": (["real.npy", "line.npy"], ["A (real.npy)", "(2,)", "B (line.npy)", "(1,)"]),
    "too few samples": (["few.npy", "ring"], ["few.npy: 99 samples are too few"]),
    "nan": (["nan.npy", "ring"], ["nan.npy: 2 of 200 rows hold a NaN or Inf (the first is row 3"]),
    "inf": (["inf.npy", "ring"], ["inf.npy: 1 of 200 rows holds a NaN or Inf (the first is row 5"]),
    "one point against itself": (["point.npy", "point.npy"], ["the same single point"]),
    "objects": (["objects.npy", "ring"], ["objects.npy: holds Python objects"]),
    "a truncated file": (["cut.npy", "ring"], ["cut.npy: truncated"]),
    "an archive by the wrong name": (["zip.npy", "ring"], ["name it .npz"]),
    "a table": (["table.csv", "ring"], ["'table.csv' is no file of arrays"]),
    "a method that does not exist": (["real.npy", "ring", "estimator=exakt"], ["estimator", "Did you mean 'exact'?"]),
    "streaming of a file": (["real.npy", "ring", "estimator=streaming"], ["A (real.npy) is a finite set: use stack"]),
    "streaming of files": (["real.npy", "fake.npy", "estimator=streaming"], ["B (fake.npy) are finite sets"]),
    "exact without density": (["real.npy", "fake.npy", "estimator=exact"], ["neither has a known density"]),
    "exact with a file": (["ring", "fake.npy", "estimator=exact"], ["B is a finite set"]),
    "more samples than there are": (["real.npy", "ring", "n=501"], ["n=501", "500 samples of A (real.npy)"]),
    "too few asked for": (["real.npy", "ring", "n=10"], ["n must be at least 100"]),
    "too few to be exact": (["ring", "ring", "estimator=exact", "n=500"], ["n=500 is too few", "1000 at least"]),
    "no budget": (["real.npy", "ring", "budget=0"], ["budget must be at most 1000 and greater than 0"]),
    "a seed below zero": (["real.npy", "ring", "seed=-1"], ["seed must be at least 0"]),
    "a format that does not exist": (["real.npy", "ring", "format=jason"], ["Did you mean 'json'?"]),
    "a word for a flag": (["real.npy", "ring", "floor=maybe"], ["floor must be true or false"]),
    "a misspelt key": (["real.npy", "ring", "estimatr=knn"], ["'estimatr' is not a setting", "estimator"]),
    "an unknown flag": (["real.npy", "ring", "--fast"], ["--fast", "--help"]),
    "a bad value within a sweep": (["-m", "real.npy", "ring", "n=200,10"], ["n must be at least 100"]),
    "a bad side within a sweep": (["-m", "real.npy", "b=ring,rinng"], ["Did you mean 'ring'?"]),
    "a name that is too long": (["n" * 300, "ring"], ["cannot be a file"]),
}


@pytest.fixture
def bad_folder(folder) -> Path:
    rows = np.random.default_rng(0).normal(size=(200, 2))
    (folder / "sub").mkdir()
    np.save(folder / "few.npy", rows[:99])
    for name, where, value in (("nan", [3, 7], np.nan), ("inf", [5], np.inf)):
        broken = rows.copy()
        broken[where, 0] = value
        np.save(folder / f"{name}.npy", broken)
    np.save(folder / "point.npy", np.ones((200, 2)))
    np.save(folder / "objects.npy", np.array([None] * 200), allow_pickle=True)
    (folder / "cut.npy").write_bytes((folder / "real.npy").read_bytes()[:-9])
    (folder / "zip.npy").write_bytes((folder / "one.npz").read_bytes())
    (folder / "table.csv").write_text("1,2\n")
    return folder


@pytest.mark.parametrize(("words", "hints"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_is_reported_in_a_line_and_leaves_nothing(words, hints, bad_folder, inside, listing):
    before = listing(bad_folder)
    done = inside("jsd", "format=json", *words, cwd=bad_folder)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("ganrun: ") and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (2 if "missing in" in hints else 1), done.stderr
    for hint in hints:
        assert hint in done.stderr
    assert listing(bad_folder) == before


def test_a_real_process_reports_the_error_in_one_line(bad_folder, ganrun, listing):
    before = listing(bad_folder)
    done = ganrun("jsd", "nan.npy", "ring", cwd=bad_folder)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "NaN or Inf" in done.stderr
    assert listing(bad_folder) == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("ring", "grid", "range=[0,1]"),
            "range is that of the pixels in an .npy or .npz file, but neither A nor B is one.",
        ),
        (
            ("half.npy", "digits", "range_b=[0,1]"),
            "range_b is that of the pixels in an .npy or .npz file, but B is none.",
        ),
        (
            ("half.npy", "digits", "range=[1]"),
            "range must be the lowest and the highest a pixel can be, as in [0,1], not [1].",
        ),
        (
            ("half.npy", "digits"),
            "half.npy: pixels go from 0.25 to 0.5, which leaves their range open (bytes count as [0, 255], floats as "
            "[-1, 1] where some are negative): write 'range=[0,1]', 'range=[0,255]' or 'range=[-1,1]'.",
        ),
    ],
)
def test_the_range_of_pixels_is_printed_where_it_is_ambiguous_and_for_files_only(words, line, inside, tmp_path):
    np.save(tmp_path / "half.npy", np.resize(np.array([0.25, 0.5]), (100, 8, 8)))
    done = inside("jsd", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"ganrun: {line}\n")

"""``ganrun eval`` on runs and on files: every number with its size, floor and interval, and errors in one line."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from ganrun.evaluation.features import training

QUICK = ("budget=0.05",)


@pytest.fixture(scope="module")
def runs(inside, tmp_path_factory, tiny, tiny_dcgan):
    """A folder with runs on the ring and, class-conditionally, on digits."""
    folder = tmp_path_factory.mktemp("runs")
    for name, words in (("ring", tiny), ("digits", (*tiny_dcgan, "conditional=true")), ("vae", VAE)):
        done = inside("train", *words, "steps=4", "log.every=2", f"hydra.run.dir={name}", cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


VAE = ("method=vae", "dataset=ring", "log.pictures=1", "probe=off", "batch_size=16")


def measured(done) -> dict:
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["evaluations"]
    return one


def test_a_run_on_points_is_measured_by_everything_that_applies(inside, runs, lean) -> None:
    one = measured(inside("eval", "run=ring", "n=1000", "format=json", *QUICK, cwd=runs))
    expected = {"precision", "recall", "density", "coverage", "frechet", "kernel", "mind", "vendi", "parzen"}
    expected |= {"jsd/probe", "jsd/exact", "kl/forward", "modes/covered", "modes/high_quality", "modes/kl"}
    assert expected <= one["metrics"].keys()
    assert set(one["left_out"]) == {"memorisation", "log_density", "cas"}
    assert (one["n"], one["reference_n"], one["features"]["name"]) == (1000, 1000, "raw")
    found = one["metrics"]["precision"]
    assert found["low"] <= found["value"] <= found["high"] and found["flags"] == ["0 inside < 10: unstable interval"]
    assert found["floor"] == pytest.approx(0.98, abs=0.03) and found["better"] == "higher"
    assert one["metrics"]["modes/covered"]["floor"] == 8
    assert one["metrics"]["jsd/exact"]["unit"] == "nats"
    probe = one["metrics"]["jsd/probe"]  # drawn without end, so that the floor has as many examples
    assert probe["floor_n"] == probe["n"] > 1000 and probe["flags"] == [] and abs(probe["floor"]) < 0.05


def test_a_method_with_a_density_has_its_bounds(inside, runs) -> None:
    one = measured(inside("eval", "run=vae", "n=200", "metrics=[log_density]", "format=json", cwd=runs))
    assert set(one["metrics"]) == {"elbo", "iwae"}
    found = one["metrics"]["elbo"]
    assert found["value"] <= one["metrics"]["iwae"]["value"] + 1e-6 and found["low"] < found["value"] < found["high"]
    words = ("eval", "run=vae", "n=200", "format=json")
    alone = measured(inside(*words, "metrics=[iwae,log_likelihood]", cwd=runs))
    assert alone["metrics"] == {"iwae": one["metrics"]["iwae"]}
    assert alone["left_out"] == {"log_likelihood": "log_density has only elbo, iwae here"}


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("cas", "cas: the model is not class-conditional"),
        ("log_likelihood", "log_likelihood: log_density has only elbo, iwae here"),
        ("fid", "fid: with these features it is 'frechet'"),
    ],
)
def test_nothing_that_can_be_measured_is_an_error_in_one_line(metric, reason, inside, runs) -> None:
    done = inside("eval", "run=vae", "n=200", f"metrics=[{metric}]", "out=nothing.txt", cwd=runs)
    last = done.stderr.splitlines()[-1]  # after those of the progress
    assert done.returncode == 2 and last.startswith("ganrun: nothing that was asked for can be measured: ")
    assert reason in last and done.stdout == "" and not (runs / "nothing.txt").exists()


def test_a_conditional_run_on_images_is_measured_against_held_out_data(inside, runs, lean, monkeypatch) -> None:
    monkeypatch.setattr(training, "FEWEST", 300)
    monkeypatch.setattr(training, "MOST", 300)
    one = measured(inside("eval", "digits", "n=500", "format=json", "features=raw", *QUICK, cwd=runs))
    assert {"authenticity", "data_copying", "copy_test", "cas", "parzen", "jsd/probe"} <= one["metrics"].keys()
    assert one["n"] == 360 and one["warnings"] == ["n = 360 and not 500: the held-out split has no more examples."]
    metrics = one["metrics"]
    assert metrics["cas"]["floor"] > 0.85 > metrics["cas"]["value"]
    assert metrics["precision"]["flags"] == ["n < 1000", "0 inside < 10: unstable interval"]
    # Real examples are better than samples of an untrained generator, and no copies of the training set.
    assert metrics["mind"]["value"] > 5 * metrics["mind"]["floor"]
    assert 30 < metrics["authenticity"]["floor"] < 80
    assert metrics["parzen"]["reference_n"] == 324 and "of the paper" in metrics["parzen"]["flags"][0]


def test_the_table_says_what_each_number_is(inside, runs) -> None:
    done = inside("eval", "ring", "n=300", "metrics=[manifold,modes]", cwd=runs)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("samples    ring, step 4, averaged generator")
    assert lines[3].split() == ["metric", "value", "95%", "interval", "n", "floor", "better", "flag"]
    (row,) = [line for line in lines if line.startswith("precision ")]
    assert " ! " in row and "300 : 300" in row and row.endswith("n < 1000; 0 inside < 10: unstable interval")
    assert "features   raw, 2 numbers, no weights" in lines
    assert any(line.startswith("settings   seed 0, k 5, n 300 samples") for line in lines)
    assert "ganrun: ring: manifold" in done.stderr.replace(str(runs) + "/", "")


def test_the_same_command_gives_the_same_numbers_and_another_seed_others(inside, runs) -> None:
    texts = [
        inside("eval", "ring", "n=200", "metrics=[manifold,mind]", *more, "format=csv", cwd=runs).stdout
        for more in ((), (), ("seed=1",))
    ]
    assert texts[0] == texts[1] != texts[2]
    rows = list(csv.DictReader(io.StringIO(texts[0])))
    assert [row["metric"] for row in rows] == ["precision", "recall", "density", "coverage", "mind"]
    assert float(rows[4]["low"]) <= float(rows[4]["value"]) <= float(rows[4]["high"])


def test_what_a_csv_has_no_line_for_is_told_on_standard_error(inside, runs) -> None:
    words = ("eval", "ring", "n=200", "metrics=[density,cfid,cas]", "floor=false")
    left_out = next(iter(measured(inside(*words, "format=json", cwd=runs))["left_out"].items()))
    done = inside(*words, "format=csv", cwd=runs)
    (line,) = (line for line in done.stderr.splitlines() if "not in the table" in line)
    assert line.startswith("ganrun: not in the table: ") and f"{left_out[0]}: {left_out[1]}" in line and "cas: " in line
    assert [row["metric"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["density"]
    assert "not in the table" not in inside(*words[:3], "metrics=[density]", "format=csv", cwd=runs).stderr


def test_several_runs_are_measured_and_written_to_a_file(inside, runs, tmp_path) -> None:
    out = tmp_path / "eval.json"
    words = ("metrics=[vendi]", "n=100", "format=json", f"out={out}")
    for given in (("run=[ring,vae]",), ("ring", "vae")):
        done = inside("eval", *given, *words, cwd=runs)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        content = json.loads(out.read_text())
        assert [one["samples"].split(",")[0] for one in content["evaluations"]] == ["ring", "vae"]


def test_two_files_are_compared_and_copies_of_the_training_set_are_found(inside, tmp_path) -> None:
    rng = np.random.default_rng(0)
    real, train = rng.normal(size=(600, 4)), rng.normal(size=(600, 4))
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "train.npy", train)
    np.savez(tmp_path / "fake.npz", samples=train[:300])
    words = ("fake.npz", "real.npy", "training=train.npy", "metrics=[manifold,memorisation]", "format=json")
    one = measured(inside("eval", *words, cwd=tmp_path))
    assert one["n"] == 300 and one["metrics"]["precision"]["floor"] > 0.9
    assert one["metrics"]["authenticity"]["value"] == 0.0 and one["metrics"]["copy_test"]["value"] < 1e-6
    # Without the training set, memorisation is unknown, and the floor is that of the reference itself.
    one = measured(
        inside("eval", "fake.npz", "real.npy", "metrics=[manifold,memorisation]", "format=json", cwd=tmp_path)
    )
    assert set(one["left_out"]) == {"memorisation"} and one["metrics"]["precision"]["floor_n"] == 300
    few = measured(inside("eval", "real.npy", "train.npy", "metrics=[mind]", "format=json", cwd=tmp_path))
    assert few["metrics"]["mind"]["floor_n"] == 300 and "floor at another n" in few["metrics"]["mind"]["flags"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run=nowhere",), "there is no run directory nowhere"),
        (("ring", "metrics=[precission]"), "'precission'. Did you mean 'precision'? There are manifold, frechet, "),
        (("ring", "features=clasifier"), "Did you mean 'classifier'?"),
        (("ring", "split=test"), "held_out"),
        (("ring", "k=0"), "k must be"),
        (("ring", "n=1"), "n must be"),
        (("ring", "checkpoint=last"), "checkpoint must be latest, best or a step"),
        (("ring", "checkpoint=3"), "no checkpoint of step 3"),
        (("ring", "training=x.npy"), "training belongs to files of samples"),
        (("a.npy",), "'a.npy' is no run directory"),
        (("ring", "vae", "wrong"), "'wrong' is no run directory"),
        (("samples=a.npy",), "samples and reference belong together"),
        (("run=ring", "digits.npy"), "as words or as settings, not as both"),
        (("a.npy", "b.npy"), "is not there"),
        (("ring", "out=nowhere/x.json"), "there is no folder"),
        (("ring", "-m"), "leave out -m"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, message, inside, runs) -> None:
    done = inside("eval", *words, cwd=runs)
    assert done.returncode == 2 and done.stdout == ""
    told = [line for line in done.stderr.splitlines() if "opening" not in line]
    assert message in told[-1] and len(told) <= 2

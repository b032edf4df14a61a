"""``ganrun train`` with losses whose discriminator is a critic: what is reported, and that D(x) is calibrated first."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganrun.methods.gan.option import GanOption
from ganrun.plots import pictures
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.run_directory import load_config
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import build
from ganrun.writers.tensorboard import _patterns

STEPS = 40
LOGGED = (f"steps={STEPS}", "log.every=10", "log.pictures=2", "checkpoint.steps=20")  # after tiny: the last word counts
LOSSES = ("relativistic", "hinge")
EXACT = {"data_missed", "jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse"}
PICTURED = {"modes/covered", "modes/high_quality", "modes/kl", "samples/diversity"}
PICTURED |= {"modes/high_quality_data", "modes/kl_data"}
PICTURED |= {"D(x)/calibrated", "D(G(z))/calibrated"} | EXACT
ALWAYS = {
    "critic/real",
    "critic/fake",
    "loss/discriminator",
    "loss/generator",
    "grad_norm/discriminator",
    "grad_norm/generator",
    "schedule/k",
}
OWN = {"relativistic": {"value/pair"}, "hinge": set()}


@pytest.fixture(scope="module", params=LOSSES)
def loss(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What each run printed."""
    return {}


@pytest.fixture(scope="module")
def run(loss, told, inside, tiny, only_run, tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp(loss)
    done = inside("train", *tiny, *LOGGED, f"loss={loss}", cwd=cwd)
    assert done.returncode == 0, done.stderr
    told[loss] = done.stdout
    return only_run(cwd)


def test_metrics_has_exactly_the_tags_of_the_loss(loss, run, rows):
    table = rows(run)
    assert [row["step"] for row in table] == [0, 10, 20, 30, 40]
    for row in table:
        reported = ALWAYS | OWN[loss] if row["step"] else set()
        pictured = PICTURED if row["step"] in (0, 20, 40) else set()
        assert set(row) == {"step"} | reported | pictured
        assert all(np.isfinite(value) for tag, value in row.items() if tag != "kl/forward")


def test_the_calibrated_readings_are_probabilities(run, rows):
    for row in rows(run):
        if "D(x)/calibrated" in row:
            assert 0 < row["D(x)/calibrated"] < 1 and 0 < row["D(G(z))/calibrated"] < 1
            assert row["D(x)/calibrated"] + row["D(G(z))/calibrated"] == pytest.approx(1.0, abs=0.15)


def test_the_pair_value_is_what_the_relativistic_discriminator_loses(loss, run, rows):
    for row in rows(run)[1:]:
        if loss == "relativistic":  # both are means over the same pairs: log 2 - E softplus(-(C(x) - C(G(z))))
            assert row["value/pair"] == pytest.approx(np.log(2) - row["loss/discriminator"], abs=1e-5)


def test_a_run_that_lost_its_end_comes_to_the_same_bits(run, rows, inside, tmp_path):
    again = shutil.copytree(run, tmp_path / "again")
    shutil.rmtree(again / "checkpoints" / str(STEPS))
    (again / "summary.json").unlink()
    done = inside("train", f"resume={again}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "continues at step 20" in done.stdout
    states = [arrays(path) for path in (again, run)]
    assert states[0].keys() == states[1].keys() and len(states[0]) > 20
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), f"{name} differs"
    assert rows(again) == rows(run)


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint of ``run``, by name."""
    checkpoints = Checkpoints(run / "checkpoints")
    state, _ = checkpoints.restore(build(load_config(run)).abstract())
    checkpoints.close()
    return flatten(state)


def test_the_chart_of_d_draws_the_calibrated_readings(run, rows):
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    drawn = {tag for tag in tags for pattern in _patterns(GanOption.CHARTS[0]) if re.match(pattern, tag)}
    assert drawn == {"chart/D_on_data_calibrated", "chart/D_on_samples_calibrated", "chart/one_half"}
    wanted = [(row["step"], row["D(x)/calibrated"]) for row in rows(run) if "D(x)/calibrated" in row]
    seen = [(entry.step, entry.value) for entry in events.Scalars("chart/D_on_data_calibrated")]
    assert seen == [(step, pytest.approx(value, rel=1e-6)) for step, value in wanted]


def test_the_plain_lines_show_the_critic_and_never_an_uncalibrated_d(loss, run, told):
    lines = [line for line in told[loss].splitlines() if line.startswith("step ")]
    assert len(lines) >= 4
    assert all("critic/real " in line and "critic/fake " in line for line in lines)
    assert all(("value/pair " in line) == (loss == "relativistic") for line in lines)
    assert "D(x) " not in told[loss] and "D(G(z)) " not in told[loss]
    shown = [line for line in lines if "D(x)/calibrated 0." in line and "D(G(z))/calibrated 0." in line]
    assert [line.split("/")[0] for line in shown] == ["step 20", "step 40"]


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[np.ndarray, str]]:
    """The fields of logits and their labels that pictures were drawn from."""
    seen: list[tuple[np.ndarray, str]] = []
    draw = pictures.draw

    def watched(samples, density, field, title="", ladder=pictures.NO_LADDER, label="D(x)"):
        seen.append((field, label))
        return draw(samples, density, field, title, ladder, label)

    monkeypatch.setattr(pictures, "draw", watched)
    return seen


@pytest.mark.parametrize("dataset", ["ring", "gaussian"])
def test_pictures_of_a_critic_show_the_calibrated_field_and_say_so(dataset, drawn, inside, tiny, tmp_path):
    words = ("steps=10", "log.every=10", f"dataset={dataset}")
    for loss in ("hinge", "nonsaturating"):
        assert inside("train", *tiny, *words, f"loss={loss}", cwd=tmp_path).returncode == 0
    assert [label for _, label in drawn] == ["D(x), calibrated"] * 2 + ["D(x)"] * 2
    assert all(field.size > 0 and np.isfinite(field).all() for field, _ in drawn)


def test_critics_can_be_trained_on_images_which_have_no_field(inside, tiny_dcgan, rows, only_run, tmp_path):
    words = ("steps=10", "log.every=10", "loss=relativistic")
    done = inside("train", *tiny_dcgan, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(rows(only_run(tmp_path))[-1]) >= ALWAYS | {"value/pair", "D(x)/calibrated", "D(G(z))/calibrated"}


@pytest.mark.parametrize(("loss", "rate"), [("minimax", 10), ("hinge", 1)])
def test_a_picture_of_what_is_lost_stops_the_run_like_any_nan(loss, rate, inside, only_run, tmp_path):
    # The snapshot after an update is the first to see what the update lost, a step before its report.
    reckless = [f"optimizer.{player}.learning_rate={rate}" for player in ("generator", "discriminator")]
    deep = [f"architecture.{player}_hidden=[8,8,8]" for player in ("generator", "discriminator")]
    logged = ("steps=60", "log.every=1", "log.pictures=60", "batch_size=16")
    done = inside("train", *deep, *logged, "optimizer=sgd", *reckless, f"loss={loss}", cwd=tmp_path)
    assert done.returncode == 1
    assert re.match(r"ganrun: step \d+: \S+ is NaN or Inf, so the run stops; no checkpoint", done.stderr)
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["status"] == "failed"

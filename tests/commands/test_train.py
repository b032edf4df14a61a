"""``ganrun train``: one real run and what it leaves, and many runs inside this process."""

from __future__ import annotations

import datetime
import json
import os
import pty
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEPS, EVERY = 120, 20
SETTINGS = (f"steps={STEPS}", f"log.every={EVERY}", "log.pictures=2")  # after tiny: the last word counts
ALWAYS = (
    "D(x)",
    "D(G(z))",
    "value",
    "jsd/online",
    "loss/discriminator",
    "loss/generator",
    "grad_norm/discriminator",
    "grad_norm/generator",
    "schedule/k",
    "steps_per_second",
)
PICTURED = (
    "evaluate/seconds",
    "modes/covered",
    "samples/diversity",
    "modes/high_quality",
    "modes/kl",
    "modes/high_quality_data",
    "modes/kl_data",
    "data_missed",
    "jsd/exact",
    "jsd/exact_error",
    "kl/forward",
    "kl/reverse",
)
REFERENCES = {"chart/one_half": 0.5, "chart/log_2": 0.6931472}
PLAINER = {"chart/D_on_data": "D(x)", "chart/D_on_samples": "D(G(z))"}  # for the page that cannot draw a parenthesis


class Trained:
    """A finished run: the folder that it was started in, what it printed, and its run directory."""

    def __init__(self, cwd: Path, done: subprocess.CompletedProcess[str], run: Path) -> None:
        self.cwd, self.done, self.run = cwd, done, run


@pytest.fixture(scope="module")
def trained(ganrun, tiny, only_run, tmp_path_factory) -> Trained:
    cwd = tmp_path_factory.mktemp("trained")
    done = ganrun("train", *tiny, *SETTINGS, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return Trained(cwd, done, only_run(cwd))


@pytest.fixture(scope="module")
def events(trained) -> EventAccumulator:
    found = EventAccumulator(str(trained.run), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    return found.Reload()


def test_the_run_directory_is_named_by_date_and_time_and_holds_what_scripts_rely_on(trained):
    date, time = trained.run.relative_to(trained.cwd / "outputs").parts
    assert abs((datetime.date.fromisoformat(date) - datetime.date.today()).days) <= 1
    assert re.match(r"\d\d-\d\d-\d\d", time)
    names = sorted(path.name for path in trained.run.iterdir())
    assert [name for name in names if not name.startswith("events.out.tfevents.")] == [
        "checkpoints",
        "config.yaml",
        "metrics.jsonl",
        "samples",
        "summary.json",
        "train.log",
    ]
    events = [name for name in names if name.startswith("events.out.tfevents.")]
    assert [name.endswith(".about") for name in events] in ([True, False], [False, True])
    assert [path.name for path in trained.cwd.iterdir()] == ["outputs"]


def test_a_good_run_says_nothing_on_stderr(trained):
    assert trained.done.stderr == ""


def test_the_config_is_plain_yaml_that_says_everything(trained):
    config = yaml.safe_load((trained.run / "config.yaml").read_text())
    assert (config["steps"], config["seed"], config["batch_size"]) == (STEPS, 0, 16)
    assert config["architecture"]["generator_hidden"] == [8] and config["dataset"]["name"] == "ring"
    assert config["optimizer"]["generator"]["learning_rate"] == pytest.approx(1e-3)
    assert "$" not in (trained.run / "config.yaml").read_text()  # nothing is left to be resolved


def test_the_summary_has_its_keys_and_types(trained):
    summary = json.loads((trained.run / "summary.json").read_text())
    assert {"status", "steps", "seconds", "metrics", "device", "versions"} <= set(summary)
    assert (summary["status"], summary["steps"]) == ("completed", STEPS)
    assert isinstance(summary["seconds"], float) and 0 < summary["seconds"] < 120
    assert isinstance(summary["device"], str) and summary["device"]
    assert {"ganrun", "jax", "python"} <= set(summary["versions"])
    assert all(isinstance(version, str) for version in summary["versions"].values())
    last = json.loads((trained.run / "metrics.jsonl").read_text().splitlines()[-1])
    assert summary["metrics"] == {tag: value for tag, value in last.items() if tag != "step"}


def test_metrics_has_one_object_a_line_with_the_exact_tags_at_increasing_steps(trained):
    rows = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if set(row) - {"step", *PICTURED}]  # before the first step there is a picture only
    assert [row["step"] for row in rows] == list(range(EVERY, STEPS + 1, EVERY))
    for row in rows:
        pictured = PICTURED if row["step"] in (60, 120) else ()
        assert set(row) == {"step", *ALWAYS, *pictured}
        assert all(np.isfinite(value) for tag, value in row.items() if tag != "kl/forward")


def test_the_numbers_obey_the_definitions(trained, rows):
    for row in [row for row in rows(trained.run) if "value" in row]:
        assert 0 < row["D(x)"] < 1 and 0 < row["D(G(z))"] < 1
        assert row["jsd/online"] == pytest.approx((row["value"] + np.log(4)) / 2, abs=1e-6)
        assert row["loss/discriminator"] == pytest.approx(-row["value"], rel=1e-6)  # no smoothing, no penalty
        assert row["schedule/k"] == 1


def test_steps_per_second_is_positive(trained):
    rows = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    assert all(row["steps_per_second"] > 0 for row in rows if "steps_per_second" in row)


def test_events_hold_the_same_scalars_as_metrics_to_single_precision(trained, events):
    rows = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    tags = {tag for row in rows for tag in row} - {"step"}
    assert set(events.Tags()["scalars"]) == tags | set(REFERENCES) | set(PLAINER)
    for tag in tags:
        values = [(row["step"], row[tag]) for row in rows if tag in row]  # null: infinite
        wanted = [(step, np.inf if value is None else float(np.float32(value))) for step, value in values]
        assert [(seen.step, seen.value) for seen in events.Scalars(tag)] == wanted, tag


def test_events_hold_what_the_charts_draw_under_plainer_names(events):
    for plainer, tag in PLAINER.items():
        drawn, kept = events.Scalars(plainer), events.Scalars(tag)
        assert [(seen.step, seen.value) for seen in drawn] == [(seen.step, seen.value) for seen in kept]


def test_events_hold_the_lines_that_the_charts_are_read_against(events):
    for tag, value in REFERENCES.items():
        seen = events.Scalars(tag)
        assert seen[-1].step == STEPS and all(entry.value == pytest.approx(value) for entry in seen)


def test_events_hold_the_pictures_that_lie_in_samples(trained, events):
    assert events.Tags()["images"] == ["samples"]
    seen = {f"{image.step:08d}.png": image.encoded_image_string for image in events.Images("samples")}
    kept = {path.name: path.read_bytes() for path in (trained.run / "samples").iterdir()}
    assert seen == kept and sorted(kept) == ["00000000.png", "00000060.png", "00000120.png"]
    for image in events.Images("samples"):
        header = image.encoded_image_string[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", header[16:]) == (image.width, image.height)


def test_events_hold_histograms_of_the_logits(events):
    assert set(events.Tags()["histograms"]) == {"logits/real", "logits/fake"}
    for tag in ("logits/real", "logits/fake"):
        assert [seen.step for seen in events.Histograms(tag)] == [0, 60, 120]
        for seen in events.Histograms(tag):
            value = seen.histogram_value
            assert sum(value.bucket) == value.num > 0 and value.min <= value.sum / value.num <= value.max


def test_the_log_has_the_printed_lines_with_their_time_and_no_escape_codes(trained):
    log = (trained.run / "train.log").read_text()
    assert "\x1b" not in log and "\r" not in log
    for line in log.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line)
    assert [line[20:] for line in log.splitlines()] == trained.done.stdout.splitlines()


def test_the_run_directory_and_the_tensorboard_command_are_reported_at_start_and_at_end(trained):
    lines = trained.done.stdout.splitlines()
    run = str(trained.run.relative_to(trained.cwd))
    command = f"tensorboard --logdir {run}"
    assert run in lines[0] and lines[1].endswith(command)
    assert any(run in line for line in lines[-3:-1]) and lines[-1].endswith(command)
    assert f"completed at step {STEPS}/{STEPS}" in trained.done.stdout


def test_about_ten_plain_lines_show_the_training(trained):
    shown = [line for line in trained.done.stdout.splitlines() if line.startswith("step ")]
    assert 5 <= len(shown) <= 12
    assert all("D(x) 0." in line and "D(G(z)) 0." in line and "steps/s" in line for line in shown)
    assert "\x1b" not in trained.done.stdout and "\r" not in trained.done.stdout


def test_the_last_checkpoint_is_the_last_step(trained):
    assert [path.name for path in (trained.run / "checkpoints").iterdir()] == [str(STEPS)]


def test_the_config_of_a_run_repeats_it(trained, rows, inside, only_run, tmp_path):
    done = inside("train", "--config-dir", str(trained.run), "--config-name", "config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = only_run(tmp_path)
    assert rows(again) == rows(trained.run)
    assert (again / "config.yaml").read_text() == (trained.run / "config.yaml").read_text()
    assert (again / "samples/00000120.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_config_of_a_run_takes_settings_too(trained, rows, inside, only_run, tmp_path):
    words = ("--config-dir", str(trained.run), "--config-name", "config", "seed=1", "loss.name=minimax")
    done = inside("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((only_run(tmp_path) / "config.yaml").read_text())
    assert (config["seed"], config["loss"]["name"], config["steps"]) == (1, "minimax", STEPS)
    assert rows(only_run(tmp_path)) != rows(trained.run)


def test_the_config_of_a_run_has_no_groups_left_to_choose_from_and_says_so(trained, inside, tmp_path):
    done = inside("train", "--config-dir", str(trained.run), "--config-name", "config", "loss=minimax", cwd=tmp_path)
    assert done.returncode == 2 and "loss" in done.stderr
    assert "Did you mean 'loss'?" not in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, 7, 50])
def test_steps_per_call_changes_no_number(size, trained, rows, inside, tiny, only_run, tmp_path):
    done = inside("train", *tiny, *SETTINGS, f"steps_per_call={size}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(only_run(tmp_path)) == rows(trained.run)


def test_pictures_and_checkpoints_change_no_number(trained, rows, inside, tiny, only_run, tmp_path):
    done = inside("train", *tiny, *SETTINGS, "log.pictures=0", "checkpoint.steps=30", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = [{tag: value for tag, value in row.items() if tag not in PICTURED} for row in rows(trained.run)]
    assert rows(only_run(tmp_path)) == [row for row in wanted if set(row) != {"step"}]
    assert list((only_run(tmp_path) / "samples").iterdir()) == []


@pytest.mark.parametrize("key", ["optimizer.generator.learning_rate=0.002", "loss.label_smoothing=0.1", "ema.decay=0"])
def test_a_number_that_is_traced_still_counts(key, trained, rows, inside, tiny, only_run, tmp_path):
    done = inside("train", *tiny, *SETTINGS, key, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = rows(only_run(tmp_path))[-1]
    if key.startswith("ema"):  # the average is watched, never trained on
        assert last["D(x)"] == rows(trained.run)[-1]["D(x)"]
        assert (only_run(tmp_path) / "samples/00000120.png").read_bytes() != (
            trained.run / "samples/00000120.png"
        ).read_bytes()
    else:
        assert last["D(x)"] != rows(trained.run)[-1]["D(x)"]


GAMES = (
    ("loss=minimax", "schedule.k=5", "dataset=mixture1d"),
    ("loss=maximum_likelihood", "dataset=gaussian"),
    ("loss=nonsaturating", "dataset=grid", "latent.prior=uniform", "loss.label_smoothing=0.1"),
)


@pytest.mark.parametrize("words", GAMES, ids=" ".join)
def test_other_losses_and_options_run(words, rows, inside, tiny, only_run, tmp_path):
    done = inside("train", *tiny, *words, "steps=20", "log.every=10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = [row for row in rows(only_run(tmp_path)) if "D(x)" in row]
    assert [row["step"] for row in seen] == [10, 20]
    k = 5 if "schedule.k=5" in words else 1
    assert all(row["schedule/k"] == k for row in seen)
    assert ("modes/covered" in seen[-1]) == ("dataset=gaussian" not in words)
    assert (only_run(tmp_path) / "samples/00000020.png").stat().st_size > 1000


def test_convolutional_networks_run_on_digits(rows, inside, tiny_dcgan, only_run, tmp_path):
    done = inside("train", *tiny_dcgan, "steps=5", "log.every=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = [row for row in rows(only_run(tmp_path)) if "D(x)" in row]
    assert row["step"] == 5 and set(PICTURED) & set(row) == {"samples/diversity"}
    assert (only_run(tmp_path) / "samples/00000005.png").read_bytes()[:4] == b"\x89PNG"


def test_a_last_step_off_the_logging_grid_is_logged_too(rows, inside, tiny, only_run, tmp_path):
    done = inside("train", *tiny, "steps=25", "log.every=10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in rows(only_run(tmp_path)) if "D(x)" in row] == [10, 20, 25]


def test_a_sweep_trains_every_combination_in_numbered_directories(inside, tiny, tmp_path):
    words = ("-m", *tiny, "steps=20", "log.every=10", "seed=0,1", "loss=minimax,nonsaturating")
    done = inside("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    configs = sorted((tmp_path / "outputs").glob("**/config.yaml"))
    assert len({path.parent.parent for path in configs}) == 1
    sweeps, _date, _time, *_ = configs[0].relative_to(tmp_path / "outputs").parts
    pairs = [(seed, loss) for seed in (0, 1) for loss in ("minimax", "nonsaturating")]
    names = [f"{i}-seed={seed},loss={loss}" for i, (seed, loss) in enumerate(pairs)]
    assert sweeps == "sweeps" and [path.parent.name for path in configs] == names
    chosen = [yaml.safe_load(path.read_text()) for path in configs]
    assert sorted((config["seed"], config["loss"]["name"]) for config in chosen) == [
        (0, "minimax"),
        (0, "nonsaturating"),
        (1, "minimax"),
        (1, "nonsaturating"),
    ]
    for path in configs:
        assert json.loads((path.parent / "summary.json").read_text())["status"] == "completed"


def test_a_sweep_continues_after_a_run_that_failed_and_reports_it(inside, tiny, tmp_path):
    words = (*tiny, "steps=40", "log.every=20", "loss=maximum_likelihood", "optimizer.discriminator.learning_rate=10")
    done = inside("train", "-m", *words, "optimizer.generator.learning_rate=10,0", "seed=0", cwd=tmp_path)
    assert done.returncode == 1
    assert "NaN or Inf" in done.stderr and "Traceback" not in done.stderr
    assert len(list((tmp_path / "outputs").glob("**/summary.json"))) == 2


PLAYERS = ("generator", "discriminator")
RECKLESS = tuple(f"optimizer.{player}.learning_rate=10" for player in PLAYERS)
ALLOWED = "resume.allow=[" + ",".join(f"optimizer.{player}.learning_rate" for player in PLAYERS) + "]"


@pytest.fixture(scope="module")
def failed(inside, tiny, only_run, tmp_path_factory) -> Trained:
    """A run that diverges after its second checkpoint: it goes on from there at rates that nothing survives."""
    cwd = tmp_path_factory.mktemp("failed")
    steady = [f"optimizer.{player}.{rule}" for player in PLAYERS for rule in ("learning_rate=1e-3", "decay=constant")]
    logged = ("log.every=10", "log.pictures=0", "checkpoint.steps=10")
    words = (*tiny, *logged, "optimizer=sgd", "loss=maximum_likelihood", *steady, "steps=20")
    assert inside("train", *words, cwd=cwd).returncode == 0
    done = inside("train", "resume=latest", "steps=4000", *RECKLESS, ALLOWED, cwd=cwd)
    return Trained(cwd, done, only_run(cwd))


def test_nan_stops_the_run_with_its_step_its_tag_and_the_last_good_checkpoint(failed):
    assert failed.done.returncode == 1
    assert "Traceback" not in failed.done.stderr and 1 <= len(failed.done.stderr.splitlines()) <= 2
    told = re.match(r"ganrun: step (\d+): (\S+) is NaN or Inf", failed.done.stderr)
    assert told and int(told[1]) > 20 and told[2] in ALWAYS
    kept = sorted(int(path.name) for path in (failed.run / "checkpoints").iterdir())
    assert kept and kept[-1] < int(told[1])
    named = (failed.run / "checkpoints" / str(kept[-1])).relative_to(failed.cwd)  # as one would type it there
    assert f"the last good checkpoint is {named}." in failed.done.stderr


def test_a_failed_run_says_so_in_its_summary_and_its_log(failed):
    summary = json.loads((failed.run / "summary.json").read_text())
    assert summary["status"] == "failed" and summary["steps"] < 4000
    assert all(np.isfinite(value) for value in summary["metrics"].values())
    assert "failed at step" in (failed.run / "train.log").read_text()


def test_no_nan_is_written_as_a_metric(failed, rows):
    text = (failed.run / "metrics.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text
    steps = [row["step"] for row in rows(failed.run)]
    assert steps == sorted(set(steps)) and len(steps) > 1


def test_the_last_good_checkpoint_of_a_failed_run_can_be_sampled(failed, inside):
    done = inside("sample", f"run={failed.run}", "out=x.npy", cwd=failed.cwd)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(np.load(failed.cwd / "x.npy")).all()


def test_on_a_terminal_a_live_line_moves_below_the_plain_ones(tiny, environment, only_run, tmp_path):
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "ganrun", "train", *tiny, *SETTINGS]
    env = environment(TERM="xterm-256color", COLUMNS="160")
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # on Linux the leader fails once the follower is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    lines = [line for line in re.split(r"[\r\n]+", text) if re.match(rf"\s*step \d+/{STEPS} ", line)]
    live = [line for line in lines if "━" in line]
    assert b"\x1b[" in seen and live and not any("loss/discriminator" in line for line in live)
    plain = [line for line in lines if "loss/discriminator" in line]
    assert len({line.split()[1] for line in plain}) == len(plain) >= 5 and all("jsd/exact" in line for line in plain)
    run = only_run(tmp_path)
    assert text.count(f"tensorboard --logdir {run.relative_to(tmp_path)}") == 2
    log = (run / "train.log").read_text()
    assert log.count("loss/discriminator") >= 5 and "\x1b" not in log


def test_a_config_of_ones_own_may_ask_for_a_sweep(inside, tiny, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text("defaults: [train, _self_]\nhydra: {mode: MULTIRUN, sweep: {dir: all}}\n")
    done = inside("train", "--config-dir", str(own), "--config-name", "mine", *tiny, "steps=20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "all" / "0" / "summary.json").is_file()

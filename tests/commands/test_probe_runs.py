"""Runs with a probe: what they log and draw, and that they can be stopped, continued and continued otherwise."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from written import assert_logs_what_was_foretold

from ganrun.storage.run_directory import load_config
from ganrun.writers.tensorboard import DIVERGENCES, _patterns

PROBED = {"jsd/probe", "jsd/probe_lower", "jsd/probe_se"}
EXACT = {"jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse"}
CHECKED = {"modes/covered", "modes/high_quality", "modes/high_quality_data", "modes/kl", "modes/kl_data"}
# After tiny, whose last words are log.pictures=1 and probe=off.
FEW = ("steps=40", "log.every=10")
PROBE = ("probe.budget=0.05",)


def everything(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def events_of(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0}).Reload()


def steps_with(table: list[dict], tag: str) -> list[int]:
    return [row["step"] for row in table if tag in row]


# On the ring, with all experts


@pytest.fixture(scope="module")
def ring(inside, tiny, only_run, tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("ring")
    words = (*FEW, "probe=streaming", "probe.times=2", *PROBE, "checkpoint.steps=20", "checkpoint.keep=2")
    done = inside("train", *tiny, *words, cwd=cwd)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return only_run(cwd)


def test_the_divergences_are_logged_at_their_steps(ring):
    table = everything(ring)
    assert [row["step"] for row in table] == [0, 10, 20, 30, 40]
    assert steps_with(table, "jsd/online") == [10, 20, 30, 40]
    for tag in PROBED | {"probe/seconds"}:
        assert steps_with(table, tag) == [20, 40]
    for tag in EXACT | CHECKED:
        assert steps_with(table, tag) == [0, 20, 40]  # with the first picture, too
    for row in table:
        if "jsd/probe" in row:
            assert row["jsd/probe_lower"] <= row["jsd/probe"] <= math.log(2) + 0.01
            assert row["jsd/probe_se"] >= 0 and row["probe/seconds"] > 0
            assert row["jsd/probe"] == pytest.approx(row["jsd/exact"], abs=0.1)
    assert "NaN" not in (ring / "metrics.jsonl").read_text()


def test_what_a_run_logs_is_known_from_its_config(ring, line):
    for run in (ring, line):
        assert_logs_what_was_foretold(run)


def test_tensorboard_gets_them_as_scalars(ring):
    table, events = everything(ring), events_of(ring)
    for tag in PROBED | EXACT | CHECKED | {"probe/seconds"}:
        seen = [(entry.step, entry.value) for entry in events.Scalars(tag)]
        assert [step for step, _ in seen] == steps_with(table, tag)
        for (_, value), wanted in zip(seen, [row[tag] for row in table if tag in row], strict=True):
            assert value == (math.inf if wanted is None else pytest.approx(np.float32(wanted)))


def test_the_chart_of_divergences_finds_them_among_the_tags_of_a_run(ring):
    patterns = _patterns(DIVERGENCES)
    tags = events_of(ring).Tags()["scalars"]
    shown = {tag for tag in tags for pattern in patterns if re.search(pattern, tag)}
    assert shown == {"jsd/online", "jsd/exact", "jsd/probe", "jsd/probe_lower", "chart/log_2"}


def test_the_densities_are_drawn_at_every_probe(ring):
    names = sorted(path.name for path in (ring / "samples").iterdir())
    assert names == ["00000000.png", "00000020_densities.png", "00000040.png", "00000040_densities.png"]
    events = events_of(ring)
    assert set(events.Tags()["images"]) == {"samples", "densities"}
    assert [image.step for image in events.Images("densities")] == [20, 40]
    for image in events.Images("densities"):
        png = (ring / f"samples/{image.step:08d}_densities.png").read_bytes()
        assert image.encoded_image_string == png and (image.width, image.height) == (800, 740)


def test_the_summary_and_the_log_have_the_last_of_them(ring):
    summary = json.loads((ring / "summary.json").read_text())
    last = everything(ring)[-1]
    assert {tag: summary["metrics"][tag] for tag in PROBED} == {tag: last[tag] for tag in PROBED}
    assert "completed" in (ring / "train.log").read_text()


@pytest.fixture
def killed(ring, tmp_path) -> Path:
    """The run as a kill after step 40 and before its checkpoint would have left it."""
    run = tmp_path / "run"
    shutil.copytree(ring, run)
    shutil.rmtree(run / "checkpoints/40")
    for path in (run / "summary.json", *(run / "samples").glob("00000040*")):
        path.unlink()
    return run


def test_a_run_that_continues_after_a_kill_logs_the_same_bits(killed, ring, inside, rows, tmp_path):
    done = inside("train", f"resume={killed}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "continues at step 20" in done.stdout
    assert rows(killed) == rows(ring)
    one, other = events_of(killed), events_of(ring)
    for tag in PROBED | EXACT:
        assert [(seen.step, seen.value) for seen in one.Scalars(tag)] == [
            (seen.step, seen.value) for seen in other.Scalars(tag)
        ]
    for path in (ring / "samples").iterdir():
        assert (killed / "samples" / path.name).read_bytes() == path.read_bytes()


def test_the_probe_may_be_changed_and_changes_nothing_else(killed, ring, inside, rows, lean, tmp_path):
    words = ("probe.name=stack", "probe.every=10", "probe.budget=0.06")
    done = inside("train", f"resume={killed}", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    probe = load_config(killed).probe
    assert (probe.name, probe.every, probe.budget) == ("stack", 10, 0.06)
    assert steps_with(rows(killed), "jsd/probe") == [20, 30, 40]

    def others(run):
        table = [{tag: row[tag] for tag in row if tag not in PROBED} for row in rows(run)]
        return [row if row["step"] != 30 else {tag: row[tag] for tag in row if tag in table[1]} for row in table]

    assert others(killed) == others(ring)


def test_a_run_from_before_there_were_probes_continues_without_one(killed, inside, rows, tmp_path):
    config = yaml.safe_load((killed / "config.yaml").read_text())
    del config["probe"]
    (killed / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = inside("train", f"resume={killed}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert steps_with(rows(killed), "jsd/probe") == [20]  # from its first life
    assert steps_with(rows(killed), "jsd/online") == [10, 20, 30, 40]
    assert yaml.safe_load((killed / "config.yaml").read_text())["probe"]["name"] == "off"


# On the line


@pytest.fixture(scope="module")
def line(inside, tiny, only_run, quick_experts_only, tmp_path_factory) -> Path:
    """A run whose generator is bounded, since its noise is: it leaves out the tails of the data."""
    cwd = tmp_path_factory.mktemp("line")
    words = ("dataset=mixture1d", "latent.dim=1", "latent.prior=uniform", "steps=20", "log.every=10")
    with pytest.MonkeyPatch.context() as patch:
        quick_experts_only(patch)
        done = inside("train", *tiny, *words, "probe=streaming", "probe.times=1", *PROBE, cwd=cwd)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return only_run(cwd)


def test_on_the_line_everything_is_known(line):
    table = everything(line)
    for tag in EXACT | {"w1"}:
        assert steps_with(table, tag) == [0, 20]
    assert steps_with(table, "jsd/probe") == [20]
    last = table[-1]
    assert last["w1"] > 0 and 0 < last["jsd/exact"] < math.log(2)
    assert last["kl/reverse"] > 0
    assert last["jsd/probe"] == pytest.approx(last["jsd/exact"], abs=4 * last["jsd/probe_se"] + 0.05)


def test_an_infinite_divergence_is_null_in_json_and_infinite_in_tensorboard(line):
    assert [row["kl/forward"] for row in everything(line) if "kl/forward" in row] == [None, None]
    text = (line / "metrics.jsonl").read_text() + (line / "summary.json").read_text()
    assert "Infinity" not in text and "NaN" not in text
    metrics = json.loads((line / "summary.json").read_text())["metrics"]
    assert metrics["kl/forward"] is None and metrics["w1"] > 0
    assert [(seen.step, seen.value) for seen in events_of(line).Scalars("kl/forward")] == [
        (0, math.inf),
        (20, math.inf),
    ]


def test_an_infinite_divergence_survives_a_stop(line, inside, rows, lean, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(line, run)
    done = inside("train", f"resume={run}", "steps=30", "log.pictures=0", "probe.name=streaming", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in rows(run)] == [0, 10, 20, 30]
    assert rows(run)[-1]["kl/forward"] is None
    assert json.loads((run / "summary.json").read_text())["metrics"]["kl/forward"] is None


# Other methods and losses


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_a_critic_is_probed_too(loss, inside, tiny, only_run, rows, lean, tmp_path):
    words = (f"loss={loss}", "dataset=gaussian", "steps=10", "log.every=10", "probe=streaming", "probe.times=1", *PROBE)
    done = inside("train", *tiny, *words, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    last = rows(only_run(tmp_path))[-1]
    assert PROBED | EXACT | {"D(x)/calibrated", "w1"} <= set(last) and "jsd/online" not in last
    assert last["jsd/probe_lower"] <= last["jsd/probe"]
    assert_logs_what_was_foretold(only_run(tmp_path))
    assert (only_run(tmp_path) / "samples/00000010_densities.png").stat().st_size > 1000


def test_images_are_probed_with_the_stack(inside, tiny_dcgan, only_run, rows, tmp_path):
    words = ("steps=5", "log.every=5", "probe=stack", "probe.times=1", *PROBE)
    done = inside("train", *tiny_dcgan, *words, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    last = rows(only_run(tmp_path))[-1]
    assert set(last) >= PROBED and not EXACT & set(last)
    assert last["jsd/probe"] > 0.3  # after five steps
    assert_logs_what_was_foretold(only_run(tmp_path))
    drawn = sorted(path.name for path in (only_run(tmp_path) / "samples").iterdir())
    assert drawn == ["00000000.png", "00000005.png", "00000005_interpolations.png", "00000005_neighbours.png"]
    assert sorted(events_of(only_run(tmp_path)).Tags()["images"]) == ["interpolations", "neighbours", "samples"]


def test_a_probe_that_does_not_suit_the_data_is_refused_before_anything_is_written(inside, tiny_dcgan, tmp_path):
    done = inside("train", *tiny_dcgan, "probe=streaming", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("ganrun: probe=streaming") and len(done.stderr.splitlines()) == 1
    assert "probe=stack" in done.stderr and list(tmp_path.iterdir()) == []

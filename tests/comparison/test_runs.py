"""Reading runs in whatever state they are, and grouping them by what differs. The run directories are made by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from ganrun.comparison.runs import Group, Run, chosen_metrics, group, read_runs
from ganrun.config import Log, Train
from ganrun.errors import ConfigError
from ganrun.rundir import save_config


@pytest.fixture(scope="module")
def minimax(compose_config) -> Train:
    return compose_config(["loss=minimax", "probe=off"])


@pytest.fixture(scope="module")
def hinge(compose_config) -> Train:
    return compose_config(["loss=hinge", "probe=off"])


@pytest.fixture(scope="module")
def sgd(compose_config) -> Train:
    return compose_config(["optimizer=sgd", "probe=off"])


def make_run(
    folder: Path,
    config: Train,
    metrics: dict[str, Any] | None = None,
    status: str = "completed",
    rows: list[dict[str, Any]] | None = None,
) -> Path:
    """Write a run directory; one without ``metrics`` has no summary: it is still running, or was killed."""
    folder.mkdir(parents=True)
    save_config(config, folder)
    if metrics is not None:
        (folder / "summary.json").write_text(json.dumps({"status": status, "steps": 20, "metrics": metrics}))
    if rows is not None:
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def make_runs(folder: Path, configs: list[Train]) -> list[Run]:
    """Write a run for each of ``configs``, and read them."""
    return read_runs([str(make_run(folder / str(i), config, {"w1": float(i)})) for i, config in enumerate(configs)])


def seeded(config: Train, *seeds: int) -> list[Train]:
    return [dataclasses.replace(config, seed=seed) for seed in seeds]


def with_option(config: Train, **changes: Any) -> Train:
    """Return ``config`` with fields of its options changed: ``loss={"label_smoothing": 0.1}``."""
    return dataclasses.replace(
        config, **{name: dataclasses.replace(getattr(config, name), **fields) for name, fields in changes.items()}
    )


def with_rates(config: Train, generator: dict[str, Any], discriminator: dict[str, Any]) -> Train:
    players = {
        "generator": dataclasses.replace(config.optimizer.generator, **generator),
        "discriminator": dataclasses.replace(config.optimizer.discriminator, **discriminator),
    }
    return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **players))


def labels(runs: list[Run]) -> list[str]:
    return [one.label for one in group(runs)]


def refusal(folder: Path) -> str:
    """The line that refuses the run in ``folder``."""
    with pytest.raises(ConfigError) as caught:
        for run in read_runs([str(folder)]):
            run.curve("w1")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# One run


def test_a_run_is_its_settings_its_status_and_its_last_numbers(tmp_path, minimax):
    config = dataclasses.replace(minimax, seed=7, steps=20)
    rows = [{"step": 10, "D(x)": 0.75, "jsd/exact": 0.3}, {"step": 20, "D(x)": 0.625}]
    folder = make_run(tmp_path / "a", config, {"D(x)": 0.5, "jsd/exact": 0.25}, rows=rows)
    (run,) = read_runs([str(folder)])
    assert (run.folder, run.status, run.failed) == (folder.resolve(), "completed", False)
    assert run.last == {"D(x)": 0.5, "jsd/exact": 0.25}
    expected = {"seed": 7, "steps": 20, "loss.name": "minimax", "dataset.name": "ring", "latent.dim": 2}
    assert expected.items() <= run.settings.items()
    assert run.curve("D(x)") == ([10, 20], [0.75, 0.625])
    assert run.curve("jsd/exact") == ([10], [0.3])
    assert run.curve("w1") == ([], [])


@pytest.mark.parametrize("status", ["completed", "stopped", "failed"])
def test_only_a_failed_run_has_failed(tmp_path, minimax, status):
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax, {"w1": 1.0}, status))])
    assert (run.status, run.failed) == (status, status == "failed")


def test_a_run_without_a_summary_is_running_and_has_come_as_far_as_its_last_rows(tmp_path, minimax):
    rows = [{"step": 10, "D(x)": 0.7, "jsd/exact": 0.3}, {"step": 20, "D(x)": 0.6}, {"step": 30, "D(x)": None}]
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax, rows=rows))])
    assert (run.status, run.failed) == ("running", False)
    assert run.last == {"D(x)": math.inf, "jsd/exact": 0.3}


def test_a_run_that_has_written_nothing_yet_has_no_numbers(tmp_path, minimax):
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax))])
    assert (run.status, run.last, run.curve("D(x)")) == ("running", {}, ([], []))


@pytest.mark.parametrize("torn", [b'{"step": 30, "D(x)": 0.', b"{", b'{"step": 30, "D(x)": 0.1}', b"\xce"])
def test_a_line_that_is_being_written_is_left_alone(tmp_path, minimax, torn):
    folder = make_run(tmp_path / "a", minimax, rows=[{"step": 20, "D(x)": 0.6}])
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(torn)
    (run,) = read_runs([str(folder)])
    assert run.last == {"D(x)": 0.6}
    assert run.curve("D(x)") == ([20], [0.6])


def test_only_a_torn_line_is_nothing_yet(tmp_path, minimax):
    folder = make_run(tmp_path / "a", minimax)
    (folder / "metrics.jsonl").write_text('{"step": 10, "D(')
    assert read_runs([str(folder)])[0].last == {}


def test_null_is_infinite(tmp_path, minimax):
    rows = [{"step": 10, "kl/exact": None}, {"step": 20, "kl/exact": 2.5}]
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax, {"kl/exact": None, "D(x)": 0.5}, rows=rows))])
    assert run.last == {"kl/exact": math.inf, "D(x)": 0.5}
    assert run.curve("kl/exact") == ([10, 20], [math.inf, 2.5])


DAMAGED_LINES = {
    "cut": b'{"step": 20, "D(x)": 0.',
    "blank": b"",
    "a list": b"[1, 2]",
    "a word": b'"words"',
    "a number": b"20",
    "no step": b'{"D(x)": 0.5}',
    "no number": b'{"step": 20, "D(x)": "high"}',
    "a list for a number": b'{"step": 20, "D(x)": [0.5]}',
    "an infinite step": b'{"step": null, "D(x)": 0.5}',
    "no text": b'{"step": 20, "\xff\xfe": 0.5}',
    "too large a number": b'{"step": 20, "D(x)": 1' + b"0" * 400 + b"}",
    "far too large a number": b'{"step": 20, "D(x)": 1' + b"0" * 5000 + b"}",
}


@pytest.mark.parametrize("line", DAMAGED_LINES.values(), ids=DAMAGED_LINES.keys())
@pytest.mark.parametrize("summary", [None, {"D(x)": 0.5}], ids=["running", "completed"])
def test_a_damaged_line_is_refused_with_its_file_and_number(tmp_path, minimax, monkeypatch, line, summary):
    folder = make_run(tmp_path / "a", minimax, summary)
    whole = [b'{"step": 10, "D(x)": 0.7}', line, b'{"step": 30, "D(x)": 0.5}']
    (folder / "metrics.jsonl").write_bytes(b"".join(text + b"\n" for text in whole))
    monkeypatch.chdir(tmp_path)
    assert refusal(folder).startswith(f"{Path('a', 'metrics.jsonl')}, line 2, cannot be read: ")


DAMAGED_SUMMARIES = {
    "empty": b"",
    "cut": b'{"status": "comple',
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "no status": b'{"metrics": {}}',
    "no metrics": b'{"status": "completed"}',
    "metrics are null": b'{"status": "completed", "metrics": null}',
    "metrics are a number": b'{"status": "completed", "metrics": 1}',
    "a metric is a word": b'{"status": "completed", "metrics": {"D(x)": "high"}}',
    "a metric is a list": b'{"status": "completed", "metrics": {"D(x)": [1]}}',
    "a metric is too large": b'{"status": "completed", "metrics": {"D(x)": 1' + b"0" * 400 + b"}}",
    "no text": b'{"status": "\xff\xfe", "metrics": {}}',
}


@pytest.mark.parametrize("content", DAMAGED_SUMMARIES.values(), ids=DAMAGED_SUMMARIES.keys())
def test_a_damaged_summary_is_refused_with_its_file(tmp_path, minimax, monkeypatch, content):
    folder = make_run(tmp_path / "a", minimax, {"D(x)": 0.5})
    (folder / "summary.json").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert refusal(folder).startswith(f"{Path('a', 'summary.json')} cannot be read: ")


def test_a_damaged_config_is_refused_with_its_file(tmp_path, minimax):
    folder = make_run(tmp_path / "a", minimax, {})
    (folder / "config.yaml").write_text("loss: [")
    assert str(folder.resolve() / "config.yaml") in refusal(folder)


# Where runs are


def test_a_sweep_is_all_its_runs_in_the_order_of_its_plan(tmp_path, minimax):
    for i in range(11):
        make_run(tmp_path / "sweep" / str(i), minimax, {"w1": float(i)})
    plan = {"runs": [str(i) for i in range(11)], "batches": [list(range(11))]}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(plan))
    assert [run.last["w1"] for run in read_runs([str(tmp_path / "sweep")])] == list(range(11))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": 3}', '{"runs": [1]}', '{"runs": ["../other"]}'])
def test_a_damaged_plan_is_refused_with_its_file(tmp_path, minimax, content):
    make_run(tmp_path / "sweep" / "0", minimax, {})
    (tmp_path / "sweep" / "sweep.json").write_text(content)
    assert str(tmp_path / "sweep" / "sweep.json") in refusal(tmp_path / "sweep")


def test_a_run_of_the_plan_that_is_gone_is_refused(tmp_path, minimax):
    make_run(tmp_path / "sweep" / "0", minimax, {})
    (tmp_path / "sweep" / "sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    assert str(Path("sweep", "1", "config.yaml")) in refusal(tmp_path / "sweep")


def test_a_folder_is_all_the_runs_below_it(tmp_path, minimax):
    for name in ("b", "a", "deep/down"):
        make_run(tmp_path / name, minimax, {"w1": 0.0})
    found = [run.folder for run in read_runs([str(tmp_path)])]
    assert found == [(tmp_path / name).resolve() for name in ("a", "b", "deep/down")]


def test_a_run_that_is_named_in_many_ways_counts_once(tmp_path, minimax, monkeypatch):
    make_run(tmp_path / "sweep" / "0", minimax, {"w1": 0.0})
    make_run(tmp_path / "sweep" / "1", minimax, {"w1": 1.0})
    monkeypatch.chdir(tmp_path)
    ways = ["sweep/1", "sweep", ".", str(tmp_path), str(tmp_path / "sweep" / "1"), "sweep/../sweep/0"]
    assert [run.last["w1"] for run in read_runs(ways)] == [1.0, 0.0]
    (tmp_path / "sweep" / "sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    assert [run.last["w1"] for run in read_runs(["sweep", *ways])] == [0.0, 1.0]


def test_latest_is_the_newest_run_or_the_sweep_that_it_is_of(tmp_path, minimax, monkeypatch):
    for when, name in ((3_000, "outputs/sweeps/x/0"), (1_000, "outputs/sweeps/x/1"), (2_000, "outputs/single")):
        folder = make_run(tmp_path / name, minimax, {"w1": float(when)})
        os.utime(folder / "config.yaml", (when, when))
    monkeypatch.chdir(tmp_path)
    assert [run.last["w1"] for run in read_runs(["latest"])] == [3_000]
    (tmp_path / "outputs/sweeps/x/sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    assert [run.last["w1"] for run in read_runs(["latest"])] == [3_000, 1_000]


def test_a_folder_without_runs_and_no_folder_at_all_are_refused(tmp_path, minimax):
    make_run(tmp_path / "first-run", minimax, {})
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert f"{tmp_path / 'empty'} holds no run" in refusal(tmp_path / "empty")
    assert f"Did you mean '{tmp_path / 'first-run'}'?" in refusal(tmp_path / "frist-run")


# Groups


def test_seeds_are_aggregated_and_groups_come_in_the_order_of_their_runs(tmp_path, minimax, hinge):
    runs = make_runs(tmp_path, [*seeded(minimax, 0, 1), *seeded(hinge, 0, 1), *seeded(minimax, 5)])
    first, second = group(runs)
    assert (first.label, first.settings) == ("loss=minimax", {"loss": "minimax"})
    assert (second.label, second.settings) == ("loss=hinge", {"loss": "hinge"})
    assert [run.settings["seed"] for run in first.runs] == [0, 1, 5]
    assert first.values("w1").tolist() == [0.0, 1.0, 4.0]
    assert second.values("w1").tolist() == [2.0, 3.0]


def test_runs_that_differ_in_the_seed_only_are_one_group(tmp_path, minimax):
    assert labels(make_runs(tmp_path, seeded(minimax, 3, 1, 2))) == ["all runs"]
    assert group([]) == []


def test_what_a_run_does_not_compute_with_splits_nothing(tmp_path, minimax):
    shown = dataclasses.replace(minimax, log=Log(every=7, pictures=0), data_dir="/elsewhere", steps_per_call=3)
    runs = make_runs(tmp_path, [minimax, shown])
    assert labels(runs) == ["all runs"]
    assert labels([*runs, *make_runs(tmp_path / "longer", [dataclasses.replace(minimax, steps=9)])]) == [
        "steps=16000",
        "steps=9",
    ]


def test_a_label_uses_the_shortest_end_of_a_key_that_no_other_has(tmp_path, minimax):
    one = [with_rates(minimax, {"learning_rate": rate}, {}) for rate in (0.01, 0.02)]
    assert labels(make_runs(tmp_path / "one", one)) == ["learning_rate=0.01", "learning_rate=0.02"]
    both = [with_rates(minimax, {"learning_rate": rate}, {"learning_rate": 2 * rate}) for rate in (0.01, 0.02)]
    assert labels(make_runs(tmp_path / "both", both)) == [
        "generator.learning_rate=0.01, discriminator.learning_rate=0.02",
        "generator.learning_rate=0.02, discriminator.learning_rate=0.04",
    ]
    mixed = [with_rates(run, {"b1": 0.1 * (i + 1)}, {}) for i, run in enumerate(one)]
    assert labels(make_runs(tmp_path / "mixed", mixed))[0] == "learning_rate=0.01, b1=0.1"


def test_a_key_whose_last_word_only_ends_like_anothers_stays_short(tmp_path, sgd):
    runs = [with_rates(sgd, {"momentum": value, "final_momentum": value + 0.1}, {}) for value in (0.25, 0.5)]
    assert group(make_runs(tmp_path, runs))[0].settings == {"momentum": 0.25, "final_momentum": 0.35}
    longer = [dataclasses.replace(with_rates(sgd, {"momentum_steps": float(n)}, {}), steps=n) for n in (10, 20)]
    assert labels(make_runs(tmp_path / "steps", longer)) == [
        "steps=10, momentum_steps=10.0",
        "steps=20, momentum_steps=20.0",
    ]


def test_an_option_is_named_after_its_group(tmp_path, minimax, hinge):
    ring = make_runs(tmp_path / "0", [minimax, with_option(hinge, dataset={"radius": 3.0}, latent={"dim": 5})])
    assert [sorted(one.settings) for one in group(ring)] == [["dim", "loss", "radius"]] * 2


def test_a_setting_that_only_one_loss_has_says_nothing_by_itself(tmp_path, minimax, hinge):
    assert "label_smoothing" in {field.name for field in dataclasses.fields(minimax.loss)}
    assert "label_smoothing" not in {field.name for field in dataclasses.fields(hinge.loss)}
    smooth = with_option(minimax, loss={"label_smoothing": 0.1})
    runs = make_runs(tmp_path, [*seeded(smooth, 0, 1), *seeded(hinge, 0, 1)])
    assert labels(runs) == ["loss=minimax", "loss=hinge"]


def test_a_setting_that_differs_within_the_loss_that_has_it_splits_that_loss_only(tmp_path, minimax, hinge):
    smooth = with_option(minimax, loss={"label_smoothing": 0.1})
    runs = make_runs(tmp_path, [*seeded(minimax, 0, 1), *seeded(hinge, 0, 1), *seeded(smooth, 0)])
    assert [(one.label, len(one.runs)) for one in group(runs)] == [
        ("loss=minimax, label_smoothing=0.0", 2),
        ("loss=hinge", 2),
        ("loss=minimax, label_smoothing=0.1", 1),
    ]


def test_a_setting_that_another_one_determines_is_left_out(tmp_path, minimax, hinge, compose_config):
    smooth = compose_config(["loss=maximum_likelihood", "loss.label_smoothing=0.1", "probe=off"])
    assert labels(make_runs(tmp_path, [minimax, smooth, hinge])) == [
        "loss=minimax",
        "loss=maximum_likelihood",
        "loss=hinge",
    ]


def test_failed_runs_are_in_their_group_but_not_in_its_values(tmp_path, minimax):
    for i, status in enumerate(["completed", "failed", "stopped"]):
        make_run(tmp_path / str(i), dataclasses.replace(minimax, seed=i), {"w1": float(i)}, status)
    make_run(tmp_path / "3", dataclasses.replace(minimax, seed=3), rows=[{"step": 1, "w1": 7.0}])
    make_run(tmp_path / "4", dataclasses.replace(minimax, seed=4))
    (one,) = group(read_runs([str(tmp_path)]))
    assert len(one.runs) == 5
    assert [run.settings["seed"] for run in one.sound] == [0, 2, 3, 4]
    assert one.values("w1").tolist() == [0.0, 2.0, 7.0]
    assert one.values("w2").shape == (0,)


# Metrics


def run_with(*tags: str, failed: bool = False) -> Run:
    return Run(Path(), {}, "failed" if failed else "completed", dict.fromkeys(tags, 1.0))


def test_the_usual_metrics_are_those_that_some_run_has():
    runs = [run_with("loss/generator", "D(G(z))", "D(x)"), run_with("critic/fake", "modes/covered", "jsd/exact")]
    assert chosen_metrics([], runs) == ["jsd/exact", "modes/covered", "D(x)", "D(G(z))", "critic/fake"]


def test_without_a_usual_metric_the_first_four_are_taken():
    assert chosen_metrics([], [run_with("e", "d"), run_with("d", "c", "b", "a")]) == ["e", "d", "c", "b"]
    assert chosen_metrics([], [run_with()]) == []


def test_metrics_that_are_asked_for_come_in_that_order():
    assert chosen_metrics(["w1", "D(x)"], [run_with("D(x)", "jsd/exact"), run_with("w1")]) == ["w1", "D(x)"]


def test_a_metric_that_no_run_has_is_answered_with_the_closest():
    with pytest.raises(ConfigError) as caught:
        chosen_metrics(["jsd/exakt"], [run_with("D(x)", "jsd/exact")])
    told = "no run has the metric 'jsd/exakt' (they have D(x), jsd/exact). Did you mean 'jsd/exact'?"
    assert str(caught.value) == told
    with pytest.raises(ConfigError, match="they have none yet"):
        chosen_metrics(["w1"], [run_with()])


def test_a_group_by_itself_needs_no_files():
    one = Group({"loss": "hinge", "b1": 0.5}, [run_with("w1"), run_with("w1", failed=True)])
    assert one.label == "loss=hinge, b1=0.5"
    assert (len(one.sound), one.values("w1").tolist()) == (1, [1.0])

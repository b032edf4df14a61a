from __future__ import annotations

import json
import re
import threading

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from ganrun.errors import GanrunError
from ganrun.methods.gan.option import GanOption
from ganrun.storage.growing_files import positions, rewind
from ganrun.writers.base import Entry
from ganrun.writers.console import Lines, Messages
from ganrun.writers.fan_out import FanOut
from ganrun.writers.images import Pictures
from ganrun.writers.jsonl import JsonLines
from ganrun.writers.tensorboard import TensorBoard, _patterns


class Recorder:
    def __init__(self, fault: BaseException | None = None) -> None:
        self.steps: list[int] = []
        self.status: str | None = None
        self.fault = fault

    def write(self, entry: Entry) -> None:
        if self.fault:
            raise self.fault
        self.steps.append(entry.step)

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        self.status = status


def entry(step: int, **scalars: float) -> Entry:
    return Entry(step=step, scalars=scalars)


def test_every_writer_gets_every_entry_in_order_and_learns_how_it_ended() -> None:
    writers = [Recorder(), Recorder()]
    fan = FanOut(writers)
    for step in range(200):  # more than the queue holds
        fan.put(lambda step=step: entry(step, a=float(step)))
    fan.close("completed")
    assert [writer.steps for writer in writers] == [list(range(200))] * 2
    assert [writer.status for writer in writers] == ["completed", "completed"]
    assert fan.last == {"a": 199.0}


def test_entries_are_made_in_the_writers_thread() -> None:
    names = []
    fan = FanOut([])
    fan.put(lambda: names.append(threading.current_thread().name) or entry(1))
    fan.flush()
    assert names == ["ganrun-writers"]
    fan.close("completed")


def test_a_full_disk_ends_the_run_with_a_line_that_names_the_file() -> None:
    fan = FanOut([Recorder(OSError(28, "No space left on device", "/runs/metrics.jsonl"))])
    fan.put(lambda: entry(1))
    with pytest.raises(GanrunError, match=r"Cannot write /runs/metrics.jsonl: No space left on device\."):
        fan.flush()
    fan.close("failed")


def test_an_error_does_not_leave_the_run_waiting() -> None:
    fan = FanOut([Recorder(ValueError("drawn wrong"))])
    with pytest.raises(ValueError, match="drawn wrong"):
        for step in range(300):
            fan.put(lambda step=step: entry(step))
        fan.flush()
    fan.close("failed")


def test_rewind_cuts_files_back_and_removes_those_that_came_later(tmp_path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "events.out.tfevents.1").write_bytes(b"abc")
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    sizes = positions(tmp_path)
    assert sizes == {"events.out.tfevents.1": 3, "metrics.jsonl": 12}
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    (tmp_path / "events.out.tfevents.2").write_bytes(b"later")
    rewind(tmp_path, sizes)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "events.out.tfevents.1", "metrics.jsonl"]


def test_json_lines_refuse_a_nan_rather_than_write_what_is_no_json(tmp_path) -> None:
    writer = JsonLines(tmp_path)
    writer.write(entry(50, **{"D(x)": 0.5}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.write(entry(100, value=float("nan")))
    writer.close("failed")
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 50, "D(x)": 0.5}


def test_pictures_are_named_by_their_step(tmp_path) -> None:
    Pictures(tmp_path).write(Entry(step=400, scalars={}, pictures={"samples": b"png", "densities": b"png2"}))
    assert (tmp_path / "samples" / "00000400.png").read_bytes() == b"png"
    assert (tmp_path / "samples" / "00000400_densities.png").read_bytes() == b"png2"


def test_events_carry_exact_tags_and_names_that_the_custom_chart_can_draw(tmp_path) -> None:
    writer = TensorBoard(tmp_path, {"seed": 3, "loss.name": "minimax", "flag": True}, charts=GanOption.CHARTS)
    writer.write(Entry(step=7, scalars={"D(x)": 0.25, "D(G(z))": 0.75}, histograms={"logits/real": np.arange(10.0)}))
    writer.close("completed")
    paths = sorted(tmp_path.glob("events.out.tfevents.*"))  # what the run is, and what it has logged
    assert len(paths) == 2
    events = (event for path in paths for event in EventFileLoader(str(path)).Load())
    values = {v.tag: v for event in events for v in event.summary.value}
    scalars = {tag: value.tensor.float_val[0] for tag, value in values.items() if value.tensor.float_val}
    expected = {"D(x)": 0.25, "D(G(z))": 0.75, "chart/D_on_data": 0.25, "chart/D_on_samples": 0.75}
    expected |= {"chart/one_half": 0.5, "chart/log_2": 0.6931472}
    assert scalars == pytest.approx(expected)
    assert {"custom_scalars__config__", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(values)
    assert "logits/real" in values


def test_the_custom_chart_has_a_name_without_a_parenthesis_for_every_d_and_finds_it(tmp_path) -> None:
    (chart,) = GanOption.CHARTS
    assert all("(" not in name for name in chart.curves.values())
    for name in chart.curves.values():
        assert len([pattern for pattern in _patterns(chart) if re.match(pattern, f"chart/{name}")]) == 1
    writer = TensorBoard(tmp_path, {}, charts=GanOption.CHARTS)
    writer.write(Entry(step=7, scalars={"D(x)/calibrated": 0.625, "D(G(z))/calibrated": 0.375, "critic/real": -40.0}))
    writer.close("completed")
    paths = sorted(tmp_path.glob("events.out.tfevents.*"))  # what the run is, and what it has logged
    assert len(paths) == 2
    events = (event for path in paths for event in EventFileLoader(str(path)).Load())
    values = {v.tag: v for event in events for v in event.summary.value}
    scalars = {tag: value.tensor.float_val[0] for tag, value in values.items() if value.tensor.float_val}
    expected = {"D(x)/calibrated": 0.625, "D(G(z))/calibrated": 0.375, "critic/real": -40.0}
    expected |= {"chart/D_on_data_calibrated": 0.625, "chart/D_on_samples_calibrated": 0.375}
    assert scalars == pytest.approx(expected | {"chart/one_half": 0.5, "chart/log_2": 0.6931472})


def test_plain_lines_appear_at_milestones_only_and_go_to_the_log_too(tmp_path, capsys) -> None:
    messages = Messages(tmp_path)
    lines = Lines(messages, steps=100)
    lines.write(Entry(step=10, scalars={"D(x)": 0.5}))
    lines.write(Entry(step=20, scalars={"D(x)": 0.625, "steps_per_second": 99.6}, milestone=True))
    lines.close("completed")
    messages.close()
    assert capsys.readouterr().out == "step 20/100  D(x) 0.625  100 steps/s\n"
    assert (tmp_path / "train.log").read_text().endswith("step 20/100  D(x) 0.625  100 steps/s\n")


def test_a_plain_line_shows_what_a_critic_has_to_say(tmp_path, capsys) -> None:
    messages = Messages(tmp_path)
    lines = Lines(messages, steps=100)
    scalars = {"critic/real": -7.28, "critic/fake": -8.78, "value/pair": 0.31, "grad_norm/generator": 1.0}
    lines.write(Entry(step=20, scalars=scalars | {"D(x)/calibrated": 0.584}, milestone=True))
    messages.close()
    shown = "step 20/100  critic/real -7.28  critic/fake -8.78  value/pair 0.31  D(x)/calibrated 0.584\n"
    assert capsys.readouterr().out == shown

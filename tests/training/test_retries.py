"""Which failures are the machine's, and how retries are counted, logged and spaced."""

from __future__ import annotations

import json

import jax
import pytest

from ganrun.errors import ConfigError, GanrunError, StorageError
from ganrun.training.retry import DEVICE, DISK, MEMORY, Retries, died, machine_failure, retries_before

FAILURES = [
    (StorageError("Cannot write run: No space left on device."), DISK),
    (OSError(28, "No space left on device"), DISK),
    (MemoryError(), MEMORY),
    (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."), MEMORY),
    (jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS"), DEVICE),
    (jax.errors.JaxRuntimeError("INVALID_ARGUMENT: no such shape"), None),
    (GanrunError("step 3: loss is NaN or Inf"), None),
    (ConfigError("seed must be at least 0"), None),
    (TypeError("INTERNAL: a bug"), None),
]


@pytest.mark.parametrize(("error", "what"), FAILURES, ids=lambda item: str(item)[:30])
def test_failures_of_the_machine_are_told_from_others(error, what):
    assert machine_failure(error) == what


@pytest.mark.parametrize(
    ("summary", "is_died"),
    [
        (None, True),  # killed
        ({"status": "failed"}, True),  # an error that is not ganrun's
        ({"status": "failed", "reason": "Cannot write", "cause": "storage"}, True),
        ({"status": "failed", "reason": "step 3: loss is NaN or Inf"}, False),
        ({"status": "stopped"}, False),
        ({"status": "pruned", "reason": "pruned"}, False),
        ({"status": "completed"}, False),
    ],
)
def test_a_run_that_gives_no_reason_of_its_own_died(summary, is_died, tmp_path):
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert died(tmp_path) == is_died


def test_retries_are_counted_spaced_and_recorded(tmp_path):
    runs, lines, pauses = [tmp_path / "0", tmp_path / "1"], list[str](), list[float]()
    for run in runs:
        run.mkdir()
    retries = Retries(2, lines.append, pauses.append)
    retries.begin(runs, DEVICE, "INTERNAL: lost\nmore")
    retries.begin(runs[:1], DISK, OSError(28, "full"))
    retries.begin(runs[1:], MEMORY, MemoryError(), wait=False)
    assert pauses == [1.0, 2.0]
    assert not retries.may(runs) and not retries.may([])
    for run in runs:
        (run / "summary.json").write_text('{"status": "completed"}')
    retries.record()
    assert [json.loads((run / "summary.json").read_text())["retries"] for run in runs] == [2, 2]
    assert [line.partition(" (")[0] for line in lines[:2]] == [
        "retry 1 of 2 after a device error",
        "retry 2 of 2 after the disk",
    ]
    assert lines[0].endswith("/0 and 1 more") and lines[-1] == "retries: 4 of 2 runs"
    assert not Retries(0, lines.append).may(runs)


def test_retries_of_earlier_sessions_are_added(tmp_path):
    (tmp_path / "summary.json").write_text('{"status": "completed", "retries": 3}')
    retries = Retries(2, print, lambda seconds: None)
    retries.counts[tmp_path] = 1
    retries.record()
    assert json.loads((tmp_path / "summary.json").read_text())["retries"] == 4


@pytest.mark.parametrize("text", ["", "[]", '{"retries": -1}', '{"retries": "x"}', '{"retries": 1e99}', "{}"])
def test_a_damaged_count_of_retries_is_none(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    assert retries_before(tmp_path) == 0

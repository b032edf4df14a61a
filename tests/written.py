"""What a run has left in its directory, for tests that compare runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import spec_of
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.run_directory import load_config
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import build


def arrays(run: Path) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint of ``run``, by name."""
    checkpoints = Checkpoints(run / "checkpoints", read_only=True)
    state, _ = checkpoints.restore(build(load_config(run)).abstract())
    checkpoints.close()
    return flatten(state)


def assert_same_bits(run: Path, reference: Path) -> None:
    """The last checkpoints of both are of the same step and hold the same bits."""
    one, other = arrays(run), arrays(reference)
    assert one.keys() == other.keys() and len(one) > 20
    assert int(one["step"]) == int(other["step"])
    for name, array in one.items():
        assert array.dtype == other[name].dtype and array.shape == other[name].shape
        assert array.tobytes() == other[name].tobytes(), f"{name} of {run.name} differs"


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def assert_logs_what_was_foretold(run: Path) -> None:
    """``run`` has logged the tags that its config says it does, and no others; of classes those seen."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seen, foretold = {tag for row in rows for tag in row} - {"step"}, logged(load_config(run))
    assert len(foretold) == len(set(foretold))
    few = {tag for tag in foretold if "/class_" in tag or f"{tag}_error" in foretold}  # that may be withheld
    assert seen - few == set(foretold) - few
    assert [tag for tag in foretold if spec_of(tag) is None] == []

"""What a run has left in its directory, for tests that compare runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.checkpoints import Checkpoints, flatten
from ganrun.run import build
from ganrun.rundir import load_config


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

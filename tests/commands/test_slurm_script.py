"""The batch script of docs/gpu.md, with stand-ins for SLURM's commands: it starts, is requeued and resumes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ganrun.config.hydra_bridge import compose

ROOT = Path(__file__).resolve().parents[2]
# Writes down how it was called, and ends as the test says.
STAND_IN = '#!/bin/sh\necho "$(basename "$0") $*" >> calls\n[ "$(basename "$0")" = srun ] && exit "$ENDS"\nexit 0\n'


@pytest.fixture
def submitted(tmp_path):
    """Return a function that runs the script as a job, whose training ends with this code; returns code and calls."""
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```\n(#!/bin/bash\n.*?)```", page, re.DOTALL)
    (tmp_path / "ganrun.sbatch").write_text(script)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    for name in ("srun", "scontrol"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)

    def run(ends: int) -> tuple[int, list[str]]:
        (tmp_path / "calls").unlink(missing_ok=True)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "417", "ENDS": str(ends)}
        done = subprocess.run(["bash", "ganrun.sbatch"], cwd=tmp_path, env=environment, timeout=30, check=False)
        return done.returncode, (tmp_path / "calls").read_text().splitlines()

    return run


def test_a_job_that_ends_is_not_requeued(submitted):
    assert submitted(0) == (0, ["srun ganrun train experiment=dcgan hydra.run.dir=outputs/slurm/417"])
    assert submitted(1)[0] == 1 and len(submitted(1)[1]) == 1  # a run that fails would fail again
    compose("train", ["experiment=dcgan"])


def test_a_job_that_was_stopped_is_requeued_and_resumes(submitted, tmp_path):
    code, calls = submitted(143)  # 128 + SIGTERM: the state is saved
    assert code == 143 and calls[1:] == ["scontrol requeue 417"]
    run = tmp_path / "outputs" / "slurm" / "417"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("")
    assert submitted(0) == (0, ["srun ganrun train resume=outputs/slurm/417"])

"""Commands that need more memory than they may use: refused, or cut to what fits, and never killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from narrow import NARROW

LIMITED = ("bash", "-c", 'ulimit -d 4194304 && exec "$@"', "limited")  # KiB: 4 GiB of private memory
WIDE = ("architecture.generator_hidden=[2048,2048]", "architecture.discriminator_hidden=[2048,2048]")
QUIET = ("log.pictures=0", "probe=off", "steps=2", "log.every=2", "batch_size=16")


def test_a_run_that_does_not_fit_is_refused_in_a_line_and_leaves_nothing(inside, monkeypatch, tmp_path):
    monkeypatch.setattr("ganrun.training.device.free_bytes", lambda: 1 << 20)
    done = inside("train", *NARROW["mlp"], *QUIET, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(r"this run does not fit the memory: it needs about \d+ MiB more, and 1 MiB are free", line)
    assert not list(tmp_path.rglob("config.yaml")) and not list(tmp_path.rglob("summary.json"))


@pytest.mark.slow
def test_a_sweep_that_needs_more_than_a_limit_of_4_gib_is_cut_and_completes(tmp_path):
    words = [
        *LIMITED,
        sys.executable,
        "-m",
        "ganrun",
        "train",
        "-m",
        "seed=range(16)",
        *WIDE,
        *QUIET,
        "checkpoint.keep=1",
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cut = re.search(r"16 runs at once do not fit the memory .*: (\d+) at a time", done.stdout)
    assert cut and 2 <= int(cut[1]) < 16
    assert "retry" not in done.stdout
    summaries = [json.loads(path.read_text()) for path in tmp_path.rglob("summary.json")]
    assert [one["status"] for one in summaries] == ["completed"] * 16

"""Commands of an experiment: run once, continued after an interruption, and run again only if they change."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ganrun.errors import GanrunError
from ganrun.reproduce.workspace import Workspace

TINY = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "metric=none")
WORDS = (*TINY, "dataset=mixture1d", "steps=40")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("experiment"))
    return workspace, workspace.train("runs", *WORDS, "loss=minimax,hinge", seeds=2)


def test_runs_come_in_the_order_of_the_sweep_with_settings_and_rows(trained):
    workspace, runs = trained
    assert [(run.config["loss"]["name"], run.config["seed"]) for run in runs] == [
        ("minimax", 0),
        ("minimax", 1),
        ("hinge", 0),
        ("hinge", 1),
    ]
    assert all(run.completed for run in runs) and runs[0].rows()[-1]["step"] == 40
    assert runs[0].last("value") == runs[0].rows()[-1]["value"]
    assert runs[0].last("jsd/probe") != runs[0].last("jsd/probe")  # NaN: it was not measured
    (command,) = workspace.commands
    assert command.startswith("ganrun train -m ") and "'seed=range(2)'" in command


def test_what_is_there_is_not_trained_again_unless_the_command_changes(trained, monkeypatch):
    workspace, before = trained
    said = []
    again = Workspace(workspace.folder, report=said.append)
    assert [run.path for run in again.train("runs", *WORDS, "loss=minimax,hinge", seeds=2)] == [
        run.path for run in before
    ]
    assert said == [] and again.commands == workspace.commands


def test_a_stopped_sweep_continues_and_one_of_another_command_is_replaced(trained, tmp_path):
    workspace, before = trained
    shutil.copytree(workspace.folder, tmp_path / "cut")
    cut, said = tmp_path / "cut", []
    summary = cut / "runs" / before[1].path.name / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"status": "stopped"}))
    again = Workspace(cut, report=said.append)
    runs = again.train("runs", *WORDS, "loss=minimax,hinge", seeds=2)
    assert all(run.completed for run in runs) and len(said) == 1 and "resume=" in said[0]
    other = again.train("runs", *TINY, "dataset=mixture1d", "steps=20", "loss=hinge", seeds=1)
    assert [run.config["steps"] for run in other] == [20] and "resume=" not in said[-1]


def test_output_is_kept_and_errors_name_the_command_and_its_log(tmp_path):
    said = []
    workspace = Workspace(tmp_path, report=said.append)
    a = workspace.array("a", [[0.0], [1.0], [2.0]] * 40)
    words = ("jsd", str(a), str(a), "estimator=knn", "floor=false", "format=json")
    first = workspace.output("same", *words)
    assert first == workspace.output("same", *words) and len(said) == 1
    with pytest.raises(GanrunError, match=r"ganrun jsd ended with exit code 2: .*estimator"):
        workspace.output("bad", "jsd", str(a), str(a), "estimator=knm")
    assert "latent" in workspace.refused("train", "method=flow", "dataset=ring", "latent.dim=1", "architecture=spline")
    assert workspace.refused("list", "loss") == ""


SCRIPT = """
import signal, sys
from pathlib import Path
from ganrun.reproduce.workspace import Interrupted, Workspace, terminable
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with terminable():
        runs = Workspace(Path(sys.argv[1])).train("runs", *sys.argv[2:], seeds=2)
except Interrupted as error:
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(0 if all(run.completed for run in runs) else 3)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_reproduction_saves_the_state_of_its_sweep_and_continues(number, code, tmp_path):
    words = (*TINY, "dataset=mixture1d", "steps=30000")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *words]
    process = subprocess.Popen(command, start_new_session=True)
    limit = time.monotonic() + 200
    while not any(path.stat().st_size for path in tmp_path.glob("runs/*/metrics.jsonl")) and time.monotonic() < limit:
        time.sleep(0.02)
    # Ctrl-C reaches the command, too, as from a terminal; SIGTERM only the reproduction.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    assert process.wait(200) == code
    stopped = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/summary.json")]
    assert [one["status"] for one in stopped] == ["stopped", "stopped"] and 0 < stopped[0]["steps"] < 30_000
    assert subprocess.run(command, check=False, timeout=300).returncode == 0
    done = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/summary.json")]
    assert [one["steps"] for one in done] == [30_000, 30_000]
    assert "continues at step" in (tmp_path / "runs" / "0-seed=0" / "train.log").read_text()


def test_what_another_command_or_array_has_made_is_not_kept(tmp_path):
    said = []
    workspace = Workspace(tmp_path, report=said.append)
    words = ("jsd", str(workspace.array("a", [[0.0], [1.0]] * 60)), "gaussian", "estimator=knn", "floor=false")
    before = workspace.output("x", *words, "format=json")["estimate"]
    with pytest.raises(GanrunError):  # it ends before it has a result
        workspace.output("x", *words, "format=json", "n=-1")
    assert not (tmp_path / "x.json").exists()
    assert workspace.output("x", *words, "format=json")["estimate"] == before
    workspace.array("a", [[0.0], [1.0]] * 60)
    assert workspace.output("x", *words, "format=json")["estimate"] == before and len(said) == 3
    workspace.array("a", [[0.0], [5.0]] * 60)
    assert workspace.output("x", *words, "format=json")["estimate"] != before and len(said) == 4

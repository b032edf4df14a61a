"""The folder of one experiment, in which it runs ganrun's own commands; what is there already is not run again."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.errors import GanrunError
from ganrun.storage.run_directory import MAX_CONFIG, MAX_SUMMARY, PLAN, write_atomically
from ganrun.storage.safe_io import read_json, read_yaml
from ganrun.storage.sweep_directory import runs_of
from ganrun.writers.whole import write_whole

CONFIG, SUMMARY = "config.yaml", "summary.json"
ENDED = ("completed", "failed", "pruned")  # states of a run that is not continued
SAVING = 60.0  # seconds in which an interrupted command should have saved its state
INTERRUPTED = (130, 143)  # exit codes of a command that saved its state because of a signal


class Interrupted(GanrunError):
    """A command was interrupted; its state is saved, and the same command continues."""

    def __init__(self, code: int) -> None:
        super().__init__("interrupted; the same command continues.")
        self.exit_code = code


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Return a context in which SIGTERM raises :class:`Interrupted`, so that a running command is terminated, too."""

    def interrupt(number: int, frame: object) -> None:
        del frame
        raise Interrupted(128 + number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class TrainedRun:
    """A run of an experiment: its folder, its resolved settings and its summary."""

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def completed(self) -> bool:
        """Whether it has made all its steps."""
        return self.summary.get("status") == "completed"

    def last(self, tag: str) -> float:
        """Return the last value of ``tag``; NaN if it was not measured."""
        value = self.summary["metrics"].get(tag)
        return float("nan") if value is None else float(value)

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows of metrics."""
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@dataclass
class Workspace:
    """Runs commands for an experiment and keeps their results.

    Attributes:
        folder: where everything is stored.
        full: whether the budget is ``full`` instead of ``quick``.
        given_seeds: number of seeds that was asked for; None: what each experiment chooses.
        commands: the commands that were run, or would have been if their results were not there.
        figures: the pictures, with their captions.
        kept: number of commands that were not run, because their results were there.
    """

    folder: Path
    full: bool = False
    given_seeds: int | None = None
    report: Callable[[str], None] = lambda line: None
    commands: list[str] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    kept: int = 0

    def choose(self, quick: Any, full: Any) -> Any:
        """Return ``quick`` or ``full``, by the budget."""
        return full if self.full else quick

    def train(self, name: str, *words: str, seeds: int = 5, fixed_seeds: bool = False) -> list[TrainedRun]:
        """Train a sweep with ``ganrun train -m`` and return its runs in their order.

        Args:
            name: its folder within that of the experiment.
            words: settings; a list with commas is swept over.
            seeds: number of seeds, unless the user gave another.
            fixed_seeds: the number does not depend on what the user asks for, since nothing is random.

        Raises:
            Interrupted: the sweep was interrupted.
            GanrunError: the sweep could not be trained.
        """
        seeds = seeds if fixed_seeds else self.given_seeds or seeds
        more = ("probe=off", "log.pictures=1")
        given = {word.partition("=")[0] for word in words}
        more = tuple(word for word in more if word.partition("=")[0] not in given)
        command = ["train", "-m", *words, *more, f"seed=range({seeds})"]
        folder, line = self.folder / name, f"ganrun {shlex.join(command)}"
        self.commands.append(line)
        self._note(folder, line)
        if not (folder / PLAN).exists():
            shutil.rmtree(folder, ignore_errors=True)  # it was interrupted before its first step
            self._run([*command, f"hydra.sweep.dir={folder}"], name)
        elif not all(run.summary.get("status") in ENDED for run in trained_runs(folder)):
            self.kept += 1
            self._run(["train", f"resume={folder}"], name)
        else:
            self.kept += 1
        return trained_runs(folder)

    def output(self, name: str, *words: str) -> Any:
        """Return the JSON that the command ``words`` prints, of which the experiment's folder keeps a copy."""
        self.commands.append(f"ganrun {shlex.join(words)}")
        file = self.folder / f"{name}.json"
        self._note(file, shlex.join(words))
        if not file.exists():
            write_whole(file, self._run(list(words), name, collects=True).encode())
        else:
            self.kept += 1
        return json.loads(file.read_text(encoding="utf-8"))

    def picture(self, name: str, caption: str, *words: str) -> None:
        """Draw a figure by the command ``words`` with ``out=``, unless it is there."""
        self.commands.append(f"ganrun {shlex.join([*words, f'out={name}'])}")
        file = self.folder / name
        self._note(file, shlex.join(words))
        if not file.exists():
            self._run([*words, f"out={file}"], name)
        else:
            self.kept += 1
        self.figures.append((name, caption))

    def array(self, name: str, values: Any) -> Path:
        """Keep an array as ``name``.npy and return the path; if it is another one than before, commands run again."""
        content, file = io.BytesIO(), self._place() / f"{name}.npy"
        np.save(content, np.asarray(values))
        if not file.exists() or file.read_bytes() != content.getvalue():
            for command in self.folder.glob("*.command"):
                command.unlink()
            write_whole(file, content.getvalue())
        return file

    def clear(self) -> None:
        """Delete all results."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def refused(self, *words: str) -> str:
        """Return the message of a command that must be refused with exit code 2; empty if it is not refused."""
        self.commands.append(f"ganrun {shlex.join(words)}")
        done = subprocess.run(
            [sys.executable, "-m", "ganrun", *words], capture_output=True, text=True, check=False, cwd=self._place()
        )
        return done.stderr.strip() if done.returncode == 2 else ""

    def _note(self, result: Path, command: str) -> None:
        """Note that ``command`` makes ``result``; what another command has made is removed before that."""
        note = self._place() / f"{result.stem}.command"
        if note.exists() and note.read_text(encoding="utf-8") == command:
            return
        if result.is_dir():
            shutil.rmtree(result)
        result.unlink(missing_ok=True)
        write_atomically(note, command)

    def _place(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def _run(self, words: list[str], name: str, collects: bool = False) -> str:
        self.report(f"ganrun {shlex.join(word for word in words if not word.startswith('hydra.sweep.dir'))}")
        log = self._place() / f"{name}.log"
        with log.open("w", encoding="utf-8") as errors:
            output = subprocess.PIPE if collects else errors
            child = subprocess.Popen(
                [sys.executable, "-m", "ganrun", *words], stdout=output, stderr=errors, text=True, encoding="utf-8"
            )
            try:
                text, _ = child.communicate()
            except KeyboardInterrupt:  # a terminal sends Ctrl-C to the command, too; a second signal would kill it
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(SAVING)
                _end(child)
                raise
            except BaseException:
                _end(child)
                raise
        if child.returncode in INTERRUPTED:
            raise Interrupted(child.returncode)
        # Code 1 of a sweep: members failed, which is a result, and which findings count.
        if child.returncode not in ((0,) if words[0] != "train" else (0, 1)):
            lines = log.read_text(encoding="utf-8").strip().splitlines() or ["no message"]
            raise GanrunError(f"ganrun {words[0]} ended with exit code {child.returncode}: {lines[-1]} (log: {log})")
        return text or ""


def _end(child: subprocess.Popen[str]) -> None:
    """Terminate a command that runs, and wait until it has saved its state."""
    if child.poll() is None:
        child.terminate()
    child.wait()


def trained_runs(folder: Path) -> list[TrainedRun]:
    """Return the runs of the sweep in ``folder``, in their order; one that has not begun has no settings."""
    found = []
    for run in runs_of(folder):
        config, summary = run / CONFIG, run / SUMMARY
        settings = read_yaml(config, MAX_CONFIG) if config.exists() else {}
        found.append(TrainedRun(run, settings, read_json(summary, MAX_SUMMARY) if summary.exists() else {}))
    return found

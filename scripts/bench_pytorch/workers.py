"""The processes that bench_vs_pytorch.py starts: workers that answer requests, and commands that are timed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_pytorch.problems import HERE, PLUGIN


class WorkerError(Exception):
    """A worker could not answer; the message is one line."""


@dataclass(frozen=True)
class Setting:
    """Where and how the processes run.

    Attributes:
        ganrun: Python with ganrun.
        pytorch: Python with PyTorch.
        data: the folder of datasets, or None.
        threads: number of cores that each process may use; 0: all.
    """

    ganrun: str = sys.executable
    pytorch: str = sys.executable
    data: str | None = None
    threads: int = 0

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment of a process: ganrun finds the plugin of the benchmarks, and the data."""
        paths = [str(PLUGIN), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        data = {"GANRUN_DATA": self.data} if self.data else {}
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **data, **extra}

    def limit(self) -> None:
        """Limit the calling process, and those that it starts, to ``threads`` cores."""
        if self.threads:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self.threads])


class Worker:
    """A process that answers requests, one at a time."""

    def __init__(self, words: list[str], setting: Setting) -> None:
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=setting.environment()
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self.process.communicate()

    def ask(self, what: str, **details: Any) -> Any:
        """Return the answer to the request ``what``.

        Raises:
            WorkerError: there was none.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            print(json.dumps({"do": what, **details}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError("the process has ended") from None
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": f"the process ended with code {self.process.wait()}"}
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply["answer"]


def ganrun_worker(overrides: list[str], setting: Setting) -> Worker:
    """Start the process in which ganrun runs."""
    return Worker([setting.ganrun, "-m", "bench_pytorch.ganrun_worker", *overrides], setting)


def pytorch_words(mode: str, problem: str, variant: str, images: str | None, *more: int) -> list[str]:
    """Return the arguments that run :mod:`bench_pytorch.torch_worker`."""
    return ["-m", "bench_pytorch.torch_worker", mode, problem, variant, *filter(None, [images]), *map(str, more)]


@dataclass(frozen=True)
class Timed:
    """A command that was run from start to end.

    Attributes:
        first: seconds until its first step.
        whole: seconds until its end.
        peak: peak memory of the process, bytes.
    """

    first: float
    whole: float
    peak: int


def timed(words: list[str], folder: Path, env: dict[str, str], stepped: Callable[[Path], bool]) -> Timed:
    """Run ``words`` in ``folder``; ``stepped`` returns whether the output shows that the first step is done.

    Raises:
        WorkerError: the command failed.
    """
    out = folder / "output.txt"
    begun, first = time.perf_counter(), None
    with out.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=file, stderr=file)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            now = time.perf_counter() - begun
            if first is None and stepped(folder):
                first = now
            if ended:
                break
            time.sleep(0.005)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = out.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        raise WorkerError(f"{Path(words[0]).name} {' '.join(words[1:4])}: {lines[-1][:200]}")
    return Timed(now if first is None else first, now, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))

"""Runs commands inside a process: that of the tests, or another with packages of its own that takes many commands."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

UNSET = ("HYDRA_FULL_ERROR", "GANRUN_DATA", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE")


def clean_environment(**extra: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in UNSET} | extra


def run_inside(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``ganrun WORDS`` inside this process in the folder ``cwd``."""
    from ganrun.cli import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in UNSET[1:]:
            patch.delenv(name, raising=False)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(list(words))
                raise AssertionError("main() always exits")
            except SystemExit as leaving:
                code = leaving.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


class Served:
    """A process with the packages in ``target`` that runs one command after the other: it imports JAX only once."""

    def __init__(self, target: Path) -> None:
        path = os.pathsep.join([str(target), str(Path(__file__).parent)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "running"],
            env=clean_environment(PYTHONPATH=path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run ``ganrun WORDS`` in the folder ``cwd``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([*words, str(cwd)]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"ganrun {' '.join(words)} ended the process with {self._process.wait()}"
        return subprocess.CompletedProcess(words, *json.loads(answer))

    def close(self) -> None:
        self._process.communicate(timeout=60)


@contextlib.contextmanager
def served(target: Path) -> Iterator[Served]:
    process = Served(target)
    try:
        yield process
    finally:
        process.close()


def serve() -> None:
    """Run the commands that standard input names, one a line, and write what each has returned and printed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is not printed by Python is no answer
    for line in sys.stdin:
        *words, cwd = json.loads(line)
        done = run_inside(*words, cwd=Path(cwd))
        answers.write(json.dumps([done.returncode, done.stdout, done.stderr]) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()

"""A run directory from a stranger, commands that are given it, and a place outside that must stay as it is."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stranger import SHORT, TINY, tree


@pytest.fixture(scope="session")
def inside() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``ganrun WORDS`` inside this process in the folder ``cwd``."""

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        from ganrun.cli import main

        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("HYDRA_FULL_ERROR", raising=False)
            patch.delenv("GANRUN_DATA", raising=False)
            captured = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
            with contextlib.chdir(cwd), captured[0], captured[1], pytest.raises(SystemExit) as leaving:
                main(list(words))
        assert isinstance(leaving.value.code, int)
        return subprocess.CompletedProcess(words, leaving.value.code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def whole(inside, tmp_path_factory) -> Path:
    """A run directory as ganrun leaves it."""
    cwd = tmp_path_factory.mktemp("whole")
    done = inside("train", *TINY, *SHORT, "hydra.run.dir=stranger", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "stranger"


@pytest.fixture
def stranger(whole, tmp_path) -> Path:
    """A copy of it, to be made hostile."""
    return Path(shutil.copytree(whole, tmp_path / "stranger"))


@pytest.fixture
def outside(tmp_path_factory) -> Iterator[Path]:
    """A folder and a file (``outside / "file"``) elsewhere, which nothing may change."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "file").write_text("untouched\n")
    before = tree(folder)
    yield folder
    assert tree(folder) == before


@pytest.fixture
def refused(inside, tmp_path) -> Callable[..., str]:
    """Run a command that must be refused in a line or two before it writes anything; return these lines."""

    def run(*words: str, code: int = 2) -> str:
        before = tree(tmp_path)
        done = inside(*words, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("ganrun: ") and 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
        assert done.stderr.replace("\n", "").isprintable() and "Traceback" not in done.stderr
        assert "HYDRA_FULL_ERROR" not in done.stderr, "the error was not expected"
        assert tree(tmp_path) == before
        return done.stderr

    return run

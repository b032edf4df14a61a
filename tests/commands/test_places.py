"""No command depends on where it runs: the working directory, the home, the user, the encoding of names."""

from __future__ import annotations

import io
import logging
import os
import pwd
import sys
from pathlib import Path

import pytest

from ganrun.config.hydra_bridge import compose, config_folder
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.storage.folder_checks import require_place
from ganrun.storage.run_directory import load_config, save_config, write_atomically
from ganrun.writers.console import Messages


@pytest.fixture
def nobody(monkeypatch, tmp_path) -> None:
    """Have the process belong to somebody of whom the system knows nothing, and be unable to write a home."""

    def unknown(*_):
        raise KeyError("uid not found")

    places = ("HOME", "XDG_CACHE_HOME", "GANRUN_CACHE", "JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR")
    for name in ("USER", "LOGNAME", "USERNAME", *places):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.fixture
def gone(tmp_path, monkeypatch) -> Path:
    """A working directory that has been deleted, as far as a process can see."""
    here = tmp_path / "gone"
    here.mkdir()
    monkeypatch.chdir(here)

    def deleted(*_):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", deleted)
    monkeypatch.setattr(Path, "cwd", deleted)
    return here


GROUPS = [path.name for path in sorted(config_folder().iterdir()) if list(path.glob("*.yaml"))]


def flushed(streams):
    for stream in streams:
        stream.flush()
    return streams


def run(*words: str) -> int:
    """Run ``ganrun WORDS`` in this process; return the exit code."""
    from ganrun.cli import main

    with pytest.raises(SystemExit) as leaving:
        main(list(words))
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


@pytest.mark.parametrize(
    "words",
    [
        ("train", "steps=1", "hydra.run.dir=/tmp/nowhere"),
        ("train", "--help"),
        ("train", "-m", "seed=0,1"),
        ("sample",),
        ("export",),
        ("jsd", "ring", "grid"),
        ("compare", "latest"),
    ],
    ids=" ".join,
)
def test_a_working_directory_that_is_gone_is_reported_in_one_line(words, gone, capsys):
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == ("ganrun: the working directory cannot be entered (No such file or directory): cd to another.\n")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("list", "schedules"), ("doctor",)], ids=" ".join)
def test_what_needs_no_working_directory_works_without_one(words, gone, capsys):
    assert run(*words) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out


def test_who_has_no_home_and_no_name_can_do_everything(nobody, inside, tiny, tmp_path):
    done = inside("train", *tiny, "steps=2", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    done = inside("sample", "run=run", "n=5", "out=x.png", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    done = inside("compare", "run", "out=table.md", "picture=curves.png", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    done = inside("doctor", cwd=tmp_path)
    assert done.returncode == 0 and "there is no home folder, so every run compiles again" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "run", "table.md", "x.png"]


def test_matplotlib_says_nothing_of_its_own_folders(capsys):
    logger = logging.getLogger("matplotlib")
    logger.setLevel(logging.NOTSET)
    assert run("list", "schedules") == 0
    assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)


@pytest.mark.parametrize("command", ["sample", "compare", "export"])
def test_a_folder_that_cannot_be_written_is_reported_before_any_work(command, inside, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser can write everywhere
    words = {"sample": ("out=x.png",), "compare": ("latest", "out=x.md"), "export": ("out=x",)}[command]
    done = inside(command, *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"ganrun: out: {tmp_path.resolve()} cannot be written.\n")


@pytest.mark.parametrize("words", [("out='~nobody-here/x.md'",), ("picture='~nobody-here/x.png'",)])
def test_a_home_of_nobody_is_reported(words, inside, tmp_path):
    done = inside("compare", "latest", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "ganrun: there is no user ~nobody-here.\n")


STRANGE = "r\udcfcn"  # the byte 0xfc, which is no UTF-8: ü as older systems write it


def test_a_run_may_lie_in_a_folder_whose_name_is_no_text(tmp_path):
    folder = tmp_path / STRANGE
    folder.mkdir()
    save_config(check(compose("train", ["seed=7"])), folder)
    assert load_config(folder).seed == 7
    messages = Messages(folder)
    messages.say(f"run directory: {folder}", show=False)
    messages.close()
    assert os.fsencode(folder) in (folder / "train.log").read_bytes()
    write_atomically(folder / "comparison.md", f"{folder}\n")
    assert (folder / "comparison.md").read_bytes() == os.fsencode(folder) + b"\n"
    assert require_place("out", str(folder / "x.npy")) == folder / "x.npy"


def test_a_data_folder_whose_name_no_config_can_hold_is_refused():
    node = compose("train", [])
    with pytest.raises(ConfigError, match=r"data_dir: 'r\\udcfcn' is not valid UTF-8, so a config cannot store it"):
        check({**node, "data_dir": STRANGE})


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("list",),
        ("list", *GROUPS),
        *(
            (command, "--help")
            for command in ("train", "sample", "jsd", "compare", "export", "bench", "list", "doctor")
        ),
        ("train", "--cfg", "job", "data_dir='dü ≥ x'"),
        ("train", "loss=hingé"),
        ("sample", "run='nicht dä'"),
        ("jsd", "nicht-dä.npy", "ring"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_all_messages_can_be_printed_in_every_encoding(words, encoding, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors) for errors in ("strict", "backslashreplace")]
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    code = run(*words)
    out, err = (stream.detach().getvalue() for stream in flushed(streams))
    if any("nicht" in word or word == "loss=hingé" for word in words):
        assert (code, out) == (2, b"") and len(err.splitlines()) == 1
    else:
        assert (code, err) == (0, b"") and out
    (out + err).decode(encoding)

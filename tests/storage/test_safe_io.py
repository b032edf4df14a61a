"""Plain data out of small files: what ganrun writes comes back, and what is more than that does not."""

from __future__ import annotations

import importlib.util
import os

import pytest
import yaml

from ganrun.config.hydra_bridge import config_folder
from ganrun.storage import safe_io
from ganrun.storage.run_directory import save_config
from ganrun.storage.safe_io import DEEPEST, is_one_line, open_file, parsed, read_bytes, read_yaml

PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_saved_of_a_run_is_read_as_a_safe_loader_reads_it(preset, compose_config, tmp_path):
    save_config(compose_config([f"experiment={preset}"]), tmp_path)
    path = tmp_path / "config.yaml"
    assert read_yaml(path, 1 << 16) == yaml.safe_load(path.read_text())


def read(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    return read_yaml(tmp_path / "x.yaml", 1 << 16)


def test_words_that_yaml_has_meanings_for_are_words(tmp_path):
    assert read(tmp_path, "a: 2024-01-01\nb: 12:30:00 x\nc: =\nd: yes\ne: ~\nf: 1e3\n") == {
        "a": "2024-01-01",
        "b": "12:30:00 x",
        "c": "=",
        "d": True,
        "e": None,
        "f": "1e3",
    }


def test_groups_may_be_so_deep_and_no_deeper(tmp_path):
    whole = "{a: " * (DEEPEST - 1) + "1" + "}" * (DEEPEST - 1)
    assert read(tmp_path, whole)["a"]
    with pytest.raises(ValueError, match="nested too deeply"):
        read(tmp_path, f"{{a: {whole}}}")


def test_what_is_refused_is_told_with_its_line(tmp_path):
    with pytest.raises(ValueError, match=r"^line 3: there is a tag \(tag:yaml.org,2002:python/name:os.system\)"):
        read(tmp_path, "a: 1\nb: 2\nc: !!python/name:os.system\n")


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_bytes(tmp_path / "x", 4)


def test_only_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        open_file(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "missing")


def test_numbers_that_json_does_not_have_are_refused_where_they_must_be():
    assert parsed(b"[1.5, -2]", finite=True) == [1.5, -2]
    for content in (b"NaN", b"[-Infinity]", b"1e999", b"[" * 100_000):
        with pytest.raises(ValueError):
            parsed(content, finite=True)


@pytest.mark.parametrize("text", ["\n", "\r", "\x1b[2J", "\0", "\x85", "\u2028", "\ud800"])
def test_what_breaks_a_line_or_speaks_to_the_terminal_is_no_line(text):
    assert not is_one_line(f"a{text}b")
    assert is_one_line("naïve ∑ 数 a b")


def test_yaml_is_read_alike_without_libyaml(monkeypatch, tmp_path):
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    spec = importlib.util.find_spec("ganrun.storage.safe_io")
    slow = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(slow)
    assert slow.Loader is yaml.SafeLoader
    for content in ("a: 1\nb: [x, 2.5, null, true]\nc: {d: '1'}\n", "a: &x 1\nb: *x\n", "a: [1\n", "a: 1\na: 2\n"):
        (tmp_path / "file.yaml").write_text(content)
        results = []
        for reader in (slow, safe_io):
            try:
                results.append(reader.read_yaml(tmp_path / "file.yaml", 100))
            except ValueError as error:
                results.append(str(error).split(":")[0])
        assert results[0] == results[1]

"""The wheel works away from the checkout: with its own conf, and without the tests."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("pyproject.toml", "README.md", "LICENSE")


def finished(words: list[str], cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in NEEDED:
        shutil.copy(ROOT / name, source / name)
    for name in ("ganrun", "conf", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    if any(importlib.util.find_spec(name) is None for name in ("build", "hatchling")):
        build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(source)]
    done = finished(build, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory) -> Path:
    """The folder that the wheel is installed into, with a mark in its conf."""
    folder = tmp_path_factory.mktemp("target")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = finished([*install, "--disable-pip-version-check"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    train = folder / "ganrun/conf/train.yaml"
    assert "seed: 0 " in train.read_text()
    train.write_text(train.read_text().replace("seed: 0 ", "seed: 41 "))
    (folder / "ganrun/conf/loss/only_here.yaml").write_text("# A mark that no checkout has.\nname: minimax\n")
    return folder


@pytest.fixture(scope="module")
def installed(target, environment) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed ganrun in a folder that is neither the checkout nor inside it."""

    def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return finished([sys.executable, "-m", "ganrun", *words], cwd, env=environment(PYTHONPATH=str(target)))

    return run


def test_the_wheel_holds_every_config(names):
    wanted = {f"ganrun/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert len(wanted) > 15 and wanted <= set(names)


def test_the_wheel_holds_every_module_and_the_command(names, wheel):
    wanted = {str(path.relative_to(ROOT)).removeprefix("ganrun/plugins/") for path in (ROOT / "ganrun").rglob("*.py")}
    assert wanted <= set(names)
    (entry,) = [name for name in names if name.endswith("entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        assert "ganrun = ganrun.cli:main" in archive.read(entry).decode()


def test_the_wheel_holds_nothing_else(names):
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 3 and {"ganrun", "hydra_plugins"} < tops and any(top.endswith(".dist-info") for top in tops)
    assert not [name for name in names if "test" in name or "__pycache__" in name or "outputs" in name]


def test_the_installed_command_lists_the_options_of_its_own_conf(installed, tmp_path):
    done = installed("list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dataset=ring" in done.stdout and "loss=only_here" in done.stdout


def test_the_installed_command_composes_its_own_conf(installed, tmp_path):
    done = installed("train", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seed: 41" in done.stdout and list(tmp_path.iterdir()) == []


def test_the_installed_command_trains_and_samples(installed, tiny, only_run, tmp_path):
    done = installed("train", *tiny, "steps=20", "log.every=10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seed: 41" in (only_run(tmp_path) / "config.yaml").read_text()
    done = installed("sample", "out=x.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.npy").is_file()

"""The commands of README.md and of docs/ are executed, shortened; .ci/run executes the two set-up commands.

The first command of the README runs in a process of its own. The others run inside this one, which saves each of them
three seconds of importing JAX. The commands of a page share a folder, with one finished run, and run in their order.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from narrow import NARROW, narrow
from PIL import Image

from ganrun.datasets.images import files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
SHORT = ("steps=6", "log.every=3", "log.pictures=1", "probe=off", "batch_size=16")
LITTLE = ("budget=0.1", "n=1000", "floor=false")
# The pages in docs/ that have commands.
USED = ("conditional", "data", "eval", "export", "gpu", "index", "methods", "metrics", "performance", "reading_sweeps")
USED += ("reproduce", "runs", "sampling", "scaling", "sweeps", "tutorial")


OFTEN = ("log.every=1", "stop.patience=2", "stop.times=6")  # early stopping compares several evaluations


def commands() -> list[tuple[str, str]]:
    """The commands of all pages, each with the name of its page."""
    blocks = [(page, block) for page, text in PAGES.items() for block in BLOCK.findall(text)]
    lines = [(page, line) for page, block in blocks for line in block.splitlines() if line.strip()]
    return [(page, line) for page, line in lines if not (page == "README.md" and "-m venv" in line)]


def data_folder() -> Path | None:
    places = [os.environ.get("GANRUN_DATA"), ROOT.parent / "shared" / "datasets"]
    return next((Path(place) for place in places if place and (Path(place) / "mnist").is_dir()), None)


def narrowed(words: list[str], compose_config) -> tuple[str, ...]:
    """Overrides for the smallest networks of the architecture that ``words`` choose."""
    chosen = [word for word in words if word.startswith(("architecture=", "experiment=", "method="))]
    return narrow(compose_config(chosen))


@pytest.fixture(scope="module")
def finished(inside, tmp_path_factory) -> Path:
    """A folder with one finished run, which `latest` refers to whichever command is tested first."""
    folder = tmp_path_factory.mktemp("finished")
    done = inside("train", *SHORT, *NARROW["mlp"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def workplace(finished, tmp_path_factory) -> Callable[[str], Path]:
    """Return the folder for the commands of a page, which begins as a copy of ``finished``."""
    folders: dict[str, Path] = {}

    def folder_of(page: str) -> Path:
        if page not in folders:
            folders[page] = tmp_path_factory.mktemp(Path(page).stem)
            shutil.copytree(finished, folders[page], dirs_exist_ok=True)
            if page == "docs/data.md":
                fill(folders[page])
        return folders[page]

    return folder_of


def fill(folder: Path) -> None:
    """Write the user's files of docs/data.md: a folder and an archive of images, an array and a table."""
    rng = np.random.default_rng(0)
    (folder / "PICTURES").mkdir()
    with zipfile.ZipFile(folder / "PICTURES.zip", "w") as archive:
        for number in range(40):
            picture = folder / "PICTURES" / f"{number}.png"
            Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(picture)
            archive.write(picture, picture.name)
    np.save(folder / "IMAGES.npy", rng.integers(0, 256, (40, 8, 8), np.uint8))
    numbers = enumerate(rng.normal(size=(40, 2)))
    rows = [f"{height:.2f},{weight:.1f},{'fm'[number % 2]}" for number, (height, weight) in numbers]
    (folder / "TABLE.csv").write_text("\n".join(["height,weight,sex", *rows, ""]))


GANRUN = [(page, line) for page, line in commands() if line.startswith("ganrun")]


@pytest.mark.parametrize(("page", "command"), GANRUN)
def test_a_ganrun_command_of_a_page_runs(
    page, command, workplace, ganrun, inside, compose_config, quick_experts_only, tmp_path, monkeypatch
) -> None:
    words = shlex.split(command)
    if ("dataset=mnist" in words or "goodfellow2014" in command) and data_folder() is None:
        pytest.skip("no MNIST at $GANRUN_DATA or ../shared/datasets")
    trains = words[1] == "train" and "--help" not in words and "--cfg" not in words
    if trains and "resume=latest" not in words:
        stops = any(word.startswith("stop.when=") for word in words)
        words += [*SHORT, *OFTEN * stops, *narrowed(words, compose_config)]
    if words[1] == "bench":
        words += ["batch_size=16", "seconds=0.1", *narrowed(words, compose_config)]
    if words[1] == "jsd" and "estimator=exact" not in words:
        words += LITTLE
    if words[1] == "eval" or (words[1] == "jsd" and page != "README.md"):  # one estimates with all learners
        quick_experts_only(monkeypatch)
    # The devices of a process are chosen once.
    run = ganrun if (page, command) == GANRUN[0] or "mesh." in command else inside
    environment = {"GANRUN_DATA": str(data_folder())} if data_folder() else {}
    if page == "docs/data.md":  # decodes images, which are not to be left in the user's cache
        monkeypatch.setattr(files, "_known", {})
        environment["GANRUN_CACHE"] = str(tmp_path / "cache")
    done = run(*words[1:], cwd=workplace(page), env=environment)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    if {"dataset=folder", "dataset=zip"} & set(words):
        assert len(list((tmp_path / "cache" / "datasets").iterdir())) == 1


def test_the_pages_have_commands() -> None:
    assert {page for page, _ in GANRUN} >= {"README.md", *(f"docs/{name}.md" for name in USED)}


def test_the_tensorboard_command_of_the_readme_serves_the_runs(workplace) -> None:
    (command,) = [line for _, line in commands() if line.startswith("tensorboard")]
    words = shlex.split(command)
    port = 6900 + os.getpid() % 1000
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *words[1:], "--port", str(port)],
        cwd=workplace("README.md"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        runs = wait_for(f"http://127.0.0.1:{port}/data/runs")
        assert re.search(r"\d{4}-\d\d-\d\d", runs)
    finally:
        server.kill()
        server.wait()


def wait_for(address: str) -> str:
    for _ in range(200):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                text = answer.read().decode()
            if text.strip() != "[]":
                return text
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.2)
    raise AssertionError(f"nothing at {address}")


def test_every_other_command_is_a_set_up_command_that_the_ci_script_runs() -> None:
    rest = [line for _, line in commands() if not line.startswith(("ganrun", "tensorboard"))]
    assert rest == []
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for marker in ("main-job", "tests"):
        assert f"<!-- {marker} -->\n```bash\n" in README
        assert f"readme_command {marker}" in script


def test_the_pictures_of_the_readme_are_there() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (ROOT / picture).is_file()

"""Options of a package that is installed or named on the command line, in real commands; a run has none imported."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from running import Served, served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "example_plugin"
PACKAGE = "ganrun_example"
OPTIONS = ("loss=least_absolute", "penalty=centre", "dataset=row", "architecture=affine")
SHORT = ("steps=20", "log.every=10", "log.pictures=1", "batch_size=16", "probe=off", "evaluate.share=1")
NAMED = f"plugins=[{PACKAGE}]"
CANARY = "\nimport pathlib\n\npathlib.Path('imported').touch()\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(environment) -> Run:
    """Run ``ganrun WORDS`` as a process in the folder ``cwd``, with the packages in ``target``."""

    def command(*words: str, target: Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ganrun", *words],
            cwd=cwd,
            env=environment(PYTHONPATH=str(target), **env),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return command


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that the example is installed into, from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    words += ["--disable-pip-version-check", "--target", str(folder / "target"), str(source)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "target" / PACKAGE / "conf" / "loss" / "least_absolute.yaml").is_file()
    return folder / "target"


@pytest.fixture(scope="module")
def importable(tmp_path_factory) -> Path:
    """A folder with the example as a package that can be imported, but is not installed; it marks where it is."""
    folder = tmp_path_factory.mktemp("importable")
    shutil.copytree(SOURCE / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / PACKAGE / "__init__.py").open("a") as file:
        file.write(CANARY)
    return folder


@pytest.fixture(scope="module")
def with_it(installed) -> Iterator[Served]:
    """Run ``ganrun WORDS`` in a process that has the installed example, with other such commands before it."""
    with served(installed) as process:
        yield process


@pytest.fixture(scope="module")
def beside_it(importable) -> Iterator[Served]:
    """Run ``ganrun WORDS`` in a process that could import the example, after others that were not asked to, either."""
    with served(importable) as process:
        yield process


@pytest.fixture(scope="module")
def trained(run, installed, tmp_path_factory) -> Path:
    """A run with all options of the installed example."""
    cwd = tmp_path_factory.mktemp("trained")
    done = run("train", *OPTIONS, *SHORT, "hydra.run.dir=run", target=installed, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "run"


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that has been refused."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "" and done.stderr.startswith("ganrun: ")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("ganrun: ")


def test_a_run_is_trained_with_its_options_and_names_the_package(trained):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["plugins"] == [PACKAGE]
    assert config["loss"] == {"name": "least_absolute", "target": 1.0}
    assert config["penalty"] == {"centre": {"weight": 0.1}}
    assert config["dataset"] == {"name": "row", "modes": 3, "std": 0.2}
    assert config["architecture"] == {"name": "affine", "hidden": 16}
    assert [row["step"] for row in rows(trained)] == [0, 10, 20]
    for row in rows(trained)[1:]:
        # By Jensen's inequality: each is the mean of a convex function of the critic's output, over examples and steps.
        assert row["penalty/centre"] >= 0.1 * row["critic/real"] ** 2 - 1e-6
        assert row["loss/discriminator"] >= abs(row["critic/real"] - 1) + abs(row["critic/fake"]) - 1e-4


def test_samples_are_drawn_from_its_run(with_it, copy, tmp_path):
    done = with_it("sample", "run=run", "n=5", "out=x.npy", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    samples = np.load(tmp_path / "x.npy")
    assert samples.shape == (5, 2) and np.isfinite(samples).all()


def test_its_runs_are_compared(with_it, copy, tmp_path):
    done = with_it("compare", "run", "format=json", "metrics=[penalty/centre]", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{rows(copy)[-1]['penalty/centre']:.6g}"[:6] in done.stdout


def test_its_run_is_resumed(with_it, copy, tmp_path):
    done = with_it("train", "resume=run", "steps=40", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["step"] for row in rows(copy)] == [0, 10, 20, 30, 40]
    assert yaml.safe_load((copy / "config.yaml").read_text())["plugins"] == [PACKAGE]


def test_its_dataset_is_a_distribution(with_it, tmp_path):
    done = with_it("jsd", "row", "ring", "estimator=exact", "floor=false", "format=json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    # The densities hardly overlap: ring has modes of width 0.02 at a distance of 2, two of them where row has its ends.
    assert 0.5 < json.loads(done.stdout)["estimate"] <= np.log(2)


def test_its_preset_is_composed(with_it, tmp_path):
    done = with_it("train", "experiment=row", "loss.target=0.5", "--cfg", "job", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    config = yaml.safe_load(done.stdout)
    assert (config["loss"], config["architecture"]["name"]) == ({"name": "least_absolute", "target": 0.5}, "affine")


def test_its_method_and_its_metric_are_those_of_a_run(with_it, tmp_path):
    words = ("method=normal", "dataset=gaussian", "dataset.mean=3", "metric=[norm,log_density]", *SHORT, "steps=300")
    words += ("optimizer.generator.learning_rate=0.1", "checkpoint.best=samples/norm", "hydra.run.dir=run")
    done = with_it("train", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last = rows(tmp_path / "run")[-1]
    # N(3, 1): the log likelihood is at most -(1 + log 2π)/2, and the mean of |x| is 3.0, to the fitted parameters.
    assert last["log_likelihood"] == pytest.approx(-0.5 * (1 + np.log(2 * np.pi)), abs=0.05)
    assert last["samples/norm"] == pytest.approx(3.0, abs=0.2) and last["log_likelihood_se"] < 0.02
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["plugins"], config["architecture"], config["loss"]) == ([PACKAGE], None, None)
    done = with_it("sample", "run=run", "n=1000", "out=x.npy", cwd=tmp_path)
    assert done.returncode == 0 and np.load(tmp_path / "x.npy").mean() == pytest.approx(3.0, abs=0.2)
    refusal = with_it("train", "method=normal", "architecture=mlp", cwd=tmp_path)
    assert refused(refusal).startswith("architecture is not a part of method=normal")


def test_its_options_are_listed_with_the_package(with_it, tmp_path):
    done = with_it("list", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    for option in (*OPTIONS, "experiment=row", "method=normal", "metric=norm"):
        assert re.search(rf"{option} [^=]*\({PACKAGE}\)", text), option
    assert text.count(PACKAGE) == len(OPTIONS) + 3
    done = with_it("list", "losses", cwd=tmp_path)
    assert f"  loss=least_absolute ({PACKAGE})\n" in done.stdout
    assert "Formula: C minimises E |C(x) - t| + E |C(G(z))|" in done.stdout


def test_its_options_are_in_the_help_of_train(with_it, tmp_path):
    done = with_it("train", "--help", cwd=tmp_path)
    assert done.returncode == 0 and re.search(r"^loss: .*\bleast_absolute\b", done.stdout, re.MULTILINE)
    assert "plugins: []" in done.stdout


def test_doctor_lists_it(with_it, tmp_path):
    done = with_it("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if PACKAGE in line]
    options = "dataset=row, architecture=affine, method=normal, loss=least_absolute, penalty=centre, metric=norm"
    assert line.split() == f"ok plugins {PACKAGE} (ganrun-example 0.1.0): {options}".split()


def test_the_config_folder_of_an_installed_plugin_is_in_the_search_path_without_importing_it(
    run, importable, installed, tmp_path
):
    (info,) = installed.glob("*.dist-info")
    shutil.copytree(info, tmp_path / "target" / info.name)
    shutil.copytree(importable / PACKAGE, tmp_path / "target" / PACKAGE)
    done = run("train", "--info", "searchpath", target=tmp_path / "target", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"plugin {PACKAGE} +\| file://{tmp_path}/target/{PACKAGE}/conf", done.stdout)
    for words in (("--help",), ("--version",), ("list",)):
        assert run(*words, target=tmp_path / "target", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "imported").exists()
    assert run("list", "losses", target=tmp_path / "target", cwd=tmp_path).returncode == 0
    assert (tmp_path / "imported").exists()


def test_without_it_its_options_are_unknown(beside_it, tmp_path):
    line = refused(beside_it("train", "loss=least_absolute", cwd=tmp_path))
    assert line.startswith("loss has no option 'least_absolute'. Did you mean 'least_squares'? It has ")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_not_installed_is_named_in_every_command(run, importable, copy, tmp_path):
    done = run("train", NAMED, *OPTIONS, *SHORT, "hydra.run.dir=own", target=importable, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load((tmp_path / "own" / "config.yaml").read_text())["plugins"] == [PACKAGE]
    done = run("sample", "run=run", NAMED, "n=5", "out=x.npy", target=importable, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = run("train", "resume=run", NAMED, "steps=30", target=importable, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(tmp_path / "run")[-1]["step"] == 30


def test_jobs_in_other_processes_have_the_package_too(run, importable, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("-m", NAMED, *OPTIONS, *SHORT, "seed=0,1", "hydra/launcher=joblib", "hydra.sweep.dir=sweep")
    done = run("train", *words, target=importable, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summaries = [json.loads(path.read_text()) for path in tmp_path.glob("sweep/*/summary.json")]
    assert [summary["status"] for summary in summaries] == ["completed", "completed"]


REFUSED = {
    "sample": ("sample", "run=run", "out=x.npy"),
    "compare": ("compare", "run"),
    "jsd": ("jsd", "ring", "run"),
    "resume": ("train", "resume=run", "steps=30"),
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED.keys())
def test_a_run_cannot_have_a_package_imported(words, beside_it, copy, tmp_path):
    line = refused(beside_it(*words, cwd=tmp_path))
    assert line == (
        f"{copy}/config.yaml: this run uses the package '{PACKAGE}', which is not a plugin of ganrun here: "
        f"install it, or add '{NAMED}' if you trust it."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_nor_can_a_folder_of_configs(beside_it, copy, tmp_path):
    words = ("train", "--config-dir", "run", "--config-name", "config")
    line = refused(beside_it(*words, cwd=tmp_path))
    assert line.startswith(f"this config uses the package '{PACKAGE}', which is not a plugin of ganrun here: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


BROKEN = {
    "one that fails": ("raise RuntimeError('no')\n", "the plugin 'broken' cannot be imported: RuntimeError: no."),
    "one that shadows": (
        "from dataclasses import dataclass\nfrom ganrun.config.registry import register\n\n"
        "@register('loss', 'hinge')\n@dataclass(frozen=True)\nclass Hinge:\n    name: str = 'hinge'\n",
        "the plugin 'broken' has loss=hinge, which ganrun has itself",
    ),
    "one that is not there": (None, "plugins: there is no package 'broken' to import."),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("words", [("train", "steps=1"), ("list", "losses")], ids=["train", "list"])
def test_a_plugin_that_cannot_be_used_is_told_in_a_line(words, code, reason, run, tmp_path):
    if code is not None:
        (tmp_path / "target" / "broken").mkdir(parents=True)
        (tmp_path / "target" / "broken" / "__init__.py").write_text(code)
    (tmp_path / "cwd").mkdir()
    done = run(*words, "plugins=[broken]", target=tmp_path / "target", cwd=tmp_path / "cwd")
    assert refused(done).startswith(reason)
    assert list((tmp_path / "cwd").iterdir()) == []


def test_hydra_full_error_shows_where_a_plugin_fails(run, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("raise RuntimeError('no')\n")
    words = ("list", "losses", "plugins=[broken]")
    done = run(*words, target=tmp_path, cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 2 and "Traceback" in done.stderr
    assert "broken/__init__.py" in done.stderr and "RuntimeError: no" in done.stderr


def test_the_package_in_contributing_works(run, tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text[text.index("## Your own package") :].split("\n## ")[0]
    blocks = re.findall(r"```(?:toml|python|yaml)\n(.*?)```", section, re.DOTALL)
    project, code, config = map(textwrap.dedent, blocks)
    assert tomllib.loads(project)["project"]["entry-points"]["ganrun.plugins"] == {"my_gans": "my_gans"}
    (tmp_path / "my_gans" / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "my_gans" / "__init__.py").write_text(code)
    (tmp_path / "my_gans" / "conf" / "loss" / "least_absolute.yaml").write_text(config)
    words = ("loss=least_absolute", "loss.target=0.5", *SHORT, "dataset=gaussian", "hydra.run.dir=run")
    done = run("train", "plugins=[my_gans]", *words, target=tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["step"] for row in rows(tmp_path / "run")] == [0, 10, 20]


def test_the_package_of_own_parts_works(run, tmp_path):
    text = (ROOT / "docs" / "own_parts.md").read_text(encoding="utf-8")
    code, dataset, metric = re.findall(r"```(?:python|yaml)\n(.*?)```", text, re.DOTALL)
    for file, content in (
        ("__init__.py", code),
        ("conf/dataset/cross.yaml", dataset),
        ("conf/metric/spread.yaml", metric),
    ):
        (tmp_path / "mine" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / file).write_text(content)
    (command,) = re.findall(r"^PYTHONPATH=. ganrun (train .*)$", text, re.MULTILINE)
    hidden = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]")
    done = run(*shlex.split(command), *SHORT, *hidden, "hydra.run.dir=run", target=tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    last = rows(tmp_path / "run")[-1]
    assert last["step"] == 20 and last["samples/spread"] > 0 and "jsd/exact" in last and "modes/covered" in last


def test_an_architecture_computes_in_bf16_and_a_method_that_does_not_know_of_it_is_refused(with_it, tmp_path):
    words = (*OPTIONS, *SHORT, "precision=bf16", "hydra.run.dir=run")
    done = with_it("train", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["precision"] == "bf16"
    assert rows(tmp_path / "run")[-1]["step"] == 20
    line = refused(with_it("train", "method=normal", "precision=bf16", cwd=tmp_path))
    assert line == "precision=bf16 cannot be combined with method=normal, which has f32."

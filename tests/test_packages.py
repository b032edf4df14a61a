"""The packages of ganrun: few at the top, none of which import each other, and a page that shows how they are."""

import graphlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import package_graph  # noqa: E402


def test_no_two_packages_import_each_other():
    graph = package_graph.packages()
    assert {"methods", "training", "evaluation", "storage"} <= graph.keys() and graph["training"] >= {
        "methods",
        "storage",
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises where there is a cycle


def test_a_cycle_is_found(tmp_path):
    for name, line in (("a", "from ganrun.b.inner import f"), ("b", "import ganrun.c"), ("c", "from ganrun import a")):
        (tmp_path / "ganrun" / name).mkdir(parents=True)
        (tmp_path / "ganrun" / name / "inner.py").write_text(f"def g():\n    {line}\n")
    graph = package_graph.packages(tmp_path)
    assert graph == {"a": {"b"}, "b": {"c"}, "c": {"a"}}
    with pytest.raises(graphlib.CycleError):
        package_graph.reduced(graph)


def test_an_arrow_that_follows_from_others_is_left_out():
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert package_graph.reduced(graph) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}


def test_there_are_at_most_eight_files_at_the_top():
    assert len(list((ROOT / "ganrun").glob("*.py"))) <= 8


def test_the_page_is_that_of_the_code():
    assert (ROOT / "docs" / "packages.md").read_text(encoding="utf-8") == package_graph.page(package_graph.packages())


def test_nothing_outside_the_methods_asks_which_method_it_is():
    # config names the modules of the registry as text, and reproduce is about particular methods.
    own = {ROOT / "ganrun" / name for name in ("methods", "config", "reproduce")}
    modules = {path.stem for path in (ROOT / "ganrun" / "methods").iterdir() if path.is_dir()} - {"__pycache__"}
    assert {"autoregressive", "dbm", "drifting", "flow", "gan", "gsn", "rbm", "vae"} <= modules
    found = []
    for path in (ROOT / "ganrun").rglob("*.py"):
        if own.isdisjoint(path.parents):
            text = path.read_text(encoding="utf-8")
            found += [f"{path.name}: {name}" for name in modules if f"ganrun.methods.{name}" in text]
    assert found == []

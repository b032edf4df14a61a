"""Hydra's internals are used in one file, which says the versions that it was checked with and puts everything back."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from hydra._internal import utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from packaging.version import Version

import ganrun
from ganrun.config import hydra_internals
from ganrun.config.folders import config_folder

PACKAGE = Path(ganrun.__file__).parent
INTERNALS = PACKAGE / "config" / "hydra_internals.py"
PRIVATE = re.compile(
    r"hydra\.(_internal|version|core\.(global_hydra|singleton)|core\.utils\.JobRuntime|.*\._\w+)(\.|$)"
)


def uses_of_internals(source: str) -> list[str]:
    """The lines of ``source`` that import Hydra's internals, or set or read what is not public in a part of Hydra."""
    nodes, known, found = list(ast.walk(ast.parse(source))), set(), []
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}": alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = {alias.name: (alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            continue
        of_hydra = {name: bound for name, bound in names.items() if name.partition(".")[0] == "hydra"}
        known |= set(of_hydra.values())
        found += [node.lineno for name in of_hydra if PRIVATE.match(f"{name}")]
    for node in nodes:
        if isinstance(node, ast.Attribute) and _root(node) in known:
            found += [node.lineno] * (not isinstance(node.ctx, ast.Load) or node.attr.startswith("_"))
        if isinstance(node, ast.Call):
            private = any((keyword.arg or "").startswith("_") for keyword in node.keywords) and _root(node) in known
            patches = _root(node.func) == "setattr" and bool(node.args) and _root(node.args[0]) in known
            found += [node.lineno] * (private or patches)
        if isinstance(node, ast.Constant) and str(node.value).startswith("hydra._internal"):
            found.append(node.lineno)
    lines = source.splitlines()
    return [lines[number - 1].strip() for number in sorted(set(found))]


def _root(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize(
    "line",
    [
        "from hydra._internal.utils import get_args_parser",
        "from hydra._internal import utils",
        "import hydra._internal.hydra",
        "from hydra import version",
        "from hydra.core.global_hydra import GlobalHydra",
        "from hydra.core.utils import JobRuntime",
        "from hydra.core.plugins import _is_concrete_plugin_type",
        "importlib.import_module('hydra._internal.utils')",
        "import hydra; hydra.main = None",
        "import hydra; hydra.core.utils._save_config(1)",
        "from hydra.core.hydra_config import HydraConfig; HydraConfig.instance().cfg = None",
        "from hydra.core.plugins import Plugins; setattr(Plugins.instance(), 'stats', 1)",
        "from hydra.core.utils import JobReturn; JobReturn(_return_value=1)",
        "def f():\n    from hydra._internal import utils",
    ],
)
def test_a_use_of_internals_is_found(line):
    assert uses_of_internals(line) == [line.splitlines()[-1].strip()]


@pytest.mark.parametrize(
    "line",
    [
        "import hydra; hydra.compose('train')",
        "from hydra.core.hydra_config import HydraConfig; HydraConfig.get().mode",
        "from hydra.core.utils import JobReturn, setup_globals; setup_globals()",
        "from hydra.core.plugins import Plugins; Plugins.instance().register(int)",
        "utils._private = 1",
        "from ganrun.config.hydra_internals import run",
    ],
)
def test_a_use_of_the_public_interface_is_not(line):
    assert uses_of_internals(line) == []


def test_no_other_file_uses_hydras_internals():
    files = set(PACKAGE.rglob("*.py"))
    assert INTERNALS in files and len(files) > 100
    found = {str(path.relative_to(PACKAGE)): uses_of_internals(path.read_text(encoding="utf-8")) for path in files}
    assert len(found.pop("config/hydra_internals.py")) > 5
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_installed_hydra_is_one_that_the_internals_were_checked_with_or_a_newer_1_3():
    installed, oldest = Version(importlib.metadata.version("hydra-core")), Version(hydra_internals.CHECKED[0])
    checked = ", ".join(hydra_internals.CHECKED)
    assert installed.release[:2] == (1, 3) and installed >= oldest, (
        f"hydra-core {installed} is installed, but ganrun/config/hydra_internals.py was checked with {checked}: "
        "install one of these or a newer 1.3, or check the file with this version and add it to CHECKED."
    )


def test_the_versions_are_those_that_the_file_the_requirements_and_the_constraints_name():
    checked = hydra_internals.CHECKED
    assert re.findall(r"hydra-core ((?:\d[\d.]*\d(?:, )?)+)", hydra_internals.__doc__ or "") == [", ".join(checked)]
    root = Path(__file__).resolve().parents[2]
    required = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"hydra-core>={checked[0]},<1.4" in required
    assert f"hydra-core=={checked[-1]}" in (root / "constraints.txt").read_text().splitlines()


def everything_replaced() -> tuple:
    state = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    return utils.run_and_report, Hydra.get_mode, ConfigLoaderImpl.load_configuration, sys.argv, state


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_is_replaced_while_hydra_runs_is_put_back_however_it_ends(error, monkeypatch):
    before, during = everything_replaced(), []

    def stopped(*_):
        during.extend(everything_replaced())
        raise error

    monkeypatch.setattr(utils, "_run_hydra", stopped)
    options = hydra_internals.parse_options(["seed=1"])
    with pytest.raises(error):
        hydra_internals.run(options, print, str(config_folder()), "train", "ganrun train", mode_from_options=True)
    assert everything_replaced() == before
    assert all(now is not then for now, then in zip(during[:4], before[:4], strict=True))
    assert during[3] == ["ganrun train"]


def test_options_and_settings_may_be_mixed():
    options = hydra_internals.parse_options(["seed=1", "--cfg", "job", "steps=2", "-m"])
    assert (options.overrides, options.cfg, options.multirun) == (["seed=1", "steps=2"], "job", True)

"""Plugins: found, loaded when they are needed, and never imported because a config names them."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ganrun.commands import doctor
from ganrun.config import hydra_bridge, registry, user_plugins
from ganrun.config.cli_args import CliArguments
from ganrun.config.hparams import settings
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.config.search_path import MoreFolders
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import changed_settings, load_config, save_config

LOSS = """
    from dataclasses import dataclass
    from ganrun.config.registry import number, register
    from ganrun.methods.gan.losses import Hinge

    @register("loss", "{name}")
    @dataclass(frozen=True)
    class Mine(Hinge):
        name: str = "{name}"
        margin: float = number(1.0, above=0.0)
"""
YAML = "# A loss.\nname: {name}\nmargin: 1.0\n"


@pytest.fixture
def write(tmp_path, monkeypatch) -> Iterator[Callable[..., Path]]:
    """Write a package that can be imported: its ``__init__.py``, and configs by their name from ``conf/``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for group, package in registry.GROUP_MODULES.items():
        importlib.import_module(package)  # ganrun's own options stay when the test ends
        monkeypatch.setitem(registry._options, group, dict(registry._options[group]))
    before = set(sys.modules)

    def written(package: str, code: str = "", **configs: str) -> Path:
        folder = tmp_path / package.replace(".", "/")
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(textwrap.dedent(code))
        for name, content in configs.items():
            path = folder / "conf" / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        importlib.invalidate_caches()
        return folder

    yield written
    user_plugins.use(())
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def install(monkeypatch) -> Callable[..., None]:
    """Have packages found by their entry points."""

    def installed(*packages: str) -> None:
        monkeypatch.setattr(user_plugins, "installed", lambda: {package: f"{package}-dist 1" for package in packages})

    return installed


def with_loss(write, package: str = "its_package", name: str = "its_loss") -> Path:
    return write(package, LOSS.format(name=name), **{f"loss__{name}": YAML.format(name=name)})


def forget(package: str) -> None:
    """Leave ``package`` as it was before it was imported."""
    del sys.modules[package]
    for known in registry._options.values():
        for name in [name for name, option in known.items() if option.__module__ == package]:
            del known[name]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    ("words", "packages"),
    [
        ([], ()),
        (["seed=1", "plugins.x=[a]"], ()),
        (["plugins=[]"], ()),
        (["plugins=[ ]"], ()),
        (["plugins=[one]"], ("one",)),
        (["+plugins=[one]"], ("one",)),
        (["++plugins=[one]"], ("one",)),
        (["plugins=[ one , two.three ]"], ("one", "two.three")),
        (["plugins=['one',\"two\"]"], ("one", "two")),
        (["plugins=[one,one]"], ("one",)),
        (["plugins=[one]", "seed=2", "plugins=[two]"], ("two",)),
    ],
)
def test_the_command_line_names_packages(words, packages):
    assert user_plugins.named(words) == packages


@pytest.mark.parametrize("value", ["", "null", "[a b]", "[a],[b]", "[a", "[1]", "[a,]", "[../a]", "[{a: b}]", "[a-b]"])
def test_what_is_no_list_of_packages_is_refused(value):
    line = refusal(lambda: user_plugins.named([f"plugins={value}"]))
    assert line.startswith("plugins takes a list of packages, plugins=[PACKAGE,...], not '")


def test_a_package_without_brackets_is_answered_with_the_list():
    assert refusal(lambda: user_plugins.named(["plugins=one"])).endswith("not 'one': write 'plugins=[one]'.")


def test_a_distribution_with_an_entry_point_is_found(tmp_path, monkeypatch):
    info = tmp_path / "its_name-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: its-name\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[ganrun.plugins]\nany = its.package\nother = another:thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = user_plugins.installed.__wrapped__()
    assert found.items() >= {"another": "its-name 2.0", "its.package": "its-name 2.0"}.items()


@pytest.mark.parametrize("how", ["installed", "named"])
def test_its_options_are_options(how, write, install):
    with_loss(write)
    install("its_package") if how == "installed" else user_plugins.use(["its_package"])
    assert "its_package" not in sys.modules
    option = registry.lookup("loss", "its_loss")
    assert option.__module__ == "its_package" and user_plugins.owner(option.__module__) == "its_package"
    assert registry.lookup("loss", "hinge").__module__.startswith("ganrun.")
    assert list(registry.options("loss")) == [
        *(name for name in registry.options("loss") if name != "its_loss"),
        "its_loss",
    ]


def test_its_yaml_is_composed_and_checked_like_any_other(write):
    with_loss(write)
    user_plugins.use(["its_package"])
    config = check(compose("train", ["loss=its_loss", "loss.margin=2", "plugins=[its_package]"]))
    assert (config.loss.name, config.loss.margin, config.plugins) == ("its_loss", 2.0, ("its_package",))
    assert "margin must be greater than 0" in refusal(
        lambda: check(compose("train", ["loss=its_loss", "loss.margin=-1"]))
    )


def test_composing_without_its_options_does_not_import_it(write, install):
    with_loss(write)
    install("its_package")
    assert compose("train", [])["loss"]["name"] == "nonsaturating"
    assert "its_package" not in sys.modules


def test_a_plugin_is_imported_once(write, install, tmp_path):
    write("counted", f"with open({str(tmp_path / 'count')!r}, 'a') as file:\n    file.write('x')\n")
    install("counted")
    for group in registry.GROUP_MODULES:
        registry.options(group)
    assert (tmp_path / "count").read_text() == "x"


def test_a_package_that_asks_for_options_while_it_is_imported_gets_them(write, install):
    write("asking", "from ganrun.config.registry import options\nKNOWN = list(options('loss'))\n")
    install("asking")
    registry.options("loss")
    assert "hinge" in sys.modules["asking"].KNOWN


def test_ganruns_configs_come_first_then_the_config_folder_then_plugins(write, install, tmp_path):
    write("ordered", **{"own__mine": "value: plugin\n", "own__other": "value: plugin\n"})
    install("ordered")
    (tmp_path / "here" / "own").mkdir(parents=True)
    (tmp_path / "here" / "own" / "mine.yaml").write_text("value: folder\n")
    (tmp_path / "here" / "train.yaml").write_text("value: folder\n")
    words = ["+own=mine", "+own@more=other"]
    node = compose("train", words, str(tmp_path / "here"))
    assert (node["own"]["value"], node["more"]["value"]) == ("folder", "plugin") and "seed" in node
    got = []
    arguments = CliArguments([*words, "--config-dir", str(tmp_path / "here"), f"hydra.run.dir={tmp_path / 'run'}"])
    hydra_bridge.hand_over("train", "train", arguments, lambda node: got.append(node) or 0)
    assert got == [node]
    assert MoreFolders.folders == ()


IMPORTS = {
    "an error": ("raise RuntimeError('no\\nnever')", "RuntimeError: no. Correct it"),
    "no message": ("raise ValueError", "ValueError: no message. Correct it"),
    "an exit": ("raise SystemExit(3)", "SystemExit: 3. Correct it"),
    "wrong syntax": ("def f(:", "SyntaxError: invalid syntax"),
    "a missing import": ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
    "a missing part of itself": ("import broken.part", "ModuleNotFoundError: No module named 'broken.part'"),
    "an unknown group": (
        "from ganrun.config.registry import register\nregister('losses', 'x')",
        "KeyError: 'there is no group losses; there are dataset,",
    ),
    "an option twice": (
        LOSS.format(name="x") + '    register("loss", "x")(Mine)\n',
        "ValueError: loss 'x' is registered twice",
    ),
    "an option with another name": (
        LOSS.format(name="x") + '    register("loss", "y")(Mine)\n',
        "TypeError: Mine must be a dataclass with the field name: str = 'y'",
    ),
    "an option that is no dataclass": (
        "from ganrun.config.registry import register\n@register('loss', 'x')\nclass Mine:\n    name = 'x'\n",
        "TypeError: Mine must be a dataclass with the field name: str = 'x'",
    ),
}


@pytest.mark.parametrize(("code", "reason"), IMPORTS.values(), ids=IMPORTS.keys())
def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason(code, reason, write, install):
    write("broken", code)
    install("broken")
    for _ in range(2):  # the second time, as the first
        line = refusal(lambda: registry.options("loss"))
        assert line.startswith(f"the plugin 'broken' cannot be imported: {reason}")
        assert line.endswith("Correct it, or uninstall it.")
    install()
    user_plugins.use(["broken"])
    assert refusal(lambda: registry.options("loss")).endswith("Correct it, or leave it out of plugins=[...].")


def test_the_cause_is_kept_for_a_traceback(write):
    write("broken", "raise RuntimeError('no')")
    user_plugins.use(["broken"])
    with pytest.raises(ConfigError) as told:
        registry.options("loss")
    assert isinstance(told.value.__cause__, RuntimeError)


@pytest.mark.parametrize("call", [user_plugins.load, user_plugins.config_folders, lambda: compose("train", [])])
@pytest.mark.parametrize("package", ["not_there_at_all", "not_there_at_all.either", "json.not_there"])
def test_a_package_that_is_not_there_is_told(package, call, write, install):
    user_plugins.use([package])
    assert refusal(call) == f"plugins: there is no package '{package}' to import."
    install(package)
    user_plugins.use(())
    line = f"{package}-dist 1 names the plugin '{package}', which is missing: install it again."
    assert refusal(call) == line


def test_a_misspelt_package_is_answered_with_the_closest(write, install):
    write("its_package")
    install("its_package")
    user_plugins.use(["its_pakage"])
    assert refusal(user_plugins.load).endswith("to import. Did you mean 'its_package'?")


def test_two_plugins_with_the_same_option_are_both_named(write, install):
    write("first", LOSS.format(name="its_loss"))
    write("second", LOSS.format(name="its_loss"))
    install("first", "second")
    line = "the plugins 'first' and 'second' both have loss=its_loss: leave one of them out."
    assert refusal(lambda: registry.options("loss")) == line


def test_two_plugins_with_the_same_config_are_both_named(write, install):
    for package in ("first", "second"):
        write(package, experiment__same="# @package _global_\n", **{f"experiment__{package}": "# @package _global_\n"})
    install("first", "second")
    line = "the plugins 'first' and 'second' both have experiment=same: leave one of them out."
    assert refusal(lambda: compose("train", [])) == line


def test_an_option_of_ganruns_own_is_not_replaced(write, install):
    write("shadow", LOSS.format(name="hinge"))
    install("shadow")
    line = "the plugin 'shadow' has loss=hinge, which ganrun has itself: rename the plugin's."
    assert refusal(lambda: registry.options("loss")) == line
    assert registry._options["loss"]["hinge"].__module__.startswith("ganrun.")


@pytest.mark.parametrize(("config", "what"), [("loss__hinge", "loss=hinge"), ("train", "train.yaml")])
def test_a_config_of_ganruns_own_is_not_replaced(config, what, write, install):
    write("shadow", **{config: "seed: 7\n"})
    install("shadow")
    line = f"the plugin 'shadow' has {what}, which ganrun has itself: rename the plugin's."
    assert refusal(lambda: compose("train", [])) == line


@pytest.fixture
def run(write, tmp_path) -> Path:
    """The directory of a run with a loss of ``its_package``, which is then no plugin any more."""
    with_loss(write)
    user_plugins.use(["its_package"])
    folder = tmp_path / "run"
    folder.mkdir()
    save_config(check(compose("train", ["loss=its_loss"])), folder)
    user_plugins.use(())
    return folder


def test_a_run_names_the_plugins_that_it_uses_and_those_that_were_typed(run, write, tmp_path):
    assert yaml.safe_load((run / "config.yaml").read_text())["plugins"] == ["its_package"]
    write("another")
    user_plugins.use(["another", "its_package"])
    config = check(compose("train", ["loss=its_loss", "plugins=[another]"]))
    save_config(config, tmp_path)
    assert load_config(tmp_path) == dataclasses.replace(config, plugins=("another", "its_package"))


def test_plugins_are_no_hyperparameter(run):
    user_plugins.use(["its_package"])
    config = load_config(run)
    assert "plugins" not in settings(config)
    assert changed_settings(config, dataclasses.replace(config, plugins=())) == []


def test_a_run_whose_plugin_is_none_here_is_refused_and_nothing_is_imported(run):
    forget("its_package")
    line = refusal(lambda: load_config(run))
    assert line == (
        f"{run}/config.yaml: this run uses the package 'its_package', which is not a plugin of ganrun here: "
        "install it, or add 'plugins=[its_package]' if you trust it."
    )
    assert "its_package" not in sys.modules
    user_plugins.use(["its_package"])
    assert load_config(run).loss.name == "its_loss"


def test_a_config_that_is_composed_is_refused_alike(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("defaults: [train, _self_]\nplugins: [its_package]\n")
    forget("its_package")
    line = refusal(lambda: compose("mine", [], str(tmp_path)))
    assert line.startswith("this config uses the package 'its_package', which is not a plugin of ganrun here: ")
    assert "its_package" not in sys.modules
    user_plugins.use(["its_package"])
    assert compose("mine", [], str(tmp_path))["plugins"] == ["its_package"]


@pytest.mark.parametrize(
    "command_line", [["plugins=[os]"], ["plugins=[os]", "--cfg", "job"], ["plugins=[os]", "--help"]]
)
def test_each_command_line_starts_without_the_plugins_of_another(command_line, write):
    user_plugins.use(["its_package"])
    hydra_bridge.use_plugins(CliArguments(command_line))
    assert user_plugins.chosen() == ("os",)
    hydra_bridge.use_plugins(CliArguments([]))
    assert user_plugins.chosen() == ()


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["os"], "'os', which is not a plugin"),
        (["os.path"], "'os.path', which is not a plugin"),
        (["x] run=[y"], "not 'x] run=[y'"),
        ([""], "not ''"),
        (["a\nganrun: all is well"], r"not 'a\nganrun: all is well'"),
        ([3], "not '3'"),
        ([["os"]], "not '['os']'"),
    ],
)
def test_what_a_config_may_not_name_is_told_in_a_line(names, hint):
    assert hint in refusal(lambda: user_plugins.require(names, "this run"))


@pytest.mark.parametrize("names", [None, "os", 3, {"os": 1}])
def test_what_is_no_list_is_left_to_the_schema(names):
    user_plugins.require(names, "this run")
    node = compose("train", []) | {"plugins": names}
    assert refusal(lambda: check(node)).startswith("plugins")


def test_a_job_in_another_process_has_the_plugins_of_its_command_line(write):
    user_plugins.use(["its_package"])
    seen = []
    task = hydra_bridge.Task(lambda config: seen.append(user_plugins.chosen()) or 0, None)
    user_plugins.use(())
    task({})  # type: ignore[arg-type]
    assert seen == [("its_package",)]


@pytest.mark.parametrize("name", ["ganrun", "ganrun.methods"])
def test_ganrun_itself_is_no_plugin(name):
    with pytest.raises(ConfigError, match=f"^plugins: '{name}' is a part of ganrun, whose options need no plugin"):
        user_plugins.named([f"plugins=[{name}]"])


def test_an_option_without_its_yaml_is_answered_with_the_file_to_add(write, install):
    write("its.own", LOSS.format(name="its_loss"))
    user_plugins.use(["its.own"])
    line = (
        "the plugin 'its.own' registers loss=its_loss (Mine), but has no YAML file for it: "
        "add its/own/conf/loss/its_loss.yaml."
    )
    assert refusal(lambda: compose("train", ["loss=its_loss"])) == line
    assert compose("train", [])["loss"]["name"] == "nonsaturating"  # the others can be chosen


@pytest.mark.parametrize("word", ["metric=[exact,its_metric]", "metric=its_metric"])
def test_so_is_one_of_several(word, write, install):
    code = (
        "from dataclasses import dataclass\nfrom ganrun.config.registry import register\n"
        "from ganrun.evaluation.metrics.base import Metric\n\n@register('metric', 'its_metric')\n"
        "@dataclass(frozen=True)\nclass Mine(Metric):\n    name: str = 'its_metric'\n"
    )
    write("its_package", code)
    install("its_package")
    line = refusal(lambda: compose("train", [word]))
    assert line.endswith("no YAML file for it: add its_package/conf/metric/its_metric.yaml.")


def test_a_yaml_without_a_class_is_answered_with_the_class_to_register(write, install):
    write("its_package", **{"loss__its_loss": "# A loss.\nname: its_loss\n"})
    install("its_package")
    assert refusal(lambda: check(compose("train", ["loss=its_loss"]))) == (
        "the plugin 'its_package' has conf/loss/its_loss.yaml, but importing it registers no loss 'its_loss': "
        'decorate its class with @register("loss", "its_loss").'
    )
    assert "Did you mean 'hinge'?" in refusal(lambda: check({**compose("train", []), "loss": {"name": "hinje"}}))


def test_a_package_with_options_or_configs_alone_is_one(write):
    write("only_options", LOSS.format(name="its_loss"))
    write("only_configs", **{"experiment__mine": "# @package _global_\nseed: 5\n"})
    user_plugins.use(["only_options", "only_configs"])
    registry.require_options()
    assert registry.registered_by("only_options") == ["loss=its_loss"]
    assert registry.registered_by("only") == registry.registered_by("only_configs") == []


def test_doctor_says_what_a_package_lacks(write, install):
    write("only_options", LOSS.format(name="its_loss"))
    write("empty")
    with_loss(write, "whole", "whole_loss")
    install("only_options", "empty", "whole")
    assert [(finding.state, finding.text) for finding in doctor._plugins()] == [
        ("ok", "only_options (only_options-dist 1): loss=its_loss"),
        ("note", registry.without_yaml("loss", "its_loss")),
        ("note", "empty (empty-dist 1): no options and no folder conf/, so it is no plugin"),
        ("ok", "whole (whole-dist 1): loss=whole_loss"),
    ]

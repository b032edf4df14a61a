"""Writes the reference from conf/ and the docstrings: commands, settings of a run, options of groups, tags, exit codes.

    python scripts/reference.py [out=docs/reference]

A test fails if the pages are not those of the code.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import signal
import sys
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from hydra_plugins.ganrun_population import search_settings
from reference_text import (
    allowed,
    as_code,
    as_typed,
    escaped,
    in_words,
    joined,
    sentence,
    setting_rows,
    setting_table,
    text_block,
)

from ganrun.cli import COMMANDS
from ganrun.commands.list import FIELDS, fields, meaning
from ganrun.config.folders import config_folder
from ganrun.config.help_text import comments
from ganrun.config.registry import GROUP_MODULES, options
from ganrun.config.schema import PLAIN_SECTIONS
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, GanrunError, StorageError
from ganrun.evaluation.measurements.specs import CAS, OF_INCEPTION
from ganrun.evaluation.metrics.spec import GROUPS as WITH_TAGS
from ganrun.evaluation.metrics.spec import specs
from ganrun.training.signals import EXIT_CODES

WRITTEN = "This page is written by `python scripts/reference.py` from `conf/` and the docstrings."
SETTINGS = {  # where the schema of a command's settings is, besides train's
    "sample": ("ganrun.commands.sample", "Sample"),
    "compare": ("ganrun.commands.compare", "Compare"),
    "report": ("ganrun.commands.report", "Report"),
    "reproduce": ("ganrun.commands.reproduce", "Reproduce"),
    "eval": ("ganrun.commands.eval", "Eval"),
    "jsd": ("ganrun.commands.jsd", "Jsd"),
    "export": ("ganrun.export.request", "Export"),
    "bench": ("ganrun.commands.bench", "Bench"),
}
GROUPS = {
    "method": "What is trained.",
    "dataset": "The data.",
    "architecture": "The networks.",
    "loss": "The losses of discriminator and generator, with `method=gan`.",
    "penalty": "Terms of the discriminator's loss and constraints of its weights, with `method=gan`; one, or a list.",
    "schedule": "The number of discriminator updates per step, with `method=gan`.",
    "optimizer": "The optimizers of the networks. NETWORK is `generator` or `discriminator`; methods with one network "
    "have its optimizer as `generator`.",
    "probe": "The estimate of the divergence by classifiers that are independent of the discriminator.",
    "metric": "What is evaluated on snapshots of a run; a list.",
    "experiment": "Presets: settings of a whole run. What stands on the command line wins over them.",
}
NOTHING = "–"


def pages() -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    return {
        "commands.md": commands(),
        "settings.md": settings(),
        "options.md": options_of_groups(),
        "tags.md": tags(),
    }


def commands() -> str:
    """Return the page of the commands and of the exit codes."""
    parts = ["# Commands", WRITTEN, "Every command takes `--help`. Settings are given as `KEY=VALUE`."]
    for name, what in COMMANDS.items():
        parts += [f"## ganrun {name}", f"{sentence(what)}"]
        module, schema = SETTINGS.get(name, ("", ""))
        if not module and name != "train":
            parts.append(text_block(import_module(f"ganrun.commands.{name}").HELP))
            continue
        node = yaml.safe_load((config_folder() / f"{'settings' if name == 'train' else name}.yaml").read_text("utf-8"))
        help_text = node["hydra"]["help"]
        usage = re.search(r"^usage: (.*)$", help_text.get("template", ""), re.MULTILINE)
        parts.append(f"Usage: `{usage[1] if usage else f'ganrun {name} [KEY=VALUE ...]'}`")
        if name in ("train", "bench"):
            parts.append("Its settings are those of a [run](settings.md), and the [options](options.md) of the groups.")
        if module:
            known = comments(config_folder() / f"{name}.yaml", "")
            parts.append(setting_table(setting_rows(getattr(import_module(module), schema), node, known)))
        parts.append(text_block(help_text["footer"].replace("$$", "$")))
    return joined([*parts, *_exit_codes()])


def _exit_codes() -> Iterator[str]:
    """Yield the section of the exit codes."""
    found = {0: ["The command has done what it should."]}
    for error in (GanrunError, StorageError, ConfigError):
        text = " ".join(inspect.cleandoc(error.__doc__ or "").split())
        found.setdefault(error.exit_code, []).append(re.sub(r" Exit code \d\.$", "", text))
    found[1].append("`ganrun doctor`: something essential is missing.")
    for code in sorted(set(EXIT_CODES.values())):
        names = " or ".join(signal.Signals(number).name for number, of in EXIT_CODES.items() if of == code)
        found[code] = [f"{names} ended the command; a run has saved its state."]
    yield "## Exit codes"
    yield "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {' '.join(found[code])} |" for code in found)])
    yield "A sweep ends with the largest exit code of its runs. A second Ctrl-C or SIGTERM ends a run at once, unsaved."


def settings() -> str:
    """Return the page of the settings of a run that belong to no group."""
    path = config_folder() / "train.yaml"
    node, known = yaml.safe_load(path.read_text(encoding="utf-8")), comments(path, "")
    chosen = {key: value for default in node["defaults"] if isinstance(default, dict) for key, value in default.items()}
    groups = [
        f"| [`{group}`](options.md#{group}) | {as_code(chosen[group])} | {GROUPS[group]} |"
        for group in GROUPS
        if group in chosen
    ]
    parts = ["# Settings of a run", WRITTEN]
    parts.append("`ganrun train KEY=VALUE ...` sets them; `--cfg job` shows all of a run. Null is written `null`.")
    parts += ["## Groups", "Each option has settings of its own: see [options](options.md)."]
    parts.append("\n".join(["| group | default | what it chooses |", "|---|---|---|", *groups]))
    sections = _sections(Train)
    plain = {name: sections[name] for name in node if name in sections}
    parts += ["## General", setting_table(setting_rows(Train, node, known, skip=(*plain, *chosen)))]
    for name, schema in plain.items():
        parts += [f"## {name}", sentence(known[name]) if name in known else ""]
        parts.append(setting_table(setting_rows(schema, node[name], known, f"{name}.")))
    return joined([*parts, *_of_hydra()])


def _of_hydra() -> Iterator[str]:
    """Yield the section of the settings of Hydra that a run or a sweep uses."""
    node = yaml.safe_load((config_folder() / "settings.yaml").read_text(encoding="utf-8"))["hydra"]
    rows = [
        ("`hydra.run.dir`", as_code(node["run"]["dir"]), "text", "directory of a run"),
        ("`hydra.sweep.dir`", as_code(node["sweep"]["dir"]), "text", "directory of a sweep (`-m`)"),
        ("`hydra.sweep.subdir`", as_code(node["sweep"]["subdir"]), "text", "directory of each of its runs"),
        (
            "`hydra/launcher`",
            "`population`",
            "text",
            "where the runs of a sweep train: [launchers](../sweeps.md#launchers)",
        ),
        (
            "`hydra/sweeper`",
            "`population`",
            "`population`, `optuna`",
            "what a sweep runs: all combinations, or a search",
        ),
    ]
    yield "## Hydra"
    yield setting_table(rows)
    yield "With `hydra/sweeper=optuna`, which [searches](../sweeps.md#hyperparameter-search):"
    source = inspect.getsource(search_settings.SearchConf)
    lines = re.findall(r"^    ([a-z]\w*): .* = (\S+)  # (.*)$", source, re.MULTILINE)
    kinds = {"direction": ", ".join(map(as_code, search_settings.DIRECTIONS)), "prune": "`true`, `false`"}
    kinds |= {name: allowed(int, rules) for name, rules in search_settings.WHOLE.items()}
    kinds["lost_after"] = allowed(float, search_settings.SECONDS)
    literal = {key: yaml.safe_load(value.replace("True", "true").replace("None", "null")) for key, value, _ in lines}
    yield setting_table(
        (f"`hydra.sweeper.{key}`", as_code(literal[key]), kinds.get(key, "text"), escaped(what))
        for key, _, what in lines
    )


def _sections(schema: type) -> dict[str, type]:
    """Return the fields of ``schema`` that are schemas themselves, and the sections that only some methods have."""
    kinds = typing.get_type_hints(schema)
    return {name: kind for name, kind in kinds.items() if dataclasses.is_dataclass(kind)} | PLAIN_SECTIONS  # type: ignore[return-value]


def options_of_groups() -> str:
    """Return the page of the options of all groups."""
    parts = ["# Options", WRITTEN, "`GROUP=OPTION` chooses an option, `KEY=VALUE` one of its settings."]
    for group, what in GROUPS.items():
        parts += [f"## {group}", what]
        known = options(group) if group in GROUP_MODULES else {}
        for path in sorted((config_folder() / group).glob("*.yaml")):
            parts += [f"### {group}={path.stem}", *_option(group, path, known.get(path.stem))]
    return joined(parts)


def _option(group: str, path: Path, option: type | None) -> Iterator[str]:
    """Yield the paragraphs of the option of the YAML file ``path``, whose class is ``option`` if it has one by name."""
    docstring = option.__doc__ or "" if option else ""
    found = fields(docstring)
    first = docstring.partition("\n")[0] if found else meaning(path)
    yield escaped(" ".join(first.replace("``", "`").split()))
    for name in FIELDS:
        if name in found:
            yield f"{name}: `{found[name]}`" if name == "Formula" else f"{name}: {escaped(found[name])}"
    node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    whole = "# @package _global_" in path.read_text(encoding="utf-8")
    overrides = [words for default in node.pop("defaults", []) for words in default.items()]
    own = node.pop(group, {}) if whole else node
    if group == "optimizer":
        own, option = own["generator"], options(group)[own["generator"]["name"]]
    if option is not None:
        prefix = {"penalty": f"penalty.{path.stem}.", "metric": f"metric.{path.stem}.", "optimizer": ""}
        home = prefix.get(group, f"{group}.")
        known = comments(path, "" if group == "optimizer" else group)
        shown = "optimizer.NETWORK." if group == "optimizer" else home
        rows = list(setting_rows(option, own, known, home or "generator.", skip=("name",), shown=shown))
        if rows:
            yield setting_table(rows)
    sets = [f"{key.split('/')[-1]}={as_typed(value)}" for key, value in overrides] if overrides else []
    sets += [f"{key}={as_typed(value)}" for key, value in _flat(node if whole else {})]
    if sets:
        yield f"{'Sets' if group == 'experiment' else 'Also sets'} {', '.join(f'`{word}`' for word in sets)}."


def _flat(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def tags() -> str:
    """Return the page of the tags of all metrics."""
    owners: dict[str, list[str]] = {}
    for group in WITH_TAGS:
        for name, option in sorted(options(group).items()):
            for spec in getattr(option, "SPECS", ()):
                owners.setdefault(spec.name, []).append("probe" if group == "probe" else f"{group}={name}")
    owners |= {tag: ["`ganrun eval` only"] for tag in (*OF_INCEPTION.values(), *(spec.name for spec in CAS))}
    known = {spec.name: spec for spec in (*specs(), *CAS)}
    rows = ["| tag | meaning | unit | better | bounds | logged with |", "|---|---|---|---|---|---|"]
    for name in sorted(known):
        spec = known[name]
        bounds = " to ".join(in_words(bound) for bound in spec.bounds) if spec.bounds else NOTHING
        of = list(dict.fromkeys(owners.get(name, ["every run"])))
        cells = [f"`{name}`", escaped(spec.meaning), spec.unit.strip("()") or NOTHING, spec.better or NOTHING, bounds]
        rows.append(f"| {' | '.join([*cells, ', '.join(f'`{word}`' if '=' in word else word for word in of)])} |")
    intro = (
        "The tags of `metrics.jsonl`, `summary.json`, TensorBoard and `ganrun eval`, with the direction in which each "
        "improves. A `*` stands for the rest of a name. [Metrics](../metrics.md#tags) explains them."
    )
    return joined(["# Tags", WRITTEN, intro, "\n".join(rows)])


def main() -> None:
    """Write the pages to the folder ``out``."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    folder = Path(given.get("out", "docs/reference"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

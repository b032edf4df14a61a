"""``ganrun train resume=``: continues a run or a sweep in its own directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganrun.commands import train_jobs
from ganrun.commands.train_checks import inspect
from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import compose, quoted
from ganrun.config.schema import to_dict
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, shown, tell
from ganrun.storage.folder_checks import require_own, require_writable
from ganrun.storage.run_directory import DEFAULTS, changed_names, find_run, load_config
from ganrun.storage.sweep_directory import (
    read_contents,
    require_own_runs,
    runs_of,
)
from ganrun.training.shell_commands import resume_command

PLACES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")  # settings that determine the run directory


def allowed(arguments: CliArguments) -> tuple[tuple[str, ...], CliArguments]:
    """Remove ``resume.allow=[...]``, the settings that may change when resuming, from the command line.

    Returns:
        These settings, and the command line without them.
    """
    named: tuple[str, ...] = ()
    others = []
    for text in arguments.overrides:
        key, equals, value = text.partition("=")
        if key.lstrip("+") == "resume.allow" and equals:
            named = tuple(name.strip(" '\"") for name in value.strip().removeprefix("[").removesuffix("]").split(","))
        else:
            others.append(text)
    return tuple(filter(None, named)), arguments.replaced(others)


def continue_run(arguments: CliArguments, resumed: str) -> CliArguments:
    """Turn ``resume=RUN more=...`` into the command line that runs RUN's own config in RUN's own directory."""
    folder = find_run(resumed)
    name = stored(load_config(folder))
    if "${" in str(folder):  # Hydra would interpolate it, however it is quoted
        raise ConfigError(f"{folder}: rename the folder, ${{ in its name would stand for something else.")
    if arguments.runs:
        require_writable(str(folder))
        require_own(folder)
    others = _other_overrides(arguments)
    where = quoted(str(folder))
    return arguments.replaced([f"resume={where}", f"hydra.run.dir={where}", *others], config_name=name)


def _other_overrides(arguments: CliArguments) -> list[str]:
    """Return the overrides other than ``resume``; refuse those that would move the run or sweep being resumed."""
    keys = {text: text.partition("=")[0].lstrip("+~") for text in arguments.overrides}
    for text, key in keys.items():
        if key in PLACES:
            raise ConfigError(f"resume continues in the folder of the run or sweep itself: leave out {shown(text)}.")
    return [text for text, key in keys.items() if key != "resume"]


def stored(config: Train) -> str:
    """Add ``config`` to Hydra's config store, and return its name there.

    Hydra must not read the run's directory itself: it would also load files other than the checked config, and a YAML
    file can tell Hydra more than plain settings.
    """
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="resumed", node={"defaults": DEFAULTS, **to_dict(config)}, provider="ganrun")
    return "resumed"


def continue_sweep(sweep: Path, arguments: CliArguments, allow: tuple[str, ...]) -> int:
    """Resume the runs of ``sweep`` that have not ended; return the largest exit code."""
    options = arguments.options
    if options.config_name or options.config_dir or not arguments.runs:
        raise ConfigError("resume of a sweep takes settings only: leave out --cfg, --config-dir and the like.")
    others = _other_overrides(arguments)
    runs: list[tuple[dict[str, Any], Path]] = []
    ignored: list[list[str]] = []
    for folder in runs_of(sweep):
        config = before = load_config(folder)
        if others:
            config = inspect(compose(stored(before), [*others, f"resume={quoted(str(folder))}"]), allow, fetch=False)
            ignored += _without_effect(before, config, folder)
        runs.append((to_dict(config), folder))
    require_writable(str(sweep))
    if ignored:
        names = ", ".join(dict.fromkeys(name for changed in ignored for name in changed))
        print(f"the changed settings have no effect on {len(ignored)} of {len(runs)} runs, which have ended: {names}")
    parts = read_contents(sweep).parts
    if not parts:
        return max(train_jobs.run_jobs(runs, sweep, resumed=True))
    return _continue_parts(sweep, parts, runs)


def _without_effect(before: Train, now: Train, folder: Path) -> list[list[str]]:
    """Return the settings that ``now`` changes in the run in ``folder``, as the only item, if it has ended."""
    from ganrun.training.sweep_plan import Job, ended  # imports JAX

    changed = changed_names(before, now)
    return [changed] if changed and ended(Job(now, folder)) is not None else []


def _continue_parts(sweep: Path, parts: list[str], runs: list[tuple[dict[str, Any], Path]]) -> int:
    """Resume a sweep whose launcher started jobs of several runs, one job after another."""
    from ganrun.comparison.report import report

    code = 0
    try:
        require_own_runs(sweep, [folder for _, folder in runs])
        for part in (sweep / name for name in parts):
            inside = [(node, folder) for node, folder in runs if part in folder.parents]
            code = max([code, *train_jobs.run_jobs(inside, part, resumed=True, whole=False)])
            if code in (130, 143):
                print(f"resume the sweep with: {resume_command(sweep)}")
                return code
        print(report([folder for _, folder in runs], sweep))
    except Exception as error:
        return tell(error)
    return code

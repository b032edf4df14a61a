"""``ganrun train``: checks the whole command line, then lets Hydra run it as one job or many."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.config.cli_args import CliArguments
from ganrun.config.folders import data_folder
from ganrun.config.hparams import flat
from ganrun.config.hydra_bridge import compose, hand_over, preflight, quoted, use_plugins
from ganrun.config.schema import Train, check, to_dict
from ganrun.config.search_path import COMMAND_LINE
from ganrun.errors import ConfigError, did_you_mean, shown, tell
from ganrun.storage.run_directory import (
    DEFAULTS,
    changed_settings,
    find_run,
    load_config,
    relative,
    require_outside,
    require_own,
    require_writable,
    steps_done,
)
from ganrun.storage.sweep_directory import (
    begun,
    find_sweep,
    read_contents,
    require_own_runs,
    require_room,
    runs_of,
)
from ganrun.training.shell_commands import resume_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.training.loop import Pruner


Allow = tuple[str, ...] | None

PLACES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")  # settings that determine the run directory

# The default launcher and sweeper of `-m`.
OWN = {"launcher": "population", "sweeper": "grid"}


def main(words: list[str]) -> int:
    """Run ``ganrun train`` with ``words`` and return the exit code."""
    arguments = CliArguments(words)
    if arguments.only_shows:
        return hand_over("train", "train", arguments, _job)
    use_plugins(arguments)
    resumed, allow = arguments.value("resume"), None
    if resumed is not None:
        if arguments.options.multirun:
            raise ConfigError("resume continues one run or one sweep: leave out -m.")
        allow, arguments = _allowed(arguments)
        if (sweep := find_sweep(resumed)) is not None:
            return _continue_sweep(sweep, arguments, allow)
        arguments = _continue(arguments, resumed)
    options = arguments.options
    name = options.config_name or "train"
    composed = preflight(
        name, arguments, lambda node: _require_typed(_inspect(node, allow, fetch=resumed is None), resumed)
    )
    if arguments.runs and resumed is None:
        given = arguments.value("hydra.run.dir") or arguments.value("hydra.sweep.dir")
        require_writable(given or "outputs")
        if given is not None:
            place = Path(given).expanduser()
            require_outside(place)
            if options.multirun and (place / "config.yaml").exists():
                raise ConfigError(f"{relative(place)} holds a run already: choose another folder for the sweep.")
            inside = sorted(place.glob("*")) if options.multirun else []
            require_own_runs(place, [run for run in inside if run.name[:1].isdecimal()])
    if options.multirun:
        own = [f"hydra/{kind}={own}" for kind, own in OWN.items() if not _chosen(arguments, kind)]
        arguments = arguments.replaced([*arguments.overrides, *own])
    return hand_over("train", name, arguments, _job, _jobs, composed=composed)


def _chosen(arguments: CliArguments, kind: str) -> bool:
    return any(text.partition("=")[0].lstrip("+~") == f"hydra/{kind}" for text in arguments.overrides)


def _inspect(node: dict[str, Any], allow: Allow = None, fetch: bool = True) -> Train:
    """Check everything that can be checked before work starts: keys, ranges, shapes, files.

    Args:
        node: the composed config.
        allow: the settings that may change in a resumed run; None for a new run.
        fetch: whether to download missing data. Not for an existing run: its config may be untrusted, and it names the
            source and the destination of downloads.

    Returns:
        The checked config.

    Raises:
        ConfigError: a check failed.
    """
    config = _resolved(check(node))
    from ganrun.evaluation.metrics.logged import require_best

    config.method.build(config, config.dataset.shape)
    config.probe.check(config.dataset)
    require_best(config)
    if hasattr(config.dataset, "examples") and config.batch_size > config.dataset.examples:
        examples = config.dataset.examples
        raise ConfigError(f"batch_size must be at most {examples}, the examples of {config.dataset.name}.")
    if hasattr(config.dataset, "check"):
        dataset = config.dataset
        if not fetch and hasattr(dataset, "download"):
            dataset = dataclasses.replace(dataset, download=False, mirrors=type(dataset)().mirrors)
        dataset.check(data_folder(config.data_dir), labels=config.conditional)
    if allow is not None and config.resume is not None:
        _refuse_changes(config, allow)
    return config


def _resolved(config: Train) -> Train:
    """Return ``config`` with the settings of its dataset that are only known once its files are open."""
    from ganrun import datasets

    return dataclasses.replace(config, dataset=datasets.resolved(config.dataset, data_folder(config.data_dir)))


def _continue(arguments: CliArguments, resumed: str) -> CliArguments:
    """Turn ``resume=RUN more=...`` into the command line that runs RUN's own config in RUN's own directory."""
    folder = find_run(resumed)
    name = _stored(load_config(folder))
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


def _require_typed(config: Train, resumed: str | None) -> None:
    """Refuse a ``resume`` that is not on the command line: it would start a new run instead of resuming the named one.

    Raises:
        ConfigError: ``resume`` is set in a config file.
    """
    if resumed is None and config.resume is not None:
        name = shown(config.resume)
        raise ConfigError(f"resume={name} is set in a config, where it has no effect: type resume={name} after train.")


def _stored(config: Train) -> str:
    """Add ``config`` to Hydra's config store, and return its name there.

    Hydra must not read the run's directory itself: it would also load files other than the checked config, and a YAML
    file can tell Hydra more than plain settings.
    """
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="resumed", node={"defaults": DEFAULTS, **to_dict(config)}, provider="ganrun")
    return "resumed"


def _continue_sweep(sweep: Path, arguments: CliArguments, allow: tuple[str, ...]) -> int:
    """Resume the runs of ``sweep`` that have not ended; return the largest exit code."""
    options = arguments.options
    if options.config_name or options.config_dir or not arguments.runs:
        raise ConfigError("resume of a sweep takes settings only: leave out --cfg, --config-dir and the like.")
    others = _other_overrides(arguments)
    runs: list[tuple[dict[str, Any], Path]] = []
    for folder in runs_of(sweep):
        config = load_config(folder)
        if others:
            config = _inspect(compose(_stored(config), [*others, f"resume={quoted(str(folder))}"]), allow, fetch=False)
        runs.append((to_dict(config), folder))
    require_writable(str(sweep))
    parts = read_contents(sweep).parts
    if not parts:
        return max(_jobs(runs, sweep, resumed=True))
    return _continue_parts(sweep, parts, runs)


def _continue_parts(sweep: Path, parts: list[str], runs: list[tuple[dict[str, Any], Path]]) -> int:
    """Resume a sweep whose launcher started jobs of several runs, one job after another."""
    from ganrun.comparison.report import report

    code = 0
    try:
        require_own_runs(sweep, [folder for _, folder in runs])
        for part in (sweep / name for name in parts):
            inside = [(node, folder) for node, folder in runs if part in folder.parents]
            code = max([code, *_jobs(inside, part, resumed=True, whole=False)])
            if code in (130, 143):
                print(f"resume the sweep with: {resume_command(sweep)}")
                return code
        print(report([folder for _, folder in runs], sweep))
    except Exception as error:
        return tell(error)
    return code


def _allowed(arguments: CliArguments) -> tuple[tuple[str, ...], CliArguments]:
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


def _refuse_changes(config: Train, allow: tuple[str, ...]) -> None:
    """Refuse changes in a resumed run, except to its length, to what is logged and to the settings in ``allow``.

    Raises:
        ConfigError: another setting has changed, or there are fewer steps than the run has done.
    """
    folder = Path(str(config.resume))
    if config.steps < (done := steps_done(folder)):
        more = "give at least as many, or start a new run"
        raise ConfigError(f"steps={config.steps}: {relative(folder)} has done {done} steps already; {more}.")
    before = load_config(folder)
    known = flat(to_dict(before)) | flat(to_dict(config))
    for name in allow:
        if not any(_is_within(key, name) for key in known):
            raise ConfigError(f"resume.allow: '{name}' is not a setting.{did_you_mean(name, known)}")
    changed = [
        change for change in changed_settings(before, config) if not any(_is_within(change[0], name) for name in allow)
    ]
    if changed:
        listed = ", ".join(f"{key} ({before!r} before, {now!r} now)" for key, before, now in changed)
        raise ConfigError(
            f"resume continues with the run's own settings, but these differ: {listed}.\n"
            "Only steps, steps_per_call, data_dir, log.*, checkpoint.* and probe.* may change by themselves; start a "
            f"new run for the others, or add resume.allow=[{','.join(key for key, *_ in changed)}]."
        )


def _is_within(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _job(node: DictConfig) -> int:
    """Run one Hydra job and report its errors, so that a sweep continues and Hydra prints no traceback."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from ganrun.training import device

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        device.prepare()
        from ganrun.training.train import Sweep, train  # imports JAX, so only after the device is prepared

        config = _resolved(check(OmegaConf.to_container(node, resolve=True)))  # type: ignore[arg-type]
        if config.population.jobs:
            return _several(config.population.jobs, folder)
        if config.resume is not None and Path(config.resume).resolve() != folder.resolve():
            _require_typed(config, None)  # Hydra composed another config than was checked
        hydra = HydraConfig.get()
        member = hydra.mode == RunMode.MULTIRUN
        require_own(folder, linked=not member)
        planned = member and (folder / "config.yaml").exists() and not begun(folder)  # its sweep wrote the config
        resume = config.resume is not None or planned or _is_requeued(folder)
        return train(config, folder, resume=resume, sweep=Sweep(_keys(hydra.overrides.task), member=member))
    except Exception as error:
        return tell(error)
    finally:
        _remove_if_empty(folder)


def _several(jobs: tuple[str, ...], folder: Path) -> int:
    """Train the runs of one cluster job as a sweep of its own in ``folder``; return the largest exit code.

    ``jobs`` are JSON lists of a run's directory, relative to ``folder``, and its overrides.
    """
    from hydra.core.hydra_config import HydraConfig

    sources = HydraConfig.get().runtime.config_sources
    extra = next((source.path for source in sources if source.provider == COMMAND_LINE), None)
    name = str(HydraConfig.get().job.config_name)
    named = [[str(text) for text in json.loads(job)] for job in jobs]
    runs = [(compose(name, overrides, extra), folder / place) for place, *overrides in named]
    varied = _keys(text for _, *overrides in named for text in overrides)
    return max(_jobs(runs, folder, resumed=any(_is_requeued(run) for _, run in runs), varied=varied))


def _keys(overrides: Iterable[str]) -> set[str]:
    """Return the keys that ``overrides`` set."""
    return {text.partition("=")[0].lstrip("+~") for text in overrides}


def _is_requeued(folder: Path) -> bool:
    """Return whether this is a requeued job of a cluster, which was preempted: its run has already started."""
    return "SUBMITIT_EXECUTOR" in os.environ and begun(folder)


def _jobs(
    given: list[tuple[dict[str, Any], Path]],
    folder: Path,
    resumed: bool = False,
    pruner: Pruner | None = None,
    whole: bool = True,
    varied: Collection[str] = (),
) -> list[int]:
    """Train the jobs of a sweep, those with a common program together; return their exit codes.

    Args:
        given: the plain config and the run directory of each job.
        folder: the sweep's directory.
        resumed: whether the runs may have started before.
        pruner: may end runs early.
        whole: whether ``given`` is the whole sweep, to be compared at the end.
        varied: hyperparameters that vary in the sweep, even if not in these jobs.
    """
    from ganrun.training import device

    try:
        device.prepare()
        from ganrun.training.sweep import train_all
        from ganrun.training.sweep_plan import Job

        require_own_runs(folder, [path for _, path in given])
        if not resumed:
            require_room(folder, [path for _, path in given])
        jobs = [Job(_inspect(node, fetch=not resumed), path.resolve()) for node, path in given]
        return train_all(jobs, folder.resolve(), pruner, whole, varied)
    except Exception as error:
        return [tell(error)] * len(given)


def _remove_if_empty(folder: Path) -> None:
    """Remove the run directory, which Hydra creates before the job, and its parents if nothing was written."""
    inside = [parent for parent in folder.parents if Path.cwd() in parent.parents]
    for path in (folder, *inside):
        try:
            path.rmdir()
        except OSError:
            return

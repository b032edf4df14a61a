"""``ganrun train``: check the whole command line, then let Hydra run it as one job or many."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.arguments import Arguments
from ganrun.config import Train, check, data_folder, to_dict
from ganrun.errors import ConfigError, did_you_mean, shown, tell
from ganrun.hydra_app import compose, hand_over, preflight, quoted
from ganrun.rundir import (
    DEFAULTS,
    changed_settings,
    find_run,
    flat,
    load_config,
    relative,
    require_outside,
    require_own,
    require_writable,
    steps_done,
)
from ganrun.shell import resume_command
from ganrun.sweep_folder import (
    begun,
    find_sweep,
    read_contents,
    require_own_runs,
    require_room,
    runs_of,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.run import Judge


Allow = tuple[str, ...] | None

PLACES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")  # which say where a run goes

# What `-m` hands its jobs to, where nothing else is chosen.
OWN = {"launcher": "population", "sweeper": "grid"}


def main(words: list[str]) -> int:
    """Run ``ganrun train`` with ``words`` and return the exit code."""
    arguments = Arguments(words)
    if arguments.only_shows:
        return hand_over("train", "train", arguments, _job)
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


def _chosen(arguments: Arguments, kind: str) -> bool:
    return any(text.partition("=")[0].lstrip("+~") == f"hydra/{kind}" for text in arguments.overrides)


def _inspect(node: dict[str, Any], allow: Allow = None, fetch: bool = True) -> Train:
    """Check everything that can be checked before work starts: keys, ranges, shapes, files.

    ``allow`` are the settings that may change although the run is a resumed one; None where it is a new one. What is
    missing is downloaded if ``fetch``: not for a run that is there already, in which a stranger may have said what
    comes from where and goes where.
    """
    config = check(node)
    from ganrun.game.rules import game_of
    from ganrun.metrics.logged import require_best

    game_of(config, config.dataset.shape)
    config.probe.check(config.dataset)
    require_best(config)
    if hasattr(config.dataset, "examples") and config.batch_size > config.dataset.examples:
        examples = config.dataset.examples
        raise ConfigError(f"batch_size must be at most {examples}, the examples of {config.dataset.name}.")
    if hasattr(config.dataset, "check"):
        dataset = config.dataset
        if not fetch and hasattr(dataset, "download"):
            dataset = dataclasses.replace(dataset, download=False, mirrors=type(dataset)().mirrors)
        dataset.check(data_folder(config), labels=config.conditional)
    if allow is not None and config.resume is not None:
        _refuse_changes(config, allow)
    return config


def _continue(arguments: Arguments, resumed: str) -> Arguments:
    """Turn ``resume=RUN more=...`` into the command line that runs RUN's own config in RUN's own directory."""
    folder = find_run(resumed)
    name = _offered(load_config(folder))
    if "${" in str(folder):  # Hydra would read it in a folder's name, however it is quoted
        raise ConfigError(f"{folder}: rename the folder, ${{ in its name would stand for something else.")
    if arguments.runs:
        require_writable(str(folder))
        require_own(folder)
    others = _beside_resume(arguments)
    where = quoted(str(folder))
    return arguments.replaced([f"resume={where}", f"hydra.run.dir={where}", *others], config_name=name)


def _beside_resume(arguments: Arguments) -> list[str]:
    """Return what is to change in the run or sweep that is resumed; it goes on where it lies, and nowhere else."""
    keys = {text: text.partition("=")[0].lstrip("+~") for text in arguments.overrides}
    for text, key in keys.items():
        if key in PLACES:
            raise ConfigError(f"resume goes on in the folder of the run or sweep itself: leave out {shown(text)}.")
    return [text for text, key in keys.items() if key != "resume"]


def _require_typed(config: Train, resumed: str | None) -> None:
    """Refuse a ``resume`` that no command line asks for: the run that it names would not go on, a new one would begin.

    Raises:
        ConfigError: ``resume`` comes from a config file.
    """
    if resumed is None and config.resume is not None:
        told = shown(config.resume)
        raise ConfigError(f"resume={told} stands in a config, where it does nothing: type resume={told} after train.")


def _offered(config: Train) -> str:
    """Have Hydra know ``config`` by the name that is returned.

    It must not read the run's directory: it would look there for other files than the config that is checked, and it
    understands more in a file than plain settings.
    """
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="resumed", node={"defaults": DEFAULTS, **to_dict(config)}, provider="ganrun")
    return "resumed"


def _continue_sweep(sweep: Path, arguments: Arguments, allow: tuple[str, ...]) -> int:
    """Go on with the runs of ``sweep`` that have not ended; return the worst exit code."""
    options = arguments.options
    if options.config_name or options.config_dir or not arguments.runs:
        raise ConfigError("resume of a sweep takes settings only: leave out --cfg, --config-dir and the like.")
    others = _beside_resume(arguments)
    runs: list[tuple[dict[str, Any], Path]] = []
    for folder in runs_of(sweep):
        config = load_config(folder)
        if others:
            config = _inspect(compose(_offered(config), [*others, f"resume={quoted(str(folder))}"]), allow, fetch=False)
        runs.append((to_dict(config), folder))
    require_writable(str(sweep))
    parts = read_contents(sweep).parts
    if not parts:
        return max(_jobs(runs, sweep, resumed=True))
    return _continue_parts(sweep, parts, runs)


def _continue_parts(sweep: Path, parts: list[str], runs: list[tuple[dict[str, Any], Path]]) -> int:
    """Go on with a sweep whose launcher started jobs of several runs, one such job after another."""
    from ganrun.comparison.report import report

    code = 0
    try:
        require_own_runs(sweep, [folder for _, folder in runs])
        for part in (sweep / name for name in parts):
            own = [(node, folder) for node, folder in runs if part in folder.parents]
            code = max([code, *_jobs(own, part, resumed=True, whole=False)])
            if code in (130, 143):
                print(f"go on with the sweep: {resume_command(sweep)}")
                return code
        print(report([folder for _, folder in runs], sweep))
    except Exception as error:
        return tell(error)
    return code


def _allowed(arguments: Arguments) -> tuple[tuple[str, ...], Arguments]:
    """Take ``resume.allow=[...]`` off the command line: what may change in the run or sweep that is resumed."""
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
    """A resumed run goes on as it was: only its length, what is written down and what is allowed may change."""
    folder = Path(str(config.resume))
    if config.steps < (done := steps_done(folder)):
        more = "give at least as many, or start a new run"
        raise ConfigError(f"steps={config.steps}: {relative(folder)} has done {done} steps already; {more}.")
    before = load_config(folder)
    known = flat(to_dict(before)) | flat(to_dict(config))
    for name in allow:
        if not any(_is_within(key, name) for key in known):
            raise ConfigError(f"resume.allow: '{name}' is not a setting.{did_you_mean(name, known)}")
    changed = [one for one in changed_settings(before, config) if not any(_is_within(one[0], name) for name in allow)]
    if changed:
        listed = ", ".join(f"{key} ({before!r} before, {now!r} now)" for key, before, now in changed)
        raise ConfigError(
            f"resume goes on with the run's own settings, but these differ: {listed}.\n"
            "Only steps, steps_per_call, data_dir, log.*, checkpoint.* and probe.* may change by themselves; start a "
            f"new run for the others, or add resume.allow=[{','.join(key for key, *_ in changed)}]."
        )


def _is_within(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _job(node: DictConfig) -> int:
    """Run one job of Hydra's; errors are told here, so that a sweep goes on and Hydra prints no traceback."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from ganrun import device

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        device.prepare()
        from ganrun.run import Sweep, train  # after the device is prepared: this imports JAX

        config = check(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        if config.population.jobs:
            return _several(config.population.jobs, folder)
        if config.resume is not None and Path(config.resume).resolve() != folder.resolve():
            _require_typed(config, None)  # Hydra read other files than were checked
        hydra = HydraConfig.get()
        member = hydra.mode == RunMode.MULTIRUN
        require_own(folder, linked=not member)
        planned = member and (folder / "config.yaml").exists() and not begun(folder)
        resume = config.resume is not None or planned or _is_requeued(folder)
        return train(config, folder, resume=resume, sweep=Sweep(_keys(hydra.overrides.task), member=member))
    except Exception as error:
        return tell(error)
    finally:
        _remove_if_empty(folder)


def _several(jobs: tuple[str, ...], folder: Path) -> int:
    """Run the jobs of one job of a cluster, a small sweep of its own in ``folder``; return the worst exit code."""
    from hydra.core.hydra_config import HydraConfig

    sources = HydraConfig.get().runtime.config_sources
    extra = next((source.path for source in sources if source.provider == "command-line"), None)
    name = str(HydraConfig.get().job.config_name)
    named = [[str(text) for text in json.loads(one)] for one in jobs]
    runs = [(compose(name, overrides, extra), folder / place) for place, *overrides in named]
    varied = _keys(text for _, *overrides in named for text in overrides)
    return max(_jobs(runs, folder, resumed=any(_is_requeued(run) for _, run in runs), varied=varied))


def _keys(overrides: Iterable[str]) -> set[str]:
    """Return the settings that ``overrides`` set."""
    return {text.partition("=")[0].lstrip("+~") for text in overrides}


def _is_requeued(folder: Path) -> bool:
    """Whether a cluster's tool has started this job before, which then was preempted: it finds its own run there."""
    return "SUBMITIT_EXECUTOR" in os.environ and begun(folder)


def _jobs(
    given: list[tuple[dict[str, Any], Path]],
    folder: Path,
    resumed: bool = False,
    judge: Judge | None = None,
    whole: bool = True,
    varied: Collection[str] = (),
) -> list[int]:
    """Train all jobs of a sweep, those of one program together; return their exit codes.

    ``varied`` are hyperparameters that vary in the sweep though perhaps not in these jobs.
    """
    from ganrun import device

    try:
        device.prepare()
        from ganrun.population import train_all
        from ganrun.sweep import Job

        require_own_runs(folder, [path for _, path in given])
        if not resumed:
            require_room(folder, [path for _, path in given])
        jobs = [Job(_inspect(node, fetch=not resumed), path.resolve()) for node, path in given]
        return train_all(jobs, folder.resolve(), judge, whole, varied)
    except Exception as error:
        return [tell(error)] * len(given)


def _remove_if_empty(folder: Path) -> None:
    """Hydra makes the run directory before the job; take it back where nothing was written."""
    inside = [parent for parent in folder.parents if Path.cwd() in parent.parents]
    for path in (folder, *inside):
        try:
            path.rmdir()
        except OSError:
            return

"""``ganrun train``: check the whole command line, then let Hydra run it as one job or many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.config import Train, check, data_folder, to_dict
from ganrun.errors import ConfigError, tell
from ganrun.hydra_app import Arguments, compose, hand_over, preflight, quoted
from ganrun.rundir import changed_settings, find_run, find_sweep, load_config, relative, require_writable, runs_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.run import Judge


# What `-m` hands its jobs to, where nothing else is chosen.
OWN = {"launcher": "population", "sweeper": "grid"}


def main(words: list[str]) -> int:
    """Run ``ganrun train`` with ``words`` and return the exit code."""
    arguments = Arguments(words)
    if arguments.only_shows:
        return hand_over("train", "train", words, _job)
    resumed = arguments.value("resume")
    if resumed is not None:
        if arguments.options.multirun:
            raise ConfigError("resume continues one run or one sweep: leave out -m.")
        if (sweep := find_sweep(resumed)) is not None:
            return _continue_sweep(sweep, arguments)
        arguments = _continue(arguments, resumed)
    options = arguments.options
    name = options.config_name or "train"
    preflight(name, arguments, lambda node: _inspect(node, resumed is not None))
    if arguments.runs:
        require_writable(arguments.value("hydra.run.dir") or arguments.value("hydra.sweep.dir") or "outputs")
    words = arguments.words
    if options.multirun:
        words = [*words, *(f"hydra/{kind}={own}" for kind, own in OWN.items() if not _chosen(arguments, kind))]
    return hand_over("train", name, words, _job, _jobs)


def _chosen(arguments: Arguments, kind: str) -> bool:
    return any(text.partition("=")[0].lstrip("+~") == f"hydra/{kind}" for text in arguments.overrides)


def _inspect(node: dict[str, Any], resumed: bool) -> Train:
    """Check everything that can be checked before work starts: keys, ranges, shapes, files."""
    config = check(node)
    from ganrun.game.rules import game_of

    game_of(config, config.dataset.shape)
    config.probe.check(config.dataset)
    if hasattr(config.dataset, "examples") and config.batch_size > config.dataset.examples:
        examples = config.dataset.examples
        raise ConfigError(f"batch_size must be at most {examples}, the examples of {config.dataset.name}.")
    if hasattr(config.dataset, "check"):
        config.dataset.check(data_folder(config), labels=config.conditional)
    if resumed and config.resume is not None:
        _refuse_changes(config)
    return config


def _continue(arguments: Arguments, resumed: str) -> Arguments:
    """Turn ``resume=RUN more=...`` into the command line that runs RUN's own config in RUN's own directory."""
    folder = find_run(resumed)
    load_config(folder)  # says what is wrong with it, where something is
    others = [word for word in arguments.words if word.partition("=")[0] != "resume"]
    where = str(folder).replace("'", "\\'")
    own = ["--config-dir", str(folder), "--config-name", "config", f"resume='{where}'", f"hydra.run.dir='{where}'"]
    return Arguments([*own, *others])


def _continue_sweep(sweep: Path, arguments: Arguments) -> int:
    """Go on with the runs of ``sweep`` that have not ended; return the worst exit code."""
    options = arguments.options
    if options.config_name or options.config_dir or not arguments.runs:
        raise ConfigError("resume of a sweep takes settings only: leave out --cfg, --config-dir and the like.")
    others = [text for text in arguments.overrides if text.partition("=")[0] != "resume"]
    runs = []
    for folder in runs_of(sweep):
        config = load_config(folder)
        if others:
            config = _inspect(compose("config", [*others, f"resume={quoted(str(folder))}"], str(folder)), True)
        runs.append((to_dict(config), folder))
    require_writable(str(sweep))
    return max(_jobs(runs, sweep, resumed=True))


def _refuse_changes(config: Train) -> None:
    """A resumed run goes on as it was: only its length and what is written down may change."""
    changed = changed_settings(load_config(Path(str(config.resume))), config)
    if changed:
        listed = ", ".join(f"{key} ({before!r} before, {now!r} now)" for key, before, now in changed)
        raise ConfigError(
            f"resume goes on with the run's own settings, but these differ: {listed}.\n"
            "Only steps, steps_per_call, data_dir, log.*, checkpoint.* and probe.* may change; "
            "start a new run for the others."
        )


def _job(node: DictConfig) -> int:
    """Run one job of Hydra's; errors are told here, so that a sweep goes on and Hydra prints no traceback."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from ganrun import device

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        device.prepare()
        from ganrun.run import train  # after the device is prepared: this imports JAX

        config = check(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        if config.population.jobs:
            return _several(config.population.jobs, folder)
        return train(config, folder, resume=config.resume is not None)
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
    nodes = [compose(name, [str(text) for text in json.loads(one)], extra) for one in jobs]
    return max(_jobs([(node, folder / str(i)) for i, node in enumerate(nodes)], folder))


def _jobs(
    given: list[tuple[dict[str, Any], Path]],
    folder: Path,
    resumed: bool = False,
    judge: Judge | None = None,
    whole: bool = True,
) -> list[int]:
    """Train all jobs of a sweep, those of one program together; return their exit codes."""
    from ganrun import device

    try:
        device.prepare()
        from ganrun.population import train_all
        from ganrun.sweep import Job

        taken = next((path for _, path in given if (path / "config.yaml").exists()), None)
        if taken is not None and not resumed:
            where, sweep = relative(taken), relative(folder)
            raise ConfigError(f"{where} holds a run already: continue with resume={sweep}, or choose another folder.")
        jobs = [Job(_inspect(node, False), path.resolve()) for node, path in given]
        return train_all(jobs, folder.resolve(), judge, whole)
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

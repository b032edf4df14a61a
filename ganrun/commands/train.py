"""``ganrun train``: check the whole command line, then let Hydra run it as one job or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.config import Train, check, data_folder
from ganrun.errors import ConfigError, tell
from ganrun.hydra_app import Arguments, hand_over, preflight
from ganrun.rundir import changed_settings, find_run, load_config, require_writable

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(words: list[str]) -> int:
    """Run ``ganrun train`` with ``words`` and return the exit code."""
    arguments = Arguments(words)
    if arguments.only_shows:
        return hand_over("train", "train", words, _job)
    resumed = arguments.value("resume")
    if resumed is not None:
        arguments = _continue(arguments, resumed)
    name = arguments.options.config_name or "train"
    preflight(name, arguments, lambda node: _inspect(node, resumed is not None))
    if arguments.runs:
        require_writable(arguments.value("hydra.run.dir") or arguments.value("hydra.sweep.dir") or "outputs")
    return hand_over("train", name, arguments.words, _job)


def _inspect(node: dict[str, Any], resumed: bool) -> Train:
    """Check everything that can be checked before work starts: keys, ranges, shapes, files."""
    config = check(node)
    config.architecture.build(config.dataset.shape, config.latent.dim)
    config.probe.check(hasattr(config.dataset, "density"), config.dataset.name)
    if hasattr(config.dataset, "examples") and config.batch_size > config.dataset.examples:
        examples = config.dataset.examples
        raise ConfigError(f"batch_size must be at most {examples}, the examples of {config.dataset.name}.")
    if hasattr(config.dataset, "check"):
        config.dataset.check(data_folder(config))
    if resumed and config.resume is not None:
        _refuse_changes(config)
    return config


def _continue(arguments: Arguments, resumed: str) -> Arguments:
    """Turn ``resume=RUN more=...`` into the command line that runs RUN's own config in RUN's own directory."""
    if arguments.options.multirun:
        raise ConfigError("resume continues one run: leave out -m.")
    folder = find_run(resumed)
    load_config(folder)  # says what is wrong with it, where something is
    others = [word for word in arguments.words if word.partition("=")[0] != "resume"]
    where = str(folder).replace("'", "\\'")
    own = ["--config-dir", str(folder), "--config-name", "config", f"resume='{where}'", f"hydra.run.dir='{where}'"]
    return Arguments([*own, *others])


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
        return train(config, folder, resume=config.resume is not None)
    except Exception as error:
        return tell(error)
    finally:
        _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    """Hydra makes the run directory before the job; take it back where nothing was written."""
    inside = [parent for parent in folder.parents if Path.cwd() in parent.parents]
    for path in (folder, *inside):
        try:
            path.rmdir()
        except OSError:
            return

"""The checks of a run's config before ``ganrun train`` starts any work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganrun.config.folders import data_folder
from ganrun.config.hparams import flat
from ganrun.config.schema import check, to_dict
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.storage.run_directory import (
    changed_settings,
    load_config,
    relative,
    steps_done,
    with_source,
)

Allow = tuple[str, ...] | None  # settings that may change in a resumed run; None for a new run


def inspect(node: dict[str, Any], allow: Allow = None, fetch: bool = True, download: bool = True) -> Train:
    """Check everything that can be checked before work starts: keys, ranges, shapes, files.

    Args:
        node: the composed config.
        allow: the settings that may change in a resumed run; None for a new run.
        fetch: whether to download missing data. Not for an existing run: its config may be untrusted, and it names the
            source and the destination of downloads.
        download: whether to download missing data of a new run.

    Returns:
        The checked config.

    Raises:
        ConfigError: a check failed.
    """
    config = resolved(check(node), require_compatible)
    if fetch and config.init_from is not None:
        config = with_source(config)
        load_config(Path(str(config.init_from)).parents[1])
    require_compatible(config)
    if hasattr(config.dataset, "examples") and config.batch_size > config.dataset.examples:
        examples = config.dataset.examples
        raise ConfigError(f"batch_size must be at most {examples}, the examples of {config.dataset.name}.")
    if hasattr(config.dataset, "check"):
        dataset = config.dataset
        if not (fetch and download) and hasattr(dataset, "download"):
            dataset = dataclasses.replace(dataset, download=False, mirrors=type(dataset)().mirrors)
        dataset.check(data_folder(config.data_dir), labels=config.conditional)
    if allow is not None and config.resume is not None:
        _refuse_changes(config, allow)
    return config


def require_compatible(config: Train) -> None:
    """Check the parts of ``config`` with each other, and with the shape and the classes of the data.

    Raises:
        ConfigError: a check failed.
    """
    from ganrun.evaluation.metrics.logged import require_best, require_stop
    from ganrun.training.profile import parse

    config.method.build(config, config.dataset.shape)
    parse(config.profile, config.steps)
    config.probe.check(config.dataset)
    require_best(config)
    require_stop(config)


def resolved(config: Train, accept: Callable[[Train], None] = lambda config: None) -> Train:
    """Return ``config`` with the settings of its dataset that are only known once its files are open.

    ``accept`` is called with the config as soon as the shape of the data is known, before all of them are read.
    """
    from ganrun import datasets

    def accept_data(dataset: Any) -> None:
        accept(dataclasses.replace(config, dataset=dataset))

    return dataclasses.replace(
        config, dataset=datasets.resolved(config.dataset, data_folder(config.data_dir), accept_data)
    )


def require_typed(config: Train, resumed: str | None) -> None:
    """Refuse a ``resume`` that is not on the command line: it would start a new run instead of resuming the named one.

    Raises:
        ConfigError: ``resume`` is set in a config file.
    """
    if resumed is None and config.resume is not None:
        name = shown(config.resume)
        raise ConfigError(f"resume={name} is set in a config, where it has no effect: type resume={name} after train.")


def _refuse_changes(config: Train, allow: tuple[str, ...]) -> None:
    """Refuse changes in a resumed run, except to its length, to what is logged and to the settings in ``allow``.

    Raises:
        ConfigError: another setting has changed, one in ``allow`` changes the arrays of the state, or there are fewer
            steps than the run has done.
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
    changes = changed_settings(before, config)
    changed = [change for change in changes if not any(_is_within(change[0], name) for name in allow)]
    if changed:
        listed = ", ".join(f"{key} ({before!r} before, {now!r} now)" for key, before, now in changed)
        raise ConfigError(
            f"resume continues with the run's own settings, but these differ: {listed}.\n"
            "Only steps, steps_per_call, data_dir, feed, mesh.*, hosts.*, profile, log.*, evaluate.*, checkpoint.*, "
            "stop.*, probe.* and ema.snapshots may change by themselves; start a new run for the others, "
            f"or add 'resume.allow=[{','.join(key for key, *_ in changed)}]'."
        )
    if changes and done:  # without a checkpoint the run starts again, with any arrays
        if any(key == "ema.sigma_rel" for key, *_ in changes):
            raise ConfigError("resume.allow: averages keep the width (ema.sigma_rel) they began with: start a new run.")
        names = [name for name in allow if any(_is_within(key, name) for key, *_ in changes)]
        _refuse_other_arrays(before, config, names)


def _refuse_other_arrays(before: Train, now: Train, names: list[str]) -> None:
    """Refuse allowed changes, those of the settings ``names``, with which the saved state cannot be restored.

    Raises:
        ConfigError: they change a shape, or the structure of the state.
    """
    from ganrun.training import device

    device.prepare()
    from ganrun import datasets
    from ganrun.methods.experiment import Experiment
    from ganrun.storage.state_arrays import difference

    old, new = (
        Experiment(config, datasets.Data(None, None, shape=config.dataset.shape, density=None)).abstract()
        for config in (before, now)
    )
    if (different := difference(old, new)) is not None:
        change = f"{', '.join(names)} {'changes' if len(names) == 1 else 'together change'}"
        raise ConfigError(
            f"resume.allow: {change} the arrays of the saved state ({different[0]} before, {different[1]} now): "
            "start a new run."
        )


def _is_within(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")

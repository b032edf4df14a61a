"""The metrics that a run will log, derived from its config before training starts."""

from __future__ import annotations

from collections.abc import Iterator

from ganrun.config.registry import options
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, instead
from ganrun.evaluation.divergence.probe import Measuring
from ganrun.evaluation.metrics.spec import LIST_TAGS, OF_EVALUATION, OF_TRAINING, better, spec_of
from ganrun.methods.method_option import TagFamily

LEAST = 3  # evaluations of which a first mean is taken, see :mod:`ganrun.training.plateau`


def logged(config: Train) -> list[str]:
    """Return the tags that the run of ``config`` writes to metrics.jsonl.

    They include the tags of every class, although a snapshot may hold no example of one, and values that are withheld
    where their error is larger.
    """
    return [tag for family, missing in _families(config) if not missing for tag in family]


def require_logged(tag: str, config: Train, setting: str) -> None:
    """Check that the run of ``config`` logs ``tag``.

    Raises:
        ConfigError: it does not. The message names the ``setting`` and the reason, or the closest tag.
    """
    known = []
    for family, missing in _families(config):
        if tag in family and not missing:
            return
        if tag in family:
            raise ConfigError(f"{setting}: this run does not log '{tag}': {missing}.")
        known += () if missing else family
    if spec_of(tag) is not None and not tag.startswith("penalty/"):
        names = instead("", known, "This one logs", LIST_TAGS)
        raise ConfigError(f"{setting}: runs of method={config.method.name} do not log '{tag}'.{names}")
    raise ConfigError(f"{setting}: no run logs '{tag}'.{instead(tag, known, 'This one logs', LIST_TAGS)}")


def require_best(config: Train) -> None:
    """Check that ``checkpoint.best`` can select a checkpoint.

    Raises:
        ConfigError: the run does not log the metric, never evaluates, or the metric has no direction.
    """
    settings = config.checkpoint
    if settings.best is None:
        return
    require_logged(settings.best, config, "checkpoint.best")
    if _not_measured(config):
        raise ConfigError(f"checkpoint.best={settings.best}: {_not_measured(config)}, so no checkpoint is ever rated.")
    if settings.best_is is None and better(settings.best) is None:
        raise ConfigError(
            f"checkpoint.best={settings.best}: neither lower nor higher is better by itself: "
            "add checkpoint.best_is=lowest or checkpoint.best_is=highest."
        )


def require_stop(config: Train) -> None:
    """Check that ``stop.when`` can end a run.

    Raises:
        ConfigError: the run does not log the metric, it has no direction, or it is not evaluated often enough.
    """
    stop = config.stop
    if stop.when is None:
        return
    require_logged(stop.when, config, "stop.when")
    if better(stop.when) is None:
        raise ConfigError(f"stop.when={stop.when}: neither lower nor higher is better by itself.")
    if (there_are := stop_evaluations(config)) <= stop.patience + LEAST:
        raise ConfigError(
            f"stop.when={stop.when}: stop.patience={stop.patience} needs more than {stop.patience + LEAST} "
            f"evaluations, and there are {there_are} in {config.steps} steps: give a larger stop.times, "
            "or a smaller log.every."
        )


def stop_evaluations(config: Train) -> int:
    """Return how often the metric ``stop.when`` is evaluated in the steps of ``config``, not counting step 0."""
    every = config.log.every * max(1, round(config.steps / config.stop.times / config.log.every))
    return config.steps // every


def _families(config: Train) -> Iterator[TagFamily]:
    """Yield tags that are logged together, with the reason why this run does not log them (empty if it does)."""
    (first, missing), *others = config.method.tag_families(config)
    yield (*first, *(spec.name for spec in OF_TRAINING)), missing
    yield from others
    not_measured, chosen = _not_measured(config), {metric.name for metric in config.metric}
    for name, option in options("metric").items():
        metric = next((metric for metric in config.metric if metric.name == name), None) or option()
        left_out = "" if name in chosen else f"metric={name} is not chosen"
        for tags, reason in metric.tag_families(config):
            yield tags, not_measured or reason or left_out
    for tags, reason in config.method.snapshot_families(config):
        yield tags, not_measured or reason
    yield tuple(spec.name for spec in OF_EVALUATION), not_measured
    probe = "" if config.probe.name != "off" else "probe=off measures none"
    yield tuple(spec.name for spec in Measuring.SPECS), probe


def _not_measured(config: Train) -> str:
    """Return the reason why the run never evaluates its model; empty if it does."""
    measured = config.log.pictures or config.probe.name != "off" or config.stop.when is not None
    return "" if measured else "log.pictures=0 and probe=off measure nothing"

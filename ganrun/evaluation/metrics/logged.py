"""The metrics that a run will log, derived from its config before training starts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganrun.config.schema import Train
from ganrun.errors import ConfigError, did_you_mean
from ganrun.evaluation.metrics.spec import better
from ganrun.methods.gan.state import OUTPUT_METRICS, tags

READ_AS = {"probability": "as a probability", "critic": "as a critic's score", "pair": "in pairs of data and samples"}


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
    raise ConfigError(f"{setting}: no run logs '{tag}' (this one logs {', '.join(known)}).{did_you_mean(tag, known)}")


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


def _families(config: Train) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield tags that are logged together, with the reason why this run does not log them (empty if it does)."""
    yield from _of_steps(config)
    not_measured, dataset, output_type = _not_measured(config), config.dataset, config.loss.output_type
    known = hasattr(dataset, "density")
    without = "" if known else f"dataset={dataset.name} has no known density"
    yield ("jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse"), not_measured or without
    line = "" if dataset.shape == (1,) else f"dataset={dataset.name} is not on the line"
    yield ("w1",), not_measured or without or line
    fills = "its generator can fill all dimensions of the data"
    yield ("jsd/smoothed", "jsd/smoothed_error"), not_measured or without or ("" if _is_singular(config) else fills)
    followed = dataset.shape == (2,) and config.latent.dim == 2 and not config.conditional
    cannot = "" if _is_singular(config) or followed else "its generator's density cannot be computed"
    yield ("data_missed",), not_measured or without or cannot
    single = "" if known and dataset.classes else f"dataset={dataset.name} is not a mixture of several modes"
    modes = ("modes/covered", "modes/high_quality", "modes/kl", "modes/high_quality_data", "modes/kl_data")
    yield modes, not_measured or single
    constant = f"all examples of dataset={dataset.name} are the same" if hasattr(dataset, "source") else ""
    yield ("samples/diversity",), not_measured or constant
    endless = f"dataset={dataset.name} is not a finite set" if known or hasattr(dataset, "source") else ""
    yield ("samples/nearest_training",), not_measured or endless
    gives = f"loss={config.loss.name} gives a probability already" if output_type == "probability" else ""
    yield ("D(x)/calibrated", "D(G(z))/calibrated"), not_measured or gives
    yield _of_classes(config), not_measured
    probe = "" if config.probe.name != "off" else "probe=off measures none"
    yield ("jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"), probe


def _of_steps(config: Train) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the tags that every step logs, and those of the other output types, which this run does not log."""
    own = tags(config.loss.output_type)
    yield (*own, *(f"penalty/{penalty.name}" for penalty in config.penalty if penalty.reports), "steps_per_second"), ""
    others = tuple(tag for output_metrics in OUTPUT_METRICS.values() for tag in output_metrics if tag not in own)
    yield others, f"loss={config.loss.name} reads the discriminator's output {READ_AS[config.loss.output_type]}"


def _of_classes(config: Train) -> tuple[str, ...]:
    """Return the tags of single classes; none if the run is not class-conditional."""
    probability = config.loss.output_type == "probability"
    outputs = ("D(x)", "D(G(z))") if probability else ("critic/real", "critic/fake")
    classes = config.dataset.classes if config.conditional else 0
    return tuple(f"{output}/class_{label}" for output in outputs for label in range(classes))


def _is_singular(config: Train) -> bool:
    """Return whether the generator's range has a lower dimension than the data, so that it has no density."""
    hidden = getattr(config.architecture, "generator_hidden", ())
    return min(config.latent.dim, *hidden, math.prod(config.dataset.shape)) < math.prod(config.dataset.shape)


def _not_measured(config: Train) -> str:
    """Return the reason why the run never evaluates its generator; empty if it does."""
    return "" if config.log.pictures or config.probe.name != "off" else "log.pictures=0 and probe=off measure nothing"

"""Which metrics a run is going to log, known from its config before any work starts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ganrun.config import Train
from ganrun.errors import ConfigError, did_you_mean
from ganrun.game.state import READINGS, tags
from ganrun.metrics.spec import better

READ_AS = {"probability": "as a probability", "critic": "as a critic's score", "pair": "in pairs of data and samples"}


def logged(config: Train) -> list[str]:
    """Return the tags that the run of ``config`` writes to metrics.jsonl.

    Tags of a class are among them whether or not the few examples behind them hold one of that class, and a value that
    is withheld where its error is larger.
    """
    return [tag for found, missing in _families(config) if not missing for tag in found]


def require_logged(tag: str, config: Train, setting: str) -> None:
    """Refuse a ``tag`` that the run of ``config`` never logs.

    Raises:
        ConfigError: names the ``setting`` that asks for it and why it is missing, or the closest tag.
    """
    known = []
    for found, missing in _families(config):
        if tag in found and not missing:
            return
        if tag in found:
            raise ConfigError(f"{setting}: this run does not log '{tag}': {missing}.")
        known += () if missing else found
    raise ConfigError(f"{setting}: no run logs '{tag}' (this one logs {', '.join(known)}).{did_you_mean(tag, known)}")


def require_best(config: Train) -> None:
    """Refuse a ``checkpoint.best`` that could never choose a checkpoint.

    Raises:
        ConfigError: the run does not log the metric, never measures, or nothing says whether less or more is better.
    """
    asked = config.checkpoint
    if asked.best is None:
        return
    require_logged(asked.best, config, "checkpoint.best")
    if _unseen(config):
        raise ConfigError(f"checkpoint.best={asked.best}: {_unseen(config)}, so no checkpoint is ever rated.")
    if asked.best_is is None and better(asked.best) is None:
        raise ConfigError(
            f"checkpoint.best={asked.best}: neither lower nor higher is better by itself: "
            "add checkpoint.best_is=lowest or checkpoint.best_is=highest."
        )


def _families(config: Train) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield tags that are logged together, and why this run does not log them; empty where it does."""
    yield from _of_steps(config)
    unseen, dataset, reads = _unseen(config), config.dataset, config.loss.reads
    known = hasattr(dataset, "density")
    without = "" if known else f"dataset={dataset.name} has no known density"
    yield ("jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse"), unseen or without
    line = "" if dataset.shape == (1,) else f"dataset={dataset.name} is not on the line"
    yield ("w1",), unseen or without or line
    fills = "its generator can fill all dimensions of the data"
    yield ("jsd/smoothed", "jsd/smoothed_error"), unseen or without or ("" if _is_singular(config) else fills)
    followed = dataset.shape == (2,) and config.latent.dim == 2 and not config.conditional
    cannot = "" if _is_singular(config) or followed else "its generator cannot be followed through the plane"
    yield ("data_missed",), unseen or without or cannot
    single = "" if known and dataset.classes else f"dataset={dataset.name} is no mixture of several modes"
    modes = ("modes/covered", "modes/high_quality", "modes/kl", "modes/high_quality_data", "modes/kl_data")
    yield modes, unseen or single
    constant = f"all examples of dataset={dataset.name} are the same" if hasattr(dataset, "source") else ""
    yield ("samples/diversity",), unseen or constant
    endless = f"dataset={dataset.name} is no finite set" if known or hasattr(dataset, "source") else ""
    yield ("samples/nearest_training",), unseen or endless
    gives = f"loss={config.loss.name} gives a probability already" if reads == "probability" else ""
    yield ("D(x)/calibrated", "D(G(z))/calibrated"), unseen or gives
    yield _of_classes(config), unseen
    probe = "" if config.probe.name != "off" else "probe=off measures none"
    yield ("jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"), probe


def _of_steps(config: Train) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what every step reports, and what the steps of other losses and penalties do."""
    own = tags(config.loss.reads)
    yield (*own, *(f"penalty/{one.name}" for one in config.penalty if one.reports), "steps_per_second"), ""
    others = tuple(tag for readings in READINGS.values() for tag in readings if tag not in own)
    yield others, f"loss={config.loss.name} reads the discriminator's output {READ_AS[config.loss.reads]}"


def _of_classes(config: Train) -> tuple[str, ...]:
    """Return the tags of single classes; none where the run is not class-conditional."""
    probability = config.loss.reads == "probability"
    sides = ("D(x)", "D(G(z))") if probability else ("critic/real", "critic/fake")
    classes = config.dataset.classes if config.conditional else 0
    return tuple(f"{side}/class_{label}" for side in sides for label in range(classes))


def _is_singular(config: Train) -> bool:
    """Return whether the generator fills fewer dimensions than the data have, so that it has no density."""
    hidden = getattr(config.architecture, "generator_hidden", ())
    return min(config.latent.dim, *hidden, math.prod(config.dataset.shape)) < math.prod(config.dataset.shape)


def _unseen(config: Train) -> str:
    """Return why the run never measures its generator; empty where it does."""
    return "" if config.log.pictures or config.probe.name != "off" else "log.pictures=0 and probe=off measure nothing"

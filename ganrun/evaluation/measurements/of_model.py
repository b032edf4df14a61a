"""Metrics of the model itself: divergences, modes of mixtures, and log densities that a method computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganrun.config.registry import options
from ganrun.evaluation.divergence import estimators
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.estimate import LOG_2
from ganrun.evaluation.divergence.probe import Measuring
from ganrun.evaluation.features import PerChannel, classifier
from ganrun.evaluation.measurements.base import EQUAL_SIZES, Family, Measurement, Sets, Settings, at_least
from ganrun.evaluation.measurements.mode_kl_error import mode_kl_error
from ganrun.evaluation.metrics.classified_modes import PUBLISHED, classified_coverage, mode_weights
from ganrun.evaluation.metrics.exact import ExactDivergences
from ganrun.evaluation.metrics.log_density import LogDensity
from ganrun.evaluation.metrics.modes import Modes, coverage, high_quality_counts
from ganrun.evaluation.sample_metrics.distance_interval import distance_interval
from ganrun.evaluation.sample_metrics.intervals import normal, proportion
from ganrun.methods.densities import UNCERTAIN_LOG_Z
from ganrun.methods.metric_spec import MetricSpec

WEAK = 32  # dimensions from which on classifiers of raw pixels are known to miss differences
FEWEST = 200  # examples per distribution
MAX = 2000  # of finite sets: classifiers of more examples take minutes


def probe_missing(sets: Sets) -> str:
    """Return the reason why there is no estimate of the divergence; empty if there is."""
    if sets.data is None or sets.model is None:
        return "the data have no density and are no finite set"
    fewest = min([len(part.rows) for part in (sets.data, sets.model) if part.rows is not None], default=FEWEST)
    return "" if fewest >= 100 else f"it needs 100 examples of each, there are {fewest}"


def probe(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Estimate the divergence by classifiers that are scored on examples that they were not fitted on."""
    data, model = sets.data, sets.model
    assert data is not None and model is not None
    finite = data.draw is None or model.draw is None
    n = min(MAX, len(sets.fake)) if finite else None
    work: dict[str, Any] = {"n": n, "seed": settings.seed, "budget": settings.budget}
    name = "stack" if finite else "streaming"
    found = estimators.estimate(data, model, name, **work)
    floor, floor_n = None, 0
    if settings.floor:
        floor, floor_n = _floor(sets, data, name, work)
        floor_n = floor_n or found.n
    interval = normal(found.estimate, found.se, settings.level)
    flags = list(at_least(found.n, FEWEST))
    if found.d >= WEAK:
        flags.append(f"d = {found.d}: underestimates")
    if floor is not None and floor_n != found.n:
        flags.append(EQUAL_SIZES)
    details = {"standard_error": found.se, "lower": found.lower, "estimator": name}
    return [
        Measurement(
            "jsd/probe", found.estimate, found.n, found.n, interval.low, interval.high, "normal", floor, floor_n,
            tuple(flags), details,
        )
    ]  # fmt: skip


def _floor(sets: Sets, data: Distribution, name: str, work: dict[str, Any]) -> tuple[float, int]:
    """Return the estimate for real examples in the place of the samples, and their number."""
    rows = sets.training_examples(work["seed"])
    if rows is not None:
        other = Distribution("training", data.shape, rows=rows.reshape(len(rows), -1))
        found = estimators.estimate(data, other, name, **work)
        return found.estimate, found.n
    n = work["n"] or 0  # 0: as many as the estimate, which draws them
    return estimators.floor(data, name, **work), n if data.rows is None else min(n, len(data.rows) // 2)


def exact_missing(sets: Sets) -> str:
    """Return the reason why there are no exact divergences; empty if there are."""
    if sets.context is None:
        return "it needs a run"
    return "" if ExactDivergences().applies(sets.context.config) else "the data have no known density"


def exact(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Compute the divergences as at the end of a run: from the known density, with bounds on the error."""
    del settings
    assert sets.context is not None
    scalars = ExactDivergences().prepare(sets.context.experiment)(sets.context)
    found = []
    for spec in ExactDivergences.SPECS:
        tag, error = spec.name, scalars.get(f"{spec.name}_error")
        if tag.endswith("_error") or (tag not in scalars and error is None):
            continue
        value = scalars.get(tag)
        flags = () if value is not None else (f"error of {error:.3g}",)
        low = high = None
        if value is not None and error is not None:
            low, high = max(0.0, value - error), min(LOG_2, value + error)
        kind = "" if low is None else "error bound"
        found.append(Measurement(tag, value, 0, 0, low, high, kind, 0.0 if value is not None else None, 0, flags))
    return found


def modes_missing(sets: Sets) -> str:
    """Return the reason why modes are not counted; empty if they are."""
    if sets.context is None:
        return "it needs a run"
    return "" if Modes().applies(sets.context.config) else "the data are not a mixture of several modes"


def modes(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Count the modes that the samples cover: of a mixture, or of stacked images."""
    assert sets.context is not None
    if sets.context.density is None:
        return _classified_modes(sets, settings)
    density = sets.context.density
    parts = np.asarray(density.means), np.asarray(density.stds), np.asarray(density.weights)
    fake = sets.fake.reshape(len(sets.fake), -1)
    values = coverage(fake, *parts)
    floors = coverage(sets.reference.reshape(len(sets.reference), -1), *parts) if settings.floor else {}
    flags = at_least(int(len(fake) * parts[2].min() / parts[2].sum()), 25)
    flags = tuple("fewer than 25 samples expected in a mode" for _ in flags)
    counts = high_quality_counts(fake, *parts)
    # The number of modes is no smooth function of the samples, and has no interval.
    intervals = {
        "modes/high_quality": (proportion(values["modes/high_quality"], len(fake), settings.level), "binomial")
    }
    if np.count_nonzero(counts) > 1:
        error, slope = mode_kl_error(counts, parts[2])
        of_kl = distance_interval(values["modes/kl"], error, slope, settings.level)
        intervals["modes/kl"] = replace(of_kl, low=max(0.0, of_kl.low)), "derivative"
    found = []
    for tag, value in values.items():
        interval, kind = intervals.get(tag, (None, ""))
        low, high = (None, None) if interval is None else (interval.low, interval.high)
        size = len(sets.reference)
        found.append(Measurement(tag, value, len(fake), 0, low, high, kind, floors.get(tag), size, flags))
    return found


def _classified_modes(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Count the modes of stacked images by a classifier of their channels."""
    assert sets.context is not None
    config = sets.context.config
    recognised, weights = classifier(config.dataset, config.data_dir), mode_weights(config.dataset, config.data_dir)
    assert isinstance(recognised, PerChannel)
    values = classified_coverage(recognised, sets.fake, weights)
    floors = classified_coverage(recognised, sets.reference, weights) if settings.floor else {}
    flags = () if len(sets.fake) >= PUBLISHED else (f"n < {PUBLISHED} of the papers",)
    return [
        Measurement(tag, value, len(sets.fake), 0, floor=floors.get(tag), floor_n=len(sets.reference), flags=flags)
        for tag, value in values.items()
    ]


def density_specs() -> Sequence[MetricSpec]:
    """Return the specs of the log densities of all methods, and of the bounds on them."""
    declared = [spec for option in options("method").values() for spec in getattr(option, "SPECS", ())]
    return tuple(spec for spec in declared if spec.unit == "nats" and spec.better == "higher")


def density_missing(sets: Sets) -> str:
    """Return the reason why the method has no log density; empty if it has."""
    if sets.context is None:
        return "it needs a run"
    method = sets.context.experiment.method
    return "" if "log_density" in method.capabilities else "the method has no density that can be computed"


def log_density(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Compute the mean log density of held-out data, or bounds on it."""
    assert sets.context is not None
    option = LogDensity()
    scalars = option.prepare(sets.context.experiment)(sets.context)
    n = option.final_examples if sets.context.is_last else option.examples
    rows = getattr(sets.context.experiment.data.held_out, "flat", None)
    n = n if rows is None else min(n, len(rows))
    found = []
    for spec in sets.context.experiment.method.densities:
        error = scalars[f"{spec.name}_se"]
        interval = normal(scalars[spec.name], error, settings.level)
        of_normaliser = sets.context.experiment.method.shared_errors.get(spec.name, "")
        uncertain = scalars.get(of_normaliser, 0.0) > UNCERTAIN_LOG_Z
        flags = (*at_least(n, 100), *([f"{of_normaliser} > {UNCERTAIN_LOG_Z:g}"] if uncertain else []))
        found.append(
            Measurement(
                spec.name, interval.value, 0, n, interval.low, interval.high, "normal", flags=flags,
                details={"standard_error": error},
            )
        )  # fmt: skip
    return found


FAMILIES = (
    Family("jsd", Measuring.SPECS[:1], probe_missing, probe),
    Family("exact", tuple(s for s in ExactDivergences.SPECS if not s.name.endswith("_error")), exact_missing, exact),
    Family("modes", tuple(s for s in Modes.SPECS if not s.name.endswith("_data")), modes_missing, modes),
    Family("log_density", (), density_missing, log_density, density_specs),
)

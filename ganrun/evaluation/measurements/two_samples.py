"""Comparison of the features of samples and of real examples: nearest neighbours, distances, diversity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace

import numpy as np

from ganrun.evaluation.measurements.base import Family, Measurement, Sets, Settings, always, at_least
from ganrun.evaluation.measurements.specs import DISTANCES, MANIFOLD, VENDI, distance_tag
from ganrun.evaluation.sample_metrics.distance_interval import distance_interval
from ganrun.evaluation.sample_metrics.frechet import Frechet, frechet
from ganrun.evaluation.sample_metrics.intervals import Interval, jackknife_errors, normal, proportion
from ganrun.evaluation.sample_metrics.kernel import KernelDistance, kernel_distance
from ganrun.evaluation.sample_metrics.manifold import Manifold, manifold, radii
from ganrun.evaluation.sample_metrics.mind import mind
from ganrun.evaluation.sample_metrics.vendi import vendi_with_error
from ganrun.methods.metric_spec import SHARE, MetricSpec

LEAST_INSIDE = 10  # examples within neighbourhoods, below which the interval of precision or recall is unstable
SUBSETS, SUBSET_SIZE = 60, 1000  # of the jackknife of nearest neighbours; subsets are halves of smaller sets


def manifold_of(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure precision, recall, density and coverage; the neighbourhoods of the real examples are computed once."""
    real, fake, k = sets.reference_features, sets.fake_features, settings.k
    smaller = min(len(real), len(fake))
    if smaller <= k:
        return [_missing(sets, spec.name, f"n ≤ k = {k}") for spec in MANIFOLD]
    radius = radii(real, k)
    measured = manifold(real, fake, k, radius)
    values = _four(measured)
    few: dict[str, tuple[str, ...]] = {
        tag: _few_inside(count) for tag, count in zip(("precision", "recall"), measured.inside, strict=True)
    }
    floors: tuple[float, ...] | None = None
    if settings.floor and sets.other_features is not None and len(sets.other_features) > k:
        theirs = sets.floor_reference_features
        floors = _four(manifold(theirs, sets.other_features, k, radius if theirs is real else None))
    kept = min(0.5, SUBSET_SIZE / smaller)
    errors = None
    if settings.intervals and round(kept * smaller) > k:
        errors = jackknife_errors(
            lambda a, b: _four(manifold(a, b, k)), real, fake, kept=kept, repeats=SUBSETS, seed=settings.seed
        )
    found = []
    for i, spec in enumerate(MANIFOLD):
        interval = None if errors is None else _bounded(spec, values[i], float(errors[i]), len(fake), settings.level)
        floor = None if floors is None else floors[i]
        flags = (*at_least(smaller, 1000), *few.get(spec.name, ()))
        found.append(_measurement(sets, spec.name, values[i], interval, "jackknife", floor, flags))
    return found


def _few_inside(count: int) -> tuple[str, ...]:
    """Return a flag if so few examples are inside that another draw would have another interval."""
    return (f"{count} inside < {LEAST_INSIDE}: unstable interval",) if count < LEAST_INSIDE else ()


def _four(found: Manifold) -> tuple[float, ...]:
    return astuple(found)[:4]


def _bounded(spec: MetricSpec, value: float, error: float, n: int, level: float) -> Interval:
    """Return the normal interval, and of precision and recall Wilson's, whose coverage is nearer to its level.

    Wilson's is that of as many independent examples as have the same error, at most ``n``: near 0 and 1, the
    jackknife's error is often too small by chance. docs/sample_metrics.md has the coverage of both.
    """
    if spec.bounds != SHARE or (spec.name == "coverage" and error > 0):
        around = normal(value, error, level)
        return replace(around, high=min(around.high, 1.0)) if spec.bounds == SHARE else around
    independent = value * (1 - value) / error**2 if error > 0 and 0 < value < 1 else float(n)
    return proportion(value, min(independent, float(n)), level)


def frechet_of(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure the Fréchet distance."""
    return _distance(
        sets, settings, "frechet", lambda real, fake: _parts(frechet(real, fake)), above=sets.extractor.size
    )


def kernel_of(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure the kernel distance over all pairs."""
    return _distance(sets, settings, "kernel", lambda real, fake: _parts(kernel_distance(real, fake)), least=100)


def mind_of(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure MIND; its standard error is that over examples and that over projections."""

    def measured(real: np.ndarray, fake: np.ndarray) -> tuple[float, float, float]:
        found = mind(real, fake, seed=settings.seed)
        return found.value, math.hypot(found.standard_error, found.sampling_error), found.slope

    return _distance(sets, settings, "mind", measured, least=100)


def _parts(found: Frechet | KernelDistance) -> tuple[float, float, float]:
    return found.value, found.standard_error, found.slope


def _distance(
    sets: Sets,
    settings: Settings,
    name: str,
    measured: Callable[[np.ndarray, np.ndarray], tuple[float, float, float]],
    least: int = 0,
    above: int = 0,
) -> Sequence[Measurement]:
    real, fake = sets.reference_features, sets.fake_features
    tag, smaller = distance_tag(name, sets.extractor.name), min(len(real), len(fake))
    if smaller < 2:
        return [_missing(sets, tag, "n < 2")]
    value, error, slope = measured(real, fake)
    interval = distance_interval(value, error, slope, settings.level)
    floor = None
    if settings.floor and sets.other_features is not None and len(sets.other_features) > 1:
        floor = measured(sets.floor_reference_features, sets.other_features)[0]
    flags = at_least(smaller, least) if smaller > above else (f"n ≤ d = {above}: covariances are singular",)
    return [_measurement(sets, tag, value, interval, "derivative", floor, flags, at_least_zero=name != "kernel")]


def vendi_of(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure the Vendi score; its floor is that of as many real examples."""
    fake, other = sets.fake_features, sets.other_features
    if not np.linalg.norm(fake, axis=1).all():
        return [_missing(sets, "vendi", "a sample has no features other than 0")]
    value, error = vendi_with_error(fake)
    floor = None
    if settings.floor and other is not None and np.linalg.norm(other, axis=1).all():
        floor = vendi_with_error(other)[0]
    size = sets.extractor.size
    flags = () if len(fake) > size else (f"n ≤ d = {size}: depends mostly on n",)
    interval = normal(value, error, settings.level)
    return [_measurement(sets, "vendi", value, interval, "derivative", floor, flags)]


def _measurement(
    sets: Sets,
    tag: str,
    value: float,
    interval: Interval | None,
    kind: str,
    floor: float | None,
    flags: tuple[str, ...],
    at_least_zero: bool = True,
) -> Measurement:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    if low is not None and at_least_zero:
        low = max(low, 0.0)
    return Measurement(
        tag,
        value,
        len(sets.fake),
        0 if tag == "vendi" else len(sets.reference),
        low,
        high,
        "" if interval is None else kind,
        floor,
        0 if floor is None or sets.other is None else len(sets.other),
        (*flags, *(sets.floor_flags if floor is not None else ())),
        {} if interval is None else {"standard_error": interval.standard_error},
    )


def _missing(sets: Sets, tag: str, reason: str) -> Measurement:
    return Measurement(tag, None, len(sets.fake), len(sets.reference), flags=(reason,))


FAMILIES = (
    Family("manifold", MANIFOLD, always, manifold_of),
    Family("frechet", DISTANCES["frechet"], always, frechet_of),
    Family("kernel", DISTANCES["kernel"], always, kernel_of),
    Family("mind", DISTANCES["mind"], always, mind_of),
    Family("vendi", VENDI, always, vendi_of),
)

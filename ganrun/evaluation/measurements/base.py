"""A measurement, and what it is measured on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ganrun.evaluation.features.base import Extractor
from ganrun.methods.metric_spec import MetricSpec

if TYPE_CHECKING:
    from ganrun.evaluation.divergence.distribution import Distribution
    from ganrun.evaluation.metrics.base import EvalContext

EQUAL_SIZES = "floor at another n"


@dataclass(frozen=True)
class Measurement:
    """A metric of samples.

    Attributes:
        tag: of the metric.
        value: None if it could not be computed; ``flags`` then has the reason.
        low: lower end of the interval; None without an interval.
        high: upper end.
        interval: what the interval is.
        n: number of samples.
        reference_n: number of real examples that they are compared with; 0 if there are none.
        floor: the value of real examples in the place of the samples; None if it was not measured.
        floor_n: number of these real examples.
        flags: reasons why the value must not be read as it stands.
        details: further numbers, for JSON.
    """

    tag: str
    value: float | None
    n: int
    reference_n: int = 0
    low: float | None = None
    high: float | None = None
    interval: str = ""
    floor: float | None = None
    floor_n: int = 0
    flags: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        k: number of neighbours.
        seed: of subsets, projections and classifiers.
        level: nominal coverage of the intervals.
        budget: of the classifiers of ``jsd/probe``, relative to that of ``ganrun jsd``.
        floor: whether real examples are measured in the place of the samples.
        intervals: whether intervals are computed that take subsets of the examples.
    """

    k: int = 5
    seed: int = 0
    level: float = 0.95
    budget: float = 0.2
    floor: bool = True
    intervals: bool = True


@dataclass(frozen=True, eq=False)
class Sets:
    """Samples and real examples, all ``(n, *shape)`` in the units of the networks, images in [-1, 1] if ``is_pixels``.

    Attributes:
        label: of the samples.
        reference_label: of the real examples.
        fake: samples.
        reference: real examples to compare with.
        other: real examples for the floor; None if there are none.
        floor_reference: real examples that ``other`` is compared with, none of which is in it; None: ``reference``.
        training: the examples that the model was trained on; None if unknown or without end.
        held_out: real examples that it was not trained on; None if unknown.
        extractor: of the features.
        is_pixels: whether the numbers are pixels of a known range.
        notes: what the user should know of the samples and the examples, one sentence each.
        data: the data as a distribution, for ``jsd/probe``.
        model: the model, or the samples, likewise.
        context: the model at its checkpoint, for metrics that need more of it than samples; None for files.
        labelled: ``labelled(n, seed)`` returns samples and their classes, for class-conditional models.
        classes: of the labels.
        targets: labels of ``held_out`` and of ``training``, if known.
    """

    label: str
    reference_label: str
    fake: np.ndarray
    reference: np.ndarray
    other: np.ndarray | None
    training: np.ndarray | None
    held_out: np.ndarray | None
    extractor: Extractor
    is_pixels: bool
    notes: tuple[str, ...] = ()
    data: Distribution | None = None
    model: Distribution | None = None
    context: EvalContext | None = None
    labelled: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = None
    classes: int = 0
    floor_reference: np.ndarray | None = None
    targets: tuple[np.ndarray, np.ndarray] | None = None

    def with_samples(self, fake: np.ndarray) -> Sets:
        """Return the sets with other samples; features of real examples that are known are not computed again."""
        other = dataclasses.replace(self, fake=fake)
        names = ("reference_features", "other_features", "floor_reference_features", "training_features")
        vars(other).update({name: vars(self)[name] for name in names if name in vars(self)})
        return other

    def training_examples(self, seed: int) -> np.ndarray | None:
        """Return as many training examples as there are samples, if there are; None without a training set."""
        if self.training is None:
            return None
        return self.training[np.random.default_rng([seed, 2]).permutation(len(self.training))[: len(self.fake)]]

    @functools.cached_property
    def fake_features(self) -> np.ndarray:
        return self.extractor.features(self.fake)

    @functools.cached_property
    def reference_features(self) -> np.ndarray:
        return self.extractor.features(self.reference)

    @functools.cached_property
    def other_features(self) -> np.ndarray | None:
        return None if self.other is None else self.extractor.features(self.other)

    @functools.cached_property
    def floor_reference_features(self) -> np.ndarray:
        rows = self.floor_reference
        return self.reference_features if rows is None else self.extractor.features(rows)

    @functools.cached_property
    def training_features(self) -> np.ndarray:
        assert self.training is not None
        return self.extractor.features(self.training).astype(np.float64)

    @property
    def floor_flags(self) -> tuple[str, ...]:
        """A flag if the floor is measured on fewer examples than the value: most metrics depend on the sizes."""
        return (EQUAL_SIZES,) if self.other is not None and len(self.other) != len(self.fake) else ()


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together.

    Attributes:
        name: as typed in ``metrics=[...]``.
        specs: of its tags, in their order; families of tags by the extractor included.
        missing: returns the reason why the family does not apply; empty if it does.
        measure: measures it.
        of_methods: returns specs of further tags, which methods declare, also those of plugins.
    """

    name: str
    specs: tuple[MetricSpec, ...]
    missing: Callable[[Sets], str]
    measure: Callable[[Sets, Settings], Sequence[Measurement]]
    of_methods: Callable[[], Sequence[MetricSpec]] = tuple

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(spec.name for spec in (*self.specs, *self.of_methods())))


def always(sets: Sets) -> str:
    """Return no reason: a family that applies to all samples."""
    del sets
    return ""


def at_least(n: int, least: int) -> tuple[str, ...]:
    """Return a flag if ``n``, the smaller of two sample sizes, is below ``least``."""
    return () if n >= least else (f"n < {least}",)


def with_flags(measurement: Measurement, *flags: str) -> Measurement:
    """Return ``measurement`` with more ``flags``."""
    return dataclasses.replace(measurement, flags=tuple(dict.fromkeys((*measurement.flags, *flags))))

"""Evaluation of a run at a step, beyond the metrics of the step itself: pictures, mode coverage, divergences.

A snapshot is taken in the training loop, at almost no cost, and evaluated in the writers' thread while training
continues. The result depends only on the seed, the step and the parts that are evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.config.settings import Train
from ganrun.datasets import in_data_units
from ganrun.evaluation.budget import METRICS, PICTURES, PROBE
from ganrun.evaluation.divergence.distribution import Distribution, data_distribution
from ganrun.evaluation.divergence.run_distribution import model_distribution
from ganrun.evaluation.last_pictures import interpolations, last_pictures
from ganrun.evaluation.metrics.base import EvalContext, Measure
from ganrun.methods.base import Inspection, Tree
from ganrun.methods.experiment import Experiment, SnapshotArrays
from ganrun.methods.run_state import RunState
from ganrun.plots import pictures
from ganrun.plots.densities import densities

IMAGES, PLANE_POINTS, LINE_POINTS = 64, 10_000, 100_000  # samples per picture
MAX_ROWS = 16  # maximum number of classes for a picture with one row per class


class NotFinite(Exception):
    """The values under this tag contain NaN or Inf."""


@dataclass(frozen=True)
class Snapshot:
    """A run after a step.

    Attributes:
        step: the step.
        fetch: returns the snapshot's arrays and the variables that samples are drawn from.
        parts: what is evaluated besides the metrics, see :data:`~ganrun.evaluation.budget.PARTS`.
        last: whether the run ends with this step.
    """

    step: int
    fetch: Callable[[], tuple[SnapshotArrays, Tree]]
    parts: frozenset[str]
    last: bool = False


@dataclass
class EvalResult:
    """The result of an evaluation: scalars, histograms and PNGs, each by tag, and the seconds that each part took."""

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def samples_shown(experiment: Experiment) -> int:
    """Return the number of samples of ``experiment`` in a snapshot."""
    if experiment.data.density is not None:
        return {1: LINE_POINTS, 2: PLANE_POINTS}[experiment.data.shape[0]]
    classes = experiment.method.classes
    return classes**2 if 0 < classes <= MAX_ROWS else IMAGES


def picture_spacing(config: Train) -> int:
    """Return the number of steps between two pictures of a run; 0: no pictures."""
    return _spacing(config, config.steps / config.log.pictures) if config.log.pictures else 0


def pictures_in(config: Train, folder: Path | None = None) -> int:
    """Return the number of sample pictures that a run makes, including those already in ``folder``."""
    every = picture_spacing(config)
    steps = {*range(0, config.steps, every), config.steps} if every else set()
    existing = (folder / "samples").glob("*.png") if folder is not None else ()
    return len(steps | {int(path.stem) for path in existing if path.stem.isdecimal()})


def _spacing(config: Train, steps: float) -> int:
    """Return ``steps`` rounded to a multiple of ``log.every``: evaluations coincide with rows of metrics."""
    every = config.log.every
    return max(1, round(steps / every)) * every


class Evaluator:
    """Evaluates the model of ``experiment`` at the steps that ``config`` specifies.

    Raises:
        ConfigError: files that a metric needs are missing.
    """

    def __init__(self, experiment: Experiment, config: Train) -> None:
        self.experiment, self.config = experiment, config
        self.density = experiment.data.density
        self.points = pictures.points(self.density)
        self.data = data_distribution(config.dataset.name, experiment.data)
        self.picture_every = picture_spacing(config)
        probe, stop = config.probe, config.stop
        self.probe_every = 0 if probe.name == "off" else _spacing(config, probe.every or config.steps / probe.times)
        self.metrics_every = 0
        if stop.when is not None and stop.when in {spec.name for spec in getattr(probe, "SPECS", ())}:
            self.probe_every = _spacing(config, config.steps / stop.times)
        elif stop.when is not None:
            self.metrics_every = _spacing(config, config.steps / stop.times)
        self._measures: dict[str, Measure] = {}
        self._metrics = {metric.name: metric for metric in config.metric if metric.applies(config)}
        if self.picture_every or self.probe_every or self.metrics_every:
            for metric in self._metrics.values():
                metric.load(config)

    def due(self, step: int) -> frozenset[str]:
        """Return the parts that are due at ``step``; empty if it is not evaluated."""
        parts = {PICTURES: self._due(self.picture_every, step), PROBE: self._is_probed(step)}
        parts[METRICS] = self._due(self.metrics_every, step) and not any(parts.values())
        return frozenset(part for part, due in parts.items() if due)

    @property
    def at_the_end(self) -> frozenset[str]:
        """The parts that are due when the run ends."""
        return self.due(self.config.steps)

    def times(self) -> dict[str, int]:
        """Return how often each part is due in the whole run."""
        steps = self.config.steps
        pictures, probe = (every and -(-steps // every) for every in (self.picture_every, self.probe_every))
        metrics = self.metrics_every and -(-steps // self.metrics_every)
        return {
            PICTURES: pictures and pictures + 1,
            PROBE: probe,
            METRICS: metrics,
        }  # pictures also before the first step

    def _due(self, every: int, step: int) -> bool:
        return bool(every) and (step % every == 0 or step == self.config.steps)

    def _is_probed(self, step: int) -> bool:
        return step > 0 and self._due(self.probe_every, step)

    @property
    def samples(self) -> int:
        """The number of samples in a snapshot."""
        return samples_shown(self.experiment)

    def snapshot(self, state: RunState, step: int) -> Snapshot:
        """Return what the evaluation needs of ``state`` after ``step``, before it is overwritten; does not block."""
        result = self.experiment.snapshot(state, self.samples, self.points)
        return Snapshot(step, lambda: result, self.due(step), step == self.config.steps)

    def read(self, snapshot: Snapshot, workers: int = 1) -> EvalResult:
        """Return the metrics and pictures of ``snapshot``.

        Args:
            snapshot: what to evaluate.
            workers: number of threads for the probe; more than one gains nothing while training continues.

        Raises:
            NotFinite: what the method shows of its networks is not finite.
        """
        # Training continues in parallel: more threads than cores would slow down both.
        with threadpool_limits(1):
            return self._read(snapshot, workers)

    def prepare(self, snapshot: Snapshot) -> None:
        """Load the libraries and compile the programs that :meth:`read` needs, so that no evaluation waits for it."""
        arrays, variables = snapshot.fetch()
        model = model_distribution("model", self.experiment, variables)
        with threadpool_limits(1):
            for name in self._metrics:
                self._measure(name)
            if model.push is not None:
                model.push(np.zeros((1, model.latent_dim), np.float32))
            samples, nothing = np.asarray(jax.device_get(arrays.samples)), np.zeros(0)
            if self.picture_every:
                pictures.draw(samples, self.density, nothing)
                interpolations(self.experiment, self.config, variables)
            if self.probe_every:
                self.config.probe.prepare(self.data, model)

    def run(self, context: EvalContext, names: Collection[str] | None = None) -> dict[str, float]:
        """Return the values of metrics at a snapshot, by tag.

        Args:
            context: the snapshot.
            names: options of the group ``metric``; None: all that the run has chosen and that apply to it.
        """
        scalars = {}
        for name in self._metrics:
            if names is None or name in names:
                scalars |= self._measure(name)(context)
        return scalars

    def _measure(self, name: str) -> Measure:
        if name not in self._measures:
            self._measures[name] = self._metrics[name].prepare(self.experiment)
        return self._measures[name]

    def _read(self, snapshot: Snapshot, workers: int) -> EvalResult:
        begun = time.monotonic()
        arrays, variables = snapshot.fetch()
        host_arrays: Any = jax.device_get(arrays)
        inspected = host_arrays.inspected
        result = EvalResult(histograms={tag: inspected[tag] for tag in self.experiment.method.HISTOGRAMS})
        for tag, values in result.histograms.items():
            if not np.all(np.isfinite(values)):
                raise NotFinite(tag)
        shown = self.experiment.method.read(inspected)
        model = model_distribution("model", self.experiment, variables)
        probe = self._probe(model, snapshot, workers)
        context = EvalContext(
            self.experiment, self.config, snapshot.step, host_arrays.samples, variables, model, snapshot.last
        )
        result.scalars |= shown.scalars | self.run(context)
        title = f"step {snapshot.step}"
        if METRICS in snapshot.parts:
            result.seconds[METRICS] = time.monotonic() - begun
        if PICTURES in snapshot.parts:
            samples = in_data_units(self.config.dataset, host_arrays.samples)
            result.pictures["samples"] = pictures.draw(
                samples, self.density, shown.field, title, host_arrays.ladder, shown.field_label
            )
            if snapshot.last:
                result.pictures |= last_pictures(self.experiment, self.config, variables, samples)
            now = time.monotonic()
            result.seconds[PICTURES], begun = now - begun, now
        if PROBE in snapshot.parts:
            if self.density is not None:
                result.pictures["densities"] = self._densities(context, shown, title)
            result.scalars |= probe()
            result.seconds[PROBE] = time.monotonic() - begun
        return result

    def _probe(self, model: Distribution, snapshot: Snapshot, workers: int) -> Callable[[], dict[str, float]]:
        """Return a function that returns the probe's metrics; with several ``workers`` it starts to work at once."""
        measure = partial(self.config.probe.measure, self.data, model, self.config.seed, snapshot.step, workers=workers)
        if workers == 1 or PROBE not in snapshot.parts:
            return measure
        pool = ThreadPoolExecutor(1)
        future = pool.submit(measure)
        pool.shutdown(wait=False)
        return future.result

    def _densities(self, context: EvalContext, shown: Inspection, title: str) -> bytes:
        """Return the picture of the densities of data and model, and of the optimal and the learned discriminator."""
        assert self.density is not None
        samples = context.samples if _is_on_line(context.model) else context.dense
        return densities(samples, self.density, shown.field, title, shown.field_label)


def _is_on_line(model: Distribution) -> bool:
    """Return whether the model's density is known from its latents, so that the samples of a snapshot suffice."""
    return model.push is not None and model.d == model.latent_dim == 1

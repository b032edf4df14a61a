"""Evaluation of a run at a step, beyond the metrics of the step itself: pictures, mode coverage, divergences.

A snapshot is taken in the training loop, at almost no cost, and evaluated in the writers' thread while training
continues. The result depends only on the seed and the step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from ganrun.config.schema import Train
from ganrun.evaluation.divergence.calibration import calibrate, calibrated_probabilities
from ganrun.evaluation.divergence.distribution import Distribution, data_distribution
from ganrun.evaluation.divergence.estimate import withheld
from ganrun.evaluation.divergence.exact.model import of_model
from ganrun.evaluation.divergence.run_distribution import model_distribution
from ganrun.evaluation.metrics.diversity import Diversity
from ganrun.evaluation.metrics.modes import coverage, floor
from ganrun.methods.gan.gan import Gan, SnapshotArrays
from ganrun.methods.gan.state import State, Tree
from ganrun.plots import pictures
from ganrun.plots.densities import densities

IMAGES, PLANE_POINTS, LINE_POINTS = 64, 10_000, 100_000  # samples per picture
MAX_ROWS = 16  # maximum number of classes for a picture with one row per class
DENSE = 1 << 17  # samples for jsd/exact where the latent space cannot be integrated over
DURING_TRAINING, AT_THE_END = (256, 1 << 14), (512, 1 << 16)  # grid nodes and query points for a latent plane


class NotFinite(Exception):
    """The values under this tag contain NaN or Inf."""


@dataclass(frozen=True)
class Snapshot:
    """The networks after ``step``: ``fetch()`` returns the snapshot's arrays and the averaged generator's variables."""

    step: int
    fetch: Callable[[], tuple[SnapshotArrays, Tree]]


@dataclass
class EvalResult:
    """The result of an evaluation: scalars, logits (for histograms) and PNGs, each by tag."""

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)


def samples_shown(method: Gan) -> int:
    """Return the number of samples of ``method`` in a snapshot."""
    if method.data.density is not None:
        return {1: LINE_POINTS, 2: PLANE_POINTS}[method.data.shape[0]]
    classes = method.spec.classes
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
    """Evaluates the networks of ``method`` at the steps that ``config`` specifies."""

    def __init__(self, method: Gan, config: Train) -> None:
        self.method, self.config = method, config
        self.density = method.data.density
        # The field D(x) over single points is undefined for a packed or a class-conditional discriminator.
        density = None if method.spec.packing > 1 or method.spec.classes else self.density
        self.points = pictures.points(density)
        self.data = data_distribution(config.dataset.name, method.data)
        self.picture_every = picture_spacing(config)
        probe = config.probe
        self.probe_every = 0 if probe.name == "off" else _spacing(config, probe.every or config.steps / probe.times)

    def due(self, step: int) -> bool:
        """Return whether ``step`` is evaluated."""
        return self._due(self.picture_every, step) or (step > 0 and self._due(self.probe_every, step))

    def _due(self, every: int, step: int) -> bool:
        return bool(every) and (step % every == 0 or step == self.config.steps)

    @property
    def samples(self) -> int:
        """The number of samples in a snapshot."""
        return samples_shown(self.method)

    def snapshot(self, state: State, step: int) -> Snapshot:
        """Return what the evaluation needs of ``state`` after ``step``, before it is overwritten; does not block."""
        result = self.method.snapshot(state, self.samples, self.points)
        return Snapshot(step, lambda: result)

    def read(self, snapshot: Snapshot) -> EvalResult:
        """Return the metrics and pictures of ``snapshot``.

        Raises:
            NotFinite: the discriminator's logits are not finite.
        """
        # Training continues in parallel: more threads than cores would slow down both.
        with threadpool_limits(1):
            return self._read(snapshot)

    def _read(self, snapshot: Snapshot) -> EvalResult:
        arrays, average = snapshot.fetch()
        host_arrays: Any = jax.device_get(arrays)
        result = EvalResult(histograms={"logits/real": host_arrays.real_logits, "logits/fake": host_arrays.fake_logits})
        result.scalars |= by_class(host_arrays, self.method.spec.classes, self.config.loss.output_type)
        for tag, logits in result.histograms.items():
            if not np.all(np.isfinite(logits)):
                raise NotFinite(tag)
        logits, label = host_arrays.field, "D(x)"
        if self.config.loss.output_type != "probability":
            result.scalars |= calibrated_probabilities(host_arrays.real_logits, host_arrays.fake_logits)
            scale, offset = calibrate(host_arrays.real_logits, host_arrays.fake_logits)
            logits, label = scale * np.asarray(logits, np.float64) + offset, "D(x), calibrated"
        if self.density is not None and self.density.means.shape[0] > 1:
            result.scalars |= coverage(host_arrays.samples, *self._modes()) | self._floor()
        result.scalars |= self._diversity().of(host_arrays.samples)
        title = f"step {snapshot.step}"
        if self._due(self.picture_every, snapshot.step):
            result.pictures["samples"] = pictures.draw(
                host_arrays.samples, self.density, logits, title, host_arrays.ladder, label
            )
        model = model_distribution("model", self.method, average)
        if not logits.size and self.density is not None:
            logits = np.full(len(pictures.points(self.density)), np.nan)
        is_probed = snapshot.step > 0 and self._due(self.probe_every, snapshot.step)
        if self.density is not None:
            dense = functools.cache(lambda: _draw(model, self._noise(snapshot.step)))  # drawn only when needed
            self._exact(snapshot.step, model, dense, result)
            if is_probed:
                samples = host_arrays.samples if self._on_line(model) else dense()
                result.pictures["densities"] = densities(samples, self.density, logits, title, label)
        if is_probed:
            result.scalars |= self.config.probe.measure(self.data, model, self.config.seed, snapshot.step)
        return result

    def _modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return means, standard deviations and weights of the density's components."""
        assert self.density is not None
        return np.asarray(self.density.means), np.asarray(self.density.stds), np.asarray(self.density.weights)

    @functools.cache  # noqa: B019 (lives as long as the run)
    def _floor(self) -> dict[str, float]:
        return floor(self.samples, *self._modes())

    @functools.cache  # noqa: B019 (lives as long as the run)
    def _diversity(self) -> Diversity:
        return Diversity(self.method.data.train, self.method.data.held_out)

    def _exact(self, step: int, model: Distribution, dense: Callable[[], np.ndarray], result: EvalResult) -> None:
        """Add the divergences from the known density; ``dense`` draws many samples, for models without exact ones."""
        assert self.density is not None
        nodes, points = AT_THE_END if step == self.config.steps else DURING_TRAINING
        divergences = of_model(self.density, model, dense, nodes, points, self._noise(step))
        result.scalars |= values("jsd/exact", divergences.exact.jsd, divergences.exact.error)
        result.scalars |= {"kl/forward": divergences.exact.kl_forward, "kl/reverse": divergences.exact.kl_reverse}
        if divergences.exact.w1 is not None:
            result.scalars["w1"] = divergences.exact.w1
        if divergences.missed is not None:
            result.scalars["data_missed"] = divergences.missed
        if divergences.smoothed is not None:
            result.scalars |= values("jsd/smoothed", divergences.smoothed.jsd, divergences.smoothed.error)

    @staticmethod
    def _on_line(model: Distribution) -> bool:
        return model.push is not None and model.d == 1 and model.latent_dim == 1

    def _noise(self, step: int) -> int:
        return int(np.random.SeedSequence([self.config.seed, step, 1]).generate_state(1)[0])


def values(tag: str, value: float, error: float) -> dict[str, float]:
    """Return ``tag`` with its error; only the error where it is so large that the value is withheld."""
    scalars = {f"{tag}_error": error}
    return scalars if withheld(value, error) else {tag: value} | scalars


def by_class(host_arrays: Any, classes: int, output_type: str) -> dict[str, float]:
    """Return the discriminator's mean output per class: its mean probability, or its mean score."""
    tags = ("D(x)", "D(G(z))") if output_type == "probability" else ("critic/real", "critic/fake")
    result = {}
    for tag, logits, labels in zip(
        tags,
        (host_arrays.real_logits, host_arrays.fake_logits),
        (host_arrays.real_labels, host_arrays.fake_labels),
        strict=True,
    ):
        outputs = expit(logits) if output_type == "probability" else logits
        of_class = {label: outputs[labels == label] for label in range(classes)}
        result |= {f"{tag}/class_{label}": float(part.mean()) for label, part in of_class.items() if part.size}
    return result


def _draw(model: Distribution, seed: int) -> np.ndarray:
    assert model.draw is not None
    return model.draw(DENSE, seed)

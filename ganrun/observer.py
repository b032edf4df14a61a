"""What a run looks like at a step, beyond what the step itself reports: pictures, coverage, divergence.

A look is taken in the training loop, which costs next to nothing, and read in the writers' thread while training goes
on. What it finds depends on the seed and the step alone.
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

from ganrun.config import Train
from ganrun.divergence.calibration import calibrate, calibrated_readout
from ganrun.divergence.estimate import withheld
from ganrun.divergence.exact_model import of_model
from ganrun.divergence.run_side import generator_side
from ganrun.divergence.side import Side, data_side
from ganrun.game.method import Gan, Snapshot
from ganrun.game.state import State, Tree
from ganrun.metrics.likeness import Likeness
from ganrun.metrics.modes import coverage, floor
from ganrun.writers import pictures
from ganrun.writers.densities import densities

IMAGES, PLANE_POINTS, LINE_POINTS = 64, 10_000, 100_000  # samples behind a picture
MOST_ROWS = 16  # classes of which a picture shows a row each
DENSE = 1 << 17  # samples behind jsd/exact where the generator cannot be followed
ON_THE_WAY, AT_THE_END = (256, 1 << 14), (512, 1 << 16)  # nodes and points with which a latent plane is followed


class NotFinite(Exception):
    """A look found NaN or Inf under this tag."""


@dataclass(frozen=True)
class Look:
    """The players as they were after ``step``: ``fetch()`` gives a snapshot and the averaged generator's variables."""

    step: int
    fetch: Callable[[], tuple[Snapshot, Tree]]


@dataclass
class Seen:
    """What a look shows: scalars by tag, logits by tag, and PNGs by tag."""

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)


def samples_shown(method: Gan) -> int:
    """Return how many samples of ``method`` a look takes."""
    if method.data.density is not None:
        return {1: LINE_POINTS, 2: PLANE_POINTS}[method.data.shape[0]]
    classes = method.game.classes
    return classes**2 if 0 < classes <= MOST_ROWS else IMAGES


def picture_spacing(config: Train) -> int:
    """Return how many steps lie between two pictures of a run; 0: it makes none."""
    return _spacing(config, config.steps / config.log.pictures) if config.log.pictures else 0


def pictures_in(config: Train, folder: Path | None = None) -> int:
    """Return how many pictures of its samples a run makes, those that ``folder`` holds already included."""
    every = picture_spacing(config)
    steps = {*range(0, config.steps, every), config.steps} if every else set()
    there = (folder / "samples").glob("*.png") if folder is not None else ()
    return len(steps | {int(path.stem) for path in there if path.stem.isdecimal()})


def _spacing(config: Train, steps: float) -> int:
    """Return about ``steps`` as a whole number of rows of metrics, on which looks fall."""
    every = config.log.every
    return max(1, round(steps / every)) * every


class Observer:
    """Looks at the players of ``method`` at the steps that ``config`` asks for."""

    def __init__(self, method: Gan, config: Train) -> None:
        self.method, self.config = method, config
        self.density = method.data.density
        # Of a single point D can say nothing where it judges several together, or wants to know the class.
        asked = None if method.game.packing > 1 or method.game.classes else self.density
        self.points = pictures.points(asked)
        self.data = data_side(config.dataset.name, method.data)
        self.picture_every = picture_spacing(config)
        probe = config.probe
        self.probe_every = 0 if probe.name == "off" else _spacing(config, probe.every or config.steps / probe.times)

    def due(self, step: int) -> bool:
        """Return whether ``step`` is looked at."""
        return self._due(self.picture_every, step) or (step > 0 and self._due(self.probe_every, step))

    def _due(self, every: int, step: int) -> bool:
        return bool(every) and (step % every == 0 or step == self.config.steps)

    @property
    def samples(self) -> int:
        """How many samples a look takes."""
        return samples_shown(self.method)

    def look(self, state: State, step: int) -> Look:
        """Take down what is needed of ``state`` after ``step``, which the next steps consume; waits for nothing."""
        seen = self.method.snapshot(state, self.samples, self.points)
        return Look(step, lambda: seen)

    def read(self, look: Look) -> Seen:
        """Measure and draw what ``look`` shows.

        Raises:
            NotFinite: the discriminator's logits are not finite.
        """
        # The run trains on meanwhile: more threads than cores would slow down both.
        with threadpool_limits(1):
            return self._read(look)

    def _read(self, look: Look) -> Seen:
        snapshot, average = look.fetch()
        shown: Any = jax.device_get(snapshot)
        seen = Seen(histograms={"logits/real": shown.real_logits, "logits/fake": shown.fake_logits})
        seen.scalars |= by_class(shown, self.method.game.classes, self.config.loss.reads)
        for tag, logits in seen.histograms.items():
            if not np.all(np.isfinite(logits)):
                raise NotFinite(tag)
        logits, label = shown.field, "D(x)"
        if self.config.loss.reads != "probability":
            seen.scalars |= calibrated_readout(shown.real_logits, shown.fake_logits)
            scale, offset = calibrate(shown.real_logits, shown.fake_logits)
            logits, label = scale * np.asarray(logits, np.float64) + offset, "D(x), calibrated"
        if self.density is not None and self.density.means.shape[0] > 1:
            seen.scalars |= coverage(shown.samples, *self._modes()) | self._floor()
        seen.scalars |= self._likeness().of(shown.samples)
        title = f"step {look.step}"
        if self._due(self.picture_every, look.step):
            seen.pictures["samples"] = pictures.draw(shown.samples, self.density, logits, title, shown.ladder, label)
        model = generator_side("model", self.method, average)
        if not logits.size and self.density is not None:
            logits = np.full(len(pictures.points(self.density)), np.nan)
        probed = look.step > 0 and self._due(self.probe_every, look.step)
        if self.density is not None:
            dense = functools.cache(lambda: _draw(model, self._noise(look.step)))  # only where it is wanted
            self._exact(look.step, model, dense, seen)
            if probed:
                samples = shown.samples if self._on_line(model) else dense()
                seen.pictures["densities"] = densities(samples, self.density, logits, title, label)
        if probed:
            seen.scalars |= self.config.probe.measure(self.data, model, self.config.seed, look.step)
        return seen

    def _modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return means, standard deviations and weights of the density's components."""
        assert self.density is not None
        return np.asarray(self.density.means), np.asarray(self.density.stds), np.asarray(self.density.weights)

    @functools.cache  # noqa: B019 (as long as the run)
    def _floor(self) -> dict[str, float]:
        return floor(self.samples, *self._modes())

    @functools.cache  # noqa: B019 (as long as the run)
    def _likeness(self) -> Likeness:
        return Likeness(self.method.data.train, self.method.data.held_out)

    def _exact(self, step: int, model: Side, dense: Callable[[], np.ndarray], seen: Seen) -> None:
        """Add the divergences that can be had exactly; ``dense`` gives many samples, for what cannot be followed."""
        assert self.density is not None
        nodes, points = AT_THE_END if step == self.config.steps else ON_THE_WAY
        found = of_model(self.density, model, dense, nodes, points, self._noise(step))
        seen.scalars |= values("jsd/exact", found.exact.jsd, found.exact.error)
        seen.scalars |= {"kl/forward": found.exact.kl_forward, "kl/reverse": found.exact.kl_reverse}
        if found.exact.w1 is not None:
            seen.scalars["w1"] = found.exact.w1
        if found.missed is not None:
            seen.scalars["data_missed"] = found.missed
        if found.smoothed is not None:
            seen.scalars |= values("jsd/smoothed", found.smoothed.jsd, found.smoothed.error)

    @staticmethod
    def _on_line(model: Side) -> bool:
        return model.push is not None and model.d == 1 and model.latent_dim == 1

    def _noise(self, step: int) -> int:
        return int(np.random.SeedSequence([self.config.seed, step, 1]).generate_state(1)[0])


def values(tag: str, value: float, error: float) -> dict[str, float]:
    """Return ``tag`` with its error; the error alone where it says that the value is not known."""
    told = {f"{tag}_error": error}
    return told if withheld(value, error) else {tag: value} | told


def by_class(shown: Any, classes: int, reads: str) -> dict[str, float]:
    """Return what the discriminator makes of each class: its mean probability, or its mean score."""
    tags = ("D(x)", "D(G(z))") if reads == "probability" else ("critic/real", "critic/fake")
    seen = {}
    for tag, logits, labels in zip(
        tags, (shown.real_logits, shown.fake_logits), (shown.real_labels, shown.fake_labels), strict=True
    ):
        means = expit(logits) if reads == "probability" else logits
        found = {label: means[labels == label] for label in range(classes)}
        seen |= {f"{tag}/class_{label}": float(mean.mean()) for label, mean in found.items() if mean.size}
    return seen


def _draw(model: Side, seed: int) -> np.ndarray:
    assert model.draw is not None
    return model.draw(DENSE, seed)

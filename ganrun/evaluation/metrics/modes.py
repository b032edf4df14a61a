"""Mode coverage of data whose modes are known: of a mixture of Gaussians, or of stacked images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ganrun.config.registry import number, register
from ganrun.config.settings import Train
from ganrun.evaluation.features import PerChannel, classifier
from ganrun.evaluation.metrics.base import EvalContext, Measure, Metric, known_density
from ganrun.evaluation.metrics.classified_modes import (
    PUBLISHED,
    TAGS,
    classified_coverage,
    classified_floor,
    has_classified_modes,
    mode_weights,
)
from ganrun.evaluation.metrics.mode_kl import mode_kl
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import AT_LEAST_0, SHARE, MetricSpec

HIGH_QUALITY_STDS = 3.0  # maximum distance of a high-quality sample from its mode's centre, in standard deviations
BLOCK = 1 << 22  # distances computed at once
COVERED_SHARE = 0.2  # a mode is covered if it has at least this share of its expected samples


@register("metric", "modes")
@dataclass(frozen=True)
class Modes(Metric):
    """How many modes of the data the samples cover, how evenly, and for a mixture the share of samples near a mode.

    The modes of stacked images are recognised by a classifier and counted as in the papers: a mode is covered if at
    least one sample belongs to it. It depends on the number of samples, so they are drawn for this metric.

    Paper: Srivastava et al. 2017, "VEEGAN: reducing mode collapse in GANs using implicit variational learning",
    section 4; the KL over the modes: Lin et al. 2018, "PacGAN".

    Attributes:
        samples: samples of stacked images per snapshot.
        final_samples: samples of stacked images at the last step.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec(
            "modes/covered",
            "modes with at least a fifth of their share of samples; of stacked images, with at least one sample",
            "",
            "higher",
            ("line",),
            bounds=AT_LEAST_0,
        ),
        MetricSpec("modes/covered_data", "modes/covered of as many examples of the data", bounds=AT_LEAST_0),
        MetricSpec("modes/high_quality_data", "modes/high_quality of as many examples of the data", bounds=SHARE),
        MetricSpec("modes/kl_data", "modes/kl of as many examples of the data", "nats", bounds=AT_LEAST_0),
        MetricSpec(
            "modes/high_quality",
            "share of samples within three standard deviations of a mode",
            "",
            "higher",
            ("line",),
            bounds=SHARE,
        ),
        MetricSpec("modes/kl", "KL(samples, data) over the modes", "nats", "lower", ("line",), bounds=AT_LEAST_0),
    )

    name: str = "modes"
    samples: int = number(2_600, low=1, high=10_000_000)
    final_samples: int = number(PUBLISHED, low=1, high=10_000_000)

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        if has_classified_modes(config.dataset):
            yield TAGS, ""
            yield ("modes/high_quality", "modes/high_quality_data"), "its modes are classes, without a width"
            return
        several = not known_density(config) and config.dataset.classes
        single = "" if several else f"dataset={config.dataset.name} is not a mixture of several modes"
        yield ("modes/covered", "modes/high_quality", "modes/kl", "modes/high_quality_data", "modes/kl_data"), single
        yield ("modes/covered_data",), f"dataset={config.dataset.name} is not of stacked images"

    def load(self, config: Train) -> None:
        """Train the classifier of stacked images before the run begins, unless it is in the cache."""
        if has_classified_modes(config.dataset):
            classifier(config.dataset, config.data_dir)

    def prepare(self, experiment: Experiment) -> Measure:
        density = experiment.data.density
        if density is None:
            return self._classified(experiment)
        parts = np.asarray(density.means), np.asarray(density.stds), np.asarray(density.weights)
        floors: dict[int, dict[str, float]] = {}  # by number of samples

        def measure(context: EvalContext) -> dict[str, float]:
            n = len(context.samples)
            if n not in floors:
                floors[n] = floor(n, *parts)
            return coverage(context.samples, *parts) | floors[n]

        return measure

    def _classified(self, experiment: Experiment) -> Measure:
        held_out = np.asarray(experiment.data.held_out.flat)  # type: ignore[union-attr]  # a finite set
        weights: list[np.ndarray] = []

        def measure(context: EvalContext) -> dict[str, float]:
            dataset, data_dir = context.config.dataset, context.config.data_dir
            recognise = classifier(dataset, data_dir)
            assert isinstance(recognise, PerChannel) and context.model.draw is not None
            if not weights:
                weights.append(mode_weights(dataset, data_dir))
            n = self.final_samples if context.is_last else self.samples
            x = context.model.draw(n, context.noise)
            return classified_coverage(recognise, x, weights[0]) | classified_floor(recognise, held_out, n, weights[0])

        return measure


def coverage(samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Return the mode coverage of ``samples``.

    A sample is assigned to its most likely component: the largest log w_i - d log std_i - r_i^2 / 2 std_i^2, with r_i
    its distance from the centre. If all components have the same width and weight, this is the nearest centre, as in
    the papers; otherwise the nearest centre would assign samples of a wide component to a narrow one next to it. A
    sample has high quality if it lies within 3 standard deviations of that component's centre (Srivastava et al. 2017,
    VEEGAN, section 4); of the data, 1 - exp(-4.5) = 0.9889 do in the plane and 0.9973 on the line if no two components
    overlap. A mode is covered if its high-quality samples are at least 20 % of its weight's share of all samples, so a
    few outliers do not count. The mode KL is :func:`mode_kl` of the high-quality samples only: the others belong to no
    mode, and ``modes/high_quality`` reports their share.

    Args:
        samples: ``(n, dim)``.
        means: ``(modes, dim)``.
        stds: ``(modes,)``.
        weights: ``(modes,)``, summing to 1.

    Returns:
        ``modes/covered`` (a count), ``modes/high_quality`` (a fraction of the samples) and ``modes/kl`` (nats).
    """
    counts = high_quality_counts(samples, means, stds, weights)
    return {
        "modes/covered": float(np.sum(counts / len(samples) >= COVERED_SHARE * weights)),
        "modes/high_quality": float(counts.sum() / len(samples)),
        "modes/kl": mode_kl(counts, weights),
    }


def high_quality_counts(samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the number of high-quality samples of each mode ``(modes,)``; see :func:`coverage`."""
    samples = np.asarray(samples, np.float64)  # squares of a diverging run's samples overflow single precision
    component, distance = assigned(samples, means, stds, weights)
    return np.bincount(component[distance <= HIGH_QUALITY_STDS], minlength=len(means))


def floor(n: int, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Return the metrics of ``n`` examples of the data itself: the best that a generator can be expected to reach.

    The examples are the same for every run. Returns ``modes/high_quality_data`` and ``modes/kl_data`` (nats).
    """
    rng = np.random.default_rng(0)
    component = rng.choice(len(means), n, p=np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64))
    examples = means[component] + stds[component, None] * rng.standard_normal((n, means.shape[1]))
    metrics = coverage(examples, means, stds, weights)
    return {f"{tag}_data": metrics[tag] for tag in ("modes/high_quality", "modes/kl")}


def assigned(
    samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's most likely component ``(n,)`` and its distance from that centre in standard deviations.

    Args:
        samples: ``(n, dim)``, double precision.
        means: ``(modes, dim)``.
        stds: ``(modes,)``.
        weights: ``(modes,)``, positive.
    """
    stds = np.asarray(stds, np.float64)
    prior = np.log(np.asarray(weights, np.float64)) - means.shape[1] * np.log(stds)
    components, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    rows = max(1, BLOCK // len(means))
    for start in range(0, len(samples), rows):
        distance = np.linalg.norm(samples[start : start + rows, None, :] - means, axis=-1) / stds
        likeliest = (prior - 0.5 * distance**2).argmax(axis=1)
        components.append(likeliest)
        distances.append(distance[np.arange(len(distance)), likeliest])
    return np.concatenate(components), np.concatenate(distances)

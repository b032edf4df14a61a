"""Metrics of samples during training: what ``ganrun eval`` measures, on snapshots, without intervals and floors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from ganrun.config.registry import choice, number, register
from ganrun.config.settings import Train
from ganrun.evaluation import features
from ganrun.evaluation.measurements import specs
from ganrun.evaluation.metrics.base import EvalContext, Measure, Metric
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import MetricSpec

if TYPE_CHECKING:
    from ganrun.evaluation.measurements.base import Sets

EXAMPLES = 1000
# Real examples and their features, which several metrics of a run share.
_known: WeakKeyDictionary[Experiment, dict[tuple[str, int], Sets]] = WeakKeyDictionary()


@dataclass(frozen=True)
class OfSamples(Metric):
    """A family of ``ganrun eval``, of samples against held-out data.

    Attributes:
        examples: samples, and held-out examples, per snapshot; fewer if the data have not as many. Most metrics depend
            on this number: compare runs of the same.
        used: the features in which samples and data are compared.
    """

    examples: int = number(EXAMPLES, low=20, high=1_000_000)

    @property
    def used(self) -> str:
        return "raw"

    @property
    def neighbours(self) -> int:
        """Number of nearest neighbours, for metrics that have one."""
        return 5

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        dataset = config.dataset
        constant = f"all examples of dataset={dataset.name} are the same" if hasattr(dataset, "source") else ""
        yield tuple(spec.name for spec in self.SPECS), constant

    def prepare(self, experiment: Experiment) -> Measure:
        from ganrun.evaluation.measurements.base import Settings  # imports parts of SciPy, which take half a second
        from ganrun.evaluation.measurements.families import family

        measured = family(self.name)
        known: list[Sets] = []

        def measure(context: EvalContext) -> dict[str, float]:
            if not known:
                known.append(self._real(context))
            assert context.model.draw is not None
            samples = context.model.draw(len(known[0].reference), context.noise)
            sets = known[0].with_samples(samples.reshape(len(samples), *experiment.data.shape))
            if not np.isfinite(samples).all() or measured.missing(sets):
                return {}
            settings = Settings(k=self.neighbours, seed=context.config.seed, floor=False, intervals=False)
            found = measured.measure(sets, settings)
            return {one.tag: one.value for one in found if one.value is not None and np.isfinite(one.value)}

        return measure

    def _real(self, context: EvalContext) -> Sets:
        """Return the real examples, with any samples: the same in every run on these data."""
        from ganrun.evaluation.measurements.base import Sets
        from ganrun.evaluation.measurements.open_run import Choice, real_examples, size

        experiment, key = context.experiment, (self.used, self.examples)
        known = _known.setdefault(experiment, {})
        if key not in known:
            data, shape = experiment.data, tuple(experiment.data.shape)
            choice = Choice(self.examples, features=self.used)
            real = real_examples(data, size(data, choice)[0], choice)
            known[key] = Sets(
                label="model",
                reference_label=context.config.dataset.name,
                fake=real.reference,
                reference=real.reference,
                other=None,
                training=real.training,
                held_out=real.held_out,
                extractor=features.extractor(self.used, context.config.dataset, context.config.data_dir),
                is_pixels=len(shape) == 3,
            )
        _ = known[key].reference_features  # computed once, for all snapshots
        return known[key]


@dataclass(frozen=True)
class OfFeatures(OfSamples):
    """A family that compares features.

    Attributes:
        features: one of :data:`ganrun.evaluation.features.EXTRACTORS` that need no weights.
    """

    features: str = choice("auto", ("auto", "raw", "classifier"))

    @property
    def used(self) -> str:
        return self.features


@register("metric", "manifold")
@dataclass(frozen=True)
class ManifoldMetric(OfFeatures):
    """Precision, recall, density and coverage by nearest neighbours among features.

    Papers: Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models"; Naeem et
    al. 2020, "Reliable fidelity and diversity metrics for generative models".

    Attributes:
        k: number of neighbours.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.MANIFOLD

    name: str = "manifold"
    k: int = number(5, low=1, high=1000)

    @property
    def neighbours(self) -> int:
        return self.k


@dataclass(frozen=True)
class Distance(OfFeatures):
    """A distance, whose tag depends on the features."""

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        (tags, missing), *_ = super().tag_families(config)
        used = specs.distance_tag(self.name, features.chosen(self.features, config.dataset))
        for tag in tags:
            yield (tag,), missing or ("" if tag == used else f"with these features it is '{used}'")


@register("metric", "frechet")
@dataclass(frozen=True)
class FrechetMetric(Distance):
    """The squared Fréchet distance of Gaussians fitted to features: cfid with those of the classifier, else frechet.

    Paper: Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6, with other features.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.DISTANCES["frechet"]

    name: str = "frechet"


@register("metric", "kernel")
@dataclass(frozen=True)
class KernelMetric(Distance):
    """The squared maximum mean discrepancy of features: ckid with those of the classifier, else kernel.

    Paper: Bińkowski et al. 2018, "Demystifying MMD GANs", with other features.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.DISTANCES["kernel"]

    name: str = "kernel"


@register("metric", "mind")
@dataclass(frozen=True)
class MindMetric(Distance):
    """The squared sliced Wasserstein distance of features, times 3 d: cmind with those of the classifier, else mind.

    Paper: Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.DISTANCES["mind"]

    name: str = "mind"


@register("metric", "vendi")
@dataclass(frozen=True)
class VendiMetric(OfFeatures):
    """The effective number of different samples.

    Paper: Friedman & Dieng 2023, "The Vendi score: a diversity evaluation metric for machine learning".
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.VENDI

    name: str = "vendi"


@register("metric", "memorisation")
@dataclass(frozen=True)
class MemorisationMetric(OfFeatures):
    """Whether samples are copies of training examples: AuthPct, C_T and nearest neighbours.

    Papers: Alaa et al. 2022, "How faithful is your synthetic data?"; Meehan et al. 2020, "A non-parametric test to
    detect data-copying in generative models".
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.COPIES

    name: str = "memorisation"

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        endless = hasattr(config.dataset, "density") or hasattr(config.dataset, "source")
        tags = tuple(spec.name for spec in self.SPECS)
        yield tags, f"dataset={config.dataset.name} is not a finite set" if endless else ""


@register("metric", "parzen")
@dataclass(frozen=True)
class ParzenMetric(OfSamples):
    """The log-likelihood of held-out data under Gaussian windows around samples, in pixels or coordinates.

    Paper: Goodfellow et al. 2014, "Generative adversarial networks", section 5.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = specs.PARZEN

    name: str = "parzen"

"""The interface of an evaluated metric: an option of the group ``metric``, measured on snapshots of a run."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ganrun.config.settings import Train
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import MetricSpec

if TYPE_CHECKING:
    from ganrun.datasets.synthetic import Mixture

DENSE = 1 << 17  # samples of a model whose distribution cannot be computed from its latents


@dataclass(frozen=True, eq=False)
class EvalContext:
    """A snapshot of a run, as a metric needs it.

    Attributes:
        experiment: the method, hyperparameters and data of the run.
        config: of the run.
        step: the step of the snapshot.
        samples: samples of the model ``(n, *shape)``, on the host.
        variables: the variables that samples are drawn from.
        model: the model as a distribution.
        is_last: whether the run ends with this step.
    """

    experiment: Experiment
    config: Train
    step: int
    samples: np.ndarray
    variables: Any
    model: Distribution
    is_last: bool = False

    @property
    def density(self) -> Mixture | None:
        """The density of the data, if it is known."""
        return self.experiment.data.density

    @property
    def noise(self) -> int:
        """A seed that depends on the run's seed and the step only."""
        return int(np.random.SeedSequence([self.config.seed, self.step, 1]).generate_state(1)[0])

    @functools.cached_property
    def dense(self) -> np.ndarray:
        """:data:`DENSE` samples of the model, float32 ``(n, d)``; drawn when first needed."""
        assert self.model.draw is not None
        return self.model.draw(DENSE, self.noise)


# Returns the values of a metric at a snapshot, by tag.
Measure = Callable[[EvalContext], dict[str, float]]


@dataclass(frozen=True)
class Metric(ABC):
    """An option of the group ``metric``. Subclasses are frozen dataclasses; their fields are its settings.

    Attributes:
        name: of the option.
        SPECS: unit, direction and description of each tag.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = ()

    name: str = ""

    @abstractmethod
    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        """Yield tags that are logged together, with the reason why the run of ``config`` does not log them, or empty.

        The metric is measured if the run logs one of them.
        """

    def load(self, config: Train) -> None:
        """Do what takes long before the run of ``config`` begins, such as training a classifier; nothing by default.

        Raises:
            ConfigError: files that the metric needs are missing.
        """
        del config

    @abstractmethod
    def prepare(self, experiment: Experiment) -> Measure:
        """Return the function that measures the metric. Called once per run, when it is first needed."""

    def applies(self, config: Train) -> bool:
        """Return whether the run of ``config`` logs one of the tags."""
        return any(tags and not missing for tags, missing in self.tag_families(config))


def known_density(config: Train) -> str:
    """Return the reason why the density of the data is not known; empty if it is."""
    return "" if hasattr(config.dataset, "density") else f"dataset={config.dataset.name} has no known density"

"""``method=flow``: a flow's settings as they are chosen in a config, and the metrics that it logs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ganrun.architectures.networks import builder, describe
from ganrun.config.registry import register, static
from ganrun.config.settings import Train
from ganrun.errors import ConfigError
from ganrun.methods.densities import LOG_LIKELIHOOD, LOG_LIKELIHOOD_BOUND
from ganrun.methods.detection import Detector, Row, RunFacts
from ganrun.methods.flow.flow import BITS_PER_DIM, INVERSE_ERROR, Flow
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import AT_LEAST_0, Chart, MetricSpec
from ganrun.methods.single_loss import DETECTORS, GRAD_NORM, LOSS, SingleLossOption

TOLERANCE = 1e-3  # error of the inverse above which samples and latents are not those of the density


def not_inverse(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """The inverse of the network, which draws samples, is not that of the map whose density was trained."""
    del facts
    error = rows[-1].get(INVERSE_ERROR.name, 0.0)
    if error is None or error > TOLERANCE:  # an infinite error is stored as null
        size = "infinitely" if error is None or math.isinf(error) else f"by {error:.2g}"
        return f"held-out examples mapped to latents and back differ {size}"
    return None


def slower(config: Train, step: int) -> str | None:
    """Suggest half the learning rate."""
    del step
    return f"optimizer.generator.learning_rate={config.optimizer.generator.learning_rate / 2:g}"


@register("method", "flow")
@dataclass(frozen=True)
class FlowOption(SingleLossOption):
    """An invertible network between examples and normal latents, with the exact log p(x); samples in one pass.

    Formula: maximise log p(x) = log p(z) + log|det dz/dx|, with z = f(x) invertible and of the dimension of x
    Paper: Dinh et al. 2017, "Density estimation using Real NVP", eq. 2; Durkan et al. 2019, "Neural spline flows".
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        LOG_LIKELIHOOD,
        MetricSpec("log_likelihood_se", "standard error of log_likelihood", "nats", bounds=AT_LEAST_0),
        LOG_LIKELIHOOD_BOUND,
        MetricSpec("log_likelihood_bound_se", "standard error of log_likelihood_bound", "nats", bounds=AT_LEAST_0),
        LOSS,
        BITS_PER_DIM,
        GRAD_NORM,
        INVERSE_ERROR,
    )
    CHARTS: ClassVar[tuple[Chart, ...]] = (
        Chart(
            "log p(x) (nats)",
            {"log_likelihood": "log_likelihood", "log_likelihood_bound": "log_likelihood_bound"},
        ),
    )
    SECTIONS: ClassVar[frozenset[str]] = frozenset({"architecture", "latent"})
    CONDITIONAL: ClassVar[bool] = True
    LATENT_DIM_OF_DATA: ClassVar[bool] = True

    name: str = "flow"

    def build(self, config: Train, shape: tuple[int, ...]) -> Flow:
        self.require_supported(config)
        size = math.prod(shape)
        if config.latent.dim not in (None, size):
            raise ConfigError(
                f"latent.dim must be {size} with method=flow, the numbers of an example ({describe(shape)}), not "
                f"{config.latent.dim}: a flow is invertible. Leave it out."
            )
        classes = config.dataset.classes if config.conditional else 0
        build = builder(config.architecture, "build_flow", self.name)
        return Flow(
            module=build(shape, classes),
            optimizer=static(config.optimizer.generator),
            batch_size=config.batch_size,
            classes=classes,
            shape=tuple(shape),
        )

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        yield (INVERSE_ERROR.name,), ""

    def detectors(self) -> Sequence[Detector]:
        return (*DETECTORS, Detector("flow not inverted", not_inverse, (slower,)))

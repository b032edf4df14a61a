"""``method=rbm``: the settings of a restricted Boltzmann machine as they are chosen in a config, and what it logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ganrun.config.registry import choice, number, register
from ganrun.config.settings import Train
from ganrun.methods.densities import LOG_LIKELIHOOD
from ganrun.methods.metric_spec import MetricSpec
from ganrun.methods.rbm.rbm import AIS, Rbm
from ganrun.methods.rbm.settings import SPECS, BoltzmannOption


@register("method", "rbm")
@dataclass(frozen=True)
class RbmOption(BoltzmannOption):
    """A restricted Boltzmann machine for binarised images of one channel; samples are ends of Gibbs chains.

    Formula: p(v) = exp(-F(v)) / Z, F(v) = -b·v - sum_j log(1 + exp(c_j + (v W)_j)); minimise mean F(data) - mean F(ends
    of chains)
    Paper: Hinton 2002, "Training products of experts by minimizing contrastive divergence"; Tieleman 2008, "Training
    restricted Boltzmann machines using approximations to the likelihood gradient", for persistent chains.

    Attributes:
        hidden: number of hidden units.
        chains: ``persistent`` (they go on where they ended in the step before) or ``cd`` (they start at the minibatch:
            contrastive divergence). There are as many as examples in a minibatch.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        AIS,
        MetricSpec(f"{AIS.name}_se", f"standard error of {AIS.name}, with that of log_z", "nats"),
        LOG_LIKELIHOOD,
        MetricSpec(f"{LOG_LIKELIHOOD.name}_se", f"standard error of {LOG_LIKELIHOOD.name}", "nats"),
        *SPECS,
    )

    name: str = "rbm"
    hidden: int = number(500, low=1, high=1_000_000)
    chains: str = choice("persistent", ("persistent", "cd"))

    def build(self, config: Train, shape: tuple[int, ...]) -> Rbm:
        return Rbm(**self.shared(config, shape), hidden=self.hidden, persistent=self.chains == "persistent")

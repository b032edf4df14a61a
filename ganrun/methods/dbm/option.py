"""``method=dbm``: the settings of a deep Boltzmann machine as they are chosen in a config, and what it logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ganrun.config.registry import number, register
from ganrun.config.settings import Train
from ganrun.errors import ConfigError
from ganrun.methods.dbm.dbm import BOUND, BOUND_AIS, Dbm
from ganrun.methods.metric_spec import MetricSpec
from ganrun.methods.rbm.settings import SPECS, BoltzmannOption


@register("method", "dbm")
@dataclass(frozen=True)
class DbmOption(BoltzmannOption):
    """A deep Boltzmann machine for binarised images of one channel; samples are ends of Gibbs chains.

    Formula: p(v, h1, h2) = exp(b·v + c·h1 + d·h2 + v·W h1 + h1·U h2) / Z; maximise the mean-field bound log p(v) >=
    E_q[-E(v, h1, h2)] + H(q) - log Z
    Paper: Salakhutdinov & Hinton 2009, "Deep Boltzmann machines".

    Attributes:
        hidden: numbers of units of the two hidden layers, the one next to the pixels first.
        mean_field_steps: updates of the means of the second layer given an example.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        BOUND_AIS,
        MetricSpec(f"{BOUND_AIS.name}_se", f"standard error of {BOUND_AIS.name}, with that of log_z", "nats"),
        BOUND,
        MetricSpec(f"{BOUND.name}_se", f"standard error of {BOUND.name}", "nats"),
        *SPECS,
    )

    name: str = "dbm"
    hidden: tuple[int, ...] = number((500, 1000), low=1, high=1_000_000, most=2)
    mean_field_steps: int = number(10, low=1, high=10_000)

    def __post_init__(self) -> None:
        if len(self.hidden) != 2:
            raise ConfigError(
                f"method.hidden must be two numbers such as [500, 1000] with method=dbm, not {list(self.hidden)}; "
                "method=rbm has one hidden layer."
            )

    def build(self, config: Train, shape: tuple[int, ...]) -> Dbm:
        hidden, top = self.hidden
        own = {"hidden": hidden, "top": top, "mean_field_steps": self.mean_field_steps, "persistent": True}
        return Dbm(**self.shared(config, shape), **own)

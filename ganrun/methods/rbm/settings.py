"""The settings and metrics of Boltzmann machines that are trained with Gibbs chains, whatever their layers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ganrun.architectures.networks import describe, is_image
from ganrun.config.registry import number, static
from ganrun.config.settings import Train
from ganrun.errors import ConfigError
from ganrun.methods import chain_diagnostics
from ganrun.methods.annealing import describe_jumps
from ganrun.methods.densities import UNCERTAIN_LOG_Z
from ganrun.methods.detection import Detector, Row, RunFacts
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import Chart, MetricSpec
from ganrun.methods.rbm.rbm import LOG_Z, LOG_Z_EXACT, LOG_Z_SE
from ganrun.methods.rbm.schedule import annealed, resolved
from ganrun.methods.single_loss import DETECTORS, GRAD_NORM, LOSS, SingleLossOption

SPECS = (
    LOG_Z,
    LOG_Z_SE,
    LOG_Z_EXACT,
    LOSS,
    MetricSpec("free_energy/data", "free energy of the training minibatches", "nats"),
    MetricSpec("free_energy/model", "free energy of the ends of the chains in training", "nats"),
    GRAD_NORM,
    *chain_diagnostics.SPECS,
)


def uncertain(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """At the end of a run, log Z is known too poorly for the log-likelihood to be compared with others."""
    error, is_last = rows[-1].get(LOG_Z_SE.name), rows[-1]["step"] >= facts.steps
    if not is_last or error is None or error <= UNCERTAIN_LOG_Z or LOG_Z_EXACT.name in rows[-1]:
        return None
    return f"log Z, and so the log-likelihood, has a standard error of {error:.2g} nats, above {UNCERTAIN_LOG_Z:g}"


def slower(config: Train, step: int) -> str | None:
    """Suggest four times as many intermediate distributions."""
    del step
    return f"method.ais_steps={4 * config.method.ais_steps}"


@dataclass(frozen=True)
class BoltzmannOption(SingleLossOption):
    """What the options of Boltzmann machines share.

    Attributes:
        gibbs_steps: transitions of every chain in a step: the k of CD-k.
        first_gibbs_steps: their number in the first step, from which it changes linearly to ``gibbs_steps`` at the end
            of the run; null for a constant number.
        weight_decay: coefficient λ of λ / 2 |W|² in the loss.
        sample_steps: transitions of the chains that samples are the ends of; the first half is annealed.
        ais_chains: chains of annealed importance sampling, which estimates log Z.
        ais_steps: its intermediate distributions.
    """

    SECTIONS: ClassVar[frozenset[str]] = frozenset()

    CHARTS: ClassVar[tuple[Chart, ...]] = (
        Chart("free energy (nats)", {"free_energy/data": "data", "free_energy/model": "ends_of_chains"}),
    )

    gibbs_steps: int = number(1, low=1, high=1_000_000, traced=True)
    first_gibbs_steps: int | None = number(None, low=1, high=1_000_000, traced=True)
    weight_decay: float = number(0.0, low=0.0, high=1.0)
    sample_steps: int = number(1000, low=8, high=10_000_000)
    ais_chains: int = number(100, low=2, high=1_000_000)
    ais_steps: int = number(1000, low=1, high=10_000_000)

    def shared(self, config: Train, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the static settings that all machines have, for examples of ``shape``.

        Raises:
            ConfigError: the data are no images with one channel, or parts of the configuration are incompatible.
        """
        self.require_supported(config)
        if not is_image(shape) or shape[-1] != 1:
            raise ConfigError(
                f"method={self.name} takes images with one channel, such as dataset=digits, and the data is "
                f"{describe(shape)}."
            )
        return {
            "module": None,
            "optimizer": static(config.optimizer.generator),
            "batch_size": config.batch_size,
            "shape": tuple(int(size) for size in shape),
            "sample_steps": self.sample_steps,
            "ais_chains": self.ais_chains,
            "ais_steps": self.ais_steps,
        }

    def hparams(self, config: Train, train: Any = None) -> dict[str, Any]:
        return SingleLossOption.hparams(resolved(self), config, train)

    def jumps(self, before: Train, now: Train, step: int) -> str | None:
        return describe_jumps(annealed, before, now, step)

    def detectors(self) -> Sequence[Detector]:
        return (*DETECTORS, Detector("log Z not known", uncertain, (slower,)))

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        yield tuple(spec.name for spec in chain_diagnostics.SPECS), ""

"""``method=gsn``: the settings of a generative stochastic network as they are chosen in a config, and what it logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ganrun.architectures.networks import builder, is_image
from ganrun.config.registry import number, register, static
from ganrun.config.settings import PRECISIONS, Train
from ganrun.errors import ConfigError
from ganrun.methods import chain_diagnostics
from ganrun.methods.gsn.gsn import Gsn
from ganrun.methods.likelihoods import LIKELIHOODS
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import Chart, MetricSpec
from ganrun.methods.precision import in_precision
from ganrun.methods.single_loss import GRAD_NORM, LOSS, SingleLossOption


@register("method", "gsn")
@dataclass(frozen=True)
class GsnOption(SingleLossOption):
    """A chain that corrupts its state and draws the next one from a denoiser; samples are its states.

    Formula: minimise -mean_t log P(x_0|c_t), with c_t ~ C(c|x_(t-1)) and x_t ~ P(x|c_t), from an example x_0
    Paper: Bengio et al. 2013, "Generalized denoising auto-encoders as generative models", Algorithm 1; Bengio et al.
    2014, "Deep generative stochastic networks trainable by backprop".

    Attributes:
        corruption: for images with one channel, which are binarised anew at every step: the probability that a pixel is
            replaced by black or white, each with probability 1/2. For other data: the standard deviation of normal
            noise.
        walkback: steps of the chain in training, from an example.
        sample_steps: steps of the chain from random states to samples.
    """

    PRECISIONS: ClassVar[tuple[str, ...]] = PRECISIONS

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        LOSS,
        MetricSpec("log_likelihood/first_step", "log P(x|c) after one corruption, in training", "nats"),
        MetricSpec("log_likelihood/last_step", "log P(x|c) after the last step of walkback, in training", "nats"),
        GRAD_NORM,
        *chain_diagnostics.SPECS,
    )

    CHARTS: ClassVar[tuple[Chart, ...]] = (
        Chart(
            "reconstruction by the steps of walkback (nats)",
            {"log_likelihood/first_step": "first_step", "log_likelihood/last_step": "last_step"},
        ),
    )

    name: str = "gsn"
    corruption: float = number(0.4, above=0.0, high=1000.0)
    walkback: int = number(5, low=1, high=1000)
    sample_steps: int = number(200, low=8, high=10_000_000)

    def build(self, config: Train, shape: tuple[int, ...]) -> Gsn:
        self.require_supported(config)
        binarised = is_image(shape) and shape[-1] == 1
        if binarised and self.corruption > 1:
            raise ConfigError(
                f"method.corruption={self.corruption:g} is the probability that a pixel is replaced, for images of one "
                "channel: choose at most 1."
            )
        likelihood = LIKELIHOODS["bernoulli" if binarised else "gaussian"]
        build = builder(config.architecture, "build_denoiser", self.name)
        return Gsn(
            module=in_precision(build(shape, likelihood.OUTPUTS), config.precision),
            optimizer=static(config.optimizer.generator),
            batch_size=config.batch_size,
            shape=tuple(int(size) for size in shape),
            likelihood=likelihood,
            walkback=self.walkback,
            sample_steps=self.sample_steps,
        )

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        yield tuple(spec.name for spec in chain_diagnostics.SPECS), ""

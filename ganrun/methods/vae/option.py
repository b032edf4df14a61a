"""``method=vae``: a VAE's settings as they are chosen in a config, and the metrics that it logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ganrun.architectures.networks import builder, describe, is_image
from ganrun.config.registry import choice, number, register, static
from ganrun.config.settings import PRECISIONS, Train
from ganrun.errors import ConfigError
from ganrun.methods.experiment import Experiment
from ganrun.methods.likelihoods import LIKELIHOODS
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import AT_LEAST_0, EVERYWHERE, Chart, MetricSpec
from ganrun.methods.precision import in_precision
from ganrun.methods.single_loss import GRAD_NORM, LOSS, SingleLossOption
from ganrun.methods.vae.flow_prior import FlowPrior
from ganrun.methods.vae.vae import ELBO, IWAE, IWAE_TRAIN, OBJECTIVES, Vae


@register("method", "vae")
@dataclass(frozen=True)
class VaeOption(SingleLossOption):
    """An encoder and a decoder that together maximise a lower bound on log p(x); samples in one pass.

    Formula: maximise E_q(z|x) log p(x|z) - KL(q(z|x), p(z)) <= log p(x), with z = mean(x) + std(x) noise; or, with
        objective=iwae, E log 1/k sum_i p(x, z_i) / q(z_i|x) <= log p(x)
    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", eqs. 3 and 10; Burda et al. 2016, "Importance
    weighted autoencoders", eq. 8, for the bound iwae.

    Attributes:
        decoder: the distribution p(x|z): ``bernoulli`` (images, binarised anew at every step), ``logistic``
            (discretised logistic, 8-bit images), ``gaussian`` (with one learned standard deviation), or ``auto``:
            bernoulli for images of one channel, logistic for other images, gaussian for vectors.
        importance_samples: latents per example in the evaluation of elbo and iwae (the k of IWAE).
        objective: the bound that training maximises: ``elbo``, or ``iwae`` with ``training_samples`` weights.
        training_samples: latents per example in a training step.
        beta: weight of the KL divergence in the loss (Higgins et al. 2017, "beta-VAE", eq. 4); 1 for a bound.
        free_bits: nats of KL divergence per latent, as means over minibatches, that the loss does not penalise (Kingma
            et al. 2016, "Improving variational inference with inverse autoregressive flow", eq. 15).
        prior_couplings: affine couplings of a flow that is the prior p(z), learned with the networks (Chen et al. 2017,
            "Variational lossy autoencoder", section 3.2); 0 for a standard normal prior.
        prior_hidden: units of the hidden layer of each coupling's network.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        ELBO,
        MetricSpec("elbo_se", "standard error of elbo", "nats", bounds=AT_LEAST_0),
        IWAE,
        MetricSpec("iwae_se", "standard error of iwae", "nats", bounds=AT_LEAST_0),
        LOSS,
        MetricSpec("elbo/train", "ELBO of the training minibatches", "nats"),
        IWAE_TRAIN,
        MetricSpec("log_likelihood/reconstruction", "log p(x|z) with z from the encoder, in training", "nats"),
        MetricSpec(
            "kl/latent",
            "KL(q(z|x), p(z)) of the encoder from the prior, in training",
            "nats",
            shown=EVERYWHERE,
        ),
        GRAD_NORM,
        MetricSpec(
            "latents/active",
            "latents whose posterior mean varies with x: variance above 0.01",
            shown=EVERYWHERE,
            bounds=AT_LEAST_0,
        ),
    )

    SECTIONS: ClassVar[frozenset[str]] = frozenset({"architecture", "latent"})
    CONDITIONAL: ClassVar[bool] = True
    PRECISIONS: ClassVar[tuple[str, ...]] = PRECISIONS

    CHARTS: ClassVar[tuple[Chart, ...]] = (
        Chart(
            "bounds on log p(x) (nats)",
            {"elbo": "elbo", "iwae": "iwae", "elbo/train": "elbo_on_training_data"},
        ),
    )

    name: str = "vae"
    decoder: str = choice("auto", ("auto", *LIKELIHOODS))
    importance_samples: int = number(50, low=1, high=100_000)
    objective: str = choice("elbo", OBJECTIVES)
    training_samples: int = number(1, low=1, high=10_000)
    beta: float = number(1.0, low=0.0)
    free_bits: float = number(0.0, low=0.0)
    prior_couplings: int = number(0, low=0, high=100)
    prior_hidden: int = number(128, low=1, high=1_000_000)

    def build(self, config: Train, shape: tuple[int, ...]) -> Vae:
        self.require_supported(config)
        if self.objective == "iwae":
            self._require_plain()
        likelihood = LIKELIHOODS[self._decoder(shape)]
        classes = config.dataset.classes if config.conditional else 0
        build = builder(config.architecture, "build_autoencoder", self.name)
        return Vae(
            module=in_precision(build(shape, config.latent.size, likelihood.OUTPUTS, classes), config.precision),
            likelihood=likelihood,
            optimizer=static(config.optimizer.generator),
            latent_dim=config.latent.size,
            batch_size=config.batch_size,
            classes=classes,
            importance_samples=self.importance_samples,
            objective=self.objective,
            training_samples=self.training_samples,
            flow_prior=self._flow_prior(config.latent.size),
        )

    def cautions(self, experiment: Experiment) -> Sequence[str]:
        del experiment
        if self.prior_couplings or self.prior_hidden == VaeOption.prior_hidden:
            return []
        return [f"method.prior_hidden={self.prior_hidden} has no effect without method.prior_couplings"]

    def _require_plain(self) -> None:
        """Raise :class:`ConfigError` for settings of the ELBO's KL divergence, which the IWAE's bound does not have."""
        if self.beta != 1.0 or self.free_bits != 0.0:
            setting = f"method.beta={self.beta:g}" if self.beta != 1.0 else f"method.free_bits={self.free_bits:g}"
            raise ConfigError(
                f"{setting} changes the KL divergence of method.objective=elbo, which method.objective=iwae does not "
                "have: leave one of them out."
            )

    def _flow_prior(self, latent_dim: int) -> FlowPrior | None:
        """Return the learned prior, if there is one; raise :class:`ConfigError` where there cannot be one."""
        if not self.prior_couplings:
            return None
        chosen = f"method.prior_couplings={self.prior_couplings}"
        if latent_dim < 2:
            raise ConfigError(
                f"{chosen} transform halves of the latents: set latent.dim to 2 or more, not {latent_dim}."
            )
        if self.free_bits != 0.0:
            raise ConfigError(
                f"method.free_bits={self.free_bits:g} is of each latent, and with {chosen} the KL divergence is not a "
                "sum over latents: leave one of them out."
            )
        return FlowPrior(latent_dim, self.prior_couplings, self.prior_hidden)

    def _decoder(self, shape: tuple[int, ...]) -> str:
        """Return the decoder's distribution for examples of ``shape``."""
        if self.decoder == "auto":
            return ("bernoulli" if shape[-1] == 1 else "logistic") if is_image(shape) else "gaussian"
        if self.decoder != "gaussian" and not is_image(shape):
            raise ConfigError(
                f"method.decoder={self.decoder} takes images, and the data is {describe(shape)}: use gaussian."
            )
        return self.decoder

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        yield ("latents/active",), ""

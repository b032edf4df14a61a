"""``method=vae``: a VAE's settings as they are chosen in a config, and the metrics that it logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ganrun.architectures.networks import builder, describe, is_image
from ganrun.config.registry import choice, number, register, static, traced
from ganrun.config.schema import PRECISIONS, Train
from ganrun.errors import ConfigError
from ganrun.methods.base import MethodOption, TagFamily, as_arrays, run_hparams
from ganrun.methods.detection import Detector
from ganrun.methods.metric_spec import EVERYWHERE, Chart, MetricSpec
from ganrun.methods.precision import in_precision
from ganrun.methods.sample_detectors import astray, collapsed, copied, longer, shorter
from ganrun.methods.vae.likelihoods import LIKELIHOODS
from ganrun.methods.vae.vae import ELBO, IWAE, Vae

DETECTORS = (
    Detector("samples off the data", astray, (longer,)),
    Detector("mode collapse", collapsed, (longer,)),
    Detector("memorisation", copied, (shorter,)),
)


@register("method", "vae")
@dataclass(frozen=True)
class VaeOption(MethodOption):
    """An encoder and a decoder that together maximise a lower bound on log p(x); samples in one pass.

    Formula: maximise E_q(z|x) log p(x|z) - KL(q(z|x), p(z)) <= log p(x), with z = mean(x) + std(x) noise
    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", eqs. 3 and 10; Burda et al. 2016, "Importance
    weighted autoencoders", eq. 8, for the bound iwae.

    Attributes:
        decoder: the distribution p(x|z): ``bernoulli`` (images, binarised anew at every step), ``logistic``
            (discretised logistic, 8-bit images), ``gaussian`` (with one learned standard deviation), or ``auto``:
            bernoulli for images of one channel, logistic for other images, gaussian for vectors.
        importance_samples: latents per example in the evaluation of elbo and iwae (the k of IWAE).
    """

    SECTIONS: ClassVar[frozenset[str]] = frozenset({"architecture"})
    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        ELBO,
        MetricSpec("elbo_se", "standard error of elbo", "nats"),
        IWAE,
        MetricSpec("iwae_se", "standard error of iwae", "nats"),
        MetricSpec(
            "loss", "negative ELBO of the training minibatches, which the model minimises", "nats", shown=EVERYWHERE
        ),
        MetricSpec("elbo/train", "ELBO of the training minibatches", "nats"),
        MetricSpec("log_likelihood/reconstruction", "log p(x|z) with z from the encoder, in training", "nats"),
        MetricSpec(
            "kl/latent", "KL(q(z|x), p(z)) of the encoder from the prior, in training", "nats", shown=EVERYWHERE
        ),
        MetricSpec("grad_norm", "Euclidean norm of the gradient of all parameters"),
        MetricSpec(
            "latents/active", "latents whose posterior mean varies with x: variance above 0.01", shown=EVERYWHERE
        ),
    )

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

    def build(self, config: Train, shape: tuple[int, ...]) -> Vae:
        _check(config)
        likelihood = LIKELIHOODS[self._decoder(shape)]
        build = builder(config.architecture, "build_autoencoder", self.name)
        return Vae(
            module=in_precision(build(shape, config.latent.dim, likelihood.OUTPUTS), config.precision),
            likelihood=likelihood,
            optimizer=static(config.optimizer.generator),
            latent_dim=config.latent.dim,
            batch_size=config.batch_size,
            importance_samples=self.importance_samples,
        )

    def _decoder(self, shape: tuple[int, ...]) -> str:
        """Return the decoder's distribution for examples of ``shape``."""
        if self.decoder == "auto":
            return ("bernoulli" if shape[-1] == 1 else "logistic") if is_image(shape) else "gaussian"
        if self.decoder != "gaussian" and not is_image(shape):
            raise ConfigError(
                f"method.decoder={self.decoder} takes images, and the data is {describe(shape)}: use gaussian."
            )
        return self.decoder

    def hparams(self, config: Train, train: Any = None) -> dict[str, Any]:
        optimizer = {"generator": traced(config.optimizer.generator)}
        return as_arrays({"run": run_hparams(config), "optimizer": optimizer, "ema": traced(config.ema)})

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        yield ("latents/active",), ""

    def detectors(self) -> Sequence[Detector]:
        return DETECTORS

    def lag(self, config: Train) -> float:
        return 1 / (1 - config.ema.decay)


def _check(config: Train) -> None:
    """Raise :class:`ConfigError` for settings of a run that a VAE does not have."""
    if config.conditional:
        raise ConfigError("conditional=true cannot be combined with method=vae, which models examples without classes.")
    if config.inference != "none":
        raise ConfigError("inference=bigan adds an encoder to a GAN, and method=vae has one already: leave it out.")
    if config.latent.prior != "normal":
        raise ConfigError(f"latent.prior must be normal with method=vae, not {config.latent.prior}.")
    if hasattr(config.dataset, "source"):
        raise ConfigError(
            f"dataset={config.dataset.name} cannot be combined with method=vae: all examples are the same, so the "
            "likelihood has no maximum."
        )

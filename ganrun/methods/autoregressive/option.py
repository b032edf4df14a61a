"""``method=autoregressive``: its settings as they are chosen in a config, and the metrics that it logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ganrun.architectures.networks import builder, describe, is_image
from ganrun.config.registry import choice, number, register, static
from ganrun.config.settings import PRECISIONS, Train
from ganrun.errors import ConfigError
from ganrun.methods.autoregressive.autoregressive import Autoregressive
from ganrun.methods.autoregressive.conditionals import CONDITIONALS, conditional_of
from ganrun.methods.densities import LOG_LIKELIHOOD
from ganrun.methods.metric_spec import AT_LEAST_0, MetricSpec
from ganrun.methods.precision import in_precision
from ganrun.methods.single_loss import GRAD_NORM, LOSS, SingleLossOption


@register("method", "autoregressive")
@dataclass(frozen=True)
class AutoregressiveOption(SingleLossOption):
    """A fully visible belief network, whose exact log p(x) is maximised; samples element by element.

    Formula: maximise log p(x) = sum_i log p(x_i | x_1, ..., x_i-1)
    Paper: Frey 1998, "Graphical models for machine learning and digital communication", for fvsbn; Germain et al. 2015,
    "MADE", for made; van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", for pixelcnn.

    Attributes:
        distribution: that of an element given the earlier ones: ``bernoulli`` (images, binarised anew at every step),
            ``logistic`` (mixture of discretised logistics, 8-bit images), ``gaussian`` (mixture of normals), or
            ``auto``: bernoulli for images of one channel, logistic for other images, gaussian for vectors.
        components: components of a mixture.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        LOG_LIKELIHOOD,
        MetricSpec("log_likelihood_se", "standard error of log_likelihood", "nats", bounds=AT_LEAST_0),
        LOSS,
        GRAD_NORM,
    )
    PRECISIONS: ClassVar[tuple[str, ...]] = PRECISIONS
    CONDITIONAL: ClassVar[bool] = True

    name: str = "autoregressive"
    distribution: str = choice("auto", ("auto", *CONDITIONALS))
    components: int = number(10, low=1, high=10_000)

    def build(self, config: Train, shape: tuple[int, ...]) -> Autoregressive:
        self.require_supported(config)
        classes = config.dataset.classes if config.conditional else 0
        conditional = conditional_of(self._distribution(shape), self.components)
        build = builder(config.architecture, "build_autoregressive", self.name)
        module = build(shape, conditional.outputs, classes)
        return Autoregressive(
            module=in_precision(module, config.precision),
            conditional=conditional,
            orders=module.orders,
            optimizer=static(config.optimizer.generator),
            batch_size=config.batch_size,
            classes=classes,
        )

    def _distribution(self, shape: tuple[int, ...]) -> str:
        """Return the distribution of the elements of examples of ``shape``."""
        if self.distribution == "auto":
            return ("bernoulli" if shape[-1] == 1 else "logistic") if is_image(shape) else "gaussian"
        if self.distribution != "gaussian" and not is_image(shape):
            raise ConfigError(
                f"method.distribution={self.distribution} takes images, and the data is {describe(shape)}: use "
                "gaussian."
            )
        return self.distribution

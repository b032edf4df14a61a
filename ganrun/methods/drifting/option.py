"""``method=drifting``: the settings of a drifting model as they are chosen in a config, and what it logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ganrun.architectures.networks import builder
from ganrun.config.registry import choice, number, register, static
from ganrun.config.settings import PRECISIONS, Train
from ganrun.errors import ConfigError
from ganrun.methods.drifting.drifting import Drifting
from ganrun.methods.drifting.field import KERNELS, NORMALISATIONS
from ganrun.methods.metric_spec import AT_LEAST_0, MetricSpec
from ganrun.methods.precision import in_precision
from ganrun.methods.single_loss import GRAD_NORM, LOSS, SingleLossOption
from ganrun.priors import Prior


@register("method", "drifting")
@dataclass(frozen=True)
class DriftingOption(SingleLossOption):
    """A generator without a discriminator, whose samples drift towards data and away from each other; in one pass.

    Formula: minimise E ||G(z) - stopgrad(G(z) + V(G(z)))||², with V(x) = E [k(x, y+) k(x, y-) (y+ - y-)] / Z(x), y+
        from the data, y- from the samples and the kernel k(x, y) = exp(-||x - y|| / t)
    Paper: Deng et al. 2026, "Generative modeling via drifting", eqs. 6 and 8 to 11.

    Attributes:
        kernel: ``laplace``, exp(-||x - y|| / t), or ``gaussian``, exp(-||x - y||² / (2 t²)).
        normalisation: of the weights of data and samples: ``joint``, over data and samples together and over the points
            x as well (Algorithm 2 of the paper), or ``separate``, Z(x) = E k(x, y+) E k(x, y-) (its eq. 11).
        rescaled: whether the fields of all temperatures have the same mean square over a minibatch; otherwise low
            temperatures, whose fields are short, hardly matter beside higher ones.
        temperatures: each gives a field, and V is their sum; t is the temperature times the square root of the
            dimension of an example.
    """

    SECTIONS: ClassVar[frozenset[str]] = frozenset({"architecture", "latent"})
    LATENT_PRIORS: ClassVar[tuple[str, ...]] = ("normal", "uniform")
    PRECISIONS: ClassVar[tuple[str, ...]] = PRECISIONS
    POINTS: ClassVar[bool] = True

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        LOSS,
        MetricSpec(
            "drift/norm",
            "mean Euclidean norm of the drifting field at samples, in units of the model",
            bounds=AT_LEAST_0,
        ),
        GRAD_NORM,
    )

    name: str = "drifting"
    kernel: str = choice("laplace", tuple(KERNELS))
    normalisation: str = choice("joint", tuple(NORMALISATIONS))
    rescaled: bool = True
    temperatures: tuple[float, ...] = number((0.05, 0.2, 1.0), above=0.0, high=1.0e6, most=100, traced=True)

    def build(self, config: Train, shape: tuple[int, ...]) -> Drifting:
        self.require_supported(config)
        if config.batch_size < 2:
            raise ConfigError("batch_size must be at least 2 with method=drifting: samples drift away from each other.")
        if not self.temperatures:
            raise ConfigError("method.temperatures must have at least one temperature.")
        networks = builder(config.architecture, "build", self.name)(shape, config.latent.size, 0, 1)
        return Drifting(
            module=in_precision(networks.generator, config.precision),
            optimizer=static(config.optimizer.generator),
            batch_size=config.batch_size,
            shape=tuple(int(size) for size in shape),
            latents=Prior(config.latent.prior, config.latent.size),
            kernel=self.kernel,
            normalisation=self.normalisation,
            rescaled=self.rescaled,
        )

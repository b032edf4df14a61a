"""Normalizing flows: an invertible network maps examples to latents, and the density follows by change of variables.

The prior of the latents is standard normal, and their dimension is that of an example. Training maximises the
likelihood itself. Images are 8-bit: they are dequantised, and the logits of their pixels are what the network maps
(:mod:`ganrun.methods.flow.dequantisation`), which gives a lower bound on the log-probability of the image.

Formula: log p(x) = log p(z) + log|det dz/dx|, with z = f(x)
Paper: Dinh et al. 2015, "NICE: non-linear independent components estimation", eq. 1; Dinh et al. 2017, "Density
estimation using Real NVP", eq. 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.networks import is_image
from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.base import Inspection, Metrics, Tree
from ganrun.methods.densities import LOG_LIKELIHOOD, LOG_LIKELIHOOD_BOUND
from ganrun.methods.flow import dequantisation
from ganrun.methods.metric_spec import AT_LEAST_0, EVERYWHERE, MetricSpec
from ganrun.methods.single_loss import GRAD_NORM, SingleLossMethod, SingleLossModel
from ganrun.priors import Prior

INSPECTED = 256  # held-out examples that are mapped to latents and back at a snapshot

BITS_PER_DIM = MetricSpec(
    "bits_per_dim", "upper bound on the bits per number of the training images", "bits", shown=EVERYWHERE
)
INVERSE_ERROR = MetricSpec(
    "inverse_error", "largest error of held-out examples mapped to latents and back", bounds=AT_LEAST_0
)


@dataclass(frozen=True)
class Flow(SingleLossMethod):
    """A normalizing flow. Its ``module`` has the functions of :class:`ganrun.architectures.flow.vectors.VectorFlow`.

    Attributes:
        shape: of one example.
    """

    MODEL: ClassVar[str] = "flow"

    shape: tuple[int, ...] = field(kw_only=True)

    @property
    def prior(self) -> Prior:
        return Prior("normal", math.prod(self.shape))

    @property
    def tags(self) -> tuple[str, ...]:
        return ("loss", *([BITS_PER_DIM.name] if self.quantised else []), GRAD_NORM.name)

    @property
    def quantised(self) -> bool:
        """Whether examples are 8-bit images, whose log-probability is bounded."""
        return is_image(self.shape)

    @property
    def capabilities(self) -> frozenset[str]:
        """All of them; but the latents of an example depend on its class, which ``encode`` does not get."""
        encodes, exact = (set() if self.classes else {"encode"}), (set() if self.quantised else {"exact_density"})
        return frozenset({"decode", "push", "log_density"} | encodes | exact)

    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        labels = jnp.zeros((1,), jnp.int32) if self.classes else None
        return self.module.init(key_for(key, "initial networks"), example, labels)

    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        value = -jnp.mean(self._log_density(variables, x, labels, self._noise(key, x)))
        return value, ([dequantisation.bits_per_dim(-value, self.shape)] if self.quantised else [], {})

    def _noise(self, key: jax.Array, x: jax.Array) -> jax.Array | float:
        """Return the noise of dequantisation for the images ``x``; a number, which is not used, for vectors."""
        return jax.random.uniform(key_for(key, "observation"), x.shape, x.dtype) if self.quantised else 0.0

    def _log_density(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, noise: jax.Array | float
    ) -> jax.Array:
        """Return log p(x), or its lower bound with the given noise, of the examples ``x`` ``(n, *shape)``: ``(n,)``."""
        z, log_det = self.forward(variables, x, labels, noise)
        volume = dequantisation.log_volume(self.shape) if self.quantised else 0.0
        return -0.5 * jnp.sum(z**2, axis=1) - 0.5 * z.shape[1] * math.log(2.0 * math.pi) + log_det + volume

    def forward(
        self,
        variables: Tree,
        x: jax.Array,
        labels: jax.Array | None = None,
        noise: jax.Array | float = dequantisation.MIDDLE,
    ) -> tuple[jax.Array, jax.Array]:
        """Return the latents of examples, and the log-determinants of the map to them.

        Args:
            variables: the variables of the model.
            x: examples ``(n, *shape)``.
            labels: their classes ``(n,)``; None unless the model is class-conditional.
            noise: of the pixels of images, in [0, 1); the map is that of the dequantised pixels in [0, 1].

        Returns:
            z ``(n, prod(shape))``, and log|det dz/dx| ``(n,)``.
        """
        if not self.quantised:
            return self._apply(variables, x, labels)
        v, of_logits = dequantisation.to_logits(dequantisation.dequantised(x, noise))
        z, of_network = self._apply(variables, v, labels)
        return z, of_logits + of_network

    def inverse(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        """Return the examples ``(n, *shape)`` whose latents these are; pixels may be slightly beyond [-1, 1]."""
        x = self._apply(variables, latents, labels, method="inverse")
        return dequantisation.quantised(dequantisation.from_logits(x)) if self.quantised else x

    def _apply(self, variables: Tree, *inputs: Any, **named: Any) -> Any:
        return self.module.apply({"params": variables["params"]}, *inputs, **named)

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        labels = self.labels_for(hparams, key, n, labels)
        return self.decode(variables, self.prior.draw(key_for(key, "noise"), n), labels)

    def decode(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        x = self.inverse(variables, latents, labels)
        return jnp.clip(x, -1.0, 1.0) if self.quantised else x

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        """Return the latents of ``x``; of images, those of the middles of the intervals that stand for their levels."""
        return self.forward(variables, x)[0]

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        return (LOG_LIKELIHOOD_BOUND,) if self.quantised else (LOG_LIKELIHOOD,)

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return log p(x) in nats: exact for vectors; for images the lower bound, estimated with one draw of noise.

        For a class-conditional model, it is that of the mixture over the classes.
        """
        noise = self._noise(key, x)
        found = self.over_classes(variables, lambda y: self._log_density(variables, x, y, noise), x.shape[0])
        return {self.densities[0].name: found}

    def inspect(
        self, model: SingleLossModel, hparams: Tree, held_out: Source, key: jax.Array, points: jax.Array
    ) -> dict[str, jax.Array]:
        """Return the largest error of each of some held-out examples, mapped to latents and back, ``(n,)``."""
        rows = getattr(held_out, "flat", None)
        size = INSPECTED if rows is None else min(INSPECTED, rows.shape[0])
        x, labels, _ = self.drawn(held_out, key, Cursor.start(), size)
        variables = self.variables(model)
        errors = jnp.abs(self.inverse(variables, self.forward(variables, x, labels)[0], labels) - x)
        return {"inverse/error": jnp.max(errors.reshape(size, -1), axis=1)}

    def read(self, arrays: Mapping[str, np.ndarray]) -> Inspection:
        """Return the largest error of all these examples; infinite if one of them has none that is finite."""
        error = float(np.max(arrays["inverse/error"]))
        return Inspection({INVERSE_ERROR.name: error if math.isfinite(error) else math.inf})

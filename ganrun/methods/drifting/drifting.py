"""Drifting models: a generator whose samples move along a field towards the data, a little further in every step.

The field attracts a sample to examples nearby and repels it from other samples nearby. It is antisymmetric in both, so
that it vanishes where samples and data have the same distribution. The loss is the squared distance of each sample from
where the field takes it, which is held fixed: its gradient moves the samples along the field, and its value is the mean
square of the field.

Formula: minimise E ||G(z) - stopgrad(G(z) + V(G(z)))||²
Paper: Deng et al. 2026, "Generative modeling via drifting", eq. 6 and Algorithms 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.base import Tree
from ganrun.methods.drifting.field import KERNELS, NORMALISATIONS, drifting_fields, rescaled
from ganrun.methods.generators import rank_of
from ganrun.methods.precision import unwrapped
from ganrun.methods.single_loss import SingleLossMethod
from ganrun.priors import Prior


@dataclass(frozen=True)
class Drifting(SingleLossMethod):
    """A generator trained by drifting. Its ``module`` is the generator of an architecture of GANs.

    Attributes:
        shape: shape of one example.
        latents: the distribution of the latents.
        kernel: name of the kernel, one of :data:`~ganrun.methods.drifting.field.KERNELS`.
        normalisation: of its weights, one of :data:`~ganrun.methods.drifting.field.NORMALISATIONS`.
        rescaled: whether the fields of all temperatures are rescaled to the same mean square.
    """

    MODEL: ClassVar[str] = "generator"
    TERMS: ClassVar[tuple[str, ...]] = ("drift/norm",)

    shape: tuple[int, ...] = field(kw_only=True)
    latents: Prior = field(kw_only=True)
    kernel: str = field(kw_only=True)
    normalisation: str = field(kw_only=True)
    rescaled: bool = field(kw_only=True)

    @property
    def prior(self) -> Prior:
        return self.latents

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"decode", "push"})

    @property
    def rank(self) -> int:
        """The width of the narrowest layer of the generator."""
        return rank_of(unwrapped(self.module), self.latents.dim, self.shape)

    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        latent = jnp.zeros((1, self.latents.dim))
        return self.module.init({"params": key_for(key, "initial generator")}, latent, train=False)

    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        noise = self.latents.draw(key_for(key, "noise"), self.batch_size)
        samples, new = self.module.apply(
            variables, noise, train=True, rngs={"dropout": key_for(key, "dropout")}, mutable=["batch_stats"]
        )
        flat = samples.reshape(self.batch_size, -1)
        fields = self.fields(jax.lax.stop_gradient(flat), x.reshape(len(x), -1), hparams)
        norm = jnp.mean(jnp.linalg.norm(jnp.sum(fields, axis=0), axis=1))
        v = jnp.sum(rescaled(fields) if self.rescaled else fields, axis=0)
        target = jax.lax.stop_gradient(flat + v)
        loss = jnp.mean(jnp.sum((flat - target) ** 2, axis=1))
        return loss, ((norm,), new.get("batch_stats", variables["batch_stats"]))

    def fields(self, samples: jax.Array, data: jax.Array, hparams: Tree) -> jax.Array:
        """Return the drifting field of each temperature at the ``samples`` ``(n, dim)`` of a minibatch.

        Temperatures are multiples of the square root of the dimension, with which distances grow.
        """
        temperatures = hparams["method"]["temperatures"] * math.sqrt(samples.shape[1])
        kernel, normalise = KERNELS[self.kernel], NORMALISATIONS[self.normalisation]
        return drifting_fields(samples, data, samples, temperatures, kernel, normalise, without_self=True)

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        return self.decode(variables, self.latents.draw(key_for(key, "noise"), n))

    def decode(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        return self.module.apply(variables, latents, train=False)

    def decoder(self, variables: Tree) -> tuple[Any, Tree]:
        return unwrapped(self.module), variables

    def in_float32(self) -> Drifting:
        return replace(self, module=unwrapped(self.module))

"""Losses whose discriminator is a critic: its output is a score, not a probability."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import relu

from ganrun.config.registry import number, register
from ganrun.methods.gan.losses.base import Hparams, Loss


@register("loss", "hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """The critic C minimises a hinge loss with margins 1 on data and -1 on samples; beyond them its gradient is zero.

    Formula: C minimises E max(0, 1 - C(x)) + E max(0, 1 + C(G(z))), G minimises -E C(G(z))

    Paper: Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral normalization for generative adversarial
    networks", eq. 16 and 17
    """

    output_type = "critic"

    name: str = "hinge"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(relu(1.0 - real_logits)) + jnp.mean(relu(1.0 + fake_logits))

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return -jnp.mean(fake_logits)


@register("loss", "least_squares")
@dataclass(frozen=True)
class LeastSquares(Loss):
    """The critic C is regressed on one target for data and another for samples; the generator on a third (LSGAN).

    Formula: C minimises E (C(x) - b)^2 / 2 + E (C(G(z)) - a)^2 / 2, G minimises E (C(G(z)) - c)^2 / 2,
    with a = fake_target, b = real_target, c = generator_target

    Paper: Mao et al. 2017, "Least squares generative adversarial networks", section 3

    With b - c = 1 and b - a = 2 (for instance a, b, c = -1, 1, 0) and the optimal critic, the generator minimises the
    Pearson divergence between p + q and 2 q. The defaults are the paper's 0-1 targets, for which the optimal C is
    p / (p + q).
    """

    output_type = "critic"

    name: str = "least_squares"
    fake_target: float = number(0.0)
    real_target: float = number(1.0)
    generator_target: float = number(1.0)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        real = jnp.mean((real_logits - hparams["real_target"]) ** 2)
        return 0.5 * real + 0.5 * jnp.mean((fake_logits - hparams["fake_target"]) ** 2)

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return 0.5 * jnp.mean((fake_logits - hparams["generator_target"]) ** 2)


@register("loss", "wasserstein")
@dataclass(frozen=True)
class Wasserstein(Loss):
    """The critic C maximises the difference of its means on data and on samples, and the generator minimises it (WGAN).

    Formula: C maximises E C(x) - E C(G(z)), G minimises -E C(G(z))

    Paper: Arjovsky et al. 2017, "Wasserstein GAN", eq. 2 and 3

    The difference is the Wasserstein-1 distance only for the optimal 1-Lipschitz critic. Use a gradient penalty or a
    weight constraint to keep C approximately Lipschitz: without one, the difference is unbounded.
    """

    output_type = "critic"

    name: str = "wasserstein"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(fake_logits) - jnp.mean(real_logits)

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return -jnp.mean(fake_logits)


@register("loss", "cramer")
@dataclass(frozen=True)
class Cramer(Loss):
    """The generator minimises the energy distance between data and samples in the discriminator's output space.

    Formula: C maximises E f(x) - E f(G(z)) with f(x) = E ||h(x) - h(g')|| - ||h(x)||;
    G minimises 2 E ||h(x) - h(g)|| - E ||h(g) - h(g')|| - E ||h(x) - h(x')||, where h is the discriminator,
    g and g' are independent samples, x and x' independent data

    Paper: Bellemare et al. 2017, "The Cramer distance as a solution to biased Wasserstein gradients", Algorithm 1

    The independent copies are the rows of the same minibatch shifted by one, so a minibatch needs at least two rows.
    The term in data alone, which the paper leaves out, does not affect the generator's gradient; with it the value
    estimates the distance, which is 0 for a perfect model. Binkowski et al. 2018, "Demystifying MMD GANs", criticise f:
    it replaces a second independent example of the data by the origin, so the critic does not maximise the distance
    that the generator minimises. For data at a and samples at b with 0 < b < a on a line, the distance is 2 (a - b),
    but f does not separate them at all.
    """

    output_type = "critic"
    generator_sees_data = True

    name: str = "cramer"
    outputs: int = number(256, low=2, high=65_536)

    def critic(self, outputs: jax.Array, anchors: jax.Array) -> jax.Array:
        """Return f ``(batch,)`` of ``outputs`` ``(batch, outputs)``; ``anchors`` ``(m, outputs)`` are the h(g')."""
        distance = jnp.mean(_norm(outputs[:, None, :] - anchors[None, :, :]), axis=1)
        return distance - _norm(outputs)

    def discriminator(self, real_outputs: jax.Array, fake_outputs: jax.Array, hparams: Hparams) -> jax.Array:
        other = _shifted(fake_outputs)
        real = _norm(real_outputs - other) - _norm(real_outputs)
        return jnp.mean(_norm(fake_outputs - other) - _norm(fake_outputs)) - jnp.mean(real)

    def generator(self, real_outputs: jax.Array, fake_outputs: jax.Array, hparams: Hparams) -> jax.Array:
        other = _shifted(fake_outputs)
        between = jnp.mean(_norm(real_outputs - fake_outputs)) + jnp.mean(_norm(real_outputs - other))
        within = jnp.mean(_norm(fake_outputs - other)) + jnp.mean(_norm(real_outputs - _shifted(real_outputs)))
        return between - within


def _shifted(rows: jax.Array) -> jax.Array:
    """Return ``rows`` shifted by one, so that each row is paired with an independent one."""
    return jnp.roll(rows, 1, axis=0)


def _norm(rows: jax.Array) -> jax.Array:
    """Return the Euclidean norm along the last axis, with gradient 0 where it is 0."""
    square = jnp.sum(rows**2, axis=-1)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)

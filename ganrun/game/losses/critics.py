"""Losses whose discriminator is a critic: its output is a score, not a probability."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import relu

from ganrun.game.losses.base import Loss, Numbers
from ganrun.registry import number, register


@register("loss", "hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """The critic C is pushed beyond the margins 1 on data and -1 on samples, where it has no gradient any more.

    Formula: C minimises E max(0, 1 - C(x)) + E max(0, 1 + C(G(z))), G minimises -E C(G(z))

    Paper: Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral normalization for generative adversarial
    networks", eq. 16 and 17
    """

    reads = "critic"

    name: str = "hinge"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(relu(1.0 - real_logits)) + jnp.mean(relu(1.0 + fake_logits))

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return -jnp.mean(fake_logits)


@register("loss", "least_squares")
@dataclass(frozen=True)
class LeastSquares(Loss):
    """The critic C is regressed on one target for data and another for samples, the generator on a third (LSGAN).

    Formula: C minimises E (C(x) - b)^2 / 2 + E (C(G(z)) - a)^2 / 2, G minimises E (C(G(z)) - c)^2 / 2,
    with a = fake_target, b = real_target, c = generator_target

    Paper: Mao et al. 2017, "Least squares generative adversarial networks", section 3

    With b - c = 1 and b - a = 2 (say -1, 1, 0) and the best critic, the generator minimises the Pearson divergence
    between p + q and 2 q. The defaults are the paper's 0-1 targets, for which the best C is p / (p + q) itself.
    """

    reads = "critic"

    name: str = "least_squares"
    fake_target: float = number(0.0)
    real_target: float = number(1.0)
    generator_target: float = number(1.0)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        real = jnp.mean((real_logits - numbers["real_target"]) ** 2)
        return 0.5 * real + 0.5 * jnp.mean((fake_logits - numbers["fake_target"]) ** 2)

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return 0.5 * jnp.mean((fake_logits - numbers["generator_target"]) ** 2)


@register("loss", "wasserstein")
@dataclass(frozen=True)
class Wasserstein(Loss):
    """The critic C drives its means on data and on samples apart, and the generator draws them together.

    Formula: C maximises E C(x) - E C(G(z)), G minimises -E C(G(z))

    Paper: Arjovsky et al. 2017, "Wasserstein GAN", eq. 2 and 3

    The difference of the means is the Wasserstein-1 distance only for the best critic among the 1-Lipschitz ones: keep
    it near those with a gradient penalty or a weight constraint, without which it has no optimum.
    """

    reads = "critic"

    name: str = "wasserstein"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(fake_logits) - jnp.mean(real_logits)

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return -jnp.mean(fake_logits)


@register("loss", "cramer")
@dataclass(frozen=True)
class Cramer(Loss):
    """The generator minimises the energy distance between data and samples in the discriminator's output space.

    Formula: C maximises E f(x) - E f(G(z)) with f(x) = E ||h(x) - h(g')|| - ||h(x)||;
    G minimises 2 E ||h(x) - h(g)|| - E ||h(g) - h(g')|| - E ||h(x) - h(x')||, where h is the discriminator,
    g and g' are independent samples, x and x' independent data

    Paper: Bellemare et al. 2017, "The Cramer distance as a solution to biased Wasserstein gradients", Algorithm 1

    The independent copies are the rows of the same minibatch moved by one place, so it takes at least two. The term in
    data alone, which the paper leaves out, moves no generator: with it the value estimates the distance, 0 at a perfect
    model. Binkowski et al. 2018, "Demystifying MMD GANs", criticise f: it puts the origin in the place of a second
    independent example of the data, so what the critic maximises is not the distance that the generator minimises. Data
    at a and samples at b, 0 < b < a on one line, have a distance of 2 (a - b), and f tells them not apart at all.
    """

    reads = "critic"
    generator_sees_data = True

    name: str = "cramer"
    outputs: int = number(256, low=2, high=65_536)

    def critic(self, outputs: jax.Array, anchors: jax.Array) -> jax.Array:
        """Return f ``(batch,)`` of ``outputs`` ``(batch, outputs)``; ``anchors`` ``(m, outputs)`` are the h(g')."""
        away = jnp.mean(_length(outputs[:, None, :] - anchors[None, :, :]), axis=1)
        return away - _length(outputs)

    def discriminator(self, real_outputs: jax.Array, fake_outputs: jax.Array, numbers: Numbers) -> jax.Array:
        other = _moved(fake_outputs)
        real = _length(real_outputs - other) - _length(real_outputs)
        return jnp.mean(_length(fake_outputs - other) - _length(fake_outputs)) - jnp.mean(real)

    def generator(self, real_outputs: jax.Array, fake_outputs: jax.Array, numbers: Numbers) -> jax.Array:
        other = _moved(fake_outputs)
        across = jnp.mean(_length(real_outputs - fake_outputs)) + jnp.mean(_length(real_outputs - other))
        within = jnp.mean(_length(fake_outputs - other)) + jnp.mean(_length(real_outputs - _moved(real_outputs)))
        return across - within


def _moved(rows: jax.Array) -> jax.Array:
    """The same examples, each in the place of the next: an independent copy of the side, row by row."""
    return jnp.roll(rows, 1, axis=0)


def _length(rows: jax.Array) -> jax.Array:
    """Euclidean norm along the last axis, with the gradient 0 where it is 0."""
    square = jnp.sum(rows**2, axis=-1)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)

"""f-GAN: the discriminator bounds an f-divergence D_f(p, q) = E_q f(p/q) between data p and model q from below.

D_f >= E_p T(x) - E_q f*(T(x)) for every function T with values in the domain of the conjugate f*, with equality at
T = f'(p/q). T is an activation g_f of the network's free output v. Conjugates are written as functions of v here,
simplified by hand: f*(g_f(v)) goes through numbers that overflow or cancel long before the result does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, softplus

from ganrun.game.losses.base import LOG_2, SATURATIONS, Loss, Numbers, mean_exp
from ganrun.registry import choice, register

NEWTON_STEPS = 6  # enough for double precision at any argument: each one doubles the digits


class Form(NamedTuple):
    """One divergence as means over a batch of outputs v ``(batch,)``.

    Attributes:
        output: v to E T = E g_f(v).
        conjugate: v to E f*(T).
    """

    output: Callable[[jax.Array], jax.Array]
    conjugate: Callable[[jax.Array], jax.Array]


@jax.custom_jvp
def _log_ratio(v: jax.Array) -> jax.Array:
    """Return r = log(p/q) that solves 1 + r - exp(-r) = v, the Jeffrey divergence's f'(p/q) = v.

    With s = -r this is exp(s) + s = 1 - v, convex and increasing; from above its root Newton's steps only fall. It is
    the log of Lambert's W(exp(1 - v)), which overflows where its log does not.
    """
    x = 1.0 - v
    s = jnp.where(x > 1.0, jnp.log(jnp.maximum(x, 1.0)), x)
    for _ in range(NEWTON_STEPS):
        power = jnp.exp(s)
        s = s - (power + s - x) / (1.0 + power)
    return -s


@_log_ratio.defjvp
def _log_ratio_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    r = _log_ratio(primals[0])
    return r, tangents[0] / (1.0 + jnp.exp(-r))


def _jeffrey_conjugate(v: jax.Array) -> jax.Array:
    """E f*(v) = E [W(exp(1 - v)) + 1 / W(exp(1 - v)) + v - 2], which is E [exp(r) + r - 1] in the log ratio r."""
    r = _log_ratio(v)
    return mean_exp(r) + jnp.mean(r) - 1.0


def _total_variation(v: jax.Array) -> jax.Array:
    return 0.5 * jnp.mean(jnp.tanh(v))


FORMS = {
    "kl": Form(jnp.mean, lambda v: mean_exp(v - 1.0)),
    "reverse_kl": Form(lambda v: -mean_exp(-v), lambda v: jnp.mean(v) - 1.0),
    "js": Form(lambda v: LOG_2 + jnp.mean(log_sigmoid(v)), lambda v: jnp.mean(softplus(v)) - LOG_2),
    "jeffrey": Form(jnp.mean, _jeffrey_conjugate),
    "pearson": Form(jnp.mean, lambda v: jnp.mean(0.25 * v**2 + v)),
    "squared_hellinger": Form(lambda v: 1.0 - mean_exp(-v), lambda v: mean_exp(v) - 1.0),
    "total_variation": Form(_total_variation, _total_variation),
}


@register("loss", "fgan")
@dataclass(frozen=True)
class FGan(Loss):
    """The discriminator estimates an f-divergence between data and model from below, and the generator lowers it.

    Formula: D maximises V = E T(x) - E f*(T(G(z))) with T = g_f(v), v the discriminator's output; G minimises
    -E f*(T(G(z))) (saturating) or -E T(G(z)) (nonsaturating).
    kl: g_f = v, f* = exp(t - 1); reverse_kl: -exp(-v), -1 - log(-t); js: log 2 - log(1 + exp(-v)), -log(2 - exp(t));
    jeffrey: v, W(exp(1 - t)) + 1 / W(exp(1 - t)) + t - 2 with Lambert's W; pearson: v, t^2 / 4 + t;
    squared_hellinger: 1 - exp(-v), t / (1 - t); total_variation: tanh(v) / 2, t

    Paper: Nowozin et al. 2016, "f-GAN: training generative neural samplers using variational divergence minimization",
    Table 2; the nonsaturating generator is that of section 3.2

    At the best T = f'(p/q), V is the divergence of that name in :mod:`ganrun.divergence.f_divergences`, except that
    the paper's ``js`` is twice the Jensen-Shannon divergence. Exponentials that would overflow are held at a very large
    finite number (:func:`ganrun.game.losses.mean_exp`).
    """

    reads = "critic"

    name: str = "fgan"
    divergence: str = choice("js", tuple(FORMS))
    generator_objective: str = choice("saturating", SATURATIONS)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        form = FORMS[self.divergence]
        return form.conjugate(fake_logits) - form.output(real_logits)

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        form = FORMS[self.divergence]
        if self.generator_objective == "nonsaturating":
            return -form.output(fake_logits)
        return -form.conjugate(fake_logits)

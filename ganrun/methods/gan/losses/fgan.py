"""f-GAN: the discriminator estimates an f-divergence D_f(p, q) = E_q f(p/q) between data p and model q from below.

D_f >= E_p T(x) - E_q f*(T(x)) for every function T with values in the domain of the conjugate f*, with equality at
T = f'(p/q). T is an activation g_f of the network's unconstrained output v. The conjugates are written here as
simplified functions of v, because the intermediate values of f*(g_f(v)) overflow or cancel long before the result does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, softplus

from ganrun.config.registry import choice, register
from ganrun.methods.gan.losses.base import LOG_2, SATURATIONS, Hparams, Loss, mean_exp

NEWTON_STEPS = 6  # enough for double precision at any argument: each step doubles the number of correct digits


class Form(NamedTuple):
    """One divergence as means over a batch of outputs v ``(batch,)``.

    Attributes:
        output: maps v to E T = E g_f(v).
        conjugate: maps v to E f*(T).
    """

    output: Callable[[jax.Array], jax.Array]
    conjugate: Callable[[jax.Array], jax.Array]


@jax.custom_jvp
def _log_ratio(v: jax.Array) -> jax.Array:
    """Return r = log(p/q) that solves 1 + r - exp(-r) = v, which is f'(p/q) = v for the Jeffrey divergence.

    With s = -r this is exp(s) + s = 1 - v, whose left side is convex and increasing, so that Newton's method decreases
    monotonically from any start above the root. s is the log of Lambert's W(exp(1 - v)), which overflows where s does
    not.
    """
    x = 1.0 - v
    s = jnp.where(x > 1.0, jnp.log(jnp.maximum(x, 1.0)), x)
    for _ in range(NEWTON_STEPS):
        exp_s = jnp.exp(s)
        s = s - (exp_s + s - x) / (1.0 + exp_s)
    return -s


@_log_ratio.defjvp
def _log_ratio_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    r = _log_ratio(primals[0])
    return r, tangents[0] / (1.0 + jnp.exp(-r))


def _jeffrey_conjugate(v: jax.Array) -> jax.Array:
    """E f*(v) = E [W(exp(1 - v)) + 1 / W(exp(1 - v)) + v - 2], which is E [exp(r) + r - 1] with the log ratio r."""
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
    """The discriminator maximises a lower bound of an f-divergence between data and model; the generator minimises it.

    Formula: D maximises V = E T(x) - E f*(T(G(z))) with T = g_f(v), v the discriminator's output; G minimises
    -E f*(T(G(z))) (saturating) or -E T(G(z)) (nonsaturating).
    kl: g_f = v, f* = exp(t - 1); reverse_kl: -exp(-v), -1 - log(-t); js: log 2 - log(1 + exp(-v)), -log(2 - exp(t));
    jeffrey: v, W(exp(1 - t)) + 1 / W(exp(1 - t)) + t - 2 with Lambert's W; pearson: v, t^2 / 4 + t;
    squared_hellinger: 1 - exp(-v), t / (1 - t); total_variation: tanh(v) / 2, t

    Paper: Nowozin et al. 2016, "f-GAN: training generative neural samplers using variational divergence minimization",
    Table 2; the nonsaturating generator is that of section 3.2

    At the optimum T = f'(p/q), V is the divergence of that name in ``evaluation.divergence.exact.f_divergences``,
    except that the paper's ``js`` is twice the Jensen-Shannon divergence. Exponentials that would overflow are limited
    to a large finite number (:func:`ganrun.methods.gan.losses.mean_exp`).
    """

    output_type = "critic"

    name: str = "fgan"
    divergence: str = choice("js", tuple(FORMS))
    generator_objective: str = choice("saturating", SATURATIONS)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        form = FORMS[self.divergence]
        return form.conjugate(fake_logits) - form.output(real_logits)

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        form = FORMS[self.divergence]
        if self.generator_objective == "nonsaturating":
            return -form.output(fake_logits)
        return -form.conjugate(fake_logits)

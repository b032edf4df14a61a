"""What all losses share: what they say of themselves, and what may be read off their discriminator's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

Numbers = Mapping[str, jax.Array]

LOG_2 = 0.6931471805599453
LOG_4 = 1.3862943611198906
SATURATIONS = ("saturating", "nonsaturating")  # the zero-sum generator, or one that keeps its gradient
ROOM = 1.5  # nats below the largest number where mean_exp stops, so that a loss may add two of them and round


def game_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))), in nats (Goodfellow et al. 2014, eq. 1)."""
    return jnp.mean(log_sigmoid(real_logits)) + jnp.mean(log_sigmoid(-fake_logits))


def pair_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E log sigmoid(C(x) - C(y)) + log 2 over the pairs of rows, in nats: 0 for a critic C that cannot tell x from y.

    The classifier sigmoid(C(x) - C(y)) says which of the two is data. At the best C = log(p/q), this is the
    Jensen-Shannon divergence between p⊗q and q⊗p; for any other C less. That is not the divergence of p and q.
    """
    return jnp.mean(log_sigmoid(real_logits - fake_logits)) + LOG_2


def mean_exp(x: jax.Array) -> jax.Array:
    """E exp(x) over a batch ``(batch,)``, held below the largest number that its precision has.

    Where the sum over the batch comes near to overflowing (in float32 from exp(87) on), all rows are divided by one
    constant so that it does not. Then the value says no more than "too large", but the gradient still weighs the
    rows against each other as exp does. Elsewhere this is the plain ``mean(exp(x))``.
    """
    fixed = jax.lax.stop_gradient(x)
    top = jnp.max(fixed)
    spread = jnp.log(jnp.sum(jnp.exp(fixed - top)))
    largest = jnp.log(jnp.finfo(x.dtype).max) - ROOM
    overflows = top + spread > largest
    # Two steps, so that nothing of the rows' differences is rounded away: far up, top + spread is a coarse number.
    above, beyond = jnp.where(overflows, top, 0.0), jnp.where(overflows, largest - spread, 0.0)
    return jnp.mean(jnp.exp(x - above + beyond))


def readings(reads: str, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
    """Return by tag what may be said of logits ``(batch,)`` that a loss reads as ``reads`` (see :class:`Loss`)."""
    if reads == "probability":
        value = game_value(real_logits, fake_logits)
        return {
            "D(x)": jnp.mean(jax.nn.sigmoid(real_logits)),
            "D(G(z))": jnp.mean(jax.nn.sigmoid(fake_logits)),
            "value": value,
            "jsd/online": (value + LOG_4) / 2,
        }
    seen = {"critic/real": jnp.mean(real_logits), "critic/fake": jnp.mean(fake_logits)}
    if reads == "pair":
        seen["value/pair"] = pair_value(real_logits, fake_logits)
    return seen


class Loss:
    """What every loss says of itself beside its two functions.

    Attributes:
        reads: what the discriminator's output means at its optimum. ``probability``: its sigmoid is the probability of
            "data". ``critic``: a score, higher for data; its scale and offset mean nothing. ``pair``: only
            differences between two outputs mean something, as the logit of "the first is data, not the second".
        generator_sees_data: the generator's loss needs the discriminator's output on a minibatch of data too.
        uses_features: the generator's loss works on the discriminator's last hidden layer, not on its logits: both
            arguments of ``generator`` are then features ``(batch, features)``, and ``generator_sees_data`` is True.
        outputs: numbers that the discriminator gives per example. 1: logits ``(batch,)``. More: both functions get
            ``(batch, outputs)``, and :meth:`critic` makes scores of them. The one thing here that may be a setting.
    """

    reads: ClassVar[str] = "critic"
    generator_sees_data: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False
    outputs: int = 1

    def critic(self, outputs: jax.Array, anchors: jax.Array) -> jax.Array:
        """Return the score ``(batch,)`` of each row of the discriminator's ``outputs``, higher for data.

        Args:
            outputs: ``(batch,)``, or ``(batch, outputs)`` where there are several per example.
            anchors: the discriminator's outputs on a few samples of the generator, for the losses that judge an
                example by its distance from those; the others do not look at them.
        """
        del anchors
        return outputs

"""The base class of all losses, and the metrics of the discriminator's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

Hparams = Mapping[str, jax.Array]

LOG_2 = 0.6931471805599453
LOG_4 = 1.3862943611198906
SATURATIONS = ("saturating", "nonsaturating")  # generator objectives: zero-sum, or with a gradient that persists
ROOM = 1.5  # margin in nats of mean_exp below the largest float, so that a loss can add two of them and round


def game_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))), in nats (Goodfellow et al. 2014, eq. 1)."""
    return jnp.mean(log_sigmoid(real_logits)) + jnp.mean(log_sigmoid(-fake_logits))


def pair_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E log sigmoid(C(x) - C(y)) + log 2 over pairs of rows, in nats: 0 for a critic C that does not separate x from y.

    sigmoid(C(x) - C(y)) classifies which of the two is data. At the optimum C = log(p/q) this is the Jensen-Shannon
    divergence between p⊗q and q⊗p; for any other C it is less. It is not the divergence between p and q.
    """
    return jnp.mean(log_sigmoid(real_logits - fake_logits)) + LOG_2


def mean_exp(x: jax.Array) -> jax.Array:
    """E exp(x) over a batch ``(batch,)``, kept below the largest finite number of its precision.

    If the sum over the batch would nearly overflow (in float32 from exp(87) on), all rows are divided by one constant.
    The value then only means "too large", but the gradient still weights the rows relative to each other as exp does.
    Otherwise this is the plain ``mean(exp(x))``.
    """
    fixed = jax.lax.stop_gradient(x)
    top = jnp.max(fixed)
    spread = jnp.log(jnp.sum(jnp.exp(fixed - top)))
    largest = jnp.log(jnp.finfo(x.dtype).max) - ROOM
    overflows = top + spread > largest
    # Subtract and add in two steps to keep the differences between rows: a large top + spread would be rounded.
    offset, target = jnp.where(overflows, top, 0.0), jnp.where(overflows, largest - spread, 0.0)
    return jnp.mean(jnp.exp(x - offset + target))


def output_metrics(output_type: str, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
    """Return the metrics of logits ``(batch,)`` by tag, for a loss of this ``output_type`` (see :class:`Loss`)."""
    if output_type == "probability":
        value = game_value(real_logits, fake_logits)
        return {
            "D(x)": jnp.mean(jax.nn.sigmoid(real_logits)),
            "D(G(z))": jnp.mean(jax.nn.sigmoid(fake_logits)),
            "value": value,
            "jsd/online": (value + LOG_4) / 2,
        }
    metrics = {"critic/real": jnp.mean(real_logits), "critic/fake": jnp.mean(fake_logits)}
    if output_type == "pair":
        metrics["value/pair"] = pair_value(real_logits, fake_logits)
    return metrics


class Loss:
    """Base class of all losses.

    Attributes:
        output_type: meaning of the discriminator's output at its optimum. ``probability``: its sigmoid is the
            probability of "data". ``critic``: a score, higher for data, with arbitrary scale and offset. ``pair``: only
            the difference of two outputs is meaningful, as the logit of "the first is data, not the second".
        generator_sees_data: the generator's loss also needs the discriminator's output on a minibatch of data.
        uses_features: the generator's loss uses the discriminator's last hidden layer instead of its logits: both
            arguments of ``generator`` are then features ``(batch, features)``, and ``generator_sees_data`` is True.
        outputs: discriminator outputs per example. 1: logits ``(batch,)``. More: both functions get
            ``(batch, outputs)``, and :meth:`critic` turns them into scores. A loss may make this a setting.
    """

    output_type: ClassVar[str] = "critic"
    generator_sees_data: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False
    outputs: int = 1

    def critic(self, outputs: jax.Array, anchors: jax.Array) -> jax.Array:
        """Return the score ``(batch,)`` of each row of the discriminator's ``outputs``, higher for data.

        Args:
            outputs: ``(batch,)``, or ``(batch, outputs)`` with several outputs per example.
            anchors: the discriminator's outputs on a few samples of the generator, used by losses that score an example
                by its distance from them and ignored by the others.
        """
        del anchors
        return outputs

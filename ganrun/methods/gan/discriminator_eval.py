"""Evaluates a discriminator on held-out data and on samples, none of which it is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.gan.batch import Batch, NetworkInput
from ganrun.methods.gan.networks import draw_data, draw_noise, scores
from ganrun.methods.gan.state import GanModel, Player
from ganrun.methods.gan.updates import Context


@dataclass(frozen=True)
class DiscriminatorEval:
    """A held-out minibatch and samples of the current generator, on which discriminators are evaluated.

    Attributes:
        batch: the minibatch that both come from.
        real: the held-out data as the discriminator's input.
        fake: the samples as the discriminator's input.
    """

    batch: Batch
    real: NetworkInput
    fake: NetworkInput

    @classmethod
    def draw(cls, context: Context, model: GanModel, held_out: Source, key: jax.Array) -> DiscriminatorEval:
        """Draw the held-out minibatch and the samples of this step."""
        spec, progress = context.spec, context.progress
        rows = getattr(held_out, "flat", None)
        n = spec.batch_size if rows is None else min(spec.batch_size, rows.shape[0])
        n -= n % spec.packing
        # Every step reads a finite held-out set in a different order.
        start = Cursor(epoch=progress.step, offset=jnp.zeros((), jnp.int32))
        data, labels, _ = draw_data(spec, held_out, key_for(key, "data"), start, n)
        noise = draw_noise(spec, key_for(key, "noise"), n)
        batch = Batch(spec, context.hparams, progress.done, data, noise, labels, labels, model.generator.stats, key)
        # The generator's new batch statistics are dropped: it is not trained here.
        (real, _), (fake, _) = batch.examples(model.generator.params), batch.samples(model.generator.params)
        return cls(batch, real, fake)

    def evaluate(self, discriminator: Player) -> tuple[jax.Array, jax.Array]:
        """Return the value (minus the loss) and the accuracy of ``discriminator``.

        If the output is a probability, accuracy is the fraction of examples and samples on the correct side of 1/2;
        otherwise it is the fraction of pairs in which data has the higher score. The discriminator is applied in
        training mode, as in its updates and in the generator's: running averages lag behind a network that has just
        been updated. The new batch statistics are dropped, so that no held-out example influences the run.
        """
        spec = self.batch.spec
        outputs = self.batch.discriminator_outputs(discriminator.params, discriminator.stats, self.real, self.fake)
        value = -spec.loss.discriminator(outputs.real, outputs.fake, self.batch.hparams["loss"])
        real, fake = scores(spec, outputs.real, outputs.fake)
        if spec.loss.output_type == "probability":
            return value, 0.5 * (jnp.mean(real > 0) + jnp.mean(fake < 0))
        return value, jnp.mean(real > fake)

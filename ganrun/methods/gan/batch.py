"""A minibatch of data and noise, and the losses of both networks on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.mesh import joined, parted
from ganrun.methods.gan.fused import loss_and_squared_norms
from ganrun.methods.gan.networks import Conditioning, discriminator_input, encode_data, features, forward, scores
from ganrun.methods.gan.penalties import PenaltyInputs
from ganrun.methods.gan.state import GanSpec, Player, Tree
from ganrun.methods.gan.transport import cost

# Names of the discriminator's dropout keys.
ON_DATA, ON_SAMPLES = "dropout on data", "dropout on samples"


class NetworkInput(NamedTuple):
    """The discriminator's input, with noise and packing applied, and its conditioning: labels, latents or nothing."""

    x: jax.Array
    conditioning: Conditioning


class DiscriminatorOutputs(NamedTuple):
    """The discriminator's outputs on a minibatch in training mode.

    Attributes:
        real: outputs on data.
        fake: outputs on samples.
        stats: updated batch statistics.
        squared_norms: squared gradient norms ``(n,)`` on data (``real``) and samples (``fake``), for fused penalties.
    """

    real: jax.Array
    fake: jax.Array
    stats: Tree
    squared_norms: dict[str, jax.Array]


@dataclass(frozen=True)
class Batch:
    """One minibatch of data and noise, on which both networks are evaluated.

    Methods take a network's parameters as an argument wherever a gradient with respect to them may be needed.

    Attributes:
        spec: the static part of the run.
        hparams: the traced hyperparameters.
        done: fraction of the run that is done.
        data: examples ``(n, *shape)``; None if the update uses no data.
        noise: latents ``(n, latent_dim)``.
        data_labels: labels of the data; empty unless the GAN is class-conditional.
        noise_labels: classes that the generator is conditioned on; empty unless the GAN is class-conditional.
        generator_stats: the generator's batch statistics.
        key: from which the keys of dropout, input noise, label flips and penalties are derived, by name.
    """

    spec: GanSpec
    hparams: Tree
    done: jax.Array
    data: jax.Array | None
    noise: jax.Array
    data_labels: Conditioning
    noise_labels: Conditioning
    generator_stats: Tree
    key: jax.Array

    def generated(self, generator: Tree) -> tuple[jax.Array, Tree]:
        """Return the output of the generator with these parameters on the noise, and its updated batch statistics."""
        key = key_for(self.key, "dropout in the generator")
        return forward(self.spec.generator, generator, self.generator_stats, self.noise, key, self.noise_labels)

    def samples(self, generator: Tree, shift: jax.Array | None = None) -> tuple[NetworkInput, Tree]:
        """Return samples of the generator, plus ``shift`` if given, and its updated batch statistics."""
        x, stats = self.generated(generator)
        x = x if shift is None else x + shift
        conditioning = self.noise_labels | ({"z": self.noise} if self.spec.has_encoder else {})
        return NetworkInput(
            discriminator_input(self.spec, self.hparams, self.done, x, key_for(self.key, "noise on samples")),
            conditioning,
        ), stats

    def examples(self, generator: Tree, stats: Tree | None = None) -> tuple[NetworkInput, Tree]:
        """Return the data, and the generator's updated batch statistics; ``stats`` are those before.

        The generator's parameters are used only by its encoder, if the GAN has one.
        """
        assert self.data is not None
        stats = self.generator_stats if stats is None else stats
        key = key_for(self.key, "dropout in the encoder")
        latents, stats = encode_data(self.spec, generator, stats, self.data, key)
        x = discriminator_input(self.spec, self.hparams, self.done, self.data, key_for(self.key, "noise on data"))
        return NetworkInput(x, self.data_labels | latents), stats

    def discriminator_outputs(
        self, params: Tree, stats: Tree, real: NetworkInput, fake: NetworkInput
    ) -> DiscriminatorOutputs:
        """Return the discriminator's outputs on data and on samples.

        Data and samples are two separate batches with independent dropout masks, unless ``spec.joined``: then they pass
        through the network together.
        """
        network = self.spec.discriminator
        real_key, fake_key = key_for(self.key, ON_DATA), key_for(self.key, ON_SAMPLES)
        if self.spec.joined:
            both = _joined(real, fake)
            output, stats = forward(network, params, stats, both.x, real_key, both.conditioning)
            real_output, fake_output = parted(output)
        else:
            real_output, stats = forward(network, params, stats, real.x, real_key, real.conditioning)
            fake_output, stats = forward(network, params, stats, fake.x, fake_key, fake.conditioning)
        return DiscriminatorOutputs(real_output, fake_output, stats, {})

    def discriminator_loss(
        self, params: Tree, stats: Tree, real: NetworkInput, fake: NetworkInput
    ) -> tuple[jax.Array, DiscriminatorOutputs]:
        """Return the discriminator's loss and its outputs."""
        if self.spec.fused:
            return self._fused_loss(params, stats, real, fake)
        outputs = self.discriminator_outputs(params, stats, real, fake)
        return _loss(self.spec, outputs.real, outputs.fake, self.hparams, key_for(self.key, "flips")), outputs

    def _fused_loss(
        self, params: Tree, stats: Tree, real: NetworkInput, fake: NetworkInput
    ) -> tuple[jax.Array, DiscriminatorOutputs]:
        """Return the discriminator's loss and its outputs, with the squared gradient norms of the fused penalties."""
        spec, fused = self.spec, self.spec.fused

        def network(params: Tree, inputs: NetworkInput) -> jax.Array:
            unused = jax.random.key(0)  # there is no dropout in a network that is piecewise linear
            return forward(spec.discriminator, params, {}, inputs.x, unused, inputs.conditioning)[0]

        def in_order(penalised: jax.Array, others: jax.Array | None) -> Sequence[jax.Array]:
            """Return the outputs on data and on samples."""
            if others is None:
                return parted(penalised)
            return (penalised, others) if "real" in fused else (others, penalised)

        def loss(penalised: jax.Array, others: jax.Array | None, settings: Tree) -> jax.Array:
            return _loss(spec, *in_order(penalised, others), *settings)

        apart = (real, fake) if "real" in fused else (fake, real)
        inputs = (_joined(real, fake), None) if len(fused) == 2 else apart
        settings = (self.hparams, key_for(self.key, "flips"))
        found: Any = loss_and_squared_norms(network, loss, params, *inputs, settings)
        value, penalised, others, squares = found
        real_output, fake_output = in_order(penalised, others)
        norms = parted(squares) if len(fused) == 2 else (squares,)
        return value, DiscriminatorOutputs(real_output, fake_output, stats, dict(zip(fused, norms, strict=True)))

    def transport_cost(self, params: Tree) -> jax.Array:
        """Return E ||G(z) - z||² / n on the noise."""
        return cost(self.generated(params)[0], self.noise)

    def generator_loss(
        self, params: Tree, opponent: Player, shift: jax.Array | None = None
    ) -> tuple[jax.Array, tuple[jax.Array, Tree]]:
        """Return what the generator minimises, and (loss over all samples, updated batch statistics).

        ``shift``, if given, is added to the samples: the derivative by it at zero is the gradient at the samples.
        """
        fake, stats = self.samples(params, shift)
        fake_output = self._opponent_output(opponent, fake, key_for(self.key, ON_SAMPLES))
        real_output = None
        if self.data is not None and (self.spec.loss.generator_sees_data or self.spec.has_encoder):
            real, stats = self.examples(params, stats)
            real_output = self._opponent_output(opponent, real, key_for(self.key, ON_DATA))
        value = self._generator_value(real_output, fake_output)
        if not self.spec.top_k:
            return value, (value, stats)
        return self._top_k_value(real_output, fake_output), (value, stats)

    def _top_k_value(self, real: jax.Array | None, fake: jax.Array) -> jax.Array:
        """Return a value whose gradient is that of the loss through the top-k samples, and through all of the data.

        The other samples are constants, but the loss averages over them too: dividing by the fraction kept makes it a
        mean over the top k. The encoder's latents for the data are not ranked, and their gradient is not rescaled.
        """
        top, fraction = self._top_k(fake)
        if real is None:
            return self._generator_value(None, top) / fraction
        fixed_real, fixed_fake = jax.lax.stop_gradient((real, fake))
        return self._generator_value(fixed_real, top) / fraction + self._generator_value(real, fixed_fake)

    def _opponent_output(self, opponent: Player, inputs: NetworkInput, key: jax.Array) -> jax.Array:
        """Return the outputs (or features) of ``opponent``; its new batch statistics are dropped: it is fixed here."""
        if self.spec.loss.uses_features:
            return features(self.spec, opponent.params, opponent.stats, inputs.x, inputs.conditioning, key)
        return forward(self.spec.discriminator, opponent.params, opponent.stats, inputs.x, key, inputs.conditioning)[0]

    def _generator_value(self, real: jax.Array | None, fake: jax.Array) -> jax.Array:
        loss, hparams = self.spec.loss, self.hparams["loss"]
        if self.spec.has_encoder and not loss.generator_sees_data:
            # The encoder is trained with the generator: its pairs (x, E(x)) should be classified as samples (BiGAN).
            assert real is not None
            return loss.generator(None, fake, hparams) + loss.generator(None, -real, hparams)
        return loss.generator(real, fake, hparams)

    def _top_k(self, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Stop the gradient of all but the k highest ``logits``; return them and k / n.

        The fraction k / n falls linearly over the run (Sinha et al. 2020, "Top-k training of GANs", section 3).
        """
        fraction = 1.0 + (self.hparams["generator_update"]["top_k"] - 1.0) * self.done
        k = jnp.ceil(fraction * len(logits))
        rank = jnp.argsort(jnp.argsort(-logits))
        return jnp.where(rank < k, logits, jax.lax.stop_gradient(logits)), k / len(logits)

    def terms(
        self,
        discriminator: Player,
        generator: Tree,
        real: NetworkInput,
        fake: NetworkInput,
        outputs: DiscriminatorOutputs,
        due: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """Return the terms that the penalties add to the discriminator's loss, by name.

        Args:
            discriminator: the network that is penalised.
            generator: the generator's parameters.
            real: the data.
            fake: the samples.
            outputs: the discriminator's outputs on both.
            due: for each lazy penalty, whether it is computed in this update; it is then multiplied by its interval,
                and zero otherwise.
        """
        real_scores, fake_scores = scores(self.spec, outputs.real, outputs.fake)

        # A penalty's interpolated or perturbed points are neither data nor samples: their batch statistics are dropped.
        def critic(x: jax.Array, conditioning: Conditioning, key: jax.Array) -> jax.Array:
            output, _ = forward(
                self.spec.discriminator, discriminator.params, discriminator.stats, x, key, conditioning
            )
            return output if self.spec.loss.outputs == 1 else scores(self.spec, output, outputs.fake)[0]

        def term(i: int, penalty: Any) -> jax.Array:
            inputs = PenaltyInputs(
                critic=critic,
                real=real.x,
                fake=fake.x,
                real_conditioning=real.conditioning,
                fake_conditioning=fake.conditioning,
                real_scores=real_scores,
                fake_scores=fake_scores,
                squared_norms=outputs.squared_norms,
                field=lambda: self.field(discriminator, generator),
                done=self.done,
                key=key_for(self.key, "penalty", i),
            )
            hparams = self.hparams["penalty"][penalty.name]
            if penalty.name not in due:
                return penalty.term(inputs, hparams)
            return jax.lax.cond(
                due[penalty.name], lambda: penalty.every * penalty.term(inputs, hparams), lambda: jnp.zeros(())
            )

        return {penalty.name: term(i, penalty) for i, penalty in enumerate(self.spec.penalties) if penalty.reports}

    def field(self, discriminator: Player, generator: Tree) -> tuple[Tree, Tree]:
        """Return the gradient of each network's loss, without penalties, with respect to its own parameters.

        The random draws are those of the update that calls this, which also keeps the batch statistics; here they are
        dropped.
        """

        def discriminator_loss(params: Tree) -> jax.Array:
            (real, _), (fake, _) = self.examples(generator), self.samples(generator)
            return self.discriminator_loss(params, discriminator.stats, real, fake)[0]

        def generator_loss(params: Tree) -> jax.Array:
            return self.generator_loss(params, discriminator)[0]

        return jax.grad(discriminator_loss)(discriminator.params), jax.grad(generator_loss)(generator)


def _joined(real: NetworkInput, fake: NetworkInput) -> NetworkInput:
    """Return data and samples as one batch."""
    return jax.tree.map(joined, real, fake)


def _loss(spec: GanSpec, real: jax.Array, fake: jax.Array, hparams: Tree, key: jax.Array) -> jax.Array:
    """Return the discriminator's loss, given its outputs."""
    real, fake = relabelled(real, fake, hparams["inputs"]["label_flipping"], key) if spec.flipping else (real, fake)
    return spec.loss.discriminator(real, fake, hparams["loss"])


def relabelled(real: jax.Array, fake: jax.Array, share: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Swap the outputs on data and on samples in a random ``share`` of the rows (label flipping)."""
    flip = jax.random.bernoulli(key, share, (len(real),)).reshape(-1, *[1] * (real.ndim - 1))
    return jnp.where(flip, fake, real), jnp.where(flip, real, fake)

"""A minibatch of both sides in front of both players, and what their losses make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ganrun.game.penalties import Match
from ganrun.game.players import Beside, features, forward, inferred, scores, show
from ganrun.game.state import Game, Player, Tree
from ganrun.keys import key_for

# The names of the keys of dropout in the discriminator.
ON_DATA, ON_SAMPLES = "dropout on data", "dropout on samples"


class View(NamedTuple):
    """Rows as the discriminator gets to see them, and what it is told beside them."""

    x: jax.Array
    beside: Beside


@dataclass(frozen=True)
class Scene:
    """One minibatch between the players.

    Methods take the parameters of a player as arguments where a gradient by them may be wanted.

    Attributes:
        numbers: the game's traced numbers.
        done: share of the run that is over.
        data: examples ``(n, *shape)``; None where nobody looks at data.
        noise: latents ``(n, latent_dim)``.
        data_labels: of the data, of a class-conditional game.
        noise_labels: which classes the generator is asked for.
        generator_stats: the generator's batch statistics.
        key: of all draws in networks and on inputs; each is derived from it by name.
    """

    game: Game
    numbers: Tree
    done: jax.Array
    data: jax.Array | None
    noise: jax.Array
    data_labels: Beside
    noise_labels: Beside
    generator_stats: Tree
    key: jax.Array

    def samples(self, generator: Tree) -> tuple[View, Tree]:
        """Return samples of the generator with these parameters, and its batch statistics after them."""
        key = key_for(self.key, "dropout in the generator")
        x, stats = forward(self.game.generator, generator, self.generator_stats, self.noise, key, self.noise_labels)
        beside = self.noise_labels | ({"z": self.noise} if self.game.infers else {})
        return View(show(self.game, self.numbers, self.done, x, key_for(self.key, "noise on samples")), beside), stats

    def examples(self, generator: Tree, stats: Tree | None = None) -> tuple[View, Tree]:
        """Return the data, and the generator's batch statistics after them; ``stats`` are those before.

        The generator's parameters matter where its encoder finds latents for the data.
        """
        assert self.data is not None
        stats = self.generator_stats if stats is None else stats
        key = key_for(self.key, "dropout in the encoder")
        found, stats = inferred(self.game, generator, stats, self.data, key)
        shown = show(self.game, self.numbers, self.done, self.data, key_for(self.key, "noise on data"))
        return View(shown, self.data_labels | found), stats

    def said(self, params: Tree, stats: Tree, real: View, fake: View) -> tuple[jax.Array, jax.Array, Tree]:
        """Return the discriminator's output on data and on samples, each a batch by itself, and its statistics after.

        The two passes share no dropout mask.
        """
        network = self.game.discriminator
        real_said, stats = forward(network, params, stats, real.x, key_for(self.key, ON_DATA), real.beside)
        fake_said, stats = forward(network, params, stats, fake.x, key_for(self.key, ON_SAMPLES), fake.beside)
        return real_said, fake_said, stats

    def discriminator_loss(self, params: Tree, stats: Tree, real: View, fake: View) -> tuple[jax.Array, Any]:
        """Return the discriminator's loss; and what it said of data, of samples, and its batch statistics after."""
        real_said, fake_said, stats = self.said(params, stats, real, fake)
        value = self.game.loss.discriminator(*self._relabelled(real_said, fake_said), self.numbers["loss"])
        return value, (real_said, fake_said, stats)

    def _relabelled(self, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Exchange a share of the rows: what is said of data counts as said of samples, and the reverse."""
        if not self.game.flipping:
            return real, fake
        share = self.numbers["inputs"]["label_flipping"]
        flip = jax.random.bernoulli(key_for(self.key, "flips"), share, (len(real),))
        flip = flip.reshape(-1, *[1] * (real.ndim - 1))
        return jnp.where(flip, fake, real), jnp.where(flip, real, fake)

    def generator_loss(self, params: Tree, opponent: Player) -> tuple[jax.Array, tuple[jax.Array, Tree]]:
        """Return what the generator minimises; and the loss over all samples, and its batch statistics after."""
        fake, stats = self.samples(params)
        said = self._opinion(opponent, fake, key_for(self.key, ON_SAMPLES))
        real_said = None
        if self.data is not None and (self.game.loss.generator_sees_data or self.game.infers):
            real, stats = self.examples(params, stats)
            real_said = self._opinion(opponent, real, key_for(self.key, ON_DATA))
        value = self._generator_value(real_said, said)
        if not self.game.top_k:
            return value, (value, stats)
        return self._value_of_best(real_said, said), (value, stats)

    def _value_of_best(self, real: jax.Array | None, fake: jax.Array) -> jax.Array:
        """Return a value whose gradient is that of the loss through the best samples, and through all of the data.

        The samples left out are constants to the gradient, and the mean counts them: the factor makes it a mean over
        the best. What an encoder finds for the data is not ranked, and its gradient not scaled.
        """
        best, share = self._best(fake)
        if real is None:
            return self._generator_value(None, best) / share
        fixed_real, fixed_fake = jax.lax.stop_gradient((real, fake))
        return self._generator_value(fixed_real, best) / share + self._generator_value(real, fixed_fake)

    def _opinion(self, opponent: Player, view: View, key: jax.Array) -> jax.Array:
        """Return what ``opponent`` says; its batch statistics stay: only its own updates count."""
        if self.game.loss.uses_features:
            return features(self.game, opponent.params, opponent.stats, view.x, view.beside, key)
        return forward(self.game.discriminator, opponent.params, opponent.stats, view.x, key, view.beside)[0]

    def _generator_value(self, real: jax.Array | None, fake: jax.Array) -> jax.Array:
        loss, numbers = self.game.loss, self.numbers["loss"]
        if self.game.infers and not loss.generator_sees_data:
            # The encoder plays on the generator's side: its pairs with data should pass for pairs with samples.
            assert real is not None
            return loss.generator(None, fake, numbers) + loss.generator(None, -real, numbers)
        return loss.generator(real, fake, numbers)

    def _best(self, said: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return logits of which all but the highest are constants, and which share is not.

        The share falls linearly over the run (Sinha et al. 2020, "Top-k training of GANs", section 3).
        """
        share = 1.0 + (self.numbers["generator_update"]["top_k"] - 1.0) * self.done
        kept = jnp.ceil(share * len(said))
        rank = jnp.argsort(jnp.argsort(-said))
        return jnp.where(rank < kept, said, jax.lax.stop_gradient(said)), kept / len(said)

    def terms(
        self,
        discriminator: Player,
        generator: Tree,
        real: View,
        fake: View,
        said: tuple[jax.Array, ...],
        wanted: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """Return by name what the penalties add to the discriminator's loss; ``said`` of data and of samples.

        A lazy penalty counts only where ``wanted`` says so, and then for those left out too.
        """
        real_scores, _ = scores(self.game, *said)

        # Batch statistics of points that a penalty makes up are neither those of data nor of samples: they are dropped.
        def critic(x: jax.Array, beside: Beside, key: jax.Array) -> jax.Array:
            given = forward(self.game.discriminator, discriminator.params, discriminator.stats, x, key, beside)[0]
            return given if self.game.loss.outputs == 1 else scores(self.game, given, said[1])[0]

        def term(i: int, penalty: Any) -> jax.Array:
            match = Match(
                critic=critic,
                real=real.x,
                fake=fake.x,
                real_beside=real.beside,
                fake_beside=fake.beside,
                real_scores=real_scores,
                field=lambda: self.field(discriminator, generator),
                done=self.done,
                key=key_for(self.key, "penalty", i),
            )
            numbers = self.numbers["penalty"][penalty.name]
            if penalty.name not in wanted:
                return penalty.term(match, numbers)
            return jax.lax.cond(
                wanted[penalty.name], lambda: penalty.every * penalty.term(match, numbers), lambda: jnp.zeros(())
            )

        return {one.name: term(i, one) for i, one in enumerate(self.game.penalties) if one.reports}

    def field(self, discriminator: Player, generator: Tree) -> tuple[Tree, Tree]:
        """Return the gradients of both players' losses, penalties left out, each by its own parameters.

        The losses are those of the update that asks, on the same draws: their batch statistics are counted there.
        """

        def of_discriminator(params: Tree) -> jax.Array:
            (real, _), (fake, _) = self.examples(generator), self.samples(generator)
            return self.discriminator_loss(params, discriminator.stats, real, fake)[0]

        def of_generator(params: Tree) -> jax.Array:
            return self.generator_loss(params, discriminator)[0]

        return jax.grad(of_discriminator)(discriminator.params), jax.grad(of_generator)(generator)

"""A minibatch of both sides in front of both players, and what their losses make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ganrun.game.penalties import Match
from ganrun.game.players import Beside, features, forward, inferred, scores, show
from ganrun.game.state import Game, Player, Tree

# Names of keys split off beside those that every game draws, so that a game without them draws what it always drew.
SHOWN_REAL, SHOWN_FAKE, FLIPS, PENALTY, ENCODED = range(11, 16)


class View(NamedTuple):
    """Rows as the discriminator gets to see them, and what it is told beside them."""

    x: jax.Array
    beside: Beside


class Keys(NamedTuple):
    """Of the draws in networks: where samples are made, where data and where samples are judged; and of all others."""

    made: jax.Array
    real: jax.Array
    fake: jax.Array
    more: jax.Array


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
    """

    game: Game
    numbers: Tree
    done: jax.Array
    data: jax.Array | None
    noise: jax.Array
    data_labels: Beside
    noise_labels: Beside
    generator_stats: Tree
    keys: Keys

    def _more(self, name: int) -> jax.Array:
        return jax.random.fold_in(self.keys.more, name)

    def samples(self, generator: Tree) -> tuple[View, Tree]:
        """Return samples of the generator with these parameters, and its batch statistics after them."""
        x, stats = forward(
            self.game.generator, generator, self.generator_stats, self.noise, self.keys.made, self.noise_labels
        )
        beside = self.noise_labels | ({"z": self.noise} if self.game.infers else {})
        return View(show(self.game, self.numbers, self.done, x, self._more(SHOWN_FAKE)), beside), stats

    def examples(self, generator: Tree) -> View:
        """Return the data; the generator's parameters matter where its encoder finds latents for them."""
        assert self.data is not None
        found = inferred(self.game, generator, self.generator_stats, self.data, self._more(ENCODED))
        shown = show(self.game, self.numbers, self.done, self.data, self._more(SHOWN_REAL))
        return View(shown, self.data_labels | found)

    def discriminator_loss(self, params: Tree, stats: Tree, real: View, fake: View) -> tuple[jax.Array, Any]:
        """Return the discriminator's loss; and what it said of data, of samples, and its batch statistics after."""
        real_said, stats = forward(self.game.discriminator, params, stats, real.x, self.keys.real, real.beside)
        fake_said, stats = forward(self.game.discriminator, params, stats, fake.x, self.keys.fake, fake.beside)
        value = self.game.loss.discriminator(*self._relabelled(real_said, fake_said), self.numbers["loss"])
        return value, (real_said, fake_said, stats)

    def _relabelled(self, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Exchange a share of the rows: what is said of data counts as said of samples, and the reverse."""
        if not self.game.flipping:
            return real, fake
        share = self.numbers["inputs"]["label_flipping"]
        flip = jax.random.bernoulli(self._more(FLIPS), share, (len(real),))
        flip = flip.reshape(-1, *[1] * (real.ndim - 1))
        return jnp.where(flip, fake, real), jnp.where(flip, real, fake)

    def generator_loss(self, params: Tree, opponent: Player) -> tuple[jax.Array, tuple[jax.Array, Tree]]:
        """Return what the generator minimises; and the loss over all samples, and its batch statistics after."""
        fake, stats = self.samples(params)
        said = self._opinion(opponent, fake, self.keys.fake)
        real_said = None
        if self.data is not None and (self.game.loss.generator_sees_data or self.game.infers):
            real_said = self._opinion(opponent, self.examples(params), self.keys.real)
        value = self._generator_value(real_said, said)
        if not self.game.top_k:
            return value, (value, stats)
        best, share = self._best(said)
        # The others are constants to the gradient, and the mean counts them: undone by the factor.
        return self._generator_value(real_said, best) / share, (value, stats)

    def _opinion(self, opponent: Player, view: View, key: jax.Array) -> jax.Array:
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
                key=jax.random.fold_in(self._more(PENALTY), i),
            )
            numbers = self.numbers["penalty"][penalty.name]
            if penalty.name not in wanted:
                return penalty.term(match, numbers)
            return jax.lax.cond(
                wanted[penalty.name], lambda: penalty.every * penalty.term(match, numbers), lambda: jnp.zeros(())
            )

        return {one.name: term(i, one) for i, one in enumerate(self.game.penalties) if one.reports}

    def field(self, discriminator: Player, generator: Tree) -> tuple[Tree, Tree]:
        """Return the gradients of both players' losses, penalties left out, each by its own parameters."""

        def of_discriminator(params: Tree) -> jax.Array:
            real, (fake, _) = self.examples(generator), self.samples(generator)
            return self.discriminator_loss(params, discriminator.stats, real, fake)[0]

        def of_generator(params: Tree) -> jax.Array:
            return self.generator_loss(params, discriminator)[0]

        return jax.grad(of_discriminator)(discriminator.params), jax.grad(of_generator)(generator)

"""How a discriminator does on examples and samples that it does not learn from."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor, Source
from ganrun.game.players import draw_data, draw_noise, scores
from ganrun.game.scene import Scene, View
from ganrun.game.state import Game, Player, State
from ganrun.keys import key_for


@dataclass(frozen=True)
class Exam:
    """A held-out minibatch against samples of the generator as it is: the same for every discriminator examined."""

    scene: Scene
    real: View
    fake: View

    @classmethod
    def draw(cls, game: Game, state: State, held_out: Source, key: jax.Array) -> Exam:
        """Return the exam of this step."""
        rows = getattr(held_out, "flat", None)
        n = game.batch_size if rows is None else min(game.batch_size, rows.shape[0])
        n -= n % game.packing
        # Every step looks at the finite set in an order of its own.
        start = Cursor(epoch=state.step, offset=jnp.zeros((), jnp.int32))
        data, labels, _ = draw_data(game, held_out, key_for(key, "data"), start, n)
        done = jnp.clip(state.step / state.numbers["run"]["steps"], 0.0, 1.0)
        noise = draw_noise(game, key_for(key, "noise"), n)
        scene = Scene(game, state.numbers, done, data, noise, labels, labels, state.generator.stats, key)
        # The generator's batch statistics after this are dropped: it is not in training.
        (real, _), (fake, _) = scene.examples(state.generator.params), scene.samples(state.generator.params)
        return cls(scene, real, fake)

    def of(self, discriminator: Player) -> tuple[jax.Array, jax.Array]:
        """Return the game value, minus the loss of ``discriminator``, and the share that it tells apart.

        Told apart: on the right side of 1/2, where its output is a probability; else, pairs whose example of the data
        has the higher score. The discriminator is in training mode, as it is in its updates and as the generator meets
        it: running averages lag behind one that has just been updated. The batch statistics of an exam are dropped, so
        that nothing of the held-out examples reaches the run.
        """
        game = self.scene.game
        real, fake, _ = self.scene.said(discriminator.params, discriminator.stats, self.real, self.fake)
        value = -game.loss.discriminator(real, fake, self.scene.numbers["loss"])
        real, fake = scores(game, real, fake)
        if game.loss.reads == "probability":
            return value, 0.5 * (jnp.mean(real > 0) + jnp.mean(fake < 0))
        return value, jnp.mean(real > fake)

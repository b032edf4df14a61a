"""What a penalty sees and may do.

A penalty adds a term to the discriminator's loss (and to the generator's, where it says so), or moves the
discriminator's weights after each update, or stands between its weights and its layers. Any number of them combine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ganrun.keys import key_for

Numbers = Mapping[str, jax.Array]
Tree = Any
Beside = dict[str, jax.Array]  # what the discriminator is told beside an example: labels, or a latent


@dataclass(frozen=True)
class Match:
    """A minibatch of both sides as the discriminator meets it, and the discriminator as a function.

    Attributes:
        critic: ``critic(x, beside, key) -> (n,)``, the discriminator's score of each row of ``x``, in training mode.
        real: the data as shown to it, ``(n, ...)``.
        fake: the samples as shown to it, ``(n, ...)``.
        real_beside: what it is told beside the data.
        fake_beside: what it is told beside the samples.
        real_scores: of the data, ``(n,)``.
        field: the gradients of both players' losses, each by its own parameters, on this minibatch.
        done: share of the run that is over.
        key: from which this penalty derives those of its own random draws, by name.
    """

    critic: Callable[[jax.Array, Beside, jax.Array], jax.Array]
    real: jax.Array
    fake: jax.Array
    real_beside: Beside
    fake_beside: Beside
    real_scores: jax.Array
    field: Callable[[], tuple[Tree, Tree]]
    done: jax.Array
    key: jax.Array


@dataclass(frozen=True)
class Penalty:
    """What every penalty says of itself beside what it does. The class attributes are no settings.

    Attributes:
        reports: it adds a term, which is logged as ``penalty/NAME``.
        for_generator: it adds one to the generator's loss too: what it makes of both players' gradients.
        by_example: it supposes that the discriminator's output on an example depends on that example alone.
        every: it is taken at every so many discriminator updates, with so many times its weight (lazy regularisation,
            Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 3.1).
    """

    reports: ClassVar[bool] = True
    for_generator: ClassVar[bool] = False
    by_example: ClassVar[bool] = False
    every = 1

    name: str = ""

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        """Return what is added to the loss, a scalar."""
        del match, numbers
        return jnp.zeros(())

    def weighed(self, field: tuple[Tree, Tree], numbers: Numbers) -> jax.Array:
        """Return what is added to the generator's loss, given the gradients of both players' losses."""
        del field, numbers
        return jnp.zeros(())

    def project(self, params: Tree, numbers: Numbers) -> Tree:
        """Return the discriminator's parameters ``params`` moved to where they are allowed to be."""
        del numbers
        return params

    def bind(self, discriminator: Any) -> Any:
        """Return the ``discriminator`` that stands for the given one."""
        return discriminator


def slopes(match: Match, x: jax.Array, beside: Beside) -> jax.Array:
    """Return ||∇ critic||² at each row of ``x``, ``(n,)``, by the example and by the latent beside it, if any."""
    latent = {name: value for name, value in beside.items() if jnp.issubdtype(value.dtype, jnp.floating)}

    def total(x: jax.Array, latent: Beside) -> jax.Array:
        return jnp.sum(match.critic(x, beside | latent, key_for(match.key, "dropout")))

    parts = jax.tree.leaves(jax.grad(total, argnums=(0, 1))(x, latent))
    return sum((jnp.sum(part.reshape(len(part), -1) ** 2, axis=1) for part in parts), start=jnp.zeros(len(x)))

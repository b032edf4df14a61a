"""The interface of penalties.

A penalty adds a term to the discriminator's loss (and optionally to the generator's), projects the discriminator's
weights after each update, or reparametrises its layers. Any number of penalties can be combined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ganrun.keys import key_for

Hparams = Mapping[str, jax.Array]
Tree = Any
Conditioning = dict[str, jax.Array]  # further inputs of the discriminator: labels ``y`` or latents ``z``


@dataclass(frozen=True)
class PenaltyInputs:
    """The discriminator as a function, and its inputs in one minibatch of data and samples.

    Attributes:
        critic: ``critic(x, conditioning, key) -> (n,)``, the discriminator's score of each row of ``x``, in training
            mode.
        real: data as the discriminator's input, ``(n, ...)``.
        fake: samples as the discriminator's input, ``(n, ...)``.
        real_conditioning: conditioning of the data.
        fake_conditioning: conditioning of the samples.
        real_scores: scores of the data, ``(n,)``.
        fake_scores: scores of the samples, ``(n,)``.
        squared_norms: squared gradient norms ``(n,)`` of the critic on ``real`` and on ``fake``, by these names, as far
            as they were computed together with the scores.
        field: returns the gradient of each network's loss on this minibatch with respect to its own parameters.
        done: fraction of the run that is done.
        key: from which the penalty derives the keys of its random draws, by name.
    """

    critic: Callable[[jax.Array, Conditioning, jax.Array], jax.Array]
    real: jax.Array
    fake: jax.Array
    real_conditioning: Conditioning
    fake_conditioning: Conditioning
    real_scores: jax.Array
    fake_scores: jax.Array
    squared_norms: Mapping[str, jax.Array]
    field: Callable[[], tuple[Tree, Tree]]
    done: jax.Array
    key: jax.Array


@dataclass(frozen=True)
class Penalty:
    """Base class of all penalties; its methods do nothing. Class variables are not settings.

    Attributes:
        reports: it adds a term to the loss, which is logged as ``penalty/NAME``.
        for_generator: it also adds a term to the generator's loss, computed from the gradients of both losses.
        by_example: it assumes that the discriminator's output on an example depends on that example alone.
        every: it is computed once per so many discriminator updates, and multiplied by that number (lazy
            regularisation, Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 3.1).
        gradient: how it computes the discriminator's gradient: ``exact``, ``fused`` or ``approximate``, of which the
            last two require that an output depends on one example alone.
        on: ``real`` or ``fake`` if it is computed from squared gradient norms on exactly the data or the samples.
        name: the option's name.
    """

    reports: ClassVar[bool] = True
    for_generator: ClassVar[bool] = False
    by_example: ClassVar[bool] = False
    every = 1
    gradient = "exact"
    on: ClassVar[str] = ""

    name: str = ""

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        """Return the scalar term to add to the discriminator's loss."""
        del inputs, hparams
        return jnp.zeros(())

    def generator_term(self, field: tuple[Tree, Tree], hparams: Hparams) -> jax.Array:
        """Return the scalar term to add to the generator's loss, given the gradients of both networks' losses."""
        del field, hparams
        return jnp.zeros(())

    def project(self, params: Tree, hparams: Hparams) -> Tree:
        """Return the discriminator's ``params`` projected onto the set of allowed values."""
        del hparams
        return params

    def bind(self, discriminator: Any) -> Any:
        """Return ``discriminator``, wrapped if the penalty changes how it is applied."""
        return discriminator


def squared_gradient_norms(inputs: PenaltyInputs, x: jax.Array, conditioning: Conditioning) -> jax.Array:
    """Return the squared gradient norm ||∇ critic||² at each row of ``x``, ``(n,)``.

    The gradient is taken with respect to the example and, if there is one, the latent.
    """

    def total(x: jax.Array, latent: Conditioning) -> jax.Array:
        return jnp.sum(inputs.critic(x, conditioning | latent, key_for(inputs.key, "dropout")))

    gradients = jax.tree.leaves(jax.grad(total, argnums=(0, 1))(x, latents(conditioning)))
    squares = (jnp.sum(gradient.reshape(len(gradient), -1) ** 2, axis=1) for gradient in gradients)
    return sum(squares, start=jnp.zeros(len(x)))


def squared_directional_derivatives(
    inputs: PenaltyInputs, x: jax.Array, conditioning: Conditioning, scores: jax.Array, step: jax.Array
) -> jax.Array:
    """Return an estimate of the squared gradient norm at each row of ``x``, ``(n,)``, without a derivative.

    It is the squared forward difference in a random direction u, standard normal in all dimensions of the example and
    of the latent: E (u . g)² = ||g||². With the second and third derivatives H and T of the critic, its expectation
    exceeds ||g||² by step² E[(u' H u)² / 4 + (u . g) T(u, u, u) / 3] in the next order, and by the mean square of the
    rounding error of a difference, divided by step².

    Formula: ((D(x + step u) - D(x)) / step)²
    Paper: Lin et al. 2025, "Diffusion adversarial post-training for one-step video generation" (approximated R1), which
    does not divide by step².

    Args:
        inputs: the critic and the key.
        x: the examples.
        conditioning: their labels or latents.
        scores: the critic's scores of ``x``.
        step: standard deviation of the distance in each dimension.
    """
    continuous = {"x": x} | latents(conditioning)
    moved = {
        name: value + step * jax.random.normal(key_for(inputs.key, f"direction of {name}"), value.shape)
        for name, value in continuous.items()
    }
    nearby = inputs.critic(moved.pop("x"), conditioning | moved, key_for(inputs.key, "dropout"))
    return ((nearby - scores) / step) ** 2


def latents(conditioning: Conditioning) -> Conditioning:
    """Return the part of ``conditioning`` that the critic can be differentiated by: latents, but not labels."""
    return {name: value for name, value in conditioning.items() if jnp.issubdtype(value.dtype, jnp.floating)}

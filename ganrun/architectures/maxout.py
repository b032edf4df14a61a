"""The networks of the first GAN paper: a ReLU generator and a maxout discriminator with dropout.

Goodfellow et al. 2014 describe the kinds of layers; sizes and initial ranges are those of the authors' MNIST
configuration (github.com/goodfeli/adversarial, mnist.yaml). There are two differences: images are in [-1, 1], and the
generator's output bias is initialised to zero instead of the pixels' marginals, because networks do not see the data.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import normalise, with_label
from ganrun.architectures.discriminator import Discriminator, MinibatchOption
from ganrun.architectures.layers import Maxout
from ganrun.architectures.networks import Networks, checked_shape, is_image
from ganrun.config.registry import choice, number, register

GENERATOR_RANGE = 0.05
DISCRIMINATOR_RANGE = 0.005


def symmetric_uniform(limit: float) -> nn.initializers.Initializer:
    """Return an initializer that draws from [-limit, limit): pylearn2's ``irange``."""

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        return jax.random.uniform(key, shape, dtype, minval=-limit, maxval=limit, out_sharding=out_sharding)

    return init


@functools.cache
def normal_init(std: float) -> nn.initializers.Initializer:
    """Return an initializer that draws from N(0, std²), the same object for the same ``std``."""
    return nn.initializers.normal(std)


# Created once: two modules compare equal only if their initializers are the same object.
generator_init = symmetric_uniform(GENERATOR_RANGE)
discriminator_init = symmetric_uniform(DISCRIMINATOR_RANGE)


class MaxoutGenerator(nn.Module):
    """Dense layers with ReLU, then a sigmoid scaled to [-1, 1] for images or a linear layer for vectors.

    Attributes:
        shape: shape of one sample.
        hidden: units of each hidden layer.
        classes: number of classes, whose embedding is concatenated with the latent; 0: none.
        batch_norm: normalise before the activation of every hidden layer.
        init_std: standard deviation of the initial weights; 0: those of the first GAN paper.
    """

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    classes: int = 0
    batch_norm: bool = False
    init_std: float = 0.0

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to samples ``(n, *shape)``."""
        init = generator_init if is_image(self.shape) else nn.initializers.he_uniform()
        init = normal_init(self.init_std) if self.init_std else init
        z = with_label(z, y, self.classes)
        for features in self.hidden:
            z = nn.Dense(features, kernel_init=init)(z)
            z = nn.relu(normalise(z, train, None, 0) if self.batch_norm else z)
        flat = nn.Dense(math.prod(self.shape), kernel_init=init)(z)
        return (2 * nn.sigmoid(flat) - 1).reshape(-1, *self.shape) if is_image(self.shape) else flat


class MaxoutDiscriminator(Discriminator):
    """Maxout layers with dropout on their inputs and on the input of the logit.

    Attributes:
        hidden: units of each hidden layer.
        pieces: linear pieces of each unit.
        dropout: dropout rate of the hidden units.
        input_dropout: dropout rate of the inputs.
        init_std: standard deviation of the initial weights; 0: those of the first GAN paper.
    """

    hidden: tuple[int, ...]
    pieces: int
    dropout: float
    input_dropout: float
    init_std: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, *shape)``, labels ``(n,)`` and latents ``(n, latent_dim)`` to logits ``(n,)``."""
        # The published range suits 784 pixels; with two inputs the activations would be negligible.
        init = discriminator_init if is_image(x.shape[1:]) else nn.initializers.lecun_uniform()
        init = normal_init(self.init_std) if self.init_std else init
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(self.input_dropout, deterministic=not train)(x)
        for features in self.hidden:
            x = Maxout(features, self.pieces, init)(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return self.head(x, y, z, init)


@register("architecture", "maxout")
@dataclass(frozen=True)
class MaxoutNetworks(MinibatchOption):
    """A ReLU generator and a maxout discriminator with dropout, as in the first GAN paper.

    Formula: a unit of the discriminator is the maximum of its pieces w_i . x + b_i.
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 5; Goodfellow et al. 2013, "Maxout networks".

    Attributes:
        generator_hidden: units of the generator's hidden layers.
        discriminator_hidden: units of the discriminator's maxout layers.
        pieces: linear pieces of each maxout unit.
        dropout: dropout rate of the discriminator's hidden units.
        input_dropout: dropout rate of the discriminator's inputs.
        generator_norm: ``batch``, before the activation of every hidden layer of the generator, or ``none``.
        init_std: standard deviation of the initial weights; 0: the uniform weights of the first GAN paper.
    """

    generator_hidden: tuple[int, ...] = number((1200, 1200), low=1, high=1_000_000, most=100)
    discriminator_hidden: tuple[int, ...] = number((240, 240), low=1, high=1_000_000, most=100)
    pieces: int = number(5, low=1, high=1000)
    dropout: float = number(0.5, low=0, below=1)
    input_dropout: float = number(0.2, low=0, below=1)
    generator_norm: str = choice("none", ("batch", "none"))
    init_std: float = number(0.0, low=0.0, high=10.0)
    name: str = "maxout"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for examples of ``shape``; raise :class:`ConfigError` if it is not supported."""
        shape = checked_shape(shape, latent_dim)
        hidden, rates = tuple(self.discriminator_hidden), (self.dropout, self.input_dropout)
        by_example = self.minibatch == "none" and not any(rates)
        return Networks(
            MaxoutGenerator(
                shape, tuple(self.generator_hidden), classes, self.generator_norm == "batch", self.init_std
            ),
            MaxoutDiscriminator(hidden, self.pieces, *rates, self.init_std, **self.head_options(classes, outputs)),
            by_example=by_example,
            piecewise_linear=by_example,
        )

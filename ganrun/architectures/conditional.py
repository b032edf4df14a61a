"""Layers that condition networks on class labels ``y`` ``(n,)``, int32."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.layers import batch_norm


class Embedding(nn.Module):
    """A learned vector for each class; parameter ``embedding`` ``(classes, features)``.

    Attributes:
        classes: number of classes.
        features: dimension of the vectors.
        init: initializer of the vectors.
    """

    classes: int
    features: int
    init: nn.initializers.Initializer = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, y: jax.Array | None) -> jax.Array:
        """Map labels ``(n,)`` to vectors ``(n, features)``; raise ValueError without labels."""
        if y is None:
            raise ValueError(f"a network of {self.classes} classes needs labels y")
        table = self.param("embedding", self.init, (self.classes, self.features))
        # Not a gather: on a GPU its gradient, a scatter, adds in no fixed order, so a run would not be reproducible.
        return jnp.matmul(jax.nn.one_hot(y, self.classes), table, precision="highest")


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with a scale (initially 1) and an offset (initially 0) for each class.

    Paper: Dumoulin et al. 2017, "A learned representation for artistic style", as used by Miyato & Koyama 2018.

    Attributes:
        classes: number of classes.
    """

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None) -> jax.Array:
        """Normalise ``(n, ..., features)`` over all axes but the last, then scale and shift by the labels ``y``."""
        features = x.shape[-1]
        scale = Embedding(self.classes, features, nn.initializers.ones, name="scale")(y)
        offset = Embedding(self.classes, features, nn.initializers.zeros, name="offset")(y)
        per_row = (x.shape[0], *(1,) * (x.ndim - 2), features)
        return batch_norm(train, affine=False)(x) * scale.reshape(per_row) + offset.reshape(per_row)


class Projection(nn.Module):
    """The class-dependent term of a projection discriminator: the inner product of an embedding with the features.

    Formula: <embed(y), h>.
    Paper: Miyato & Koyama 2018, "cGANs with projection discriminator", section 3.

    Attributes:
        classes: number of classes.
        outputs: discriminator outputs per example.
    """

    classes: int
    outputs: int

    @nn.compact
    def __call__(self, h: jax.Array, y: jax.Array | None) -> jax.Array:
        """Map features ``(n, f)`` and labels ``(n,)`` to ``(n, outputs)``."""
        features = h.shape[-1]
        # With this scale the inner product initially has the magnitude of one feature.
        init = nn.initializers.normal(1.0 / math.sqrt(features))
        vectors = Embedding(self.classes, self.outputs * features, init)(y)
        return jnp.sum(vectors.reshape(-1, self.outputs, features) * h[:, None], axis=-1)


def normalise(x: jax.Array, train: bool, y: jax.Array | None, classes: int) -> jax.Array:
    """Apply batch norm, class-conditional if ``classes`` is not 0. Call inside a network."""
    return ConditionalBatchNorm(classes)(x, train, y) if classes else batch_norm(train)(x)


def with_label(z: jax.Array, y: jax.Array | None, classes: int) -> jax.Array:
    """Concatenate latents ``(n, d)`` with an embedding of their class: ``(n, 2 d)``; unchanged if ``classes`` is 0.

    The embedding has the dimension and initially the scale of the latent, so that neither dominates the other.
    """
    return jnp.concatenate([z, Embedding(classes, z.shape[-1])(y)], axis=-1) if classes else z


def with_one_hot(x: jax.Array, y: jax.Array | None, classes: int) -> jax.Array:
    """Return ``x`` ``(n, features)`` followed by the one-hot vectors of the labels ``y`` ``(n,)``; ``x`` if there are
    no ``classes``. Raise ValueError without labels."""
    if not classes:
        return x
    if y is None:
        raise ValueError(f"a network of {classes} classes needs labels y")
    return jnp.concatenate([x, jax.nn.one_hot(y, classes, dtype=x.dtype)], axis=-1)

"""Small flows with random parameters, and the log-determinants that automatic differentiation gives."""

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.flow.options import NeuralSpline, RealNvp

SPLINE = NeuralSpline(couplings=3, hidden=(6,), bins=4, bound=2.0)
AFFINE = RealNvp(couplings=5, hidden=(6,))
CONVOLUTIONAL = RealNvp(couplings=4, width=4, blocks=1)
PAIRS = RealNvp(couplings=2, width=4, blocks=1)
FLOWS = {
    "spline of 1": (SPLINE, (1,)),
    "spline of 2": (SPLINE, (2,)),
    "spline of 5": (SPLINE, (5,)),
    "spline of an image": (SPLINE, (2, 2, 1)),
    "realnvp of 2": (AFFINE, (2,)),
    "realnvp of 5": (AFFINE, (5,)),
    "realnvp of 4x4x1": (CONVOLUTIONAL, (4, 4, 1)),
    "realnvp of 8x8x3": (PAIRS, (8, 8, 3)),
}


def drawn(module, *inputs, scale=0.5, seed=0):
    """Variables of ``module`` with normal parameters; ``scale`` is their standard deviation."""
    shapes = jax.eval_shape(lambda key: module.init(key, *inputs), jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape)), shapes)


def by_differentiation(function, x, y=None):
    """log|det| of the Jacobian of ``function`` at each example of ``x`` ``(n, ...)``, with the labels ``y``, if any."""

    def of_one(given):
        row, *label = given
        matrix = jax.jacobian(lambda one: function(one[None], *(part[None] for part in label))[0].ravel())(row)
        return jnp.linalg.slogdet(matrix.reshape(row.size, row.size))[1]

    return jax.lax.map(of_one, (x,) if y is None else (x, y))

"""Variables that nothing about the start hides behind: what begins at zero or one is noise here too."""

import jax
import jax.numpy as jnp
import numpy as np


def drawn(module, *data, **more):
    """Variables of ``module`` for such inputs, drawn at random; no initializer is compiled for that."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *data, train=False, **more))
    rng = np.random.default_rng(1)
    filled = jax.tree.map(lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape), jnp.float32), shapes)
    if "batch_stats" in filled:
        filled["batch_stats"] = jax.tree.map(lambda leaf: 1.0 + jnp.abs(leaf), filled["batch_stats"])
    return filled

"""A machine of 8 visible units and hidden layers of 4 and 3 units, tabulated in double precision."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.methods.dbm.dbm import Dbm
from ganrun.methods.method_option import as_arrays
from ganrun.optimizers import Sgd

VISIBLE, HIDDEN, TOP, SHAPE = 8, 4, 3, (4, 2, 1)


def states(units):
    return np.array(list(itertools.product((0.0, 1.0), repeat=units)))


V, H1, H2 = states(VISIBLE), states(HIDDEN), states(TOP)
SIZES = {
    "weights": (VISIBLE, HIDDEN),
    "top_weights": (HIDDEN, TOP),
    "visible_bias": (VISIBLE,),
    "hidden_bias": (HIDDEN,),
    "top_bias": (TOP,),
}
SGD = {"learning_rate": 0.1, "decay_rate": 0.0, "minimum_rate": 0.0}
SGD |= {"momentum": 0.0, "final_momentum": 0.0, "momentum_steps": 1.0}


def parameters(strength, seed=0):
    """Random parameters; the weights have the standard deviation ``strength``."""
    rng = np.random.default_rng(seed)
    scales = {name: strength if name.endswith("weights") else 1.0 for name in SIZES}
    return {name: np.float32(scales[name] * rng.normal(size=size)) for name, size in SIZES.items()}


class Enumerated:
    """The distribution of a machine by enumeration of all states of its layers, without the code under test."""

    def __init__(self, params):
        params = {name: np.asarray(array, np.float64) for name, array in params.items()}
        below = (V @ params["visible_bias"])[:, None, None] + (V @ params["weights"] @ H1.T)[:, :, None]
        above = (H1 @ params["top_weights"] @ H2.T)[None] + (H2 @ params["top_bias"])[None, None]
        self.log_joint = below + above + (H1 @ params["hidden_bias"])[None, :, None]  # (v, h1, h2), unnormalised
        top = self.log_joint.max()
        self.log_z = top + np.log(np.exp(self.log_joint - top).sum())
        self.joint = np.exp(self.log_joint - self.log_z)
        self.log_p = np.log(self.joint.sum(axis=(1, 2)))

    def bound(self, index, first, second):
        """E_q[log p(v, h1, h2)] + H(q) of the state number ``index`` and q with means ``first`` and ``second``."""
        q = np.outer(probabilities(H1, first), probabilities(H2, second))
        return float(np.sum(q * (self.log_joint[index] - self.log_z - np.log(q))))


def probabilities(states, means):
    means = np.asarray(means, np.float64)
    return np.prod(np.where(states == 1.0, means, 1.0 - means), axis=1)


def small(**more):
    settings = {"optimizer": Sgd(decay="constant"), "batch_size": 4, "shape": SHAPE, "hidden": HIDDEN, "top": TOP}
    settings |= {"persistent": True, "sample_steps": 10, "ais_chains": 100, "ais_steps": 1000, "mean_field_steps": 30}
    return Dbm(**{"module": None, **settings, **more})


def hparams(learning_rate=0.1, **own):
    own = {"gibbs_steps": 1, "first_gibbs_steps": 1, "weight_decay": 0.0} | own
    run = {"run": {"steps": 100.0, "log_every": 10}, "ema": {"decay": 0.0}}
    return as_arrays(run | {"optimizer": {"generator": SGD | {"learning_rate": learning_rate}}, "method": own})


def images(v):
    """Images in [-1, 1] of visible units, whose binarisation draws nothing."""
    return jnp.asarray(2.0 * np.asarray(v, np.float32) - 1.0).reshape(-1, *SHAPE)


def begun(method, seed=0):
    return method.init(jax.random.key(seed), hparams(), jnp.zeros((1, *SHAPE)))

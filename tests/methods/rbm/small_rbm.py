"""A machine of 10 visible and 10 hidden units whose joint distribution is tabulated in double precision."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.methods.method_option import as_arrays
from ganrun.methods.rbm.rbm import Rbm
from ganrun.optimizers import Sgd

UNITS, SHAPE = 10, (5, 2, 1)
STATES = np.array(list(itertools.product((0.0, 1.0), repeat=UNITS)))  # (1024, 10)
HPARAMS = {
    "run": {"steps": 100.0, "log_every": 10},
    "ema": {"decay": 0.9},
    "method": {"gibbs_steps": 1, "weight_decay": 0.0},
}
SGD = {"learning_rate": 0.1, "decay_rate": 0.0, "minimum_rate": 0.0}
SGD |= {"momentum": 0.0, "final_momentum": 0.0, "momentum_steps": 1.0}


def parameters(strength, seed=0):
    """Random parameters; the weights have the standard deviation ``strength``."""
    rng = np.random.default_rng(seed)
    weights = strength * rng.normal(size=(UNITS, UNITS))
    biases = {name: rng.normal(size=UNITS) for name in ("visible_bias", "hidden_bias")}
    return {name: np.float32(array) for name, array in {"weights": weights, **biases}.items()}


def bimodal(strength):
    """Two modes, all units 0 and all units 1, which are equally likely by symmetry: (v, h) -> (1 - v, 1 - h)."""
    weights = np.full((UNITS, UNITS), strength)
    biases = {name: np.full(UNITS, -strength * UNITS / 2) for name in ("visible_bias", "hidden_bias")}
    return {name: np.float32(array) for name, array in {"weights": weights, **biases}.items()}


class Enumerated:
    """The distribution of a machine by enumeration of all states of both layers, without the code under test."""

    def __init__(self, params):
        params = {name: np.asarray(array, np.float64) for name, array in params.items()}
        visible, hidden = STATES @ params["visible_bias"], STATES @ params["hidden_bias"]
        log_joint = visible[:, None] + hidden[None, :] + STATES @ params["weights"] @ STATES.T
        top = log_joint.max()
        self.log_unnormalised = top + np.log(np.exp(log_joint - top).sum(axis=1))  # of v: -F(v)
        self.log_z = top + np.log(np.exp(log_joint - top).sum())
        self.joint = np.exp(log_joint - self.log_z)  # (v, h)
        self.p = self.joint.sum(axis=1)

    def transition(self):
        """The matrix of P(v'|v) = sum_h p(v'|h) p(h|v)."""
        return (self.joint / self.p[:, None]) @ (self.joint / self.joint.sum(axis=0)).T


def total_variation(p, q):
    return 0.5 * np.abs(p - q).sum()


def numbers(v):
    """The index in STATES of each of the states ``v`` ``(n, 10)``."""
    return (np.asarray(v) @ 2.0 ** np.arange(UNITS)[::-1]).astype(int)


def small(**more):
    settings = {"optimizer": Sgd(decay="constant"), "batch_size": 4, "shape": SHAPE, "hidden": UNITS}
    settings |= {"persistent": True, "sample_steps": 10, "ais_chains": 20, "ais_steps": 30}
    return Rbm(**{"module": None, **settings, **more})


def hparams(learning_rate=0.1, **own):
    optimizer = {"generator": SGD | {"learning_rate": learning_rate}}
    own = HPARAMS["method"] | own
    own.setdefault("first_gibbs_steps", own["gibbs_steps"])
    return as_arrays(HPARAMS | {"optimizer": optimizer, "method": own})


def begun(method, seed=0):
    return method.init(jax.random.key(seed), hparams(), jnp.zeros((1, *SHAPE)))


def images(v):
    """Images in [-1, 1] of visible units, whose binarisation draws nothing."""
    return jnp.asarray(2.0 * np.asarray(v, np.float32) - 1.0).reshape(-1, *SHAPE)

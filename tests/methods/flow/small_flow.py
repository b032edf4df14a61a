"""A small flow, its hyperparameters, and a flow of which every number is known."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ganrun.architectures.flow.options import NeuralSpline, RealNvp
from ganrun.methods.flow.flow import Flow
from ganrun.methods.method_option import as_arrays
from ganrun.methods.single_loss import CLASSES
from ganrun.optimizers import Sgd

SGD = {"momentum": 0.0, "final_momentum": 0.0, "momentum_steps": 1.0}
SPLINE = NeuralSpline(couplings=2, hidden=(5,), bins=4, bound=3.0)
AFFINE = RealNvp(couplings=2, hidden=(5,), width=3, blocks=1)
SHARES = (0.2, 0.5, 0.3)  # frequencies of the classes


def small(shape=(2,), option=SPLINE, classes=0, module=None, **more):
    module = module or option.build_flow(shape, classes)
    settings = {"optimizer": Sgd(decay="constant"), "batch_size": 4, "classes": classes}
    return Flow(**{"module": module, "shape": shape, **settings, **more})


def hparams(classes=0, **optimizer):
    rule = {"learning_rate": 0.01, "decay_rate": 0.0, "minimum_rate": 0.0} | SGD | optimizer
    found = {"run": {"steps": 100.0, "log_every": 10}, "optimizer": {"generator": rule}, "ema": {"decay": 0.9}}
    return as_arrays(found | ({CLASSES: SHARES} if classes else {}))


def begun(method, seed=0):
    return method.init(jax.random.key(seed), hparams(method.classes), jnp.zeros((1, *method.shape)))


def drawn(method, scale=0.3, seed=0):
    """Variables with normal parameters, of the precision that is enabled; ``scale`` is their standard deviation."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: method.initial(jax.random.key(0), jnp.zeros((1, *method.shape))))
    params = jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape)), shapes["params"])
    return {"params": params, "batch_stats": {CLASSES: jnp.asarray(SHARES)} if method.classes else {}}


class Shift(nn.Module):
    """z = x + shift, flattened; with classes, plus the label."""

    shape: tuple[int, ...]

    def setup(self):
        self.shift = self.param("shift", nn.initializers.zeros, ())

    def _moved(self, y):
        return self.shift + (0.0 if y is None else y[:, None].astype(jnp.float32))

    def __call__(self, x, y=None):
        return x.reshape(x.shape[0], -1) + self._moved(y), jnp.zeros(x.shape[0])

    def inverse(self, z, y=None):
        return (z - self._moved(y)).reshape(-1, *self.shape)

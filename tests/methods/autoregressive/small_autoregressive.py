"""Small autoregressive models, their hyperparameters, and a sampler that computes whole examples for every element."""

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.masked_mlp import Fvsbn, Made, sequences
from ganrun.architectures.pixelcnn import PixelCnnOption
from ganrun.keys import key_for
from ganrun.methods.autoregressive.autoregressive import Autoregressive
from ganrun.methods.autoregressive.conditionals import conditional_of
from ganrun.methods.method_option import as_arrays
from ganrun.optimizers import Sgd

HPARAMS = {
    "run": {"steps": 100.0, "log_every": 10},
    "optimizer": {"generator": {"learning_rate": 0.01, "decay_rate": 0.0, "minimum_rate": 0.0}},
    "ema": {"decay": 0.9},
}
SGD = {"momentum": 0.0, "final_momentum": 0.0, "momentum_steps": 1.0}
OPTIONS = {
    "fvsbn": Fvsbn(),
    "made": Made(hidden=(7, 9)),
    "made of 3 orders": Made(hidden=(7, 9), orders=3, activation="tanh"),
    "made of hidden units": Made(hidden=(11,), direct=False),
    "pixelcnn": PixelCnnOption(features=5, layers=2),
}


def small(name, shape, kind="bernoulli", classes=0, components=3, **more):
    conditional = conditional_of(kind, components)
    module = OPTIONS[name].build_autoregressive(shape, conditional.outputs, classes)
    settings = {"optimizer": Sgd(decay="constant"), "batch_size": 4, "classes": classes, **more}
    return Autoregressive(module=module, conditional=conditional, orders=module.orders, **settings)


def hparams(classes=0, **optimizer):
    rule = HPARAMS["optimizer"]["generator"] | SGD | optimizer
    frequencies = {"class_probabilities": tuple(range(1, classes + 1))} if classes else {}
    return as_arrays(HPARAMS | {"optimizer": {"generator": rule}} | frequencies)


def random_variables(method, shape, seed=0, scale=0.6):
    """Variables whose parameters are all random, also those that are 0 before the first step."""
    rng = np.random.default_rng(seed)
    start = method.initial(jax.random.key(0), jnp.zeros((1, *shape)))
    dtype = jnp.asarray(0.0).dtype
    variables = jax.tree.map(lambda leaf: jnp.asarray(scale * rng.normal(size=leaf.shape), dtype), start)
    if method.classes:
        frequencies = np.arange(1, method.classes + 1)
        variables["batch_stats"] = {"class_probabilities": jnp.asarray(frequencies / frequencies.sum(), dtype)}
    return variables


def drawn_naively(method, variables, shape, key, n, labels=None):
    """What a model draws and shows if the outputs of whole examples are computed for every element, ``(n, *shape)``."""
    size, rows = int(np.prod(shape)), np.arange(n)
    orders = np.zeros(n, int)
    if method.orders > 1:
        orders = np.asarray(jax.random.randint(key_for(key, "order"), (n,), 0, method.orders))
    sequence = sequences(size, method.orders)
    drawn, shown = (np.full((n, size), fill, np.float32) for fill in (0.3, np.nan))  # 0.3: must not matter
    for t in range(size):
        x = jnp.asarray(drawn.reshape(n, *shape))
        outputs = [
            np.asarray(method.module.apply({"params": variables["params"]}, x, labels, order)).reshape(n, size, -1)
            for order in range(method.orders)
        ]
        element = sequence[orders, t]
        parameters = jnp.asarray(np.stack(outputs)[orders, rows, element])
        value = method.conditional.draw(parameters, key_for(key, "element", t))
        drawn[rows, element] = value
        shown[rows, element] = method.conditional.shown(parameters, value)
    return drawn.reshape(n, *shape), shown.reshape(n, *shape)

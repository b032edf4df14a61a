"""A small VAE and its hyperparameters."""

import jax
import jax.numpy as jnp

from ganrun.architectures.autoencoder import MlpAutoencoder
from ganrun.methods.likelihoods import LIKELIHOODS
from ganrun.methods.method_option import as_arrays
from ganrun.methods.vae.vae import Vae
from ganrun.optimizers import Sgd

HPARAMS = {
    "run": {"steps": 100.0, "log_every": 10},
    "optimizer": {"generator": {"learning_rate": 0.01, "decay_rate": 0.0, "minimum_rate": 0.0}},
    "ema": {"decay": 0.9},
    "method": {"beta": 1.0, "free_bits": 0.0},
}
SGD = {"momentum": 0.0, "final_momentum": 0.0, "momentum_steps": 1.0}


def small(kind="gaussian", shape=(3,), latents=2, hidden=(5,), classes=0, **more):
    likelihood = LIKELIHOODS[kind]
    module = MlpAutoencoder(shape, latents, likelihood.OUTPUTS, hidden, hidden, "tanh", classes)
    settings = {"optimizer": Sgd(decay="constant"), "latent_dim": latents, "batch_size": 4, "importance_samples": 7}
    settings["classes"] = classes
    return Vae(**{"module": module, "likelihood": likelihood, **settings, **more})


def hparams(**optimizer):
    rule = HPARAMS["optimizer"]["generator"] | SGD | optimizer
    return as_arrays(HPARAMS | {"optimizer": {"generator": rule}})


def begun(method, shape=(3,), seed=0):
    return method.init(jax.random.key(seed), hparams(), jnp.zeros((1, *shape)))

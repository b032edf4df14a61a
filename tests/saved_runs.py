"""Run directories with a checkpoint of random weights, for tests that need a model and no training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from run_folders import make_run

from ganrun import datasets
from ganrun.config.settings import Train
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import Checkpoints

SMALL: dict[str, Any] = {
    "width": 4,
    "generator_hidden": (8,),
    "discriminator_hidden": (8,),
    "encoder_hidden": (8,),
    "decoder_hidden": (8,),
    "hidden": (8,),
    "features": 4,
    "layers": 1,
    "couplings": 2,
    "bins": 4,
}
SMALL_METHOD: dict[str, Any] = {"hidden": 128, "sample_steps": 8}


def with_small_networks(config: Train) -> Train:
    """Return ``config`` with few units, whichever its architecture and its method are."""
    small = {
        "architecture": with_fields(config.architecture, SMALL),
        "method": with_fields(config.method, SMALL_METHOD),
    }
    return dataclasses.replace(config, **small)


def with_fields(option: Any, values: dict[str, Any]) -> Any:
    """Return ``option`` with those of ``values`` that it has; None if it is None."""
    fields = {field.name for field in dataclasses.fields(option)} if option is not None else set()
    # A convolutional VAE has one dense layer, others have several.
    changes = {
        name: value[0] if isinstance(value, tuple) and isinstance(getattr(option, name), int) else value
        for name, value in values.items()
        if name in fields
    }
    return dataclasses.replace(option, **changes) if changes else option


def random_state(config: Train, seed: int = 0) -> Any:
    """Return a state of ``config`` with random numbers in place of its arrays of floats, without compiling anything."""
    rng = np.random.default_rng(seed)
    shape = datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=None)

    def drawn(path: Any, leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(seed)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        positive = jax.tree_util.keystr(path).endswith("['var']")  # the variances of batch normalisation
        values = rng.uniform(0.5, 1.5, leaf.shape) if positive else rng.normal(0, 0.3, leaf.shape)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree_util.tree_map_with_path(drawn, Experiment(config, shape).abstract())


def saved_run(folder: Path, config: Train, step: int = 7, seed: int = 0) -> Path:
    """Write a run directory whose only checkpoint, that of ``step``, has random weights."""
    make_run(folder, config, {"loss/generator": 0.5})
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(step, dataclasses.replace(random_state(config, seed), step=jnp.int32(step)), {})
    checkpoints.wait()
    return folder

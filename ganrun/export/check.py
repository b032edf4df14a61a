"""Runs an exported program as another machine would, and compares it with the model that it was exported from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from ganrun import datasets
from ganrun.config.schema import Train
from ganrun.errors import GanrunError
from ganrun.export.programs import Program
from ganrun.keys import key_for
from ganrun.methods.base import Tree
from ganrun.methods.experiment import Experiment

SHOWN = 64  # samples in the picture of an export
TOLERANCE = 1e-5  # maximum difference, relative to the largest value, if that is above 1
Call = Callable[..., jax.Array]


@dataclass(frozen=True)
class Checked:
    """What an exported program returned.

    Attributes:
        samples: ``(n, *shape)`` in the units of the data.
        difference: the largest difference from ganrun's own samples of the same latents; None if it was not compared.
    """

    samples: np.ndarray
    difference: float | None


def inputs_of(program: Program, experiment: Experiment, n: int) -> list[jax.Array]:
    """Return ``n`` inputs of ``program``: draws from the prior or random keys, and the classes in turn."""
    key = key_for(jax.random.key(0), "export")
    prior, classes = experiment.method.prior, experiment.method.classes
    values: dict[str, Callable[[], jax.Array]] = {
        "latents": lambda: prior.draw(key, n),  # type: ignore[union-attr]
        "keys": lambda: jax.vmap(lambda i: jax.random.key_data(key_for(key, "sample", i)))(jnp.arange(n)),
        "labels": lambda: (jnp.arange(n) * classes // n).astype(jnp.int32),
    }
    return [values[one.name]() for one in program.inputs]


def checked(
    program: Program, serialized: bytes, experiment: Experiment, config: Train, variables: Tree, batch: int | None
) -> Checked:
    """Return samples of a ``program``: of its serialized form, if it was exported for the platform of this process.

    Raises:
        GanrunError: they differ from ganrun's own.
    """
    inputs = inputs_of(program, experiment, batch or SHOWN)
    exported = export.deserialize(bytearray(serialized))
    if jax.default_backend().replace("gpu", "cuda") not in exported.platforms:
        return Checked(np.asarray(jax.jit(program.function)(*inputs)), None)
    samples = np.asarray(exported.call(*inputs))
    if program.name != "model":
        return Checked(samples, None)
    expected = datasets.in_data_units(config.dataset, np.asarray(experiment.decode(variables, *inputs)))
    difference = float(np.abs(samples - expected).max())
    # Rounded to bfloat16, both depend on which operations a compiler fuses.
    if config.precision == "f32" and not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise GanrunError(f"the exported program differs from the model by up to {difference:.2g}: nothing is written.")
    return Checked(samples, difference)

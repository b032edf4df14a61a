"""Runs an exported program as another machine would, and compares it with the model that it was exported from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from ganrun import datasets
from ganrun.config.settings import Train
from ganrun.errors import GanrunError
from ganrun.export.programs import Program
from ganrun.keys import key_for
from ganrun.methods.base import Tree
from ganrun.methods.experiment import Experiment

SHOWN = 64  # samples in the picture of an export
TOLERANCE = 1e-5  # maximum difference, relative to the largest value, if that is above 1
ROUNDINGS = 8.0  # or so many times what the smallest change of the latents does, if that is more


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


class Checker:
    """Checks the exported programs of a model.

    Args:
        experiment: of the run.
        config: of the run.
        variables: the weights.
        batch: the number of samples that the programs return; None for any number.
    """

    def __init__(self, experiment: Experiment, config: Train, variables: Tree, batch: int | None) -> None:
        self.experiment, self.config, self.variables, self.n = experiment, config, variables, batch or SHOWN

    def stablehlo(self, program: Program, content: bytes) -> Checked:
        """Return samples of ``program``: of its exported form, if that is for the platform of this process.

        Raises:
            GanrunError: they differ from ganrun's own.
        """
        inputs = inputs_of(program, self.experiment, self.n)
        exported = export.deserialize(bytearray(content))
        if jax.default_backend().replace("gpu", "cuda") not in exported.platforms:
            return Checked(np.asarray(jax.jit(program.function)(*inputs)), None)
        samples = np.asarray(exported.call(*inputs))
        return Checked(samples, self._difference(program, inputs, samples))

    def onnx(self, program: Program, content: bytes) -> Checked:
        """Return samples of ``program`` as ONNX, by ONNX Runtime, which the converter requires.

        Raises:
            GanrunError: they differ from ganrun's own.
        """
        import onnxruntime  # type: ignore[import-not-found]

        inputs = inputs_of(program, self.experiment, self.n)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        named = {one.name: np.asarray(value) for one, value in zip(program.inputs, inputs, strict=True)}
        (samples,) = session.run(None, named)
        return Checked(samples, self._difference(program, inputs, samples))

    def _difference(self, program: Program, inputs: Sequence[jax.Array], samples: np.ndarray) -> float | None:
        if program.name != "model":
            return None
        own = np.asarray(self.experiment.decode(self.variables, *inputs))
        expected = datasets.in_data_units(self.config.dataset, own)
        difference = float(np.abs(samples - expected).max())
        # Rounded to bfloat16, both depend on which operations a compiler fuses.
        if self.config.precision == "f32" and not difference <= self._tolerance(inputs, expected):
            raise GanrunError(
                f"the exported program differs from the model by up to {difference:.2g}: nothing is written."
            )
        return difference

    def _tolerance(self, inputs: Sequence[jax.Array], expected: np.ndarray) -> float:
        """Return the difference from ``expected`` up to which samples count as equal.

        Some models, such as flows, magnify the rounding of single operations. How much shows in what the smallest
        change of the latents does.
        """
        latents, *others = inputs
        changed = jnp.asarray(np.nextafter(np.asarray(latents), np.float32(np.inf)))
        moved = datasets.in_data_units(
            self.config.dataset, np.asarray(self.experiment.decode(self.variables, changed, *others))
        )
        change = float(np.abs(moved - expected).max())
        return max(TOLERANCE * max(1.0, float(np.abs(expected).max())), ROUNDINGS * change)

"""The functions of a trained model that are exported, and their lowering to StableHLO.

The weights are constants of the programs. A program has no operation of ganrun's own: the convolutions are XLA's
(:meth:`ganrun.methods.base.Method.for_export`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from ganrun import datasets
from ganrun.config.settings import Train
from ganrun.errors import GanrunError, shown
from ganrun.methods.base import Method, Tree
from ganrun.methods.experiment import Experiment
from ganrun.methods.precision import with_float32_products

CUSTOM_CALL = re.compile(r"stablehlo\.custom_call @(\w+)")
TRACEBACKS = {"jax_include_full_tracebacks_in_locations": False, "jax_hlo_source_file_canonicalization_regex": ".*"}
# Calls that are resolved when a program with a symbolic batch is loaded, before it is compiled for any platform.
RESOLVED_CALLS = ("shape_assertion",)


@dataclass(frozen=True)
class Input:
    """An input of a program.

    Attributes:
        name: of the input.
        shape: without the batch, which is the first axis.
        dtype: of its elements.
        meaning: what it is, for the model card.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str


@dataclass(frozen=True)
class Program:
    """A function to be exported.

    Attributes:
        name: ``model`` or ``sample``.
        inputs: its arguments.
        function: returns samples ``(batch, *shape)`` in the units of the data.
        meaning: what it returns, for the model card.
    """

    name: str
    inputs: tuple[Input, ...]
    function: Callable[..., jax.Array]
    meaning: str


def programs_of(experiment: Experiment, config: Train, variables: Tree) -> list[Program]:
    """Return the programs of a model with the weights ``variables``.

    ``model`` maps latents to samples, or to their means if samples have noise of their own. Then, or if there are no
    latents, ``sample`` maps random keys to samples, one key for each.
    """
    method = experiment.method.for_export()
    labels: tuple[Input, ...] = ()
    if method.classes:
        labels = (Input("labels", (), "int32", f"classes, 0 to {method.classes - 1}"),)

    def decode(latents: jax.Array, *y: jax.Array) -> jax.Array:
        return _in_data_units(config, method.decode(variables, latents, *y))

    def draw(keys: jax.Array, *y: jax.Array) -> jax.Array:
        def one(key: jax.Array, *label: jax.Array) -> jax.Array:
            given = tuple(jnp.reshape(one, (1,)) for one in label)
            return method.sample(variables, experiment.hparams, jax.random.wrap_key_data(key), 1, *given)[0]

        return _in_data_units(config, jax.vmap(one)(keys, *y))

    found, pushes = [], "push" in method.capabilities
    if (prior := method.prior) is not None and "decode" in method.capabilities:
        latents = Input("latents", (prior.dim,), "float32", _meaning_of_latents(method))
        meaning = "samples" if pushes else "means of the samples given their latents, without the noise of samples"
        found.append(Program("model", (latents, *labels), decode, meaning))
    if not pushes:
        keys = Input("keys", (2,), "uint32", "random keys of JAX (threefry), one for each sample")
        found.append(Program("sample", (keys, *labels), draw, "samples, as `ganrun sample` draws them"))
    return found


def _meaning_of_latents(method: Method) -> str:
    assert method.prior is not None
    kind = "uniform on [-1, 1]" if method.prior.name == "uniform" else "standard normal"
    return f"latents, independent and {kind}"


def _in_data_units(config: Train, x: jax.Array) -> jax.Array:
    return jnp.asarray(datasets.in_data_units(config.dataset, x), jnp.float32)  # type: ignore[arg-type]


def lowered(program: Program, batch: int | None, platforms: Sequence[str]) -> export.Exported:
    """Return ``program`` as StableHLO for ``platforms``.

    Args:
        program: the program.
        batch: the number of samples; None for a symbolic dimension, which is any number of at least 1.
        platforms: some of :data:`ganrun.export.request.PLATFORMS`.

    Raises:
        GanrunError: the program cannot be traced with a symbolic batch, or has an operation that is not of XLA.
    """
    size = export.symbolic_shape("batch")[0] if batch is None else batch
    arguments = [jax.ShapeDtypeStruct((size, *one.shape), np.dtype(one.dtype)) for one in program.inputs]
    function = jax.jit(with_float32_products(program.function))
    try:
        with _without_tracebacks():
            exported = export.export(function, platforms=tuple(platforms))(*arguments)
    except Exception as error:  # any network, also that of a plugin, may fail in a way of its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        advice = ": try a fixed one, such as batch=64" if batch is None else ""
        raise GanrunError(
            f"the model cannot be exported with batch={'symbolic' if batch is None else batch}{advice} "
            f"({type(error).__name__}: {shown(lines[0], 300)})."
        ) from error
    if foreign := foreign_calls(exported.mlir_module()):
        raise GanrunError(f"the model has an operation that other machines may lack: {', '.join(foreign)}.")
    return exported


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Return a context in which JAX does not store the lines of the Python code that an operation comes from.

    They contain paths of this machine, and depend on how a program was called.
    """
    before = {name: getattr(jax.config, name) for name in TRACEBACKS}
    for name, value in TRACEBACKS.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def foreign_calls(module: str) -> list[str]:
    """Return the names of the calls in the StableHLO text ``module`` to code that is not part of StableHLO."""
    return sorted(set(CUSTOM_CALL.findall(module)) - set(RESOLVED_CALLS))

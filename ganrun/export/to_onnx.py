"""A program as ONNX, by the package jax2onnx. It requires old versions of others, hence an environment of its own."""

from __future__ import annotations

import logging

import jax
import numpy as np
from jax import export

from ganrun.errors import GanrunError, shown
from ganrun.export.programs import Program

CONVERTER = "jax2onnx"


def onnx_of(program: Program, batch: int | None) -> bytes:
    """Return ``program`` as an ONNX model, whose inputs and output have the names of those of the program.

    Args:
        program: the program; it maps latents to samples.
        batch: the number of samples; None for a symbolic dimension.

    Raises:
        GanrunError: the program draws random numbers, or the converter does not know one of its operations.
    """
    if program.name != "model":
        raise GanrunError("formats=[onnx] needs a method whose samples are a function of latents; this run's is not.")
    from jax2onnx import to_onnx  # type: ignore[import-not-found]

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of types that it leaves to the runtime

    size = export.symbolic_shape("batch")[0] if batch is None else batch
    inputs = [jax.ShapeDtypeStruct((size, *one.shape), np.dtype(one.dtype)) for one in program.inputs]
    try:
        model = to_onnx(
            program.function,
            inputs,
            model_name="ganrun",
            input_names=[one.name for one in program.inputs],
            output_names=["samples"],
        )
    except Exception as error:  # a converter of hundreds of operations fails in as many ways
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise GanrunError(
            f"{CONVERTER} cannot convert the model ({type(error).__name__}: {shown(lines[0], 300)})."
        ) from error
    return model.SerializeToString()

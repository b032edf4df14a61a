"""The weights of a run by name, and as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save as to_safetensors

from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import RunState
from ganrun.storage.state_arrays import flatten


def weights_of(experiment: Experiment, state: RunState, average: bool, networks: str) -> dict[str, np.ndarray]:
    """Return the arrays of the networks by name, such as ``generator/params/Dense_0/kernel``.

    Args:
        experiment: of the run.
        state: of the run.
        average: whether those of the moving average are returned, where there is one.
        networks: ``generator`` for the network that samples are drawn from, or ``all``.
    """
    named = experiment.method.networks(state.model, average)
    if networks == "generator":
        first = next(iter(named))
        named = {first: named[first]}
    return {
        f"{network}/{name}": np.ascontiguousarray(array)  # the library writes the buffer of an array as it is
        for network, variables in named.items()
        for name, array in flatten(variables).items()
    }


def safetensors_of(arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> bytes:
    """Return a safetensors file of ``arrays``, with ``facts`` as its metadata, which are texts."""
    return to_safetensors(dict(arrays), {"format": "flax"} | {name: str(value) for name, value in facts.items()})

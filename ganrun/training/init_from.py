"""Starts a run from the weights of another run: the setting ``init_from``.

Arrays are matched by their path in the model and by their shape. The state of the optimizers, the step and everything
else begin as in any run. The first checkpoint is that of step 0, so that a resumed run does not need the other run.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.load_run import load_run
from ganrun.methods.base import Method, Tree
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import RunState
from ganrun.storage.checkpoints import STATE
from ganrun.storage.run_directory import INITIAL, load_config, relative, write_atomically
from ganrun.storage.state_arrays import flatten, named, unflatten

if TYPE_CHECKING:
    from ganrun.training.session import RunSession

SHOWN = 3  # arrays that the terminal lists
SOURCES = 4  # sources in memory, for the members of a population and the runs of a sweep


@dataclasses.dataclass(frozen=True)
class Source:
    """The weights of a run.

    Attributes:
        checkpoint: the folder that they were read from.
        sha256: of the file with its arrays, hexadecimal.
        arrays: by path in the model.
    """

    checkpoint: Path
    sha256: str
    arrays: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Taken:
    """Which arrays a run takes from a source.

    Attributes:
        source: the source.
        taken: the arrays that are taken, by path.
        left: the arrays of the run that keep their own initial values, each with the reason.
        unused: the other arrays of the source, whose paths the run does not have.
    """

    source: Source
    taken: list[str]
    left: dict[str, str]
    unused: list[str]


@functools.lru_cache(maxsize=SOURCES)
def read_source(checkpoint: str) -> Source:
    """Return the weights in the folder ``checkpoint`` of a run, as a config's ``init_from`` names it.

    Raises:
        ConfigError: the run cannot be read.
        GanrunError: the checkpoint cannot be read.
    """
    folder = Path(checkpoint)
    run = folder.parents[1]
    experiment, state = load_run(run, load_config(run), folder.name)
    digest = hashlib.sha256((folder / STATE).read_bytes()).hexdigest()
    return Source(folder, digest, flatten(weights(experiment.method, state.model)))


def weights(method: Method, model: Tree) -> dict[str, Any]:
    """Return the arrays of ``model`` that belong to its networks, by path."""
    without = set(method.NOT_WEIGHTS)
    return {name: leaf for name, leaf in named(model).items() if without.isdisjoint(name.split("/"))}


def matched(experiment: Experiment, source: Source) -> Taken:
    """Return which arrays a run of ``experiment`` takes from ``source``.

    Raises:
        ConfigError: there is none.
    """
    own = weights(experiment.method, experiment.abstract().model)
    reasons = {name: _reason(own.get(name), source.arrays.get(name)) for name in own | source.arrays}
    taken = [name for name, reason in reasons.items() if reason is None]
    if not taken:
        where = relative(source.checkpoint)
        raise ConfigError(
            f"init_from: no array of {where} has the path and the shape of one of this run, "
            f"for instance {next((f'{name}: {reason}' for name, reason in reasons.items() if name in own), 'none')}."
        )
    kept = {name: reason for name, reason in reasons.items() if reason is not None}
    return Taken(
        source,
        taken,
        left={name: reason for name, reason in kept.items() if name in own},
        unused=[name for name in kept if name not in own],
    )


def _reason(own: Any, other: np.ndarray | None) -> str | None:
    """Return why an array of this run is not replaced by that of the source of the same path; None if it is."""
    if other is None:
        return "the source has no such array"
    if own is None:
        return "this run has no such array"
    if own.shape != other.shape:
        return f"shape {tuple(own.shape)} in this run, {other.shape} in the source"
    return None if own.dtype == other.dtype else f"type {own.dtype} in this run, {other.dtype} in the source"


def with_weights(state: RunState, taken: Taken) -> RunState:
    """Return ``state``, that of a run before its first step, with the arrays of ``taken``."""
    own = named(state.model)
    replaced = {name: jnp.asarray(taken.source.arrays[name]) for name in taken.taken}
    return dataclasses.replace(state, model=unflatten(state.model, own | replaced))


def initial_states(states: list[RunState], sessions: list[RunSession]) -> list[RunState]:
    """Return the ``states`` before the first step with the weights that the runs of ``sessions`` are to start from.

    Keeps what each run takes for :func:`tell_taken`.
    """
    for i, session in enumerate(sessions):
        if session.config.init_from is not None:
            session.taken = matched(session.experiment, read_source(session.config.init_from))
            states[i] = with_weights(states[i], session.taken)
    return states


def tell_taken(session: RunSession) -> None:
    """Report what ``session`` has taken: counts on the terminal, all arrays in ``train.log`` and ``init_from.json``."""
    taken = session.taken
    if taken is None:
        return
    say = session.messages.say
    say(f"initial weights: {len(taken.taken)} arrays taken from {relative(taken.source.checkpoint)}{_others(taken)}")
    for name in taken.taken:
        say(f"- {name}: taken", show=False)
    for name, reason in taken.left.items():
        say(f"- {name}: left, {reason}", show=False)
    for name in taken.unused:
        say(f"- {name}: of the source only", show=False)
    content = {
        "checkpoint": str(taken.source.checkpoint),
        "sha256": taken.source.sha256,
        "taken": taken.taken,
        "left": taken.left,
        "unused": taken.unused,
    }
    write_atomically(session.folder / INITIAL, json.dumps(content, indent=2) + "\n")


def _others(taken: Taken) -> str:
    parts = []
    for kept, what in ((taken.left, "keep their own initial values"), (taken.unused, "of the source are not used")):
        if kept:
            listed = ", ".join(list(kept)[:SHOWN]) + (", ..." if len(kept) > SHOWN else "")
            parts.append(f"; {len(kept)} {what} ({listed})")
    return "".join(parts)

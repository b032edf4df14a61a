"""Rebuilds a power-function average of any width from those that a run has stored."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.errors import GanrunError
from ganrun.methods.base import Tree
from ganrun.methods.experiment import Experiment
from ganrun.methods.power_average import combination, exponent
from ganrun.methods.run_state import EXPONENTS, RunState
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.checksums import Damaged
from ganrun.storage.run_directory import AVERAGES, relative

MOST = 0.1  # largest relative difference between the profiles of a rebuilt average and of the wanted one


def chosen_variables(
    folder: Path, experiment: Experiment, state: RunState, average: bool, sigma_rel: float | None
) -> tuple[Tree, str]:
    """Return the variables that samples are drawn from, and in words which they are.

    Args:
        folder: the run directory.
        experiment: of the run.
        state: of the run, as it was read from a checkpoint.
        average: whether they are averaged; not used with ``sigma_rel``.
        sigma_rel: the width of a power-function average; None for the exponential one.

    Raises:
        GanrunError: the average of this width cannot be rebuilt.
    """
    if sigma_rel is None:
        return experiment.variables(state, average), "averaged" if average else "trained"
    variables, difference = rebuilt(folder, experiment, state, sigma_rel)
    within = f", profile within {100 * difference:.2g} %" if difference else ""
    return variables, f"averaged (sigma_rel={sigma_rel:g}{within})"


def with_average(folder: Path, experiment: Experiment, state: RunState, sigma_rel: float) -> RunState:
    """Return ``state`` with the power-function average of width ``sigma_rel`` in place of the exponential one.

    Raises:
        GanrunError: it cannot be rebuilt.
    """
    variables, _ = rebuilt(folder, experiment, state, sigma_rel)
    return dataclasses.replace(state, model=dataclasses.replace(state.model, average=variables))


def rebuilt(folder: Path, experiment: Experiment, state: RunState, sigma_rel: float) -> tuple[Tree, float]:
    """Return the power-function average of width ``sigma_rel`` at the step of ``state``.

    It is the average that the run keeps if it has this width. Otherwise it is combined from the averages of ``state``
    and those that were stored before. Stored averages that cannot be read are reported on standard error and left out.

    Args:
        folder: the run directory.
        experiment: of the run.
        state: of the run, as it was read from a checkpoint.
        sigma_rel: standard deviation of the profile, relative to the step.

    Returns:
        The variables, and the norm of the difference between the profile of what was combined and that of the average,
        relative to the latter.

    Raises:
        GanrunError: the run keeps no averages, or those stored do not suffice.
    """
    where, step, wanted = relative(folder), int(state.step), exponent(sigma_rel)
    if not state.averages or step == 0:
        raise GanrunError(
            f"{where} has no averages at step {step} from which that of sigma_rel={sigma_rel:g} can be rebuilt: "
            "train with 'ema.sigma_rel=[0.05,0.1]', for instance."
        )
    own = np.asarray(state.hparams["run"][EXPONENTS], np.float64)
    for average, known in zip(state.averages, own, strict=True):
        if math.isclose(known, wanted, rel_tol=1e-6):
            return average, 0.0
    stored = _Stored(Checkpoints(folder / AVERAGES, read_only=True), experiment.abstract().averages)
    steps = stored.readable(step)
    times = np.repeat(np.array([*steps, step], np.float64), len(own))
    found = combination(times, np.tile(own, len(steps) + 1), float(step), wanted)
    if found.difference > MOST:
        raise GanrunError(
            f"sigma_rel={sigma_rel:g} cannot be rebuilt at step {step} of {where}: from {len(own)} averages, stored at "
            f"{len(steps)} steps before, its profile would differ by {found.difference:.0%}."
        )
    averages = itertools.chain((average for saved in steps for average in stored.read(saved)), state.averages)
    return _sum(averages, found.coefficients), found.difference


class _Stored:
    """The averages that a run has stored; ``target`` is their structure."""

    def __init__(self, checkpoints: Checkpoints, target: tuple[Tree, ...]) -> None:
        self.checkpoints, self.target = checkpoints, target

    def read(self, step: int) -> tuple[Tree, ...]:
        return self.checkpoints.read(self.target, step).state

    def readable(self, before: int) -> list[int]:
        """Return the steps ``before`` another one at which averages were stored and can be read."""
        found = []
        for step in self.checkpoints.steps():
            if 0 < step < before:
                try:
                    self.read(step)
                except Damaged as error:
                    print(f"ganrun: {self.checkpoints.unreadable(step, error)} It is left out.", file=sys.stderr)
                else:
                    found.append(step)
        return found


def _sum(averages: Iterable[Tree], coefficients: np.ndarray) -> Tree:
    """Return the sum of ``averages``, each times its coefficient, in float64; what is no float is that of the last."""
    total, last = None, None
    for factor, last in zip(coefficients, averages, strict=True):
        term = jax.tree.map(lambda leaf, by=factor: by * np.asarray(leaf, np.float64), last)
        total = term if total is None else jax.tree.map(np.add, total, term)

    def like(leaf: jax.Array, sum_: np.ndarray) -> jax.Array:
        return jnp.asarray(sum_, leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(like, last, total)

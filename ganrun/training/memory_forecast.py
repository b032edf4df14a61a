"""The memory that training will need at its peak, forecast from the compiled programs before the first step.

On a CPU it is that of the process: what it has in memory once the programs are compiled and the data are loaded, and
what comes on top. On an accelerator it is that of the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import numpy as np

from ganrun.config.settings import Train
from ganrun.evaluation.evaluator import samples_shown
from ganrun.machine.memory import peak_bytes, resident_bytes, return_freed_memory
from ganrun.methods.experiment import Experiment
from ganrun.plots.pictures import points
from ganrun.storage.checkpoints import WAITING
from ganrun.training import device

SHARE = 0.8  # fraction of the free memory that a forecast may take: it is not exact, and others need some too
# Bytes of the host, measured by scripts/bench_memory.py: libraries that are loaded while a run trains, and their work.
LIBRARIES, EVALUATION = 65 << 20, 185 << 20
DENSITIES = 75 << 20  # of the evaluation of samples in the plane whose density is known, besides
LIKELIHOODS = 110 << 20  # of that of held-out examples by a method with a log density


class Measurable(Protocol):
    """An executor whose programs can be compiled and measured."""

    @property
    def experiments(self) -> Sequence[Experiment]: ...

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int: ...


@dataclass(frozen=True)
class MemoryForecast:
    """What training needs, in bytes.

    Attributes:
        members: number of runs.
        used: used already, by the process or on the accelerator.
        fixed: needed besides, however many runs there are.
        per_run: needed besides by each run.
        free: may still be used.
        before: the peak of the process until now, such as that of the compilation; 0 on an accelerator.
    """

    members: int
    used: int
    fixed: int
    per_run: float
    free: int
    before: int = 0

    @property
    def more(self) -> int:
        """Bytes that are needed besides those used already."""
        return int(self.fixed + self.members * self.per_run)

    @property
    def peak(self) -> int:
        return max(self.before, self.used + self.more)

    @property
    def fitting(self) -> int:
        """The number of runs that fit into the memory together, at most ``members``."""
        left = SHARE * self.free - self.fixed
        if left < self.per_run:
            return 0
        return min(self.members, int(left / self.per_run)) if self.per_run else self.members

    def line(self) -> str:
        """Return the forecast in one line."""
        where = "" if jax.default_backend() == "cpu" else f" of the {jax.default_backend().upper()}"
        return f"memory{where}: about {size(self.peak)} at the peak, of {size(self.used + self.free)} that may be used"


def memory_forecast(executor: Measurable, config: Train) -> MemoryForecast:
    """Compile the programs of ``executor``, and return what its training will need.

    Args:
        executor: of one run or of a population.
        config: of one of its runs.
    """
    members, needed = len(executor.experiments), memory(executor, config)
    stats = jax.devices()[0].memory_stats() or {}
    resident = _data_bytes(executor.experiments)  # counted in what is used
    new = max(0, needed - resident)
    if "bytes_limit" in stats:
        return MemoryForecast(members, int(stats.get("bytes_in_use", 0)), 0, new / members, device.free_bytes())
    state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(executor.experiments[0].abstract()))
    data = executor.experiments[0].data
    known = data.density is not None and data.shape == (2,)  # the plane: a density picture on a grid
    likelihood = "log_density" in executor.experiments[0].method.capabilities
    fixed = LIBRARIES + (EVALUATION + DENSITIES * known + LIKELIHOODS * likelihood) * _evaluates(config)
    fixed += min(members * state, max(WAITING, state))  # checkpoints that are written while training goes on
    temporaries = new - members * state
    fixed += max(0, state - temporaries)  # no step is under way while a state is copied, which takes twice its size
    return_freed_memory()
    used, free = resident_bytes(), device.free_bytes()
    return MemoryForecast(members, used, fixed, new / members, free, peak_bytes())


def too_large(what: str, needed: MemoryForecast) -> str:
    """Return the error that ``what`` does not fit into the memory."""
    return (
        f"{what} does not fit the memory: it needs about {size(needed.more)} more, and {size(needed.free)} are free: "
        "choose smaller networks or batches."
    )


def memory(executor: Measurable, config: Train) -> int:
    """Compile ``executor``; return the bytes that training and, if ``config`` enables them, snapshots need."""
    return executor.memory(
        samples_shown(executor.experiments[0]) if _evaluates(config) else 0,
        [points(experiment.data.density) for experiment in executor.experiments],
    )


def _evaluates(config: Train) -> bool:
    return bool(config.log.pictures or config.probe.name != "off" or config.stop.when is not None)


def _data_bytes(experiments: Sequence[Experiment]) -> int:
    """Return the bytes of the arrays that the experiments' data have on the device, each array once."""
    sources = [(one.data.held_out, None if one.streams else one.data.train) for one in experiments]
    return sum({id(array): array.nbytes for array in jax.tree.leaves(sources)}.values())


def size(count: float) -> str:
    """Return ``count`` bytes in the unit that suits it."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"

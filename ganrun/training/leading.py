"""Executors on several hosts: the leader's, which tells the followers each operation, and the loop of a follower."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.experimental import multihost_utils

from ganrun.config.schema import check, to_dict
from ganrun.config.settings import Train
from ganrun.errors import GanrunError
from ganrun.evaluation.evaluator import samples_shown
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import Report, RunState
from ganrun.plots.pictures import points
from ganrun.storage.state_arrays import flatten, named, unflatten
from ganrun.training.build import build, build_all
from ganrun.training.executor import Executor, Population, SingleRun, executor_for, fewer
from ganrun.training.hosts import channel, several
from ganrun.training.mesh import mesh_for
from ganrun.training.signals import StopRequest
from ganrun.training.vmapped import Fetch


class Leader:
    """The executor of the first host. Each call is sent to the followers, which make it with their own executors.

    Only the newest state may be passed to it: followers have no other.

    Args:
        executor: the executor of this host.
        configs: of the runs.

    Raises:
        GanrunError: a follower cannot build the runs, for instance because it has no data.
    """

    def __init__(self, executor: Any, configs: Sequence[Train]) -> None:
        self._executor: Any = executor
        self._channel = channel()
        # Free memory differs from host to host, and decides what feed=auto is: all take what the leader has.
        feed = "streamed" if executor.experiments[0].streams else "resident"
        self._channel.send("build", configs=[to_dict(dataclasses.replace(config, feed=feed)) for config in configs])
        self._channel.confirmed(configs[0].hosts.timeout)

    @property
    def experiments(self) -> Sequence[Experiment]:
        return self._executor.experiments

    @property
    def mesh(self) -> Any:
        return self._executor.mesh

    @property
    def most_steps(self) -> int | None:
        return self._executor.most_steps

    def init(self) -> Any:
        self._channel.send("init")
        return self._executor.init()

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        self._channel.send("memory", snapshots=bool(n))
        return self._executor.memory(n, points)

    def advance(self, state: Any, n: int) -> tuple[Any, Report]:
        self._channel.look()
        self._channel.send("advance", n=n)
        return self._executor.advance(state, n)

    def snapshot(self, state: Any, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        self._channel.send("snapshot")
        return self._executor.snapshot(state, n, points)

    def apart(self, state: Any) -> list[RunState]:
        self._channel.send("apart")
        return self._executor.apart(state)

    def together(self, states: list[RunState]) -> Any:
        self._channel.send("together")
        return self._executor.together(_shared([flatten(state) for state in states], states))

    def freeze(self, state: Any, frozen: Sequence[bool]) -> Any:
        self._channel.send("freeze", frozen=[bool(flag) for flag in frozen])
        return self._executor.freeze(state, frozen)

    def fewer(self, state: Any, members: Sequence[int]) -> tuple[Leader, Any]:
        """Return the executor of some ``members`` and its state."""
        self._channel.send("fewer", members=list(members))
        self._executor, state = fewer(self._executor, state, members)
        return self, state


def led(executor: Any, configs: Sequence[Train]) -> Any:
    """Return ``executor``, or one that leads the followers if there are several hosts."""
    return Leader(executor, configs) if several() else executor


def _shared(arrays: list[dict[str, np.ndarray]], target: list[RunState]) -> list[RunState]:
    """Return the leader's ``arrays`` of the members' states, in the structure of ``target``: a call of all hosts."""
    whole = multihost_utils.broadcast_one_to_all(arrays)
    return [unflatten(state, one) for state, one in zip(target, whole, strict=True)]


@dataclasses.dataclass
class Follower:
    """What a follower has of the leader's runs: an executor, and the newest state."""

    data_dir: str | None
    executor: Any = None
    state: Any = None

    def do(self, message: dict[str, Any]) -> None:
        """Make the call of ``message``."""
        executor, operation = self.executor, message["operation"]
        if operation == "build":
            self.state = None
            try:
                self.executor = self._built([check(config) for config in message["configs"]])
            except (GanrunError, OSError) as error:  # the leader says it, and ends
                channel().confirm(str(error))
            else:
                channel().confirm()
        elif operation == "init":
            self.state = executor.init()
        elif operation == "memory":
            executor.memory(samples_shown(executor.experiments[0]) if message["snapshots"] else 0, self._points())
        elif operation == "advance":
            self.state, _ = executor.advance(self.state, message["n"])
        elif operation == "snapshot":
            executor.snapshot(self.state, samples_shown(executor.experiments[0]), self._points())
        elif operation == "apart":
            executor.apart(self.state)
        elif operation == "together":
            targets = [experiment.abstract() for experiment in executor.experiments]
            empty = [{name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in named(one).items()} for one in targets]
            self.state = executor.together(_shared(empty, targets))
        elif operation == "freeze":
            self.state = executor.freeze(self.state, message["frozen"])
        elif operation == "fewer":
            self.executor, self.state = fewer(executor, self.state, message["members"])

    def _built(self, configs: list[Train]) -> Executor | Population:
        configs = [dataclasses.replace(config, data_dir=self.data_dir) for config in configs]
        if len(configs) == 1:
            return SingleRun(build(configs[0]))
        return executor_for(build_all(configs), mesh_for(configs[0], len(configs)))

    def _points(self) -> list[np.ndarray]:
        return [points(experiment.data.density) for experiment in self.executor.experiments]


def follow(data_dir: str | None) -> int:
    """Follow the leader until it ends, and return its exit code.

    A signal is passed on to the leader, which saves the state and ends all hosts.

    Args:
        data_dir: the folder with datasets of this host.

    Raises:
        GanrunError: the leader is lost.
    """
    follower, messages, told = Follower(data_dir), channel(), False
    with StopRequest() as stop:
        while True:
            message = messages.receive()
            if stop.signal is not None and not told:
                messages.tell(stop.signal)
                told = True
            if message is None:
                continue
            if message["operation"] == "end":
                messages.unwatch()
                messages.confirm()
                return int(message["code"])
            follower.do(message)

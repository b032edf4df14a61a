"""Chooses the mesh of devices of a run or a population from its settings and the devices that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax

from ganrun.config.settings import AUTO, Train
from ganrun.errors import ConfigError
from ganrun.mesh import Mesh

VIRTUAL = 64  # maximum number of virtual devices of a CPU


def cpu_devices(nodes: Iterable[Any], hosts: Any = 1) -> int:
    """Return how many devices the configs ``nodes``, plain and not checked yet, ask for on each of ``hosts``.

    A CPU is given so many virtual ones.
    """
    asked = max((_asked(node) for node in nodes), default=1)
    return min(VIRTUAL, max(1, asked // hosts)) if isinstance(hosts, int) and hosts > 0 else 1


def _asked(node: Any) -> int:
    mesh = node.get("mesh") if isinstance(node, Mapping) else None
    if not isinstance(mesh, Mapping):
        return 1
    counts = [mesh.get(axis) for axis in ("population", "data")]
    numbers = [count if isinstance(count, int) and count > 0 else 1 for count in counts]
    return numbers[0] * numbers[1]


def mesh_for(config: Train, members: int = 1) -> Mesh:
    """Return the mesh for a run, or for a population of ``members`` runs with the settings of ``config``.

    ``auto`` along ``data`` is, for a single run, as many devices as divide its minibatches evenly, and one device for
    each member of a population. Along ``population`` it is all other devices, but no more than there are members.

    Raises:
        ConfigError: there are not so many devices, or they cannot have equally many examples of each minibatch.
    """
    settings, devices = config.mesh, jax.device_count()
    population = 1 if members == 1 else settings.population
    rows = config.batch_size // _packing(config)
    if settings.data != AUTO:
        data = int(settings.data)
    elif members > 1 or devices == 1:
        data = 1
    else:
        data = max(count for count in range(1, devices + 1) if rows % count == 0)
    if population == AUTO:
        population = max(1, devices // data)
    population = int(population)
    if jax.process_count() == 1:  # several hosts all take part: members are repeated instead
        population = min(population, members)
    if population * data > devices:
        raise ConfigError(_too_few(population, data, devices))
    if population * data < devices and jax.process_count() > 1:
        raise ConfigError(
            f"{jax.process_count()} hosts have {devices} devices, and the mesh {population * data} "
            f"({population} along population, {data} along data): with several hosts it must use all."
        )
    if rows % data:
        packs = f", in packs of {_packing(config)}," if _packing(config) > 1 else ""
        raise ConfigError(
            f"mesh.data={data}: batch_size={config.batch_size}{packs} cannot be divided evenly among {data} devices."
        )
    sharded = settings.parameters == "sharded" and data > 1
    return Mesh(population, data, sharded)


def _packing(config: Train) -> int:
    return 1 if config.inputs is None else config.inputs.packing


def _too_few(population: int, data: int, devices: int) -> str:
    asked = [f"mesh.{axis}={count}" for axis, count in (("population", population), ("data", data)) if count > 1]
    have = "1 device" if devices == 1 else f"{devices} devices"
    return f"{' and '.join(asked)} need{'s' if len(asked) == 1 else ''} {population * data} devices; JAX has {have}."

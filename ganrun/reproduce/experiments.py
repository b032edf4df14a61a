"""The experiments by name, each a function from a workspace to findings."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganrun.errors import ConfigError, instead
from ganrun.reproduce.finding import Finding

if TYPE_CHECKING:
    from ganrun.reproduce.workspace import Workspace

PARTS = ("ganrun.reproduce.theory", "ganrun.reproduce.tables")
Run = Callable[["Workspace"], Iterable[Finding]]


@dataclass(frozen=True)
class Experiment:
    """One reproduction.

    Attributes:
        name: what is typed, such as ``k-steps``.
        source: where the numbers were claimed or published.
        shows: what it shows, in one sentence.
        minutes: about how many minutes it takes on two cores with ``budget=quick`` and ``budget=full``.
        run: trains and measures.
        claims: the numbers of the claims that it tests; none: it is a published table.
        needs_gpu: it takes hours without one, so that ``all`` leaves it out where there is none.
    """

    name: str
    source: str
    shows: str
    minutes: tuple[float, float]
    run: Run
    claims: tuple[int, ...] = ()
    needs_gpu: bool = False


_experiments: dict[str, Experiment] = {}


def experiment(
    name: str, source: str, shows: str, minutes: tuple[float, float], *claims: int, needs_gpu: bool = False
) -> Callable[[Run], Run]:
    """Return a decorator that registers a function as the experiment ``name``; see :class:`Experiment`."""

    def keep(run: Run) -> Run:
        if name in _experiments:
            raise ValueError(f"the experiment '{name}' is registered twice")
        _experiments[name] = Experiment(name, source, shows, minutes, run, claims, needs_gpu)
        return run

    return keep


def experiments() -> dict[str, Experiment]:
    """Return all experiments by name: the theory first, then the tables, and last those that need a GPU."""
    for part in PARTS:
        package = importlib.import_module(part)
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            importlib.import_module(f"{part}.{module}")
    return dict(sorted(_experiments.items(), key=lambda item: item[1].needs_gpu))


def named(names: Iterable[str]) -> list[tuple[Experiment, bool]]:
    """Return the experiments called ``names``, each once, and whether it was named itself.

    ``all`` stands for all of them; those that need a GPU are not named by it.

    Raises:
        ConfigError: there is no experiment of a name.
    """
    known = experiments()
    found: dict[str, tuple[Experiment, bool]] = {}
    for name in names:
        if name == "all":
            found = {one.name: (one, not one.needs_gpu) for one in known.values()} | found
        elif name in known:
            found[name] = (known[name], True)
        else:
            raise ConfigError(f"there is no experiment '{name}'.{instead(name, [*known, 'all'], 'There are')}")
    return list(found.values())

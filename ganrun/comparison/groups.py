"""Groups of runs that differ in nothing but the seed, named by the settings in which they differ from each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganrun.comparison.runs import PROBE, Run
from ganrun.labels import DIGITS, short_keys, short_value
from ganrun.rundir import relative

ALL_DIGITS = 17  # significant digits of a float
# Heads that a table has besides settings: a setting that ends in one of these keeps more of its key.
HEADS = frozenset({"runs", "n", "failed", "pruned", "unfinished", "repeated", "mean", "best"})
MEASURED_BY_PROBE = ("jsd/probe", "probe/")
ABSENT = "absent"  # no setting is frozen to this: text has quotes
# Which of several runs with the same settings and seed counts: the one that has come furthest.
RANKS = {"completed": 0, "stopped": 1, "running": 1, "pruned": 2, "failed": 3}

Rows = Sequence[Mapping[str, str]]  # the settings of each run by key, frozen


@dataclass
class Group:
    """Runs that differ in nothing but the seed.

    Attributes:
        settings: those in which groups differ, by short key.
        runs: all of them, in the order in which they came.
        unfinished: whether runs that are running or were stopped count.
        texts: ``settings`` as a label shows them; None: as they are.
    """

    settings: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    unfinished: bool = False
    texts: dict[str, str] | None = None

    @property
    def label(self) -> str:
        return ", ".join(f"{key}={text}" for key, text in self.shown.items()) or "all runs"

    @property
    def shown(self) -> dict[str, str]:
        """The settings as text."""
        return {key: str(value) for key, value in self.settings.items()} if self.texts is None else self.texts

    @property
    def observations(self) -> list[Run]:
        """The runs without those that repeat another one: the same seed gives the same numbers, not more of them."""
        first: dict[str, Run] = {}
        for run in sorted(self.runs, key=lambda run: RANKS.get(run.status, 1)):
            # A run whose seed is not known repeats no other.
            first.setdefault(_frozen(run.settings["seed"]) if "seed" in run.settings else str(id(run)), run)
        kept = {id(run) for run in first.values()}
        return [run for run in self.runs if id(run) in kept]

    @property
    def repeated(self) -> list[Run]:
        """The runs that repeat one of :attr:`observations`."""
        kept = {id(run) for run in self.observations}
        return [run for run in self.runs if id(run) not in kept]

    @property
    def counted(self) -> list[Run]:
        """The observations behind means: neither failed nor pruned, and finished unless ``unfinished`` ones count."""
        return [run for run in self.observations if run.finished or (run.unfinished and self.unfinished)]

    def values(self, tag: str) -> np.ndarray:
        """Return the last values of ``tag`` of the runs that count and have one."""
        return np.array([run.last[tag] for run in self.counted if tag in run.last], np.float64)


def group(runs: Sequence[Run], metrics: Sequence[str] = (), unfinished: bool = False) -> list[Group]:
    """Group ``runs`` by everything in which they differ except the seed; in the order in which they come.

    Two runs are in one group exactly if all their settings agree. Those of the probe count where one of ``metrics`` is
    measured by it. A setting that follows from the others names no group.

    Args:
        runs: to be grouped.
        metrics: tags to be compared.
        unfinished: whether runs that are running or were stopped count in means.
    """
    probed = any(tag.startswith(MEASURED_BY_PROBE) for tag in metrics)
    ignored = {"seed"} if probed else {"seed", *PROBE}
    joined = _joined([{key: value for key, value in run.settings.items() if key not in ignored} for run in runs])
    rows = [{key: _frozen(value) for key, value in settings.items()} for settings in joined]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    naming = _naming([key for key in keys if len(_partition([key], rows)) > 1], rows)
    names = _names(naming)
    groups: dict[tuple[str, ...], Group] = {}
    for run, settings, row in zip(runs, joined, rows, strict=True):
        shared = {names[key]: settings[key] for key in naming if key in settings}
        groups.setdefault(_part(naming, row), Group(shared, unfinished=unfinished)).runs.append(run)
    found = list(groups.values())
    _write_labels(found, [names[key] for key in naming])
    return found


def notes(groups: Sequence[Group], metrics: Sequence[str] = ()) -> list[str]:
    """Return a line for each reason for which runs of ``groups`` do not count, or do not compare."""
    lines = []
    unfinished = [run for one in groups for run in one.observations if run.unfinished]
    if unfinished:
        many = f"{len(unfinished)} {'run has' if len(unfinished) == 1 else 'runs have'} not finished"
        left_out = "left out (unfinished=true counts them)"
        counted = "counted as far as they have come" if groups[0].unfinished else left_out
        lines.append(f"{many} (running or stopped): {counted}")
    repeated = [run for one in groups for run in one.repeated]
    if repeated:
        listed = ", ".join(relative(run.folder) for run in repeated[:3]) + (", ..." if len(repeated) > 3 else "")
        one = "1 run repeats another's" if len(repeated) == 1 else f"{len(repeated)} runs repeat others'"
        lines.append(f"{one} settings and seed and {'is' if len(repeated) == 1 else 'are'} not counted: {listed}")
    probes = dict.fromkeys(_probe(run) for one in groups for run in one.counted if run.settings.get("probe.name"))
    if len(probes) > 1 and any(tag.startswith(MEASURED_BY_PROBE) for tag in metrics):
        lines.append(f"jsd/probe was measured by different probes, which find more or less: {', '.join(probes)}")
    return lines


def _probe(run: Run) -> str:
    budget = f" budget={run.settings['probe.budget']}" if "probe.budget" in run.settings else ""
    return f"{run.settings['probe.name']}{budget}"


def _joined(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings of runs with optimizer.KEY in place of both players' where they agree in every run."""
    generator, discriminator = "optimizer.generator.", "optimizer.discriminator."
    ends = dict.fromkeys(
        key.removeprefix(player)
        for one in given
        for key in one
        for player in (generator, discriminator)
        if key.startswith(player)
    )

    def agree(end: str) -> bool:
        players = (generator + end, discriminator + end)
        own = [[_frozen(one[key]) for key in players if key in one] for one in given]
        return all(len(pair) != 1 and len(set(pair)) <= 1 for pair in own)

    same = set(filter(agree, ends))
    renamed = {generator + end: f"optimizer.{end}" for end in same}
    dropped = {discriminator + end for end in same}
    return [{renamed.get(key, key): value for key, value in one.items() if key not in dropped} for one in given]


def _naming(differing: list[str], rows: Rows) -> list[str]:
    """Return those of the ``differing`` keys by which groups are named: between them they separate all that differ.

    First all that every run has. Then what only one option has, where it differs between runs that agree in those:
    loss.name tells all that loss.beta would where that is the same in each run that has it. Last what is still
    needed to tell a run that has a setting from one that has not.
    """
    common = [key for key in differing if all(key in row for row in rows)]
    naming = [*common, *(key for key in differing if key not in common and _varies(key, common, rows))]
    parts = len(_partition(naming, rows))
    for key in differing:
        if key not in naming and (finer := len(_partition([*naming, key], rows))) > parts:
            naming.append(key)
            parts = finer
    return sorted(naming, key=lambda key: not (key.endswith(".name") or key == "penalty"))  # options before numbers


def _part(keys: list[str], row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row.get(key, ABSENT) for key in keys)


def _partition(keys: list[str], rows: Rows) -> set[tuple[str, ...]]:
    return {_part(keys, row) for row in rows}


def _varies(key: str, common: list[str], rows: Rows) -> bool:
    """Whether ``key`` differs between runs that have it and agree in the ``common`` keys."""
    having = [row for row in rows if key in row]
    return len(_partition([*common, key], having)) > len(_partition(common, having))


def _frozen(value: Any) -> str:
    """Return text that is equal for equal values only: 1, "1" and true are three."""
    return json.dumps(value, sort_keys=True, default=repr)


def _names(keys: list[str]) -> dict[str, str]:
    """Return a short name for each dotted key that no other key and no other column of a table has."""
    return {key: key if name in HEADS else name for key, name in short_keys(keys).items()}


def _write_labels(groups: list[Group], names: list[str]) -> None:
    """Give ``groups`` their settings as text, with no more digits than it takes to tell them apart."""
    for one in groups:
        one.texts = {}
    for name in names:
        having = [one for one in groups if name in one.settings]
        for one, text in zip(having, texts([one.settings[name] for one in having]), strict=True):
            assert one.texts is not None
            one.texts[name] = text
    for one in groups:
        if not one.settings and len(groups) > 1:
            one.texts = {names[0]: ABSENT}


def texts(values: Sequence[Any]) -> list[str]:
    """Return ``values`` as text, floats with as few digits as keep apart those that differ: 0.1 + 0.2 reads 0.3."""
    different = len(set(map(_frozen, values)))
    for digits in range(DIGITS, ALL_DIGITS):
        short = [short_value(value, digits) for value in values]
        if len(set(short)) == different:
            return short
    return [_frozen(value) for value in values]

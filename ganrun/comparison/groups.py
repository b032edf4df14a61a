"""Groups of runs that differ only in the seed, labelled by the settings in which the groups differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganrun.comparison.runs import PROBE, Run
from ganrun.config.labels import DIGITS, short_keys, short_value
from ganrun.storage.run_directory import relative

ALL_DIGITS = 17  # significant digits of a float
# Column names of tables besides settings: a setting whose short name is one of these is labelled by its full key.
HEADS = frozenset({"runs", "n", "failed", "pruned", "unfinished", "repeated", "mean", "iqm", "median", "best"})
MEASURED_BY_PROBE = ("jsd/probe", "probe/")
ABSENT = "absent"  # differs from every frozen setting: text is frozen with quotes
# Of several runs with the same settings and seed, the one with the lowest rank counts.
RANKS = {"completed": 0, "stopped": 1, "running": 1, "pruned": 2, "failed": 3}

Rows = Sequence[Mapping[str, str]]  # the frozen settings of each run by key


@dataclass
class Group:
    """Runs that differ only in the seed.

    Attributes:
        settings: those in which groups differ, by short key.
        runs: all of them, in the given order.
        unfinished: whether runs that are running or were stopped count.
        texts: ``settings`` as text for labels; None: converted with ``str``.
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
        """The runs without those that repeat another one: equal seeds give equal values, not independent ones."""
        first: dict[str, Run] = {}
        for run in sorted(self.runs, key=lambda run: RANKS.get(run.status, 1)):
            # A run of unknown seed repeats no other.
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
        """The observations in means: neither failed nor pruned, and finished unless ``unfinished`` ones count."""
        return [run for run in self.observations if run.finished or (run.unfinished and self.unfinished)]

    def values(self, tag: str) -> np.ndarray:
        """Return the last values of ``tag`` of the runs that count and have logged it."""
        return np.array([run.last[tag] for run in self.counted if tag in run.last], np.float64)


def group(runs: Sequence[Run], metrics: Sequence[str] = (), unfinished: bool = False) -> list[Group]:
    """Group ``runs`` by all settings except the seed, in order of first appearance.

    Two runs are in the same group exactly if all their settings are equal. Settings of the probe matter only if one of
    ``metrics`` is measured by it. A setting that is determined by the others is left out of the labels.

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
    result = list(groups.values())
    _write_labels(result, [names[key] for key in naming])
    return result


def notes(groups: Sequence[Group], metrics: Sequence[str] = ()) -> list[str]:
    """Return a line for each reason why runs of ``groups`` do not count, or are not comparable."""
    lines = []
    unfinished = [run for group in groups for run in group.observations if run.unfinished]
    if unfinished:
        count = f"{len(unfinished)} {'run has' if len(unfinished) == 1 else 'runs have'} not finished"
        left_out = "left out (unfinished=true counts them)"
        counted = "counted as far as they have come" if groups[0].unfinished else left_out
        lines.append(f"{count} (running or stopped): {counted}")
    repeated = [run for group in groups for run in group.repeated]
    if repeated:
        listed = ", ".join(relative(run.folder) for run in repeated[:3]) + (", ..." if len(repeated) > 3 else "")
        count = "1 run repeats another's" if len(repeated) == 1 else f"{len(repeated)} runs repeat others'"
        lines.append(f"{count} settings and seed and {'is' if len(repeated) == 1 else 'are'} not counted: {listed}")
    counted = [run.settings for group in groups for run in group.counted]
    datasets = dict.fromkeys(settings["dataset.name"] for settings in counted if "dataset.name" in settings)
    if len(datasets) > 1:
        lines.append(f"the data differ, so that values are not comparable: {', '.join(datasets)}")
    probes = dict.fromkeys(_probe(settings) for settings in counted if settings.get("probe.name") not in (None, "off"))
    if len(probes) > 1 and any(tag.startswith(MEASURED_BY_PROBE) for tag in metrics):
        lines.append(f"jsd/probe was measured by different probes and is not comparable: {', '.join(probes)}")
    return lines


def _probe(settings: Mapping[str, Any]) -> str:
    budget = f" budget={settings['probe.budget']}" if "probe.budget" in settings else ""
    return f"{settings['probe.name']}{budget}"


def _joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return settings with optimizer.KEY in place of the two networks' keys if they are equal in every run."""
    generator, discriminator = "optimizer.generator.", "optimizer.discriminator."
    suffixes = dict.fromkeys(
        key.removeprefix(prefix)
        for settings in rows
        for key in settings
        for prefix in (generator, discriminator)
        if key.startswith(prefix)
    )

    def agree(suffix: str) -> bool:
        keys = (generator + suffix, discriminator + suffix)
        pairs = [[_frozen(settings[key]) for key in keys if key in settings] for settings in rows]
        return all(len(pair) != 1 and len(set(pair)) <= 1 for pair in pairs)

    same = set(filter(agree, suffixes))
    renamed = {generator + suffix: f"optimizer.{suffix}" for suffix in same}
    dropped = {discriminator + suffix for suffix in same}
    return [{renamed.get(key, key): value for key, value in row.items() if key not in dropped} for row in rows]


def _naming(differing: list[str], rows: Rows) -> list[str]:
    """Return a subset of the ``differing`` keys that distinguishes all groups, to label them by.

    It consists of the keys that every run has; the names of options that some runs have, if they vary between those,
    such as architecture.name beside runs without an architecture; the keys specific to an option, if they vary between
    runs that agree in the former (loss.beta is redundant to loss.name if all runs with that loss have the same beta);
    and any further keys needed to distinguish runs that have a setting from runs that do not.
    """
    common = [key for key in differing if all(key in row for row in rows)]
    options = [key for key in differing if key.endswith(".name") and key not in common and _varies(key, [], rows)]
    named = [*common, *options]
    naming = [*named, *(key for key in differing if key not in named and _varies(key, named, rows))]
    parts = len(_partition(naming, rows))
    for key in differing:
        if key not in naming and (finer := len(_partition([*naming, key], rows))) > parts:
            naming.append(key)
            parts = finer
    return sorted(naming, key=lambda key: not (key.endswith(".name") or key == "penalty"))  # names of options first


def _part(keys: list[str], row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row.get(key, ABSENT) for key in keys)


def _partition(keys: list[str], rows: Rows) -> set[tuple[str, ...]]:
    return {_part(keys, row) for row in rows}


def _varies(key: str, common: list[str], rows: Rows) -> bool:
    """Return whether ``key`` varies between runs that have it and agree in the ``common`` keys."""
    having = [row for row in rows if key in row]
    return len(_partition([*common, key], having)) > len(_partition(common, having))


def _frozen(value: Any) -> str:
    """Return text that is equal only for equal values: 1, "1" and true are distinct."""
    return json.dumps(value, sort_keys=True, default=repr)


def _names(keys: list[str]) -> dict[str, str]:
    """Return a short name for each dotted key, distinct from those of other keys and from other columns of a table."""
    return {key: key if name in HEADS else name for key, name in short_keys(keys).items()}


def _write_labels(groups: list[Group], names: list[str]) -> None:
    """Set the ``texts`` of ``groups``, with as few digits as distinguish different values."""
    for group in groups:
        group.texts = {}
    for name in names:
        having = [group for group in groups if name in group.settings]
        for group, text in zip(having, texts([group.settings[name] for group in having]), strict=True):
            assert group.texts is not None
            group.texts[name] = text
    for group in groups:
        if not group.settings and len(groups) > 1:
            group.texts = {names[0]: ABSENT}


def texts(values: Sequence[Any]) -> list[str]:
    """Return ``values`` as text, floats with as few digits as distinguish different values: 0.1 + 0.2 is 0.3."""
    different = len(set(map(_frozen, values)))
    for digits in range(DIGITS, ALL_DIGITS):
        short = [short_value(value, digits) for value in values]
        if len(set(short)) == different:
            return short
    return [_frozen(value) for value in values]

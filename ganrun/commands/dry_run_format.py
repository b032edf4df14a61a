"""The answer of a dry run as lines of text."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from ganrun.commands.bench_format import describe
from ganrun.commands.dry_run_plan import Planned, program_of
from ganrun.commands.dry_run_trial import NOTHING, Trial, forecast
from ganrun.config.labels import short_value
from ganrun.config.settings import Train
from ganrun.storage.run_directory import relative
from ganrun.training.sweep_plan import Plan, cut

SHOWN = 8  # programs that are listed, and values of a setting
TIMED = "--dry-run=timed"


def _cut(plan: Plan, planned: Planned, trials: dict[Hashable, Trial]) -> list[tuple[Hashable, int]]:
    """Return the program and the number of runs of each batch of ``plan``, cut to what fits in memory."""
    found = []
    for batch in plan.batches:
        key = program_of(planned, batch)
        trial = trials[key]
        fitting = trial.members if trial.bytes is not None and trial.members < len(batch) else len(batch)
        found += [(key, len(part)) for part in cut(list(batch), fitting)]
    return found


def lines_of(planned: Planned, jobs: Sequence[Any], plan: Plan, trials: dict[Hashable, Trial]) -> list[str]:
    """Return the answer: what would run, and what the ``trials`` of its programs say of memory and time."""
    batches = _cut(plan, planned, trials)
    configs = {program_of(planned, batch): jobs[batch[0]].config for batch in reversed(plan.batches)}
    lines = ["dry run: nothing is trained or written"]
    lines += _what(planned)
    sizes: dict[Hashable, Counter[int]] = {}
    for key, size in batches:
        sizes.setdefault(key, Counter())[size] += 1
    kind = "job" if planned.together else "batch"
    per = "a batch of the search: " if planned.search is not None else ""
    runs, several = len(jobs), "es" if kind == "batch" else "s"
    lines.append(
        f"programs: {per}{len(sizes)} for {runs} run{'s' * (runs > 1)}, "
        f"in {len(batches)} {kind}{several * (len(batches) > 1)}"
    )
    for i, (key, counts) in enumerate(list(sizes.items())[:SHOWN]):
        listed = ", ".join(f"{count} of {size} run{'s' * (size > 1)}" for size, count in counts.most_common())
        lines.append(f"  {i + 1}: {describe(configs[key])}, {configs[key].steps} steps: {listed}")
        lines.append(f"     {_measured(trials[key])}")
    if len(sizes) > SHOWN:
        lines.append(f"  and {len(sizes) - SHOWN} more")
    lines.append(_time(planned, configs, batches, trials))
    where = f"{planned.folder}/{planned.names[0]}" if planned.names else planned.folder
    more = f" to {planned.names[-1]}" if len(planned.names) > 1 else ""
    lines.append(f"results: {where if '<' in where else relative(Path(where))}{more}")
    return lines


def _what(planned: Planned) -> list[str]:
    search = planned.search
    if search is None:
        lines = [f"runs: {len(planned.configs)}" + (f", by hydra/launcher={planned.launcher}" * bool(planned.together))]
    else:
        trials, each = int(search["trials"]), int(search["seeds_per_trial"])
        batches = math.ceil(trials / int(search["batch"]))
        lines = [
            f"runs: at most {trials * each}: {trials} trials of {each} run{'s' * (each > 1)}, in {batches} batches; "
            f"their values are chosen during the search, by {search['metric']}"
        ]
        if len(set(planned.programs)) > 1:
            lines.append("programs differ between trials: the forecast is that of the first values")
    for key, values in planned.varied.items():
        some = values if len(values) <= SHOWN else [*values[:3], "...", values[-1]]
        count = f" ({len(values)} values)" if len(values) > SHOWN else ""
        lines.append(f"  {key}: {', '.join(short_value(value) for value in some)}{count}")
    return lines


def _measured(trial: Trial) -> str:
    if trial.bytes is None and trial.error:
        return trial.error
    if trial.bytes is None:
        return f"not compiled in the time; {TIMED} waits for it"
    known = [f"{_size(trial.bytes)} of the {_size(trial.free)} to use"] if trial.bytes else []
    if trial.per_step is not None:
        known.append(f"{1e3 * trial.per_step:.3g} ms a step" + (" of all" * (trial.members > 1)))
    if trial.costs is not None and trial.costs:
        known.append(f"{sum(trial.costs.values()):.2g} s an evaluation of a run")
    known += [trial.error] if trial.error else []
    return f"{trial.members} run{'s' * (trial.members > 1)}: {', '.join(known)}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


def _time(
    planned: Planned, configs: dict[Hashable, Train], batches: list[tuple[Hashable, int]], trials: dict[Hashable, Trial]
) -> str:
    """Return the line with the forecast of the time, and what it is based on."""
    seen, total = set[Hashable](), NOTHING
    pruned = planned.search is not None
    for key, size in batches:
        part = forecast(trials[key], configs[key], size, again=key in seen and not planned.together, pruned=pruned)
        if part is None:
            more = "" if trials[key].error else f"; {TIMED} measures all programs"
            return f"time: not known{more}"
        seen.add(key)
        total += part
    repeats = math.ceil(int(planned.search["trials"]) / int(planned.search["batch"])) if planned.search else 1
    seconds = (total.total - total.compiling) * repeats + total.compiling
    basis = "short trials of the programs on this machine"
    if any(trials[key].costs is None for key, _ in batches):
        basis += f"; evaluation was not measured: its share of the time is assumed; {TIMED} measures it"
    split = ", ".join(f"{name} {duration(value)}" for name, value in dataclasses.asdict(total).items() if value >= 0.05)
    if planned.together and planned.processes != 1:
        each, n = total.total / len(batches), planned.processes
        waves = f", {duration(each * math.ceil(len(batches) / n))} with {n} at once, if as many cores are free"
        return f"time: about {duration(each)} a job by itself{waves if n > 0 else ''} ({basis})"
    of_one = "; of a batch" if repeats > 1 else ""
    limit = "at most about" if planned.search and planned.search.get("prune") else "about"
    return f"time: {limit} {duration(seconds)}{of_one}: {split} ({basis})"


def duration(seconds: float) -> str:
    """Return ``seconds`` as a short text: 4.2 s, 3 min 20 s, 5 h 12 min, 3 d 4 h."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s"
    days, hours_left = divmod(hours, 24)
    return f"{days} d {hours_left} h" if days else f"{hours} h {minutes_left} min"

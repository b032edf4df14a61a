"""What a command line of ``ganrun train`` would run: its runs, composed and checked, and their batches."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.train_checks import inspect, require_typed
from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import as_hydra_runs, compose_each
from ganrun.config.labels import varying
from ganrun.config.schema import Parts, check
from ganrun.config.settings import Train
from ganrun.config.sweep_compose import jobs as values_of_axes
from ganrun.errors import ConfigError
from ganrun.storage.folder_checks import require_outside, require_writable
from ganrun.storage.sweep_directory import require_room

if TYPE_CHECKING:
    from ganrun.training.sweep_plan import Job, Plan

GRID, SEARCH, BASIC = "GridSweeper", "SearchSweeper", "BasicSweeper"


@dataclasses.dataclass
class Planned:
    """What a command line would run.

    Attributes:
        configs: of the runs; of a search: of runs at the ends of its settings.
        programs: the program of each run: equal for those that can train together.
        names: the directories of the runs in that of the sweep; empty for a single run, and for a search.
        varied: the values of each setting that varies.
        folder: where the results would lie, with ``<date>`` and ``<time>`` for those of the start.
        launcher: of a sweep.
        together: maximum number of runs in one job of a launcher that starts processes; 0: it starts none.
        processes: jobs that run at once; 0 if this is not known here.
        search: settings of a search.
    """

    configs: list[Train]
    programs: list[Hashable]
    names: list[str]
    varied: dict[str, list[str]]
    folder: str
    launcher: str = "population"
    together: int = 0
    processes: int = 1
    search: dict[str, Any] | None = None


def read_plan(arguments: CliArguments) -> Planned:
    """Compose and check all runs.

    Raises:
        ConfigError: one of them is wrong.
    """
    options = arguments.options
    name = options.config_name or "train"
    with as_hydra_runs(name, arguments) as (context, config):
        place = config.hydra.sweep if options.multirun else config.hydra.run
        folder = _timeless(config, "hydra.sweep.dir" if options.multirun else "hydra.run.dir")
        sweeper = str(config.hydra.sweeper.get("_target_", "")).rpartition(".")[2]
        launcher = str(config.hydra.runtime.choices.get("hydra/launcher", ""))
        search, names = None, []
        if not options.multirun:
            lists = [arguments.overrides]
        elif sweeper == SEARCH:
            search = {str(key): value for key, value in config.hydra.sweeper.items()}
            lists = list(values_of_axes(arguments.overrides))
        elif sweeper in (GRID, BASIC):
            from hydra_plugins.ganrun_population.jobs import Jobs
            from hydra_plugins.ganrun_population.sweeper import combinations

            next(values_of_axes(arguments.overrides))  # raises if there are too many jobs
            params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
            lists = combinations([*params, *arguments.overrides], context.config_loader)
            names = Jobs(context, config).names([_task(words) for words in lists])
        else:
            raise ConfigError(f"--dry-run does not know what hydra/sweeper={sweeper} would run.")
        processes = {"basic": 1, "joblib": int(config.hydra.launcher.get("n_jobs") or 0)}.get(launcher, 0)
        given = Path(str(place.dir)).expanduser()
    if "<" not in folder:
        require_writable(str(given))
        require_outside(given)
        require_room(given, [given / one for one in names])
    configs, programs = _checked(name, lists, options.config_dir)
    together = 0 if launcher == "population" else configs[0].population.members_per_job
    return Planned(
        configs,
        programs,
        names,
        _varied([_task(words) for words in lists]),
        folder,
        launcher,
        together if options.multirun else 0,
        processes if together else 1,
        search,
    )


def batches_of(planned: Planned) -> tuple[list[Job], Plan]:
    """Return the runs and their batches: those of the whole sweep, or of one batch of a search."""
    from ganrun.training.sweep_plan import Job, Plan

    if planned.search is not None:
        return _batch_of_search(planned)
    jobs = [Job(config, Path(str(i))) for i, config in enumerate(planned.configs)]
    return jobs, _in_jobs(planned) or Plan.of(jobs, planned.programs)


def _task(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.lstrip("+~").startswith("hydra")]


def _timeless(config: Any, key: str) -> str:
    """Return the directory ``key`` of ``config``, with ``<date>`` and ``<time>`` where the time would be."""
    from omegaconf import OmegaConf

    def word(match: re.Match[str]) -> str:
        return "<date>" if "%d" in match[0] else "<time>"

    parent, _, last = key.rpartition(".")
    raw: Any = OmegaConf.to_container(OmegaConf.select(config, parent), resolve=False)
    other = config.copy()
    OmegaConf.update(other, key, re.sub(r"\$\{now:[^}]*\}", word, str(raw[last])))
    return str(OmegaConf.select(other, key))


def _checked(name: str, lists: list[list[str]], extra: str | None) -> tuple[list[Train], list[Hashable]]:
    """Return the checked config of each list of overrides, and its program; seeds alone are not checked again.

    Raises:
        ConfigError: one of them is wrong.
    """
    from ganrun.training.sweep_plan import program

    parts, known = Parts(), dict[Train, tuple[Train, Hashable]]()
    configs, programs = list[Train](), list[Hashable]()
    for node in compose_each(name, [_task(words) for words in lists], extra):
        config = check(node, parts)
        key = dataclasses.replace(config, seed=0)
        if key not in known:
            whole = inspect(node, download=False)
            require_typed(whole, None)
            known[key] = whole, program(whole)
        whole, its_program = known[key]
        configs.append(dataclasses.replace(whole, seed=config.seed))
        programs.append(its_program)
    return configs, programs


def _varied(lists: list[list[str]]) -> dict[str, list[str]]:
    """Return the values of each setting that differs between ``lists`` of overrides, as they are typed."""
    pairs = [[word.lstrip("+").partition("=") for word in words] for words in lists]
    rows = [{key: value for key, _, value in words} for words in pairs]
    return {key: list(dict.fromkeys(row.get(key, "") for row in rows)) for key in varying(rows)}


def _in_jobs(planned: Planned) -> Plan | None:
    """Return the batches of a launcher that starts processes: each of its jobs plans its own runs."""
    from ganrun.training.sweep_plan import Job, Plan

    if not planned.together:
        return None
    batches = []
    for first in range(0, len(planned.configs), planned.together):
        part = range(first, min(first + planned.together, len(planned.configs)))
        inside = [Job(planned.configs[i], Path(str(i))) for i in part]
        batches += [
            [first + i for i in batch] for batch in Plan.of(inside, [planned.programs[i] for i in part]).batches
        ]
    return Plan(batches)


def _batch_of_search(planned: Planned) -> tuple[list[Job], Plan]:
    """Return the runs of one batch of a search, at one end of its settings, and their plan."""
    from ganrun.training.sweep_plan import Job, Plan

    assert planned.search is not None
    config = planned.configs[0]
    size = min(int(planned.search["batch"]), int(planned.search["trials"])) * int(planned.search["seeds_per_trial"])
    jobs = [Job(dataclasses.replace(config, seed=(config.seed + i) % 2**32), Path(str(i))) for i in range(size)]
    plan = Plan.of(jobs, [planned.programs[0]] * size)
    return jobs, plan if not planned.together else Plan([[i] for i in range(size)])


def program_of(planned: Planned, batch: Sequence[int]) -> Hashable:
    """Return the program of ``batch``; that of all runs of a search is assumed to be one."""
    return planned.programs[0 if planned.search is not None else batch[0]]

"""``hydra/sweeper=optuna``: a search that asks Optuna for a batch of trials and trains each batch as one population."""

# No `from __future__ import annotations` here: Hydra reads the dataclass's types as they stand.
import logging
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.jobs import Jobs
from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganrun.comparison.runs import read_runs
from ganrun.composing import Composer, jobs
from ganrun.config import Train, check
from ganrun.errors import ConfigError, GanrunError, did_you_mean, tell
from ganrun.hydra_app import groups, quoted
from ganrun.metrics.spec import better, spec_of
from ganrun.rundir import relative
from ganrun.sweep_folder import runs_of
from ganrun.values import checked, is_whole

DIGITS = 4  # of a value, in the name of a trial's directory
BETWEEN = 0.381966  # of an interval: where a value lies that is not whole
WARM_UP = 0.25  # of a run, in which no trial is pruned
COUNT = {"low": 1, "high": 1_000_000}
WHOLE = {"trials": COUNT, "batch": COUNT, "seeds_per_trial": COUNT, "seed": {"low": 0, "high": 2**32 - 1}}
DIRECTIONS = ("auto", "minimize", "maximize")
DIRECTION_OF = {"lower": "minimize", "higher": "maximize"}


@dataclass
class SearchConf:
    """What a search may be told, as ``hydra.sweeper.KEY=VALUE``.

    Its whole numbers are checked by :data:`WHOLE`: Hydra itself takes 1e1 for none.
    """

    _target_: str = "hydra_plugins.ganrun_population.search.SearchSweeper"
    trials: Any = 24  # settings tried in all
    batch: Any = 8  # of them at a time: one population
    seeds_per_trial: Any = 1  # runs of each, whose metric is averaged
    metric: str = "jsd/exact"
    direction: str = "auto"  # minimize, maximize, or auto: the direction in which the metric improves
    prune: bool = True  # end trials early that are worse than the median of those before them
    seed: Any = 0  # of the search itself
    storage: str | None = None  # an SQLite file, to go on with a search; null: study.db in the sweep's directory


class Pruner:
    """Tells a population which of ``trials`` are hopeless, by the mean of ``metric`` over the runs of each.

    ``pruned`` are the numbers of the trials that it has ended.
    """

    def __init__(self, trials: Sequence[Any], runs: int, metric: str) -> None:
        self._trials, self._runs, self._metric = trials, runs, metric
        self.pruned: set[int] = set()

    def __call__(self, step: int, seen: dict[int, dict[str, float]]) -> dict[int, str]:
        """Report what is ``seen`` of runs, by job, at ``step``; return why some of them end."""
        ended = {}
        for place, trial in enumerate(self._trials):
            jobs = range(place * self._runs, (place + 1) * self._runs)
            values = [seen[i][self._metric] for i in jobs if self._metric in seen.get(i, {})]
            if len(values) < self._runs:  # another program's, or one of its runs has failed
                continue
            mean = sum(values) / len(values)
            trial.report(mean, step)
            if trial.should_prune():
                self.pruned.add(trial.number)
                ended |= dict.fromkeys(jobs, f"pruned: {self._metric} {mean:.4g} at step {step} is no better than most")
        return ended


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=SearchConf, provider="ganrun")


class Interrupted(Exception):
    """A signal has ended a batch."""


class SearchSweeper(Sweeper):
    """Tree-structured Parzen estimators (Bergstra et al. 2011), or whatever Optuna's default is, by ask and tell."""

    def __init__(self, **settings: Any) -> None:
        self.asked = SearchConf(**settings)
        self._composer: Composer | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config
        self.task = task_function
        self.steps = int(config.steps)
        self.folder = Path(str(config.hydra.sweep.dir))
        self.jobs = Jobs(hydra_context, config)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Search until ``trials`` settings have been tried; a study that exists already goes on."""
        try:
            self._search(arguments)
        except Interrupted:
            where = relative(self.folder)
            plain = re.fullmatch(r"[\w./-]+", where)
            again = shlex.quote(f"hydra.sweep.dir={where if plain else quoted(where)}")
            print(f"the search goes on with the same command and {again}")
        except GanrunError as error:  # Hydra would print a traceback
            self.task.codes.append(tell(error))  # type: ignore[attr-defined]

    def _search(self, arguments: list[str]) -> None:
        optuna = _optuna()
        for name, rules in WHOLE.items():
            setattr(self.asked, name, checked(int, getattr(self.asked, name), f"hydra.sweeper.{name}", rules))
        direction = self._direction()
        parsed = OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(arguments)
        space = {one.get_key_element(): _distribution(optuna, one) for one in parsed if one.is_sweep_override()}
        self._require_whole(arguments, parsed)
        if not space:
            raise ConfigError("a search needs a setting to vary: KEY='interval(1e-5,1e-2)' or KEY=a,b,c.")
        self._require_metric(arguments)
        fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override() and one.key_or_group != "seed"]
        self.first_seed = next((int(one.value()) for one in parsed if one.key_or_group == "seed"), 0)  # type: ignore[arg-type]
        self.keys = [*space, *(["seed"] if self.asked.seeds_per_trial > 1 else [])]
        if not self.jobs.numbered:
            raise ConfigError(
                "a search may try the same values twice, so hydra.sweep.subdir needs ${hydra.job.num} in it, "
                f"which '{self.jobs.subdir}' has not."
            )
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        study = self._study(optuna, folder, direction)
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a search that was killed
        ended = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]
        done = len(study.get_trials(deepcopy=False, states=ended))
        while done < self.asked.trials:
            found = self._batch(study, space, fixed, min(self.asked.batch, self.asked.trials - done))
            done += found
        if not study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
            raise GanrunError(f"all {done} trials failed; their run directories are in {folder}.")
        from ganrun.comparison.report import report  # which draws: every command imports this module

        print(report(runs_of(folder), folder, [self.asked.metric]))
        best = study.best_trial
        settings = " ".join(f"{key}={value}" for key, value in best.params.items())
        pruned = len(study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.PRUNED]))
        early = f" ({pruned} of them pruned)" if pruned else ""
        print(f"best of {done} trials{early}: {self.asked.metric} {best.value:.4g} with {settings} (study: {folder})")

    def _direction(self) -> str:
        """Return whether the metric is to fall or to rise: as asked for, or as the metric improves."""
        if self.asked.direction not in DIRECTIONS:
            listed, close = ", ".join(DIRECTIONS), did_you_mean(self.asked.direction, DIRECTIONS)
            raise ConfigError(f"hydra.sweeper.direction must be one of {listed}.{close}")
        if self.asked.direction != "auto":
            return self.asked.direction
        improves = better(self.asked.metric)
        if improves is None and spec_of(self.asked.metric) is not None:
            raise ConfigError(
                f"hydra.sweeper.metric: neither lower nor higher {self.asked.metric} is better by itself: "
                "add hydra.sweeper.direction=minimize or hydra.sweeper.direction=maximize."
            )
        return DIRECTION_OF.get(improves or "", "minimize")

    def _require_metric(self, arguments: list[str]) -> None:
        """Refuse a metric that some job of the search would not log, before any of them begins."""
        from ganrun.metrics.logged import require_logged  # which needs JAX: every command imports this module

        for overrides in jobs(arguments):
            require_logged(self.asked.metric, self._config(overrides), "hydra.sweeper.metric")

    def _require_whole(self, arguments: list[str], parsed: Sequence[Override]) -> None:
        """Refuse an interval of a setting that takes whole numbers only, before any trial draws another one from it."""
        first = next(jobs(arguments))
        for i, one in enumerate(parsed):
            key = one.get_key_element()
            sweep: Any = one.value()
            if not isinstance(sweep, IntervalSweep) or "int" in sweep.tags:
                continue
            start, end = float(sweep.start or 0), float(sweep.end or 0)  # both are given, whatever their types say
            inner = start + BETWEEN * (end - start)
            if self._is_right([*first[:i], f"{key}={inner}", *first[i + 1 :]]):
                continue
            if self._is_right([*first[:i], f"{key}={round(inner)}", *first[i + 1 :]]):
                whole = f"{key}='range({start:g},{end + 1:g})'"
                raise ConfigError(f"{key} takes whole numbers, and an interval holds others: write {whole}.")

    def _is_right(self, overrides: list[str]) -> bool:
        try:
            self._config(overrides)
        except (ConfigError, HydraException, OmegaConfBaseException):
            return False
        return True

    def _config(self, overrides: list[str]) -> Train:
        """Return the checked config of a job of the search."""
        assert self.config is not None
        if self._composer is None:
            self._composer = Composer(partial(self.context.config_loader.load_sweep_config, self.config), groups())
        config = self._composer(overrides)
        with open_dict(config):
            config.pop("hydra", None)
        return check(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]

    def _study(self, optuna: Any, folder: Path, direction: str) -> Any:
        path = Path(self.asked.storage or folder / "study.db").expanduser().resolve()
        return optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name="ganrun",
            load_if_exists=True,
            direction=direction,
            # Trials of one batch do not know of each other: the constant liar spreads them.
            sampler=optuna.samplers.TPESampler(seed=self.asked.seed, constant_liar=True),
            # A game needs a while before its numbers say anything.
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=int(self.steps * WARM_UP)),
        )

    def _batch(self, study: Any, space: dict[str, Any], fixed: list[str], size: int) -> int:
        """Train ``size`` trials as one population, and tell the study what they came to."""
        optuna = _optuna()
        trials = [study.ask(space) for _ in range(size)]
        jobs = [
            [*fixed, *(f"{key}={value}" for key, value in trial.params.items()), f"seed={self.first_seed + i}"]
            for trial in trials
            for i in range(self.asked.seeds_per_trial)
        ]
        start = trials[0].number * self.asked.seeds_per_trial
        pruner = Pruner(trials, self.asked.seeds_per_trial, self.asked.metric)
        names = self.jobs.names(jobs, start, self.keys, DIGITS)
        if isinstance(self.launcher, PopulationLauncher):
            self.launcher.judge, self.launcher.whole = pruner if self.asked.prune else None, False
            self.launcher.names = dict(enumerate(names, start))
            returned = self.launcher.launch(jobs, initial_job_idx=start)
        else:
            self.jobs.plan(jobs, names, [[i] for i in range(len(jobs))], first=start)
            placed = [self.jobs.placed(job, name) for job, name in zip(jobs, names, strict=True)]
            returned = self.launcher.launch(placed, initial_job_idx=start)
        if any(job.return_value in (130, 143) for job in returned):
            raise Interrupted
        for i, trial in enumerate(trials):
            if trial.number in pruner.pruned:
                study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
                continue
            mine = names[i * self.asked.seeds_per_trial : (i + 1) * self.asked.seeds_per_trial]
            value = self._value([self.folder / name for name in mine])
            state = optuna.trial.TrialState.FAIL if math.isnan(value) else optuna.trial.TrialState.COMPLETE
            study.tell(trial.number, None if math.isnan(value) else value, state=state)
        return len(trials)

    def _value(self, folders: list[Path]) -> float:
        """Return the mean of the metric over the runs of a trial; NaN where one of them failed or withholds it."""
        runs = read_runs([str(folder) for folder in folders])
        missing = [run for run in runs if self.asked.metric not in run.last and not run.failed]
        if any(f"{self.asked.metric}_error" in run.last for run in missing):
            return math.nan
        if missing:
            known = ", ".join(missing[0].last)
            raise ConfigError(f"hydra.sweeper.metric: no run has '{self.asked.metric}' (they have {known}).")
        if any(run.failed for run in runs):
            return math.nan
        return sum(run.last[self.asked.metric] for run in runs) / len(runs)


def _optuna() -> Any:
    try:
        import optuna  # type: ignore[import-not-found]
    except ImportError as error:
        raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install 'ganrun[search]'.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return optuna


def _distribution(optuna: Any, one: Override) -> Any:
    """Return the space that a sweep describes: a,b,c; range(1,9); interval(0.1,1); tag(log,interval(...))."""
    sweep: Any = one.value()
    log = "log" in getattr(sweep, "tags", ())
    if isinstance(sweep, IntervalSweep):
        start, end = sweep.start, sweep.end
        if "int" in sweep.tags and is_whole(start) and is_whole(end):
            return optuna.distributions.IntDistribution(int(start), int(end), log=log)
        return optuna.distributions.FloatDistribution(start, end, log=log)
    if isinstance(sweep, RangeSweep) and is_whole(sweep.start) and is_whole(sweep.stop) and is_whole(sweep.step):
        start, stop, step = int(sweep.start), int(sweep.stop), int(sweep.step)
        return optuna.distributions.IntDistribution(start, stop - 1, step=1 if log else step, log=log)
    if isinstance(sweep, (ChoiceSweep, RangeSweep)):
        return optuna.distributions.CategoricalDistribution(list(one.sweep_string_iterator()))
    raise ConfigError(f"a search cannot vary {one.get_key_element()} by a pattern: list the values.")

"""``hydra/sweeper=optuna``: a hyperparameter search that trains each batch of Optuna trials as one population."""

# No `from __future__ import annotations` here: Hydra needs the dataclass's types unquoted.
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
from hydra_plugins.ganrun_population.retry import launch as launched
from hydra_plugins.ganrun_population.retry import retries_of
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganrun.comparison.runs import read_runs
from ganrun.config.hydra_bridge import quoted
from ganrun.config.schema import Train, check
from ganrun.config.search_path import groups
from ganrun.config.sweep_compose import Composer, jobs
from ganrun.config.values import checked, is_whole
from ganrun.errors import ConfigError, GanrunError, did_you_mean, tell
from ganrun.evaluation.metrics.spec import better, spec_of
from ganrun.storage.run_directory import relative
from ganrun.storage.sweep_directory import runs_of

DIGITS = 4  # significant digits of a value in the name of a trial's directory
BETWEEN = 0.381966  # fraction of an interval at which a value that is not whole is tried
WARM_UP = 0.25  # fraction of a run during which no trial is pruned
COUNT = {"low": 1, "high": 1_000_000}
WHOLE = {"trials": COUNT, "batch": COUNT, "seeds_per_trial": COUNT, "seed": {"low": 0, "high": 2**32 - 1}}
DIRECTIONS = ("auto", "minimize", "maximize")
DIRECTION_OF = {"lower": "minimize", "higher": "maximize"}


@dataclass
class SearchConf:
    """The settings of a search, ``hydra.sweeper.KEY=VALUE``.

    Whole numbers are checked against :data:`WHOLE` and declared as Any: Hydra would refuse 1e1 for an int.
    """

    _target_: str = "hydra_plugins.ganrun_population.search.SearchSweeper"
    trials: Any = 24  # total number of trials
    batch: Any = 8  # trials trained at a time, as one population
    seeds_per_trial: Any = 1  # runs per trial, whose metric is averaged
    metric: str = "jsd/exact"  # the metric that is optimised, in the mean over the runs of a trial
    direction: str = "auto"  # minimize, maximize, or auto: the direction in which the metric improves
    prune: bool = True  # end trials early if they are worse than the median of the previous ones
    seed: Any = 0  # of the sampler
    storage: str | None = None  # an SQLite file, to continue a search; null: study.db in the sweep's directory


class Pruner:
    """Decides which trials of a population to prune, by the mean of ``metric`` over the runs of each trial.

    Args:
        trials: the Optuna trials of the population.
        runs: number of runs per trial.
        metric: the metric to be optimised.

    Attributes:
        pruned: the numbers of the pruned trials.
    """

    def __init__(self, trials: Sequence[Any], runs: int, metric: str) -> None:
        self._trials, self._runs, self._metric = trials, runs, metric
        self.pruned: set[int] = set()

    def __call__(self, step: int, metrics: dict[int, dict[str, float]]) -> dict[int, str]:
        """Report the ``metrics`` of each job at ``step`` to Optuna; return the jobs to prune and the reasons."""
        ended = {}
        for place, trial in enumerate(self._trials):
            jobs = range(place * self._runs, (place + 1) * self._runs)
            values = [metrics[i][self._metric] for i in jobs if self._metric in metrics.get(i, {})]
            if len(values) < self._runs:  # the trial is in another program, or one of its runs has failed
                continue
            mean = sum(values) / len(values)
            trial.report(mean, step)
            if trial.should_prune():
                self.pruned.add(trial.number)
                ended |= dict.fromkeys(
                    jobs, f"pruned: {self._metric} {mean:.4g} at step {step} is worse than the median"
                )
        return ended


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=SearchConf, provider="ganrun")


class Interrupted(Exception):
    """A batch was ended by a signal."""


class SearchSweeper(Sweeper):
    """Search with Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) and its ask-and-tell interface."""

    def __init__(self, **settings: Any) -> None:
        self.settings = SearchConf(**settings)
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
        """Search until ``trials`` trials are done; an existing study is continued."""
        try:
            self._search(arguments)
        except Interrupted:
            where = relative(self.folder)
            plain = re.fullmatch(r"[\w./-]+", where)
            setting = shlex.quote(f"hydra.sweep.dir={where if plain else quoted(where)}")
            print(f"continue the search with the same command and {setting}")
        except GanrunError as error:  # Hydra would print a traceback
            self.task.codes.append(tell(error))  # type: ignore[attr-defined]

    def _search(self, arguments: list[str]) -> None:
        optuna = _optuna()
        for name, rules in WHOLE.items():
            setattr(self.settings, name, checked(int, getattr(self.settings, name), f"hydra.sweeper.{name}", rules))
        direction = self._direction()
        parsed = OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(arguments)
        sweeps = [override for override in parsed if override.is_sweep_override()]
        space = {override.get_key_element(): _distribution(optuna, override) for override in sweeps}
        self._require_whole(arguments, parsed)
        if not space:
            raise ConfigError("a search needs a setting to vary: KEY='interval(1e-5,1e-2)' or KEY=a,b,c.")
        self._require_metric(arguments)
        others = [override for override in parsed if not override.is_sweep_override()]
        fixed = [str(override.input_line) for override in others if override.key_or_group != "seed"]
        self.first_seed = next((int(one.value()) for one in parsed if one.key_or_group == "seed"), 0)  # type: ignore[arg-type]
        self.keys = [*space, *(["seed"] if self.settings.seeds_per_trial > 1 else [])]
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
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # left by a search that was killed
        ended = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]
        done = len(study.get_trials(deepcopy=False, states=ended))
        while done < self.settings.trials:
            done += self._batch(study, space, fixed, min(self.settings.batch, self.settings.trials - done))
        if not study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
            raise GanrunError(f"all {done} trials failed; their run directories are in {folder}.")
        from ganrun.comparison.report import report  # imports matplotlib, and every command imports this module

        print(report(runs_of(folder), folder, [self.settings.metric], statistics=False))
        best = study.best_trial
        settings = " ".join(f"{key}={value}" for key, value in best.params.items())
        pruned = len(study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.PRUNED]))
        early = f" ({pruned} of them pruned)" if pruned else ""
        print(
            f"best of {done} trials{early}: {self.settings.metric} {best.value:.4g} with {settings} (study: {folder})"
        )

    def _direction(self) -> str:
        """Return the direction of the search: the one set, or the one in which the metric improves."""
        if self.settings.direction not in DIRECTIONS:
            listed, close = ", ".join(DIRECTIONS), did_you_mean(self.settings.direction, DIRECTIONS)
            raise ConfigError(f"hydra.sweeper.direction must be one of {listed}.{close}")
        if self.settings.direction != "auto":
            return self.settings.direction
        improves = better(self.settings.metric)
        if improves is None and spec_of(self.settings.metric) is not None:
            raise ConfigError(
                f"hydra.sweeper.metric: neither lower nor higher {self.settings.metric} is better by itself: "
                "add hydra.sweeper.direction=minimize or hydra.sweeper.direction=maximize."
            )
        return DIRECTION_OF.get(improves or "", "minimize")

    def _require_metric(self, arguments: list[str]) -> None:
        """Refuse a metric that some job of the search would not log, before any of them starts."""
        from ganrun.evaluation.metrics.logged import require_logged  # imports JAX, which not every command needs

        for overrides in jobs(arguments):
            require_logged(self.settings.metric, self._config(overrides), "hydra.sweeper.metric")

    def _require_whole(self, arguments: list[str], parsed: Sequence[Override]) -> None:
        """Refuse an interval for a setting that takes whole numbers only, before a trial draws another number."""
        first = next(jobs(arguments))
        for i, override in enumerate(parsed):
            key = override.get_key_element()
            sweep: Any = override.value()
            if not isinstance(sweep, IntervalSweep) or "int" in sweep.tags:
                continue
            start, end = float(sweep.start or 0), float(sweep.end or 0)  # never None, though their types allow it
            inner = start + BETWEEN * (end - start)
            if self._is_valid([*first[:i], f"{key}={inner}", *first[i + 1 :]]):
                continue
            if self._is_valid([*first[:i], f"{key}={round(inner)}", *first[i + 1 :]]):
                whole = f"{key}='range({start:g},{end + 1:g})'"
                raise ConfigError(f"{key} takes whole numbers, and an interval holds others: write {whole}.")

    def _is_valid(self, overrides: list[str]) -> bool:
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
        path = Path(self.settings.storage or folder / "study.db").expanduser().resolve()
        return optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name="ganrun",
            load_if_exists=True,
            direction=direction,
            # The trials of a batch are drawn before any of them ends: the constant liar spreads them.
            sampler=optuna.samplers.TPESampler(seed=self.settings.seed, constant_liar=True),
            # Early metrics are not informative.
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=int(self.steps * WARM_UP)),
        )

    def _batch(self, study: Any, space: dict[str, Any], fixed: list[str], size: int) -> int:
        """Train ``size`` trials as one population, report their values to the study, and return ``size``."""
        optuna = _optuna()
        trials = [study.ask(space) for _ in range(size)]
        jobs = [
            [*fixed, *(f"{key}={value}" for key, value in trial.params.items()), f"seed={self.first_seed + i}"]
            for trial in trials
            for i in range(self.settings.seeds_per_trial)
        ]
        start = trials[0].number * self.settings.seeds_per_trial
        pruner = Pruner(trials, self.settings.seeds_per_trial, self.settings.metric)
        names = self.jobs.names(jobs, start, self.keys, DIGITS)
        if isinstance(self.launcher, PopulationLauncher):
            self.launcher.pruner, self.launcher.whole = pruner if self.settings.prune else None, False
            self.launcher.names = dict(enumerate(names, start))
            returned = self.launcher.launch(jobs, initial_job_idx=start)
        else:
            self.jobs.plan(jobs, names, [[i] for i in range(len(jobs))], first=start)
            placed = [self.jobs.placed(job, name) for job, name in zip(jobs, names, strict=True)]
            retries = retries_of(self.config, self.folder)
            returned = launched(self.launcher, placed, [self.folder / name for name in names], start, retries)
            retries.record()
        if any(job.return_value in (130, 143) for job in returned):
            raise Interrupted
        for i, trial in enumerate(trials):
            if trial.number in pruner.pruned:
                study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
                continue
            of_trial = names[i * self.settings.seeds_per_trial : (i + 1) * self.settings.seeds_per_trial]
            value = self._value([self.folder / name for name in of_trial])
            state = optuna.trial.TrialState.FAIL if math.isnan(value) else optuna.trial.TrialState.COMPLETE
            study.tell(trial.number, None if math.isnan(value) else value, state=state)
        return len(trials)

    def _value(self, folders: list[Path]) -> float:
        """Return the mean of the metric over the runs of a trial; NaN if a run failed or logged only its error."""
        runs = read_runs([str(folder) for folder in folders])
        missing = [run for run in runs if self.settings.metric not in run.last and not run.failed]
        if any(f"{self.settings.metric}_error" in run.last for run in missing):
            return math.nan
        if missing:
            known = ", ".join(missing[0].last)
            raise ConfigError(f"hydra.sweeper.metric: no run has '{self.settings.metric}' (they have {known}).")
        if any(run.failed for run in runs):
            return math.nan
        return sum(run.last[self.settings.metric] for run in runs) / len(runs)


def _optuna() -> Any:
    try:
        import optuna  # type: ignore[import-not-found]
    except ImportError as error:
        raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install 'ganrun[search]'.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return optuna


def _distribution(optuna: Any, override: Override) -> Any:
    """Return the Optuna distribution of a sweep: a,b,c; range(1,9); interval(0.1,1); tag(log,interval(...))."""
    sweep: Any = override.value()
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
        return optuna.distributions.CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ConfigError(f"a search cannot vary {override.get_key_element()} by a pattern: list the values.")

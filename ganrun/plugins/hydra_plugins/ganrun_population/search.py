"""``hydra/sweeper=optuna``: a hyperparameter search that trains each batch of Optuna trials as one population."""

# No `from __future__ import annotations` here: Hydra needs the dataclass's types unquoted.
import logging
import math
import re
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.jobs import Jobs
from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from hydra_plugins.ganrun_population.pruner import Pruner
from hydra_plugins.ganrun_population.retry import launch as launched
from hydra_plugins.ganrun_population.retry import retries_of
from hydra_plugins.ganrun_population.search_jobs import JobConfigs
from hydra_plugins.ganrun_population.search_settings import SearchConf, check_numbers, direction_of
from hydra_plugins.ganrun_population.shared import Batch, Worker, alone
from hydra_plugins.ganrun_population.space import distribution
from hydra_plugins.ganrun_population.study import is_shared, require_same, storage_of, without_password
from omegaconf import DictConfig, OmegaConf

from ganrun.comparison.runs import read_runs
from ganrun.config.hydra_bridge import quoted
from ganrun.errors import ConfigError, GanrunError, tell
from ganrun.storage.run_directory import PLAN, relative
from ganrun.storage.sweep_directory import Contents, read_contents, runs_of, write_contents

DIGITS = 4  # significant digits of a value in the name of a trial's directory
WARM_UP = 0.25  # fraction of a run during which no trial is pruned


class Interrupted(Exception):
    """A batch was ended by a signal."""


class SearchSweeper(Sweeper):
    """Search with Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) and its ask-and-tell interface."""

    def __init__(self, **settings: Any) -> None:
        self.settings = SearchConf(**settings)

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
        check_numbers(self.settings)
        direction = direction_of(self.settings)
        parsed = OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(arguments)
        assert self.config is not None
        configs = JobConfigs(self.context, self.config)
        sweeps = [override for override in parsed if override.is_sweep_override()]
        space = {override.get_key_element(): distribution(optuna, override) for override in sweeps}
        configs.require_whole(arguments, parsed)
        if not space:
            raise ConfigError("a search needs a setting to vary: KEY='interval(1e-5,1e-2)' or KEY=a,b,c.")
        configs.require_metric(self.settings.metric, arguments)
        others = [override for override in parsed if not override.is_sweep_override()]
        fixed = [str(override.input_line) for override in others if override.key_or_group != "seed"]
        self.first_seed = next((int(one.value()) for one in parsed if one.key_or_group == "seed"), 0)  # type: ignore[arg-type]
        self.keys = [*space, *(["seed"] if self.settings.seeds_per_trial > 1 else [])]
        if not self.jobs.numbered:
            raise ConfigError(
                "a search may try the same values twice, so hydra.sweep.subdir needs ${hydra.job.num} in it, "
                f"which '{self.jobs.subdir}' has not."
            )
        self.shared = is_shared(self.settings.storage)
        self._require_place()
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        text = without_password(OmegaConf.to_yaml(self.config))  # that of the storage is in the overrides, too
        (folder / "multirun.yaml").write_text(text, encoding="utf-8")
        study = self._study(optuna, folder, direction)
        if not self.shared:
            self._report(study, self._by_itself(study, space, fixed))
            return
        require_same(study, self._described(parsed, direction), str(self.settings.storage))
        done = self._together(study, space, fixed)
        with alone(folder):
            self._report(study, done)

    def _require_place(self) -> None:
        """Refuse a launcher that cannot share a study, and the directory of a sweep of another kind."""
        if self.shared and not isinstance(self.launcher, PopulationLauncher):
            raise ConfigError(
                f"hydra.sweeper.storage={without_password(str(self.settings.storage))} is shared by processes that you "
                "start: leave out hydra/launcher, or the storage."
            )
        if (self.folder / PLAN).exists() and bool(read_contents(self.folder).parts) != self.shared:
            raise ConfigError(f"{relative(self.folder)} holds another sweep: choose another hydra.sweep.dir.")

    def _described(self, parsed: Sequence[Override], direction: str) -> dict[str, str]:
        """Return the settings that all processes of a search share."""
        described = {one.get_key_element(): str(one.input_line).partition("=")[2] for one in parsed}
        named = ("metric", "seeds_per_trial", "seed")
        described |= {f"hydra.sweeper.{name}": str(getattr(self.settings, name)) for name in named}
        return described | {"hydra.sweeper.direction": direction}

    def _by_itself(self, study: Any, space: dict[str, Any], fixed: list[str]) -> int:
        """Train trials until there are enough, and return their number."""
        states = _optuna().trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=[states.RUNNING]):
            study.tell(trial.number, state=states.FAIL)  # left by a search that was killed
        done = len(study.get_trials(deepcopy=False, states=[states.COMPLETE, states.PRUNED]))
        while done < self.settings.trials:
            trials = [study.ask(space) for _ in range(min(self.settings.batch, self.settings.trials - done))]
            self._batch(study, trials, fixed)
            done += len(trials)
        return done

    def _together(self, study: Any, space: dict[str, Any], fixed: list[str]) -> int:
        """Train trials, new ones and those that other workers leave, until none is left; return their number."""
        with Worker(_optuna(), study, self.folder, self.settings.lost_after) as worker:
            while True:
                batch = worker.lost() or worker.new(space, self.settings.batch, self.settings.trials)
                if batch is None and not worker.running():
                    return worker.counted()
                if batch is None:
                    worker.rest()
                    continue
                if batch.again:
                    print(f"continues {relative(self.folder / batch.name)}, which another process has left", flush=True)
                try:
                    self._batch(study, batch.trials, fixed, batch, worker)
                except Interrupted:
                    worker.leave(batch)
                    raise

    def _report(self, study: Any, done: int) -> None:
        """Compare the runs of all ``done`` trials, and print the best."""
        optuna, folder = _optuna(), self.folder
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

    def _study(self, optuna: Any, folder: Path, direction: str) -> Any:
        seed = self.settings.seed
        if self.shared:  # workers with the same seed would draw the same trials
            seed = secrets.randbits(32)
        return optuna.create_study(
            storage=storage_of(optuna, self.settings.storage, folder),
            study_name="ganrun",
            load_if_exists=True,
            direction=direction,
            # The trials of a batch are drawn before any of them ends: the constant liar spreads them.
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            # Early metrics are not informative.
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=int(self.steps * WARM_UP)),
        )

    def _jobs_of(self, trials: Sequence[Any], fixed: list[str], part: str) -> tuple[list[list[str]], list[str]]:
        """Return the overrides of every run of ``trials``, and their directories."""
        listed, names, seeds = [], [], self.settings.seeds_per_trial
        for trial in trials:
            given = [f"{key}={value}" for key, value in trial.params.items()]
            of_trial = [[*fixed, *given, f"seed={self.first_seed + i}"] for i in range(seeds)]
            names += self.jobs.names(of_trial, trial.number * seeds, self.keys, DIGITS)
            listed += of_trial
        return listed, [f"{part}/{name}" for name in names] if part else names

    def _batch(
        self, study: Any, trials: list[Any], fixed: list[str], batch: Batch | None = None, worker: Worker | None = None
    ) -> None:
        """Train ``trials`` as one population, and report their values to the study.

        Args:
            study: that of the search.
            trials: of Optuna.
            fixed: overrides of all runs.
            batch: these trials, if the study is shared.
            worker: this process, if the study is shared.
        """
        part = batch.name if batch else ""
        listed, names = self._jobs_of(trials, fixed, part)
        start = trials[0].number * self.settings.seeds_per_trial
        pruner = Pruner(trials, self.settings.seeds_per_trial, self.settings.metric)
        if batch:
            with alone(self.folder):
                if batch.again:  # it may have died before they were in the plan
                    write_contents(self.folder, Contents(names, [], [part]))
                else:
                    self.jobs.plan(listed, names, [], [part], first=start)
        if isinstance(self.launcher, PopulationLauncher):
            self.launcher.pruner, self.launcher.whole = pruner if self.settings.prune else None, False
            self.launcher.names = dict(enumerate(names, start))
            self.launcher.part, self.launcher.again = part, batch is not None and batch.again
            returned = self.launcher.launch(listed, initial_job_idx=start)
        else:
            self.jobs.plan(listed, names, [[i] for i in range(len(listed))], first=start)
            placed = [self.jobs.placed(job, name) for job, name in zip(listed, names, strict=True)]
            retries = retries_of(self.config, self.folder)
            returned = launched(self.launcher, placed, [self.folder / name for name in names], start, retries)
            retries.record()
        if any(job.return_value in (130, 143) for job in returned):
            raise Interrupted
        for i, trial in enumerate(trials):
            of_trial = names[i * self.settings.seeds_per_trial : (i + 1) * self.settings.seeds_per_trial]
            if worker is None or worker.owns(trial):
                self._tell(study, trial, trial.number in pruner.pruned, [self.folder / name for name in of_trial])

    def _tell(self, study: Any, trial: Any, pruned: bool, runs: list[Path]) -> None:
        """Report the value of ``trial`` to the study; its ``runs`` may have been ``pruned`` by another process, too."""
        states = _optuna().trial.TrialState
        if pruned or any(run.pruned for run in read_runs([str(run) for run in runs])):
            study.tell(trial.number, state=states.PRUNED)
            return
        value = self._value(runs)
        state = states.FAIL if math.isnan(value) else states.COMPLETE
        study.tell(trial.number, None if math.isnan(value) else value, state=state)

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

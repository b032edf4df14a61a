"""A finished or running run for notebooks and scripts: its settings, its metrics, and its model."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ganrun.config import user_plugins
from ganrun.config.registry import require_options
from ganrun.config.schema import to_dict
from ganrun.config.settings import NARROWEST, WIDEST
from ganrun.config.values import checked
from ganrun.datasets import from_data_units, in_data_units, log_volume
from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.metrics.log_density import log_densities
from ganrun.evaluation.rebuilt_average import chosen_variables
from ganrun.evaluation.samples import draw_samples
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import RunState
from ganrun.storage.metrics_file import rows_of
from ganrun.storage.run_directory import find_run, load_config

MAX = 10_000_000  # maximum number of samples at once


class Series(NamedTuple):
    """The values of one metric.

    Attributes:
        steps: the steps at which it was logged, int64 ``(rows,)``, rising.
        values: its values, float64 ``(rows,)``.
    """

    steps: np.ndarray
    values: np.ndarray


class Metrics(dict[str, Series]):
    """The metrics of a run by tag; an unknown tag is refused with the closest one."""

    def __missing__(self, tag: str) -> Series:
        raise KeyError(f"the run has not logged '{tag}'.{did_you_mean(tag, self)}")


class LoadedRun:
    """A run that was loaded from its directory. Nothing is written.

    Args:
        folder: the run directory.
        checkpoint: a step, ``latest`` (the latest readable one), or ``best`` (if the run keeps its best).

    Attributes:
        folder: the run directory.
        config: all settings, as nested dictionaries: the content of ``config.yaml``.

    Raises:
        ConfigError: its config is invalid, or ``checkpoint`` is none of these.
    """

    def __init__(self, folder: Path, checkpoint: str = "latest") -> None:
        text = str(checkpoint)
        if text not in ("latest", "best") and not text.isdecimal():
            raise ConfigError(f"checkpoint must be latest, best or a step, not '{shown(text)}'.")
        self.folder, self._checkpoint = folder, text
        self._config = load_config(folder)
        self.config: dict[str, Any] = to_dict(self._config)

    def __repr__(self) -> str:
        return f"LoadedRun('{self.folder}', checkpoint='{self._checkpoint}')"

    @functools.cached_property
    def metrics(self) -> Metrics:
        """Every logged metric by tag, as in ``metrics.jsonl``."""
        columns: dict[str, tuple[list[int], list[float]]] = {}
        for row in rows_of(self.folder):
            for tag, value in row.items():
                if tag != "step":
                    steps, values = columns.setdefault(tag, ([], []))
                    steps.append(int(row["step"]))
                    values.append(float(value))
        return Metrics({tag: Series(np.array(steps), np.array(values)) for tag, (steps, values) in columns.items()})

    @functools.cached_property
    def _model(self) -> tuple[Experiment, RunState]:
        dataset = self._config.dataset
        density = dataset.density() if hasattr(dataset, "density") else None
        return load_run(self.folder, self._config, self._checkpoint, density)

    @property
    def step(self) -> int:
        """The step of the checkpoint."""
        return int(self._model[1].step)

    def sample(self, n: int, seed: int = 0, average: bool = True, sigma_rel: float | None = None) -> np.ndarray:
        """Return ``n`` samples, float32 ``(n, *shape)``, images in [-1, 1], vectors in the units of the data.

        They are those of ``ganrun sample n=N seed=SEED``.

        Args:
            n: number of samples, at least 1.
            seed: determines the samples; sample i depends only on the seed and i.
            average: whether the moving average of the weights is used, if the method has one.
            sigma_rel: the width of a power-function average of the weights, for a run with ``ema.sigma_rel``; None: the
                exponential average.

        Raises:
            ConfigError: ``n`` or ``seed`` is not a whole number in its range, or ``sigma_rel`` is not in its range.
            GanrunError: the run has no readable checkpoint, or this average cannot be rebuilt.
        """
        n, seed = _whole("n", n, 1, MAX), _whole("seed", seed, 0, 2**32 - 1)
        experiment, state = self._model
        if sigma_rel is not None:
            bounds = {"low": NARROWEST, "high": WIDEST}
            sigma_rel = checked(float, sigma_rel, "sigma_rel", bounds)
        variables, _ = chosen_variables(self.folder, experiment, state, average, sigma_rel)
        samples = draw_samples(experiment, variables, n, seed)
        return in_data_units(self._config.dataset, samples)

    def log_density(self, x: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
        """Return log p(x) under the model, or the bounds on it that the method computes, in nats.

        Args:
            x: examples ``(n, *shape)``, images in [-1, 1], vectors in the units of the data.
            seed: of the random draws of an estimate.

        Returns:
            For each estimate, such as ``elbo``: a float64 array ``(n,)``.

        Raises:
            ConfigError: the method has no density, or ``x`` is not of this shape.
            GanrunError: the run has no readable checkpoint.
        """
        experiment, state = self._model
        if "log_density" not in experiment.method.capabilities:
            raise ConfigError(f"method={self._config.method.name} has no density that can be computed.")
        rows, shape = np.asarray(x), tuple(experiment.data.shape)
        if rows.dtype.kind not in "fiub" or rows.ndim != len(shape) + 1 or rows.shape[1:] != shape or not len(rows):
            wanted = f"({', '.join(['n', *map(str, shape)])})"
            raise ConfigError(f"x must be an array of numbers of shape {wanted}, not {rows.dtype} {rows.shape}.")
        key = key_for(jax.random.key(np.uint32(_whole("seed", seed, 0, 2**32 - 1))), "log density")
        dataset = self._config.dataset
        found = log_densities(experiment, experiment.variables(state), key, from_data_units(dataset, rows))
        return {name: values - log_volume(dataset) for name, values in found.items()}


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number from {low} to {high}, not {shown(repr(value))}.")
    return int(value)


def open_run(path: str, checkpoint: str = "latest", plugins: Sequence[str] = ()) -> LoadedRun:
    """Return the run in ``path``, a run directory or ``latest``; see :func:`ganrun.load_run`."""
    before = user_plugins.chosen()
    user_plugins.use(dict.fromkeys((*before, *user_plugins.listed(plugins))))
    try:
        require_options()
        return LoadedRun(find_run(str(path)), checkpoint)
    except Exception:
        user_plugins.use(before)  # a package that cannot be used must not prevent other runs from being opened
        raise

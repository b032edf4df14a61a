"""A trained run as a distribution to compare: its model and its training data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.config.settings import Train
from ganrun.datasets import HELD_OUT_BYTES, in_data_units
from ganrun.datasets.rows import spaced
from ganrun.errors import ConfigError, GanrunError
from ganrun.evaluation.divergence.distribution import Distribution, load_images, to_unit_range
from ganrun.evaluation.divergence.exact.plane_pieces import rectifiers
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.rebuilt_average import chosen_variables
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.storage.run_directory import load_config, relative

if TYPE_CHECKING:
    from ganrun.evaluation.divergence.exact.plane_pieces import Rectifiers

POINTS, IMAGES = 4096, 512  # samples per call of the compiled program
SMALL = 64  # maximum dimension of an example that counts as a point


def of_run(
    label: str, folder: Path, data_dir: str | None, *, average: bool, sigma_rel: float | None = None
) -> Distribution:
    """Return the model of the latest checkpoint in ``folder`` as a distribution; read-only.

    Raises:
        ConfigError: its config is invalid, it has no readable checkpoint, or no average of the width ``sigma_rel``.
    """
    config = load_config(folder)
    experiment, variables, step, weights = _restore(config, folder, average, sigma_rel)
    training, held_out, notes = _images(label, config, data_dir)
    place = f" {relative(folder)}" if label == "latest" else ""  # any other label is its path
    return dataclasses.replace(
        _in_data_units(model_distribution(label, experiment, variables), config.dataset),
        training=training,
        held_out=held_out,
        notes=notes,
        about=f"run{place}, step {step}, {weights} {experiment.method.MODEL}",
    )


def _in_data_units(model: Distribution, dataset: Any) -> Distribution:
    """Return ``model`` in the units of ``dataset``, for data that are scaled before training."""
    if not hasattr(dataset, "in_data_units") or len(model.shape) != 1:
        return model
    draw, push = model.draw, model.push
    assert draw is not None
    return dataclasses.replace(
        model,
        draw=lambda n, seed: in_data_units(dataset, draw(n, seed)),
        push=None if push is None else lambda latents: in_data_units(dataset, push(latents)),
        log_density=None,  # in the model's own units
        layers=None,  # they end in the model's own units
    )


def model_distribution(label: str, experiment: Experiment, variables: Any) -> Distribution:
    """Return the model of ``experiment`` with ``variables`` as a distribution."""
    shape, method = tuple(experiment.data.shape), experiment.method
    batch = POINTS if np.prod(shape) <= SMALL else IMAGES
    prior, pushes = method.prior, "push" in method.capabilities and not method.classes
    return Distribution(
        label,
        shape,
        draw=_drawing(experiment, variables, batch),
        log_density=_log_density(experiment, variables, batch) if "exact_density" in method.capabilities else None,
        push=_pushing(experiment, variables, batch) if pushes else None,
        prior=prior.name if prior else "normal",
        latent_dim=prior.dim if prior and "push" in method.capabilities else 0,
        rank=method.rank,
        layers=_layers(experiment, variables) if pushes and shape == (2,) and prior and prior.dim == 2 else None,
    )


def _layers(experiment: Experiment, variables: Any) -> Rectifiers | None:
    """Return the layers of the model's decoder if it is piecewise linear, else None."""
    decoder = experiment.method.decoder(variables)
    return None if decoder is None else rectifiers(*decoder)


def _restore(config: Train, folder: Path, average: bool, sigma_rel: float | None) -> tuple[Experiment, Any, int, str]:
    """Return the experiment of a run, the variables of its model, their step, and in words which they are."""
    try:
        experiment, state = load_run(folder, config)
        variables, weights = chosen_variables(folder, experiment, state, average, sigma_rel)
        return experiment, variables, int(state.step), weights
    except GanrunError as error:  # the run is an input of this command, so this is an error of the command line
        raise ConfigError(str(error)) from error


def _drawing(experiment: Experiment, variables: Any, batch: int) -> Callable[[int, int], np.ndarray]:
    def draw(n: int, seed: int) -> np.ndarray:
        key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        starts = range(0, n, batch)
        parts = [np.asarray(experiment.sample(variables, key_for(key, "samples", start), batch)) for start in starts]
        return np.concatenate(parts)[:n].reshape(n, -1)

    return draw


def _pushing(experiment: Experiment, variables: Any, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    def push(latents: np.ndarray) -> np.ndarray:
        return _batched(lambda rows: experiment.push(variables, rows), latents, batch).reshape(len(latents), -1)

    return push


def _log_density(experiment: Experiment, variables: Any, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    name, shape = experiment.method.densities[0].name, tuple(experiment.data.shape)
    key = jax.random.key(0)  # the density is exact and draws nothing

    def log_density(rows: np.ndarray) -> np.ndarray:
        def of_batch(part: jax.Array) -> jax.Array:
            return experiment.log_density(variables, key, part.reshape(-1, *shape))[name]

        return _batched(of_batch, rows, batch).astype(np.float64)

    return log_density


def _batched(function: Callable[[jax.Array], jax.Array], rows: np.ndarray, batch: int) -> np.ndarray:
    """Return ``function`` of all ``rows``. The last batch is padded with zeros, so that one shape is compiled."""
    padded = np.zeros((-(-len(rows) // batch) * batch, *rows.shape[1:]), np.float32)
    padded[: len(rows)] = rows
    starts = range(0, len(padded), batch)
    parts = [np.asarray(function(jnp.asarray(padded[start : start + batch]))) for start in starts]
    return np.concatenate(parts)[: len(rows)]


def _images(
    label: str, config: Train, data_dir: str | None
) -> tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...]]:
    """Return the run's training and held-out rows if available, and a note if they are not."""
    if hasattr(config.dataset, "density"):
        return None, None, ()
    try:
        arrays = load_images(config.dataset, data_dir or config.data_dir)
    except ConfigError as error:
        reason = str(error).splitlines()[0]
        return None, None, (f"{label}: memorised samples were not looked for ({reason})",)
    training, held_out = (
        in_data_units(config.dataset, to_unit_range(rows[spaced(rows, HELD_OUT_BYTES)]))
        for rows in (arrays.train, arrays.held_out)
    )
    return training, held_out, ()

"""A trained run as a distribution to compare: its generator and its training data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.maxout import MaxoutGenerator
from ganrun.architectures.mlp import MlpGenerator
from ganrun.config.schema import Train
from ganrun.errors import ConfigError, GanrunError
from ganrun.evaluation.divergence.distribution import Distribution, load_images, to_unit_range
from ganrun.evaluation.divergence.exact.plane_pieces import rectifiers
from ganrun.evaluation.load_run import load_run
from ganrun.keys import key_for
from ganrun.methods.gan.gan import Gan
from ganrun.storage.run_directory import load_config, relative

if TYPE_CHECKING:
    from ganrun.evaluation.divergence.exact.plane_pieces import Rectifiers
    from ganrun.methods.gan.state import State

POINTS, IMAGES = 4096, 512  # samples per call of the compiled generator
SMALL = 64  # maximum dimension of an example that counts as a point


def of_run(label: str, folder: Path, data_dir: str | None, *, average: bool) -> Distribution:
    """Return the generator of the latest checkpoint in ``folder`` as a distribution; read-only.

    Raises:
        ConfigError: its config is invalid, or it has no readable checkpoint.
    """
    config = load_config(folder)
    method, state = _restore(config, folder)
    variables = state.average if average else state.generator.variables
    training, held_out, notes = _images(label, config, data_dir)
    weights = "averaged" if average else "trained"
    return dataclasses.replace(
        model_distribution(label, method, variables),
        training=training,
        held_out=held_out,
        notes=notes,
        about=f"run {relative(folder)}, step {int(state.step)}, {weights} generator",
    )


def model_distribution(label: str, method: Gan, variables: Any) -> Distribution:
    """Return the generator of ``method`` with ``variables`` as a distribution."""
    shape = tuple(method.data.shape)
    batch = POINTS if np.prod(shape) <= SMALL else IMAGES
    return Distribution(
        label,
        shape,
        draw=_drawing(method, variables, batch),
        push=None if method.spec.classes else _pushing(method, variables, batch),
        prior=method.spec.prior,
        latent_dim=method.spec.latent_dim,
        rank=rank_of(method),
        layers=_layers(method, variables) if shape == (2,) and method.spec.latent_dim == 2 else None,
    )


def rank_of(method: Gan) -> int:
    """Return an upper bound on the dimension of the generator's range: that of its narrowest layer."""
    generator = method.spec.generator.generator if method.spec.has_encoder else method.spec.generator
    hidden = generator.hidden if isinstance(generator, (MlpGenerator, MaxoutGenerator)) else ()
    return min(method.spec.latent_dim, *hidden, int(np.prod(method.data.shape)))


def _layers(method: Gan, variables: Any) -> Rectifiers | None:
    """Return the generator's layers if it is piecewise linear, else None."""
    generator = method.spec.generator
    if method.spec.classes:
        return None
    if method.spec.has_encoder:
        generator = generator.generator
        variables = {name: collection["generator"] for name, collection in variables.items() if collection}
    return rectifiers(generator, variables)


def _restore(config: Train, folder: Path) -> tuple[Gan, State]:
    try:
        return load_run(folder, config)
    except GanrunError as error:  # the run is an input of this command, so this is an error of the command line
        raise ConfigError(str(error)) from error


def _drawing(method: Gan, variables: Any, batch: int) -> Callable[[int, int], np.ndarray]:
    def draw(n: int, seed: int) -> np.ndarray:
        key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        starts = range(0, n, batch)
        parts = [np.asarray(method.sample(variables, key_for(key, "samples", start), batch)) for start in starts]
        return np.concatenate(parts)[:n].reshape(n, -1)

    return draw


def _pushing(method: Gan, variables: Any, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    def push(latents: np.ndarray) -> np.ndarray:
        n = len(latents)
        # The last batch is padded with zeros, so that the generator is compiled for one shape.
        padded = np.zeros((-(-n // batch) * batch, latents.shape[1]), np.float32)
        padded[:n] = latents
        starts = range(0, len(padded), batch)
        parts = [np.asarray(method.push(variables, jnp.asarray(padded[start : start + batch]))) for start in starts]
        return np.concatenate(parts)[:n].reshape(n, -1)

    return push


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
    return to_unit_range(arrays.train), to_unit_range(arrays.held_out), ()

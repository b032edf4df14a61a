"""A trained run as a side of a comparison: its generator, endless, and what it was trained on."""

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
from ganrun.config import Train
from ganrun.divergence.plane_pieces import rectifiers
from ganrun.divergence.side import Side, load_images, to_unit_range
from ganrun.errors import ConfigError, GanrunError
from ganrun.game.method import Gan
from ganrun.keys import key_for
from ganrun.rundir import load_config, relative
from ganrun.trained import trained

if TYPE_CHECKING:
    from ganrun.divergence.plane_pieces import Rectifiers
    from ganrun.game.state import State

POINTS, IMAGES = 4096, 512  # samples per call of the one program: points are small, images are not
SMALL = 64  # numbers in one example up to which it counts as a point


def of_run(label: str, folder: Path, data_dir: str | None, *, average: bool) -> Side:
    """Return the generator of the newest checkpoint in ``folder`` as a side; nothing in the folder is touched.

    Raises:
        ConfigError: its config is wrong, or it has no checkpoint that can be read.
    """
    config = load_config(folder)
    method, state = _restore(config, folder)
    variables = state.average if average else state.generator.variables
    training, held_out, notes = _images(label, config, data_dir)
    weights = "averaged" if average else "trained"
    return dataclasses.replace(
        generator_side(label, method, variables),
        training=training,
        held_out=held_out,
        notes=notes,
        about=f"run {relative(folder)}, step {int(state.step)}, {weights} generator",
    )


def generator_side(label: str, method: Gan, variables: Any) -> Side:
    """Return the generator of ``method`` with ``variables`` as a side."""
    shape = tuple(method.data.shape)
    batch = POINTS if np.prod(shape) <= SMALL else IMAGES
    return Side(
        label,
        shape,
        draw=_drawing(method, variables, batch),
        push=None if method.game.classes else _pushing(method, variables, batch),
        prior=method.game.prior,
        latent_dim=method.game.latent_dim,
        rank=rank_of(method),
        layers=_layers(method, variables) if shape == (2,) and method.game.latent_dim == 2 else None,
    )


def rank_of(method: Gan) -> int:
    """Return an upper bound on the dimension of what the generator fills: no layer fills more than it has units."""
    generator = method.game.generator.generator if method.game.infers else method.game.generator
    hidden = generator.hidden if isinstance(generator, (MlpGenerator, MaxoutGenerator)) else ()
    return min(method.game.latent_dim, *hidden, int(np.prod(method.data.shape)))


def _layers(method: Gan, variables: Any) -> Rectifiers | None:
    """Return the generator's layers, where it is one whose linear pieces can be followed."""
    generator = method.game.generator
    if method.game.classes:
        return None
    if method.game.infers:
        generator, variables = generator.generator, {part: own["generator"] for part, own in variables.items() if own}
    return rectifiers(generator, variables)


def _restore(config: Train, folder: Path) -> tuple[Gan, State]:
    try:
        return trained(folder, config)
    except GanrunError as error:  # to this command a run is an input, so the command line is what is wrong
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
        # The last batch is filled up with zeros, so that there is one program of one size.
        whole = np.zeros((-(-n // batch) * batch, latents.shape[1]), np.float32)
        whole[:n] = latents
        starts = range(0, len(whole), batch)
        parts = [np.asarray(method.push(variables, jnp.asarray(whole[start : start + batch]))) for start in starts]
        return np.concatenate(parts)[:n].reshape(n, -1)

    return push


def _images(
    label: str, config: Train, data_dir: str | None
) -> tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...]]:
    """Return the rows that the run was trained on and those that were kept from it, where they can be had."""
    if hasattr(config.dataset, "density"):
        return None, None, ()
    try:
        arrays = load_images(config.dataset, data_dir or config.data_dir)
    except ConfigError as error:
        reason = str(error).splitlines()[0]
        return None, None, (f"{label}: memorised samples were not looked for ({reason})",)
    return to_unit_range(arrays.train), to_unit_range(arrays.held_out), ()

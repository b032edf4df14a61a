"""Constraints of the discriminator's weights: clipping after an update, and spectral normalisation in every use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ganrun.game.penalties.base import Numbers, Penalty, Tree
from ganrun.keys import key_for
from ganrun.registry import number, register

# The parameters that are linear maps: ``basis`` sums up the positions of r3gan's last map, ``psi`` is that of dirac.
MATRICES = ("kernel", "embedding", "basis", "psi")
STATE = "spectral"  # their leading singular vectors, among the batch statistics
TINY = 1e-12


@register("penalty", "weight_clipping")
@dataclass(frozen=True)
class WeightClipping(Penalty):
    """Every weight of the discriminator is kept within ``limit`` of zero, which bounds its slope.

    Formula: w ← min(c, max(-c, w)) after every update
    Paper: Arjovsky et al. 2017, "Wasserstein GAN", Algorithm 1.
    """

    reports: ClassVar[bool] = False

    name: str = "weight_clipping"
    limit: float = number(0.01, above=0.0)

    def project(self, params: Tree, numbers: Numbers) -> Tree:
        return jax.tree.map(lambda weight: jnp.clip(weight, -numbers["limit"], numbers["limit"]), params)


@register("penalty", "spectral_normalisation")
@dataclass(frozen=True)
class SpectralNormalisation(Penalty):
    """Every weight of the discriminator, as a matrix, is divided by its largest singular value σ.

    The matrix has a row for each weight of a unit's window and a column for each output. Of a dense layer σ is the
    operator norm, which is then 1. Of a convolution it is not: a pixel stands in many windows, so that a normalised
    convolution of size s has an operator norm of up to s with stride 1 (of random 3x3 kernels, 1.5 to 2.5), and of up
    to s / 2 with stride 2. The singular vectors follow the weights by ``iterations`` steps of the power method at every
    use in training.

    Formula: W ← W / σ(W)
    Paper: Miyato et al. 2018, "Spectral normalization for generative adversarial networks", Algorithm 1.
    """

    reports: ClassVar[bool] = False

    name: str = "spectral_normalisation"
    iterations: int = number(1, low=1, high=100)

    def bind(self, discriminator: Any) -> Any:
        return SpectrallyNormalised(discriminator, self.iterations)


@dataclass(frozen=True)
class SpectrallyNormalised:
    """A linen module, matrices divided by their largest singular value, with ``init`` and ``apply`` as it has them."""

    module: Any
    iterations: int

    def init(self, rngs: Mapping[str, jax.Array], *inputs: Any, **named: Any) -> dict[str, Tree]:
        """Return the variables of the module, with a random direction for each of its matrices."""
        variables = self.module.init(rngs, *inputs, **named)
        matrices = _matrices(variables["params"])
        directions = {
            path: _unit(jax.random.normal(key_for(rngs["params"], "direction", i), (matrix.shape[-1],)))
            for i, (path, matrix) in enumerate(matrices.items())
        }
        # So that the first use divides by a singular value and not by a random number.
        for _ in range(10):
            directions = {path: _turned(matrices[path], direction) for path, direction in directions.items()}
        return {**variables, "batch_stats": {**variables.get("batch_stats", {}), STATE: directions}}

    def apply(self, variables: Mapping[str, Tree], *inputs: Any, mutable: Any = False, **named: Any) -> Any:
        """Apply the module with normalised matrices; with ``train=True`` the directions follow the weights."""
        stats = dict(variables["batch_stats"])
        directions = stats.pop(STATE)
        train = named["train"] if "train" in named else inputs[1]
        params, directions = normalised(variables["params"], directions, self.iterations if train else 0)
        inner = {"params": params, "batch_stats": stats}
        if mutable is False:
            return self.module.apply(inner, *inputs, **named)
        output, new = self.module.apply(inner, *inputs, mutable=mutable, **named)
        return output, {**new, "batch_stats": {**new.get("batch_stats", stats), STATE: directions}}


def normalised(params: Tree, directions: Mapping[str, jax.Array], iterations: int) -> tuple[Tree, dict[str, jax.Array]]:
    """Return ``params`` with every matrix divided by its largest singular value, and the directions this was read from.

    The gradient flows through the singular value, and the directions count as constants.
    """
    matrices = _matrices(params)
    found, scales = {}, {}
    for path, matrix in matrices.items():
        direction = directions[path]
        for _ in range(iterations):
            direction = _turned(jax.lax.stop_gradient(matrix), direction)
        found[path] = direction
        left = jax.lax.stop_gradient(_unit(matrix @ direction))
        scales[path] = left @ matrix @ direction
    scaled = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf / jnp.maximum(scales[_name(path)], TINY) if _name(path) in scales else leaf, params
    )
    return scaled, found


def _matrices(params: Tree) -> dict[str, jax.Array]:
    """Return every linear map among ``params``, as a matrix from its inputs (rows) to its outputs, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {
        _name(path): leaf.reshape(-1, leaf.shape[-1])
        for path, leaf in leaves
        if _name(path).rpartition("/")[2] in MATRICES
    }


def _name(path: Any) -> str:
    return "/".join(str(part.key) for part in path)


def _turned(matrix: jax.Array, direction: jax.Array) -> jax.Array:
    return _unit(matrix.T @ (matrix @ direction))


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), TINY)

"""Constraints on the discriminator's weights: clipping after each update, and spectral normalisation at each use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ganrun.config.registry import number, register
from ganrun.keys import key_for
from ganrun.methods.gan.penalties.base import Hparams, Penalty, Tree

# Names of the parameters that are linear maps. ``basis`` pools r3gan's last feature map, ``psi`` is dirac's parameter.
MATRICES = ("kernel", "embedding", "basis", "psi")
STATE = "spectral"  # entry of the batch statistics that holds their leading singular vectors
TINY = 1e-12


@register("penalty", "weight_clipping")
@dataclass(frozen=True)
class WeightClipping(Penalty):
    """Clips every weight of the discriminator to [-limit, limit], which bounds its Lipschitz constant.

    Formula: w ← min(c, max(-c, w)) after every update
    Paper: Arjovsky et al. 2017, "Wasserstein GAN", Algorithm 1.
    """

    reports: ClassVar[bool] = False

    name: str = "weight_clipping"
    limit: float = number(0.01, above=0.0)

    def project(self, params: Tree, hparams: Hparams) -> Tree:
        return jax.tree.map(lambda weight: jnp.clip(weight, -hparams["limit"], hparams["limit"]), params)


@register("penalty", "spectral_normalisation")
@dataclass(frozen=True)
class SpectralNormalisation(Penalty):
    """Divides every weight matrix of the discriminator by its largest singular value σ.

    A kernel is reshaped to a matrix with a column for each output channel and a row for each weight of its window. For
    a dense layer σ is the operator norm, which thus becomes 1. For a convolution it is not, because windows overlap: a
    normalised convolution of size s has an operator norm of up to s with stride 1 (1.5 to 2.5 for random 3x3 kernels),
    and of up to s / 2 with stride 2. The singular vectors are updated by ``iterations`` steps of power iteration at
    every forward pass in training.

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
    """A linen module with its matrices divided by their largest singular values; ``init`` and ``apply`` are the same.

    Attributes:
        module: the linen module.
        iterations: steps of power iteration per forward pass in training.
    """

    module: Any
    iterations: int

    def init(self, rngs: Mapping[str, jax.Array], *inputs: Any, **named: Any) -> dict[str, Tree]:
        """Return the variables of the module, with an estimate of the leading singular vector of each matrix."""
        variables = self.module.init(rngs, *inputs, **named)
        matrices = _matrices(variables["params"])
        directions = {
            path: _unit(jax.random.normal(key_for(rngs["params"], "direction", i), (matrix.shape[-1],)))
            for i, (path, matrix) in enumerate(matrices.items())
        }
        # Random vectors need some power iterations before the first division by a singular value.
        for _ in range(10):
            directions = {path: _power_iteration(matrices[path], vector) for path, vector in directions.items()}
        return {**variables, "batch_stats": {**variables.get("batch_stats", {}), STATE: directions}}

    def apply(self, variables: Mapping[str, Tree], *inputs: Any, mutable: Any = False, **named: Any) -> Any:
        """Apply the module with normalised matrices; with ``train=True`` the singular vectors are updated."""
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
    """Divide every matrix in ``params`` by its largest singular value.

    The gradient flows through the singular value, while the singular vectors are constants.

    Args:
        params: the discriminator's parameters.
        directions: estimates of the right singular vectors, by path.
        iterations: steps of power iteration; 0 leaves the vectors unchanged.

    Returns:
        The normalised parameters, and the updated vectors.
    """
    matrices = _matrices(params)
    updated, scales = {}, {}
    for path, matrix in matrices.items():
        direction = directions[path]
        for _ in range(iterations):
            direction = _power_iteration(jax.lax.stop_gradient(matrix), direction)
        updated[path] = direction
        left = jax.lax.stop_gradient(_unit(matrix @ direction))
        scales[path] = left @ matrix @ direction
    scaled = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf / jnp.maximum(scales[_name(path)], TINY) if _name(path) in scales else leaf, params
    )
    return scaled, updated


def _matrices(params: Tree) -> dict[str, jax.Array]:
    """Return every linear map in ``params`` by its path, as a matrix from its inputs (rows) to its outputs."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {
        _name(path): leaf.reshape(-1, leaf.shape[-1])
        for path, leaf in leaves
        if _name(path).rpartition("/")[2] in MATRICES
    }


def _name(path: Any) -> str:
    return "/".join(str(part.key) for part in path)


def _power_iteration(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return _unit(matrix.T @ (matrix @ vector))


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), TINY)

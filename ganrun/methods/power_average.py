"""Moving averages with power-function profiles, of which any width can be rebuilt after training.

The average at step t weights the variables after step s in proportion to s^γ, so that the start of a run is forgotten
however long it is. Its width σ_rel is the standard deviation of this profile, relative to t. An average of another
width is rebuilt as a linear combination of stored averages, the one whose profile is nearest to the wanted one.

Paper: Karras et al. 2024, "Analyzing and improving the training dynamics of diffusion models", section 3, appendix C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Tree = Any
PRECISION = 1e-13  # relative singular value below which a combination of profiles counts as zero


def exponent(sigma_rel: float) -> float:
    """Return the exponent γ of the profile of width ``sigma_rel``: the largest root of a cubic.

    Formula: σ² = (γ + 1) / ((γ + 2)² (γ + 3)), that is γ³ + 7 γ² + (16 - σ^-2) γ + 12 - σ^-2 = 0
    Paper: Karras et al. 2024, section 3.1 and appendix C.1.
    """
    inverse = sigma_rel**-2
    return float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max())


def initial_averages(variables: Tree, exponents: jax.Array) -> tuple[Tree, ...]:
    """Return the averages before the first step, one for each of ``exponents``; none of them is ever used."""
    return tuple(jax.tree.map(jnp.copy, variables) for _ in range(exponents.shape[0]))


def power_averages(
    averages: Sequence[Tree], variables: Tree, exponents: jax.Array, step: jax.Array
) -> tuple[Tree, ...]:
    """Return the averages after a step.

    Formula: average <- β average + (1 - β) variables, β = (1 - 1/t)^(γ + 1) at step t = 1, 2, ...
    Paper: Karras et al. 2024, section 3.1.

    Args:
        averages: one for each of ``exponents``, before the step.
        variables: the variables after the step.
        exponents: γ of each average, float32 ``(len(averages),)``.
        step: number of steps before this one, int32.
    """
    # 1 - β, which may be much smaller than β: expm1 and log1p keep its digits. It is 1 at the first step.
    portions = -jnp.expm1((exponents + 1.0) * jnp.log1p(-1.0 / (step.astype(jnp.float32) + 1.0)))

    def average(portion: jax.Array, mean: jax.Array, new: jax.Array) -> jax.Array:
        if not jnp.issubdtype(mean.dtype, jnp.floating):
            return new
        return (mean + portion * (new - mean)).astype(mean.dtype)

    return tuple(
        jax.tree.map(lambda mean, new, portion=portions[i]: average(portion, mean, new), tree, variables)
        for i, tree in enumerate(averages)
    )


@dataclass(frozen=True)
class Combination:
    """A linear combination of averages.

    Attributes:
        coefficients: of the averages, float64 ``(n,)``.
        difference: norm of the difference between its profile and the wanted one, relative to that of the wanted one.
    """

    coefficients: np.ndarray
    difference: float


def inner_products(steps: np.ndarray, exponents: np.ndarray, step: float, exponent: float) -> np.ndarray:
    """Return the inner products of the profiles of ``exponents`` at ``steps`` ``(n,)`` with another one.

    The profile at step t is p(s) = (γ + 1) s^γ / t^(γ + 1) for 0 <= s <= t, whose integral is 1. That of a product is
    one of a power of s up to the smaller step.

    Formula: <p, p'> = (γ + 1)(γ' + 1) / (γ + γ' + 1) (t / T)^γ_T / T, for the smaller step t and the larger step T, and
    the exponent γ_T of the profile at T
    Paper: Karras et al. 2024, appendix C.2.
    """
    smaller, larger = np.minimum(steps, step), np.maximum(steps, step)
    of_larger = np.where(steps > step, exponents, exponent)
    ratio = (smaller / larger) ** of_larger
    return (exponents + 1) * (exponent + 1) / (exponents + exponent + 1) * ratio / larger


def combination(steps: np.ndarray, exponents: np.ndarray, step: float, exponent: float) -> Combination:
    """Return the combination of averages whose profile is nearest to a wanted one, in the sense of least squares.

    Args:
        steps: of the averages, float64 ``(n,)``.
        exponents: of the averages, float64 ``(n,)``.
        step: of the wanted average.
        exponent: of the wanted average.
    """
    gram = np.stack([inner_products(steps, exponents, *one) for one in zip(steps, exponents, strict=True)])
    wanted = inner_products(steps, exponents, step, exponent)
    norms = np.sqrt(np.diag(gram))  # profiles of early steps are narrow and high
    solved = np.linalg.lstsq(gram / norms / norms[:, None], wanted / norms, rcond=PRECISION)[0]
    coefficients = solved / norms
    square = inner_products(np.array([step]), np.array([exponent]), step, exponent)[0]
    missed = square - 2 * coefficients @ wanted + coefficients @ gram @ coefficients
    return Combination(coefficients, float(np.sqrt(max(missed, 0.0) / square)))

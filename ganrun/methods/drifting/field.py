"""The drifting field: where a sample should move, from a minibatch of data and one of samples."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

FEW = 8  # numbers per example up to which distances are computed from differences and not from products

SMALLEST = 1e-20  # added to a mean square by whose root a field is divided

LogKernel = Callable[[jax.Array, jax.Array], jax.Array]  # squared distances and a temperature to log k
# log k of points and data ``(n, m)``, and of points and samples ``(n, l)``, to weights of the same shapes.
Normalisation = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def laplace(squares: jax.Array, temperature: jax.Array) -> jax.Array:
    """Return log k(x, y) = -||x - y|| / t."""
    return -jnp.sqrt(squares) / temperature


def gaussian(squares: jax.Array, temperature: jax.Array) -> jax.Array:
    """Return log k(x, y) = -||x - y||² / (2 t²)."""
    return -squares / (2.0 * temperature**2)


KERNELS: dict[str, LogKernel] = {"laplace": laplace, "gaussian": gaussian}


def separate(log_data: jax.Array, log_samples: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return weights of the data and weights of the samples, both proportional to k, of which each sum to 1.

    V(x) is then E [k(x, y+) k(x, y-) (y+ - y-)] / (Z+(x) Z-(x)), with Z+ = E k(x, y+) and Z- = E k(x, y-): the mean of
    the data minus that of the samples nearby, a difference of mean shifts (Deng et al. 2026, eq. 11).
    """
    return jax.nn.softmax(log_data, axis=1), jax.nn.softmax(log_samples, axis=1)


def joint(log_data: jax.Array, log_samples: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return weights that are normalised over data and samples together, and over the points x as well.

    Each is the geometric mean of two: of those that sum to 1 for every point x, and of those that sum to 1 over the
    points, by which an example attracts the points that are nearest to it even if these are far (Deng et al. 2026,
    Algorithm 2).
    """
    both = jnp.concatenate([log_data, log_samples], axis=1)
    weights = jnp.exp(0.5 * (jax.nn.log_softmax(both, axis=1) + jax.nn.log_softmax(both, axis=0)))
    return weights[:, : log_data.shape[1]], weights[:, log_data.shape[1] :]


NORMALISATIONS: dict[str, Normalisation] = {"joint": joint, "separate": separate}


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return ||x_i - y_j||² ``(n, m)`` for rows ``(n, dim)`` and ``(m, dim)``."""
    if x.shape[1] <= FEW:
        return jnp.sum((x[:, None] - y) ** 2, axis=-1)
    # Of many numbers, products of matrices are faster. Their rounding errors matter only for rows that nearly coincide.
    centre = jnp.mean(y, axis=0)
    x, y = x - centre, y - centre
    products = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1) - 2.0 * products, 0.0)


def drifting_fields(
    x: jax.Array,
    data: jax.Array,
    samples: jax.Array,
    temperatures: jax.Array,
    kernel: LogKernel,
    normalise: Normalisation,
    without_self: bool = False,
) -> jax.Array:
    """Return the drifting field of each temperature at the points ``x`` ``(n, dim)``, ``(t, n, dim)``.

    Formula: V(x) = sum_ij w_i v_j (y+_i - y-_j), with y+ from the data and y- from the samples, and weights w and v
        that are proportional to k(x, y) if they are normalised separately
    Paper: Deng et al. 2026, "Generative modeling via drifting", eqs. 8 to 11 and Algorithm 2.

    Args:
        x: where the field is computed.
        data: y+, ``(m, dim)``.
        samples: y-, ``(l, dim)``.
        temperatures: of the kernel, ``(t,)``, in units of the data.
        kernel: log k, one of :data:`KERNELS`.
        normalise: from log k to the weights, one of :data:`NORMALISATIONS`.
        without_self: whether ``samples`` are ``x``, of which each is left out of its own sum.
    """
    to_data, to_samples = squared_distances(x, data), squared_distances(x, samples)
    own = jnp.eye(len(x), dtype=bool) if without_self else None

    def of_one(temperature: jax.Array) -> jax.Array:
        log_data, log_samples = kernel(to_data, temperature), kernel(to_samples, temperature)
        if own is not None:
            log_samples = jnp.where(own, -jnp.inf, log_samples)
        w, v = normalise(log_data, log_samples)
        towards = jnp.sum(v, axis=1, keepdims=True) * jnp.matmul(w, data, precision="highest")
        return towards - jnp.sum(w, axis=1, keepdims=True) * jnp.matmul(v, samples, precision="highest")

    return jax.vmap(of_one)(temperatures)


def rescaled(fields: jax.Array) -> jax.Array:
    """Return ``fields`` ``(t, n, dim)``, each divided by the root of the mean square of its elements.

    Fields of low temperatures are short, since only points nearby have weights: without this, the sum over temperatures
    would be that of the highest. Deng et al. 2026, appendix A.6.
    """
    return fields / jnp.sqrt(jnp.mean(fields**2, axis=(1, 2), keepdims=True) + SMALLEST)

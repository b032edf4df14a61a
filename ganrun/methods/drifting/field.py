"""The drifting field: where a sample should move, from a minibatch of data and one of samples."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

FEW = 8  # numbers per example up to which distances are computed from differences and not from products

LogKernel = Callable[[jax.Array, jax.Array], jax.Array]  # squared distances and a temperature to log k


def laplace(squares: jax.Array, temperature: jax.Array) -> jax.Array:
    """Return log k(x, y) = -||x - y|| / t."""
    return -jnp.sqrt(squares) / temperature


def gaussian(squares: jax.Array, temperature: jax.Array) -> jax.Array:
    """Return log k(x, y) = -||x - y||² / (2 t²)."""
    return -squares / (2.0 * temperature**2)


KERNELS: dict[str, LogKernel] = {"laplace": laplace, "gaussian": gaussian}


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return ||x_i - y_j||² ``(n, m)`` for rows ``(n, dim)`` and ``(m, dim)``."""
    if x.shape[1] <= FEW:
        return jnp.sum((x[:, None] - y) ** 2, axis=-1)
    # Of many numbers, products of matrices are faster. Their rounding errors matter only for rows that nearly coincide.
    centre = jnp.mean(y, axis=0)
    x, y = x - centre, y - centre
    products = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1) - 2.0 * products, 0.0)


def drifting_field(
    x: jax.Array,
    data: jax.Array,
    samples: jax.Array,
    temperatures: jax.Array,
    kernel: LogKernel,
    without_self: bool = False,
) -> jax.Array:
    """Return the drifting field V ``(n, dim)`` at the points ``x`` ``(n, dim)``, summed over the temperatures.

    Formula: V(x) = E [k(x, y+) k(x, y-) (y+ - y-)] / (Z+(x) Z-(x)), with y+ from the data, y- from the samples,
        Z+ = E k(x, y+) and Z- = E k(x, y-); so V(x) = sum_i w_i y+_i - sum_j v_j y-_j, with weights w and v that are
        proportional to the kernel and sum to 1
    Paper: Deng et al. 2026, "Generative modeling via drifting", eqs. 8 to 11.

    Args:
        x: where the field is computed.
        data: y+, ``(m, dim)``.
        samples: y-, ``(l, dim)``.
        temperatures: of the kernel, ``(t,)``, in units of the data.
        kernel: log k, one of :data:`KERNELS`.
        without_self: whether ``samples`` are ``x``, of which each is left out of its own mean.
    """
    to_data, to_samples = squared_distances(x, data), squared_distances(x, samples)
    own = jnp.eye(len(x), dtype=bool) if without_self else None

    def of_one(temperature: jax.Array) -> jax.Array:
        log_data, log_samples = kernel(to_data, temperature), kernel(to_samples, temperature)
        if own is not None:
            log_samples = jnp.where(own, -jnp.inf, log_samples)
        attraction = jnp.matmul(jax.nn.softmax(log_data, axis=1), data, precision="highest")
        return attraction - jnp.matmul(jax.nn.softmax(log_samples, axis=1), samples, precision="highest")

    return jnp.sum(jax.vmap(of_one)(temperatures), axis=0)

"""Where in the latent space to look: fresh draws, truncated draws, ways between latents, and walks.

Latents are drawn on the device and moved about on the host, in double precision. A prior is ``normal`` (standard
normal) or ``uniform`` (on [-1, 1]), as ``latent.prior`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr, ndtri

from ganrun.game.method import Gan, sample_noise
from ganrun.game.state import Game
from ganrun.keys import key_for

BATCH = 512  # latents drawn, and pushed through a network, at once
STRAIGHT = 1e-4  # sine of an angle below which an arc and its chord are the same, or no arc is the shortest
EDGE = 1e-6  # share of a uniform prior at either end that a walk does not enter: there a normal number has no end


def block_key(seed: int, start: int) -> jax.Array:
    """Return the key of the :data:`BATCH` samples from number ``start`` on, of those drawn with ``seed``."""
    return key_for(jax.random.key(np.uint32(seed)), "samples", start)


def draw(game: Game, seed: int, n: int, truncation: float | None = None) -> np.ndarray:
    """Return ``(n, latent_dim)`` latents of the prior; latent i depends on the seed and i alone.

    They are the latents behind the samples of ``ganrun sample`` with the same seed. With ``truncation`` they are moved
    inwards by :func:`truncate`.
    """
    blocks = []
    for start in range(0, n, BATCH):
        key = block_key(seed, start)
        block = sample_noise(game, key, BATCH)
        if truncation is not None:
            block = truncate(block, key_for(key, "truncation"), game.prior, truncation)
        blocks.append(np.asarray(block))
    return np.concatenate(blocks)[:n]


def truncate(latents: jax.Array, key: jax.Array, prior: str, bound: float) -> jax.Array:
    """Return ``latents`` of the ``prior`` nearer to its middle: samples look more typical and differ less.

    Of a normal prior, numbers beyond ``bound`` are drawn again from the part of the prior inside it, which is where
    drawing until one falls inside ends too; the others stay. Of a uniform prior, all are multiplied by ``bound``.

    Paper: Brock et al. 2019, "Large scale GAN training for high fidelity natural image synthesis", section 3.1.
    """
    if prior == "uniform":
        return latents * bound
    inside = jax.random.truncated_normal(key, -bound, bound, latents.shape)
    return jnp.where(jnp.abs(latents) <= bound, latents, inside)


def slerp(start: np.ndarray, end: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return the latents ``(..., dim)`` at the shares ``t`` ``(...)`` of the arc from ``start`` to ``end``.

    Two latents of equal norm keep it all along. Where they point the same way, or opposite ways (then no arc is the
    shortest, and in one dimension there is none), the way is straight.

    Formula: (sin((1 - t) a) start + sin(t a) end) / sin(a), where a is the angle between start and end

    Paper: Shoemake 1985, "Animating rotation with quaternion curves"; for latents, White 2016, "Sampling generative
    networks".
    """
    norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
    cosine = np.sum(start * end, axis=-1) / np.maximum(norms, np.finfo(np.float64).tiny)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    straight = np.sin(angle) < STRAIGHT
    sine = np.where(straight, 1.0, np.sin(angle))
    left = np.where(straight, 1.0 - t, np.sin((1.0 - t) * angle) / sine)
    right = np.where(straight, t, np.sin(t * angle) / sine)
    return left[..., None] * start + right[..., None] * end


def interpolate(starts: np.ndarray, ends: np.ndarray, prior: str, steps: int) -> np.ndarray:
    """Return ``(n, steps, dim)``: from each of ``starts`` ``(n, dim)`` to its end in ``ends``, both included.

    Along arcs for a normal prior, whose mass lies near a sphere, and along straight lines for a uniform one.
    """
    start, end = (np.asarray(part, np.float64)[:, None, :] for part in (starts, ends))
    t = np.linspace(0.0, 1.0, steps)[None, :]
    if prior == "normal":
        return slerp(start, end, t)
    return (1.0 - t)[..., None] * start + t[..., None] * end


def walk(points: np.ndarray, prior: str, steps: int) -> np.ndarray:
    """Return a closed smooth walk ``(n, steps, dim)``: row i leads from way point i up to the next, the last to row 0.

    Every latent of it has the distribution of the prior, as the way points ``points`` ``(n, dim)`` do: a sum of
    independent normal latents is one itself where the squares of the weights sum to 1. The weights are those of a
    cubic spline, scaled so. A uniform prior is walked as the normal numbers of the same quantiles.
    """
    points = np.asarray(points, np.float64)
    if prior == "uniform":
        quantiles = np.clip((points + 1.0) / 2.0, EDGE, 1.0 - EDGE)
        return 2.0 * ndtr(walk(ndtri(quantiles), "normal", steps)) - 1.0
    n = len(points)
    weights = _spline(np.arange(steps) / steps)
    # Of few way points, the four that a latent is made of are not all different.
    places = np.arange(4)
    same = (places[:, None] - places[None, :]) % n == 0
    weights /= np.sqrt(np.einsum("tk,kl,tl->t", weights, same, weights))[:, None]
    around = np.stack([np.roll(points, 1 - k, axis=0) for k in places])
    return np.einsum("tk,knd->ntd", weights, around)


def _spline(t: np.ndarray) -> np.ndarray:
    """Return Catmull and Rom's weights ``(steps, 4)`` of the points before, at, after and beyond, at shares ``t``."""
    before = (-(t**3) + 2 * t**2 - t) / 2
    at = (3 * t**3 - 5 * t**2 + 2) / 2
    after = (-3 * t**3 + 4 * t**2 + t) / 2
    beyond = (t**3 - t**2) / 2
    return np.stack([before, at, after, beyond], axis=1)


def pushing(method: Gan, label: int | None) -> Callable[[Any, jax.Array], jax.Array]:
    """Return ``push(variables, latents)``, the generator of ``method``; a class-conditional one is told ``label``."""
    if label is None:
        return method.push
    apply = partial(method.game.generator.apply, train=False)
    return jax.jit(lambda variables, latents: apply(variables, latents, y=jnp.full(len(latents), label, jnp.int32)))


def through(network: Callable[[jax.Array], jax.Array], x: np.ndarray) -> np.ndarray:
    """Return what ``network`` makes of the rows of ``x`` ``(n, ...)``, in blocks of one size: one program for any n."""
    whole = np.zeros((-(-len(x) // BATCH) * BATCH, *x.shape[1:]), np.float32)
    whole[: len(x)] = x
    made = [np.asarray(network(jnp.asarray(whole[i : i + BATCH]))) for i in range(0, len(whole), BATCH)]
    return np.concatenate(made)[: len(x)]

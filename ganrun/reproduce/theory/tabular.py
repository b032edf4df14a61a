"""The tabular model of the convergence proof, and distances of Bernoulli distributions."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize
from scipy.stats import binom

from ganrun.methods.gan.losses import LOG_2, Cramer, Minimax
from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.line import hparams_of
from ganrun.reproduce.workspace import Workspace

STEPS, RATE = 4000, 0.5  # of gradient descent on the logits of the tabular model


@experiment(
    "convergence",
    "S1, Proposition 1",
    "gradient descent on a tabular model with the optimal discriminator converges to the data",
    (0.2, 0.2),
    15,
)
def convergence(workspace: Workspace) -> Iterator[Finding]:
    """Descend ganrun's minimax generator loss in the logits of 20 probabilities."""
    seeds = workspace.given_seeds or 5
    with jax.enable_x64(True):
        curves = [np.asarray(_descend(jax.random.key(seed))) for seed in range(seeds)]
    final = tuple(float(curve[-1]) for curve in curves)
    yield Finding("JSD of the tabular model at the end, nats", "< 1e-4", 0.0, 1e-4, final, 15, every_seed=True)
    rises = tuple(float(np.diff(curve).max()) for curve in curves)
    yield Finding("largest rise of the JSD in a step, nats", "≤ 0", -np.inf, 1e-12, rises, 15, every_seed=True)


def _descend(key: jax.Array) -> jax.Array:
    """Return the divergence before each step ``(STEPS,)``."""
    loss = Minimax()
    keys = jax.random.split(key)
    p = jax.nn.softmax(jax.random.normal(keys[0], (20,)))

    def step(theta: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        q = jax.nn.softmax(theta)
        logit = jnp.log(p) - jnp.log(q)
        middle = jnp.log((p + q) / 2)
        divergence = 0.5 * jnp.sum(p * (jnp.log(p) - middle)) + 0.5 * jnp.sum(q * (jnp.log(q) - middle))
        each = jax.vmap(lambda value: loss.generator(None, value[None], hparams_of(loss)))(logit)
        gradient = jax.grad(lambda moved: jnp.sum(jax.nn.softmax(moved) * each))(theta)
        return theta - RATE * gradient, divergence

    return jax.lax.scan(step, jax.random.normal(keys[1], (20,)), None, STEPS)[1]


@experiment(
    "wasserstein-and-cramer",
    "S2",
    "the Wasserstein distance is informative where JSD is constant, but its sample gradients are biased",
    (0.5, 0.5),
    16,
    17,
)
def wasserstein_and_cramer(workspace: Workspace) -> Iterator[Finding]:
    """Measure both distances of segments, and minimise expected sample distances of Bernoulli distributions."""
    draws = np.random.default_rng(0)
    heights = draws.random((2, 500))
    for theta in (0.5, 0.1):
        a, b = (np.stack([np.full(500, x), y], 1) for x, y in zip((0.0, theta), heights, strict=True))
        cost = np.linalg.norm(a[:, None] - np.stack([np.full(500, theta), heights[0]], 1)[None], axis=2)
        found = float(cost[optimize.linear_sum_assignment(cost)].mean())
        yield near(f"W1 of segments {theta:g} apart, 500 points each", theta, 0.01 * theta, found, 16)
        files = [workspace.array(f"segment_{theta}_{i}", side.astype(np.float32)) for i, side in enumerate((a, b))]
        words = ("jsd", *map(str, files), "estimator=knn", "floor=false", "format=json")
        estimate = workspace.output(f"segments_{theta}", *words)["estimate"]
        yield near("estimated JSD of the same segments, nats", LOG_2, 0.01, estimate, 16)
    for m, expected in ((1, 1.0), (3, 2 / 3), (10, 0.6), (30, 0.6)):
        yield near(
            f"θ with the smallest expected W1, samples of {m} from Bernoulli(0.6)", expected, 1e-3, _best(m, 1), 17
        )
    for m in (1, 3, 10):
        yield near(f"the same of the Cramér distance, samples of {m}", 0.6, 1e-3, _best(m, 2), 17)
    yield near("θ with the smallest loss of loss=cramer, exact expectation", 0.6, 1e-3, _best_of_the_loss(), 17)


def _best(m: int, power: int) -> float:
    """Return the argmin over θ of E |share of ones among m draws − θ|^power, on a grid of 1e-3.

    Between Bernoulli distributions, W1 is the difference of the probabilities, and the squared Cramér distance its
    square.
    """
    shares, mass = np.arange(m + 1) / m, binom.pmf(np.arange(m + 1), m, 0.6)
    grid = np.linspace(0, 1, 1001)
    expected = (mass[:, None] * np.abs(shares[:, None] - grid[None]) ** power).sum(axis=0)
    return float(grid[expected.argmin()])


def _best_of_the_loss() -> float:
    """Return the argmin over θ of the expected loss of ganrun's Cramér generator for data from Bernoulli(0.6).

    The loss averages over rows and pairs of neighbouring rows, so that two rows of data and two of samples contain all
    of its terms. Their sixteen values are enumerated.
    """
    loss, grid = Cramer(outputs=2), np.linspace(0, 1, 1001)
    expected = np.zeros_like(grid)
    for number in range(16):
        bits = [(number >> i) & 1 for i in range(4)]
        rows = np.array([[bit, 0.0] for bit in bits], np.float32)  # on a line in the space of outputs
        value = float(loss.generator(jnp.asarray(rows[:2]), jnp.asarray(rows[2:]), {}))
        mass = np.prod([0.6 if bit else 0.4 for bit in bits[:2]])
        chance = np.prod([grid if bit else 1 - grid for bit in bits[2:]], axis=0)
        expected += value * mass * chance
    return float(grid[expected.argmin()])

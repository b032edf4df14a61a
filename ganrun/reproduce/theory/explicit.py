"""Models with an explicit density: sequential sampling, the ELBO's gap, Markov chains and invertible generators."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.autoencoder import MlpAutoencoder
from ganrun.architectures.masked_mlp import Made
from ganrun.methods.autoregressive.autoregressive import Autoregressive
from ganrun.methods.autoregressive.conditionals import GaussianMixture
from ganrun.methods.likelihoods import LIKELIHOODS
from ganrun.methods.rbm.energy import gibbs
from ganrun.methods.vae.vae import Vae
from ganrun.optimizers import Sgd
from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.workspace import TrainedRun, Workspace

DIMENSIONS = (32, 64, 128, 256)
UNITS, CHAINS = 10, 20_000  # of the restricted Boltzmann machine
STATES = (np.arange(2**UNITS)[:, None] >> np.arange(UNITS)[::-1]) & 1  # (1024, 10)


@experiment(
    "explicit-models",
    "S0, S4",
    "explicit models pay for their density: sequential samples, a bound, Markov chains, or invertibility",
    (1.0, 1.5),
    21,
    22,
    23,
    24,
)
def explicit_models(workspace: Workspace) -> Iterator[Finding]:
    """Measure one property of each of the four families."""
    seconds = [_sampling_seconds(n) for n in DIMENSIONS]
    fit = float(np.corrcoef(DIMENSIONS, seconds)[0, 1] ** 2)
    yield Finding("R² of sampling time proportional to dimension, MADE", "> 0.98", 0.98, 1.0, (fit,), 21)
    gap, lowest = _elbo_gap()
    yield near("|log p − ELBO − KL(q, posterior)|, linear-Gaussian VAE, largest of 20, nats", 0.0, 1e-6, gap, 22)
    yield Finding("log p − ELBO, smallest of 20, nats", "> 0", 0.0, np.inf, (lowest,), 22)
    yield from _chains()
    runs = workspace.train("flow", "experiment=reproduce/invertible", seeds=3)
    done = tuple(_integral(run) for run in runs if run.completed)
    yield near(
        "integral of a flow's density over the plane",
        1.0,
        1e-4,
        done,
        24,
        every_seed=True,
        failed=len(runs) - len(done),
    )
    message = workspace.refused("train", "experiment=reproduce/invertible", "latent.dim=1")
    yield near("a flow with one latent for the plane is refused (1: yes)", 1.0, 0.0, float("latent" in message), 24)


def _sampling_seconds(dimension: int) -> float:
    """Return the shortest of several times in which 16 vectors are drawn from a MADE of fixed width."""
    conditional, shape = GaussianMixture(1), (dimension,)
    module = Made((64, 64), direct=False).build_autoregressive(shape, conditional.outputs)
    method: Any = Autoregressive(module=module, conditional=conditional, optimizer=Sgd(), batch_size=1)
    variables = {"batch_stats": {}, **method.initial(jax.random.key(0), jnp.zeros((1, *shape)))}
    draw = jax.jit(lambda key: method.sample(variables, {}, key, 16))
    jax.block_until_ready(draw(jax.random.key(0)))
    taken = []
    for repeat in range(100):
        start = time.perf_counter()
        jax.block_until_ready(draw(jax.random.key(repeat)))
        taken.append(time.perf_counter() - start)
    return min(taken)


def _elbo_gap() -> tuple[float, float]:
    """Return the largest |gap - KL(q, posterior)| and the smallest gap of 20 examples, by ganrun's own terms.

    p(x|z) = N(W z + b, s² I) with z from N(0, I), so that p(x) and the posterior are normal distributions.
    """
    rng = np.random.default_rng(0)
    w, b, s = rng.normal(size=(3, 2)), rng.normal(size=3), 0.6
    covariance = np.linalg.inv(np.eye(2) + w.T @ w / s**2)
    v = covariance @ w.T / s**2 + 0.1 * rng.normal(size=(2, 3))
    variance, c = np.diag(covariance) * [1.5, 0.7], -v @ b + 0.1
    likelihood = LIKELIHOODS["gaussian"]
    module = MlpAutoencoder((3,), 2, likelihood.OUTPUTS, (), (), "tanh")
    method = Vae(
        module=module,
        likelihood=likelihood,
        optimizer=Sgd(decay="constant"),
        latent_dim=2,
        batch_size=4,
        importance_samples=1,
    )
    x = rng.normal(size=(20, 2)) @ w.T + b + s * rng.normal(size=(20, 3))
    with jax.enable_x64(True):
        encoder = {"kernel": np.concatenate([v.T, np.zeros((3, 2))], 1), "bias": np.concatenate([c, np.log(variance)])}
        networks = {"encoder": {"Dense_0": encoder}, "decoder": {"Dense_0": {"kernel": w.T, "bias": b}}}
        variables = jax.tree.map(
            jnp.asarray, {"params": {"networks": networks, "log_std": np.log(s)}, "batch_stats": {}}
        )
        bounds = []
        for point in math.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)]):  # exact for a quadratic function of noise
            terms, _ = method.terms(variables, jnp.asarray(x), jnp.broadcast_to(jnp.asarray(point), (1, 20, 2)))
            bounds.append(np.asarray(terms.reconstruction[0] - jnp.sum(terms.kl, axis=1)))
    marginal = w @ w.T + s**2 * np.eye(3)
    off = x - b
    log_p = -0.5 * np.einsum("ni,ij,nj->n", off, np.linalg.inv(marginal), off)
    log_p -= 0.5 * (np.linalg.slogdet(marginal)[1] + 3 * math.log(2 * math.pi))
    gap = log_p - np.mean(bounds, axis=0)
    apart = x @ v.T + c - off @ w @ covariance / s**2
    precision = np.linalg.inv(covariance)
    kl = np.trace(precision @ np.diag(variance)) - 2 + np.linalg.slogdet(covariance)[1] - np.log(variance).sum()
    kl = 0.5 * (kl + np.einsum("ni,ij,nj->n", apart, precision, apart))
    return float(np.abs(gap - kl).max()), float(gap.min())


def _chains() -> Iterator[Finding]:
    """Compare Gibbs chains of machines with 10 x 10 units with their enumerated distributions."""
    rng = np.random.default_rng(0)
    general = (rng.normal(size=(UNITS, UNITS)), rng.normal(size=UNITS), rng.normal(size=UNITS))
    strong = (np.full((UNITS, UNITS), 1.5), np.full(UNITS, -7.5), np.full(UNITS, -7.5))
    first, last = (_distance(general, steps) for steps in (1, 30))
    yield Finding("total variation of the first 4 units after 1 Gibbs step", "> 0.05", 0.05, 1.0, (first,), 23)
    yield Finding("the same after 30 steps", "≤ 0.02", 0.0, 0.02, (last,), 23)
    yield near("total variation after 100 steps between two modes, weights 1.5", 0.5, 0.02, _distance(strong, 100), 23)


def _distance(machine: tuple[np.ndarray, np.ndarray, np.ndarray], steps: int) -> float:
    """Return the total variation of ganrun's chains from all zeros from the enumerated distribution of 4 units."""
    names = ("weights", "visible_bias", "hidden_bias")
    params = {name: jnp.asarray(array, jnp.float32) for name, array in zip(names, machine, strict=True)}
    start = jnp.zeros((CHAINS, UNITS))
    found = np.asarray(jax.jit(gibbs)(params, jax.random.key(3), start, jnp.int32(steps))[0])
    counts = np.bincount((found[:, :4] @ [8, 4, 2, 1]).astype(int), minlength=16) / CHAINS
    weights, visible, hidden = machine
    log_joint = (STATES @ visible)[:, None] + (STATES @ hidden)[None] + STATES @ weights @ STATES.T
    mass = np.exp(log_joint - log_joint.max())
    exact = mass.sum(axis=1).reshape(16, 64).sum(axis=1) / mass.sum()
    return float(0.5 * np.abs(counts - exact).sum())


def _integral(run: TrainedRun) -> float:
    """Return the integral of the density of a flow in the plane, by the trapezoidal rule on [-9, 9]²."""
    from ganrun.evaluation.load_run import load_run
    from ganrun.storage.run_directory import load_config

    found, state = load_run(run.path, load_config(run.path))
    axis = np.linspace(-9, 9, 601, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    variables = found.variables(state)
    density = found.method.log_density(variables, jax.random.key(0), jnp.asarray(points))["log_likelihood"]
    table = np.exp(np.asarray(density, np.float64)).reshape(601, 601)
    return float(np.trapezoid(np.trapezoid(table, axis), axis))

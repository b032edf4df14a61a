"""The value of the game: the optimal discriminator, the minimum, and the best of several generators."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from ganrun.methods.gan.losses import LOG_2, LOG_4, Minimax
from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.line import MIXTURE1D, Mixture, discriminator_loss, jsd, normal
from ganrun.reproduce.workspace import Workspace

PAIRS = {
    "N(0, 1) against N(1, 1)": (normal(), normal(1.0)),
    "N(0, 1) against N(4, 1)": (normal(), normal(4.0)),
    "N(0, 1) against N(0, 2)": (normal(), normal(0.0, 2.0)),
    "two modes against N(0, 1)": (MIXTURE1D, normal()),
    "two modes against N(0, 3)": (MIXTURE1D, normal(0.0, 3.0)),
}


def value(p: Mixture, q: Mixture, shift: float = 0.0) -> float:
    """Return V of the discriminator with the logits log p - log q + ``shift``, by ganrun's own minimax loss, nats."""
    return -float(discriminator_loss(Minimax(), lambda x: p.log_density(x) - q.log_density(x) + shift, p, q))


@experiment(
    "optimal-discriminator",
    "S1, section on the optimal discriminator and Fig. 2; S3",
    "D* = p / (p + q): shifting its logits lowers V, and a trained D approaches it",
    (1.0, 2.0),
    1,
)
def optimal_discriminator(workspace: Workspace) -> Iterator[Finding]:
    """Shift the logits of D* by ±0.1 on six pairs, and train a discriminator against a fixed generator."""
    with jax.enable_x64(True):
        pairs = [(normal(), normal()), *PAIRS.values()]
        changes = [value(p, q, shift) - value(p, q) for p, q in pairs for shift in (-0.1, 0.1)]
    # log σ(ε) + log σ(-ε) + log 4 = -ε²/4 + ε⁴/96 up to the sixth order
    yield near(
        "V of shifted minus V of D*, N(0, 1) against itself, nats", -(0.1**2) / 4 + 0.1**4 / 96, 1e-8, changes[0], 1
    )
    yield Finding("the same, largest of six pairs and both signs, nats", "< 0", -np.inf, -1e-6, (max(changes),), 1)
    runs = workspace.train("frozen", "experiment=reproduce/optimal_discriminator", "log.pictures=25", seeds=3)
    gaps = tuple(run.last("value") - (2 * run.last("jsd/exact") - LOG_4) for run in runs if run.completed)
    yield near(
        "V of a trained D minus (−log 4 + 2 JSD), fixed G, nats", 0.0, 0.02, gaps, 1, failed=len(runs) - len(gaps)
    )
    if gaps:
        words = ("sample", "mode=film", f"run={runs[0].path}")
        caption = "p_data, p_g and D while D is trained against a fixed generator (S1, Fig. 2)."
        workspace.picture("optimal-discriminator.gif", caption, *words)


@experiment(
    "game-value",
    "S1, S3; S2 and S4 with factors of 1/2",
    "V(D*) = −log 4 + 2 JSD, with the minimum −log 4 where the model equals the data",
    (0.5, 0.5),
    2,
    3,
)
def game_value(workspace: Workspace) -> Iterator[Finding]:
    """Compare V at D* with the divergence by quadrature, and estimate the divergence of equal distributions."""
    with jax.enable_x64(True):
        residuals = [abs(value(p, q) + LOG_4 - 2 * float(jsd(p, q))) for p, q in PAIRS.values()]
        lowest, equal = min(value(p, q) for p, q in PAIRS.values()), value(normal(), normal())
    yield near("|V(D*) + log 4 − 2 JSD|, largest of five pairs, nats", 0.0, 1e-9, max(residuals), 2)
    yield near("V(D*) where the model equals the data, nats", -LOG_4, 1e-9, equal, 3)
    yield Finding("V(D*) + log 4 of five other pairs, smallest, nats", "> 0", 1e-3, np.inf, (lowest + LOG_4,), 3)
    found = workspace.output("same", "jsd", "gaussian", "gaussian", "estimator=streaming", "floor=false", "format=json")
    yield near("estimated JSD of N(0, 1) and itself from samples, nats", 0.0, 0.002, found["estimate"], 3)


@experiment(
    "best-of-three",
    "S1, Fig. 4",
    "of the generators N(0.5, 1), N(1, 1) and N(2, 1) for N(0, 1) data, max V over D picks the first",
    (1.3, 4.0),
    14,
)
def best_of_three(workspace: Workspace) -> Iterator[Finding]:
    """Estimate max V over D of each generator from samples, several times."""
    expected = {0.5: -1.3257, 1.0: -1.1634, 2.0: -0.7126}
    with jax.enable_x64(True):
        for mean, number in expected.items():
            yield near(f"V(D*) of N({mean}, 1), quadrature, nats", number, 1e-4, value(normal(), normal(mean)), 14)
    picked = []
    for seed in range(workspace.given_seeds or workspace.choose(3, 10)):
        draws = np.random.default_rng(seed)
        values = {}
        data = workspace.array(f"data_{seed}", normal().draw(draws, 2000))
        for mean in expected:
            model = workspace.array(f"model_{seed}_{mean}", normal(mean).draw(draws, 2000))
            words = ("jsd", str(data), str(model), "estimator=stack", "floor=false", "budget=0.2", "format=json")
            values[mean] = 2 * workspace.output(f"jsd_{seed}_{mean}", *words)["estimate"] - LOG_4
        picked.append(min(values, key=values.__getitem__))
    yield Finding(
        "mean of the generator picked by estimated max V",
        "0.5, every seed",
        0.5,
        0.5,
        tuple(picked),
        14,
        every_seed=True,
    )


@experiment(
    "degenerate-support",
    "S1 (disjoint supports), S3 (degenerate generators)",
    "disjoint supports and generators with too few latents have a divergence of log 2, not of 0",
    (1.0, 1.0),
    4,
    20,
)
def degenerate_support(workspace: Workspace) -> Iterator[Finding]:
    """Estimate the divergence of two parallel segments, and train a generator with one latent on data in the plane."""
    draws = np.random.default_rng(0)
    for theta in (0.1, 0.001):
        sides = [np.stack([np.full(10_000, x), draws.random(10_000)], 1).astype(np.float32) for x in (0.0, theta)]
        a, b = (workspace.array(f"segment_{theta}_{i}", side) for i, side in enumerate(sides))
        found = workspace.output(f"segments_{theta}", "jsd", str(a), str(b), "floor=false", "format=json")["estimate"]
        yield near(f"estimated JSD of segments {theta:g} apart, nats", LOG_2, 1e-3, found, 4)
    yield Finding("the same as S1 states it: 0", "0", -0.01, 0.01, (found,), 4, as_stated=True)
    runs = workspace.train("one_latent", "experiment=reproduce/degenerate_support", seeds=3)
    done = [run for run in runs if run.completed]
    failed = len(runs) - len(done)
    exact, smoothed = (tuple(run.last(tag) for run in done) for tag in ("jsd/exact", "jsd/smoothed"))
    yield near("JSD of a generator with one latent in the plane, nats", LOG_2, 0.0, exact, 20, failed=failed)
    yield Finding(
        "the same, both smoothed by noise, nats",
        "less than log 2",
        0.0,
        0.6,
        smoothed,
        20,
        every_seed=True,
        failed=failed,
    )

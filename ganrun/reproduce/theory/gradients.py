"""The generator's gradient: where it vanishes, which divergence it descends, and where it is zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from ganrun.methods.gan.losses import Logistic, Loss, MaximumLikelihood, Minimax, NonSaturating
from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.line import MIXTURE1D, Mixture, generator_gradient, jsd, kl, normal
from ganrun.reproduce.workspace import Workspace

POINTS = (
    (0.4, 1.3),
    (-1.0, 0.9),
    (1.5, 2.0),
)  # (mean, std) of the generators that are compared


def gradient_of(divergence: Callable[[Mixture], jax.Array], mean: float, std: float) -> np.ndarray:
    """Return the gradient by (mean, std) of a divergence of the normal distribution with these parameters."""
    found = jax.grad(lambda theta: divergence(Mixture([theta[0]], [theta[1]])))
    return np.asarray(found(jnp.asarray([mean, std])))


def largest_difference(loss: Loss, divergence: Callable[[Mixture], jax.Array]) -> float:
    """Return the largest difference between the gradients of ``loss`` at the optimal D and of ``divergence``."""
    differences = [generator_gradient(loss, MIXTURE1D, *at) - gradient_of(divergence, *at) for at in POINTS]
    return float(np.abs(differences).max())


@experiment(
    "vanishing-gradient",
    "S1, S2, S3",
    "the saturating generator gradient vanishes where D rejects samples, that of −log D does not",
    (1.5, 1.5),
    5,
    6,
)
def vanishing_gradient(workspace: Workspace) -> Iterator[Finding]:
    """Compute both gradients at the optimal D for shifted normals, and train D on a manifold against a fixed G."""
    expected = {2.0: (0.450, 1.55), 6.0: (0.0125, 5.99), 10.0: (4.5e-6, 10.0)}
    losses = {"saturating": Minimax(), "non-saturating": NonSaturating()}
    with jax.enable_x64(True):
        for shift, numbers in expected.items():
            for (name, loss), number in zip(losses.items(), numbers, strict=True):
                found = abs(generator_gradient(loss, normal(), shift, 1.0)[0])
                yield near(f"{name} gradient, N(0, 1) against N({shift:g}, 1)", number, 0.011 * number, found, 5)
    words = ("experiment=reproduce/vanishing_gradient", f"dataset.path={_manifold(workspace)}")
    logged: dict[str, list[float]] = {}
    for loss in ("minimax", "nonsaturating"):
        for run in workspace.train(loss, *words, f"loss={loss}", seeds=3):
            norms = [row["grad_norm/generator"] for row in run.rows() if "grad_norm/generator" in row]
            logged.setdefault(loss, []).append(math.log10(max(norms[0], 1e-38) / max(norms[-1], 1e-38)))
    decades, grown = (tuple(logged.get(loss, ())) for loss in ("minimax", "nonsaturating"))
    yield Finding(
        "decades by which the saturating gradient falls while D is trained on a manifold",
        "≥ 5",
        5.0,
        np.inf,
        decades,
        6,
    )
    yield Finding("the same of the non-saturating gradient", "≤ 0: it grows", -np.inf, 0.0, grown, 6)


def _manifold(workspace: Workspace) -> Any:
    """Return the file with 20 000 points of a curved surface in 32 dimensions."""
    draws = np.random.default_rng(0)
    surface = draws.normal(size=(20_000, 2))
    first, second = draws.normal(size=(2, 32)), draws.normal(size=(32, 32)) / math.sqrt(32)
    return workspace.array("manifold", np.tanh(surface @ first).astype(np.float32) @ second.astype(np.float32))


@experiment(
    "same-fixed-point",
    "S1, S3; S1, eq. 42",
    "−log D descends KL(model, data) − 2 JSD, and shares the fixed point of the minimax loss only if that is the data",
    (0.5, 0.5),
    7,
    8,
)
def same_fixed_point(workspace: Workspace) -> Iterator[Finding]:
    """Compare gradients with those of divergences, and find the zeros of both generators' gradients."""
    del workspace
    with jax.enable_x64(True):
        both = lambda q: kl(q, MIXTURE1D) - 2 * jsd(MIXTURE1D, q)  # noqa: E731 (one expression each, side by side)
        printed = lambda q: kl(MIXTURE1D, q) - 2 * jsd(MIXTURE1D, q)  # noqa: E731
        quantity = "gradient of −log D minus that of {}, largest of three generators"
        found = largest_difference(NonSaturating(), both)
        yield near(quantity.format("KL(model, data) − 2 JSD"), 0.0, 1e-7, found, 8)
        found = largest_difference(NonSaturating(), printed)
        yield near(quantity.format("KL(data, model) − 2 JSD (eq. 42)"), 0.0, 1e-3, found, 8, as_stated=True)
        optima = {"minimax": (Minimax(), -0.014, 1.885), "non-saturating": (NonSaturating(), -1.412, 0.782)}
        fixed = {}
        for name, (loss, mean, std) in optima.items():
            fixed[name] = _fixed_point(loss, MIXTURE1D, (mean + 0.05, std * 1.05))
            for parameter, expected, number in zip(("mean", "std"), (mean, std), fixed[name], strict=True):
                yield near(f"{name} fixed point of a normal model of two modes, {parameter}", expected, 1e-3, number, 7)
        apart = float(np.linalg.norm(fixed["minimax"] - fixed["non-saturating"]))
        yield near("distance between the two fixed points, data not representable", 0.0, 1e-3, apart, 7, as_stated=True)
        same = normal(0.7, 1.4)
        points = [_fixed_point(loss, same, (0.9, 1.2)) for loss, _, _ in optima.values()]
        yield near("the same, data representable", 0.0, 1e-6, float(np.linalg.norm(points[0] - points[1])), 7)


def _fixed_point(loss: Loss, data: Mixture, start: tuple[float, float]) -> np.ndarray:
    """Return the (mean, std) at which the generator's gradient with the optimal D is zero."""
    gradient = jax.jit(lambda theta: _gradient(loss, data, theta))
    found = optimize.root(lambda theta: np.asarray(gradient(jnp.asarray(theta))), np.array(start), tol=1e-10)
    return found.x


def _gradient(loss: Loss, data: Mixture, theta: jax.Array) -> jax.Array:
    from ganrun.reproduce.line import generator_loss

    q = normal(*jax.lax.stop_gradient(theta))
    logit = lambda x: data.log_density(x) - q.log_density(x)  # noqa: E731
    return jax.grad(lambda moved: generator_loss(loss, logit, moved[0], moved[1]))(theta)


@experiment(
    "mle-game",
    "S0, S1, S2",
    "−E exp(logit D) descends KL(data, model), which is maximum likelihood, and −E logit D its reverse",
    (0.3, 0.3),
    11,
)
def mle_game(workspace: Workspace) -> Iterator[Finding]:
    """Compare the generators' gradients at the optimal D with those of both Kullback-Leibler divergences."""
    del workspace
    with jax.enable_x64(True):
        quantity = "gradient of {} minus that of {}, largest of three generators"
        found = largest_difference(MaximumLikelihood(), lambda q: kl(MIXTURE1D, q))
        yield near(quantity.format("−E exp(logit D)", "KL(data, model)"), 0.0, 1e-7, found, 11)
        # At the optimal D, the sum of both generators of the original game has the gradient of -E logit D.
        sums = [
            generator_gradient(Minimax(), MIXTURE1D, *at) + generator_gradient(NonSaturating(), MIXTURE1D, *at)
            for at in POINTS
        ]
        reverse = [gradient_of(lambda q: kl(q, MIXTURE1D), *at) for at in POINTS]
        found = float(np.abs(np.array(sums) - np.array(reverse)).max())
        yield near(quantity.format("log(1 − D) − log D = −logit D", "KL(model, data)"), 0.0, 1e-7, found, 11)
        saturating = Logistic(generator_objective="saturating")
        found = largest_difference(saturating, lambda q: 2 * jsd(MIXTURE1D, q))
        yield near(quantity.format("the minimax generator", "2 JSD"), 0.0, 1e-7, found, 11)

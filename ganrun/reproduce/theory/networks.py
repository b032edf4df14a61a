"""Discrete output, inference by an encoder, and equilibria: what the networks and their updates can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.mlp import Mlp
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.methods.gan.losses import NonSaturating
from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.workspace import TrainedRun, Workspace

RATE = 0.2  # of the Dirac-GAN


@experiment("discrete-output", "S0, S3", "no gradient passes through discrete output", (0.2, 0.2), 25)
def discrete_output(workspace: Workspace) -> Iterator[Finding]:
    """Compute the generator's gradient through an argmax, and through a straight-through estimator."""
    del workspace
    networks: Any = Mlp((16,), (16,)).build((5,), 3)
    z = jax.random.normal(jax.random.key(0), (64, 3))
    params = networks.generator.init(jax.random.key(1), z, train=False)
    critic = networks.discriminator.init(jax.random.key(2), jnp.zeros((1, 5)), train=False)

    def gradient_norm(through: bool) -> float:
        def loss(params: Any) -> Any:
            scores = networks.generator.apply(params, z, train=False)
            words = jax.nn.one_hot(jnp.argmax(scores, axis=1), 5)
            soft = jax.nn.softmax(scores)
            x = words + soft - jax.lax.stop_gradient(soft) if through else words
            return NonSaturating().generator(None, networks.discriminator.apply(critic, x, train=False), {})

        leaves = jax.tree.leaves(jax.grad(loss)(params))
        return float(sum(jnp.sum(leaf**2) for leaf in leaves) ** 0.5)

    yield near("norm of the generator's gradient through argmax", 0.0, 0.0, gradient_norm(through=False), 25)
    norm = gradient_norm(through=True)
    yield Finding("the same with a straight-through estimator", "> 0", 1e-6, np.inf, (norm,), 25)


@experiment(
    "inference", "S3, on inference of z", "an encoder that is trained in the game inverts the generator", (1.0, 1.0), 26
)
def inference(workspace: Workspace) -> Iterator[Finding]:
    """Train BiGAN in the plane and measure the error of E(G(z))."""
    runs = workspace.train("runs", "experiment=reproduce/inference", seeds=5)
    errors = tuple(_latent_error(run) for run in runs if run.completed)
    failed = len(runs) - len(errors)
    yield Finding("MSE / variance of E(G(z)) as an estimate of z", "< 0.05", 0.0, 0.05, errors, 26, failed=failed)


def _latent_error(run: TrainedRun) -> float:
    from ganrun.evaluation.load_run import load_run
    from ganrun.latent_space import latent_error
    from ganrun.storage.run_directory import load_config

    found, state = load_run(run.path, load_config(run.path))
    prior, variables = found.method.prior, found.variables(state)
    assert prior is not None
    z = prior.draw(jax.random.key(1), 10_000)
    return float(latent_error(np.asarray(z), np.asarray(found.encode(variables, found.decode(variables, z)))))


@experiment(
    "nash",
    "S0, S2, S4; Mescheder et al. 2018",
    "gradient descent of both players circles the equilibrium of the Dirac-GAN, and R1 makes it converge",
    (0.5, 0.5),
    27,
)
def nash(workspace: Workspace) -> Iterator[Finding]:
    """Differentiate ganrun's own step at the equilibrium and compare its eigenvalues with theory."""
    del workspace
    settings: dict[str, tuple[tuple[str, ...], complex]] = {
        "minimax": (("loss=minimax",), 0.5j),
        "non-saturating": (("loss=nonsaturating",), 0.5j),
        "Wasserstein": (("loss=wasserstein",), 1j),
        "minimax with R1, weight 0.3": (("loss=minimax", *_r1(0.3)), _damped(0.3)),
        "minimax with R1, weight 1.5": (("loss=minimax", *_r1(1.5)), _damped(1.5)),
        "minimax with consensus optimization": (
            ("loss=minimax", "penalty=consensus", "penalty.consensus.weight=1"),
            -0.25 + 0.5j,
        ),
    }
    for name, (words, expected) in settings.items():
        values = _eigenvalues(dirac_step("schedule.order=simultaneous", *words))
        distance = float(np.abs(values - expected).min())
        text = f"{expected.real:.4g} ± {expected.imag:.4g}i"
        yield near(f"distance of the field's eigenvalues from {text}, {name}", 0.0, 1e-6, distance, 27)
    alternating = _jacobian(dirac_step("loss=minimax"))
    largest = float(np.abs(np.linalg.eigvals(alternating)).max())
    yield near("largest |eigenvalue| of an alternating minimax step", 1.0, 1e-6, largest, 27)
    growth = float(
        np.abs(np.linalg.eigvals(_jacobian(dirac_step("loss=minimax", "schedule.order=simultaneous")))).max()
    )
    yield near("growth of a simultaneous minimax step", (1 + RATE**2 / 4) ** 0.5, 1e-6, growth, 27)


def _r1(weight: float) -> tuple[str, ...]:
    return "penalty=r1", f"penalty.r1.weight={weight}"


def _damped(weight: float) -> complex:
    """Return one of -γ/2 ± √(γ²/4 − f'²) with f' = 1/2."""
    return complex(-weight / 2) + (complex(weight**2 / 4 - 0.25)) ** 0.5


def dirac_step(*words: str) -> Callable[[jax.Array], jax.Array]:
    """Return one step of the Dirac-GAN of ``words`` as a function of its two parameters ``(2,)``."""
    from ganrun.methods.run_state import update
    from ganrun.training.build import build

    found: Any = build(check(compose("train", ["experiment=dirac", "schedule.order=alternating", *words])))
    state = found.init()
    players = ("generator", "discriminator")

    def step(point: jax.Array) -> jax.Array:
        model = state.model
        for i, name in enumerate(players):
            player = getattr(model, name)
            params = jax.tree.map(lambda leaf, i=i: jnp.zeros_like(leaf) + point[i], player.params)
            model = dataclasses.replace(model, **{name: dataclasses.replace(player, params=params)})
        after = update(found.method, dataclasses.replace(state, model=model), found.data.train)
        return jnp.stack([jax.tree.leaves(getattr(after.model, name).params)[0][0] for name in players])

    return step


def _jacobian(step: Callable[[jax.Array], jax.Array]) -> np.ndarray:
    return np.asarray(jax.jit(jax.jacfwd(step))(jnp.zeros(2)), np.float64)


def _eigenvalues(step: Callable[[jax.Array], jax.Array]) -> np.ndarray:
    """Return the eigenvalues of the vector field: a simultaneous step is 1 + RATE times its Jacobian."""
    return np.linalg.eigvals((_jacobian(step) - np.eye(2)) / RATE)

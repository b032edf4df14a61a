"""The Dirac-GAN: where 500 steps of each method end (Mescheder et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.workspace import Workspace

ORDERS = {
    "simultaneous": ("schedule.order=simultaneous",),
    "alternating": ("schedule.order=alternating",),
    "alternating, k = 5": ("schedule.order=alternating", "schedule.k=5"),
}
CLIPPED = ("loss=wasserstein", "penalty=weight_clipping", "penalty.weight_clipping.limit=1")
# The published weight is that of half a square; ganrun's gradient penalty has no half.
GRADIENT = ("loss=wasserstein", "penalty=gradient_penalty", "penalty.gradient_penalty.weight=0.35")
CONSENSUS = ("loss=minimax", "penalty=consensus", "penalty.consensus.weight=1")
NOISE = ("loss=minimax", "inputs.noise=0.7", "inputs.final_noise=0.7", "batch_size=512")
# Settings, and the distance from the equilibrium after 500 steps from (1, 1) in the three orders.
METHODS: dict[str, tuple[tuple[str, ...], tuple[float, float, float]]] = {
    "minimax": (("loss=minimax",), (3.1, 1.42, 1.85)),
    "non-saturating": (("loss=nonsaturating",), (0.64, 0.28, 0.14)),
    "WGAN with weights clipped to 1": (CLIPPED, (1.0, 1.02, 0.92)),
    "WGAN-GP": (GRADIENT, (1.8, 1.22, 0.72)),
    "R1, weight 0.3": (("loss=minimax", "penalty=r1", "penalty.r1.weight=0.3"), (2.6e-6, 0.0, 0.0)),
    "instance noise, σ = 0.7": (NOISE, (6e-5, 0.0, 0.0)),
    "consensus optimization": (
        ("loss=minimax", "penalty=consensus", "penalty.consensus.weight=1"),
        (3e-10, 2e-11, 11.0),
    ),
}
# Relative tolerances. The radius of a cycle of alternating updates depends on which network is updated first in a step.
SAME, ALTERNATING = 0.04, 0.15
NOISY = 0.05  # with a minibatch of noise; the published number is that of its expectation
TINY = 1e-3  # a smaller distance counts as convergence: its digits depend on rounding and noise


@experiment(
    "dirac-gan",
    "Mescheder et al. 2018, with h = 0.2 and f'(0) = 1/2",
    "which methods converge on the Dirac-GAN",
    (2.5, 2.5),
)
def dirac_gan(workspace: Workspace) -> Iterator[Finding]:
    """Train every method in three orders of the updates, and measure the distance from the equilibrium."""
    for name, (words, radii) in METHODS.items():
        for (order, more), radius in zip(ORDERS.items(), radii, strict=True):
            key = f"{name}_{order}".replace(" ", "_").replace(",", "").replace("=", "").replace("σ", "std")
            (run,) = workspace.train(
                key, "experiment=dirac", *words, *more, "log.every=500", seeds=1, fixed_seeds=True
            )[:1]
            found = _radius(run.path) if run.completed else np.nan
            quantity = f"final radius, {name}, {order}"
            if radius < TINY:
                yield Finding(quantity, f"{radius:g}: converges", 0.0, NOISY if words == NOISE else TINY, (found,))
            else:
                tolerance = SAME if order == "simultaneous" else ALTERNATING
                yield near(quantity, radius, tolerance * radius, found)


def _radius(run: Path) -> float:
    """Return the distance of the two parameters from (0, 0)."""
    import jax

    from ganrun.evaluation.load_run import load_run
    from ganrun.storage.run_directory import load_config

    _, state = load_run(run, load_config(run))
    players = (state.model.generator, state.model.discriminator)
    return float(np.hypot(*(np.asarray(jax.tree.leaves(player.params)[0])[0] for player in players)))

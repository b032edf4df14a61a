"""The two directions of the Kullback-Leibler divergence: covering modes, or seeking one."""

from __future__ import annotations

from collections.abc import Iterator

import jax

from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.fits import fit
from ganrun.reproduce.line import Mixture
from ganrun.reproduce.workspace import Workspace


@experiment(
    "kl-directions",
    "S0; S1 states the opposite",
    "KL(data, model) covers modes, and KL(model, data) seeks one",
    (0.4, 0.4),
    10,
)
def kl_directions(workspace: Workspace) -> Iterator[Finding]:
    """Compare the widths of both fits, and fit two distant modes."""
    del workspace
    with jax.enable_x64(True):
        forward, reverse = fit("kl", (1.06, 1.9)), fit("reverse_kl", (1.62, 1.7))
        yield near("std of the fit by KL(data, model)", 1.831, 5e-4, forward[2], 10)
        yield near("std of the fit by KL(model, data)", 1.632, 5e-4, reverse[2], 10)
        apart = Mixture([-4.0, 4.0], [1.0, 1.0], (0.5, 0.5))
        forward, reverse = fit("kl", (0.3, 4.0), apart), fit("reverse_kl", (3.9, 1.1), apart)
        yield near("std of the fit of two modes at ±4, KL(data, model)", 17**0.5, 1e-3, forward[2], 10)
        yield near("the same, KL(model, data): one mode", 1.0, 0.02, reverse[2], 10)
        drops = float(abs(forward[1]) > 2.0)
        yield near("S1: KL(data, model) drops a mode (1: yes)", 1.0, 0.0, drops, 10, as_stated=True)

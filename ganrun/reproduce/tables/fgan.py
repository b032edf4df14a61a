"""The table of the f-GAN paper: the best normal distribution for a mixture of two, by each divergence."""

from __future__ import annotations

from collections.abc import Iterator

import jax

from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding, near
from ganrun.reproduce.fits import fit
from ganrun.reproduce.workspace import Workspace

TABLE = {
    "kl": (0.2831, 1.0100, 1.8308),
    "reverse_kl": (0.2480, 1.5782, 1.6319),
    "js": (0.1280, 1.3070, 1.7542),
    "jeffrey": (0.5705, 1.3218, 1.7034),
    "pearson": (0.6457, 0.5737, 1.9274),
}


@experiment(
    "fgan-table",
    "Nowozin et al. 2016, table of Gaussian fits",
    "the fits of a normal model by five f-divergences",
    (0.7, 0.7),
)
def fgan_table(workspace: Workspace) -> Iterator[Finding]:
    """Find the zero of ganrun's f-GAN generator gradient at the optimal D, and D's value there."""
    del workspace
    with jax.enable_x64(True):
        for name, (value, mean, std) in TABLE.items():
            found = fit(name, (mean + 0.05, std * 1.05))
            for quantity, expected, ours in zip(("value, nats", "mean", "std"), (value, mean, std), found, strict=True):
                yield near(f"{quantity}, divergence={name}", expected, 1e-3, ours)

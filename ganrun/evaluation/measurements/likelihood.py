"""Parzen window log-likelihood of held-out examples, as in the first publication on GANs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganrun.evaluation.measurements.base import EQUAL_SIZES, Family, Measurement, Sets, Settings
from ganrun.evaluation.measurements.specs import PARZEN
from ganrun.evaluation.sample_metrics.intervals import normal
from ganrun.evaluation.sample_metrics.parzen import SIGMAS, Parzen, parzen

PUBLISHED = 10_000  # samples in the paper
VALIDATION = 1000  # maximum number of validation examples, of which the paper's implementation has as many
FEWEST = 20  # held-out examples
WIDE = tuple(float(sigma) for sigma in np.logspace(-2, 1, 31))  # for coordinates, whose units are not known


def missing(sets: Sets) -> str:
    """Return the reason why there is no log-likelihood; empty if there is."""
    if sets.held_out is None:
        return "it needs examples that the model was not trained on"
    return (
        "" if len(sets.held_out) >= FEWEST else f"it needs {FEWEST} held-out examples, there are {len(sets.held_out)}"
    )


def measure(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure it in the pixels themselves, scaled to [0, 1], whatever the features of other metrics are.

    The standard deviation of the windows is chosen on a tenth of the held-out examples, at most :data:`VALIDATION`.
    """
    assert sets.held_out is not None
    held_out = _units(sets, sets.held_out)
    order = np.random.default_rng([settings.seed, 1]).permutation(len(held_out))
    chosen = min(VALIDATION, max(1, len(held_out) // 10))
    validation, test = held_out[order[:chosen]], held_out[order[chosen:][:PUBLISHED]]
    sigmas = SIGMAS if sets.is_pixels else WIDE
    found = parzen(_units(sets, sets.fake), validation, test, sigmas)
    interval = normal(found.mean, found.total_error, settings.level)
    floor: Parzen | None = None
    rows = None
    if settings.floor:
        rows = sets.other if sets.training is None else sets.training_examples(settings.seed)
    if rows is not None:
        floor = parzen(_units(sets, rows), validation, test, sigmas)
    flags = []
    if sets.is_pixels and len(sets.fake) < PUBLISHED:
        flags.append(f"n < {PUBLISHED} of the paper")
    if rows is not None and len(rows) != len(sets.fake):
        flags.append(EQUAL_SIZES)
    if found.is_at_edge:
        flags.append(f"sigma = {found.sigma:.3g}, the edge of the grid")
    return [
        Measurement(
            "parzen",
            found.mean,
            len(sets.fake),
            len(test),
            interval.low,
            interval.high,
            "derivative",
            None if floor is None else floor.mean,
            0 if rows is None else len(rows),
            tuple(flags),
            {"standard_error": found.standard_error, "sigma": found.sigma, "validation": chosen},
        )
    ]


def _units(sets: Sets, rows: np.ndarray) -> np.ndarray:
    flat = np.asarray(rows, np.float64).reshape(len(rows), -1)
    return (flat + 1) / 2 if sets.is_pixels else flat


FAMILIES = (Family("parzen", PARZEN, missing, measure),)

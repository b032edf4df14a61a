"""Memorisation: AuthPct, C_T and nearest neighbours in the training set, with the power that they have here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ganrun.errors import ConfigError
from ganrun.evaluation.measurements.base import Family, Measurement, Sets, Settings, at_least
from ganrun.evaluation.measurements.specs import COPIES
from ganrun.evaluation.sample_metrics.data_copying import DataCopying, cells_of, centres, data_copying_of
from ganrun.evaluation.sample_metrics.intervals import proportion
from ganrun.evaluation.sample_metrics.memorisation import authenticity_of, copy_test_of, nearest_distances_of
from ganrun.evaluation.sample_metrics.pairwise import nearest_neighbours

MAX = 2000  # samples, and held-out examples, that are compared with the training set
FEWEST = 20  # held-out examples, and training examples
CELLS = 3
PLANTED = 200  # different copies that the power is measured with
REPEATS = 40
SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
POWER, LEVEL = 0.8, 0.05
CHANGE = 0.3  # of the distance from a training example to the nearest other: the size of a copy's change


@dataclass(frozen=True)
class Near:
    """What the tests need of examples: distances to the two nearest training examples, cells, and authenticity."""

    distances: np.ndarray
    cell: np.ndarray
    is_authentic: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Near:
        return Near(self.distances[rows], self.cell[rows], self.is_authentic[rows])

    def followed_by(self, other: Near) -> Near:
        """Return these examples and then those of ``other``."""
        parts = ((getattr(self, name), getattr(other, name)) for name in ("distances", "cell", "is_authentic"))
        return Near(*(np.concatenate(pair) for pair in parts))


def missing(sets: Sets) -> str:
    """Return the reason why memorisation cannot be measured; empty if it can."""
    if sets.training is None or sets.held_out is None:
        return "it needs the examples that the model was trained on and others"
    fewest = min(len(sets.training), len(sets.held_out))
    return "" if fewest >= FEWEST else f"it needs {FEWEST} training and held-out examples, there are {fewest}"


def measure(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Measure memorisation by the features of at most :data:`MAX` samples and held-out examples.

    The training set is taken as it is; intervals are for the choice of samples. The power is that of tests at 5 % on
    as many held-out examples in the place of the samples, of which some are replaced by copies.
    """
    assert sets.held_out is not None
    training = sets.training_features
    held_out = sets.extractor.features(_some(sets.held_out, settings.seed)).astype(np.float64)
    samples = sets.fake_features[:MAX].astype(np.float64)
    middle = centres(held_out, min(CELLS, len(held_out)), settings.seed)

    def near(rows: np.ndarray) -> Near:
        distances, indices = nearest_neighbours(rows, training, 2)
        return Near(distances, cells_of(rows, middle), authenticity_of(distances, indices, training).is_authentic)

    ours, theirs = near(samples), near(held_out)
    power: dict[str, dict[str, float | None]] = {"authenticity": {}, "data_copying": {}, "copy_test": {}}
    if settings.floor:
        power = _power(near, training, theirs, len(ours.cell), settings.seed)
    found = _measured(ours, theirs, len(middle))
    percent = 100 * float(ours.is_authentic.mean())
    interval = proportion(percent / 100, len(samples), settings.level)
    sizes = len(samples), len(held_out)
    floor = 100 * float(theirs.is_authentic.mean())
    nearest = nearest_distances_of(ours.distances, theirs.distances)
    test = copy_test_of(nearest.ratios, nearest.held_out_ratios)
    weak = ("no power against half of the samples",) if power["copy_test"].get("exact", 0.0) is None else ()
    shared = ("held-out examples are in the training set",) if np.isnan(nearest.median_ratio) else ()
    copying = None if found is None else found.value
    copied = ("copies of training examples found",) if test.p_value < LEVEL else ()
    return [
        Measurement(
            "authenticity",
            percent,
            *sizes,
            low=100 * interval.low,
            high=100 * interval.high,
            interval="binomial",
            floor=floor,
            floor_n=len(held_out),
            flags=(*shared, *at_least(sizes[0], 100)),
            details={"power": power["authenticity"]},
        ),
        Measurement(
            "data_copying",
            copying,
            *sizes,
            floor=0.0,
            flags=(*shared, *_copying_flags(found, min(sizes))),
            details={"p_value": None if found is None else found.p_value, "power": power["data_copying"]},
        ),
        Measurement(
            "copy_test",
            test.p_value,
            *sizes,
            flags=(*shared, *copied, *at_least(min(sizes), 100), *weak),
            details={"below_held_out": test.below_held_out, "power": power["copy_test"]},
        ),
        Measurement(
            "nearest_ratio",
            None if np.isnan(nearest.median_ratio) else nearest.median_ratio,
            *sizes,
            floor=1.0,
            flags=shared or at_least(min(sizes), 100),
        ),
    ]


def _copying_flags(found: DataCopying | None, n: int) -> tuple[str, ...]:
    """Return the flags of C_T: too few samples, or a value significantly below 0."""
    if found is None:
        return ("too few samples in each cell",)
    copied = ("copies of training examples found",) if found.p_value < LEVEL else ()
    return (*copied, *at_least(n, 60))


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.sort(np.random.default_rng([seed, 3]).permutation(len(rows))[:MAX])]


def _measured(ours: Near, theirs: Near, cells: int) -> DataCopying | None:
    try:
        return data_copying_of(ours.distances[:, 0], theirs.distances[:, 0], ours.cell, theirs.cell, cells)
    except ConfigError:  # every cell has too few samples
        return None


def _power(
    near: Callable[[np.ndarray], Near], training: np.ndarray, theirs: Near, n: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """Return the smallest share of copies among ``n`` samples that each test finds in 80 % of the repeats.

    ``exact`` are copies of training examples, ``changed`` copies that are moved in a random direction by 0.3 of the
    distance from the example to the nearest other. None: not even half of the samples.
    """
    rng = np.random.default_rng([seed, 4])
    originals = training[rng.permutation(len(training))[:PLANTED]]
    own = nearest_neighbours(originals, training, 2)[0][:, 1:]
    direction = rng.standard_normal(originals.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    kinds = {"exact": near(originals), "changed": near(originals + CHANGE * own * direction)}
    power: dict[str, dict[str, float | None]] = {name: {} for name in ("authenticity", "data_copying", "copy_test")}
    for kind, planted in kinds.items():
        smallest: dict[str, float | None] = dict.fromkeys(power)
        for share in SHARES:
            rates = _rates(planted, theirs, n, round(share * n), rng)
            for name, rate in rates.items():
                if smallest[name] is None and rate >= POWER:
                    smallest[name] = share
            if all(value is not None for value in smallest.values()):
                break
        for name, value in smallest.items():
            power[name][kind] = value
    return power


def _rates(planted: Near, theirs: Near, n: int, copies: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often each test rejects if ``copies`` of ``n`` samples are ``planted`` and the others are real."""
    rejected = {"authenticity": 0, "data_copying": 0, "copy_test": 0}
    h = len(theirs.cell)
    for _ in range(REPEATS):
        # Drawn with replacement: both sets have the sizes of the measurement. Without ties, ranks have their law.
        real, other = (_apart(theirs[rng.integers(0, h, size)], rng) for size in (n - copies, h))
        ours = planted[rng.integers(0, len(planted.cell), copies)].followed_by(real)
        nearest = nearest_distances_of(ours.distances, other.distances)
        rejected["copy_test"] += copy_test_of(nearest.ratios, nearest.held_out_ratios).p_value < LEVEL
        found = _measured(ours, other, int(max(ours.cell.max(), other.cell.max())) + 1)
        rejected["data_copying"] += found is not None and found.p_value < LEVEL
        copied, expected = (int((~part.is_authentic).sum()) for part in (ours, other))
        rejected["authenticity"] += float(stats.hypergeom.sf(copied - 1, n + h, copied + expected, n)) < LEVEL
    return {name: count / REPEATS for name, count in rejected.items()}


def _apart(part: Near, rng: np.random.Generator) -> Near:
    """Return ``part`` with nearest distances that differ by rounding errors, which breaks ties at random."""
    distances = part.distances.copy()
    distances[:, 0] *= 1 + 1e-9 * rng.random(len(distances))
    return Near(distances, part.cell, part.is_authentic)


FAMILIES = (Family("memorisation", COPIES, missing, measure),)

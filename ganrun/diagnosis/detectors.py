"""What each way to fail looks like in the rows of metrics. Every detector is a pure function of the last rows.

A detector gets the rows so far, at most :data:`MEMORY` of them, the newest last, and returns its evidence or None. It
must be silent on a run that is well, however young: a warning that is often wrong is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganrun.diagnosis.remedies import Remedy, falling, followed, longer, loss, noise, paired, penalty, shorter, slower

Row = dict[str, Any]

MEMORY = 96  # rows that detectors see
PATIENCE = 10  # rows in a row that show the same
EXTREME = 0.98  # of D's probabilities beyond which it has won
FADED = 0.05  # of what the generator's gradient was
YOUNG = 0.2  # of the steps of a run, in which it may still be looking for the data
SETTLED = 0.5  # of the steps, after which modes that are missing stay away
ASTRAY = 0.1  # of the samples near a mode, below which there is nothing that could have collapsed
COVERED = 0.7  # of the modes, below which a run has collapsed
LOST = 0.3  # of the modes that it had, which a run must lose at once
DIVERSE = 0.4  # of the data's diversity, below which samples are too much alike
GROWING = 1.1  # times the diversity before: samples are still becoming different
COPIED = 0.3  # of the usual distance to the training set, below which samples are copies of it
CYCLES = 3  # that must be seen before something oscillates
REPEATS = 0.5  # correlation of a number with itself a cycle earlier, and (negative) half a cycle
SWING, LEAST_SWING = 0.1, 0.02  # of the size of a number, and in itself, that its oscillation must have


@dataclass(frozen=True)
class Game:
    """What detectors must know of a run.

    Attributes:
        steps: that it will have.
        modes: of its data; 0 where that is not known.
        lag: steps by which the averaged generator, which samples are drawn with, is behind.
    """

    steps: int
    modes: int = 0
    lag: float = 0.0


@dataclass(frozen=True)
class Detector:
    """A way to fail: its name, how to see it, and what to try."""

    name: str
    evidence: Callable[[Sequence[Row], Game], str | None]
    remedies: tuple[Remedy, ...]


def saturated(rows: Sequence[Row], game: Game) -> str | None:
    """D is sure of everything: nothing that G does changes its mind (Goodfellow et al. 2014, section 3)."""
    seen = [row for row in rows if "D(x)" in row and "D(G(z))" in row][-PATIENCE:]
    if len(seen) < PATIENCE or not all(row["D(x)"] > EXTREME and row["D(G(z))"] < 1 - EXTREME for row in seen):
        return None
    last = seen[-1]
    return f"D(x) is {last['D(x)']:.3g} and D(G(z)) {last['D(G(z))']:.2g}, for {PATIENCE} rows: D tells all apart"


def vanished(rows: Sequence[Row], game: Game) -> str | None:
    """G is judged bad and gets no gradient to become better (Arjovsky & Bottou 2017, theorem 2.4)."""
    seen = [row for row in rows if "grad_norm/generator" in row and "D(G(z))" in row]
    if len(seen) < 2 * PATIENCE or not all(row["D(G(z))"] < 1 - EXTREME for row in seen[-PATIENCE:]):
        return None
    norms = [row["grad_norm/generator"] for row in seen]
    now, before = float(np.median(norms[-PATIENCE:])), float(np.max(norms))
    if now > FADED * before:
        return None
    low = seen[-1]["D(G(z))"]
    return f"grad_norm/generator is {now:.2g}, and was {before:.2g}, while D(G(z)) is only {low:.2g}: G learns nothing"


def astray(rows: Sequence[Row], game: Game) -> str | None:
    """G has not found the data, or has lost them: of which modes it makes samples cannot be said."""
    last = rows[-1]
    if game.modes < 2 or last["step"] < SETTLED * game.steps or last.get("modes/high_quality", 1.0) >= ASTRAY:
        return None
    return f"{last['modes/high_quality']:.1%} of the samples lie near one of the {game.modes} modes"


def collapsed(rows: Sequence[Row], game: Game) -> str | None:
    """G makes few kinds of samples (Goodfellow 2016, NIPS tutorial, section 5.1.1: the Helvetica scenario)."""
    step = rows[-1]["step"]
    covered = [row["modes/covered"] for row in rows if "modes/covered" in row]
    if game.modes > 1 and covered and "modes/covered" in rows[-1]:
        now, best, near = covered[-1], max(covered), rows[-1].get("modes/high_quality", 0.0)
        told = f"samples cover {now:.0f} of {game.modes} modes ({near:.0%} of them lie near one)"
        if step >= SETTLED * game.steps and now < COVERED * game.modes and near >= ASTRAY:
            return told
        if now <= (1 - LOST) * best and best - now >= 2:
            return f"{told}, and covered {best:.0f} before"
    diverse = [row["samples/diversity"] for row in rows if "samples/diversity" in row]
    if step < max(YOUNG * game.steps, game.lag) or "samples/diversity" not in rows[-1] or len(diverse) < 2:
        return None
    if max(diverse[-2:]) >= DIVERSE or diverse[-1] > GROWING * diverse[-2]:
        return None
    return f"samples are {diverse[-1]:.0%} as far from each other as examples are"


def oscillating(rows: Sequence[Row], game: Game) -> str | None:
    """The players go round in circles in place of coming to rest (Mescheder et al. 2018, section 2)."""
    for tag in ("D(G(z))", "critic/fake", "loss/generator"):
        values = np.array([row[tag] for row in rows if tag in row], np.float64)
        if len(values) < MEMORY // 2 or not np.isfinite(values).all():
            continue
        cycle = period(values)
        if cycle is not None:
            every = int(rows[-1]["step"] - rows[-2]["step"])
            low, high = values[-cycle:].min(), values[-cycle:].max()
            return f"{tag} swings between {low:.3g} and {high:.3g} about every {cycle * every} steps"
    return None


def period(values: np.ndarray) -> int | None:
    """Return after how many of ``values`` they repeat themselves; None where they do not, or hardly move.

    Values that cycle are like those of a cycle earlier and unlike those of half a cycle earlier; noise and a trend
    (which is taken off) are not.
    """
    n = len(values)
    flat = values - np.polyval(np.polyfit(np.arange(n), values, 1), np.arange(n))
    if flat.std() < max(SWING * np.abs(values).mean(), LEAST_SWING):
        return None
    own = np.correlate(flat, flat, "full")[n - 1 : n + n // 2]
    own /= flat.var() * np.arange(n, n - len(own), -1)  # a correlation, although fewer pairs are further apart
    for lag in range(3, n // CYCLES + 1):
        top = own[lag] >= own[lag - 1] and own[lag] >= own[min(lag + 1, len(own) - 1)]
        if top and own[lag] > REPEATS and own[lag // 2 : (lag + 1) // 2 + 1].min() < -REPEATS:
            return lag
    return None


def copied(rows: Sequence[Row], game: Game) -> str | None:
    """G gives back its training set (Theis et al. 2016, section 3.3, on looking for nearest neighbours)."""
    near = [row["samples/nearest_training"] for row in rows if "samples/nearest_training" in row]
    if "samples/nearest_training" not in rows[-1] or len(near) < 2 or max(near[-2:]) >= COPIED:
        return None
    return f"samples lie {near[-1]:.0%} as far from the training set as held-out examples do"


def unknown(rows: Sequence[Row], game: Game) -> str | None:
    """The exact divergence may be off by more than it is, so it is left out: nothing should be chosen by it."""
    last = rows[-1]
    if "jsd/exact_error" not in last or "jsd/exact" in last:
        return None
    return f"jsd/exact is left out: it may be off by {last['jsd/exact_error']:.2g} nats, which is more than it is"


DETECTORS = (
    Detector("discriminator saturated", saturated, (penalty("r1"), slower("discriminator"), noise)),
    Detector("vanishing generator gradient", vanished, (loss("nonsaturating"), penalty("r1"), slower("discriminator"))),
    Detector("samples off the data", astray, (falling, paired, longer)),
    Detector("mode collapse", collapsed, (paired, slower("generator"), slower("discriminator"))),
    Detector("oscillation", oscillating, (penalty("r1"), falling, slower("generator"), slower("discriminator"))),
    Detector("memorisation", copied, (penalty("r1"), shorter, noise)),
    Detector("divergence not known", unknown, (followed, longer)),
)

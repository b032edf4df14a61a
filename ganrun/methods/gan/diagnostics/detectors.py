"""The detectors of a GAN's training failures. Each is a pure function of the most recent rows of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganrun.methods.detection import MEMORY, Detector, Row, RunFacts
from ganrun.methods.gan.diagnostics.suggestions import (
    falling,
    followed,
    loss,
    noise,
    paired,
    penalty,
    slower,
)
from ganrun.methods.sample_detectors import astray, collapsed, copied, longer, shorter

PATIENCE = 10  # consecutive rows that must show a failure
EXTREME = 0.98  # probability of D above which it counts as certain
FADED = 0.05  # fraction of its maximum below which the generator's gradient norm has vanished
CYCLES = 3  # cycles that the rows must contain to report an oscillation
REPEATS = 0.5  # autocorrelation required at a lag of one cycle, and its negative at half a cycle
SWING, LEAST_SWING = 0.1, 0.02  # minimum standard deviation of an oscillation: relative to the mean size, and absolute


def saturated(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """D classifies data and samples with near certainty (Goodfellow et al. 2014, section 3)."""
    recent = [row for row in rows if "D(x)" in row and "D(G(z))" in row][-PATIENCE:]
    if len(recent) < PATIENCE or not all(row["D(x)"] > EXTREME and row["D(G(z))"] < 1 - EXTREME for row in recent):
        return None
    last = recent[-1]
    return (
        f"D(x) is {last['D(x)']:.3g} and D(G(z)) {last['D(G(z))']:.2g}, for {PATIENCE} rows: "
        "D separates data and samples almost perfectly"
    )


def vanished(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """D rejects the samples and the gradient of G has vanished (Arjovsky & Bottou 2017, theorem 2.4)."""
    known = [row for row in rows if "grad_norm/generator" in row and "D(G(z))" in row]
    if len(known) < 2 * PATIENCE or not all(row["D(G(z))"] < 1 - EXTREME for row in known[-PATIENCE:]):
        return None
    norms = [row["grad_norm/generator"] for row in known]
    now, maximum = float(np.median(norms[-PATIENCE:])), float(np.max(norms))
    if now > FADED * maximum:
        return None
    low = known[-1]["D(G(z))"]
    return f"grad_norm/generator is {now:.2g}, and was {maximum:.2g}, while D(G(z)) is only {low:.2g}: G learns nothing"


def oscillating(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """The networks cycle around an equilibrium instead of converging to it (Mescheder et al. 2018, section 2)."""
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
    """Return the period of ``values`` in rows; None if they do not oscillate, or only with a small amplitude.

    The autocorrelation of an oscillation is high at a lag of one cycle and negative at half a cycle. That of noise is
    not, and a linear trend is removed first.
    """
    n = len(values)
    flat = values - np.polyval(np.polyfit(np.arange(n), values, 1), np.arange(n))
    if flat.std() < max(SWING * np.abs(values).mean(), LEAST_SWING):
        return None
    correlation = np.correlate(flat, flat, "full")[n - 1 : n + n // 2]
    correlation /= flat.var() * np.arange(n, n - len(correlation), -1)  # normalised by the number of pairs at each lag
    for lag in range(3, n // CYCLES + 1):
        here = correlation[lag]
        peak = here >= correlation[lag - 1] and here >= correlation[min(lag + 1, len(correlation) - 1)]
        if peak and here > REPEATS and correlation[lag // 2 : (lag + 1) // 2 + 1].min() < -REPEATS:
            return lag
    return None


def unknown(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """The exact divergence is left out, because its error may exceed its value: no decision should be based on it."""
    last = rows[-1]
    if "jsd/exact_error" not in last or "jsd/exact" in last:
        return None
    return f"jsd/exact is left out: its error may be {last['jsd/exact_error']:.2g} nats, which is more than its value"


DETECTORS = (
    Detector("discriminator saturated", saturated, (penalty("r1"), slower("discriminator"), noise)),
    Detector("vanishing generator gradient", vanished, (loss("nonsaturating"), penalty("r1"), slower("discriminator"))),
    Detector("samples off the data", astray, (falling, paired, longer)),
    Detector("mode collapse", collapsed, (paired, slower("generator"), slower("discriminator"))),
    Detector("oscillation", oscillating, (penalty("r1"), falling, slower("generator"), slower("discriminator"))),
    Detector("memorisation", copied, (penalty("r1"), shorter, noise)),
    Detector("divergence not known", unknown, (followed, longer)),
)

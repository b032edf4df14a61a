"""Detectors of failures that show in the samples of any method, and the suggestions that apply to any."""

from __future__ import annotations

from collections.abc import Sequence

from ganrun.config.settings import Train
from ganrun.methods.detection import Row, RunFacts

YOUNG = 0.2  # fraction of the run during which low diversity is normal
SETTLED = 0.5  # fraction of the run after which missing modes are not expected to appear
ASTRAY = 0.1  # fraction of samples near a mode, below which coverage of modes is meaningless
COVERED = 0.7  # fraction of the modes, below which a run has collapsed
LOST = 0.3  # fraction of the modes covered before, whose loss counts as a collapse
DIVERSE = 0.4  # fraction of the data's diversity, below which samples are too similar
GROWING = 1.1  # ratio of successive diversities above which diversity is still growing
COPIED = 0.3  # fraction of the held-out data's distance to the training set, below which samples are copies
LONGER = 4  # factor of the number of steps


def astray(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """The model has not found the data, or has lost it: too few samples are near a mode to count the modes covered."""
    last = rows[-1]
    if facts.modes < 2 or last["step"] < SETTLED * facts.steps or last.get("modes/high_quality", 1.0) >= ASTRAY:
        return None
    return f"{last['modes/high_quality']:.1%} of the samples lie near one of the {facts.modes} modes"


def collapsed(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """Samples cover few modes or lack diversity (Goodfellow 2016, NIPS tutorial, section 5.1.1: Helvetica scenario)."""
    step = rows[-1]["step"]
    covered = [row["modes/covered"] for row in rows if "modes/covered" in row]
    if facts.modes > 1 and covered and "modes/covered" in rows[-1]:
        now, best, near = covered[-1], max(covered), rows[-1].get("modes/high_quality", 0.0)
        evidence = f"samples cover {now:.0f} of {facts.modes} modes ({near:.0%} of them lie near one)"
        if step >= SETTLED * facts.steps and now < COVERED * facts.modes and near >= ASTRAY:
            return evidence
        if now <= (1 - LOST) * best and best - now >= 2:
            return f"{evidence}, and covered {best:.0f} before"
    diverse = [row["samples/diversity"] for row in rows if "samples/diversity" in row]
    if step < max(YOUNG * facts.steps, facts.lag) or "samples/diversity" not in rows[-1] or len(diverse) < 2:
        return None
    if max(diverse[-2:]) >= DIVERSE or diverse[-1] > GROWING * diverse[-2]:
        return None
    return f"samples are {diverse[-1]:.0%} as far from each other as examples are"


def copied(rows: Sequence[Row], facts: RunFacts) -> str | None:
    """The model reproduces its training set (Theis et al. 2016, section 3.3, on nearest neighbours)."""
    near = [row["samples/nearest_training"] for row in rows if "samples/nearest_training" in row]
    if "samples/nearest_training" not in rows[-1] or len(near) < 2 or max(near[-2:]) >= COPIED:
        return None
    return f"samples lie {near[-1]:.0%} as far from the training set as held-out examples do"


def shorter(config: Train, step: int) -> str | None:
    """Suggest stopping at the step at which the failure was detected."""
    return f"steps={step}"


def longer(config: Train, step: int) -> str | None:
    """Suggest training for longer."""
    return f"steps={LONGER * config.steps}"

"""Whether a generator gives back what it was trained on instead of something new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ganrun.metrics.neighbours import nearest

if TYPE_CHECKING:
    from ganrun.divergence.side import Side

SAMPLES = 1000  # compared, on either side
CLOSE = 0.5  # a median ratio of distances below this is told
GREY = 1 / 255  # half a step between two bytes in [-1, 1]: an image within it everywhere is the same picture


def memorised(side: Side, seed: int = 0) -> str | None:
    """Return a warning where samples of a run lie on its training set, else None.

    The distance of a sample to the nearest training example is compared with that of held-out examples: what was
    learned is about as far from the training set as what was never seen.

    Args:
        side: a run with ``draw``, ``training`` and ``held_out``; of any other nothing can be said.
        seed: of the samples.
    """
    if side.draw is None or side.training is None or side.held_out is None:
        return None
    samples, held_out = side.draw(SAMPLES, seed), side.held_out[:SAMPLES]
    found, farthest = nearest(samples, side.training)
    usual, _ = nearest(held_out, side.training)
    closer = float((found < np.median(usual)).mean())
    ratio = float(np.median(found)) / max(float(np.median(usual)), np.finfo(np.float32).tiny)
    copies = int((farthest <= GREY).sum())
    if copies == 0 and ratio >= CLOSE:
        return None
    told = f"{copies} are copies of training examples; " if copies else ""
    return (
        f"{side.label} may have memorised: of {len(samples)} samples {told}{closer:.0%} lie closer to the training set "
        f"than half of the held-out examples do (median distance {ratio:.2g} of theirs)."
    )

"""Detection of a generator that reproduces its training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ganrun.evaluation.metrics.neighbours import nearest

if TYPE_CHECKING:
    from ganrun.evaluation.divergence.distribution import Distribution

SAMPLES = 1000  # maximum number of samples, and of held-out examples, compared
CLOSE = 0.5  # a ratio of median distances below this is reported
GREY = 1 / 255  # half a step between two bytes in [-1, 1]: an image within it at every pixel is a copy


def memorised(distribution: Distribution, seed: int = 0) -> str | None:
    """Return a warning if samples of a run are too close to its training set, else None.

    Distances from samples to their nearest training example are compared with those of held-out examples: samples of a
    generator that generalises are about as far from the training set as held-out examples.

    Args:
        distribution: a run with ``draw``, ``training`` and ``held_out``; None is returned for any other distribution.
        seed: of the samples.
    """
    if distribution.draw is None or distribution.training is None or distribution.held_out is None:
        return None
    samples, held_out = distribution.draw(SAMPLES, seed), distribution.held_out[:SAMPLES]
    distances, largest_differences = nearest(samples, distribution.training)
    held_out_distances, _ = nearest(held_out, distribution.training)
    closer = float((distances < np.median(held_out_distances)).mean())
    ratio = float(np.median(distances)) / max(float(np.median(held_out_distances)), np.finfo(np.float32).tiny)
    copies = int((largest_differences <= GREY).sum())
    if copies == 0 and ratio >= CLOSE:
        return None
    copied = f"{copies} are copies of training examples; " if copies else ""
    return (
        f"{distribution.label} may have memorised: of {len(samples)} samples {copied}{closer:.0%} lie closer to the "
        f"training set than half of the held-out examples do (median distance {ratio:.2g} of theirs)."
    )

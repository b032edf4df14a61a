"""Whether samples differ from each other, and from what the generator was trained on, as much as examples do."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.keys import key_for
from ganrun.metrics.neighbours import nearest, spread, to_float

COMPARED = 256  # samples, and examples
TRACE = 1e-6  # a spread below this is that of a single point


class Likeness:
    """Compares samples with the examples of ``train`` and ``held_out``, the sources of a run's data."""

    def __init__(self, train: Any, held_out: Any) -> None:
        examples = COMPARED
        if isinstance(held_out, Pixels):
            examples = min(examples, len(held_out.flat))
        key = key_for(jax.random.key(0), "examples")  # the same for every run
        drawn, _ = held_out.minibatch(key, Cursor.start(), examples)
        self._held_out = np.asarray(drawn, np.float32).reshape(examples, -1)
        self._spread = spread(self._held_out) if examples > 1 else 0.0
        self._training = np.asarray(train.flat) if isinstance(train, Pixels) else None
        self._usual = 0.0
        if self._training is not None:
            self._usual = float(np.median(nearest(self._held_out, self._training)[0]))

    def of(self, samples: np.ndarray) -> dict[str, float]:
        """Return ``samples/diversity`` and, where there is a training set, ``samples/nearest_training``.

        Both are ratios that are 1 for samples as good as new examples: the mean distance between two samples, and the
        median distance from a sample to its nearest training example.

        Args:
            samples: ``(n, *shape)``, n at least 2.
        """
        rows = to_float(np.asarray(samples[:COMPARED], np.float32)).reshape(min(len(samples), COMPARED), -1)
        seen = {}
        if self._spread > TRACE:
            seen["samples/diversity"] = spread(rows) / self._spread
        if self._training is not None and self._usual > TRACE:
            seen["samples/nearest_training"] = float(np.median(nearest(rows, self._training)[0])) / self._usual
        return seen

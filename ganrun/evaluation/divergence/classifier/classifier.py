"""The type of a fitted classifier: a function from samples to logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Classifier = Callable[[np.ndarray], np.ndarray]  # ``(m, d)`` to log p(x)/q(x), ``(m,)``

LOGIT = 15.0  # logits are clipped to ±LOGIT: finite data support no stronger evidence

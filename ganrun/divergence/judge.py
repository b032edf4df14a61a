"""What an expert comes to: a function from samples to logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Judge = Callable[[np.ndarray], np.ndarray]  # ``(m, d)`` to log p(x)/q(x), ``(m,)``

LOGIT = 15.0  # an expert's logits are cut off here: none of them knows more than that from finite data

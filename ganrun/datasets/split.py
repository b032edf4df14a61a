"""Which examples of a user's data are held out: those whose content has a small hash.

The choice depends on an example alone, so that it stays the same when others are added, and that copies of an example
are in the same split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

RANKS = 1 << 64  # number of different ranks


def rank_of(content: bytes) -> int:
    """Return a number from 0 to 2^64 - 1 that is a hash of ``content``."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def is_held_out(rank: int, share: float) -> bool:
    """Return whether the example of this ``rank`` is one of the fraction ``share`` that is held out."""
    return rank < share * RANKS


def held_out_rows(rows: np.ndarray, share: float) -> np.ndarray:
    """Return a mask ``(n,)`` of the held-out ``rows`` ``(n, d)``; at least one row and not all of them, for n > 1."""
    return held_out_of_ranks([rank_of(row.tobytes()) for row in rows], share)


def held_out_of_ranks(ranks: Sequence[int], share: float) -> np.ndarray:
    """Return :func:`held_out_rows` of the rows with these ``ranks``."""
    mask = np.array([is_held_out(rank, share) for rank in ranks], bool)
    if not mask.any():
        mask[int(np.argmin(np.array(ranks, np.float64)))] = True
    if mask.all():
        mask[int(np.argmax(np.array(ranks, np.float64)))] = False
    return mask

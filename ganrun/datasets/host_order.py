"""The order of the examples on the host: :func:`ganrun.datasets.sampler.permuted` in NumPy.

A window is gathered while the device computes. A program for the order would wait there for its turn.
"""

from __future__ import annotations

import numpy as np

from ganrun.datasets.sampler import ROUNDS


def host_permuted(order: np.ndarray, epoch: np.ndarray, position: np.ndarray, size: int) -> np.ndarray:
    """Return the elements at ``position`` of the permutations of ``range(size)`` for each ``epoch``, int64 ``(n,)``.

    Args:
        order: ``key_data`` of the key from which all orders are derived, ``(2,)``.
        epoch: integers ``(n,)``.
        position: integers in ``range(size)``, ``(n,)``.
        size: number of examples.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = np.uint32((1 << half) - 1)
    seeds = np.asarray(order).astype(np.uint32)
    epochs, of_epoch = np.unique(epoch, return_inverse=True)
    words = [epochs.astype(np.uint32) * np.uint32(ROUNDS) + np.uint32(i + 1) for i in range(ROUNDS)]
    keys = [_mix(seeds[:1] + _mix(seeds[1:] + _mix(word)))[of_epoch] for word in words]

    def encipher(value: np.ndarray, keys: list[np.ndarray]) -> np.ndarray:
        left, right = value >> np.uint32(half), value & mask
        for key in keys:
            left, right = right, left ^ (_mix(right + key) & mask)
        return (left << np.uint32(half)) | right

    value = encipher(np.asarray(position).astype(np.uint32), keys)
    while (outside := np.flatnonzero(value >= size)).size:
        value[outside] = encipher(value[outside], [key[outside] for key in keys])
    return value.astype(np.int64)


def _mix(word: np.ndarray) -> np.ndarray:
    """Return the hash of 32 bits that :mod:`ganrun.datasets.sampler` uses (MurmurHash3's finaliser)."""
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return word ^ (word >> np.uint32(16))

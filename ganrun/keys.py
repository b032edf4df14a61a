"""Random keys by name. No two draws of a run share a key, and none has a key that others are derived from.

``jax.random.split(key, n)[i]`` is ``jax.random.fold_in(key, i)``, so the parts of a split, the counters and the
constants that are folded into one key all share one space: with ``split(key, 5)`` for the draws of an update, number 3
of some loop may be number 3 of the draws. A name is hashed into the key first, and a counter into what that gives.

Two rules keep the spaces apart. A name is used either always with an index or never. A key is either drawn from or
derived from, never both.
"""

from __future__ import annotations

import zlib

import jax


def key_for(key: jax.Array, use: str, index: int | jax.Array | None = None) -> jax.Array:
    """Return the key for one ``use`` of those that are derived from ``key``.

    Args:
        key: a scalar key that nothing is drawn from.
        use: what the new key is for, in words.
        index: which one, where there are many for the same use; 0 to 2^32 - 1.
    """
    named = jax.random.fold_in(key, zlib.crc32(use.encode()))
    return named if index is None else jax.random.fold_in(named, index)

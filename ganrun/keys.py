"""Random keys derived by name. No two draws of a run share a key, and no key is both drawn from and derived from.

``jax.random.split(key, n)[i]`` equals ``jax.random.fold_in(key, i)``, so splits, counters and constants that are folded
into one key share one space: after ``split(key, 5)`` for the draws of an update, iteration 3 of a loop could get the
same key as draw 3. Here, a hash of a name is folded into the key first, and an index into the result.

Two rules prevent collisions. A name is used either always with an index or never. A key is either drawn from or
derived from, never both.
"""

from __future__ import annotations

import zlib

import jax


def key_for(key: jax.Array, use: str, index: int | jax.Array | None = None) -> jax.Array:
    """Derive a key for one ``use`` from ``key``.

    Args:
        key: a scalar key from which nothing is drawn.
        use: name of the purpose of the new key.
        index: distinguishes several keys for the same use; 0 to 2^32 - 1.
    """
    named = jax.random.fold_in(key, zlib.crc32(use.encode()))
    return named if index is None else jax.random.fold_in(named, index)

"""Minibatches as pure functions of the seed and a cursor.

A *source* is a pytree on the device. ``source.minibatch(key, cursor, n)`` returns ``n`` examples and the cursor of the
next call. There is no iterator with hidden state: the cursor is two integers in the run's state. For class-conditional
GANs, a source also returns the same examples with their labels, and labels alone.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.mesh import on_all, over_data
from ganrun.storage.array_files import HALF_RANGES

MIRROR = 0x5DEECE66  # separates the hashes that mirror images from those that order them
ROUNDS = 6  # rounds of the Feistel network, enough to make the orders of successive epochs unrelated


@struct.dataclass
class Cursor:
    """Position of the next minibatch: ``epoch``, and ``offset`` (number of its examples already drawn), both int32."""

    epoch: jax.Array
    offset: jax.Array

    @classmethod
    def start(cls) -> Cursor:
        return cls(epoch=jnp.zeros((), jnp.int32), offset=jnp.zeros((), jnp.int32))


class Source(Protocol):
    """A source of minibatches: ``minibatch`` returns ``(n, *shape)`` float32 and the next cursor.

    ``SHARED`` names the fields that all members of a population share, so that they are stored on the device once.
    ``classes`` is the number of classes, whose labels count from 0; it is 0 if there are no labels.
    """

    SHARED: ClassVar[tuple[str, ...]]

    @property
    def classes(self) -> int: ...

    @property
    def class_probabilities(self) -> np.ndarray:
        """Frequency of each class among the examples, ``(classes,)``."""
        ...

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]: ...

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return the examples of ``minibatch``, their labels int32 ``(n,)``, and the next cursor."""
        ...

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Return ``n`` random int32 labels with the class frequencies of the examples."""
        ...


@struct.dataclass
class Pixels:
    """A finite set of examples on the device as flat rows, reshuffled in every epoch.

    Attributes:
        flat: ``(examples, prod(shape))``: uint8 or uint16 pixels, or float32 numbers; flat because gathering rows of an
            image-shaped array is several times slower.
        order: ``key_data`` of the key from which the orders of all epochs are derived.
        shape: ``(height, width, channel)`` of one example, or ``(dim,)``.
        targets: labels of the examples, uint8 or uint16 ``(examples,)``; None if they were not read.
        classes: number of classes; 0 if the labels were not read.
        flip: whether images are mirrored left to right with probability 1/2, see :func:`mirrored`.
    """

    SHARED: ClassVar[tuple[str, ...]] = ("flat", "targets")

    flat: jax.Array
    order: jax.Array
    shape: tuple[int, ...] = struct.field(pytree_node=False)
    targets: jax.Array | None = None
    classes: int = struct.field(pytree_node=False, default=0)
    flip: bool = struct.field(pytree_node=False, default=False)

    @property
    def class_probabilities(self) -> np.ndarray:
        """Frequency of each class, float64 ``(classes,)``.

        Raises:
            ValueError: the labels were not read.
        """
        targets = np.asarray(self._known_targets())
        return np.bincount(targets, minlength=self.classes) / len(targets)

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return ``(n, *shape)``; every example occurs exactly once per epoch (``n`` ≤ examples)."""
        del key  # the order is a function of the seed and the cursor
        row, following = self._rows(cursor, n)
        return self._examples(row, cursor), following

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return the examples of :meth:`minibatch`, their labels int32 ``(n,)``, and the next cursor.

        Raises:
            ValueError: the labels were not read.
        """
        del key
        row, following = self._rows(cursor, n)
        return self._examples(row, cursor), self._known_targets()[row].astype(jnp.int32), following

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Return the labels, int32 ``(n,)``, of examples drawn at random with replacement.

        Raises:
            ValueError: the labels were not read.
        """
        row = jax.random.randint(key, (n,), 0, self.flat.shape[0])
        return self._known_targets()[row].astype(jnp.int32)

    def _known_targets(self) -> jax.Array:
        if self.targets is None:
            raise ValueError("these images were loaded without their labels")
        return self.targets

    def _examples(self, row: jax.Array, cursor: Cursor) -> jax.Array:
        x = over_data(to_unit_range(self.flat[row]).reshape(len(row), *self.shape))
        return mirrored(x, self.order, cursor, self.flat.shape[0]) if self.flip else x

    def _rows(self, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return the rows ``(n,)`` of the minibatch at ``cursor``, and the cursor of the next."""
        examples = self.flat.shape[0]
        epoch, position = places(cursor, n, examples)
        row = on_all(permuted(self.order, epoch, position, examples))  # its loop would wait for all devices
        offset = cursor.offset + n
        following = Cursor(epoch=cursor.epoch + (offset >= examples), offset=offset % examples)
        return row, following


def places(cursor: Cursor, n: int, examples: int) -> tuple[jax.Array, jax.Array]:
    """Return the epochs and the positions in them, int32 ``(n,)`` each, of the next ``n`` of ``examples``."""
    position = cursor.offset + jnp.arange(n, dtype=jnp.int32)
    return cursor.epoch + (position >= examples), position % examples


def mirrored(x: jax.Array, order: jax.Array, cursor: Cursor, examples: int) -> jax.Array:
    """Return the images ``x`` ``(n, height, width, channel)`` at ``cursor``, half of them mirrored left to right.

    Whether an image is mirrored is a function of the ``order`` of the data, the epoch and the position in it, so that
    a resumed run mirrors the same ones.
    """
    epoch, position = places(cursor, len(x), examples)
    seeds = order.astype(jnp.uint32)
    word = _mix(seeds[1] + _mix(seeds[0] + _mix(epoch.astype(jnp.uint32) + MIRROR)))
    bits = _mix(word + _mix(position.astype(jnp.uint32))) >> 31
    return jnp.where((bits == 1)[:, None, None, None], x[:, :, ::-1], x)


def to_unit_range(pixels: jax.Array) -> jax.Array:
    """Map bytes 0…255, or 16-bit levels 0…65535, to float32 in [-1, 1]; other numbers are not changed."""
    half = HALF_RANGES.get(pixels.dtype.name)
    return pixels if half is None else pixels.astype(jnp.float32) / half - 1.0


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Map floats in [-1, 1] to bytes 0…255, the inverse of :func:`to_unit_range`."""
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)


def permuted(order: jax.Array, epoch: jax.Array, position: jax.Array, size: int) -> jax.Array:
    """Return the elements at ``position`` of the permutation of ``range(size)`` for ``epoch``.

    The permutation is a Feistel network on the smallest even number of bits that can represent ``size``, iterated until
    the value is in the range (cycle walking; Black & Rogaway 2002, "Ciphers with arbitrary finite domains"). It is
    computed one element at a time, so a minibatch costs O(n) instead of the O(size log size) of a whole permutation.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = jnp.uint32((1 << half) - 1)
    seeds, epoch = order.astype(jnp.uint32), epoch.astype(jnp.uint32)
    # Both words of the key are mixed in: one of them is 0 for a small seed, and round keys must not repeat.
    keys = [_mix(seeds[0] + _mix(seeds[1] + _mix(epoch * ROUNDS + i + 1))) for i in range(ROUNDS)]

    def encipher(value: jax.Array) -> jax.Array:
        left, right = value >> half, value & mask
        for round_key in keys:
            left, right = right, left ^ (_mix(right + round_key) & mask)
        return (left << half) | right

    def walk(value: jax.Array) -> jax.Array:
        return jnp.where(value < size, value, encipher(value))

    first = encipher(position.astype(jnp.uint32))
    inside = jax.lax.while_loop(lambda value: jnp.any(value >= size), walk, first)
    return inside.astype(jnp.int32)


def _mix(word: jax.Array) -> jax.Array:
    """Hash 32 bits so that each input bit flips half of the output bits on average (MurmurHash3's finaliser)."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)

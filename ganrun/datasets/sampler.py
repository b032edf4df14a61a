"""Minibatches as pure functions: what a step sees depends on the seed and the cursor, on nothing else.

A *source* is a pytree that lives on the device. ``source.minibatch(key, cursor, n)`` returns ``n`` examples and the
cursor of the next call. There is no iterator to lose: the cursor is two integers inside the run's state.
For class-conditional games a source gives the same examples with their labels, and labels alone.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

ROUNDS = 6  # rounds of the Feistel network: enough that neighbours in one epoch are unrelated in the next


@struct.dataclass
class Cursor:
    """Where the next minibatch starts: ``epoch`` and ``offset`` (examples already drawn of it), both int32."""

    epoch: jax.Array
    offset: jax.Array

    @classmethod
    def start(cls) -> Cursor:
        return cls(epoch=jnp.zeros((), jnp.int32), offset=jnp.zeros((), jnp.int32))


class Source(Protocol):
    """What Algorithm 1 draws from: ``minibatch`` returns ``(n, *shape)`` float32 and the next cursor.

    ``SHARED`` names the fields that the runs of a population have in common: they are on the device once.
    ``classes`` is how many labels there are, from 0 up; without any it is 0.
    """

    SHARED: ClassVar[tuple[str, ...]]

    @property
    def classes(self) -> int: ...

    @property
    def class_probabilities(self) -> np.ndarray:
        """How frequent each class is among the examples, ``(classes,)``."""
        ...

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]: ...

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return what ``minibatch`` does, with the int32 labels ``(n,)`` of the examples in the middle."""
        ...

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Return ``n`` int32 labels drawn at random, each class as often as it is among the examples."""
        ...


@struct.dataclass
class Pixels:
    """A finite set of images held on the device as flat bytes, shuffled anew in every epoch.

    Attributes:
        flat: uint8 ``(examples, height * width * channel)``; flat because gathering rows of an image-shaped array
            is several times slower.
        order: ``key_data`` of the key that all epoch orders derive from.
        shape: ``(height, width, channel)`` of one example.
        targets: uint8 ``(examples,)``, the label of each example; None where they were not read.
        classes: how many labels there are; 0 where they were not read.
    """

    SHARED: ClassVar[tuple[str, ...]] = ("flat", "targets")

    flat: jax.Array
    order: jax.Array
    shape: tuple[int, ...] = struct.field(pytree_node=False)
    targets: jax.Array | None = None
    classes: int = struct.field(pytree_node=False, default=0)

    @property
    def class_probabilities(self) -> np.ndarray:
        """How frequent each label is, float64 ``(classes,)``.

        Raises:
            ValueError: the labels were not read.
        """
        targets = np.asarray(self._known_targets())
        return np.bincount(targets, minlength=self.classes) / len(targets)

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return ``(n, *shape)`` in [-1, 1]; every example comes exactly once per epoch (``n`` ≤ examples)."""
        del key  # the order is a function of the seed and the cursor
        row, following = self._rows(cursor, n)
        return self._images(row), following

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return what :meth:`minibatch` does, with the labels int32 ``(n,)`` in the middle.

        Raises:
            ValueError: the labels were not read.
        """
        del key
        row, following = self._rows(cursor, n)
        return self._images(row), self._known_targets()[row].astype(jnp.int32), following

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Return the labels int32 ``(n,)`` of examples drawn at random, with replacement.

        Raises:
            ValueError: the labels were not read.
        """
        row = jax.random.randint(key, (n,), 0, self.flat.shape[0])
        return self._known_targets()[row].astype(jnp.int32)

    def _known_targets(self) -> jax.Array:
        if self.targets is None:
            raise ValueError("these images were loaded without their labels")
        return self.targets

    def _images(self, row: jax.Array) -> jax.Array:
        return to_unit_range(self.flat[row]).reshape(len(row), *self.shape)

    def _rows(self, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return the rows ``(n,)`` of the minibatch at ``cursor``, and the cursor of the next."""
        examples = self.flat.shape[0]
        position = cursor.offset + jnp.arange(n, dtype=jnp.int32)
        epoch = cursor.epoch + (position >= examples)
        row = permuted(self.order, epoch, position % examples, examples)
        offset = cursor.offset + n
        following = Cursor(epoch=cursor.epoch + (offset >= examples), offset=offset % examples)
        return row, following


def to_unit_range(pixels: jax.Array) -> jax.Array:
    """Map bytes 0…255 to float32 in [-1, 1]."""
    return pixels.astype(jnp.float32) / 127.5 - 1.0


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Map floats in [-1, 1] to bytes 0…255, the inverse of :func:`to_unit_range`."""
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)


def permuted(order: jax.Array, epoch: jax.Array, position: jax.Array, size: int) -> jax.Array:
    """Return where ``position`` lies in the shuffle of ``range(size)`` that belongs to ``epoch``.

    A Feistel network on the smallest even number of bits that holds ``size``, walked until the value falls inside
    the range (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"): a bijection computed one element at a
    time, so that a minibatch costs O(n) and not the O(size log size) of drawing a whole permutation.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = jnp.uint32((1 << half) - 1)
    seeds, epoch = order.astype(jnp.uint32), epoch.astype(jnp.uint32)
    # Both words of the key go through the mixer: one of them is 0 for a small seed, and rounds must not repeat.
    keys = [_mix(seeds[0] + _mix(seeds[1] + _mix(epoch * ROUNDS + turn + 1))) for turn in range(ROUNDS)]

    def encipher(value: jax.Array) -> jax.Array:
        left, right = value >> half, value & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (_mix(right + keys[turn]) & mask)
        return (left << half) | right

    def walk(value: jax.Array) -> jax.Array:
        return jnp.where(value < size, value, encipher(value))

    first = encipher(position.astype(jnp.uint32))
    inside = jax.lax.while_loop(lambda value: jnp.any(value >= size), walk, first)
    return inside.astype(jnp.int32)


def _mix(word: jax.Array) -> jax.Array:
    """Scramble 32 bits so that each input bit moves half of the output bits (MurmurHash3's finaliser)."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)

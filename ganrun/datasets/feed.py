"""How training data reach the device: all of them at once, or a window of the next minibatches at a time.

``Feed.window(cursor, examples)`` returns a source that holds at least the next ``examples`` examples from ``cursor``
on, in the order of the cursor. A step that draws from the window gets the same examples as one that draws from the
whole dataset, so both feeds give the same bits.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.datasets.host_order import host_permuted
from ganrun.datasets.rows import Reader, Rows
from ganrun.datasets.sampler import Cursor, Source, mirrored, to_unit_range
from ganrun.mesh import over_data

AUTO_SHARE = 0.25  # maximum fraction of the free memory of the device for training examples with feed=auto
WINDOW_BYTES = 1 << 26  # maximum size of the windows of all members of a program, unless a single step needs more


class Feed(Protocol):
    """Hands the next minibatches to the device.

    ``capacity`` is the maximum number of examples in a window; None if it is unlimited.
    """

    @property
    def capacity(self) -> int | None: ...

    def window(self, cursor: Cursor, examples: int) -> Source: ...

    def prefetch(self) -> None: ...


@dataclass(frozen=True)
class Resident:
    """The feed of data that are on the device as a whole: every window is the whole dataset."""

    source: Source

    @property
    def capacity(self) -> None:
        return None

    def window(self, cursor: Cursor, examples: int) -> Source:
        """Return the whole dataset, without waiting for ``cursor``."""
        del cursor, examples
        return self.source

    def prefetch(self) -> None:
        """Do nothing: all examples are there."""


@struct.dataclass
class Window:
    """Consecutive examples of a finite set, in the order of training.

    Attributes:
        flat: ``(capacity, prod(shape))`` of the dataset's type; rows beyond those asked for are arbitrary.
        targets: their labels ``(capacity,)``; None if they were not read.
        start: the cursor of the first row.
        order: ``key_data`` of the key from which the orders of all epochs are derived.
        examples: number of examples in the dataset.
        shape: of one example.
        classes: number of classes; 0 if the labels were not read.
        flip: whether images are mirrored, see :func:`ganrun.datasets.sampler.mirrored`.
    """

    SHARED: ClassVar[tuple[str, ...]] = ()

    flat: jax.Array
    targets: jax.Array | None
    start: Cursor
    order: jax.Array
    examples: int = struct.field(pytree_node=False)
    shape: tuple[int, ...] = struct.field(pytree_node=False)
    classes: int = struct.field(pytree_node=False, default=0)
    flip: bool = struct.field(pytree_node=False, default=False)

    @property
    def class_probabilities(self) -> np.ndarray:
        """Raise ValueError: a window does not know the frequencies of the whole dataset."""
        raise ValueError("class frequencies are those of the whole dataset, not of a window")

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return ``(n, *shape)``, as :meth:`ganrun.datasets.sampler.Pixels.minibatch` of the dataset."""
        del key
        rows = jax.lax.dynamic_slice_in_dim(self.flat, self._row(cursor), n)
        x = over_data(to_unit_range(rows).reshape(n, *self.shape))
        x = mirrored(x, self.order, cursor, self.examples) if self.flip else x
        return x, self._following(cursor, n)

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return the examples of :meth:`minibatch`, their labels int32 ``(n,)``, and the next cursor."""
        if self.targets is None:
            raise ValueError("these images were loaded without their labels")
        x, following = self.minibatch(key, cursor, n)
        return x, jax.lax.dynamic_slice_in_dim(self.targets, self._row(cursor), n).astype(jnp.int32), following

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Raise ValueError: a window does not know the frequencies of the whole dataset."""
        raise ValueError("class frequencies are those of the whole dataset, not of a window")

    def _row(self, cursor: Cursor) -> jax.Array:
        return (cursor.epoch - self.start.epoch) * self.examples + cursor.offset - self.start.offset

    def _following(self, cursor: Cursor, n: int) -> Cursor:
        offset = cursor.offset + n
        return Cursor(epoch=cursor.epoch + (offset >= self.examples), offset=offset % self.examples)


@dataclass(frozen=True, eq=False)
class HostPixels:
    """A finite set of examples in the memory of the host, or mapped from a file.

    The attributes are those of :class:`ganrun.datasets.sampler.Pixels`.
    """

    flat: np.ndarray | Rows
    order: jax.Array
    shape: tuple[int, ...]
    targets: np.ndarray | None = None
    classes: int = 0
    flip: bool = False

    @property
    def class_probabilities(self) -> np.ndarray:
        """Frequency of each class, float64 ``(classes,)``; raise ValueError if the labels were not read."""
        if self.targets is None:
            raise ValueError("these images were loaded without their labels")
        return np.bincount(self.targets, minlength=self.classes) / len(self.targets)


class Streamed:
    """The feed of data that stay on the host: each window is gathered there and copied to the device.

    Args:
        data: the dataset.
        size: examples in a window: always the same, so that the programs are compiled for one shape.

    Attributes:
        prefetched: number of windows that were gathered before they were asked for.
    """

    def __init__(self, data: HostPixels, size: int) -> None:
        self.data, self.size = data, size
        self._reader = Reader(data.flat)
        self.prefetched = 0
        self._last: tuple[int, int] | None = None  # position of the last window, and examples asked of it
        self._used = 1.0  # the smallest fraction of a window that calls have drawn so far
        self._next: tuple[int, Future[Window]] | None = None

    @property
    def capacity(self) -> int:
        return self.size

    def window(self, cursor: Cursor, examples: int) -> Window:
        """Return at least the next ``examples`` examples from ``cursor`` on, which is copied from the device.

        Raises:
            ValueError: ``examples`` is more than :attr:`capacity`.
        """
        if examples > self.size:
            raise ValueError(f"{examples} examples do not fit a window of {self.size}")
        position = int(cursor.epoch) * len(self.data.flat) + int(cursor.offset)
        if self._last is not None and self._last[1]:
            self._used = min(self._used, max(0.0, (position - self._last[0]) / self._last[1]))
        self._last = position, examples
        prepared, self._next = self._next, None
        if prepared is not None and prepared[0] <= position and position + examples <= prepared[0] + self.size:
            self.prefetched += 1
            return prepared[1].result()
        return self._gathered(position, examples)

    def prefetch(self) -> None:
        """Begin to gather the window after the last one, while the device works on that.

        It is assumed to begin where the last one ends. A step may draw fewer examples than a window has for it, as with
        an adaptive k: then it begins after the smallest part that any call has drawn. If it does not contain what the
        next call needs, it is gathered again.
        """
        if self._last is not None and self._next is None:
            position = self._last[0] + int(self._used * self._last[1])
            self._next = position, _thread().submit(self._gathered, position, self.size)

    def _gathered(self, start: int, examples: int) -> Window:
        """Return the ``examples`` examples from the position ``start`` on, counted over all epochs."""
        count = len(self.data.flat)
        position = start + np.arange(examples, dtype=np.int64)
        rows = host_permuted(np.asarray(self.data.order), position // count, position % count, count)
        flat = np.zeros((self.size, self.data.flat.shape[1]), self.data.flat.dtype)
        self._reader.read(rows, flat[:examples])
        targets = None
        if self.data.targets is not None:
            targets = np.zeros((self.size,), self.data.targets.dtype)
            targets[:examples] = self.data.targets[rows]
        return Window(
            flat=jnp.asarray(flat),
            targets=None if targets is None else jnp.asarray(targets),
            start=Cursor(epoch=jnp.int32(start // count), offset=jnp.int32(start % count)),
            order=self.data.order,
            examples=count,
            shape=self.data.shape,
            classes=self.data.classes,
            flip=self.data.flip,
        )


@functools.cache
def _thread() -> ThreadPoolExecutor:
    """Return the thread that gathers windows; the members of a population share it."""
    return ThreadPoolExecutor(1, thread_name_prefix="ganrun-feed")


def feed_of(train: Source | HostPixels, per_step: int, steps: int, members: int = 1) -> Feed:
    """Return the feed of the training data ``train``.

    Args:
        train: a source on the device, or images on the host.
        per_step: maximum number of examples that a step draws.
        steps: maximum number of steps per call.
        members: runs of the program, each of which has a window of its own: the orders of their data differ.
    """
    if not isinstance(train, HostPixels):
        return Resident(train)
    fitting = WINDOW_BYTES // members // (train.flat.shape[1] * train.flat.dtype.itemsize)
    return Streamed(train, max(per_step, min(per_step * steps, fitting)))


def device_bytes(feed: str, free: int) -> int | None:
    """Return the maximum bytes of training examples that are copied to the device as a whole; None if unlimited.

    Args:
        feed: the setting, one of :data:`ganrun.config.settings.FEEDS`.
        free: free memory of the device in bytes.
    """
    return {"auto": int(AUTO_SHARE * free), "resident": None, "streamed": 0}[feed]

"""Training data that stay on the host: windows of the next examples, gathered while the devices compute.

On a mesh, the rows of each minibatch of a window are distributed along data, and a host reads only the rows of its own
devices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.datasets.host_order import host_permuted
from ganrun.datasets.rows import Reader, Rows
from ganrun.datasets.sampler import Cursor, mirrored, to_unit_range
from ganrun.mesh import ONE_DEVICE, Mesh, Tree, over_data

ROUNDING = 1e-6  # minibatches: far more than the rounding error of their number


@struct.dataclass
class Window:
    """Consecutive examples of a finite set, in the order of training.

    The rows of each minibatch are divided into ``parts``. All first parts come first, then all second ones and so on,
    so that a device has the same part of every minibatch, and none is moved when a step draws it.

    Attributes:
        flat: ``(capacity, prod(shape))`` of the dataset's type; rows beyond those asked for are arbitrary.
        targets: their labels ``(capacity,)``; None if they were not read.
        start: the cursor of the first row.
        order: ``key_data`` of the key from which the orders of all epochs are derived.
        examples: number of examples in the dataset.
        shape: of one example.
        classes: number of classes; 0 if the labels were not read.
        flip: whether images are mirrored, see :func:`ganrun.datasets.sampler.mirrored`.
        parts: devices that share each minibatch.
        unit: examples of a minibatch; a window is drawn in multiples of it.
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
    parts: int = struct.field(pytree_node=False, default=1)
    unit: int = struct.field(pytree_node=False, default=1)

    @property
    def class_probabilities(self) -> np.ndarray:
        """Raise ValueError: a window does not know the frequencies of the whole dataset."""
        raise ValueError("class frequencies are those of the whole dataset, not of a window")

    def minibatch(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Cursor]:
        """Return ``(n, *shape)``, as :meth:`ganrun.datasets.sampler.Pixels.minibatch` of the dataset.

        Raises:
            ValueError: ``n`` is no multiple of :attr:`unit`.
        """
        del key
        x = over_data(to_unit_range(self._drawn(self.flat, cursor, n)).reshape(n, *self.shape))
        x = mirrored(x, self.order, cursor, self.examples) if self.flip else x
        return x, self._following(cursor, n)

    def labelled(self, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, jax.Array, Cursor]:
        """Return the examples of :meth:`minibatch`, their labels int32 ``(n,)``, and the next cursor."""
        if self.targets is None:
            raise ValueError("these images were loaded without their labels")
        x, following = self.minibatch(key, cursor, n)
        return x, self._drawn(self.targets, cursor, n).astype(jnp.int32), following

    def labels(self, key: jax.Array, n: int) -> jax.Array:
        """Raise ValueError: a window does not know the frequencies of the whole dataset."""
        raise ValueError("class frequencies are those of the whole dataset, not of a window")

    def _drawn(self, rows: jax.Array, cursor: Cursor, n: int) -> jax.Array:
        """Return the ``n`` elements of ``rows`` from ``cursor`` on, which is at the begin of a minibatch."""
        if n % self.unit:
            raise ValueError(f"on several devices, streamed data are drawn in multiples of batch_size, not {n}")
        parts, rest = self.parts, rows.shape[1:]
        drawn = jax.lax.dynamic_slice_in_dim(
            rows.reshape(parts, -1, *rest), self._row(cursor) // parts, n // parts, axis=1
        )
        return drawn.reshape(parts, n // self.unit, self.unit // parts, *rest).swapaxes(0, 1).reshape(n, *rest)

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


@dataclass(frozen=True)
class _Span:
    """The ``examples`` examples of each member from ``positions`` on, counted over all epochs."""

    positions: np.ndarray
    examples: int

    def holds(self, other: _Span, unit: int) -> bool:
        """Return whether those of ``other`` are among these and begin at the begin of a minibatch of ``unit``."""
        ahead = other.positions - self.positions
        inside = (ahead >= 0) & (ahead + other.examples <= self.examples) & (ahead % unit == 0)
        return bool(inside.all())


class Streamed:
    """The feed of data that stay on the host: each window is gathered there and copied to the devices.

    Args:
        data: the dataset, or that of each member of a population, in the order of each: then the arrays of a window
            have a member axis.
        size: examples in a window of a run: always the same, so that the programs are compiled for one shape.
        minibatch: examples of a minibatch, which ``size`` is a multiple of.
        mesh: the devices.

    Attributes:
        gathered: number of windows that were gathered.
        prefetched: number of those that were gathered before they were asked for.
    """

    def __init__(
        self, data: HostPixels | Sequence[HostPixels], size: int, minibatch: int = 1, mesh: Mesh = ONE_DEVICE
    ) -> None:
        self._members = not isinstance(data, HostPixels)
        self._data: Sequence[HostPixels] = [data] if isinstance(data, HostPixels) else data
        self.size, self._mesh, self._parts = size, mesh, mesh.data
        self._unit = minibatch if mesh.data > 1 else 1
        readers = {id(one.flat): Reader(one.flat) for one in self._data}
        self._readers = [readers[id(one.flat)] for one in self._data]
        self._orders = np.stack([np.asarray(one.order) for one in self._data])
        self.gathered = self.prefetched = 0
        self._asked: _Span | None = None  # by the last call
        self._used = np.ones(len(self._data))  # the smallest fractions of what was asked for that calls have drawn
        self._current: tuple[_Span, Window] | None = None
        self._next: tuple[_Span, Future[Window]] | None = None

    @property
    def capacity(self) -> int:
        return self.size

    def window(self, cursor: Cursor, examples: int) -> Window:
        """Return at least the next ``examples`` examples from ``cursor`` on, which is copied from the device.

        Args:
            cursor: of the run, or those of all members.
            examples: of each run.

        Raises:
            ValueError: ``examples`` is more than :attr:`capacity`.
        """
        if examples > self.size:
            raise ValueError(f"{examples} examples do not fit a window of {self.size}")
        count = len(self._data[0].flat)
        position = np.asarray(cursor.epoch, np.int64) * count + np.asarray(cursor.offset, np.int64)
        wanted, before = _Span(np.broadcast_to(position, (len(self._data),)), examples), self._asked
        if before is not None and before.examples:
            drawn = (wanted.positions - before.positions) / before.examples
            self._used = np.where(drawn >= 0, np.minimum(self._used, drawn), self._used)  # < 0: another run of the same
        self._asked = wanted
        if self._current is None or not self._current[0].holds(wanted, self._unit):
            self._current = self._following(wanted)
        return self._current[1]

    def _following(self, wanted: _Span) -> tuple[_Span, Window]:
        """Return the window that was prefetched if it holds what is ``wanted``, otherwise one of that."""
        prepared, self._next = self._next, None
        if prepared is None or not prepared[0].holds(wanted, self._unit):
            return wanted, self._gather(wanted)
        self.prefetched += 1
        return prepared[0], prepared[1].result()

    def prefetch(self) -> None:
        """Begin to gather the window after the last one, while the device works on that.

        The next call is assumed to ask for as much as the last one, from its end on. A step may draw fewer examples
        than are asked for it, as with an adaptive k: then the next call begins after the smallest part that any call
        has drawn. If the window does not hold what the next call needs, it is gathered again.
        """
        if self._asked is None or self._next is not None:
            return
        drawn = self._unit * np.floor(self._used * self._asked.examples / self._unit + ROUNDING).astype(np.int64)
        expected = _Span(self._asked.positions + drawn, self._asked.examples)
        if self._current is None or not self._current[0].holds(expected, self._unit):
            span = _Span(expected.positions, self.size)
            self._next = span, _thread().submit(self._gather, span)

    def _gather(self, span: _Span) -> Window:
        """Return the window of the examples of ``span``."""
        self.gathered += 1
        first, count = self._data[0], len(self._data[0].flat)
        numbers = functools.cache(functools.partial(self._numbers, span))

        def flat(members: range, rows: range) -> np.ndarray:
            found = np.zeros((len(members), len(rows), first.flat.shape[1]), first.flat.dtype)
            for place, member in zip(found, members, strict=True):
                wanted = numbers(member, rows)
                self._readers[member].read(wanted, place[: len(wanted)])
            return found

        def targets(members: range, rows: range) -> np.ndarray:
            read = [np.asarray(self._data[member].targets)[numbers(member, rows)] for member in members]
            return np.stack([np.pad(one, (0, len(rows) - len(one))) for one in read])

        epoch, offset = (array.astype(np.int32) for array in np.divmod(span.positions, count))
        return Window(
            flat=self._distributed(flat, first.flat.shape[1]),
            targets=None if first.targets is None else self._distributed(targets),
            start=self._placed(Cursor(epoch=epoch, offset=offset)),  # type: ignore[arg-type]
            order=self._placed(self._orders),
            examples=count,
            shape=first.shape,
            classes=first.classes,
            flip=first.flip,
            parts=self._parts,
            unit=self._unit,
        )

    def _numbers(self, span: _Span, member: int, rows: range) -> np.ndarray:
        """Return which examples are ``rows`` of the window of ``span``: the first ones, if the span is shorter.

        ``rows`` are those of one part, or all of them; there is one part then.
        """
        share, asked = self._unit // self._parts, -(-span.examples // self._unit)
        part, first = divmod(rows.start, self.size // self._parts)
        minibatch, row = np.divmod(first + np.arange(min(len(rows), asked * share), dtype=np.int64), share)
        position = span.positions[member] + minibatch * self._unit + part * share + row
        count = len(self._data[0].flat)
        return host_permuted(self._orders[member], position // count, position % count, count)

    def _distributed(self, read: Callable[[range, range], np.ndarray], *rest: int) -> jax.Array:
        """Return the array of a window, ``rest`` being the shape of a row, of which ``read`` returns parts."""
        if self._members:
            return self._mesh.by_rows((len(self._data), self.size, *rest), read, members=True)
        return self._mesh.by_rows((self.size, *rest), lambda rows: read(range(1), rows)[0])

    def _placed(self, tree: Tree) -> Tree:
        """Return ``tree``, arrays of the host with a member axis, on the devices that need them."""
        if self._members:
            return self._mesh.by_member(jax.tree.map(jnp.asarray, tree))
        return self._mesh.replicated(jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), tree))


@functools.cache
def _thread() -> ThreadPoolExecutor:
    """Return the thread that gathers windows; the members of a population share it."""
    return ThreadPoolExecutor(1, thread_name_prefix="ganrun-feed")

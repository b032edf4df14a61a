"""How training data reach the device: all of them at once, or a window of the next minibatches at a time.

``Feed.window(cursor, examples)`` returns a source that holds at least the next ``examples`` examples from ``cursor``
on, in the order of the cursor. A step that draws from the window gets the same examples as one that draws from the
whole dataset, so both feeds give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ganrun.datasets.sampler import Cursor, Source
from ganrun.datasets.streaming import HostPixels, Streamed
from ganrun.mesh import ONE_DEVICE, Mesh

AUTO_SHARE = 0.25  # maximum fraction of the free memory of the device for training examples with feed=auto
WINDOW_BYTES = 1 << 26  # maximum size of the windows of all members of a program, unless a single step needs more


@dataclass(frozen=True)
class Demand:
    """What a program draws of its training data.

    Attributes:
        per_step: maximum number of examples of a step.
        steps: maximum number of steps per call.
        minibatch: number of examples of a minibatch: a step draws whole ones.
    """

    per_step: int
    steps: int
    minibatch: int = 1


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


def feed_of(train: Source | HostPixels, demand: Demand, mesh: Mesh = ONE_DEVICE, members: int = 1) -> Feed:
    """Return the feed of the training data ``train``.

    Args:
        train: a source on the device, or images on the host.
        demand: what the program draws.
        mesh: the devices.
        members: runs of the program, each of which has a window of its own: the orders of their data differ.
    """
    if not isinstance(train, HostPixels):
        return Resident(train)
    fitting = WINDOW_BYTES // members // (train.flat.shape[1] * train.flat.dtype.itemsize)
    size = max(demand.per_step, min(demand.per_step * demand.steps, fitting))
    return Streamed(train, size - size % demand.minibatch, demand.minibatch, mesh)


def device_bytes(feed: str, free: int) -> int | None:
    """Return the maximum bytes of training examples that are copied to the device as a whole; None if unlimited.

    Args:
        feed: the setting, one of :data:`ganrun.config.settings.FEEDS`.
        free: free memory of the device in bytes.
    """
    return {"auto": int(AUTO_SHARE * free), "resident": None, "streamed": 0}[feed]

"""Copies wait for room, are written in the background, and leave their room when they are written or fail."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ganrun.storage.write_queue import WriteQueue


def test_a_copy_is_made_before_submit_returns_and_written_afterwards():
    gate, source, written = threading.Event(), [1, 2], []

    def write(content: list[int]) -> None:
        assert gate.wait(10)
        written.extend(content)

    found = WriteQueue(1, 10).submit(2, lambda: list(source), write)
    source.clear()
    assert not written
    gate.set()
    found.result(10)
    assert written == [1, 2]


@pytest.mark.parametrize(("second", "waits"), [(4, False), (5, True), (50, True)])
def test_a_copy_that_has_no_room_is_made_once_another_is_written(second, waits):
    gate, copied = threading.Event(), threading.Event()
    queue = WriteQueue(2, 10)
    queue.submit(6, lambda: None, lambda _: gate.wait(10))
    with ThreadPoolExecutor(1) as other:
        submitted = other.submit(queue.submit, second, copied.set, lambda _: None)
        assert copied.wait(0.2) is not waits
        gate.set()
        submitted.result(10).result(10)
    assert copied.is_set()


def test_what_is_larger_than_the_limit_waits_alone():
    queue = WriteQueue(1, 10)
    for _ in range(3):
        queue.submit(100, lambda: None, lambda _: None).result(10)


def test_what_fails_leaves_its_room():
    queue = WriteQueue(1, 10)

    def fail(_: object = None) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        queue.submit(10, fail, lambda _: None)
    with pytest.raises(OSError, match="no space"):
        queue.submit(10, lambda: None, fail).result(10)
    queue.submit(10, lambda: None, lambda _: None).result(10)

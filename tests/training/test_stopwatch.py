"""Where the time of a run goes: parts that exclude each other and add up to the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.training.stopwatch import OTHER, PARTS, Stopwatch, added


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_part_within_another_takes_its_time_from_it():
    clock = Clock()
    stopwatch = Stopwatch(clock)
    clock.now += 1.0  # nothing is under way
    with stopwatch.timing("training"):
        clock.now += 2.0
        with stopwatch.timing("compiling"):
            clock.now += 4.0
        clock.now += 8.0
        with stopwatch.timing("evaluating"):
            clock.now += 16.0
            found = stopwatch.split()  # up to now
    none = dict.fromkeys(PARTS, 0.0)
    assert found == none | {"training": 10.0, "compiling": 4.0, "evaluating": 16.0, OTHER: 1.0}
    assert stopwatch.total() == 31.0


def test_a_part_that_fails_ends_too():
    clock = Clock()
    stopwatch = Stopwatch(clock)
    with pytest.raises(ValueError), stopwatch.timing("writing"):
        clock.now += 3.0
        raise ValueError
    clock.now += 5.0
    assert stopwatch.split()["writing"] == 3.0 and stopwatch.split()[OTHER] == 5.0


@given(st.lists(st.tuples(st.sampled_from((*PARTS, None)), st.integers(0, 1000)), max_size=30))
def test_the_parts_add_up_to_the_whole(moves):
    """Parts begin, and end for None, with some time between."""
    clock = Clock()
    stopwatch = Stopwatch(clock)
    contexts = []
    for part, seconds in moves:
        clock.now += seconds
        if part is not None:
            contexts.append(stopwatch.timing(part))
            contexts[-1].__enter__()
        elif contexts:
            contexts.pop().__exit__(None, None, None)
    split = stopwatch.split()
    assert sum(split.values()) == pytest.approx(stopwatch.total()) == sum(seconds for _, seconds in moves)
    assert min(split.values()) >= 0


def test_two_sittings_are_added_part_by_part():
    assert added({}, {"training": 2.0})["training"] == 2.0
    both = added({"training": 1.0, OTHER: 0.5}, {"training": 2.0, "writing": 4.0})
    assert both == dict.fromkeys(PARTS, 0.0) | {"training": 3.0, "writing": 4.0, OTHER: 0.5}

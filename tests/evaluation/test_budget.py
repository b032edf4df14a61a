"""The evaluation budget, on simulated runs whose time is counted and not measured."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.evaluation.budget import ASSUMED, METRICS, PICTURES, PROBE, Budget, Costs

STEPS = 1000


class Simulation:
    """A run of 1 000 steps with pictures at every tenth of it, also at the start, and a probe at every quarter."""

    def __init__(self, share: float, per_step: float, seconds: dict[str, float], members: int = 1, threads: int = 1):
        self.now, self.per_step, self.seconds = 0.0, per_step, seconds
        self.costs = [Costs() for _ in range(members)]
        self.budget = Budget(share, {PICTURES: 11, PROBE: 4}, 0, STEPS, lambda: self.now, self.costs, threads=threads)
        self.evaluated: dict[str, list[int]] = {PICTURES: [], PROBE: []}

    def go(self) -> Simulation:
        for step in range(0, STEPS + 1, 50):
            due = {PICTURES: step % 100 == 0, PROBE: step > 0 and step % 250 == 0}
            parts = self.budget.granted(frozenset(part for part in due if due[part]), step, self.per_step)
            for part, costs in itertools.product(sorted(parts), self.costs):
                costs.add(part, self.seconds[part])
                self.now += self.seconds[part] / self.budget.threads
            for part in parts:
                self.evaluated[part].append(step)
            self.now += 50 * self.per_step if step < STEPS else 0.0
        return self

    @property
    def spent(self) -> float:
        return sum(costs.spent for costs in self.costs) / self.budget.threads


CHEAP = {PICTURES: 0.1, PROBE: 0.5}


@given(
    share=st.floats(0.0, 0.99),
    per_step=st.floats(1e-4, 1.0),
    pictures=st.floats(0.01, 5.0),
    probe=st.floats(0.01, 20.0),
    members=st.integers(1, 20),
    threads=st.integers(1, 4),
)
def test_evaluation_takes_its_share_of_the_time_or_one_evaluation_at_the_end(
    share, per_step, pictures, probe, members, threads
):
    seconds = {PICTURES: pictures, PROBE: probe}
    run = Simulation(share, per_step, seconds, members, threads).go()
    at_the_end = members * (pictures + probe) / threads
    # What a part takes, and has to be reserved for the end, is known once it has been evaluated.
    surprise = sum(max(0.0, seconds[part] - ASSUMED[part]) for part in seconds) * members / threads
    assert run.spent <= max(at_the_end, share * run.now) + 2 * surprise + 1e-6
    assert all(run.evaluated[part][-1] == STEPS for part in seconds)


def test_everything_is_evaluated_in_a_run_that_can_afford_it():
    run = Simulation(0.15, 0.1, CHEAP).go()  # 100 s, of which 15 are enough for 11 pictures and 4 probes: 3.1
    assert run.evaluated == {PICTURES: [*range(0, 1001, 100)], PROBE: [250, 500, 750, 1000]}
    assert run.budget.left_out == {PICTURES: 0, PROBE: 0, METRICS: 0}


def test_a_short_run_is_evaluated_at_its_end_only():
    run = Simulation(0.15, 0.001, CHEAP).go()  # 1 s of training, and .6 for one evaluation
    assert run.evaluated == {PICTURES: [1000], PROBE: [1000]}
    assert run.budget.left_out == {PICTURES: 10, PROBE: 3, METRICS: 0}


def test_a_run_that_can_afford_some_spreads_them():
    # 40 s of training: .15 of it less 3.5 s for the end leave 2.5 s for pictures of .5 s each: five of ten.
    run = Simulation(0.15, 0.04, {PICTURES: 0.5, PROBE: 3.0}).go()
    before = run.evaluated[PICTURES][:-1]
    assert 3 <= len(before) <= 6
    assert before[0] <= 300 and before[-1] >= 700, before
    assert max(later - earlier for earlier, later in itertools.pairwise(run.evaluated[PICTURES])) <= 400


@pytest.mark.parametrize(("share", "pictures", "probes"), [(0.0, 1, 1), (1.0, 11, 4)])
def test_share_0_leaves_the_end_and_share_1_leaves_nothing_out(share, pictures, probes):
    run = Simulation(share, 0.001, {PICTURES: 60.0, PROBE: 60.0}).go()
    assert len(run.evaluated[PICTURES]) == pictures and len(run.evaluated[PROBE]) == probes


def test_what_waits_to_be_evaluated_is_spent_already():
    costs = Costs()
    budget = Budget(0.5, {PICTURES: 100}, 0, STEPS, lambda: 10.0, [costs])
    # 10 s of 20 for pictures, .5 s of them for the last: at step 500, nine and a half twentieths and some more.
    granted = [bool(budget.granted(frozenset({PICTURES}), 500, 0.02)) for _ in range(12)]
    assert granted == [True] * 9 + [False] * 3
    for _ in range(9):
        costs.add(PICTURES, 0.1)  # they turn out to be cheaper
    assert budget.granted(frozenset({PICTURES}), 500, 0.02)


def test_a_session_that_continues_counts_its_own_steps_and_seconds():
    seconds = [1.0]
    fresh = Budget(0.15, {PICTURES: 10}, 900, STEPS, lambda: seconds[0], [Costs()])
    # .15 of 1 s + 100 steps of .2 s is 3.15 s, .5 of it for the end: at step 900 a tenth of 2.65 s is not enough.
    assert not fresh.granted(frozenset({PICTURES}), 900, 0.2)
    seconds[0] = 11.0
    assert fresh.granted(frozenset({PICTURES}), 950, 0.2)


def test_the_summary_tells_what_was_done_and_what_was_due():
    run = Simulation(0.15, 0.001, CHEAP).go()
    told = run.budget.describe(run.costs[0])
    assert told == {"share": 0.15, "seconds": 0.6, PICTURES: [1, 11], PROBE: [1, 4]}

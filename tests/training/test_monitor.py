"""The watch over a run: tells once, again only after a long while, and goes on after a stop as if there were none."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ganrun.config.settings import Ema
from ganrun.methods.detection import MEMORY
from ganrun.methods.finding import Finding
from ganrun.training.monitor import MAX, Monitor, facts_of
from ganrun.writers.base import Entry

SURE = {"D(x)": 0.999, "D(G(z))": 0.001}
FAIR = {"D(x)": 0.5, "D(G(z))": 0.5}


@pytest.fixture
def watch(tiny_config):
    return lambda: Monitor(tiny_config, modes=8)


def names(found: list[Finding]) -> list[str]:
    return [one.name for one in found]


def test_a_lasting_failure_is_reported_once_when_it_is_first_detected(watch) -> None:
    one = watch()
    told = [names(one.see(step, SURE)) for step in range(1, 31)]
    assert told == [[]] * 9 + [["discriminator saturated"]] + [[]] * 20
    assert [found.step for found in one.findings] == [10]


def test_a_failure_is_reported_again_after_a_long_interval(watch) -> None:
    one = watch()
    for step in range(10):
        one.see(step, SURE)
    for step in range(10, 20):
        one.see(step, FAIR)
    assert not any(one.see(step, SURE) for step in range(20, 40))  # too soon
    for step in range(40, 41 + MEMORY):
        one.see(step, FAIR)
    assert sum(len(one.see(step, SURE)) for step in range(200, 220)) == 1


def test_a_stop_at_any_row_changes_nothing(watch) -> None:
    rows = [(step, SURE if step % 37 < 15 else FAIR) for step in range(1, 300)]
    whole = watch()
    told = [names(whole.see(*row)) for row in rows]
    for stop in (1, 9, 10, 11, 100, 180):
        first, second = watch(), watch()
        begun = [names(first.see(*row)) for row in rows[:stop]]
        second.restore(json.loads(json.dumps(first.plain())), [{"step": step, **row} for step, row in rows[:stop]])
        assert begun + [names(second.see(*row)) for row in rows[stop:]] == told
        assert second.findings == whole.findings


def test_a_recurring_failure_is_reported_a_limited_number_of_times(tiny_config, monkeypatch) -> None:
    one = Monitor(tiny_config)
    one.findings = [Finding("x", 0, "y", ("a=1",))] * MAX
    assert not any(one.see(step, SURE) for step in range(20))


def test_a_finding_is_written_with_the_row_that_shows_it(watch) -> None:
    one = watch()
    entries = [Entry(step=step, scalars=SURE) for step in range(1, 12)]
    for entry in entries:
        one.write(entry)
    assert [bool(entry.findings) for entry in entries] == [False] * 9 + [True, False]
    assert entries[9].findings == [
        "step 10: discriminator saturated: D(x) is 0.999 and D(G(z)) 0.001, for 10 rows: "
        "D separates data and samples almost perfectly. "
        "Try penalty=r1 or optimizer.discriminator.learning_rate=0.00025."
    ]


def test_what_the_run_has_already_is_not_recommended(compose_config) -> None:
    words = ("penalty=r1", "optimizer.discriminator.learning_rate=0.004", "inputs.noise=0")
    one = Monitor(compose_config(words))
    (found,) = (found for step in range(10) for found in one.see(step, SURE))
    assert found.suggestions == ("optimizer.discriminator.learning_rate=0.001", "inputs.noise=0.1")


def test_a_finding_goes_out_and_in_as_json() -> None:
    found = Finding("oscillation", 40, "it swings", ("penalty=r1", "steps=3"))
    assert Finding.of(json.loads(json.dumps(found.plain()))) == found
    assert found.told() == "step 40: oscillation: it swings. Try penalty=r1 or steps=3."


@pytest.mark.parametrize("updates", [1, 5])
def test_the_average_is_behind_by_steps_however_many_updates_a_step_has(tiny_config, updates) -> None:
    # It follows once a step: with a decay of .99 it has a memory of 1 / (1 - .99) = 100 steps.
    schedule = dataclasses.replace(tiny_config.schedule, generator_steps=updates)
    config = dataclasses.replace(tiny_config, schedule=schedule, ema=Ema(decay=0.99))
    assert facts_of(config, 8).lag == pytest.approx(100)

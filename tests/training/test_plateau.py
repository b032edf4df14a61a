"""When a metric has stopped improving: means of three evaluations beyond the interval of their difference."""

import dataclasses
import math

import numpy as np
import pytest

from ganrun.config.settings import Stop
from ganrun.training.plateau import Plateau, deviation


@pytest.fixture
def plateau(compose_config):
    """Return a function that makes a plateau for a metric."""
    config = compose_config(())

    def make(when="jsd/exact", **settings):
        return Plateau(dataclasses.replace(config, stop=Stop(when=when, **settings)))

    return make


def ends(plateau, values, tag="jsd/exact"):
    """Return the number of ``values``, at steps 10, 20, ..., after which the run ends; None if it goes on."""
    for i, value in enumerate(values):
        plateau.see(10 * i + 10, {tag: value, "D(x)": 0.5})
        if plateau.reason():
            return i + 1
    return None


def test_the_deviation_is_that_of_successive_differences():
    assert deviation(np.array([1.0, 3.0, 0.0, 0.5])) == pytest.approx(2.0 / 0.6745 / math.sqrt(2.0))
    noise = np.random.default_rng(0).normal(0.0, 0.5, 4000)
    assert deviation(noise + np.linspace(0, 30, 4000)) == pytest.approx(0.5, rel=0.05)  # a trend does not matter
    assert deviation(np.concatenate([[50.0, 9.0], noise])) == pytest.approx(0.5, rel=0.05)  # nor do a few large steps


def test_a_constant_metric_ends_the_run_after_its_patience(plateau):
    # The first mean is that of three evaluations.
    assert ends(plateau(patience=2), [0.3] * 9) == 5
    assert ends(plateau(patience=4), [0.3] * 9) == 7


def test_a_run_goes_on_while_it_improves_however_slowly_for_long_enough(plateau):
    steady = [1.0 - 0.01 * i for i in range(40)]
    # Successive differences of .01: a deviation of .0105, an interval of 1.96 sqrt(2/3) .0105 = .0168, two steps.
    assert ends(plateau(patience=2), steady) is None
    assert ends(plateau(patience=1), steady) == 4
    assert ends(plateau(patience=2, tolerance=0.025), steady) == 5  # three steps are needed, and two are given
    assert ends(plateau(patience=3, tolerance=0.025), steady) is None


def test_an_improvement_within_the_interval_does_not_count(plateau):
    # Means 0, then -.3 from the seventh value on, within 1.96 sqrt(2/3) times the deviation of about 1.
    noisy = [1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 0.1, -1.0, 0.0]
    assert ends(plateau(patience=6), noisy) == 9
    # The same improvement without noise counts.
    assert ends(plateau(patience=6), [0.0] * 6 + [-0.3] * 4) is None


def test_the_direction_is_that_of_the_metric(plateau):
    rising = [float(i) for i in range(12)]
    assert ends(plateau("modes/covered", patience=3), rising, "modes/covered") is None
    assert ends(plateau("modes/covered", patience=3), rising[::-1], "modes/covered") == 6
    assert ends(plateau(patience=3), rising) == 6


def test_rows_without_the_metric_and_step_0_do_not_count(plateau):
    watched = plateau(patience=1)
    watched.see(0, {"jsd/exact": 0.3})
    for step, scalars in ((10, {"D(x)": 0.5}), (20, {"jsd/exact": None}), (30, {"jsd/exact": math.nan})):
        watched.see(step, scalars)
    assert [bool(watched.see(step, {"jsd/exact": 0.3}) or watched.reason()) for step in (40, 50, 60, 70)] == [
        False,
        False,
        False,
        True,
    ]
    said = "stop.when=jsd/exact: 1 evaluations up to step 70 have not improved on the mean of 3 up to step 60 by more"
    assert watched.reason().startswith(said)
    assert not plateau(None, patience=1).reason()


def test_a_run_that_has_not_left_its_start_is_told_so_when_it_ends(plateau):
    watched = plateau(patience=2)
    watched.see(0, {"jsd/exact": 0.3})
    # Equal values have no deviation, so the interval is 0; .3 is not better than .3.
    assert ends(watched, [0.3] * 5) == 5
    found = watched.stalled()
    assert (found.name, found.step) == ("no improvement", 50)
    assert found.evidence.startswith("jsd/exact, which ends the run, has never been better than at step 0")
    assert found.suggestions == ("stop.patience=4", "stop.when=null")


def test_a_run_that_is_better_than_its_start_is_not_warned(plateau):
    watched = plateau(patience=2)
    watched.see(0, {"jsd/exact": 0.69})
    assert ends(watched, [0.3] * 5) == 5 and watched.stalled() is None
    going = plateau(patience=2)
    going.see(0, {"jsd/exact": 0.3})
    going.see(10, {"jsd/exact": 0.3})
    assert going.stalled() is None  # it does not end yet


def test_a_start_within_the_interval_of_one_value_has_not_been_left(plateau):
    # Successive differences of 2: a deviation of 2.1 and an interval of 1.96 sqrt(4/3) 2.1 = 4.74 from one value.
    swinging = [1.0, -1.0] * 5
    for start, left in ((4.3, False), (5.2, True)):  # the best mean of three is -1/3
        watched = plateau(patience=4)
        watched.see(0, {"jsd/exact": start})
        assert ends(watched, swinging) is not None
        assert (watched.stalled() is None) is left


def test_without_a_value_at_step_0_a_first_improvement_counts(plateau):
    falling, level = plateau("jsd/probe", patience=2), plateau("jsd/probe", patience=2)
    assert ends(falling, [0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], "jsd/probe") is not None
    assert falling.stalled() is None
    assert ends(level, [0.3] * 9, "jsd/probe") == 5
    assert "has never been better than the first mean of 3 evaluations" in level.stalled().evidence


def test_a_patience_that_the_run_has_no_evaluations_for_is_not_suggested(plateau):
    watched = plateau(patience=19)  # 40 evaluations; 38 + 3 would need more than 41
    assert ends(watched, [0.3] * 30) == 22
    assert watched.stalled().suggestions == ("stop.when=null",)


def test_the_state_restored_from_the_rows_gives_the_same_reason(plateau):
    values = [0.5, 0.4, 0.33, 0.31, 0.32, 0.31, 0.30, 0.33, 0.31, 0.32]
    whole, resumed = plateau(patience=3), plateau(patience=3)
    rows = [{"step": 10 * i, "jsd/exact": value} for i, value in enumerate(values)]
    for row in rows:
        whole.see(row["step"], row)
    resumed.restore(rows[:5])
    for row in rows[5:]:
        resumed.see(row["step"], row)
    assert whole.reason() == resumed.reason() != ""

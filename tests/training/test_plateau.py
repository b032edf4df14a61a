"""When a metric has stopped improving: the difference of two means beyond its interval."""

import dataclasses
import math

import pytest

from ganrun.config.schema import Stop
from ganrun.training.plateau import Plateau, difference


@pytest.fixture
def plateau(compose_config):
    """Return a function that makes a plateau for a metric."""
    config = compose_config(())

    def make(when="jsd/exact", **settings):
        return Plateau(dataclasses.replace(config, stop=Stop(when=when, **settings)))

    return make


def reasons(plateau, values, tag="jsd/exact"):
    """Return after which of ``values``, at steps 10, 20, ..., the run would end."""
    found = []
    for i, value in enumerate(values):
        plateau.see(10 * i + 10, {tag: value, "D(x)": 0.5})
        found.append(bool(plateau.reason()))
    return found


def test_the_interval_of_a_difference_is_that_of_welch():
    # Variances 2 and 2 of two values each: 1 + 1 = 2 for the difference, 4 / (1 + 1) = 2 degrees of freedom, and the
    # 97.5 % quantile of Student's t with 2 degrees of freedom is 4.30265.
    improvement, half = difference([3.0, 5.0], [1.0, 3.0])
    assert improvement == 2.0 and half == pytest.approx(4.30265 * math.sqrt(2.0), rel=1e-5)
    # Only the first varies: variance 12 / 3 = 4, 4^2 / (4^2 / 2) = 2 degrees of freedom.
    improvement, half = difference([0.0, 3.4641016, 6.9282032], [1.0, 1.0, 1.0])
    assert improvement == pytest.approx(2.4641016) and half == pytest.approx(4.30265 * 2.0, rel=1e-5)
    assert difference([2.0, 2.0], [2.0, 2.0]) == (0.0, 0.0)


def test_a_run_goes_on_while_the_mean_improves_beyond_its_interval(plateau):
    steady = [1.0 - 0.1 * i for i in range(8)]  # means of 3 fall by .3, within .23
    assert not any(reasons(plateau(patience=3), steady))
    assert reasons(plateau(patience=3), [0.5, 0.4, 0.3, 0.31, 0.30, 0.29, 0.30, 0.31]) == [False] * 5 + [True] * 3
    assert reasons(plateau(patience=2), [0.3] * 6) == [False] * 3 + [True] * 3
    assert reasons(plateau(patience=2), [0.3, 0.3, 0.4, 0.4])[-1]  # worse


def test_an_improvement_below_the_tolerance_does_not_count(plateau):
    values = [0.30, 0.30, 0.29, 0.29]
    assert not any(reasons(plateau(patience=2), values))
    assert reasons(plateau(patience=2, tolerance=0.02), values)[-1]


def test_the_direction_is_that_of_the_metric(plateau):
    rising = [1.0, 1.1, 5.0, 5.1]
    assert not any(reasons(plateau("modes/covered", patience=2), rising, "modes/covered"))
    assert reasons(plateau("modes/covered", patience=2), rising[::-1], "modes/covered")[-1]
    assert reasons(plateau(patience=2), rising)[-1]


def test_rows_without_the_metric_and_step_0_do_not_count(plateau):
    watched = plateau(patience=2)
    watched.see(0, {"jsd/exact": 0.3})
    for step, scalars in ((10, {"D(x)": 0.5}), (20, {"jsd/exact": None}), (30, {"jsd/exact": math.nan})):
        watched.see(step, scalars)
    assert [bool(watched.see(step, {"jsd/exact": 0.3}) or watched.reason()) for step in (40, 50, 60, 70)] == [
        False,
        False,
        False,
        True,
    ]
    assert (
        "steps 40 to 50 to those at steps 60 to 70, the mean improved by 0, within its error of 0" in watched.reason()
    )
    assert not plateau(None, patience=2).reason()


def test_the_state_restored_from_the_rows_gives_the_same_reason(plateau):
    values = [0.5, 0.4, 0.33, 0.31, 0.32, 0.31, 0.30, 0.33]
    whole, resumed = plateau(patience=3), plateau(patience=3)
    rows = [{"step": 10 * i, "jsd/exact": value} for i, value in enumerate(values)]
    for row in rows:
        whole.see(row["step"], row)
    resumed.restore(rows[:5])
    for row in rows[5:]:
        resumed.see(row["step"], row)
    assert whole.reason() == resumed.reason() != ""

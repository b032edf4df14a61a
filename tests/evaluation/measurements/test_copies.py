"""Memorisation of samples that are copies, and of new ones, and the power that is stated."""

from __future__ import annotations

import numpy as np

from ganrun.evaluation.features import Raw
from ganrun.evaluation.measurements.base import Measurement, Sets, Settings
from ganrun.evaluation.measurements.families import evaluate

D = 6


def measured(copies: int, n: int = 400) -> dict[str, Measurement]:
    rng = np.random.default_rng(0)
    training, held_out, fake = (rng.normal(size=(size, D)) for size in (800, n, n))
    fake[:copies] = training[:copies]
    sets = Sets("a", "b", fake, held_out, training[:n], training, held_out, Raw((D,)), False)
    return {one.tag: one for one in evaluate(sets, ("memorisation",), Settings()).measurements}


def value(one: Measurement) -> float:
    assert one.value is not None
    return one.value


def test_copies_are_found_by_all_three() -> None:
    found = measured(copies=300)
    assert value(found["authenticity"]) < 30 < (found["authenticity"].floor or 0)
    assert value(found["data_copying"]) < -5 and found["data_copying"].details["p_value"] < 1e-6
    assert value(found["copy_test"]) < 1e-6 and found["copy_test"].details["below_held_out"] >= 300
    assert value(found["nearest_ratio"]) == 0.0


def test_new_samples_are_not_taken_for_copies() -> None:
    found = measured(copies=0)
    assert value(found["copy_test"]) > 0.05 and found["data_copying"].details["p_value"] > 0.05
    assert abs(value(found["nearest_ratio"]) - 1) < 0.15
    one = found["authenticity"]
    assert one.low is not None and one.high is not None and one.floor is not None and one.low < one.floor < one.high


def test_the_power_is_that_of_planted_copies() -> None:
    found = measured(copies=0)
    power = {tag: found[tag].details["power"]["exact"] for tag in ("copy_test", "data_copying", "authenticity")}
    # 8 ratios in the first tail are significant: 10 of 400 are found, and 2 are not; ranks need many more.
    assert 0.01 <= power["copy_test"] <= 0.05
    assert power["data_copying"] >= 0.05 and power["authenticity"] >= 0.05
    assert measured(copies=200)["copy_test"].details["power"] == found["copy_test"].details["power"]


def test_few_examples_have_no_values_but_reasons() -> None:
    found = measured(copies=0, n=30)
    assert found["copy_test"].flags[0] == "n < 100"
    assert found["data_copying"].flags != ()


def test_held_out_examples_of_the_training_set_are_flagged_in_every_measure() -> None:
    training = np.random.default_rng(1).normal(size=(300, D))
    fake = np.random.default_rng(2).normal(size=(300, D))
    sets = Sets("a", "b", fake, training, training, training, training, Raw((D,)), False)
    found = evaluate(sets, ("memorisation",), Settings()).measurements
    assert [one.tag for one in found] == ["authenticity", "data_copying", "copy_test", "nearest_ratio"]
    assert {one.flags[0] for one in found} == {"held-out examples are in the training set"}
    for one in measured(copies=0).values():
        assert one.flags == ()

"""Every detector by hand-made rows: it fires on what it is named after, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.methods.gan.diagnostics.detectors import (
    DETECTORS,
    MEMORY,
    RunFacts,
    astray,
    collapsed,
    copied,
    oscillating,
    period,
    saturated,
    unknown,
    vanished,
)

GAME = RunFacts(steps=1000, modes=8)


def rows(n: int, **values) -> list[dict]:
    """``n`` rows, 10 steps apart; a value is a number or one for each row."""
    each = {tag: np.broadcast_to(np.asarray(value, float), (n,)) for tag, value in values.items()}
    return [{"step": 10 * (i + 1), **{tag: float(one[i]) for tag, one in each.items()}} for i in range(n)]


def play(n: int, real: object, fake: object, norm: object = 1.0) -> list[dict]:
    return [
        {"step": row["step"], "D(x)": row["real"], "D(G(z))": row["fake"], "grad_norm/generator": row["norm"]}
        for row in rows(n, real=real, fake=fake, norm=norm)
    ]


def test_a_discriminator_that_tells_all_apart_for_ten_rows_is_saturated() -> None:
    assert saturated(play(10, 0.99, 0.01), GAME) == (
        "D(x) is 0.99 and D(G(z)) 0.01, for 10 rows: D separates data and samples almost perfectly"
    )


@pytest.mark.parametrize(
    ("n", "real", "fake"), [(9, 0.99, 0.01), (10, 0.97, 0.01), (10, 0.99, 0.03), (10, [0.99] * 9 + [0.9], 0.01)]
)
def test_one_that_does_so_for_less_or_not_quite_is_not(n, real, fake) -> None:
    assert saturated(play(n, real, fake), GAME) is None


def test_a_gradient_that_fades_while_the_generator_is_judged_bad_has_vanished() -> None:
    seen = play(20, 0.99, 0.001, np.geomspace(1, 1e-4, 20))
    told = vanished(seen, GAME)
    assert told is not None and "and was 1, while D(G(z)) is only 0.001" in told


def test_a_gradient_that_fades_because_the_game_is_won_has_not() -> None:
    assert vanished(play(20, 0.5, 0.5, np.geomspace(1, 1e-4, 20)), GAME) is None


def test_a_gradient_that_stays_has_not_vanished() -> None:
    assert vanished(play(20, 0.99, 0.001, 1.0), GAME) is None


def modes(*covered: float) -> list[dict]:
    return [row | {"modes/high_quality": 0.9} for row in rows(len(covered), **{"modes/covered": covered})]


def late(seen: list[dict]) -> list[dict]:
    return [row | {"step": row["step"] + 600} for row in seen]


def test_modes_that_are_missing_late_are_a_collapse() -> None:
    assert collapsed(late(modes(5, 5)), GAME) == "samples cover 5 of 8 modes (90% of them lie near one)"
    assert collapsed(late(modes(6, 6)), GAME) is None


def test_samples_of_which_hardly_any_lie_near_a_mode_are_off_the_data_and_show_no_collapse() -> None:
    far = [row | {"modes/high_quality": 0.04} for row in late(modes(0, 1))]
    assert astray(far, GAME) == "4.0% of the samples lie near one of the 8 modes"
    assert collapsed(far, GAME) is None
    assert astray([row | {"modes/high_quality": 0.1} for row in far], GAME) is None
    assert astray(far, RunFacts(steps=4000, modes=8)) is None  # still young
    assert astray([*far, {"step": 700, "D(x)": 0.5}], GAME) is None  # no look


def test_modes_that_are_missing_early_may_still_come() -> None:
    assert collapsed(modes(0, 1, 2), GAME) is None


def test_modes_that_were_there_and_are_gone_are_a_collapse_at_any_time() -> None:
    assert collapsed(modes(8, 5), GAME) == "samples cover 5 of 8 modes (90% of them lie near one), and covered 8 before"
    assert collapsed(modes(8, 6), GAME) is None


def test_of_two_modes_one_may_come_and_go() -> None:
    assert collapsed(modes(2, 1), RunFacts(steps=1000, modes=2)) is None


def test_a_row_without_a_look_shows_no_collapse() -> None:
    assert collapsed([*late(modes(1, 1)), {"step": 700, "D(x)": 0.5}], GAME) is None


def diverse(*values: float) -> list[dict]:
    return late(rows(len(values), **{"samples/diversity": values}))


def test_samples_that_are_alike_twice_and_do_not_become_different_are_a_collapse() -> None:
    assert collapsed(diverse(0.2, 0.2), GAME) == "samples are 20% as far from each other as examples are"
    assert collapsed(diverse(0.9, 0.2), GAME) is None
    assert collapsed(diverse(0.2, 0.3), GAME) is None
    assert collapsed(diverse(0.2, 0.2), RunFacts(steps=1000, lag=5000)) is None


def test_copies_seen_twice_are_memorised() -> None:
    seen = rows(2, **{"samples/nearest_training": [0.2, 0.1]})
    assert copied(seen, GAME) == "samples lie 10% as far from the training set as held-out examples do"
    assert copied(rows(2, **{"samples/nearest_training": [0.4, 0.1]}), GAME) is None


@pytest.mark.parametrize("cycle", [4, 7, 12, 25])
def test_a_wave_has_its_period(cycle) -> None:
    wave = np.sin(2 * np.pi * np.arange(MEMORY) / cycle)
    assert period(wave) in range(cycle - 1, cycle + 2)
    assert period(wave + np.linspace(0, 3, MEMORY)) in range(cycle - 1, cycle + 2)  # on a slope


def test_a_wave_is_told_in_steps() -> None:
    seen = rows(MEMORY, **{"critic/fake": 2 * np.cos(2 * np.pi * np.arange(MEMORY) / 12)})
    told = oscillating(seen, GAME)
    assert told is not None and told.startswith("critic/fake swings between -2 and 2 about every 120 steps")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), slope=st.floats(-1, 1), kind=st.sampled_from(["noise", "line", "decay", "step"]))
def test_noise_and_trends_do_not_oscillate(seed, slope, kind) -> None:
    noise = np.random.default_rng(seed).normal(size=MEMORY) * 0.2
    t = np.linspace(0, 1, MEMORY)
    trend = {"noise": 0 * t, "line": slope * t, "decay": slope * np.exp(-5 * t), "step": slope * (t > 0.5)}[kind]
    assert period(1 + trend + noise) is None


def test_a_wave_too_small_to_matter_is_none() -> None:
    assert period(1 + 0.05 * np.sin(np.arange(MEMORY) / 2)) is None
    assert period(0.01 * np.sin(np.arange(MEMORY) / 2)) is None


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.name)
def test_a_game_that_goes_well_shows_nothing(detector) -> None:
    rng = np.random.default_rng(0)
    n = MEMORY
    tags = {"D(x)": 0.55, "D(G(z))": 0.45, "loss/generator": 0.8, "grad_norm/generator": 0.5}
    seen = rows(n, **{tag: value + 0.02 * rng.normal(size=n) for tag, value in tags.items()})
    for row in seen[::10]:
        row |= {
            "modes/covered": 8.0,
            "modes/high_quality": 0.9,
            "samples/diversity": 1.0,
            "samples/nearest_training": 0.9,
        }
    for end in range(1, n + 1):
        assert detector.evidence(seen[:end], GAME) is None


def test_an_error_without_its_value_says_that_the_divergence_is_not_known() -> None:
    told = unknown([{"step": 10, "jsd/exact_error": 0.29}], GAME)
    assert told == "jsd/exact is left out: its error may be 0.29 nats, which is more than its value"


@pytest.mark.parametrize("row", [{}, {"jsd/exact": 0.1, "jsd/exact_error": 0.2}])
def test_a_row_without_a_look_or_with_both_says_nothing_of_the_kind(row) -> None:
    assert unknown([{"step": 10, "jsd/exact_error": 0.29}, {"step": 20} | row], GAME) is None

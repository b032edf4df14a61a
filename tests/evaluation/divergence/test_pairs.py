"""Two sides together: what is refused, and what a person is warned of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.errors import ConfigError
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.pairs import check_pair, fingerprints, without_constants


def normal(n: int = 1000, d: int = 2, seed: int = 0, kind: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(kind)


def side(rows: np.ndarray | None, shape: tuple[int, ...] | None = None, label: str = "x.npy", **more) -> Distribution:
    return Distribution(label, shape or (1 if rows is None else rows.shape[1],), rows=rows, **more)


def test_two_ordinary_sides_give_no_warning():
    assert check_pair(side(normal()), side(normal(seed=1))) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [((4,), (4,)), ((4,), (2, 2)), ((2, 2, 1), (4,)), ((2, 2), (2, 2, 1)), ((2, 2, 1), (2, 2)), ((3, 2, 2), (3, 2, 2))],
)
def test_shapes_that_mean_the_same_can_be_compared(one, other):
    d = int(np.prod(one))
    assert check_pair(side(normal(d=d), one), side(normal(d=d, seed=1), other)) == ()


@pytest.mark.parametrize(
    ("one", "other", "hint"),
    [
        ((2,), (3,), "2 numbers against 3"),
        ((4, 3), (3, 4), "another order"),
        ((3, 8, 8), (8, 8, 3), "(height, width, channel)"),
        ((4, 4), (2, 8), "only samples of one shape"),
        ((28, 28, 1), (784, 2), "784 numbers against 1568"),
    ],
)
def test_other_shapes_are_refused_with_both_named(one, other, hint):
    with pytest.raises(ConfigError) as caught:
        check_pair(side(None, one, "left.npy"), side(None, other, "right.npy"))
    told = str(caught.value)
    assert f"A (left.npy) has samples of shape {one}, B (right.npy) of {other}" in told and hint in told
    assert "\n" not in told


def test_notes_become_warnings_once():
    a = side(normal(), notes=("scaled",))
    assert check_pair(a, side(normal(seed=1), notes=("scaled", "other"))) == ("scaled", "other")


def test_constant_columns_on_both_sides_are_dropped_with_a_warning():
    a, b = normal(d=4), normal(d=4, seed=1)
    a[:, [0, 2]] = b[:, [0, 2]] = 5.0
    assert check_pair(side(a), side(b)) == ()
    left, right, warnings = without_constants(side(a, (2, 2)), side(b), a, b)
    assert warnings == ("dropped 2 columns (0, 2) with the same constant value in both distributions.",)
    np.testing.assert_array_equal(left.rows, a[:, [1, 3]])
    np.testing.assert_array_equal(right.rows, b[:, [1, 3]])
    assert left.shape == right.shape == (2,)


def test_what_an_endless_side_draws_and_pushes_is_without_the_dropped_columns_too():
    a, b = normal(d=3), normal(d=3, seed=1)
    a[:, 1] = b[:, 1] = -1.0
    endless = side(None, (3,), draw=lambda n, seed: a[:n], push=lambda z: a[: len(z)], training=a, held_out=b)
    left, right, (warning,) = without_constants(endless, side(b), a, b)
    assert "column 1 " in warning and left.draw is not None and left.push is not None
    np.testing.assert_array_equal(left.draw(7, 0), a[:7, [0, 2]])
    np.testing.assert_array_equal(left.push(np.zeros((5, 9))), a[:5, [0, 2]])
    assert left.rows is None and left.training.shape == left.held_out.shape == (1000, 2)  # type: ignore[union-attr]
    assert right.rows.shape == (1000, 2)  # type: ignore[union-attr]


def test_nothing_is_dropped_where_nothing_is_constant():
    a, b = side(normal()), side(normal(seed=1))
    assert without_constants(a, b, a.rows, b.rows) == (a, b, ())  # type: ignore[arg-type]


def test_a_column_that_is_constant_on_one_side_only_is_warned_of():
    a, b = normal(d=9), normal(d=9, seed=1)
    a[:, 3] = 0
    (told,) = check_pair(side(a, label="a.npy"), side(b, label="b.npy"))
    assert told.startswith("A (a.npy) is constant in column 3 and B (b.npy) is not") and "log 2" in told
    b[:, [0, 1, 2, 4, 5, 6]] = 1
    told = check_pair(side(a, label="a.npy"), side(b, label="b.npy"))[1]
    assert "B (b.npy) is constant in 6 columns (0, 1, 2, 4, 5, ...) and A (a.npy) is not" in told


def test_a_column_that_is_rarely_something_else_is_no_point_mass_against_a_density():
    a, b = normal(d=3), normal(d=3, seed=1)
    a[:, 0] = b[:, 0] = -1
    b[:20, 0] = 0.3
    assert check_pair(side(a), side(b)) == ()


def test_columns_with_different_constants_are_warned_of():
    a, b = normal(), normal(seed=1)
    a[:, 0], b[:, 0] = 1, 2
    (told,) = check_pair(side(a), side(b))
    assert "constant in column 0, each at its own value: the JSD is log 2" in told


def test_one_point_on_both_sides_leaves_nothing_to_estimate():
    with pytest.raises(ConfigError, match="the same single point"):
        check_pair(side(np.ones((100, 2))), side(np.ones((200, 2))))
    # One point against something else is a collapsed generator, and worth a number.
    warnings = check_pair(side(np.ones((100, 2))), side(normal()))
    assert "constant in 2 columns" in warnings[0] and "99 of 100 rows" in warnings[1]


def test_rows_on_both_sides_are_counted():
    a, b = normal(1000), normal(500, seed=1)
    b[:50] = a[100:150]
    (told,) = check_pair(side(a, label="a.npy"), side(b, label="b.npy"))
    assert told.startswith("50 rows of A (a.npy) (5.00%) and 50 of B (b.npy) (10.00%) are identical")


def test_rows_are_compared_in_the_coarser_precision():
    a = normal(kind=np.float32)
    (told,) = check_pair(side(a), side(a.astype(np.float64) + 1e-12))
    assert "1000 rows" in told


def test_rows_that_repeat_within_a_side_are_counted():
    a = np.concatenate([normal(900), normal(900)[:100]])
    (told,) = check_pair(side(normal(seed=1)), side(a, label="b.npy"))
    assert told.startswith("B (b.npy): 100 of 1000 rows (10.00%) repeat an earlier one")


def test_on_the_line_a_few_equal_numbers_are_chance_and_many_are_not():
    rng = np.random.default_rng(0)
    grid = lambda: (rng.integers(0, 2**23, (20_000, 1)) / 2**23).astype(np.float32)  # noqa: E731
    assert check_pair(side(grid()), side(grid())) == ()
    warnings = check_pair(side(normal(d=1).round(2)), side(normal(d=1, seed=1)))
    assert len(warnings) == 1 and "repeat" in warnings[0]


@pytest.mark.parametrize(
    ("low", "high", "warned"), [(-1, 1, False), (-0.99, 0.7, False), (0, 1, True), (0, 255, True), (-3, 3, True)]
)
def test_images_in_different_ranges_are_warned_of(low, high, warned):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (500, 4)), rng.uniform(low, high, (500, 4))
    told = check_pair(side(a, (2, 2)), side(b))
    assert [("same range" in one) for one in told] == [True] * warned
    assert check_pair(side(a), side(b)) == ()  # vectors have no usual range


def test_numbers_in_steps_against_numbers_without_are_warned_of():
    stepped = np.random.default_rng(0).integers(0, 17, (1000, 16)) / 8 - 1
    told = check_pair(side(normal(d=16), label="a.npy"), side(stepped, label="b.npy"))
    assert len(told) == 1
    assert told[0].startswith("B (b.npy) takes 17 different values and A (a.npy) is continuous")
    assert check_pair(side(stepped), side(stepped[::-1] + 1)) == ()


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3))
def test_fingerprints_agree_exactly_where_the_rows_do(row):
    rows = np.array([row, row, [*row[:2], row[2] + 1 if abs(row[2]) < 1e6 else 0.0], row[::-1]])
    print_of = fingerprints(rows, np.float64)
    same = [bool((rows[0] == other).all()) for other in rows]
    assert [bool(one == print_of[0]) for one in print_of] == same


def test_zero_has_no_sign():
    assert len(np.unique(fingerprints(np.array([[0.0], [-0.0]]), np.float32))) == 1


def test_a_million_random_rows_have_a_million_fingerprints():
    rows = np.random.default_rng(0).permutation(1 << 20).astype(np.float64)[:, None]
    assert len(np.unique(fingerprints(rows, np.float64))) == 1 << 20

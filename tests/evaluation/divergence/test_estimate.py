"""When an estimate is withheld."""

import pytest

from ganrun.evaluation.divergence.estimate import TOLERANCE, withheld


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.5, 0.5, False),  # as large as the value, and no larger
        (0.5, 0.51, True),
        (0.0, TOLERANCE, False),
        (0.0, 2 * TOLERANCE, True),
        (0.5, 0.0, False),
    ],
)
def test_a_value_is_withheld_where_its_error_is_larger_than_it_and_than_the_tolerance(value, error, expected):
    assert withheld(value, error) is expected

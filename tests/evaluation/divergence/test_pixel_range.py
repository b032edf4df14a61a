"""The range of pixels, from their values alone: known where it can be, and left open where it cannot."""

import numpy as np
import pytest

from ganrun.evaluation.divergence.pixel_range import BYTES, SIGNED, SLACK, range_of


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([0, 7, 255], np.uint8), BYTES),
        (np.array([0, 1], np.uint8), None),  # a binary image, perhaps
        (np.array([-1.0, 1.0]), SIGNED),
        (np.array([-0.5, 1.0 + 0.9 * SLACK]), SIGNED),  # rounding
        (np.array([-0.5, 1.0 + 1.1 * SLACK]), None),
        (np.array([-1.0 - 0.9 * SLACK, 0.5]), SIGNED),
        (np.array([-1.0 - 1.1 * SLACK, 0.5]), None),
        (np.array([0.0, 1.0]), None),
        (np.array([1.0, 1.0]), SIGNED),  # white in either
    ],
)
def test_a_range_is_known_or_left_open(pixels, expected):
    assert range_of(pixels) == expected

"""The standard error of the divergence over modes: by hand, and for the data themselves."""

from __future__ import annotations

import numpy as np
import pytest

from ganrun.evaluation.measurements.mode_kl_error import mode_kl_error


def test_the_error_of_the_mode_kl_of_two_modes_by_hand():
    # Shares 3/4 and 1/4 of equal modes: variance 3/16 (log 3)^2 / 39 = .0058028, less 1 / (2 40^2) = .0003125.
    error, slope = mode_kl_error(np.array([30, 0, 10]), np.array([1.0, 5.0, 1.0]))
    assert error == pytest.approx(np.sqrt(0.0058028 - 0.0003125), rel=1e-4)
    assert slope == pytest.approx(2 / 40)


def test_the_error_of_the_mode_kl_of_the_data_is_that_of_chi_squared():
    # 2 N KL has a chi-squared distribution with 7 degrees of freedom: the KL has the variance 14 / (2 N)^2.
    rng = np.random.default_rng(0)
    counts = rng.multinomial(2000, np.full(8, 1 / 8), 500)
    errors = [mode_kl_error(one, np.full(8, 1 / 8))[0] for one in counts]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.sqrt(14) / 4000, rel=0.15)

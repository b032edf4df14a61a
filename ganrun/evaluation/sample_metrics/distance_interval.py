"""Standard errors and intervals of distances, which are quadratic in the deviations of samples from distributions."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ganrun.evaluation.sample_metrics.intervals import Interval, normal


def corrected_variance(first: float, second: float) -> float:
    """Return the variance of a distance without the excess of the infinitesimal jackknife.

    The variance of a distance has a part of the order of 1/n and one of 1/n^2, which is all that is left of it for two
    sets of one distribution. The jackknife's variance, that of the derivative at the examples, contains the second part
    twice: the derivative is the sum of the deviations over all other examples, and each pair is in two of these sums.

    Args:
        first: variance by the infinitesimal jackknife.
        second: an estimate of the part of the order of 1/n^2, the variance of the sum over pairs.

    Returns:
        ``first - second``, at least half of ``first``.

    Paper: Efron & Stein 1981, "The jackknife estimate of variance".
    """
    return max(first - second, first / 2)


def distance_interval(value: float, error: float, slope: float, level: float = 0.95) -> Interval:
    """Return the interval of a distance whose variance is a linear function of its expectation, by inverting a test.

        all theta with (value - theta)^2 <= z^2 (error^2 + slope (theta - value))

    The variance of a squared distance is proportional to the distance itself, so samples with a value that is too small
    have too small an error as well. The normal interval around the value therefore ends too low; this one reaches
    further up, as Wilson's interval of a share does near 0.

    Args:
        value: estimate of the distance.
        error: its standard error.
        slope: increase of the variance per increase of the distance, at least 0; 0 gives the normal interval.
        level: nominal coverage, in (0, 1).

    Raises:
        ConfigError: for ``level`` outside (0, 1).

    Paper: Wilson 1927, "Probable inference, the law of succession, and statistical inference", for a share.
    """
    around = normal(value, error, level)
    z = float(stats.norm.ppf((1 + level) / 2))
    half = z * z * slope / 2
    width = float(np.hypot(half, z * error))
    return Interval(value, value + half - width, value + half + width, around.standard_error, level)

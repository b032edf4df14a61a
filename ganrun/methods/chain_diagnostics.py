"""Diagnostics of Markov chains from one scalar that is recorded along several parallel chains.

All functions take float arrays ``(chains, draws)`` with at least 4 draws per chain and return NaN if all numbers of the
array are equal, which says nothing about the chains.

Paper: Vehtari et al. 2021, "Rank-normalization, folding, and localization: an improved R-hat for assessing convergence
of MCMC"; Geyer 1992, "Practical Markov chain Monte Carlo", section 3.3.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ganrun.methods.metric_spec import AT_LEAST_0, MetricSpec

SPECS = (
    MetricSpec(
        "chains/autocorrelation_time",
        "transitions per independent draw of a scalar along the chains that samples are drawn by",
        "transitions",
        bounds=AT_LEAST_0,
    ),
    MetricSpec("chains/effective_samples", "effective number of draws of the scalar in all chains", bounds=AT_LEAST_0),
    MetricSpec(
        "chains/r_hat", "rank-normalised split R-hat of the scalar: near 1 if the chains agree", bounds=AT_LEAST_0
    ),
)


def split_r_hat(x: np.ndarray) -> float:
    """Return the potential scale reduction of half chains: 1 if the halves of all chains agree, otherwise larger.

    Formula: R² = ((n - 1) / n W + B / n) / W, with n draws per half chain, the mean W of the variances within half
    chains, and the variance B / n of their means
    Paper: Gelman et al. 2013, "Bayesian data analysis", section 11.4; Vehtari et al. 2021, eqs. 1 to 4.
    """
    x = _halves(np.asarray(x, np.float64))
    n = x.shape[1]
    within, between = float(np.mean(np.var(x, axis=1, ddof=1))), float(np.var(np.mean(x, axis=1), ddof=1))
    if within == 0.0:
        return np.nan if between == 0.0 else np.inf
    return float(np.sqrt((n - 1) / n + between / within))


def rank_normalised_split_r_hat(x: np.ndarray) -> float:
    """Return the larger R-hat of the normal scores of ``x`` and of its distances from the median (folded).

    Ranks exist for any distribution, also one without a variance; the folded values show chains that differ in scale.

    Formula: z = Φ⁻¹((rank - 3/8) / (draws + 1/4)), of x and of |x - median(x)|
    Paper: Vehtari et al. 2021, eq. 14 and section 3.3.
    """
    x = np.asarray(x, np.float64)
    return float(np.fmax(split_r_hat(_normal_scores(x)), split_r_hat(_normal_scores(np.abs(x - np.median(x))))))


def effective_sample_size(x: np.ndarray) -> float:
    """Return the number of independent draws whose mean has the variance of the mean of all draws.

    Formula: draws / (-1 + 2 sum_t P_t), with the sums P_t = r_2t + r_(2t+1) of autocorrelations, up to the first that
    is not positive, and not increasing (Geyer's initial monotone sequence). The autocorrelation at lag t is r_t = 1 -
    (W - mean autocovariance at lag t) / V, with W the variance within and V that of within and between the chains.
    The denominator is at least 1 / log10(draws): alternating chains give no number of any size, as in Stan.
    Paper: Vehtari et al. 2021, section 3.2, for whole chains.
    """
    x = np.asarray(x, np.float64)
    chains, n = x.shape
    covariance = np.mean([_autocovariance(row) for row in x], axis=0)  # divided by n at every lag
    between = float(np.var(np.mean(x, axis=1), ddof=1)) if chains > 1 else 0.0
    variance, within = covariance[0] + between, covariance[0] * (n / (n - 1) if chains > 1 else 1.0)
    if variance == 0.0:
        return np.nan
    correlation = 1.0 - (within - covariance) / variance
    correlation[0] = 1.0
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    ended = np.flatnonzero(pairs <= 0.0)
    pairs = np.minimum.accumulate(pairs[: ended[0]] if len(ended) else pairs)
    return float(chains * n / max(2.0 * float(np.sum(pairs)) - 1.0, 1.0 / np.log10(chains * n)))


def diagnosed(x: np.ndarray) -> dict[str, float]:
    """Return the value of each of :data:`SPECS` for ``x`` ``(chains, draws)``; those that are not finite are left out.

    The autocorrelation time is integrated over all lags: draws / effective draws.
    """
    effective = effective_sample_size(x)
    values = (np.size(x) / effective, effective, rank_normalised_split_r_hat(x))
    return {spec.name: value for spec, value in zip(SPECS, values, strict=True) if np.isfinite(value)}


def _halves(x: np.ndarray) -> np.ndarray:
    """Return the first and the last half of every chain; a draw in the middle belongs to neither."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_scores(x: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # slow to import, and every command of a run imports this module

    return ndtri((rankdata(x).reshape(x.shape) - 0.375) / (x.size + 0.25))


def _autocovariance(row: np.ndarray) -> np.ndarray:
    """Return the autocovariances of one chain at lags 0 to n - 1, each a sum divided by n, by a Fourier transform."""
    centred = row - row.mean()
    spectrum = np.fft.rfft(centred, 2 * len(row))  # padded, so that the ends do not meet
    return np.fft.irfft(spectrum * np.conj(spectrum))[: len(row)] / len(row)

"""Parzen window log-likelihood, as published for the first generative adversarial networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension, squared_distances

SIGMAS = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # for pixels in [0, 1]
RESAMPLES = 200  # bootstrap samples of the validation set


@dataclass(frozen=True)
class Parzen:
    """A Parzen window log-likelihood.

    Attributes:
        mean: of the log-likelihood per test example, in nats.
        standard_error: of the mean, over test examples, as published.
        sample_error: standard error of the mean over the samples, given the test examples.
        validation_error: standard error of the mean over the validation examples, which choose sigma.
        sigma: the standard deviation of the window.
        validation_means: mean log-likelihood of the validation set for each standard deviation that was tried.
        is_at_edge: whether the best standard deviation is the smallest or largest of several, so that the grid is too
            narrow.
    """

    mean: float
    standard_error: float
    sample_error: float
    validation_error: float
    sigma: float
    validation_means: tuple[float, ...]
    is_at_edge: bool

    @property
    def total_error(self) -> float:
        """The standard error over test examples, samples and validation examples, which are independent."""
        return math.hypot(self.standard_error, self.sample_error, self.validation_error)


def parzen(
    samples: np.ndarray, validation: np.ndarray, test: np.ndarray, sigmas: Sequence[float] = SIGMAS, seed: int = 0
) -> Parzen:
    """Return the log-likelihood of ``test`` under Gaussian windows around ``samples``.

        log p(x) = log 1/n sum_i exp(-|x - s_i|^2 / (2 sigma^2)) - d/2 log(2 pi sigma^2)

    sigma is the one of ``sigmas`` with the largest mean log-likelihood of ``validation``.

    Args:
        samples: of the model, ``(n, d)``; 10 000 in the paper. Pixels are in [0, 1] for values that compare with it.
        validation: real examples ``(v, d)``, neither training nor test examples; 1000 in the authors' implementation.
        test: real examples ``(t, d)``; 10 000 in the paper.
        sigmas: standard deviations, increasing.
        seed: of the bootstrap samples of the validation set.

    Returns:
        Mean and standard error (standard deviation over test examples with divisor t, divided by sqrt(t)), in nats. The
        error over the samples is that of the infinitesimal jackknife: n times the mean over test examples of the share
        of a sample's window in the density. The error over the validation examples is the standard deviation, over
        :data:`RESAMPLES` bootstrap samples of them, of the mean log-likelihood of ``validation`` at the sigma that the
        bootstrap sample chooses. The loss of a slightly wrong sigma is quadratic, and the validation set has its
        maximum at the chosen one, so this is the variance of that loss; that of ``test`` would be three times as large.

    Raises:
        ConfigError: for sets that are not finite ``(n, d)`` arrays of one dimension, or sigmas that are not positive
            and increasing.

    Papers: Breuleux et al. 2011, "Quickly generating representative samples from an RBM-derived process"; Goodfellow et
        al. 2014, "Generative adversarial
        networks", section 5 and table 1.

    Biases: not a likelihood of the model. In high dimensions it is far below the likelihood at any affordable n, and
        models that reproduce k-means centres of the training set surpass the data themselves (Theis et al. 2016, "A
        note on the evaluation of generative models", table 1). The grid and the units of the pixels change the value.
        The published standard error excludes the choice of samples and that of the validation set, which
        ``sample_error`` and ``validation_error`` measure; of 1 validation example, the latter is 0. Minimum size: 1
        sample, 1 validation and 1 test example.
    """
    samples, validation, test = (
        check_features(rows, name) for rows, name in ((samples, "sample"), (validation, "validation"), (test, "test"))
    )
    check_same_dimension(samples=samples, validation=validation, test=test)
    grid = np.asarray(sigmas, np.float64)
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all() or grid.min() <= 0 or (np.diff(grid) <= 0).any():
        raise ConfigError(f"sigmas must be positive and increasing, not {list(sigmas)}.")
    tried = _log_likelihoods(samples, validation, grid)[0]
    means = tried.mean(axis=1)
    best = int(means.argmax())
    values, shares = _log_likelihoods(samples, test, grid[best : best + 1], shares=True)
    values, influence = values[0], len(samples) * shares / len(test)
    return Parzen(
        mean=float(values.mean()),
        standard_error=float(values.std() / math.sqrt(len(values))),
        sample_error=float(influence.std() / math.sqrt(max(len(samples) - 1, 1))),
        validation_error=float(means[_choices(tried, seed)].std()),
        sigma=float(grid[best]),
        validation_means=tuple(float(mean) for mean in means),
        is_at_edge=len(grid) > 1 and best in (0, len(grid) - 1),
    )


def _choices(tried: np.ndarray, seed: int) -> np.ndarray:
    """Return the standard deviation that each bootstrap sample of validation examples chooses, as an index.

    Args:
        tried: log-likelihood of each example for each standard deviation ``(sigmas, v)``.
        seed: of the bootstrap samples.
    """
    v = tried.shape[1]
    counts = np.random.default_rng(seed).multinomial(v, np.full(v, 1 / v), RESAMPLES)
    return (tried @ counts.T).argmax(axis=0)


def _log_likelihoods(
    samples: np.ndarray, rows: np.ndarray, sigmas: np.ndarray, shares: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-likelihood of each row for each standard deviation ``(len(sigmas), n)``.

    With ``shares``, also return the sum over rows of the share of each sample's window in the density, for the last
    standard deviation, ``(len(samples),)``.
    """
    values, taken = np.empty((len(sigmas), len(rows))), np.zeros(len(samples))
    for part, square, _ in squared_distances(rows, samples):
        nearest = square.min(axis=1)
        square -= nearest[:, None]  # the largest exponent is 0, for every sigma
        for i, sigma in enumerate(sigmas):
            windows = np.exp(square * (-0.5 / sigma**2))
            total = windows.sum(axis=1)
            values[i, part] = np.log(total) - nearest * (0.5 / sigma**2) - math.log(len(samples))
            if shares and i == len(sigmas) - 1:
                taken += (1 / total) @ windows
    return values - 0.5 * samples.shape[1] * np.log(2 * math.pi * sigmas**2)[:, None], taken

"""Standard errors of metrics of samples: by hand, by closed forms, and by the spread over independent repeats."""

from __future__ import annotations

import numpy as np
import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.frechet import frechet, frechet_of_moments
from ganrun.evaluation.sample_metrics.intervals import delete_jackknife, jackknife_errors, normal, proportion
from ganrun.evaluation.sample_metrics.mind import mind
from ganrun.evaluation.sample_metrics.parzen import parzen
from ganrun.evaluation.sample_metrics.vendi import vendi, vendi_with_error


def test_the_error_of_a_share_is_that_of_wilson() -> None:
    # Wilson 1927 for 5 and 0 of 10: z = 1.96, z^2 = 3.8415.
    found = proportion(0.5, 10)
    assert (found.low, found.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert (proportion(0.0, 10).low, proportion(0.0, 10).high) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert found.standard_error == pytest.approx(np.sqrt(0.025))
    with pytest.raises(ConfigError, match="level must be between 0 and 1"):
        proportion(0.5, 10, level=1.0)


def test_a_normal_interval_has_the_quantile_of_its_level() -> None:
    assert (normal(1.0, 0.5).low, normal(1.0, 0.5).high) == pytest.approx((0.02002, 1.97998), abs=1e-5)
    assert normal(0.0, 1.0, level=0.6827).high == pytest.approx(1.0, abs=1e-4)


def test_several_statistics_have_the_errors_that_they_have_one_by_one() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    both = jackknife_errors(lambda x: [x.mean(), x.std()], rows, repeats=30, seed=3)
    alone = [delete_jackknife(f, rows, repeats=30, seed=3).standard_error for f in (np.mean, np.std)]
    assert both == pytest.approx(alone)


def test_the_error_of_the_frechet_distance_of_a_shift_is_that_of_the_means() -> None:
    # For N(0, I) and N(delta, I), 2 <delta, mean difference> dominates: 2 |delta| sqrt(2 / n).
    rng = np.random.default_rng(0)
    n, delta = 20_000, 6.0
    real, fake = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) + np.array([delta, 0, 0])
    assert frechet(real, fake).standard_error == pytest.approx(2 * delta * np.sqrt(2 / n), rel=0.03)
    assert np.isnan(frechet_of_moments(np.zeros(2), np.eye(2), np.ones(2), np.eye(2)).standard_error)


def test_the_error_of_the_frechet_distance_of_a_scale_is_that_of_the_variances() -> None:
    # (1 - s)^2 on the line: standard errors 1 / sqrt(2n) and s / sqrt(2n) of the standard deviations, times 2 |1 - s|.
    rng = np.random.default_rng(1)
    n, s = 40_000, 3.0
    found = frechet(rng.normal(size=(n, 1)), s * rng.normal(size=(n, 1)))
    assert found.standard_error == pytest.approx(2 * (s - 1) * np.sqrt((1 + s**2) / (2 * n)), rel=0.05)


@pytest.mark.parametrize("d", [3, 60])
def test_errors_are_the_spread_over_independent_sets(d) -> None:
    rng = np.random.default_rng(d)
    n, m = 40, 50  # for d = 60, both covariances are singular
    scale = np.linspace(0.5, 1.5, d)
    pairs = [(rng.normal(size=(n, d)), 0.5 + scale * rng.normal(size=(m, d))) for _ in range(150)]
    for measured in (
        lambda real, fake: (frechet(real, fake).value, frechet(real, fake).standard_error),
        lambda real, fake: _of_mind(real, fake),
        lambda real, fake: vendi_with_error(fake),
        lambda real, fake: _of_parzen(real, fake),
    ):
        values, errors = np.array([measured(*pair) for pair in pairs]).T
        # The error of a standard deviation of 150 values is 6 %; derivatives are exact to the first order in 1/n.
        assert np.median(errors) == pytest.approx(values.std(), rel=0.35)


def _of_mind(real, fake):
    found = mind(real, fake, projections=32, seed=1)
    return found.value, found.sampling_error


def _of_parzen(real, fake):
    found = parzen(fake, real[:1], real, [2.0])
    return found.mean, float(np.hypot(found.standard_error, found.sample_error))


def test_the_error_of_mind_of_a_shift_is_that_of_the_means_for_unequal_sizes() -> None:
    # 3 |delta|^2: 6 |delta| times the standard error of the difference of means.
    rng = np.random.default_rng(2)
    n, m, delta = 3000, 2000, 5.0
    found = mind(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + np.array([delta, 0]), projections=64)
    assert found.sampling_error == pytest.approx(6 * delta * np.sqrt(1 / n + 1 / m), rel=0.05)


def test_the_error_of_the_vendi_score_of_two_orthogonal_kinds_is_by_hand() -> None:
    # Entropy of shares p and 1 - p; its derivative is log((1 - p) / p), and sd(p) = sqrt(p (1 - p) / (n - 1)).
    rows = np.repeat([[2.0, 0, 0], [0, 5.0, 0]], [30, 10], axis=0)
    score = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    expected = score * np.log(3) * np.sqrt(0.75 * 0.25 / 39)
    assert vendi_with_error(rows) == pytest.approx((score, expected))
    assert vendi(rows) == pytest.approx(score)


def test_the_error_over_the_samples_of_parzen_windows_is_by_hand() -> None:
    # One test example at 0, windows of weights 1 and 1/3: shares .75 and .25, influences 1.5 and .5, whose sd is .5.
    samples = np.array([[0.0], [np.sqrt(2 * np.log(3))]])
    found = parzen(samples, np.zeros((1, 1)), np.zeros((1, 1)), [1.0])
    assert found.sample_error == pytest.approx(0.5)
    assert found.standard_error == 0.0


def test_the_error_over_the_validation_examples_is_the_loss_of_the_sigmas_that_their_resamples_choose() -> None:
    # One window at 0: means -.5625 for sigma 1 and -.8338 for sigma 2, which the example at 1.5 twice chooses, 1 in 4
    # resamples: .2713 sqrt(1/4 3/4) = .1175.
    validation = np.array([[0.0], [1.5]])
    found = parzen(np.zeros((1, 1)), validation, np.ones((3, 1)), [1.0, 2.0])
    assert found.sigma == 1.0 and found.validation_error == pytest.approx(0.1175, rel=0.15)
    assert parzen(np.zeros((1, 1)), validation[1:], np.ones((3, 1)), [1.0, 2.0]).validation_error < 1e-12
    assert parzen(np.zeros((1, 1)), np.zeros((9, 1)), np.ones((3, 1)), [1.0, 2.0]).validation_error < 1e-12
    assert found.total_error == pytest.approx(found.validation_error)  # one sample and equal test examples
    wide = parzen(np.array([[0.0], [2.0]]), np.array([[0.0], [3.5]]), np.array([[0.0], [3.0]]), [1.0, 2.0])
    parts = wide.standard_error, wide.sample_error, wide.validation_error
    assert min(parts) > 0 and wide.total_error == pytest.approx(np.sqrt(np.square(parts).sum()))

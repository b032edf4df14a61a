"""Intervals of the metrics of a model: of modes, of the classification accuracy score and of log densities."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ganrun.evaluation.features import Raw
from ganrun.evaluation.features.classification_score import ClassificationScore, binomial
from ganrun.evaluation.measurements import classification, of_model
from ganrun.evaluation.measurements.base import Sets, Settings
from ganrun.methods.metric_spec import MetricSpec

CENTRES = np.array([[0.0], [10.0], [20.0]])


def sets(fake: np.ndarray, context=None, **more) -> Sets:
    return Sets("", "", fake, fake, None, None, None, Raw((1,)), False, context=context, **more)


def modes_of(positions: list[float], **settings):
    density = SimpleNamespace(means=CENTRES, stds=np.ones(3), weights=np.full(3, 1 / 3))
    fake = np.array(positions)[:, None]
    found = of_model.modes(sets(fake, SimpleNamespace(density=density)), Settings(**settings))
    return {one.tag: one for one in found}


def test_the_share_of_high_quality_has_wilsons_interval_and_the_divergence_that_of_its_derivative() -> None:
    # 5 of 10 samples are near a centre: 4 at the first, 1 at the second.
    found = modes_of([0.0, 0.5, -1.0, 2.9, 10.0, 5.0, 5.0, 15.0, 15.0, 30.0])
    quality, kl, covered = found["modes/high_quality"], found["modes/kl"], found["modes/covered"]
    assert (quality.value, quality.low, quality.high) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)
    assert quality.interval == "binomial"
    # Shares .8 and .2: log 3 + .8 log .8 + .2 log .2. Variance .16 (log 4)^2 / 4, less 1 / 50; slope 2 / 5.
    value, variance = 0.598210, 0.0768725 - 0.02
    half = 1.959964**2 * 0.2
    width = np.hypot(half, 1.959964 * np.sqrt(variance))
    assert kl.value == pytest.approx(value, abs=1e-5) and kl.interval == "derivative"
    assert kl.high == pytest.approx(value + half + width, rel=1e-4)
    assert kl.low == pytest.approx(value + half - width, rel=1e-3)
    assert covered.value == 2 and covered.low is None and covered.interval == ""


def test_one_mode_says_nothing_of_the_spread_of_the_divergence() -> None:
    found = modes_of([0.0] * 9)["modes/kl"]
    assert found.value == pytest.approx(np.log(3)) and found.low is None and found.interval == ""


def test_a_lower_level_has_a_narrower_interval() -> None:
    wide, narrow = (modes_of([0.0, 0.0, 10.0, 20.0, 5.0], level=level) for level in (0.95, 0.5))
    for tag in ("modes/high_quality", "modes/kl"):
        assert wide[tag].low <= narrow[tag].low <= narrow[tag].value <= narrow[tag].high < wide[tag].high


def test_the_classification_accuracy_score_has_wilsons_interval_at_the_chosen_level(monkeypatch) -> None:
    score = ClassificationScore(binomial(5, 10), binomial(9, 10), 1000, 1000)
    monkeypatch.setattr(classification, "classification_score", lambda *words: score)
    rows, labels = np.zeros((10, 1)), np.zeros(10, int)
    given = {"labelled": lambda n, seed: (rows, labels), "targets": (labels, labels)}
    labelled = Sets("", "", rows, rows, None, rows, rows, Raw((1,)), False, **given)
    (found,) = classification.measure(labelled, Settings())
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)
    (wide,) = classification.measure(labelled, Settings(level=0.99))
    assert wide.low is not None and found.low is not None and wide.low < found.low and found.floor == 0.9


def test_a_mean_log_density_has_the_normal_interval_of_its_examples() -> None:
    # Minus the squares of 0, 1, 2: mean -5/3, variance 13/3, so the error is sqrt(13) / 3.
    held_out = SimpleNamespace(minibatch=lambda key, cursor, n: (np.arange(3.0)[:, None], None), flat=np.zeros((3, 1)))
    experiment = SimpleNamespace(
        data=SimpleNamespace(held_out=held_out, log_volume=0.0),
        method=SimpleNamespace(densities=(MetricSpec("elbo", "a bound"),), normaliser_specs=(), shared_errors={}),
        log_density=lambda variables, key, x: {"elbo": -(np.asarray(x)[:, 0] ** 2)},
        with_normaliser=lambda variables, key: variables,
    )
    context = SimpleNamespace(experiment=experiment, variables=None, noise=0, is_last=False)
    (found,) = of_model.log_density(sets(np.zeros((1, 1)), context), Settings())
    error = np.sqrt(13) / 3
    assert (found.value, found.low, found.high) == pytest.approx(
        (-5 / 3, -5 / 3 - 1.959964 * error, -5 / 3 + 1.959964 * error), rel=1e-5
    )
    assert (found.reference_n, found.interval) == (3, "normal")
    assert found.flags == ("n < 100",)
    experiment.method.normaliser_specs = (MetricSpec("log_z_se", ""),)
    experiment.method.shared_errors = {"elbo": "log_z_se"}
    for standard_error, flags in ((0.09, ("n < 100",)), (0.11, ("n < 100", "log_z_se > 0.1"))):
        context.variables = {"normaliser": {"log_z_se": standard_error}}
        (found,) = of_model.log_density(sets(np.zeros((1, 1)), context), Settings())
        assert found.flags == flags

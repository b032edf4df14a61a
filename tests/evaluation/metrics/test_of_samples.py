"""Metrics of samples during training: those of ``ganrun eval``, with their tags, directions and features."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ganrun.errors import ConfigError
from ganrun.evaluation.evaluator import Evaluator
from ganrun.evaluation.features import cached, training
from ganrun.evaluation.metrics import of_samples
from ganrun.evaluation.metrics.base import EvalContext
from ganrun.evaluation.metrics.logged import logged, require_logged
from ganrun.evaluation.metrics.of_samples import FrechetMetric, MemorisationMetric
from ganrun.evaluation.metrics.spec import better, bounds, spec_of
from ganrun.training.build import build

SMALL = ("architecture.generator_hidden=[2]", "architecture.discriminator_hidden=[4]", "batch_size=16", "probe=off")
ALL = "metric=[manifold,frechet,kernel,mind,vendi,memorisation,parzen]"
TAGS = {"precision", "recall", "density", "coverage", "vendi", "parzen"}
DISTANCES = {"cfid", "ckid", "cmind"}  # with features of the classifier
MEMORISED = {"authenticity", "data_copying", "copy_test", "nearest_ratio"}


def context_of(config, samples: np.ndarray) -> EvalContext:
    """A snapshot of a model that draws ``samples``."""
    experiment = build(config)
    model = SimpleNamespace(draw=lambda n, seed: samples[:n])
    return EvalContext(experiment, config, config.steps, samples, None, model)  # type: ignore[arg-type]


@pytest.fixture
def brief(tmp_path, monkeypatch):
    """Classifiers are trained for a moment only, and kept in a cache of their own."""
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(training, "FEWEST", 10)
    monkeypatch.setattr(training, "MOST", 10)
    cached.classifier_of.cache_clear()
    yield
    cached.classifier_of.cache_clear()


@pytest.mark.usefixtures("brief")
def test_every_metric_is_measured_on_a_snapshot_and_foretold(compose_config) -> None:
    config = compose_config((*SMALL, "dataset=digits", "steps=20", ALL))
    evaluator = Evaluator(build(config), config)
    scalars = evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 20)).scalars
    assert set(scalars) == TAGS | DISTANCES | MEMORISED
    assert set(scalars) <= set(logged(config)) and all(np.isfinite(value) for value in scalars.values())
    again = evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 20)).scalars
    assert again == scalars


def test_values_are_those_of_the_held_out_data(compose_config) -> None:
    config = compose_config((*SMALL, "dataset=digits", "steps=20", "metric=[manifold]", "metric.manifold.features=raw"))
    held_out = np.asarray(build(config).data.held_out.flat, np.float32) / 127.5 - 1  # type: ignore[union-attr]
    noisy = held_out + 0.05 * np.random.default_rng(0).standard_normal(held_out.shape, np.float32)
    context = context_of(config, noisy)
    found = config.metric[0].prepare(context.experiment)(context)
    real, fake = held_out.astype(np.float64), noisy.astype(np.float64)
    radius = np.sort(cdist(real, real), axis=1)[:, 5]
    inside = cdist(fake, real) < radius
    assert found["precision"] == pytest.approx(inside.any(axis=1).mean())
    assert found["density"] == pytest.approx(inside.sum() / (5 * len(fake)))


def test_copies_of_the_training_set_are_seen_during_training(compose_config) -> None:
    config = compose_config((*SMALL, "dataset=digits", "steps=20", "metric=[memorisation]"))
    copies = np.asarray(build(config).data.train.flat[:360], np.float32) / 127.5 - 1  # type: ignore[union-attr]
    context = context_of(config, copies)
    found = MemorisationMetric().prepare(context.experiment)(context)
    assert found["authenticity"] == 0.0 and found["nearest_ratio"] == 0.0
    assert found["copy_test"] < 1e-6 and found["data_copying"] < -5


def test_real_examples_are_prepared_once_for_all_metrics_of_a_run(compose_config, monkeypatch) -> None:
    config = compose_config((*SMALL, "steps=20", "metric=[manifold,mind,vendi]", "metric.vendi.examples=50"))
    made = []
    real = of_samples.features.extractor
    monkeypatch.setattr(of_samples.features, "extractor", lambda *given: made.append(given[0]) or real(*given))
    evaluator = Evaluator(build(config), config)
    for _ in range(2):
        evaluator.read(evaluator.snapshot(evaluator.experiment.init(), 20))
    assert made == ["auto", "auto"]  # for 1000 examples, and for 50


def test_tags_follow_the_features_and_the_data(compose_config, monkeypatch) -> None:
    ring = compose_config((*SMALL, ALL))
    assert {"precision", "frechet", "parzen"} <= set(logged(ring)) and not MEMORISED & set(logged(ring))
    with pytest.raises(ConfigError, match="does not log 'copy_test': dataset=ring is not a finite set"):
        require_logged("copy_test", ring, "checkpoint.best")
    with pytest.raises(ConfigError, match="with these features it is 'frechet'"):
        require_logged("cfid", ring, "checkpoint.best")
    families = dict(dataclasses.replace(FrechetMetric(), features="classifier").tag_families(ring))
    assert families[("cfid",)] == "" and "it is 'cfid'" in families[("frechet",)]
    default = compose_config(SMALL)
    with pytest.raises(ConfigError, match="metric=manifold is not chosen"):
        require_logged("precision", default, "checkpoint.best")


def test_directions_and_bounds_are_those_of_the_field() -> None:
    lower = {"frechet", "kernel", "mind", "cfid", "ckid", "cmind"}
    assert {tag: better(tag) for tag in TAGS | lower} == dict.fromkeys(TAGS, "higher") | dict.fromkeys(lower, "lower")
    assert {better(tag) for tag in MEMORISED} == {None}
    assert bounds("precision") == bounds("coverage") == (0.0, 1.0) and bounds("kernel")[0] < 0 == bounds("cfid")[0]
    found = spec_of("parzen")
    assert found is not None and found.unit == "nats"


def test_a_model_that_has_diverged_has_no_values(compose_config) -> None:
    config = compose_config((*SMALL, "steps=20", "metric=[mind]"))
    context = context_of(config, np.full((1000, 2), np.nan, np.float32))
    assert config.metric[0].prepare(context.experiment)(context) == {}

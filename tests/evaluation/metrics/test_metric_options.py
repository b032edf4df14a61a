"""The group ``metric``: what is chosen is measured, and a metric declares all that the rest of ganrun needs of it."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from ganrun.config import registry
from ganrun.config.schema import check, to_dict
from ganrun.errors import ConfigError
from ganrun.evaluation.evaluator import Evaluator
from ganrun.evaluation.metrics.base import EvalContext, Measure, Metric
from ganrun.evaluation.metrics.logged import logged, require_best
from ganrun.evaluation.metrics.spec import better, rating, spec_of
from ganrun.methods.metric_spec import MetricSpec
from ganrun.training.build import build

SMALL = ("architecture.generator_hidden=[2]", "architecture.discriminator_hidden=[4]", "batch_size=16", "probe=off")


@dataclasses.dataclass(frozen=True)
class Norm(Metric):
    """The mean Euclidean norm of the samples, scaled."""

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (MetricSpec("samples/norm", "mean norm", "units", "higher"),)

    name: str = "norm"
    factor: float = registry.number(1.0, above=0.0)

    def tag_families(self, config):
        yield ("samples/norm",), "" if len(config.dataset.shape) == 1 else "these are images"

    def prepare(self, experiment) -> Measure:
        def measure(context: EvalContext) -> dict[str, float]:
            return {"samples/norm": self.factor * float(np.linalg.norm(context.samples, axis=1).mean())}

        return measure


@pytest.fixture
def norm(monkeypatch):
    """The metric, registered for one test."""
    registry.options("metric")
    monkeypatch.setitem(registry._options["metric"], "norm", Norm)


def with_metric(config, **metrics):
    return check({**to_dict(config), "metric": metrics})


def measured(config):
    evaluator = Evaluator(build(config), config)
    state = evaluator.experiment.init()
    return evaluator, evaluator.read(evaluator.snapshot(state, config.steps)).scalars


def test_a_metric_of_ones_own_is_measured_logged_and_has_its_direction(norm, compose_config):
    config = with_metric(compose_config((*SMALL, "dataset=gaussian", "steps=20")), norm={"factor": 2.0}, modes=None)
    assert config.metric[1] == Norm(factor=2.0)
    evaluator, scalars = measured(config)
    assert set(scalars) == {"samples/norm"} == set(logged(config)) & {"samples/norm", "samples/diversity", "jsd/exact"}
    samples = np.asarray(evaluator.snapshot(evaluator.experiment.init(), 20).fetch()[0].samples, np.float64)
    assert scalars["samples/norm"] == pytest.approx(2 * np.abs(samples).mean(), rel=1e-5)
    found = spec_of("samples/norm")
    assert found is not None and (found.unit, better("samples/norm")) == ("units", "higher")
    assert rating("samples/norm", 3.0) < rating("samples/norm", 2.0)
    best = dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, best="samples/norm"))
    require_best(best)


def test_a_metric_that_does_not_apply_is_left_out_with_its_reason(norm, compose_config):
    config = with_metric(compose_config((*SMALL, "dataset=digits", "steps=20")), norm=None)
    assert measured(config)[1] == {} and "samples/norm" not in logged(config)
    best = dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, best="samples/norm"))
    with pytest.raises(ConfigError, match="does not log 'samples/norm': these are images"):
        require_best(best)


def test_only_what_is_chosen_is_measured(compose_config):
    config = compose_config((*SMALL, "dataset=mixture1d", "steps=20", "metric=[modes,exact]"))
    evaluator, scalars = measured(config)
    assert {"modes/covered", "jsd/exact", "w1"} <= scalars.keys() and "samples/diversity" not in scalars
    snapshot = evaluator.snapshot(evaluator.experiment.init(), 20)
    arrays, variables = snapshot.fetch()
    context = EvalContext(evaluator.experiment, config, 20, np.asarray(arrays.samples), variables, model=evaluator.data)
    assert set(evaluator.run(context, ["modes"])) == {tag for tag in scalars if tag.startswith("modes/")}
    best = dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, best="samples/diversity"))
    with pytest.raises(ConfigError, match="does not log 'samples/diversity': metric=diversity is not chosen"):
        require_best(best)
    assert measured(compose_config((*SMALL, "dataset=mixture1d", "steps=20", "metric=none")))[1] == {}


def test_a_metric_that_does_not_exist_is_refused_with_the_closest(compose_config):
    with pytest.raises(ConfigError, match=r"metric has no option 'mode'\. Did you mean 'modes'\? It has diversity, "):
        with_metric(compose_config(SMALL), mode=None)

"""The count of modes of stacked images: with a classifier that is known to be right, in a run, and with real digits."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ganrun.config.schema import check, to_dict
from ganrun.datasets.images import Digits, ImageArrays, Mnist, StackedMnist
from ganrun.errors import ConfigError
from ganrun.evaluation.evaluator import Evaluator
from ganrun.evaluation.features import PerChannel, cached, classifier, training
from ganrun.evaluation.measurements import of_model
from ganrun.evaluation.measurements.base import Settings
from ganrun.evaluation.metrics.classified_modes import classified_coverage, classified_floor, mode_weights
from ganrun.evaluation.metrics.logged import logged, require_logged
from ganrun.training.build import build


class Exact:
    """Recognises 1x2 grey images: the class is the number of bright pixels."""

    classes, size, checksum = 3, 1, ""

    def labels(self, x):
        return (x.reshape(len(x), 2) > 0).sum(axis=1)

    def features(self, x):
        return x.reshape(len(x), 2).sum(axis=1, keepdims=True)

    def probabilities(self, x):
        return 0.1 + 0.7 * np.eye(3)[self.labels(x)]


TWO = PerChannel(Exact(), channels=2)  # type: ignore[arg-type]
# In the first channel both pixels are bright, one and none; in the second none, one and both.
IMAGES = np.array([[[1, -1], [1, -1]], [[-1, 1], [1, -1]], [[-1, 1], [-1, 1]]], np.float32).reshape(3, 1, 2, 2)


def test_the_mode_is_the_number_whose_digits_are_the_classes_of_the_channels():
    assert TWO.classes == 9
    assert TWO.labels(IMAGES).tolist() == [2 * 3 + 0, 1 * 3 + 1, 0 * 3 + 2]
    assert TWO.features(IMAGES).tolist() == [[2, -2], [0, 0], [-2, 2]]


def test_the_probability_of_a_mode_is_the_product_of_those_of_its_channels():
    found = TWO.probabilities(IMAGES)
    assert found.shape == (3, 9)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found[0, 6] == pytest.approx(0.64) and found[0, 7] == pytest.approx(0.08)
    assert found[0, 3] == pytest.approx(0.08) and found[0, 1] == pytest.approx(0.01)


def test_coverage_and_kl_by_hand():
    weights = np.full(9, 1 / 9)
    found = classified_coverage(TWO, IMAGES[[0, 0, 1]], weights)
    # Shares 2/3 and 1/3 of two of nine modes: 2/3 log 6 + 1/3 log 3 = log 3 + 2/3 log 2.
    assert found == {"modes/covered": 2.0, "modes/kl": pytest.approx(math.log(3) + 2 / 3 * math.log(2), abs=1e-12)}
    for n, kl in ((2, math.log(4.5)), (3, math.log(3)), (9, math.log(3))):  # each in a mode of its own
        floor = classified_floor(TWO, IMAGES[[2, 1, 0]], n, weights)
        assert floor == {"modes/covered_data": min(n, 3), "modes/kl_data": pytest.approx(kl, abs=1e-12)}


def test_an_evaluation_counts_the_modes_of_samples_beside_those_of_the_data(monkeypatch):
    monkeypatch.setattr(of_model, "classifier", lambda dataset, data_dir: TWO)
    monkeypatch.setattr(of_model, "mode_weights", lambda dataset, data_dir: np.full(9, 1 / 9))
    config = SimpleNamespace(dataset=None, data_dir=None)
    sets = SimpleNamespace(
        context=SimpleNamespace(config=config, density=None), fake=IMAGES[[0, 0, 1]], reference=IMAGES
    )
    covered, kl = of_model.modes(sets, Settings())  # type: ignore[arg-type]
    assert (covered.tag, covered.value, covered.floor, covered.n) == ("modes/covered", 2.0, 3.0, 3)
    assert (kl.tag, kl.value) == ("modes/kl", pytest.approx(math.log(3) + 2 / 3 * math.log(2), abs=1e-12))
    assert kl.floor == pytest.approx(math.log(3)) and kl.flags == ("n < 26000 of the papers",)


@dataclasses.dataclass(frozen=True)
class Stacked(StackedMnist):
    counts = {"train": 400, "held_out": 100}  # noqa: RUF012

    @property
    def channel_dataset(self):
        return Digits()


def test_the_weights_are_products_of_the_frequencies_of_the_digits():
    labels = Digits().load(Path(), labels=True).train_labels
    share = np.bincount(labels) / len(labels)
    weights = mode_weights(Stacked(), None)
    assert weights.shape == (1000,) and weights.sum() == pytest.approx(1.0)
    assert weights[307] == pytest.approx(share[3] * share[0] * share[7])


@pytest.fixture
def brief(monkeypatch, tmp_path):
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path))
    monkeypatch.setattr(training, "FEWEST", 60)
    monkeypatch.setattr(training, "MOST", 60)
    cached.classifier_of.cache_clear()
    yield
    cached.classifier_of.cache_clear()


@pytest.fixture
def run(brief, compose_config, monkeypatch):
    """The config of a run on stacked 8x8 digits."""
    monkeypatch.setattr(StackedMnist, "channel_dataset", property(lambda _: Digits()))
    monkeypatch.setattr(StackedMnist, "counts", {"train": 400, "held_out": 100})
    words = ("dataset=stacked_mnist", "architecture=mlp", "architecture.generator_hidden=[8]", "probe=off", "steps=20")
    config = compose_config((*words, "architecture.discriminator_hidden=[8]", "batch_size=16"))
    return check({**to_dict(config), "metric": {"modes": {"samples": 30, "final_samples": 70}}})


def test_a_run_logs_them_beside_those_of_as_many_examples(run):
    evaluator = Evaluator(build(run), run)
    state = evaluator.experiment.init()
    arrays = Stacked().load(Path(), labels=True)
    floors = {}
    for step, n in ((0, 30), (20, 70)):
        found = evaluator.read(evaluator.snapshot(state, step)).scalars
        assert {tag for tag in found if tag.startswith("modes/")} == {
            tag for tag in logged(run) if tag.startswith("modes/")
        }
        recognised = classifier(run.dataset).labels(arrays.held_out[:n])
        assert found["modes/covered_data"] == len(np.unique(recognised)) > 0.6 * n
        assert 1 <= found["modes/covered"] < n  # an untrained generator covers few
        assert found["modes/kl"] > found["modes/kl_data"] > 0
        floors[n] = found["modes/kl_data"]
    # n examples, each in a mode of its own, are at log(1000 / n): more of them are closer.
    assert floors[70] < floors[30] - 0.5 * math.log(70 / 30)


def test_the_classifier_is_trained_before_the_run_begins(run, monkeypatch):
    built = build(run)
    seen = []
    monkeypatch.setattr("ganrun.evaluation.metrics.modes.classifier", lambda *given: seen.append(given))
    Evaluator(built, run)
    assert seen == [(run.dataset, run.data_dir)]
    log = dataclasses.replace(run.log, pictures=0)
    Evaluator(built, dataclasses.replace(run, log=log))  # nothing is ever evaluated
    assert len(seen) == 1


def test_there_is_no_share_of_high_quality(run):
    with pytest.raises(ConfigError, match="its modes are classes, without a width"):
        require_logged("modes/high_quality", run, "checkpoint.best")
    require_logged("modes/covered", run, "checkpoint.best")


@pytest.mark.slow
@pytest.mark.optimised
def test_real_digits_are_in_all_thousand_modes(tmp_path, monkeypatch, real):
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path))
    monkeypatch.setattr(StackedMnist, "counts", {"train": 1, "held_out": 26_000})
    cached.classifier_of.cache_clear()
    option = StackedMnist(download=False)
    arrays: ImageArrays = option.load(real, labels=True)
    found = classifier(option, str(real))
    assert isinstance(found, PerChannel) and found.classifier.accuracy >= 0.985
    weights = mode_weights(option, str(real))
    floor = classified_floor(found, arrays.held_out, 26_000, weights)
    assert floor["modes/covered_data"] == 1000
    # 999 / 52 000 = 0.0192 by chance; the test digits have slightly other frequencies.
    assert 0.015 < floor["modes/kl_data"] < 0.035
    right = found.labels(arrays.held_out[:2000]) == arrays.held_out_labels[:2000]
    assert right.mean() > 0.95  # all three digits
    digits = Mnist(download=False).load(real, labels=True)
    only = np.flatnonzero(digits.held_out_labels == 4)[:300]
    fours = np.repeat(digits.held_out[only][:, :, None], 3, axis=2).reshape(300, -1)
    lost = classified_coverage(found, fours, weights)  # a generator of one mode
    assert lost["modes/covered"] < 10 and lost["modes/kl"] == pytest.approx(-np.log(weights[444]), rel=0.1)

"""The classification accuracy score, with samples whose score is known."""

import dataclasses

import numpy as np
import pytest

from ganrun.evaluation.features import training
from ganrun.evaluation.features.classification_score import binomial, classification_score


def test_clopper_and_pearson_by_hand():
    # Without a success the upper end solves (1 - p)^10 = 0.025; with 10 the lower end solves p^10 = 0.025.
    none, all_ = binomial(0, 10), binomial(10, 10)
    assert (none.value, none.low) == (0.0, 0.0) and none.high == pytest.approx(1 - 0.025**0.1, abs=1e-12)
    assert (all_.value, all_.high) == (1.0, 1.0) and all_.low == pytest.approx(0.025**0.1, abs=1e-12)


def test_the_interval_is_where_the_binomial_tails_have_their_probability():
    from scipy.stats import binom

    found = binomial(7, 20)
    assert (found.value, found.n) == (0.35, 20)
    assert binom.sf(6, 20, found.low) == pytest.approx(0.025, abs=1e-9)  # 7 or more
    assert binom.cdf(7, 20, found.high) == pytest.approx(0.025, abs=1e-9)  # 7 or fewer


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(training, "FEWEST", 40)


def units(pixels):
    return pixels.astype(np.float32).reshape(-1, 4, 4, 1) / 127.5 - 1


def test_samples_that_are_the_data_score_as_the_data(short, dots):
    found = classification_score(units(dots.train), dots.train_labels, dots, 2)
    assert found.samples.value == found.data.value == 1.0 and found.data.n == 40
    assert (found.samples_used, found.examples_used) == (150, 150)


def test_samples_of_the_other_class_score_nothing_and_those_of_one_class_little_more_than_its_share(short, dots):
    wrong = classification_score(units(dots.train[:60]), 1 - dots.train_labels[:60], dots, 2)
    assert wrong.samples.value == 0.0 and wrong.data.value > 0.9 and wrong.examples_used == 60
    only = dots.train_labels == 1
    one = classification_score(units(dots.train[only]), dots.train_labels[only], dots, 2)
    assert 0.6 == np.mean(dots.held_out_labels == 1) <= one.samples.value < 0.8 and one.data.value > 0.9


def test_more_samples_than_examples_are_compared_with_all_examples(short, dots):
    twice = np.concatenate([units(dots.train)] * 2)
    found = classification_score(twice, np.tile(dots.train_labels, 2), dots, 2)
    assert (found.samples_used, found.examples_used) == (300, 150)


def test_labels_are_needed(dots):
    with pytest.raises(ValueError, match="with their labels"):
        classification_score(units(dots.train), dots.train_labels, dataclasses.replace(dots, train_labels=None), 2)
    with pytest.raises(ValueError, match="2 samples and 3 labels"):
        classification_score(units(dots.train[:2]), dots.train_labels[:3], dots, 2)

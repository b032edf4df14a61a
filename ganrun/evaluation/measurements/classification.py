"""Classification accuracy score of class-conditional models."""

from __future__ import annotations

from collections.abc import Sequence

from ganrun.datasets.images import ImageArrays
from ganrun.evaluation.features.classification_score import classification_score
from ganrun.evaluation.measurements.base import EQUAL_SIZES, Family, Measurement, Sets, Settings, at_least
from ganrun.evaluation.measurements.specs import CAS
from ganrun.evaluation.sample_metrics.intervals import proportion


def missing(sets: Sets) -> str:
    """Return the reason why there is no score; empty if there is."""
    if sets.labelled is None:
        return "the model is not class-conditional"
    return "" if sets.targets is not None else "the data have no labels"


def measure(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Train a classifier on labelled samples, and test it on held-out data; the floor has training data instead.

    It has the network of the classifier behind the features, which has seen the data and is not used. The interval,
    Wilson's, is for the choice of held-out examples, given the classifier.

    Paper: Ravuri & Vinyals 2019, "Classification accuracy score for conditional generative models", with another
    classifier.
    """
    assert sets.labelled is not None and sets.targets is not None
    assert sets.held_out is not None and sets.training is not None
    samples, labels = sets.labelled(len(sets.fake), settings.seed)
    held_out_labels, train_labels = sets.targets
    train, held_out = (rows.reshape(len(rows), -1) for rows in (sets.training, sets.held_out))
    arrays = ImageArrays(train, held_out, sets.held_out.shape[1:], train_labels, held_out_labels)
    score = classification_score(samples, labels, arrays, sets.classes, "classification accuracy")
    value, floor = score.samples, score.data
    interval = proportion(value.value, value.n, settings.level)
    flags = (*at_least(score.samples_used, 1000), *([EQUAL_SIZES] * (score.examples_used != score.samples_used)))
    return [
        Measurement(
            "cas",
            value.value,
            score.samples_used,
            value.n,
            interval.low,
            interval.high,
            "binomial",
            floor.value if settings.floor else None,
            score.examples_used if settings.floor else 0,
            flags,
        )
    ]


FAMILIES = (Family("cas", CAS, missing, measure),)

"""The classification accuracy score of a class-conditional model (Ravuri & Vinyals 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from ganrun.datasets.images import ImageArrays
from ganrun.evaluation.features.classifier import Classifier
from ganrun.evaluation.features.training import trained

MISS = 0.05  # probability that an interval does not contain the accuracy


@dataclass(frozen=True)
class Accuracy:
    """The share of ``n`` examples that are classified correctly, with an interval of confidence 0.95 around it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ClassificationScore:
    """The accuracy on held-out data of a classifier that was trained on samples, and of one trained on data.

    Attributes:
        samples: accuracy after training on samples of the model: the score.
        data: accuracy after training on as many examples of the data, the value that a perfect model can reach.
        samples_used: number of samples.
        examples_used: number of training examples; fewer than ``samples_used`` if there are no more.
    """

    samples: Accuracy
    data: Accuracy
    samples_used: int
    examples_used: int


def classification_score(
    samples: np.ndarray, labels: np.ndarray, arrays: ImageArrays, classes: int, what: str = ""
) -> ClassificationScore:
    """Return the classification accuracy score.

    Both classifiers have the network, the seed and the recipe of :mod:`ganrun.evaluation.features.training`. The
    intervals cover the choice of the held-out examples, and not the randomness of training.

    Paper: Ravuri & Vinyals 2019, "Classification accuracy score for conditional generative models".

    Args:
        samples: of the model, float ``(n, *shape)``, images in [-1, 1].
        labels: the classes that they are conditioned on, whole numbers ``(n,)``.
        arrays: the data with labels.
        classes: number of classes.
        what: title of the progress that is shown; empty for none.

    Raises:
        ValueError: the data have no labels, or there are not as many samples as labels, or none.
    """
    if arrays.train_labels is None or arrays.held_out_labels is None:
        raise ValueError("a classification score needs examples that were loaded with their labels")
    if len(samples) != len(labels) or not len(samples):
        raise ValueError(f"there are {len(samples)} samples and {len(labels)} labels; as many of both are needed")

    def accuracy(rows: np.ndarray, targets: np.ndarray, of: str) -> Accuracy:
        params = trained(rows, targets, arrays.shape, classes, f"{what}, {of}" if what else "")
        found = Classifier(arrays.shape, classes, params).labels(np.asarray(arrays.held_out))
        return binomial(int(np.sum(found == arrays.held_out_labels)), len(found))

    rows = np.asarray(samples, np.float32).reshape(len(samples), -1)
    # RandomState and not Generator: NumPy guarantees that its stream never changes (NEP 19).
    some = np.sort(np.random.RandomState(0).permutation(len(arrays.train))[: len(samples)])
    return ClassificationScore(
        accuracy(rows, np.asarray(labels), "samples"),
        accuracy(arrays.train[some], arrays.train_labels[some], "data"),
        len(samples),
        len(some),
    )


def binomial(successes: int, n: int) -> Accuracy:
    """Return the share ``successes / n`` with the interval of Clopper and Pearson, which covers at least 95 %.

    Paper: Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".

    Args:
        successes: from 0 to ``n``.
        n: number of independent trials, at least 1.
    """
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, MISS / 2))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - MISS / 2))
    return Accuracy(successes / n, low, high, n)

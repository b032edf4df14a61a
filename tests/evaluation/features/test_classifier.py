"""The classifier whose features are used: what it learns, and what its outputs are."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.datasets.images import Digits, ImageArrays
from ganrun.evaluation.features import training
from ganrun.evaluation.features.classifier import CHUNK, Classifier, train_classifier
from ganrun.evaluation.features.network import ClassifierNetwork

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def digits():
    return Digits().load(Path(), labels=True)


@pytest.fixture(scope="module")
def of_digits(digits):
    return train_classifier(digits, 10)


def test_held_out_digits_are_recognised(digits, of_digits):
    assert of_digits.accuracy >= 0.96 and of_digits.held_out == 360
    right = of_digits.labels(digits.held_out) == digits.held_out_labels
    assert of_digits.accuracy == right.sum() / 360


def test_features_and_probabilities_are_of_every_example(digits, of_digits):
    n = CHUNK + 3  # two calls, the second one padded
    features, shares = of_digits.features(digits.train[:n]), of_digits.probabilities(digits.train[:n])
    assert features.shape == (n, of_digits.size) == (n, 128) and features.dtype == np.float32
    assert shares.shape == (n, 10) and shares.dtype == np.float64
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)
    assert (shares.argmax(axis=1) == of_digits.labels(digits.train[:n])).all()
    np.testing.assert_array_equal(of_digits.features(digits.train[CHUNK:n]), features[CHUNK:])
    # The last layer is affine in the features: the logits follow from them by hand.
    last = of_digits.params["params"]["Dense_1"]
    logits = features.astype(np.float64) @ np.asarray(last["kernel"], np.float64) + np.asarray(last["bias"], np.float64)
    ratio = np.log(shares[:, 3] / shares[:, 5])
    np.testing.assert_allclose(ratio, logits[:, 3] - logits[:, 5], atol=1e-3)


def test_pixels_and_units_of_the_network_give_the_same(digits, of_digits):
    pixels = digits.held_out[:20]
    units = (pixels.astype(np.float32) / 127.5 - 1).reshape(20, 8, 8, 1)
    np.testing.assert_allclose(of_digits.features(pixels), of_digits.features(units), atol=1e-5)
    assert of_digits.features(np.zeros((0, 8, 8, 1), np.float32)).shape == (0, 128)


def test_training_again_gives_the_same_bits(brief, dots):
    once, again = (training.trained(dots.train, dots.train_labels, dots.shape, 2) for _ in range(2))
    for one, other in zip(jax.tree.leaves(once), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_vectors_with_labels_are_classified():
    # Four Gaussians at (+-2, +-2), 4 standard deviations apart: the best accuracy is (1 - 0.02275)^2 = 0.955.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 6000)
    centres = np.array([[-2, -2], [-2, 2], [2, -2], [2, 2]])
    x = (centres[labels] + rng.standard_normal((6000, 2))).astype(np.float32)
    arrays = ImageArrays(x[:4000], x[4000:], (2,), labels[:4000], labels[4000:])
    assert 0.93 < train_classifier(arrays, 4).accuracy < 0.97


def test_labels_by_chance_are_not_learned(monkeypatch, dots):
    monkeypatch.setattr(training, "FEWEST", 50)
    rng = np.random.default_rng(1)
    by_chance = ImageArrays(dots.train, dots.held_out, dots.shape, rng.integers(0, 2, 150), rng.integers(0, 2, 40))
    assert train_classifier(dots, 2).accuracy == 1.0
    assert 0.2 < train_classifier(by_chance, 2).accuracy < 0.8


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((8, 8, 1), 4 * 4 * 32),
        ((28, 28, 1), 7 * 7 * 64),
        ((32, 32, 3), 4 * 4 * 128),
        ((5, 9, 2), 3 * 5 * 32),
        ((1, 1, 1), 32),
        ((64, 20, 3), 4 * 2 * 128),
        ((3,), 256),
    ],
)
def test_any_shape_of_examples_has_a_network(shape, last):
    features, logits = jax.eval_shape(
        lambda x: ClassifierNetwork(3).init_with_output(jax.random.key(0), x)[0], jnp.zeros((2, *shape))
    )
    assert features.shape == (2, 128) and logits.shape == (2, 3)
    params = jax.eval_shape(lambda: ClassifierNetwork(3).init(jax.random.key(0), jnp.zeros((1, *shape))))["params"]
    assert params["Dense_0" if len(shape) == 3 else "Dense_2"]["kernel"].shape == (last, 128)


def test_every_example_is_used_once_before_one_is_used_again():
    calls = list(training._orders(300, call=2, calls=3))
    assert [call.shape for call in calls] == [(2, training.BATCH)] * 3
    order = np.concatenate([call.ravel() for call in calls])
    assert sorted(order[:300]) == sorted(order[300:600]) == list(range(300))
    assert order[:300].tolist() != order[300:600].tolist()


def test_the_number_of_updates_is_that_of_three_epochs_within_limits():
    assert training.updates_for(60_000) == 1407  # 180 000 / 128 = 1406.25
    assert (training.updates_for(1437), training.updates_for(10**6)) == (600, 3000)


def test_a_classifier_needs_labels(dots):
    with pytest.raises(ValueError, match="with their labels"):
        train_classifier(ImageArrays(dots.train, dots.held_out, dots.shape), 2)
    assert Classifier((2,), 2, None).size == 128

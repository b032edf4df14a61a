"""How samples compare with examples: 1 is as good as new ones, and both ways to fall short are seen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.datasets.sampler import Pixels
from ganrun.datasets.synthetic import Mixture
from ganrun.evaluation.metrics.diversity import Diversity


def pixels(rows: np.ndarray) -> Pixels:
    return Pixels(jnp.asarray(rows), jax.random.key_data(jax.random.key(0)), (4, 4, 1))


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (n, 16)).astype(np.uint8) for n in (500, 300, 256))  # type: ignore[return-value]


def as_samples(rows: np.ndarray) -> np.ndarray:
    return (rows.astype(np.float32) / 127.5 - 1).reshape(-1, 4, 4, 1)


def test_new_images_of_the_same_kind_are_at_one(images) -> None:
    train, held_out, fresh = images
    seen = Diversity(pixels(train), pixels(held_out)).of(as_samples(fresh))
    assert seen == {
        "samples/diversity": pytest.approx(1, abs=0.03),
        "samples/nearest_training": pytest.approx(1, abs=0.05),
    }


def test_copies_of_training_images_are_at_no_distance_and_as_diverse(images) -> None:
    train, held_out, _ = images
    seen = Diversity(pixels(train), pixels(held_out)).of(as_samples(train[:100]))
    assert seen["samples/nearest_training"] == 0.0
    assert seen["samples/diversity"] == pytest.approx(1, abs=0.03)


def test_one_image_over_and_over_has_no_diversity(images) -> None:
    train, held_out, fresh = images
    seen = Diversity(pixels(train), pixels(held_out)).of(np.repeat(as_samples(fresh[:1]), 64, axis=0))
    assert seen["samples/diversity"] == pytest.approx(0, abs=1e-3)


def test_of_a_density_there_is_no_training_set() -> None:
    density = Mixture(means=jnp.zeros((1, 2)), stds=jnp.ones(1), weights=jnp.ones(1))
    samples = np.random.default_rng(2).normal(size=(256, 2)) * 0.5
    seen = Diversity(density, density).of(samples)
    assert seen == {"samples/diversity": pytest.approx(0.5, abs=0.05)}


def test_of_a_single_point_nothing_is_said() -> None:
    density = Mixture(means=jnp.zeros((1, 1)), stds=jnp.full(1, 1e-9), weights=jnp.ones(1))
    assert Diversity(density, density).of(np.ones((64, 1))) == {}


def test_three_images_by_hand() -> None:
    """Medians, not means: one image of three is far off on either side."""
    train = pixels(np.zeros((1, 16), np.uint8))
    held_out = pixels(np.repeat(np.array([[51], [51], [255]], np.uint8), 16, axis=1))
    samples = np.repeat(np.array([[-0.8], [-0.8], [1.0]], np.float32), 16, axis=1).reshape(-1, 4, 4, 1)
    # In [-1, 1] a byte is 2/255; an even image that differs by g is 4 g away. From the one training image the
    # held-out ones are at 1.6, 1.6 and 8, the samples at 0.8, 0.8 and 8; between two images there are 0, 6.4 and 6.4
    # among the held-out ones and 0, 7.2 and 7.2 among the samples.
    assert Diversity(train, held_out).of(samples) == {
        "samples/nearest_training": pytest.approx(0.8 / 1.6, rel=1e-5),
        "samples/diversity": pytest.approx(7.2 / 6.4, rel=1e-5),
    }


def test_one_held_out_image_has_no_diversity_to_compare_with() -> None:
    train, held_out = pixels(np.zeros((1, 16), np.uint8)), pixels(np.full((1, 16), 51, np.uint8))
    seen = Diversity(train, held_out).of(as_samples(np.full((2, 16), 51, np.uint8)))
    assert seen == {"samples/nearest_training": pytest.approx(1, rel=1e-5)}


def test_what_comes_after_the_first_256_samples_does_not_count() -> None:
    train = pixels(np.zeros((1, 16), np.uint8))
    held_out = pixels(np.repeat(np.array([[51], [102]], np.uint8), 16, axis=1))
    samples = np.full((600, 4, 4, 1), -0.8, np.float32)
    samples[256:] = 1.0
    found = Diversity(train, held_out).of(samples)
    assert found["samples/nearest_training"] == pytest.approx(0.8 / 2.4, rel=1e-5)  # the median of 1.6 and 3.2
    assert found["samples/diversity"] == pytest.approx(0, abs=1e-3)


def test_a_training_set_of_one_picture_has_no_usual_distance_to_compare_with() -> None:
    same = np.zeros((20, 16), np.uint8)
    metrics = Diversity(pixels(same), pixels(same)).of(as_samples(np.full((4, 16), 255, np.uint8)))
    assert metrics == {}  # held-out examples are at distance 0 of the training set, and of each other

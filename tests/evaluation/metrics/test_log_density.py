"""The mean log density over held-out data: of all examples, in batches of one shape, with the error of a mean."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.datasets.sampler import Pixels
from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.metrics.log_density import BATCH, LogDensity, log_densities


class Squared:
    """Its log density of an example is minus the square of its first element, whatever the variables."""

    def __init__(self, held_out=None):
        self.data = SimpleNamespace(held_out=held_out)
        self.shapes = set()

    def log_density(self, variables, key, x):
        self.shapes.add(x.shape)
        return {"exact": -(x.reshape(len(x), -1)[:, 0] ** 2), "drawn": jax.random.uniform(key, (len(x),))}


@pytest.mark.parametrize("n", [1, BATCH, BATCH + 1, 3 * BATCH - 7])
def test_every_example_is_counted_once_and_the_program_has_one_shape(n):
    one, x = Squared(), np.arange(2.0 * n, dtype=np.float32).reshape(n, 2) / n
    found = log_densities(one, {}, jax.random.key(0), x)
    np.testing.assert_allclose(found["exact"], -(x[:, 0].astype(np.float64) ** 2), rtol=1e-6)
    assert found["exact"].dtype == np.float64 and one.shapes == {(BATCH, 2)}
    assert len(np.unique(found["drawn"])) == n  # every batch draws with a key of its own


def test_the_mean_and_its_standard_error_by_hand():
    # The bytes 0, 51, 255 are -1, -0.6, 1: squares 1, 0.36, 1, with mean 2.36 / 3 and variance 0.1365333.
    rows = jnp.asarray([[0], [51], [255]], jnp.uint8)
    held_out = Pixels(rows, jax.random.key_data(jax.random.key(1)), (1, 1, 1))
    measure = LogDensity().prepare(Squared(held_out))
    found = measure(SimpleNamespace(variables={}, is_last=True, noise=3))
    assert found["exact"] == pytest.approx(-2.36 / 3, rel=1e-6)
    assert found["exact_se"] == pytest.approx(np.sqrt(0.1365333 / 3), rel=1e-5)
    assert found["bits_per_dim/exact"] == pytest.approx(2.36 / 3 / np.log(2), rel=1e-6)  # one pixel


def test_more_examples_are_used_at_the_end_and_the_first_are_the_same():
    option = LogDensity(examples=50, final_examples=5000)
    measure = option.prepare(Squared(mixture(np.array([[0.0]]), 1.0)))
    during = measure(SimpleNamespace(variables={}, is_last=False, noise=3))
    again = measure(SimpleNamespace(variables={}, is_last=False, noise=4))
    end = measure(SimpleNamespace(variables={}, is_last=True, noise=3))
    assert set(during) == {"exact", "exact_se", "drawn", "drawn_se"}  # vectors have no bits per pixel
    assert during["exact"] == again["exact"] and during["drawn"] != again["drawn"]
    # E x² = 1 and Var x² = 2 for a standard normal x.
    assert end["exact"] == pytest.approx(-1.0, abs=4 * np.sqrt(2 / 5000))
    assert end["exact_se"] == pytest.approx(np.sqrt(2 / 5000), rel=0.15)
    assert during["exact_se"] > 5 * end["exact_se"]

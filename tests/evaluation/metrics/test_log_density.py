"""The mean log density over held-out data: of all examples, in batches of one shape, with the error of a mean."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.datasets.sampler import Pixels
from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.metrics.log_density import BATCH, LogDensity, log_densities
from ganrun.methods.metric_spec import MetricSpec


class Squared:
    """Its log density of an example is minus the square of its first element, whatever the variables."""

    def __init__(self, held_out=None):
        self.data = SimpleNamespace(held_out=held_out, log_volume=0.0)
        self.shapes = set()
        self.method = SimpleNamespace(normaliser_specs=(), shared_errors={})

    def with_normaliser(self, variables, key):
        return variables

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


class Normalised(Squared):
    """Its log density is less by an estimated constant, which all examples share."""

    def __init__(self, held_out):
        super().__init__(held_out)
        specs = (MetricSpec("log_z", ""), MetricSpec("log_z_se", ""))
        self.method = SimpleNamespace(normaliser_specs=specs, shared_errors={"exact": "log_z_se"})
        self.keys = []

    def with_normaliser(self, variables, key):
        if "normaliser" in variables:
            return variables
        self.keys.append(jax.random.key_data(key).tolist())
        return {**variables, "normaliser": {"log_z": jnp.float32(5.0), "log_z_se": jnp.float32(0.3)}}

    def log_density(self, variables, key, x):
        found = super().log_density(variables, key, x)
        return {"exact": found["exact"] - variables["normaliser"]["log_z"], "drawn": found["drawn"]}


def test_what_examples_share_is_computed_once_and_logged_and_its_error_is_part_of_the_standard_error():
    one = Normalised(mixture(np.array([[0.0]]), 1.0))
    measure = LogDensity(examples=5 * BATCH, final_examples=10).prepare(one)
    found = measure(SimpleNamespace(variables={}, is_last=False, noise=3))
    without = LogDensity(examples=5 * BATCH).prepare(Squared(one.data.held_out))
    plain = without(SimpleNamespace(variables={}, is_last=False, noise=3))
    assert len(one.keys) == 1
    assert (found["log_z"], found["log_z_se"]) == (5.0, pytest.approx(0.3))
    assert found["exact"] == pytest.approx(plain["exact"] - 5.0)
    assert found["exact_se"] == pytest.approx(np.sqrt(plain["exact_se"] ** 2 + 0.09), rel=1e-6)
    assert found["drawn_se"] == pytest.approx(plain["drawn_se"])
    log_densities(one, {}, jax.random.key(0), np.zeros((3 * BATCH, 1), np.float32))
    assert len(one.keys) == 2  # once for all batches

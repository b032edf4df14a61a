"""The one-parameter players of the Dirac game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.dirac import Dirac
from ganrun.errors import ConfigError

NETWORKS = Dirac().build((1,), 3)
Z = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_both_start_at_a_distance_of_one():
    generator = NETWORKS.generator.init(jax.random.key(0), Z, False)
    discriminator = NETWORKS.discriminator.init(jax.random.key(0), jnp.ones((1, 1)), False)
    assert jax.tree.map(lambda leaf: leaf.tolist(), generator) == {"params": {"theta": [1.0]}}
    assert jax.tree.map(lambda leaf: leaf.tolist(), discriminator) == {"params": {"psi": [-1.0]}}


def test_players_by_hand():
    samples = NETWORKS.generator.apply({"params": {"theta": jnp.array([0.5])}}, Z, True)
    assert samples.tolist() == [[0.5], [0.5]]
    psi = {"params": {"psi": jnp.array([-3.0])}}
    logits, seen = NETWORKS.discriminator.apply(psi, jnp.array([[2.0], [0.0]]), True, mutable=["features"])
    assert logits.tolist() == [-6.0, 0.0]
    assert seen["features"]["last"].tolist() == [[2.0], [0.0]]


def test_the_vector_field_of_the_game():
    # V = log(sigmoid(0)) + log(1 - sigmoid(psi theta)): both gradients are f'(t) = -sigmoid(t) times the other's
    # parameter, at (1, 1): -1 / (1 + 1/e) = -0.7310586.
    def value(theta, psi):
        fake = NETWORKS.generator.apply({"params": {"theta": theta}}, Z, True)
        return -jax.nn.softplus(NETWORKS.discriminator.apply({"params": {"psi": psi}}, fake, True)).mean()

    gradients = jax.grad(value, argnums=(0, 1))(jnp.ones(1), jnp.ones(1))
    np.testing.assert_allclose(gradients, [[-0.7310586], [-0.7310586]], rtol=1e-5)


def test_what_it_cannot_be():
    with pytest.raises(ConfigError, match=r"takes one-dimensional data, and the data is vectors of 2\. Use"):
        Dirac().build((2,), 1)
    with pytest.raises(ConfigError, match="8 x 8 pixels"):
        Dirac().build((8, 8, 1), 1)
    for wrong in ({"classes": 2}, {"outputs": 2}):
        with pytest.raises(ConfigError, match="neither conditional=true nor losses with several outputs"):
            Dirac().build((1,), 1, **wrong)
    with pytest.raises(ValueError, match=r"takes examples of shape \(1,\) without latents"):
        NETWORKS.discriminator.init(jax.random.key(0), jnp.ones((1, 2)), False)
    assert NETWORKS.encoder is None
    assert Dirac().build([1], 3) == NETWORKS
    assert hash(NETWORKS) == hash(Dirac().build((1,), 3))

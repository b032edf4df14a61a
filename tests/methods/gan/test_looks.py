"""What a look shows of the players, and of which data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from ganrun.datasets import Data
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.methods.gan.gan import LOGITS
from ganrun.methods.gan.networks import draw_noise
from ganrun.training.vmapped import VmappedRuns


@struct.dataclass
class Everywhere:
    """One point of the plane, again and again."""

    SHARED = ()
    at: jax.Array

    def minibatch(self, key, cursor, n):
        return jnp.broadcast_to(self.at, (n, 2)), cursor


POINTS = np.zeros((0, 2), np.float32)


@pytest.fixture(scope="module")
def looked(tiny_config):
    """A GAN with other data to train on than to look at, its state, and what a look shows."""
    train, held_out = Everywhere(jnp.zeros(2)), Everywhere(jnp.array([1.0, -2.0]))
    experiment = Experiment(tiny_config, Data(train=train, held_out=held_out, shape=(2,), density=None))
    state = experiment.init()
    # The averaged generator is another one than that in training.
    state = dataclasses.replace(
        state,
        model=dataclasses.replace(state.model, average=jax.tree.map(lambda leaf: leaf + 0.1, state.model.average)),
    )
    return experiment, state, experiment.snapshot(state, 6, POINTS)


def test_a_look_judges_what_is_held_out(looked):
    experiment, state, (seen, _) = looked
    variables = state.model.discriminator.variables
    said = experiment.method.spec.discriminator.apply(variables, jnp.array([[1.0, -2.0]]), train=False)
    np.testing.assert_allclose(seen.inspected["logits/real"], np.full(LOGITS, float(said[0])), rtol=1e-5)
    assert abs(float(said[0])) > 1e-3  # at 0, the training data, the logit is that of biases, 0


def test_a_look_judges_samples_of_the_averaged_generator(looked):
    experiment, state, (seen, average) = looked
    key = key_for(key_for(state.key, "look"), "samples for the discriminator")
    noise = draw_noise(experiment.method.spec, key_for(key, "noise"), LOGITS)
    fake = experiment.method.spec.generator.apply(state.model.average, noise, train=False)
    said = experiment.method.spec.discriminator.apply(state.model.discriminator.variables, fake, train=False)
    np.testing.assert_allclose(seen.inspected["logits/fake"], said, rtol=1e-4, atol=1e-6)
    for one, other in zip(jax.tree.leaves(average), jax.tree.leaves(state.model.average), strict=True):
        np.testing.assert_array_equal(one, other)


def test_lanes_look_at_what_is_held_out_too(looked):
    experiment, state, (seen, _) = looked
    members = VmappedRuns([experiment])
    own = members.together([jax.tree.map(lambda leaf: leaf, state)])
    shown, _ = members.snapshot(own, 6, [POINTS])[0]()
    np.testing.assert_allclose(shown.inspected["logits/real"], seen.inspected["logits/real"], rtol=1e-5)
    np.testing.assert_allclose(shown.inspected["logits/fake"], seen.inspected["logits/fake"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(shown.samples, seen.samples, rtol=1e-4, atol=1e-6)

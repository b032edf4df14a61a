"""Members of a population that differ in every number are what the same machines are by themselves."""

import dataclasses

import jax
import numpy as np
import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

from ganrun.training.vmapped import VmappedRuns

WORDS = ("method=rbm", "dataset=digits", "method.hidden=6", "method.sample_steps=10", "batch_size=16", "steps=100")


def other(option, i):
    """The settings of member i: other numbers of transitions, which rise in the last member, and weight decays."""
    return dataclasses.replace(
        option, gibbs_steps=(1, 2, 99)[i], first_gibbs_steps=(None, None, 1)[i], weight_decay=0.01 * i
    )


@pytest.mark.parametrize("chains", ["persistent", "cd"])
def test_members_of_a_population_are_what_the_runs_are_by_themselves(chains, compose_config):
    config = compose_config((*WORDS, f"method.chains={chains}"))
    found = assert_members_equal_runs(variants(config, 3, method=other))
    assert all(("model/stats/chains" in member) == (chains == "persistent") for member in found)
    assert_all_differ(found, "weights")


def test_members_have_the_normaliser_and_the_densities_of_the_runs(compose_config):
    # What a metric computes for one member: the variables of the member, apart from the others.
    population = VmappedRuns(
        variants(compose_config((*WORDS, "method.ais_chains=3", "method.ais_steps=4")), 2, method=other)
    )
    state = population.init()
    for experiment, member in zip(population.experiments, population.apart(state), strict=True):
        variables = experiment.with_normaliser(experiment.variables(member), jax.random.key(0))
        assert experiment.with_normaliser(variables, jax.random.key(1)) is variables
        found = experiment.log_density(variables, jax.random.key(2), np.zeros((3, 8, 8, 1), np.float32))
        # Small weights: almost all of the 2^64 images are equally likely.
        np.testing.assert_allclose(found["log_likelihood"], -64 * np.log(2), atol=1.0)
        np.testing.assert_allclose(found["log_likelihood_ais"], found["log_likelihood"], atol=0.05)

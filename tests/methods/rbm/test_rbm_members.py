"""Members of a population that differ in every number are what the same machines are by themselves."""

import dataclasses

import jax
import numpy as np
import pytest

from ganrun import datasets
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import flatten
from ganrun.training.executor import SingleRun
from ganrun.training.vmapped import VmappedRuns

WORDS = ("method=rbm", "dataset=digits", "method.hidden=6", "method.sample_steps=10", "batch_size=16", "steps=100")
STEPS = 3


def members(config, n):
    """Experiments of one program: other seeds, learning rates, numbers of transitions and decays of the average."""
    data = datasets.load(config.dataset, None, config.seed)
    rule = config.optimizer.generator
    for i in range(n):
        optimizer = dataclasses.replace(rule, learning_rate=0.01 + 0.01 * i, momentum=0.1 * i)
        own = dataclasses.replace(
            config,
            seed=3 + i,
            method=dataclasses.replace(config.method, gibbs_steps=1 + i, weight_decay=0.01 * i),
            optimizer=dataclasses.replace(config.optimizer, generator=optimizer),
            ema=dataclasses.replace(config.ema, decay=0.05 * i),
        )
        yield Experiment(own, datasets.reordered(data, own.seed))


@pytest.mark.parametrize("chains", ["persistent", "cd"])
def test_members_of_a_population_are_what_the_runs_are_by_themselves(chains, compose_config):
    population = VmappedRuns(list(members(compose_config((*WORDS, f"method.chains={chains}")), 3)))
    state, report = population.advance(population.init(), STEPS)
    together = [flatten(member) for member in population.apart(state)]
    shown = [fetch() for fetch in population.snapshot(state, 4, [np.zeros((0, 1), np.float32)] * 3)]
    for i, experiment in enumerate(population.experiments):
        alone = SingleRun(experiment)
        own_state, own = alone.advance(alone.init(), STEPS)
        ((samples, _),) = [fetch() for fetch in alone.snapshot(own_state, 4, [np.zeros((0, 1), np.float32)])]
        np.testing.assert_allclose(report.means[i], own.means, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(shown[i][0].samples, samples.samples, rtol=2e-3, atol=2e-4)
        arrays = flatten(own_state)
        assert together[i].keys() == arrays.keys() and ("model/stats/chains" in arrays) == (chains == "persistent")
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(together[i][name], array, rtol=2e-4, atol=2e-5, err_msg=name)
            else:  # keys, counters and cursors are exact
                np.testing.assert_array_equal(together[i][name], array, err_msg=name)
    assert len({member["model/params/weights"].tobytes() for member in together}) == 3


def test_members_have_the_normaliser_and_the_densities_of_the_runs(compose_config):
    # What a metric computes for one member: the variables of the member, apart from the others.
    population = VmappedRuns(list(members(compose_config((*WORDS, "method.ais_chains=3", "method.ais_steps=4")), 2)))
    state = population.init()
    for experiment, member in zip(population.experiments, population.apart(state), strict=True):
        variables = experiment.with_normaliser(experiment.variables(member), jax.random.key(0))
        assert experiment.with_normaliser(variables, jax.random.key(1)) is variables
        found = experiment.log_density(variables, jax.random.key(2), np.zeros((3, 8, 8, 1), np.float32))
        # Small weights: almost all of the 2^64 images are equally likely.
        np.testing.assert_allclose(found["log_likelihood"], -64 * np.log(2), atol=1.0)
        np.testing.assert_allclose(found["log_likelihood_ais"], found["log_likelihood"], atol=0.05)

"""Members of a population that differ in every number are what the same VAEs are by themselves."""

import dataclasses

import numpy as np
import pytest

from ganrun import datasets
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import flatten
from ganrun.training.executor import SingleRun
from ganrun.training.vmapped import VmappedRuns

WORDS = ("method=vae", "optimizer=sgd", "architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]")
SMALL = ("batch_size=16", "latent.dim=2", "method.importance_samples=3", "steps=100")
STEPS = 3


def members(config, n):
    """Experiments of one program: other seeds, learning rates and decays of the average."""
    data = datasets.load(config.dataset, None, config.seed)
    rule = config.optimizer.generator
    for i in range(n):
        optimizer = dataclasses.replace(rule, learning_rate=0.01 + 0.01 * i, momentum=0.1 * i)
        own = dataclasses.replace(
            config,
            seed=3 + i,
            optimizer=dataclasses.replace(config.optimizer, generator=optimizer),
            ema=dataclasses.replace(config.ema, decay=0.05 * i),
        )
        yield Experiment(own, datasets.reordered(data, own.seed))


@pytest.mark.parametrize("dataset", ["digits", "ring"])
def test_members_of_a_population_are_what_the_runs_are_by_themselves(dataset, compose_config):
    population = VmappedRuns(list(members(compose_config((*WORDS, *SMALL, f"dataset={dataset}")), 3)))
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
        assert together[i].keys() == arrays.keys() and len(arrays) > 20
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(together[i][name], array, rtol=2e-4, atol=2e-5, err_msg=name)
            else:  # keys, counters and cursors are exact
                np.testing.assert_array_equal(together[i][name], array, err_msg=name)
    kernel = "model/params/networks/encoder/Dense_0/kernel"
    assert len({member[kernel].tobytes() for member in together}) == 3

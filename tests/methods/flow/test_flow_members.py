"""Members of a population that differ in every number are what the same flows are by themselves."""

import dataclasses

import numpy as np
import pytest

from ganrun import datasets
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import flatten
from ganrun.training.executor import SingleRun
from ganrun.training.vmapped import VmappedRuns

RUNS = {
    "digits": ("dataset=digits", "architecture=realnvp", "architecture.width=3", "architecture.couplings=2"),
    "ring": ("dataset=ring", "architecture.hidden=[6]", "architecture.couplings=2", "conditional=true"),
}
SMALL = ("method=flow", "optimizer=sgd", "batch_size=16", "steps=100")
STEPS = 3


def members(config, n):
    """Experiments of one program: other seeds, learning rates and decays of the average."""
    data = datasets.load(config.dataset, None, config.seed)
    rule = config.optimizer.generator
    for i in range(n):
        optimizer = dataclasses.replace(rule, learning_rate=1e-3 + 1e-3 * i, momentum=0.1 * i)
        own = dataclasses.replace(
            config,
            seed=3 + i,
            optimizer=dataclasses.replace(config.optimizer, generator=optimizer),
            ema=dataclasses.replace(config.ema, decay=0.05 * i),
        )
        yield Experiment(own, datasets.reordered(data, own.seed))


@pytest.mark.parametrize("name", RUNS)
def test_members_of_a_population_are_what_the_runs_are_by_themselves(name, compose_config):
    population = VmappedRuns(list(members(compose_config((*SMALL, *RUNS[name])), 2)))
    state, report = population.advance(population.init(), STEPS)
    together = [flatten(member) for member in population.apart(state)]
    shown = [fetch() for fetch in population.snapshot(state, 4, [np.zeros((0, 1), np.float32)] * 2)]
    for i, experiment in enumerate(population.experiments):
        alone = SingleRun(experiment)
        own_state, own = alone.advance(alone.init(), STEPS)
        ((samples, _),) = [fetch() for fetch in alone.snapshot(own_state, 4, [np.zeros((0, 1), np.float32)])]
        np.testing.assert_allclose(report.means[i], own.means, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(shown[i][0].samples, samples.samples, rtol=2e-3, atol=1e-3)
        arrays = flatten(own_state)
        assert together[i].keys() == arrays.keys() and len(arrays) > 20
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(together[i][name], array, rtol=5e-4, atol=5e-5, err_msg=name)
            else:  # keys, counters and cursors are exact
                np.testing.assert_array_equal(together[i][name], array, err_msg=name)
    kernels = [name for name in together[0] if name.startswith("model/params") and name.endswith("kernel")]
    assert kernels and all(together[0][name].tobytes() != together[1][name].tobytes() for name in kernels)

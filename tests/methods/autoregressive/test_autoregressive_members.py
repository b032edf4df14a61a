"""Members of a population that differ in every number are what the same autoregressive models are by themselves."""

import dataclasses

import numpy as np
import pytest

from ganrun import datasets
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import flatten
from ganrun.training.executor import SingleRun
from ganrun.training.vmapped import VmappedRuns

WORDS = ("method=autoregressive", "optimizer=sgd", "batch_size=16", "steps=100")
CASES = {
    "made of 2 orders": ("dataset=digits", "architecture.hidden=[8]", "architecture.orders=2"),
    "pixelcnn of classes": (
        "dataset=digits",
        "architecture=pixelcnn",
        "architecture.features=4",
        "architecture.layers=1",
        "conditional=true",
    ),
    "fvsbn of vectors": ("dataset=ring", "architecture=fvsbn"),
}
STEPS = 3


def members(config, n):
    """Experiments of one program: other seeds, learning rates and decays of the average."""
    data = datasets.load(config.dataset, None, config.seed, labels=config.conditional)
    rule = config.optimizer.generator
    for i in range(n):
        optimizer = dataclasses.replace(rule, learning_rate=0.001 + 0.001 * i, momentum=0.1 * i)
        own = dataclasses.replace(
            config,
            seed=3 + i,
            optimizer=dataclasses.replace(config.optimizer, generator=optimizer),
            ema=dataclasses.replace(config.ema, decay=0.05 * i),
        )
        yield Experiment(own, datasets.reordered(data, own.seed))


@pytest.mark.parametrize("name", CASES)
def test_members_of_a_population_are_what_the_runs_are_by_themselves(name, compose_config):
    population = VmappedRuns(list(members(compose_config((*WORDS, *CASES[name])), 3)))
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
        assert together[i].keys() == arrays.keys() and len(arrays) > 10
        for key, array in arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(together[i][key], array, rtol=2e-4, atol=2e-5, err_msg=key)
            else:  # keys, counters and cursors are exact
                np.testing.assert_array_equal(together[i][key], array, err_msg=key)
    kernel = next(key for key in together[0] if key.endswith(("output_kernel", "direct_kernel")))
    assert len({member[kernel].tobytes() for member in together}) == 3

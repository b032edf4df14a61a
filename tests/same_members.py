"""Members of a population of a method with one loss, which differ in every number, beside the same runs alone."""

import dataclasses

import numpy as np

from ganrun import datasets
from ganrun.methods.experiment import Experiment
from ganrun.storage.state_arrays import flatten
from ganrun.training.executor import SingleRun
from ganrun.training.vmapped import VmappedRuns

STEPS = 3
NO_POINTS = np.zeros((0, 1), np.float32)  # at which a snapshot shows a field


def variants(config, n, rate=0.01, method=lambda option, i: option):
    """Return experiments of one program: other seeds, learning rates (multiples of ``rate``) and decays of the average.

    ``method`` returns the method's option of member i.
    """
    data = datasets.load(config.dataset, None, config.seed, labels=config.conditional)
    rule = config.optimizer.generator
    found = []
    for i in range(n):
        optimizer = dataclasses.replace(rule, learning_rate=rate * (1 + i), momentum=0.1 * i)
        own = dataclasses.replace(
            config,
            seed=3 + i,
            method=method(config.method, i),
            optimizer=dataclasses.replace(config.optimizer, generator=optimizer),
            ema=dataclasses.replace(config.ema, decay=0.05 * i),
        )
        found.append(Experiment(own, datasets.reordered(data, own.seed)))
    return found


def assert_members_equal_runs(experiments, rtol=2e-4, atol=2e-5, of_metrics=None, of_samples=2e-4, least=10):
    """Check that the members are what the runs are alone after some steps; return the arrays of each member by name.

    States of more than ``least`` arrays agree to ``rtol`` and ``atol``, metrics to ``of_metrics`` (the same unless
    given), samples to an absolute ``of_samples``; what is not a float agrees exactly.
    """
    metrics_rtol, metrics_atol = of_metrics or (rtol, atol)
    population = VmappedRuns(experiments)
    state, report = population.advance(population.init(), STEPS)
    together = [flatten(member) for member in population.apart(state)]
    shown = [fetch() for fetch in population.snapshot(state, 4, [NO_POINTS] * len(experiments))]
    for i, experiment in enumerate(population.experiments):
        alone = SingleRun(experiment)
        own_state, own = alone.advance(alone.init(), STEPS)
        ((samples, _),) = [fetch() for fetch in alone.snapshot(own_state, 4, [NO_POINTS])]
        np.testing.assert_allclose(report.means[i], own.means, rtol=metrics_rtol, atol=metrics_atol)
        np.testing.assert_allclose(shown[i][0].samples, samples.samples, rtol=2e-3, atol=of_samples)
        arrays = flatten(own_state)
        assert together[i].keys() == arrays.keys() and len(arrays) > least
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(together[i][name], array, rtol=rtol, atol=atol, err_msg=name)
            else:  # keys, counters and cursors
                np.testing.assert_array_equal(together[i][name], array, err_msg=name)
    return together


def assert_all_differ(together, ending):
    """Check that the arrays whose names end in ``ending`` are there and differ between all members."""
    names = [name for name in together[0] if name.startswith("model/params") and name.endswith(ending)]
    assert names
    for name in names:
        assert len({member[name].tobytes() for member in together}) == len(together), name

"""Populations whose runs differ in every number, and the comparison of their members with the same runs trained alone.

Members and single runs are different programs, so their sums round differently. Parameters are compared under gradient
descent, which does not amplify rounding errors. Adam divides a gradient by its magnitude, so that rounding errors of a
gradient near zero become full steps: with Adam, only the metrics of the first step are compared.
"""

import dataclasses
import re
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ganrun import datasets
from ganrun.config import registry
from ganrun.methods.experiment import Experiment, _advance
from ganrun.storage.state_arrays import flatten
from ganrun.training import vmapped
from ganrun.training.executor import SingleRun

STEPS = 3
SMALL = ("batch_size=16", "probe=off", "log.every=50", "steps=100")
DIGITS = ("dataset=digits", "latent.dim=4", "optimizer=sgd")
POINT = ("dataset=dirac", "optimizer=sgd")


def shaken(option, i):
    """``option`` with all traced numbers changed, to other values for every member ``i``."""
    hparams = {name: value for name, value in registry.traced(option).items() if isinstance(value, float)}
    return dataclasses.replace(option, **{name: 0.05 * i + value * (1 - 0.1 * i) for name, value in hparams.items()})


def with_k(schedule, k):
    """``schedule`` with another k, of all of its pieces where it has some."""
    return dataclasses.replace(schedule, k=(k,) * len(schedule.k) if isinstance(schedule.k, tuple) else k)


def variants(config, n):
    """``n`` configs of one program: other seeds, other numbers in every part, another k."""
    members = []
    for i in range(n):
        optimizers = {player: shaken(getattr(config.optimizer, player), i) for player in ("generator", "discriminator")}
        members.append(
            dataclasses.replace(
                config,
                seed=config.seed + 17 * i + 3,
                loss=shaken(config.loss, i),
                penalty=tuple(shaken(one, i) for one in config.penalty),
                schedule=with_k(config.schedule, 1 + i % 3),
                optimizer=dataclasses.replace(config.optimizer, **optimizers),
                ema=shaken(config.ema, i),
            )
        )
    return members


def gans_of(configs):
    """As a sweep builds them: what is finite is on the device once."""
    data = [datasets.load(config.dataset, Path("unused"), config.seed) for config in configs]
    if data[0].density is None:
        data = [datasets.reordered(data[0], config.seed) for config in configs]
    return [Experiment(config, one) for config, one in zip(configs, data, strict=True)]


def begun(gan):
    """The run's state before its first step, computed operation by operation: no program is compiled for it.

    Only for the networks of two layers: others have so many operations that one program is compiled sooner.
    """
    with jax.disable_jit():
        state = gan.init()
    return jax.tree.map(jnp.copy, state)  # without a program, what is equal may be one array, which is consumed once


def begun_alone(population):
    """The state of ``population``, assembled from the states of single runs."""
    return population.together([begun(gan) for gan in population.experiments])


def played(one, steps, start=None):
    """The states of all runs of an executor after ``steps`` steps, and the executor's report."""
    state, report = one.advance(one.init() if start is None else start, steps)
    return [flatten(member) for member in one.apart(state)], report


def assert_close(member, alone, rtol=2e-4, atol=2e-5):
    assert member.keys() == alone.keys() and len(member) > 20
    for name, array in member.items():
        assert array.dtype == alone[name].dtype and array.shape == alone[name].shape, name
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, alone[name], rtol, atol, err_msg=name)
        else:  # keys, counters and cursors are exact
            np.testing.assert_array_equal(array, alone[name], err_msg=name)


def assert_members_equal_single_runs(population, steps=STEPS, start=None):
    """Check that members and single runs agree after ``steps`` steps and are finite; return the members' arrays.

    Without a ``start``, each initialises its own state, which must then agree, too.
    """
    begins = [None] * len(population.experiments)
    if start is not None:
        begins = [jax.tree.map(jnp.asarray, one) for one in population.apart(start)]
    members, report = played(population, steps, start)
    for i, (gan, begin) in enumerate(zip(population.experiments, begins, strict=True)):
        (alone,), own = played(SingleRun(gan), steps, begin)
        assert_close(members[i], alone)
        np.testing.assert_allclose(report.means[i], own.means, 2e-4, 2e-5)
        assert (int(report.bad_step[i]), int(own.bad_step)) == (0, 0)
        assert np.all(np.isfinite(own.means))
        assert int(members[i]["step"]) == int(alone["step"]) == steps
    return members


def branches(gan):
    """Count the branches and loops in the run's program, from which ``vmap`` makes that of members."""
    program = _advance.trace(gan.method, gan.abstract(), gan.data.train, gan.data.held_out, jnp.int32(1))
    return Counter(re.findall(r"= (cond|while|scan)\[", str(program.jaxpr)))


def assert_traces_as_members(population):
    """Check that the program of members can be traced, has a run's shapes for each, and nothing that ``vmap`` changes.

    For each member, ``vmap`` computes the same as a single run, except for callbacks, and for branches, of which
    members compute both (see :func:`branches`). It would make convolutions slow.
    """
    first, start, n = population.experiments[0], jax.eval_shape(population.init), jnp.int32(1)
    owns, sources = (population._train_own, population._held_out_own), (population._train, population._held_out)
    traced = vmapped._advance.trace(population._method, *owns, start, *sources, n)
    stacked = jax.tree.map(lambda leaf: ((len(population.experiments), *leaf.shape), leaf.dtype), first.abstract())
    for state in (start, traced.out_info[0]):
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == stacked
    assert not re.search("callback|conv_general_dilated", str(traced.jaxpr))


def assert_all_differ(members, part):
    """Check that no two members are equal, as otherwise the comparison with single runs would be weak."""
    kernels = [
        member[name] for member in members for name in member if name.startswith(part) and name.endswith("kernel")
    ]
    assert len(kernels) >= len(members)
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)

"""What training needs is known before its first step; a run that cannot fit is refused, and populations are cut."""

from __future__ import annotations

import jax
import pytest
from jax import monitoring
from narrow import NARROW

from ganrun.storage.checkpoints import WAITING
from ganrun.training.build import build
from ganrun.training.executor import SingleRun, executor_for
from ganrun.training.memory_forecast import LIBRARIES, MemoryForecast, memory_forecast

MIB, GIB = 1 << 20, 1 << 30
WIDE = ("architecture.generator_hidden=[2048,2048]", "architecture.discriminator_hidden=[2048,2048]")
QUIET = ("log.pictures=0", "probe=off", "steps=2", "log.every=2", "batch_size=16")


def test_the_peak_is_what_is_used_and_what_comes_on_top():
    found = MemoryForecast(members=3, used=500 * MIB, fixed=100 * MIB, per_run=20 * MIB, free=GIB)
    assert (found.more, found.peak) == (160 * MIB, 660 * MIB)
    assert found.line() == "memory: about 660 MiB at the peak, of 1.49 GiB that may be used"


def test_a_peak_before_the_first_step_counts_too():
    assert MemoryForecast(1, used=500 * MIB, fixed=0, per_run=MIB, free=GIB, before=700 * MIB).peak == 700 * MIB


@pytest.mark.parametrize(
    ("free", "fitting"),
    [
        (1000 * MIB, 4),  # more would fit, and there are four
        (200 * MIB, 3),  # 0.8 x 200 - 100 = 60
        (150 * MIB, 1),  # 0.8 x 150 - 100 = 20
        (149 * MIB, 0),
        (0, 0),
    ],
)
def test_as_many_runs_fit_as_the_free_memory_has_room_for(free, fitting):
    assert MemoryForecast(members=4, used=0, fixed=100 * MIB, per_run=20 * MIB, free=free).fitting == fitting


@pytest.mark.retraced
def test_the_programs_that_are_measured_are_those_that_train(tiny_config):
    experiment = build(tiny_config)
    compiled = []
    monitoring.register_event_duration_secs_listener(lambda event, duration_secs, **_: compiled.append(event))
    jax.clear_caches()
    memory_forecast(SingleRun(experiment), tiny_config)
    before = sum(name.endswith("backend_compile_duration") for name in compiled)
    state = experiment.init()
    started = sum(name.endswith("backend_compile_duration") for name in compiled)
    experiment.advance(state, 1)
    assert 2 <= before < started  # the initial state is another program
    assert sum(name.endswith("backend_compile_duration") for name in compiled) == started


def test_a_wider_network_needs_more(compose_config):
    few = (*NARROW["mlp"], *QUIET)
    narrow, wide = (compose_config(words) for words in (few, (*QUIET, *WIDE)))
    found = [memory_forecast(SingleRun(build(config)), config) for config in (narrow, wide)]
    weights = 4 * (2048 * 2048)  # of a hidden layer, in bytes: two networks, of each two moments and an average
    assert found[1].per_run - found[0].per_run > 6 * weights
    assert found[0].per_run < 4 * MIB


def test_the_checkpoints_of_a_population_that_wait_to_be_written_take_a_limited_part(compose_config):
    built = [build(compose_config((*QUIET, *WIDE, f"seed={seed}"))) for seed in range(3)]
    state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(built[0].abstract()))
    assert 3 * state > WAITING  # they do not all wait at once
    found = [memory_forecast(executor_for(runs), compose_config((*QUIET, *WIDE))) for runs in (built[:1], built)]
    assert state <= found[0].fixed - LIBRARIES < 2 * state
    assert max(WAITING, state) <= found[1].fixed - LIBRARIES < max(WAITING, state) + state

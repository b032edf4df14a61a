"""Every option of every group trains, in single runs and as members of a population, with the same numbers.

For each option, the program of a single run is compiled and checked. That of members is compiled for representative
options, and traced for all: ``vmap`` changes only loops and branches.
"""

import dataclasses

import numpy as np
import pytest
from narrow import NARROW, narrow
from populations import (
    DIGITS,
    POINT,
    SMALL,
    STEPS,
    assert_all_differ,
    assert_close,
    assert_members_equal_single_runs,
    assert_traces_as_members,
    begun,
    begun_alone,
    branches,
    gans_of,
    played,
    variants,
)

from ganrun.config import registry
from ganrun.config.hydra_bridge import config_folder
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import build
from ganrun.training.executor import SingleRun
from ganrun.training.vmapped import VmappedRuns

GROUPS = [path for path in config_folder().iterdir() if path.is_dir()]
CHOICES = {group.name: sorted(path.stem for path in group.glob("*.yaml")) for group in GROUPS}
OFFLINE = ("ring", "grid", "gaussian", "mixture1d", "dirac", "digits")
PUBLISHED = ("mnist", "fashion_mnist", "kmnist", "emnist", "cifar10", "cifar100", "stacked_mnist")
DOWNLOADED = tuple(f"dataset={name}" for name in PUBLISHED)
# Read from the user's files: stepped in tests/datasets.
OWN = ("dataset=folder", "dataset=zip", "dataset=array", "dataset=huggingface")
PLAIN = (*NARROW["mlp"], *SMALL, "optimizer=sgd")
SLOW = tuple(f"optimizer.{player}.learning_rate=0.01" for player in ("generator", "discriminator"))
# From seed 0 a point of these penalties lies where a unit's slope jumps, and rounding decides on which side.
SEEDS = {"dragan": ("seed=1",), "gradient_penalty": ("seed=1",)}
SCHEDULES = {"adaptive": ("schedule.tolerance=1e-3",), "to_optimum": ("schedule.tolerance=1e-3",)}
ALONE = [f"dataset={name}" for name in OFFLINE] + [f"probe={name}" for name in CHOICES["probe"]]


# The options whose members are compared number by number: those whose step has more than another gradient of a scalar.
COMPARED = {
    "loss": ("nonsaturating", "cramer", "feature_matching", "relativistic_average"),
    "penalty": ("consensus", "dragan", "gradient_penalty", "spectral_normalisation", "weight_clipping"),
    "schedule": ("adaptive", "constant", "piecewise"),
}
VARIATIONS = ("inputs.packing=2", "generator_update.unrolled=2", "generator_update.top_k=0.5", "conditional=true")
VARIATIONS += ("generator_update.normalised=true", "inference=bigan", "architecture.minibatch=discrimination")
LIKE_THEM = ("inputs.noise=0.1", "inputs.label_flipping=0.1", "architecture.minibatch=stddev")


def members_of(compose_config, *words):
    return VmappedRuns(gans_of(variants(compose_config(words), 3)))


@pytest.fixture(scope="module")
def base(compose_config):
    """A run with default settings."""
    return gans_of([compose_config(PLAIN)])[0]


def assert_trains_and_traces_as_members(population, base):
    """Check that every run of ``population`` trains alone, and that its members compute the same."""
    assert_traces_as_members(population)
    assert branches(population.experiments[0]) == branches(base), "it branches: compare its members number by number"
    for gan in population.experiments:
        (alone,), report = played(SingleRun(gan), STEPS, begun(gan))
        assert (int(alone["step"]), int(report.bad_step)) == (STEPS, 0)
        assert np.all(np.isfinite(report.means))


def others(group):
    return [name for name in CHOICES[group] if name not in COMPARED[group]]


@pytest.mark.parametrize("loss", COMPARED["loss"])
def test_members_with_each_loss_equal_single_runs(loss, compose_config):
    population = members_of(compose_config, *PLAIN, f"loss={loss}")
    found = assert_members_equal_single_runs(population, start=begun_alone(population))
    assert_all_differ(found, "model/generator/params")
    assert_all_differ(found, "model/discriminator/params")


@pytest.mark.parametrize(
    "architecture", [name for name, option in registry.options("architecture").items() if hasattr(option, "build")]
)
def test_members_of_each_architecture_equal_single_runs(architecture, compose_config):
    data = POINT if architecture == "dirac" else DIGITS
    words = (*data, f"architecture={architecture}", *NARROW[architecture], *SMALL)
    found = assert_members_equal_single_runs(members_of(compose_config, *words))
    # Every member is at its own position of its own order: k = 1, 2, 3 minibatches of 16 a step. A point has no order.
    assert [int(member["cursor/offset"]) for member in found] == ([0, 0, 0] if data == POINT else [48, 96, 144])


@pytest.mark.parametrize("penalty", COMPARED["penalty"])
def test_members_with_each_penalty_equal_single_runs(penalty, compose_config):
    population = members_of(compose_config, *PLAIN, *SLOW, *SEEDS.get(penalty, ()), f"penalty={penalty}")
    assert_all_differ(
        assert_members_equal_single_runs(population, start=begun_alone(population)), "model/discriminator/params"
    )


@pytest.mark.parametrize("schedule", COMPARED["schedule"])
def test_members_with_each_schedule_equal_single_runs(schedule, compose_config):
    words = (*PLAIN, f"schedule={schedule}", "schedule.order=simultaneous", *SCHEDULES.get(schedule, ()))
    population = members_of(compose_config, *words)
    assert_all_differ(
        assert_members_equal_single_runs(population, start=begun_alone(population)), "model/generator/params"
    )


@pytest.mark.parametrize("word", VARIATIONS)
def test_members_with_each_variation_equal_single_runs(word, compose_config):
    population = members_of(compose_config, *PLAIN, word)
    assert_all_differ(
        assert_members_equal_single_runs(population, start=begun_alone(population)), "model/generator/params"
    )


@pytest.mark.parametrize("word", [f"{group}={name}" for group in COMPARED for name in others(group)] + list(LIKE_THEM))
def test_every_other_option_trains_and_its_members_compute_the_same(word, base, compose_config):
    slow = SLOW if word.startswith("penalty=") else ()
    words = SCHEDULES.get(word.removeprefix("schedule="), ())
    assert_trains_and_traces_as_members(members_of(compose_config, *PLAIN, *slow, word, *words), base)


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_the_first_step_of_members_of_every_optimizer_reports_what_single_runs_report(optimizer, compose_config):
    config = compose_config([*NARROW["mlp"], *SMALL, f"optimizer={optimizer}"])
    # One update of D each: further ones would start from what Adam makes of rounding noise.
    gans = gans_of([dataclasses.replace(one, schedule=config.schedule) for one in variants(config, 3)])
    population = VmappedRuns(gans)
    found, report = played(population, 1, begun_alone(population))
    for i, gan in enumerate(gans):
        (alone,), own = played(SingleRun(gan), 1, begun(gan))
        np.testing.assert_allclose(found[i]["accumulator/sums"], alone["accumulator/sums"], 1e-3, 1e-4)
        np.testing.assert_allclose(report.means[i], own.means, 1e-3, 1e-4)
        assert (int(alone["step"]), int(own.bad_step)) == (1, 0) and np.all(np.isfinite(own.means))


@pytest.mark.parametrize("choice", ALONE)
def test_every_other_yaml_takes_a_step(choice, compose_config):
    architecture = ("architecture=dirac",) if choice == "dataset=dirac" else NARROW["mlp"]
    config = compose_config([choice, *architecture])
    method = build(dataclasses.replace(config, batch_size=16))
    state, report = method.advance(method.init(), 1)
    assert (int(state.step), int(report.bad_step)) == (1, 0)
    assert np.all(np.isfinite(report.means))


def test_the_yamls_that_no_test_of_this_file_steps_are_those_of_images_in_files():
    here = {"loss", "architecture", "penalty", "schedule", "optimizer", "experiment"}
    here |= {"method", "metric"}  # stepped and measured in tests/methods and tests/evaluation
    rest = {f"{group}={name}" for group, names in CHOICES.items() for name in names if group not in here}
    assert rest - set(ALONE) == {*DOWNLOADED, *OWN}
    for group in here - {"experiment"}:
        assert set(registry.options(group)) <= set(CHOICES[group])


PRESETS = [f"experiment={name}" for name in CHOICES["experiment"]]
# What no test above has together: normalised kernels around convolutions, two penalties around a network of groups.
TOGETHER = ("experiment=sngan", "experiment=r3gan")


@pytest.mark.parametrize("choice", [*PRESETS, *DOWNLOADED])
def test_every_preset_takes_a_step_alone_and_as_a_member_those_for_downloaded_images_on_digits(choice, compose_config):
    config = compose_config([choice, *narrow(compose_config([choice]))])
    dataset = config.dataset if config.dataset.name in OFFLINE else registry.lookup("dataset", "digits")()
    config = dataclasses.replace(config, batch_size=8, dataset=dataset)
    methods = [build(dataclasses.replace(config, seed=seed)) for seed in (0, 1)]
    state, report = methods[0].advance(methods[0].init(), 1)
    assert (int(state.step), int(report.bad_step)) == (1, 0)
    assert np.all(np.isfinite(report.means))
    members = VmappedRuns(methods)
    assert_traces_as_members(members)
    if choice in TOGETHER:
        states, reports = members.advance(members.together([method.init() for method in methods]), 1)
        assert (states.step.tolist(), reports.bad_step.tolist()) == ([1, 1], [0, 0])
        np.testing.assert_allclose(reports.means[0], report.means, 5e-4, 5e-5)


def test_the_compiled_start_is_the_one_computed_operation_by_operation(tiny_ring):
    assert_close(flatten(tiny_ring.init()), flatten(begun(tiny_ring)), rtol=1e-5, atol=1e-6)

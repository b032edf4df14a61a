"""Members and shards of one program: they equal single runs, and a failure does not affect the other members."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options
from narrow import NARROW
from populations import (
    DIGITS,
    SMALL,
    STEPS,
    assert_all_differ,
    assert_close,
    assert_members_equal_single_runs,
    begun_alone,
    gans_of,
    played,
    variants,
)

from ganrun import datasets
from ganrun.config.settings import Optimizer
from ganrun.datasets import Data
from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.datasets.synthetic import mixture
from ganrun.methods.experiment import Experiment
from ganrun.methods.gan.gan import Gan
from ganrun.methods.gan.spec import gan_spec
from ganrun.optimizers import Adam
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.state_arrays import flatten
from ganrun.training import vmapped
from ganrun.training.build import build
from ganrun.training.executor import ShardedRuns, SingleRun, executor_for
from ganrun.training.vmapped import VmappedRuns, stack_sources

POINTS = np.array([[0.5, 0.0], [-1.0, 1.0], [2.0, 2.0]], np.float32)


@pytest.fixture(scope="module")
def base(compose_config):
    return compose_config([*NARROW["mlp"], *SMALL, "optimizer=sgd", "latent.dim=2"])


@pytest.fixture(scope="module")
def three(base):
    return gans_of(variants(base, 3))


@pytest.fixture(scope="module")
def members(three):
    return VmappedRuns(three)


@pytest.fixture(scope="module")
def shards(three):
    return ShardedRuns(three, 2)


@pytest.fixture(params=["members", "shards"])
def population(request):
    """Three runs of the base config in either form; ``shards`` are two parts of two members, the last one spare."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("asked", "form"), [("auto", "matmul"), ("matmul", "matmul"), ("xla", "xla")])
def test_convolutions_left_open_are_matrix_products_in_members(asked, form, compose_config):
    words = (*DIGITS, "architecture=dcgan", *NARROW["dcgan"], *SMALL, f"architecture.convolution={asked}")
    spec = Gan(gan_spec(compose_config(words), (8, 8, 1)), (8, 8, 1)).for_population().spec
    assert (spec.generator.form, spec.discriminator.form) == (form, form)


def test_each_member_has_its_own_learning_rate(base):
    rates = (0.0, 0.1, 0.2)
    gans = gans_of([slower(base, rate) for rate in rates])
    population = VmappedRuns(gans)
    start = begun_alone(population)
    before = [flatten(member) for member in population.apart(start)]
    after, _ = played(population, 1, start)
    name = "model/generator/params/Dense_0/kernel"
    moves = [member[name] - old[name] for member, old in zip(after, before, strict=True)]
    assert np.all(moves[0] == 0) and np.any(moves[1] != 0)
    # One seed, one D at rest: the gradient is the same, and descent goes along it as far as the rate says.
    np.testing.assert_allclose(moves[2], 2 * moves[1], rtol=1e-3, atol=1e-7)


def slower(config, rate):
    """With this rate for G, and none for D."""
    rules = {"generator": rate, "discriminator": 0.0}
    optimizers = {
        player: dataclasses.replace(getattr(config.optimizer, player), learning_rate=rate, minimum_rate=0.0)
        for player, rate in rules.items()
    }
    return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **optimizers))


def test_shards_of_an_odd_number_of_members_equal_single_runs(shards):
    # Two parts of two: the second has the last member twice, so that both run one program.
    assert [member.shape for member in (part.step for part in shards.init())] == [(2,), (2,)]
    state, report = shards.advance(shards.init(), 1)
    assert len(shards.apart(state)) == len(report.bad_step) == len(report.means) == 3
    assert_members_equal_single_runs(shards)


def test_shards_of_an_even_number_of_members_equal_one_program(base):
    gans = gans_of(variants(base, 4))
    parts, whole = ShardedRuns(gans, 2), VmappedRuns(gans)
    found, report = played(parts, STEPS, begun_alone(parts))
    wanted, told = played(whole, STEPS, begun_alone(whole))
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)
    np.testing.assert_allclose(report.means, told.means, 2e-4, 2e-5)


def test_an_executor_of_more_parts_than_members_has_a_part_for_each_member(three):
    assert len(ShardedRuns(three, 7).init()) == 3


def bits(state):
    return {name: array.tobytes() for name, array in flatten(state).items()}


def test_the_length_of_the_calls_changes_no_bit_of_a_member(three):
    members = VmappedRuns(three, tuple(usual_options().items()))
    state = members.init()
    for n in (1, 0, 4):
        state, _ = members.advance(state, n)
    whole, _ = members.advance(members.init(), 5)
    assert [bits(one) for one in members.apart(state)] == [bits(one) for one in members.apart(whole)]


def test_states_taken_apart_are_those_of_single_runs_and_go_together_again(population, three):
    state, _ = population.advance(population.init(), 2)
    apart = population.apart(state)
    for gan, member in zip(three, apart, strict=True):
        wanted = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), gan.abstract())
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), member) == wanted
    again = population.apart(population.together(apart))
    assert [bits(member) for member in again] == [bits(member) for member in apart]
    # A member continues alone, and the population continues unaffected.
    alone, _ = three[1].advance(jax.tree.map(jnp.asarray, again[1]), 1)
    onward, _ = population.advance(population.together(apart), 1)
    assert_close(flatten(population.apart(onward)[1]), flatten(alone))


def test_a_snapshot_of_members_equals_the_snapshots_of_the_runs(population, three):
    points = [POINTS + i for i in range(3)]
    seen = population.snapshot(population.init(), 6, points)
    for i, gan in enumerate(three):
        (wanted,) = SingleRun(gan).snapshot(gan.init(), 6, [points[i]])
        for one, other in zip(jax.tree.leaves(seen[i]()), jax.tree.leaves(wanted()), strict=True):
            np.testing.assert_allclose(one, other, 1e-4, 1e-5)
    assert seen[0]()[0].samples.shape == (6, 2) and seen[0]()[0].inspected["field"].shape == (3,)


def test_a_snapshot_of_members_uses_held_out_images(compose_config):
    words = (*DIGITS, *NARROW["mlp"], *SMALL)
    gans = gans_of(variants(compose_config(words), 3))
    none = np.zeros((0, 1), np.float32)
    population = VmappedRuns(gans)
    seen = population.snapshot(begun_alone(population), 4, [none] * 3)
    for i, gan in enumerate(gans):
        wanted, _ = gan.snapshot(gan.init(), 4, none)
        np.testing.assert_allclose(seen[i]()[0].inspected["logits/real"], wanted.inspected["logits/real"], 1e-4, 1e-5)
        np.testing.assert_allclose(seen[i]()[0].samples, wanted.samples, 1e-4, 1e-5)


def test_a_snapshot_outlives_the_state(members):
    state = members.init()
    before = flatten(members.apart(state)[2])
    seen = members.snapshot(state, 6, [POINTS] * 3)
    members.advance(state, 2)  # which consumes it
    _, average = seen[2]()
    np.testing.assert_array_equal(average["params"]["Dense_0"]["kernel"], before["model/average/params/Dense_0/kernel"])


def test_images_are_shared_and_every_member_has_its_own_order():
    flat = jnp.arange(40, dtype=jnp.uint8).reshape(10, 4)
    orders = [jnp.array([0, seed], jnp.uint32) for seed in (1, 5, 9)]
    stacked, own = stack_sources([Pixels(flat=flat, order=order, shape=(2, 2, 1)) for order in orders])
    assert own == ("order",)
    assert stacked.flat is flat
    np.testing.assert_array_equal(stacked.order, [[0, 1], [0, 5], [0, 9]])
    assert stacked.shape == (2, 2, 1)


def test_the_densities_of_members_are_stacked():
    parts = [mixture(np.array([[0.0, i], [i, 1.0]]), 0.5 + i) for i in range(3)]
    stacked, own = stack_sources(parts)
    assert set(own) == {"means", "stds", "weights"}
    assert (stacked.means.shape, stacked.stds.shape, stacked.weights.shape) == ((3, 2, 2), (3, 2), (3, 2))
    np.testing.assert_array_equal(stacked.stds, [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]])


def test_another_order_of_the_same_images_copies_none(compose_config):
    option = compose_config([*DIGITS, *NARROW["mlp"], *SMALL]).dataset
    data = datasets.load(option, Path("unused"), 0)
    other = datasets.reordered(data, 8)
    assert other.train.flat is data.train.flat and other.held_out.flat is data.held_out.flat
    fresh = datasets.load(option, Path("unused"), 8)
    for split in ("train", "held_out"):
        key = jax.random.key(0)
        drawn = [getattr(one, split).minibatch(key, Cursor.start(), 50)[0] for one in (data, other, fresh)]
        assert np.array_equal(drawn[1], drawn[2]) and not np.array_equal(drawn[0], drawn[1])


def test_members_may_differ_in_the_density_of_the_data(base):
    rings = [dataclasses.replace(base.dataset, std=std, radius=radius) for std, radius in ((0.02, 2), (5, 2), (1, 9))]
    population = VmappedRuns(gans_of([dataclasses.replace(base, dataset=ring) for ring in rings]))
    found = assert_members_equal_single_runs(population, start=begun_alone(population))
    assert len({member["key"].tobytes() for member in found}) == 1  # so that nothing but the data told them apart
    assert_all_differ(found, "model/discriminator/params")


def test_only_runs_of_one_method_can_be_members(base):
    gans = gans_of([base, dataclasses.replace(base, batch_size=17)])
    with pytest.raises(ValueError, match="same method"):
        VmappedRuns(gans)


@pytest.fixture(scope="module")
def reckless(base):
    """The three runs, but for the second, whose first move of G is so large that nothing after it is finite."""
    configs = variants(base, 3)
    rule = dataclasses.replace(configs[1].optimizer.generator, learning_rate=1e30)
    optimizers = dataclasses.replace(configs[1].optimizer, generator=rule)
    return gans_of([configs[0], dataclasses.replace(configs[1], optimizer=optimizers), configs[2]])


@pytest.mark.parametrize("form", ["members", "shards"])
def test_a_member_that_fails_stays_at_its_bad_step_and_the_others_are_unaffected(form, reckless, request):
    _, own = SingleRun(reckless[1]).advance(reckless[1].init(), 8)
    bad = int(own.bad_step)
    assert bad == 2  # which is the first to see the move
    population = VmappedRuns(reckless) if form == "members" else ShardedRuns(reckless, 2)
    state, report = population.advance(population.init(), bad)
    assert np.asarray(report.bad_step).tolist() == [0, bad, 0]
    assert int(report.bad_tag[1]) == int(own.bad_tag)
    then = bits(population.apart(state)[1])
    state, report = population.advance(state, 8 - bad)
    assert np.asarray(report.bad_step).tolist() == [0, bad, 0]
    found = population.apart(state)
    assert bits(found[1]) == then and int(found[1].step) == bad
    healthy = request.getfixturevalue(form)
    others = healthy.apart(healthy.advance(healthy.init(), 8)[0])
    assert int(others[1].step) == 8
    assert [bits(found[i]) for i in (0, 2)] == [bits(others[i]) for i in (0, 2)]


def test_a_frozen_member_takes_no_step_and_the_others_do(population):
    start = flatten(population.apart(population.init())[1])
    state = population.freeze(population.init(), [False, True, False])
    state, report = population.advance(state, 4)
    found = population.apart(state)
    assert [int(member.step) for member in found] == [4, 0, 4]
    assert [bool(step) for step in np.asarray(report.bad_step)] == [False, True, False]
    still = flatten(found[1])
    assert [name for name in still if still[name].tobytes() != start[name].tobytes()] == ["accumulator/bad_step"]
    free = population.apart(population.advance(population.init(), 4)[0])
    assert [bits(found[i]) for i in (0, 2)] == [bits(free[i]) for i in (0, 2)]


def test_freezing_a_member_that_failed_keeps_its_bad_step(reckless):
    members = VmappedRuns(reckless)
    state, report = members.advance(members.init(), 8)
    bad = int(report.bad_step[1])
    state = members.freeze(state, [False, True, True])
    assert bad == 2 and np.asarray(state.accumulator.bad_step).tolist() == [0, bad, 1]


def test_members_need_the_memory_of_their_states_and_of_the_images_once(compose_config):
    megabytes = 4 << 20
    flat = jnp.zeros((megabytes // 64, 64), jnp.uint8)
    images = [Pixels(flat=flat, order=jnp.full((2,), i, jnp.uint32), shape=(8, 8, 1)) for i in range(3)]
    configs = variants(compose_config([*DIGITS, *NARROW["maxout"], "architecture=maxout", *SMALL]), 3)
    data = [Data(train=one, held_out=one, shape=(8, 8, 1), density=None) for one in images]
    gans = [Experiment(config, one) for config, one in zip(configs, data, strict=True)]
    state = sum(array.nbytes for array in flatten(gans[0].init()).values())
    needed = VmappedRuns(gans).memory(4, [np.zeros((0,), np.float32)] * 3)
    assert megabytes + 3 * state < needed < 2 * megabytes
    # Without snapshots, none is counted: at least its samples, twice.
    unseen = VmappedRuns(gans).memory(0, [np.zeros((0,), np.float32)] * 3)
    assert megabytes + 3 * state < unseen < needed - 2 * 3 * 4 * 64 * 4


def test_solo_is_the_run_itself(three):
    one, gan = SingleRun(three[0]), three[0]
    state, report = one.advance(one.init(), 3)
    wanted, told = gan.advance(gan.init(), 3)
    assert bits(one.apart(state)[0]) == bits(wanted)
    np.testing.assert_array_equal(report.means, told.means)


def test_members_with_other_seeds_and_numbers_start_and_train_with_the_same_programs(base, members):
    members.advance(members.init(), 1)
    before = vmapped._create._cache_size(), vmapped._compiled.cache_info().misses
    others = VmappedRuns(gans_of(variants(dataclasses.replace(base, seed=99), 3)[::-1]))
    _, report = others.advance(others.init(), 1)
    assert (vmapped._create._cache_size(), vmapped._compiled.cache_info().misses) == before
    assert report.means[:, others.experiments[0].method.tags.index("schedule/k")].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("cores", "backend", "form", "parts"),
    [
        (1, "cpu", VmappedRuns, 0),
        (2, "cpu", ShardedRuns, 2),
        (8, "cpu", ShardedRuns, 3),
        (8, "gpu", VmappedRuns, 0),
    ],
)
def test_an_executor_has_a_part_for_each_core_and_one_on_accelerators(cores, backend, form, parts, three, monkeypatch):
    monkeypatch.setattr("ganrun.training.executor.usable_cores", lambda: cores)
    monkeypatch.setattr("jax.default_backend", lambda: backend)
    found = executor_for(three)
    assert type(found) is form and found.experiments == three
    if parts:
        assert len(found.together([gan.init() for gan in three])) == parts


def test_members_with_other_b2_schedules_correct_their_own_bias_and_go_on_from_a_checkpoint(base, tmp_path):
    # The weights of all squared gradients so far sum to 1 less the product of the decays, here of steps 0 to 2 of 100.
    def rule(start, end):
        return Adam(b1=0.0, b2=start, final_b2=end, b2_schedule="linear", decay="constant")

    decays = [(0.5, 0.9), (0.9, 0.99)]
    configs = [
        dataclasses.replace(base, steps=100, optimizer=Optimizer(generator=rule(*pair), discriminator=rule(*pair)))
        for pair in decays
    ]
    population = VmappedRuns([build(config) for config in configs])
    state, _ = population.advance(population.init(), 3)
    apart = population.apart(state)
    for member, (start, end) in zip(apart, decays, strict=True):
        product = np.prod([start + (end - start) * i / 100 for i in range(3)])
        for player in (member.model.generator, member.model.discriminator):
            assert float(player.optimizer[0].weight) == pytest.approx(1 - product, rel=1e-6)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, apart[1], {})
    checkpoints.wait()
    restored = checkpoints.read(population.experiments[1].abstract(), 3).state
    whole = population.advance(population.together(apart), 2)[0]
    resumed = population.advance(population.together([apart[0], restored]), 2)[0]
    assert bits(resumed) == bits(whole)

"""A window of the next minibatches holds the same examples as the whole dataset: training on it gives the same bits."""

import dataclasses
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun import datasets
from ganrun.datasets import feed, images
from ganrun.datasets.feed import Demand, Resident, device_bytes, feed_of
from ganrun.datasets.host_order import host_permuted
from ganrun.datasets.sampler import Cursor, Pixels, permuted
from ganrun.datasets.streaming import HostPixels, Streamed
from ganrun.methods.experiment import Experiment
from ganrun.storage.state_arrays import flatten
from ganrun.training.executor import SingleRun, executor_for
from ganrun.training.train import train
from ganrun.training.vmapped import VmappedRuns

MNIST = Path(os.environ.get("GANRUN_DATA", "")) / "mnist"
SMALL = ("batch_size=16", "probe=off", "steps_per_call=4", "latent.dim=4")
NARROW = ("architecture=dcgan", "architecture.width=4", *SMALL)


@pytest.fixture
def ten():
    """Ten examples of three pixels and their labels, on the device and on the host."""
    flat = np.arange(30, dtype=np.uint8).reshape(10, 3)
    order = jax.random.key_data(jax.random.key(7))
    targets = np.arange(10, dtype=np.uint8) % 4
    return (
        Pixels(jnp.asarray(flat), order, (1, 3, 1), jnp.asarray(targets), 4),
        HostPixels(flat, order, (1, 3, 1), targets, 4),
    )


def test_a_window_has_the_examples_of_the_dataset_in_order_across_epochs(ten):
    whole, host = ten
    cursor = Cursor(epoch=jnp.int32(2), offset=jnp.int32(5))
    window = Streamed(host, 32).window(cursor, 24)
    for n in (4, 4, 1, 7, 8):
        wanted, labels, following = whole.labelled(jax.random.key(0), cursor, n)
        found, read, after = window.labelled(jax.random.key(1), cursor, n)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(read, labels)
        assert (int(after.epoch), int(after.offset)) == (int(following.epoch), int(following.offset))
        cursor = following
    assert int(cursor.epoch) == 4  # so two boundaries were crossed


def test_prefetched_windows_are_the_windows_that_are_asked_for(ten):
    whole, host = ten
    feed = Streamed(host, 32)
    cursor = Cursor(epoch=jnp.int32(0), offset=jnp.int32(3))
    for n, prefetched in ((8, 0), (8, 1), (4, 1), (8, 1), (8, 1), (8, 2)):  # each call draws all that it has asked for
        window = feed.window(cursor, n)
        feed.prefetch()
        wanted, labels, following = whole.labelled(jax.random.key(0), cursor, n)
        found, read, _ = window.labelled(jax.random.key(1), cursor, n)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(read, labels)
        assert feed.prefetched == prefetched
        cursor = following
    assert feed.gathered == 3  # a window serves calls for as long as it holds what they draw


def test_a_prefetched_window_without_the_next_examples_is_gathered_again(ten):
    whole, host = ten
    feed = Streamed(host, 16)
    # Drawn by each call: fewer than asked for, then back to an earlier position, as after an error, then far ahead.
    for start, n, prefetched in ((0, 8, 0), (4, 8, 0), (8, 8, 1), (14, 8, 1), (2, 8, 1), (90, 4, 1), (94, 8, 2)):
        cursor = Cursor(epoch=jnp.int32(start // 10), offset=jnp.int32(start % 10))
        window = feed.window(cursor, n)
        feed.prefetch()
        assert feed.prefetched == prefetched
        wanted = whole.minibatch(jax.random.key(0), cursor, n)[0]
        np.testing.assert_array_equal(window.minibatch(jax.random.key(0), cursor, n)[0], wanted)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 70_000), epoch=st.integers(0, 2**31 - 3))
@settings(max_examples=50, deadline=None)
def test_the_order_on_the_host_is_the_order_on_the_device(seed, size, epoch):
    order = jax.random.key_data(jax.random.key(seed))
    position = np.random.default_rng(seed).integers(0, size, 64)
    epochs = epoch + np.arange(64) // 40
    wanted = permuted(order, jnp.asarray(epochs, jnp.int32), jnp.asarray(position, jnp.int32), size)
    np.testing.assert_array_equal(host_permuted(np.asarray(order), epochs, position, size), wanted)


def test_where_examples_go_by_their_size():
    assert device_bytes("resident", 1000) is None
    assert device_bytes("streamed", 1000) == 0
    assert device_bytes("auto", 1000) == 250
    option = images.digits.Digits()
    train = 1437 * 64  # bytes of the training examples
    assert isinstance(datasets.load(option, Path("unused"), 0, device_bytes=train).train, Pixels)
    assert isinstance(datasets.load(option, Path("unused"), 0, device_bytes=train - 1).train, HostPixels)


def test_few_held_out_examples_of_a_large_set_are_on_the_device(monkeypatch):
    option = images.digits.Digits()
    whole = datasets.load(option, Path("unused"), 0, labels=True).held_out
    monkeypatch.setattr(datasets, "HELD_OUT_BYTES", 10 * 64)
    few = datasets.load(option, Path("unused"), 0, labels=True).held_out
    chosen = np.linspace(0, len(whole.flat) - 1, 10).astype(int)
    np.testing.assert_array_equal(few.flat, whole.flat[chosen])
    np.testing.assert_array_equal(few.targets, whole.targets[chosen])


def test_what_does_not_fit_a_window_is_refused(ten):
    with pytest.raises(ValueError, match="33 examples do not fit a window of 32"):
        Streamed(ten[1], 32).window(Cursor.start(), 33)


def test_data_on_the_device_are_their_own_window(ten):
    whole, host = ten
    feed = feed_of(whole, Demand(16, 100))
    assert isinstance(feed, Resident) and feed.capacity is None and feed.window(Cursor.start(), 99) is whole
    streamed = feed_of(host, Demand(16, 100))
    assert isinstance(streamed, Streamed) and streamed.capacity == 1600
    wide = dataclasses.replace(host, flat=np.zeros((2, 1 << 23), np.uint8))
    assert feed_of(wide, Demand(3, 100)).capacity == 8  # 64 MiB
    assert feed_of(wide, Demand(16, 100)).capacity == 16  # but always enough for a step
    assert feed_of(wide, Demand(1, 100), members=4).capacity == 2  # 64 MiB for four members
    assert feed_of(wide, Demand(3, 100), members=4).capacity == 3
    assert feed_of(wide, Demand(6, 100, minibatch=3)).capacity == 6  # whole minibatches


def pair(config, folder):
    """The experiment of ``config`` with its data on the device, and on the host."""
    return [
        Experiment(
            config, datasets.load(config.dataset, folder, config.seed, config.conditional, None if resident else 0)
        )
        for resident in (True, False)
    ]


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name


CASES = {
    "dcgan": ("dataset=digits", *NARROW, "schedule.k=2"),
    "adaptive": ("dataset=digits", *NARROW, "schedule=adaptive", "schedule.k=3", "penalty=r2"),
    "data for both": ("dataset=digits", "loss=relativistic", *SMALL, "generator_update.unrolled=2", "conditional=true"),
}


@pytest.mark.parametrize("words", CASES.values(), ids=list(CASES))
def test_a_streamed_dataset_gives_the_same_bits(words, compose_config):
    config = compose_config(words)
    resident, streamed = pair(config, Path("unused"))
    assert (resident.most_steps, streamed.most_steps) == (None, config.steps_per_call)
    states = []
    for experiment in (resident, streamed):
        state = experiment.init()
        state = state.replace(cursor=Cursor(epoch=jnp.int32(0), offset=jnp.int32(1400)))  # the epoch ends within a call
        for n in (3, 4, 1):
            state, report = experiment.advance(state, n)
        assert int(report.bad_step) == 0
        states.append(flatten(state))
    same(*states)


def test_members_of_a_population_stream_each_in_its_own_order(compose_config):
    config = compose_config(("dataset=digits", *SMALL, "architecture.generator_hidden=[8]"))
    both = [pair(dataclasses.replace(config, seed=seed), Path("unused")) for seed in (0, 1)]
    ends = []
    for experiments in zip(*both, strict=True):
        population = VmappedRuns(experiments)
        state = population.init()
        for n in (3, 4):
            state, _ = population.advance(state, n)
        ends.append([flatten(member) for member in population.apart(state)])
    for one, other in zip(*ends, strict=True):
        same(one, other)
    assert (
        ends[0][0]["model/generator/params/Dense_0/kernel"].tobytes()
        != ends[0][1]["model/generator/params/Dense_0/kernel"].tobytes()
    )


def test_the_windows_of_all_members_have_the_bound_of_one_and_the_same_bits(compose_config, monkeypatch):
    config = compose_config(("dataset=digits", *SMALL, "architecture.generator_hidden=[8]"))
    both = [pair(dataclasses.replace(config, seed=seed), Path("unused")) for seed in (0, 1)]
    resident, streamed = (list(experiments) for experiments in zip(*both, strict=True))
    per_step = config.method.examples_per_step(config)
    monkeypatch.setattr(feed, "WINDOW_BYTES", 8 * per_step * 64)  # eight steps of one run: an example has 64 bytes
    ends = []
    for experiments, most in ((resident, None), (streamed, 4)):
        population = executor_for(experiments)
        assert population.most_steps == most
        state = population.init()
        for n in (3, 4):
            state, _ = population.advance(state, n)
        ends.append([flatten(member) for member in population.apart(state)])
    for one, other in zip(*ends, strict=True):
        same(one, other)


@pytest.mark.skipif(not MNIST.is_dir(), reason="needs MNIST in $GANRUN_DATA")
def test_mnist_streamed_from_the_host_gives_the_same_bits(compose_config):
    config = compose_config(("dataset=mnist", "dataset.download=false", *NARROW))
    ends = []
    for experiment in pair(config, MNIST.parent):
        executor = SingleRun(experiment)
        state = executor.init()
        for _ in range(2):
            state, _ = executor.advance(state, 4)
        ends.append(flatten(state))
    same(*ends)
    assert int(ends[0]["cursor/offset"]) == 8 * 16


@dataclasses.dataclass(frozen=True)
class Unseen:
    name: str = "unseen"
    shape: tuple[int, ...] = ()

    def resolve(self, folder):
        side = int((folder / "side").read_text())
        return dataclasses.replace(self, shape=(side, side, 1))


def test_a_shape_that_is_known_only_with_the_files_is_filled_in(tmp_path):
    (tmp_path / "side").write_text("12")
    assert datasets.resolved(Unseen(), tmp_path).shape == (12, 12, 1)
    ring = datasets.synthetic.Ring()
    assert datasets.resolved(ring, tmp_path) is ring


def test_a_run_may_be_resumed_with_another_feed(compose_config, tmp_path):
    words = ("dataset=digits", *SMALL, "architecture.generator_hidden=[8]", "log.every=5", "log.pictures=0")
    whole, half = (compose_config((*words, f"steps={steps}", "feed=resident")) for steps in (20, 10))
    assert train(whole, tmp_path / "whole") == 0
    assert train(dataclasses.replace(half, feed="streamed"), tmp_path / "parts") == 0
    assert train(dataclasses.replace(whole, feed="streamed"), tmp_path / "parts", resume=True) == 0
    one, other = (
        [
            {tag: value for tag, value in json.loads(line).items() if tag != "steps_per_second"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "parts")
    )
    assert one == other and one[-1]["step"] == 20

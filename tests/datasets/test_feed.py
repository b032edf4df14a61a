"""A window of the next minibatches holds the same examples as the whole dataset: training on it gives the same bits."""

import dataclasses
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun import datasets
from ganrun.datasets.feed import HostPixels, Resident, Streamed, feed_of
from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import flatten
from ganrun.training.executor import SingleRun
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


def test_what_does_not_fit_a_window_is_refused(ten):
    with pytest.raises(ValueError, match="33 examples do not fit a window of 32"):
        Streamed(ten[1], 32).window(Cursor.start(), 33)


def test_data_on_the_device_are_their_own_window(ten):
    whole, host = ten
    feed = feed_of(whole, 16, 100)
    assert isinstance(feed, Resident) and feed.capacity is None and feed.window(Cursor.start(), 99) is whole
    streamed = feed_of(host, 16, 100)
    assert isinstance(streamed, Streamed) and streamed.capacity == 1600
    wide = dataclasses.replace(host, flat=np.zeros((2, 1 << 23), np.uint8))
    assert feed_of(wide, 3, 100).capacity == 8  # 64 MiB
    assert feed_of(wide, 16, 100).capacity == 16  # but always enough for a step


def pair(config, folder):
    """The experiment of ``config`` with its data on the device, and on the host."""
    return [
        Experiment(config, datasets.load(config.dataset, folder, config.seed, config.conditional, resident))
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

"""The GAN as the runner sees it: one program for all numbers, the same bits however the calls are cut."""

import dataclasses
from pathlib import Path
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options

from ganrun import datasets
from ganrun.config.settings import Ema, Latent, Log
from ganrun.datasets import Data
from ganrun.datasets.sampler import Pixels
from ganrun.datasets.synthetic import Ring
from ganrun.errors import ConfigError
from ganrun.methods.experiment import Experiment, _advance, _create
from ganrun.methods.gan.gan import LOGITS
from ganrun.methods.gan.losses import Minimax, NonSaturating
from ganrun.methods.gan.schedules import Constant
from ganrun.training.build import build

CHANGED = """The first five steps of the tiny ring GAN are not what they were.
Changing these numbers is right only if you meant to change what a run computes: the initial weights, the order of
random draws, a loss, an optimizer or Algorithm 1. Then say so in CHANGELOG.md, because old runs and checkpoints no
longer repeat; copy the numbers found here. A refactoring, a speed-up (such as data and samples that pass through the
discriminator as one batch) or a new JAX version may change them by rounding only, which the tolerance allows."""


def gan(config):
    return Experiment(config, datasets.load(config.dataset, Path("unused"), config.seed))


def adam(config, **values):
    rule = dataclasses.replace(config.optimizer.generator, **values)
    return dataclasses.replace(config.optimizer, generator=rule, discriminator=rule)


def programs():
    return _advance._cache_size(), _create._cache_size()


@pytest.fixture(scope="module")
def compiled(tiny_config):
    """The tiny config, its programs compiled, and none that an earlier test may have left."""
    _advance.clear_cache()
    _create.clear_cache()
    experiment = gan(tiny_config)
    experiment.advance(experiment.init(), 1)
    return tiny_config


@pytest.mark.parametrize(
    "change",
    [
        lambda config: {"seed": 7},
        lambda config: {"seed": 2**32 - 1},
        lambda config: {"steps": 123},
        lambda config: {"log": Log(every=7)},
        lambda config: {"ema": Ema(decay=0.5)},
        lambda config: {"loss": NonSaturating(label_smoothing=0.1)},
        lambda config: {"schedule": Constant(k=4)},
        lambda config: {"optimizer": adam(config, learning_rate=0.1)},
        lambda config: {"optimizer": adam(config, b1=0.1, b2=0.7, final_b2=0.8, eps=1e-3)},
        lambda config: {"optimizer": adam(config, minimum_rate=1e-5, decay_rate=1.0)},
        lambda config: {"dataset": dataclasses.replace(config.dataset, radius=3.0, std=0.5)},
    ],
    ids=["seed", "largest seed", "steps", "log", "ema", "smoothing", "k", "rate", "betas", "decay", "data"],
)
def test_another_number_uses_the_same_program(compiled, change):
    before = programs()
    experiment = gan(dataclasses.replace(compiled, **change(compiled)))
    state, report = experiment.advance(experiment.init(), 2)
    assert programs() == before
    assert (int(state.step), int(report.bad_step)) == (2, 0)


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 17}, {"loss": Minimax()}, {"optimizer": "linear"}],
    ids=["batch size", "loss", "decay"],
)
def test_another_shape_or_rule_is_another_program(compiled, change):
    before = programs()
    if change.get("optimizer"):
        change = {"optimizer": adam(compiled, decay=change["optimizer"])}
    experiment = gan(dataclasses.replace(compiled, **change))
    experiment.advance(experiment.init(), 1)
    assert programs() == (before[0] + 1, before[1] + 1)


def test_the_numbers_that_share_a_program_still_count(compiled):
    both = [gan(dataclasses.replace(compiled, schedule=Constant(k=k))) for k in (1, 2)]
    reports = [experiment.advance(experiment.init(), 3)[1] for experiment in both]
    assert [float(report.means[both[0].method.tags.index("schedule/k")]) for report in reports] == [1.0, 2.0]
    assert not np.array_equal(reports[0].means, reports[1].means)


def bits(tree):
    plain = jax.tree.map(lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, tree)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(plain)]


def test_a_call_of_no_steps_changes_nothing(tiny_ring):
    before = bits(tiny_ring.init())
    state, _ = tiny_ring.advance(tiny_ring.init(), 0)
    assert bits(state) == before


def test_the_start_is_a_function_of_the_seed(tiny_config):
    one, two, other = (gan(dataclasses.replace(tiny_config, seed=seed)).init() for seed in (3, 3, 4))
    assert bits(one) == bits(two)
    kernels = [leaf for leaf in jax.tree.leaves(one.model.generator.params) if leaf.ndim == 2]
    others = [leaf for leaf in jax.tree.leaves(other.model.generator.params) if leaf.ndim == 2]
    assert not any(np.array_equal(x, y) for x, y in zip(kernels, others, strict=True))


def test_the_players_do_not_start_from_the_same_key(tiny_ring):
    # Both map two numbers to eight units in their first layer: one key would give one kernel.
    state = tiny_ring.init()
    first = [player.params["Dense_0"]["kernel"] for player in (state.model.generator, state.model.discriminator)]
    assert first[0].shape == first[1].shape == (2, 8)
    assert not np.allclose(*first)


def test_training_leaves_the_method_as_it_was(tiny_ring):
    # ``advance`` consumes the state's buffers; the experiment's own numbers must not be among them.
    before = bits(tiny_ring.init())
    tiny_ring.advance(tiny_ring.init(), 3)
    assert bits(tiny_ring.init()) == before


@pytest.fixture(scope="module")
def golden_config(tiny_config):
    """The tiny ring GAN with everything spelled out, so that tuning a default is no reason to touch the numbers."""
    return dataclasses.replace(
        tiny_config,
        seed=0,
        steps=100,
        dataset=Ring(modes=8, radius=2.0, std=0.02),
        loss=NonSaturating(label_smoothing=0.1),
        schedule=Constant(k=2),
        optimizer=adam(tiny_config, learning_rate=0.01, decay="cosine", b1=0.5, b2=0.99, minimum_rate=0.0),
        latent=Latent(dim=2, prior="normal"),
        ema=Ema(decay=0.9),
        log=Log(every=50),
    )


@pytest.fixture(scope="module")
def advance(golden_config):
    """``advance`` of the golden GAN and of those that share its program, which is compiled as it is for users."""
    experiment = gan(golden_config)
    lowered = _advance.lower(
        experiment.method, experiment.init(), experiment.data.train, experiment.data.held_out, jnp.int32(1)
    )
    program = lowered.compile(compiler_options=usual_options())
    return lambda one, state, n: program(state, one.data.train, one.data.held_out, jnp.int32(n))


def test_the_length_of_the_calls_changes_no_bit(golden_config, advance):
    experiment = gan(dataclasses.replace(golden_config, log=Log(every=20)))

    def advanced(calls):
        state, report = experiment.init(), None
        for n in calls:
            state, report = advance(experiment, state, n)
        return bits(state), bits(report)

    whole = advanced([50])
    assert advanced([1] * 50) == whole
    assert advanced([7] * 7 + [1]) == whole


def test_the_first_steps_are_what_they_were(golden_config, advance):
    golden_gan = gan(golden_config)
    state, report = advance(golden_gan, golden_gan.init(), 5)
    found = {
        "means": dict(zip(golden_gan.method.tags, np.asarray(report.means).tolist(), strict=True)),
        "generator": norms(state.model.generator.params),
        "discriminator": norms(state.model.discriminator.params),
        "average": norms(state.model.average),
    }
    for part, hparams in found.items():
        if hparams != pytest.approx(GOLDEN[part], rel=1e-4):
            pytest.fail(f"{CHANGED}\n\nfound: {found}")


def norms(tree):
    return [float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(tree)]


GOLDEN = {
    "means": {
        "D(x)": 0.4924406111240387,
        "D(G(z))": 0.48057374358177185,
        "value": -1.4352461099624634,
        "jsd/online": -0.02447580173611641,
        "loss/discriminator": 1.4312561750411987,
        "loss/generator": 0.7527360320091248,
        "grad_norm/discriminator": 0.6672587394714355,
        "grad_norm/generator": 0.2740634083747864,
        "schedule/k": 2.0,
    },
    "generator": [0.12702786922454834, 2.89719557762146, 0.061284810304641724, 1.3682007789611816],
    "discriminator": [0.1901494264602661, 2.5576305389404297, 0.07689572125673294, 1.2653043270111084],
    "average": [0.11587494611740112, 2.8897945880889893, 0.05509234592318535, 1.3672162294387817],
}


def test_the_abstract_state_has_the_shapes_of_the_real_one(tiny_ring):
    def describe(tree):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)

    assert describe(tiny_ring.abstract()) == describe(tiny_ring.init())


def small_images(examples):
    source = Pixels(jnp.zeros((examples, 4), jnp.uint8), jnp.zeros(2, jnp.uint32), (2, 2, 1))
    return Data(train=source, held_out=source, shape=(2, 2, 1), density=None)


def test_a_batch_larger_than_the_dataset_is_refused(tiny_config):
    with pytest.raises(ConfigError, match="batch_size must be at most 15"):
        Experiment(tiny_config, small_images(15))


def test_a_batch_as_large_as_the_dataset_trains(tiny_config):
    experiment = Experiment(tiny_config, small_images(16))
    state, report = experiment.advance(experiment.init(), 3)
    assert (int(state.cursor.epoch), int(state.cursor.offset), int(report.bad_step)) == (3, 0, 0)


def test_samples_are_a_function_of_the_variables_and_the_key(tiny_config, tiny_ring):
    wide = gan(dataclasses.replace(tiny_config, latent=Latent(dim=3)))
    variables = wide.init().model.average
    keys = [jax.random.key(1), jax.random.key(1), jax.random.key(2)]
    one, two, other = (np.asarray(wide.sample(variables, key, 5)) for key in keys)
    assert one.shape == (5, 2)
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_a_snapshot_shows_samples_logits_and_the_field(tiny_ring):
    state = tiny_ring.init()
    points = np.array([[0.0, 0.0], [1.0, -1.0], [3.0, 2.0]])
    seen, average = tiny_ring.snapshot(state, 6, points)
    judge = tiny_ring.method.spec.discriminator
    np.testing.assert_array_equal(
        tiny_ring.decode(average, jnp.ones((2, 2))),
        tiny_ring.method.spec.generator.apply(state.model.average, jnp.ones((2, 2)), False),
    )
    assert seen.samples.shape == (6, 2)
    assert seen.inspected["logits/real"].shape == seen.inspected["logits/fake"].shape == (LOGITS,)
    np.testing.assert_allclose(
        seen.inspected["field"], judge.apply(state.model.discriminator.variables, points, train=False), rtol=1e-5
    )
    assert np.array_equal(tiny_ring.snapshot(state, 6, points)[0].samples, seen.samples)


def test_a_snapshot_without_points_has_no_field_and_no_more_logits_than_images(tiny_config):
    experiment = Experiment(tiny_config, small_images(16))
    seen, _ = experiment.snapshot(experiment.init(), 4, np.zeros((0, 1), np.float32))
    assert (seen.samples.shape, seen.inspected["field"].shape, seen.inspected["logits/real"].shape) == (
        (4, 2, 2, 1),
        (0,),
        (16,),
    )


def test_every_logging_interval_that_the_config_accepts_can_be_run(tiny_config, compose_config):
    # 2^40 is no int32: either the config refuses it or the experiment takes it.
    try:
        config = compose_config([f"log.every={2**40}"])
    except ConfigError:
        return
    gan(dataclasses.replace(tiny_config, log=config.log))


@pytest.mark.parametrize(("prior", "edge"), [("uniform", 40 / 41), ("normal", NormalDist().inv_cdf(40.5 / 41))])
def test_the_ladder_stands_on_even_quantiles_of_the_prior(compose_config, prior, edge):
    # 41 quantiles (i + 1/2) / 41: the last is q = 40.5 / 41, where a uniform z is 2 q - 1 = 40 / 41.
    config = compose_config(["dataset=gaussian", f"latent.prior={prior}", "architecture.generator_hidden=[8]"])
    experiment = gan(config)
    state = experiment.init()
    ladder = np.asarray(experiment.snapshot(state, 16, np.zeros((0, 1)))[0].ladder)
    assert ladder.shape == (41, 2)
    np.testing.assert_allclose(ladder[[0, 20, 40], 0], [-edge, 0.0, edge], atol=1e-5)
    moved = experiment.method.spec.generator.apply(state.model.average, jnp.asarray(ladder[:, :1]), train=False)
    np.testing.assert_allclose(ladder[:, 1:], moved, rtol=1e-5, atol=1e-6)


def test_there_is_no_ladder_where_z_or_x_is_more_than_a_number(tiny_ring):
    assert tiny_ring.snapshot(tiny_ring.init(), 16, np.zeros((0, 2)))[0].ladder.shape == (0,)


def test_a_class_conditional_generator_on_the_line_has_no_single_ladder(compose_config):
    config = compose_config(["dataset=mixture1d", "conditional=true", "architecture.generator_hidden=[2]", "probe=off"])
    experiment = build(config)
    points = np.zeros((0, 1), np.float32)
    seen, _ = jax.eval_shape(lambda state: experiment.snapshot(state, 4, points), experiment.abstract())
    assert seen.ladder.shape == (0,) and seen.samples.shape == (4, 1)

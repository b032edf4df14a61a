"""From a configuration to a game: which parts go together, what is static, and what the further players see."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.datasets import Data
from ganrun.datasets.sampler import Pixels
from ganrun.errors import ConfigError
from ganrun.evaluation.evaluator import Evaluator
from ganrun.evaluation.load_run import load_run
from ganrun.methods.experiment import Experiment
from ganrun.methods.gan.gan import Gan
from ganrun.methods.gan.networks import draw_labels
from ganrun.methods.gan.spec import cautions, gan_hparams, gan_spec
from ganrun.storage.checkpoints import Checkpoints
from ganrun.training.build import build

NARROW = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["inputs.packing=3", "batch_size=16"],
            "batch_size must be a multiple of inputs.packing, but 16 is not a multiple of 3.",
        ),
        (["inputs.packing=2", "conditional=true"], "inputs.packing > 1 cannot be combined with conditional=true"),
        (
            ["inputs.packing=2", "dataset=dirac", "architecture=dirac"],
            "inputs.packing must be 1 with architecture=dirac",
        ),
        (["inputs.packing=2", "inference=bigan"], "inputs.packing > 1 cannot be combined with inference=bigan."),
        (["conditional=true", "inference=bigan"], "conditional=true cannot be combined with inference=bigan."),
        (
            ["conditional=true", "dataset=gaussian"],
            "needs a dataset with classes, and gaussian has none.",
        ),
        (["generator_update.top_k=0.5", "loss=cramer"], "generator_update.top_k ranks samples by their logits"),
        (["generator_update.top_k=0.5", "loss=feature_matching"], "cannot be combined with loss=feature_matching"),
        (["inference=bigan", "loss=wasserstein"], "inference=bigan cannot be combined with loss=wasserstein"),
        (
            ["inference=bigan", "architecture=maxout"],
            "needs an encoder, and architecture=maxout has none",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(words, said, compose_config):
    config = compose_config(words)
    with pytest.raises(ConfigError) as caught:
        gan_spec(config, config.dataset.shape)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["penalty=r1", "penalty.r1.weight=1"], ["penalty=r1", "penalty.r1.weight=2", "penalty.r1.final_weight=3"]),
        (["inputs.noise=0.1"], ["inputs.noise=0.2", "inputs.final_noise=0.1"]),
        (["generator_update.top_k=0.5"], ["generator_update.top_k=0.7"]),
        (["schedule=piecewise", "schedule.k=[3,4]"], ["schedule=piecewise", "schedule.k=[5,6]", "schedule.at=[0,9]"]),
        (["schedule=adaptive", "schedule.k=3"], ["schedule=adaptive", "schedule.k=4", "schedule.tolerance=0.1"]),
    ],
)
def test_numbers_of_new_parts_are_values_of_one_program(one, other, compose_config):
    first, second = (compose_config([*NARROW, *words]) for words in (one, other))
    assert gan_spec(first, (2,)) == gan_spec(second, (2,))
    assert jax.tree.structure(gan_hparams(first)) == jax.tree.structure(gan_hparams(second))
    leaves = zip(jax.tree.leaves(gan_hparams(first)), jax.tree.leaves(gan_hparams(second)), strict=True)
    assert any(not np.array_equal(a, b) for a, b in leaves)


def test_what_a_game_does_not_use_is_no_part_of_its_state(compose_config):
    assert set(gan_hparams(compose_config([]))) == {"run", "loss", "schedule", "optimizer", "ema"}


def test_penalties_stand_in_the_order_of_their_names(compose_config):
    games = [gan_spec(compose_config([f"penalty=[{words}]"]), (2,)) for words in ("r2,drift,r1", "r1,r2,drift")]
    assert games[0] == games[1]
    assert [one.name for one in games[0].penalties] == ["drift", "r1", "r2"]


def test_a_flat_list_of_ks_is_an_array_of_whole_numbers(compose_config):
    hparams = gan_hparams(compose_config(["schedule=piecewise"]))["schedule"]
    assert hparams["k"].tolist() == [100, 5] and hparams["k"].dtype == jnp.int32
    assert hparams["at"].tolist() == [0, 25]


def test_lanes_turn_every_convolution_of_wrapped_networks_into_products(compose_config):
    words = ["dataset=digits", "architecture=dcgan", "penalty=spectral_normalisation", "inference=bigan"]
    spec = Gan(gan_spec(compose_config(words), (8, 8, 1)), (8, 8, 1)).for_population().spec
    assert spec.discriminator.module.form == "matmul"
    assert (spec.generator.generator.form, spec.generator.encoder.form) == ("matmul", "matmul")


# --- class-conditional games ---


@pytest.fixture(scope="module")
def conditional(compose_config):
    config = compose_config([*NARROW, "conditional=true", "dataset=ring", "dataset.modes=3"])
    return config, build(config)


def test_classes_are_as_frequent_as_in_the_density(compose_config):
    config = compose_config(["conditional=true", "dataset=mixture1d"])
    assert gan_spec(config, (1,)).classes == 2
    np.testing.assert_allclose(gan_hparams(config)["class_probabilities"], [0.6, 0.4], rtol=1e-6)


def test_readings_come_by_class(conditional):
    config, experiment = conditional
    state, _ = experiment.advance(experiment.init(), 2)
    evaluator = Evaluator(experiment, config)
    seen = evaluator.read(evaluator.snapshot(state, 50))
    wanted = {f"{tag}/class_{label}" for tag in ("D(x)", "D(G(z))") for label in range(3)}
    assert wanted <= set(seen.scalars)
    assert all(0 < seen.scalars[tag] < 1 for tag in wanted)
    # No linear pieces to follow where the class decides too: the divergence comes from samples.
    assert 0 < seen.scalars["jsd/exact"] <= np.log(2) + 1e-6


def test_pictures_of_a_conditional_run_have_a_row_for_each_class(compose_config):
    experiment = build(compose_config([*NARROW, "conditional=true", "dataset=digits", "latent.dim=4"]))
    state = experiment.init()
    shown, _ = experiment.snapshot(state, 100, np.zeros((0, 8, 8, 1), np.float32))
    # Rows of the sheet share a class: told which, the generator makes exactly these from the same noise.
    assert shown.samples.shape == (100, 8, 8, 1)
    assert set(np.asarray(shown.inspected["labels/real"]).tolist()) == set(range(10))


def test_the_class_decides_what_is_made(conditional):
    _, experiment = conditional
    state, _ = experiment.advance(experiment.init(), 5)
    z = jnp.ones((3, 2))
    apply = experiment.method.spec.generator.apply
    x = apply(state.model.generator.variables, z, train=False, y=jnp.arange(3))
    assert len({tuple(row) for row in np.asarray(x).round(5).tolist()}) == 3


def test_classes_of_images_are_as_frequent_as_in_the_training_set(compose_config):
    # Nine pictures of class 0, five of 1, two of 3 and none else of ten, in place of a tenth of each.
    targets = jnp.array([0] * 9 + [1] * 5 + [3] * 2, jnp.uint8)
    source = Pixels(jnp.zeros((16, 64), jnp.uint8), jnp.zeros(2, jnp.uint32), (8, 8, 1), targets, 10)
    config = compose_config([*NARROW, "conditional=true", "dataset=digits"])
    experiment = Experiment(config, Data(train=source, held_out=source, shape=(8, 8, 1), density=None, classes=10))
    wanted = [9 / 16, 5 / 16, 0, 2 / 16, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(experiment.hparams["class_probabilities"], wanted)
    drawn = draw_labels(experiment.method.spec, experiment.hparams, jax.random.key(0), 4000)["y"]
    shares = np.bincount(np.asarray(drawn), minlength=10) / 4000
    assert np.all(np.abs(shares - wanted) <= 5 * np.sqrt(np.array(wanted) * (1 - np.array(wanted)) / 4000))


def test_without_the_data_all_classes_are_taken_to_be_alike(compose_config):
    config = compose_config([*NARROW, "conditional=true", "dataset=digits"])
    np.testing.assert_allclose(gan_hparams(config)["class_probabilities"], np.full(10, 0.1), rtol=1e-6)


def test_a_run_that_is_only_read_has_the_frequencies_of_its_data(compose_config, tmp_path):
    words = [*NARROW, "conditional=true", "dataset=digits", "architecture.generator_norm=none"]
    config = compose_config(words)
    targets = jnp.array([0] * 15 + [7], jnp.uint8)
    source = Pixels(jnp.zeros((16, 64), jnp.uint8), jnp.zeros(2, jnp.uint32), (8, 8, 1), targets, 10)
    experiment = Experiment(config, Data(train=source, held_out=source, shape=(8, 8, 1), density=None, classes=10))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(0, experiment.init(), {})
    checkpoints.wait()
    read, _ = load_run(tmp_path, config)
    assert read.data.train is None
    np.testing.assert_array_equal(read.hparams["class_probabilities"], experiment.hparams["class_probabilities"])
    assert float(read.hparams["class_probabilities"][0]) == 15 / 16


# --- what is static ---


@pytest.mark.parametrize(
    ("words", "part", "wanted"),
    [
        ([], "noisy", False),
        (["inputs.noise=0.1"], "noisy", True),
        (["inputs.final_noise=0.1"], "noisy", True),
        ([], "flipping", False),
        (["inputs.label_flipping=0.01"], "flipping", True),
        ([], "top_k", False),
        (["generator_update.top_k=0.99"], "top_k", True),
        (["generator_update.unrolled=3"], "unrolled", 3),
        (["inputs.packing=2", "batch_size=8"], "packing", 2),
        (["inference=bigan"], "has_encoder", True),
        ([], "has_encoder", False),
        ([], "classes", 0),
        (["conditional=true"], "classes", 8),
        (["latent.dim=5", "latent.prior=uniform"], "latent_dim", 5),
        (["latent.prior=uniform"], "prior", "uniform"),
    ],
)
def test_the_parts_of_a_game_are_those_asked_for(words, part, wanted, compose_config):
    config = compose_config(words)
    spec = gan_spec(config, (2,))
    assert getattr(spec, part) == wanted
    hparams = gan_hparams(config)
    assert ("generator_update" in hparams) == spec.top_k
    assert ("inputs" in hparams) == (spec.noisy or spec.flipping)
    assert ("class_probabilities" in hparams) == bool(spec.classes)


# --- warnings ---


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["penalty=gradient_penalty"], "penalty=gradient_penalty assumes"),
        (["penalty=[drift,r1]"], "penalty=r1 assumes"),
        (["penalty=[gradient_penalty,r1]"], "penalty=gradient_penalty assumes"),
        (["penalty=dragan", "architecture.batch_norm=false"], None),
        (["penalty=[drift,spectral_normalisation]"], None),
        (["penalty=gradient_penalty", "architecture=resnet"], None),
        (["penalty=[r2,spectral_normalisation]", "architecture=r3gan"], None),
    ],
)
def test_a_penalty_by_example_where_batch_norm_mixes_them_is_told(words, told, compose_config):
    config = compose_config(["dataset=mnist", "architecture=dcgan", "architecture.width=4", *words])
    source = Pixels(jnp.zeros((600, 784), jnp.uint8), jnp.zeros(2, jnp.uint32), (28, 28, 1))
    found = cautions(Experiment(config, Data(train=source, held_out=source, shape=(28, 28, 1), density=None)))
    assert [line[: len(told or "")] for line in found] == ([told] if told else [])
    assert all("Gulrajani et al. 2017, section 4" in line and "\n" not in line for line in found)


# --- inference ---


@pytest.mark.parametrize("loss", ["nonsaturating", "relativistic"])
def test_the_encoder_learns_with_the_generator(loss, compose_config):
    experiment = build(compose_config([*NARROW, "inference=bigan", f"loss={loss}"]))
    before = experiment.init()
    kept = jax.tree.map(jnp.copy, before.model.generator.params)
    after, report = experiment.advance(before, 3)
    assert int(report.bad_step) == 0
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), kept, after.model.generator.params)
    assert min(jax.tree.leaves(moved["encoder"])) > 0 and min(jax.tree.leaves(moved["generator"])) > 0
    assert experiment.encode(after.model.average, jnp.zeros((5, 2))).shape == (5, 2)


def test_the_discriminator_of_bigan_judges_pairs(compose_config):
    experiment = build(compose_config([*NARROW, "inference=bigan"]))
    state = experiment.init()
    x, z = jnp.ones((1, 2)), jnp.zeros((1, 2))
    apply, variables = experiment.method.spec.discriminator.apply, state.model.discriminator.variables
    judge = lambda z: apply(variables, x, train=False, z=z)  # noqa: E731
    assert float(judge(z)[0]) != float(judge(z + 1)[0])


def test_a_smoothed_loss_reaches_both_players_of_bigan(compose_config):
    # The encoder's term is the generator's loss with the roles exchanged: at logits 0 both are log 2.
    experiment = build(compose_config([*NARROW, "inference=bigan", "loss=nonsaturating"]))
    state = experiment.init()
    zero = dataclasses.replace(
        state.model.discriminator, params=jax.tree.map(jnp.zeros_like, state.model.discriminator.params)
    )
    frozen = dataclasses.replace(state, model=dataclasses.replace(state.model, discriminator=zero))
    frozen.hparams["optimizer"]["discriminator"]["learning_rate"] = jnp.float32(0.0)
    frozen.hparams["optimizer"]["discriminator"]["minimum_rate"] = jnp.float32(0.0)
    _, report = experiment.advance(frozen, 1)
    seen = dict(zip(experiment.method.tags, np.asarray(report.means).tolist(), strict=True))
    assert seen["loss/generator"] == pytest.approx(2 * np.log(2), rel=1e-5)
    assert seen["loss/discriminator"] == pytest.approx(2 * np.log(2), rel=1e-5)

"""``method=vae`` in a config: what it chooses, what it refuses, and which choice wins over which."""

import dataclasses

import jax
import pytest
import yaml

from ganrun.config.hparams import chosen
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check, to_dict
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.logged import logged, require_best
from ganrun.evaluation.metrics.spec import better, spec_of
from ganrun.methods.gan.option import GanOption
from ganrun.methods.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian
from ganrun.methods.vae.option import VaeOption
from ganrun.training.build import build
from ganrun.training.monitor import Monitor

VAE = "method=vae"


def built(config):
    return config.method.build(config, config.dataset.shape)


@pytest.fixture(scope="module")
def ring(compose_config):
    return compose_config([VAE])


@pytest.fixture(scope="module")
def digits(compose_config):
    return compose_config([VAE, "dataset=digits"])


@pytest.mark.parametrize(
    ("decoder", "shape", "wanted"),
    [
        ("auto", (2,), Gaussian),
        ("auto", (8, 8, 1), Bernoulli),
        ("auto", (8, 8, 3), DiscretisedLogistic),
        ("logistic", (8, 8, 1), DiscretisedLogistic),
        ("gaussian", (8, 8, 1), Gaussian),
        ("bernoulli", (8, 8, 3), Bernoulli),
    ],
)
def test_the_decoder_suits_the_data_unless_it_is_chosen(decoder, shape, wanted, ring):
    option = dataclasses.replace(ring.method, decoder=decoder)
    method = option.build(ring, shape)
    assert type(method.likelihood) is wanted and method.module.outputs == wanted.OUTPUTS


def refusal(words):
    with pytest.raises(ConfigError) as caught:
        config = check(compose("train", [VAE, *words]))
        built(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss=hinge"], "loss is not a part of method=vae: leave it out, or set loss=null."),
        (["penalty=r1"], "penalty is not a part of method=vae: leave it out, or set penalty=null."),
        (["schedule=ramp"], "schedule is not a part of method=vae: leave it out, or set schedule=null."),
        (["schedule.k=2"], "'schedule.k': schedule is not a part of method=vae: leave it out."),
        (["inputs.noise=0.1"], "'inputs.noise': inputs is not a part of method=vae: leave it out."),
        (
            ["optimizer.discriminator.b1=0.1"],
            "'optimizer.discriminator.b1': optimizer.discriminator is not a part of method=vae: leave it out.",
        ),
        (["experiment=wgan"], "loss is not a part of method=vae"),
        (["conditional=true", "dataset=gaussian"], "conditional=true needs a dataset with classes"),
        (
            ["inference=bigan"],
            "inference=bigan adds an encoder to a GAN: leave it out with method=vae.",
        ),
        (["latent.prior=uniform"], "latent.prior must be normal with method=vae, not uniform."),
        (
            ["architecture=mlp"],
            "architecture=mlp has no networks for method=vae: use architecture=conv_vae or mlp_vae.",
        ),
        (["dataset=dirac"], "dataset=dirac cannot be combined with method=vae: all examples are the same"),
        (["method.decoder=bernoulli"], "method.decoder=bernoulli takes images, and the data is vectors of 2"),
        (["method.decoder=logistic"], "method.decoder=logistic takes images, and the data is vectors of 2"),
        (["method.decoder=normal"], "method.decoder must be one of auto, bernoulli, gaussian, logistic, not 'normal'."),
        (
            ["method.objective=iwae", "method.beta=4"],
            "method.beta=4 changes the KL divergence of method.objective=elbo, which method.objective=iwae does not",
        ),
        (["method.objective=iwae", "method.free_bits=0.5"], "method.free_bits=0.5 changes the KL divergence of"),
        (
            ["method.prior_couplings=2", "latent.dim=1"],
            "method.prior_couplings=2 transform halves of the latents: set latent.dim to 2 or more, not 1.",
        ),
        (["method.prior_couplings=2", "method.free_bits=0.5"], "method.free_bits=0.5 is of each latent, and with"),
        (["method.importance_samples=0"], "method.importance_samples must be at least 1"),
    ],
)
def test_what_a_vae_does_not_have_is_refused_in_one_line(words, message):
    assert refusal(words).startswith(message)


def test_a_gan_has_neither_the_settings_nor_the_networks_of_a_vae(compose_config):
    with pytest.raises(ConfigError, match=r"^'method.decoder' is not a setting of method=gan; method=vae has it\.$"):
        compose("train", ["method.decoder=auto"])
    with pytest.raises(ConfigError, match=r"^architecture=mlp_vae has no networks for method=gan: use architecture="):
        built(compose_config(["architecture=mlp_vae"]))


def test_the_method_wins_over_the_data_and_the_command_line_over_both(compose_config):
    of_data = compose_config(["dataset=digits"]).optimizer.generator
    assert (of_data.learning_rate, of_data.b1) == (2e-4, 0.5)
    for words in ([VAE, "dataset=digits"], ["dataset=digits", VAE]):
        config = compose_config(words)
        assert (config.optimizer.generator.learning_rate, config.optimizer.generator.b1) == (1e-3, 0.9)
        assert (config.architecture.name, config.latent.dim, config.batch_size) == ("mlp_vae", 64, 64)
    typed = compose_config([VAE, "dataset=digits", "optimizer=sgd", "latent.dim=3"])
    assert (typed.optimizer.generator.name, typed.latent.dim) == ("sgd", 3)
    assert typed.optimizer.discriminator is None


def test_an_experiment_wins_over_the_method_and_loses_to_the_command_line(compose_config):
    config = compose_config(["experiment=vae"])
    assert (config.method.name, config.dataset.name, config.architecture.name) == ("vae", "mnist", "mlp_vae")
    assert (config.optimizer.generator.decay, config.latent.dim, config.batch_size) == ("cosine", 50, 100)
    typed = compose_config(["experiment=vae", "dataset=digits", "optimizer.generator.decay=constant", "latent.dim=5"])
    assert (typed.dataset.name, typed.optimizer.generator.decay, typed.latent.dim) == ("digits", "constant", 5)


def test_what_a_vae_does_not_have_is_null_in_its_config(ring):
    assert (ring.loss, ring.schedule, ring.inputs, ring.generator_update) == (None, None, None, None)
    assert (ring.penalty, ring.optimizer.discriminator) == ((), None)


@pytest.mark.parametrize(
    "words", [[], ["dataset=digits"], ["experiment=vae"], ["optimizer=rmsprop"], ["conditional=true"]]
)
def test_a_config_survives_a_round_trip(words, compose_config):
    config = compose_config([VAE, *words])
    assert check(yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


def test_equal_settings_share_a_program_and_numbers_are_traced(compose_config, digits):
    others = compose_config(
        [VAE, "dataset=digits", "seed=3", "optimizer.generator.learning_rate=0.1", "ema.decay=0.5", "steps=7"]
    )
    assert built(digits) == built(others) and hash(built(digits)) == hash(built(others))
    found, other = (config.method.hparams(config) for config in (digits, others))
    assert jax.tree.structure(found) == jax.tree.structure(other)
    assert float(other["optimizer"]["generator"]["learning_rate"]) == pytest.approx(0.1)
    assert (float(other["ema"]["decay"]), float(other["run"]["steps"])) == (0.5, 7.0)
    assert set(found) == {"run", "optimizer", "ema", "method"} and set(found["optimizer"]) == {"generator"}
    for word in (
        "latent.dim=5",
        "method.decoder=logistic",
        "method.importance_samples=3",
        "batch_size=7",
        "method.training_samples=2",
        "conditional=true",
    ):
        assert built(compose_config([VAE, "dataset=digits", word])) != built(digits)


def test_what_it_logs_is_declared_and_the_bounds_improve_upwards(ring, digits):
    assert logged(ring)[:6] == [*built(ring).tags, "steps_per_second"]
    bounds = {"elbo", "elbo_se", "iwae", "iwae_se", "latents/active"}
    for config in (ring, digits):
        found = logged(config)
        assert bounds < set(found) and len(found) == len(set(found))
        assert [tag for tag in found if spec_of(tag) is None] == []
    assert {"bits_per_dim/elbo", "bits_per_dim/iwae"} <= set(logged(digits)) - set(logged(ring))
    assert better("bits_per_dim/elbo") == "lower"
    assert (better("elbo"), better("iwae"), better("loss")) == ("higher", "higher", None)
    assert {"jsd/exact", "modes/covered"} < set(logged(ring))
    assert not {"data_missed", "jsd/smoothed", "D(x)"} & set(logged(ring))  # its density is known from samples only
    require_best(dataclasses.replace(ring, checkpoint=dataclasses.replace(ring.checkpoint, best="iwae")))


def test_what_distinguishes_a_run_is_told_without_what_it_does_not_have(digits, compose_config):
    assert chosen(digits) == {"dataset": "digits", "architecture": "mlp_vae", "method": "vae", "seed": 0}
    other = compose_config([VAE, "dataset=digits", "method.decoder=gaussian", "optimizer.generator.b1=0.5"])
    more = {"method.decoder": "gaussian", "optimizer.generator.b1": 0.5}
    assert chosen(other) == {**chosen(digits), **more}


def test_a_learning_rate_that_jumps_is_told(compose_config):
    config = compose_config([VAE, "optimizer.generator.decay=cosine"])
    before, now = (dataclasses.replace(config, steps=steps) for steps in (100, 200))
    line = "steps=200 in place of 100 changes at step 100: optimizer.generator.learning_rate 0 -> 0.0005."
    assert config.method.jumps(before, now, 100) == line
    constant = compose_config([VAE])
    assert constant.method.jumps(*(dataclasses.replace(constant, steps=steps) for steps in (100, 200)), 100) is None


def test_units_of_a_prior_that_is_not_learned_are_warned_of(compose_config):
    def warnings(*words):
        config = compose_config(("method=vae", *words))
        return config.method.cautions(build(config))

    unused = "method.prior_hidden=7 has no effect without method.prior_couplings"
    assert warnings("method.prior_hidden=7") == [unused]
    assert list(warnings()) == list(warnings("method.prior_hidden=7", "method.prior_couplings=1")) == []


def test_failures_that_show_in_the_samples_are_reported(compose_config):
    watch = Monitor(compose_config(("method=vae", "steps=1000")), modes=8)
    healthy = {"modes/covered": 8.0, "modes/high_quality": 0.7, "samples/diversity": 0.9}
    assert [watch.see(step, healthy) for step in range(10, 700, 10)] == [[]] * 69
    (found,) = watch.see(700, {**healthy, "modes/high_quality": 0.01})
    assert (found.name, found.suggestions) == ("samples off the data", ("steps=4000",))
    names = {detector.name for detector in VaeOption().detectors()}
    assert names < {detector.name for detector in GanOption().detectors()}

"""``method=rbm`` in a config: what it chooses, what it refuses, and what it logs."""

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
from ganrun.training.monitor import Monitor

RBM = "method=rbm"


def built(config):
    return config.method.build(config, config.dataset.shape)


@pytest.fixture(scope="module")
def digits(compose_config):
    return compose_config([RBM, "dataset=digits"])


def refusal(words):
    with pytest.raises(ConfigError) as caught:
        config = check(compose("train", [RBM, *words]))
        built(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["dataset=ring"],
            "method=rbm takes images with one channel, such as dataset=digits, and the data is vectors of 2.",
        ),
        (
            ["dataset=cifar10"],
            "method=rbm takes images with one channel, such as dataset=digits, and the data is 32 x 32 pixels with 3 "
            "channels.",
        ),
        (["dataset=digits", "conditional=true"], "conditional=true cannot be combined with method=rbm"),
        (["dataset=digits", "inference=bigan"], "inference=bigan adds an encoder to a GAN"),
        (["architecture=mlp"], "architecture is not a part of method=rbm: leave it out, or set architecture=null."),
        (["loss=hinge"], "loss is not a part of method=rbm: leave it out, or set loss=null."),
        (["precision=bf16"], "precision=bf16 cannot be combined with method=rbm, which has f32."),
        (["method.chains=none"], "method.chains must be one of persistent, cd, not 'none'."),
        (["method.gibbs_steps=0"], "method.gibbs_steps must be at least 1"),
        (["method.first_gibbs_steps=0"], "method.first_gibbs_steps must be at least 1"),
        (["method.decoder=auto"], "'method.decoder' is not a setting of method=rbm; method=vae has it."),
    ],
)
def test_what_a_machine_does_not_have_is_refused_in_one_line(words, message):
    assert refusal(words).startswith(message)


def test_what_a_machine_does_not_have_is_null_in_its_config(digits):
    parts = (digits.architecture, digits.loss, digits.schedule, digits.inputs, digits.optimizer.discriminator)
    assert parts == (None,) * 5
    assert check(yaml.safe_load(yaml.safe_dump(to_dict(digits)))) == digits
    assert chosen(digits) == {"dataset": "digits", "method": "rbm", "seed": 0}


def test_the_method_chooses_its_optimizer_and_the_command_line_wins(digits, compose_config):
    assert (digits.optimizer.generator.name, digits.optimizer.generator.final_momentum) == ("sgd", 0.9)
    assert compose_config([RBM, "dataset=digits", "optimizer=adam"]).optimizer.generator.name == "adam"
    preset = compose_config(["experiment=rbm"])
    assert (preset.dataset.name, preset.method.hidden, preset.method.gibbs_steps) == ("mnist", 500, 25)
    assert preset.method.first_gibbs_steps == 1
    assert preset.method.chains == "cd" and built(preset).visible == 784


def test_equal_settings_share_a_program_and_numbers_are_traced(compose_config, digits):
    own = ("seed=3", "method.gibbs_steps=7", "method.first_gibbs_steps=2", "method.weight_decay=0.5", "ema.decay=0.5")
    others = compose_config([RBM, "dataset=digits", *own])
    assert built(digits) == built(others) and hash(built(digits)) == hash(built(others))
    found, other = (config.method.hparams(config) for config in (digits, others))
    assert jax.tree.structure(found) == jax.tree.structure(other)
    assert [int(one["method"]["first_gibbs_steps"]) for one in (found, other)] == [1, 2]
    assert (int(other["method"]["gibbs_steps"]), float(other["method"]["weight_decay"])) == (7, 0.5)
    for word in ("method.hidden=5", "method.chains=cd", "method.sample_steps=9", "method.ais_steps=3"):
        assert built(compose_config([RBM, "dataset=digits", word])) != built(digits)


def test_what_it_logs_is_declared(compose_config, digits):
    always = {"log_likelihood_ais", "log_likelihood_ais_se", "log_z", "log_z_se"}
    always |= {"chains/autocorrelation_time", "chains/effective_samples", "chains/r_hat"}
    exact = {"log_likelihood", "log_likelihood_se", "log_z_exact"}
    few = compose_config([RBM, "dataset=digits", "method.hidden=20"])
    for config, wanted, others in ((digits, always, exact), (few, always | exact, set())):
        found = logged(config)
        assert wanted <= set(found) and others.isdisjoint(found) and len(found) == len(set(found))
        assert [tag for tag in found if spec_of(tag) is None] == []
    assert (better("log_likelihood_ais"), better("log_likelihood"), better("log_z")) == ("higher", "higher", None)
    best = dataclasses.replace(digits.checkpoint, best="log_likelihood_ais")
    require_best(dataclasses.replace(digits, checkpoint=best))


def test_transitions_that_jump_where_a_run_goes_on_are_told(compose_config):
    config = compose_config([RBM, "dataset=digits", "method.first_gibbs_steps=1", "method.gibbs_steps=25"])
    before, now = (dataclasses.replace(config, steps=steps) for steps in (100, 200))
    assert config.method.jumps(before, now, 100) == (
        "steps=200 in place of 100 changes at step 100: optimizer.generator.learning_rate 0 -> 0.025, "
        "method.gibbs_steps 25 -> 13."
    )


def test_an_uncertain_log_z_is_reported_at_the_end_unless_log_z_is_known(compose_config):
    config = compose_config([RBM, "dataset=digits", "steps=100", "method.ais_steps=50"])
    poor, good = {"log_z_se": 0.11}, {"log_z_se": 0.1}
    watch = Monitor(config)
    assert watch.see(90, poor) == []  # a later estimate may be better
    (found,) = watch.see(100, poor)
    assert (found.name, found.suggestions) == ("log Z not known", ("method.ais_steps=200",))
    assert "0.11 nats, above 0.1" in found.evidence
    for last in (good, {}, {"log_z_se": None}, poor | {"log_z_exact": 3.0}):
        assert Monitor(config).see(100, last) == []
    dbm = compose_config(["method=dbm", "dataset=digits", "steps=100"])
    assert [one.name for one in Monitor(dbm).see(100, poor)] == ["log Z not known"]

"""``method=autoregressive`` in a config: what it chooses, what it refuses, and what it logs."""

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
from ganrun.methods.autoregressive.conditionals import BernoulliConditional, GaussianMixture, LogisticMixture

METHOD = "method=autoregressive"


def built(config):
    return config.method.build(config, config.dataset.shape)


@pytest.fixture(scope="module")
def ring(compose_config):
    return compose_config([METHOD])


@pytest.fixture(scope="module")
def digits(compose_config):
    return compose_config([METHOD, "dataset=digits"])


@pytest.mark.parametrize(
    ("distribution", "shape", "wanted", "outputs"),
    [
        ("auto", (2,), GaussianMixture, 30),
        ("auto", (8, 8, 1), BernoulliConditional, 1),
        ("auto", (8, 8, 3), LogisticMixture, 30),
        ("logistic", (8, 8, 1), LogisticMixture, 30),
        ("gaussian", (8, 8, 1), GaussianMixture, 30),
        ("bernoulli", (8, 8, 3), BernoulliConditional, 1),
    ],
)
def test_the_distribution_suits_the_data_unless_it_is_chosen(distribution, shape, wanted, outputs, ring):
    option = dataclasses.replace(ring.method, distribution=distribution)
    method = option.build(ring, shape)
    assert type(method.conditional) is wanted and method.module.outputs == method.conditional.outputs == outputs


def refusal(words):
    with pytest.raises(ConfigError) as caught:
        config = check(compose("train", [METHOD, *words]))
        built(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss=hinge"], "loss is not a part of method=autoregressive: leave it out, or set loss=null."),
        (["penalty=r1"], "penalty is not a part of method=autoregressive: leave it out, or set penalty=null."),
        (["schedule.k=2"], "'schedule.k': schedule is not a part of method=autoregressive: leave it out."),
        (["inference=bigan"], "inference=bigan adds an encoder to a GAN: leave it out with method=autoregressive."),
        (["conditional=true", "dataset=gaussian"], "conditional=true needs a dataset with classes"),
        (["architecture=mlp"], "architecture=mlp has no networks for method=autoregressive: use architecture=fvsbn, "),
        (["architecture=pixelcnn"], "architecture=pixelcnn takes images; the data is vectors of 2."),
        (["dataset=dirac"], "dataset=dirac cannot be combined with method=autoregressive: all examples are the same"),
        (["method.distribution=bernoulli"], "method.distribution=bernoulli takes images, and the data is vectors of 2"),
        (["method.distribution=normal"], "method.distribution must be one of auto, bernoulli, gaussian, logistic, not"),
        (["method.components=0"], "method.components must be at least 1"),
        (["architecture.orders=0"], "architecture.orders must be at least 1"),
        (["method.decoder=auto"], "'method.decoder' is not a setting of method=autoregressive; method=vae has it."),
    ],
)
def test_what_an_autoregressive_model_does_not_have_is_refused_in_one_line(words, message):
    assert refusal(words).startswith(message)


def test_other_methods_have_no_networks_without_latents(compose_config):
    with pytest.raises(ConfigError, match=r"^architecture=made has no networks for method=gan: use architecture="):
        built(compose_config(["architecture=made"]))
    with pytest.raises(ConfigError, match=r"^architecture=pixelcnn has no networks for method=vae: use architecture="):
        built(compose_config(["method=vae", "architecture=pixelcnn"]))


@pytest.mark.parametrize(
    ("preset", "architecture", "orders"), [("fvsbn", "fvsbn", 1), ("made", "made", 1), ("pixelcnn", "pixelcnn", 1)]
)
def test_the_presets_are_of_binarised_mnist(preset, architecture, orders, compose_config):
    config = compose_config([f"experiment={preset}"])
    assert (config.method.name, config.dataset.name, config.architecture.name) == (
        "autoregressive",
        "mnist",
        architecture,
    )
    method = built(config)
    assert isinstance(method.conditional, BernoulliConditional) and method.orders == orders
    typed = compose_config([f"experiment={preset}", "dataset=digits", "optimizer.generator.decay=constant"])
    assert (config.optimizer.generator.decay, typed.optimizer.generator.decay) == ("cosine", "constant")


@pytest.mark.parametrize("words", [[], ["dataset=digits"], ["experiment=made"], ["experiment=pixelcnn"]])
def test_a_config_survives_a_round_trip(words, compose_config):
    config = compose_config([METHOD, *words])
    assert check(yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


def test_equal_settings_share_a_program_and_numbers_are_traced(compose_config, digits):
    words = ["seed=3", "optimizer.generator.learning_rate=0.1", "ema.decay=0.5", "steps=7"]
    others = compose_config([METHOD, "dataset=digits", *words])
    assert built(digits) == built(others) and hash(built(digits)) == hash(built(others))
    found, other = (config.method.hparams(config) for config in (digits, others))
    assert jax.tree.structure(found) == jax.tree.structure(other)
    assert set(found) == {"run", "optimizer", "ema"} and set(found["optimizer"]) == {"generator"}
    for word in ("method.distribution=logistic", "method.components=3", "architecture.orders=2", "conditional=true"):
        assert built(compose_config([METHOD, "dataset=digits", "method.distribution=gaussian", word])) != built(digits)


def test_it_has_no_latents_and_an_exact_density(ring, digits):
    for config in (ring, digits):
        method = built(config)
        assert method.prior is None and method.capabilities == {"log_density", "exact_density"}
        found = logged(config)
        assert {"loss", "grad_norm", "log_likelihood", "log_likelihood_se"} < set(found)
        assert [tag for tag in found if spec_of(tag) is None] == []
    assert (better("log_likelihood"), better("loss")) == ("higher", None)
    assert {"jsd/exact", "modes/covered"} < set(logged(ring))
    require_best(dataclasses.replace(ring, checkpoint=dataclasses.replace(ring.checkpoint, best="log_likelihood")))


def test_what_distinguishes_a_run_is_told_without_what_it_does_not_have(digits, compose_config):
    wanted = {"dataset": "digits", "architecture": "made", "method": "autoregressive", "seed": 0}
    assert chosen(digits) == wanted
    other = compose_config([METHOD, "dataset=digits", "method.components=3", "architecture.orders=4"])
    assert chosen(other) == {**wanted, "method.components": 3, "architecture.orders": 4}

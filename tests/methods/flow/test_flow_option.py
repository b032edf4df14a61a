"""``method=flow`` in a config: what it chooses, what it refuses, and which choice wins over which."""

import dataclasses

import pytest
import yaml

from ganrun.config.hparams import chosen
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check, to_dict
from ganrun.config.settings import Latent
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.logged import logged, require_best
from ganrun.evaluation.metrics.spec import better, spec_of
from ganrun.training.monitor import Monitor

FLOW = "method=flow"


def built(config):
    return config.method.build(config, config.dataset.shape)


@pytest.fixture(scope="module")
def ring(compose_config):
    return compose_config([FLOW])


@pytest.fixture(scope="module")
def digits(compose_config):
    return compose_config([FLOW, "dataset=digits", "architecture=realnvp"])


def refusal(words):
    with pytest.raises(ConfigError) as caught:
        built(check(compose("train", [FLOW, *words])))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss=hinge"], "loss is not a part of method=flow: leave it out, or set loss=null."),
        (["inference=bigan"], "inference=bigan adds an encoder to a GAN: leave it out with method=flow."),
        (["latent.prior=uniform"], "latent.prior must be normal with method=flow, not uniform."),
        (["architecture=mlp"], "architecture=mlp has no networks for method=flow: use architecture=realnvp or spline."),
        (["dataset=dirac"], "dataset=dirac cannot be combined with method=flow: all examples are the same"),
        (["precision=bf16"], "precision=bf16 cannot be combined with method=flow, which has f32."),
        (["conditional=true", "dataset=gaussian"], "conditional=true needs a dataset with classes"),
        (
            ["latent.dim=1"],
            "latent.dim must be 2 with method=flow, the numbers of an example (vectors of 2), not 1: a flow is "
            "invertible. Leave it out.",
        ),
        (["latent.dim=3"], "latent.dim must be 2 with method=flow"),
        (
            ["dataset=digits", "latent.dim=100"],
            "latent.dim must be 64 with method=flow, the numbers of an example (8 x 8 pixels with 1 channel), not 100",
        ),
        (["dataset=mixture1d", "architecture=realnvp"], "architecture=realnvp takes at least two numbers"),
        (
            ["dataset=mnist"],
            "architecture=spline takes vectors, and images of at most 256 numbers; the data is 28 x 28",
        ),
        (["latent.dim=two"], "latent.dim must be a whole number"),
    ],
)
def test_what_a_flow_does_not_have_is_refused_in_one_line(words, message):
    assert refusal(words).startswith(message)


@pytest.mark.parametrize("method", ["gan", "vae"])
def test_other_methods_refuse_latents_of_the_dimension_of_the_data(method):
    with pytest.raises(ConfigError) as caught:
        check(compose("train", [f"method={method}", "latent.dim=null"]))
    assert str(caught.value) == f"latent.dim must be a whole number with method={method}, not null."
    assert Latent(dim=7).size == 7
    with pytest.raises(ValueError, match="dimension of the data"):
        _ = Latent(dim=None).size


@pytest.mark.parametrize(
    ("words", "size"),
    [([], 2), (["dataset=mixture1d"], 1), (["dataset=digits"], 64), (["dataset=digits", "latent.dim=64"], 64)],
)
def test_the_latents_have_the_dimension_of_the_data(words, size, compose_config):
    for order in ([FLOW, *words], [*words, FLOW]):
        method = built(compose_config(order))
        assert (method.prior.name, method.prior.dim) == ("normal", size)


def test_the_presets_are_flows(compose_config):
    image, plane = (compose_config([f"experiment={name}"]) for name in ("realnvp", "spline"))
    assert (image.dataset.name, image.architecture.name, plane.dataset.name) == ("mnist", "realnvp", "ring")
    assert image.method.name == plane.method.name == "flow" and plane.architecture.name == "spline"
    assert built(image).prior.dim == 784 and built(plane).prior.dim == 2


@pytest.mark.parametrize("words", [[], ["dataset=digits"], ["experiment=realnvp"], ["conditional=true"]])
def test_a_config_survives_a_round_trip(words, compose_config):
    config = compose_config([FLOW, *words])
    assert check(yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


def test_equal_settings_share_a_program_and_numbers_are_traced(compose_config, digits):
    words = [FLOW, "dataset=digits", "architecture=realnvp"]
    other = compose_config([*words, "seed=3", "optimizer.generator.learning_rate=0.1", "ema.decay=0.5", "steps=7"])
    assert built(digits) == built(other) and hash(built(digits)) == hash(built(other))
    assert set(other.method.hparams(other)) == {"run", "optimizer", "ema"}
    for word in ("architecture.width=5", "architecture.couplings=3", "conditional=true", "batch_size=7"):
        assert built(compose_config([*words, word])) != built(digits)


def test_what_it_logs_is_declared_and_the_likelihood_improves_upwards(ring, digits):
    assert logged(ring)[:3] == ["loss", "grad_norm", "steps_per_second"]
    assert {"log_likelihood", "log_likelihood_se", "inverse_error", "jsd/exact"} < set(logged(ring))
    assert "data_missed" not in logged(ring)  # its density is positive everywhere
    found = set(logged(digits))
    assert {"bits_per_dim", "log_likelihood_bound", "log_likelihood_bound_se", "inverse_error"} < found
    assert "log_likelihood" not in found
    for config in (ring, digits):
        tags = logged(config)
        assert len(tags) == len(set(tags)) and [tag for tag in tags if spec_of(tag) is None] == []
    assert (better("log_likelihood"), better("log_likelihood_bound"), better("loss")) == ("higher", "higher", None)
    require_best(dataclasses.replace(ring, checkpoint=dataclasses.replace(ring.checkpoint, best="log_likelihood")))


def test_what_distinguishes_a_run_is_told_without_what_it_does_not_have(digits):
    assert chosen(digits) == {"dataset": "digits", "architecture": "realnvp", "method": "flow", "seed": 0}


def test_an_inexact_inverse_is_reported_with_half_the_learning_rate():
    watch = Monitor(check(compose("train", [FLOW, "steps=1000"])), modes=8)
    assert watch.see(10, {"inverse_error": 1e-5}) == []
    (found,) = watch.see(20, {"inverse_error": 0.01})
    assert (found.name, found.suggestions) == ("flow not inverted", ("optimizer.generator.learning_rate=0.0005",))

"""``method=gsn``: walkback training, samples, members of populations, and what a config chooses and refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

from ganrun.architectures.denoiser import MlpDenoiserOption
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import spec_of
from ganrun.keys import key_for
from ganrun.methods.gsn.gsn import Gsn
from ganrun.methods.likelihoods import LIKELIHOODS, Bernoulli, Gaussian
from ganrun.optimizers import Sgd

LEVEL = {"method": {"corruption": jnp.float32(0.3)}}


def small(kind, shape, **more):
    likelihood = LIKELIHOODS[kind]
    module = MlpDenoiserOption(hidden=(5,)).build_denoiser(shape, likelihood.OUTPUTS)
    settings = {"optimizer": Sgd(), "batch_size": 4, "shape": shape, "walkback": 3, "sample_steps": 8}
    return Gsn(**{"module": module, "likelihood": likelihood, **settings, **more})


def begun(method):
    return method.initial(jax.random.key(0), jnp.zeros((1, *method.shape)))


CASES = (("bernoulli", (2, 2, 1)), ("gaussian", (3,)))


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_the_loss_is_the_mean_over_the_steps_of_walkback_of_the_reconstruction_of_the_example(kind, shape):
    method, key = small(kind, shape), jax.random.key(1)
    variables, x = begun(method), jnp.where(jax.random.uniform(jax.random.key(2), (4, *shape)) < 0.5, -1.0, 1.0)
    value, ((first, last), _) = method.loss(variables, x, None, key, LEVEL)
    state, wanted = x, []
    for t in range(3):  # operation by operation
        own = key_for(key, "walkback", t)
        c = method.corrupted(state, 0.3, key_for(own, "corruption"))
        outputs = method.module.apply({"params": variables["params"]["networks"]}, c, train=False)
        if kind == "gaussian":
            outputs = jnp.concatenate([outputs, jnp.full_like(outputs, np.log(0.1))], axis=-1)
        elements = np.asarray(method.likelihood.log_prob(outputs, x), np.float64)
        wanted.append(elements.reshape(4, -1).sum(axis=1).mean())
        drawn = method.likelihood.sample(outputs, key_for(key_for(own, "state"), "sample"))
        state = method.likelihood.observed(drawn, key_for(key_for(own, "state"), "observation"))
    assert float(value) == pytest.approx(-np.mean(wanted), rel=1e-4)
    assert (float(first), float(last)) == (pytest.approx(wanted[0], rel=1e-4), pytest.approx(wanted[2], rel=1e-4))
    assert len(set(wanted)) == 3


def test_no_gradient_passes_through_the_states():
    # Only log P(x_0|c_t) is differentiated: log_std has the gradient of its own terms, steps + sum of squares.
    method, key = small("gaussian", (1,), walkback=1), jax.random.key(1)
    x = jnp.asarray([[0.5], [-0.5], [0.1], [0.0]])
    more = dataclasses.replace(method, walkback=2)
    one, two = (
        jax.grad(lambda v, m=m: m.loss(v, x, None, key, LEVEL)[0])(begun(method))["params"] for m in (method, more)
    )
    assert np.isfinite(float(one["log_std"])) and float(one["log_std"]) != float(two["log_std"])

    def squares(method):  # d(-log p) / d log_std = 1 - (x - m)² / s²
        value, _ = method.loss(begun(method), x, None, key, LEVEL)
        return 1.0 - 2.0 * (float(value) - np.log(0.1) - 0.5 * np.log(2 * np.pi))

    assert float(one["log_std"]) == pytest.approx(squares(method), rel=1e-4)
    assert float(two["log_std"]) == pytest.approx(squares(more), rel=1e-4)


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_samples_are_draws_of_the_last_step_of_a_chain(kind, shape):
    method = small(kind, shape)
    variables = begun(method)
    samples = np.asarray(method.sample(variables, LEVEL, jax.random.key(3), 200))
    assert samples.shape == (200, *shape) and np.isfinite(samples).all()
    if kind == "bernoulli":  # probabilities of white, as those of grey values
        assert np.abs(samples).max() < 1.0
        states, _ = method.transition(variables, 0.3, jax.random.key(0), method.random_states(jax.random.key(1), 50))
        assert set(np.unique(states)) == {-1.0, 1.0}
    assert method.capabilities == frozenset() and method.prior is None


WORDS = ("method=gsn", "optimizer=sgd", "architecture.hidden=[8]", "method.sample_steps=10", "method.walkback=2")
SMALL = ("batch_size=16", "steps=100")


@pytest.mark.parametrize("dataset", ["digits", "ring"])
def test_members_of_a_population_are_what_the_runs_are_by_themselves(dataset, compose_config):
    config = compose_config((*WORDS, *SMALL, f"dataset={dataset}"))
    other = variants(
        config, 3, rate=1e-3, method=lambda option, i: dataclasses.replace(option, corruption=0.2 + 0.1 * i)
    )
    found = assert_members_equal_runs(other, rtol=5e-4, atol=5e-5, of_samples=5e-4)
    assert_all_differ(found, "DenseLayers_0/Dense_0/kernel")


def test_the_data_choose_the_distribution_and_the_corruption(compose_config):
    config = compose_config(["method=gsn"])
    for shape, wanted in (((2,), Gaussian), ((8, 8, 1), Bernoulli), ((8, 8, 3), Gaussian)):
        assert type(config.method.build(config, shape).likelihood) is wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["conditional=true", "dataset=digits"], "conditional=true cannot be combined with method=gsn"),
        (["architecture=mlp"], "architecture=mlp has no networks for method=gsn: use architecture=mlp_denoiser."),
        (["dataset=dirac"], "dataset=dirac cannot be combined with method=gsn"),
        (["method.walkback=0"], "method.walkback must be at least 1"),
        (["method.corruption=0"], "method.corruption must be at most 1000 and greater than 0, not 0."),
        (
            ["method.corruption=1.5", "dataset=digits"],
            "method.corruption=1.5 is the probability that a pixel is replaced",
        ),
        (["loss=hinge"], "loss is not a part of method=gsn: leave it out, or set loss=null."),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(words, message):
    with pytest.raises(ConfigError) as caught:
        config = check(compose("train", ["method=gsn", *words]))
        config.method.build(config, config.dataset.shape)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_what_it_logs_is_declared_and_equal_settings_share_a_program(compose_config):
    one, other = (compose_config(["method=gsn", *words]) for words in ([], ["method.corruption=0.1", "seed=2"]))
    assert one.method.build(one, (2,)) == other.method.build(other, (2,))
    assert float(other.method.hparams(other)["method"]["corruption"]) == pytest.approx(0.1)
    found = logged(one)
    assert {"log_likelihood/first_step", "log_likelihood/last_step", "chains/r_hat"} < set(found)
    assert [tag for tag in found if spec_of(tag) is None] == []

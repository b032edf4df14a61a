"""``method=drifting``: its loss and gradient, samples, members of populations, and what it chooses and refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

from ganrun.architectures.mlp import Mlp
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import spec_of
from ganrun.keys import key_for
from ganrun.methods.drifting.drifting import Drifting
from ganrun.methods.drifting.field import KERNELS, NORMALISATIONS, drifting_fields, rescaled
from ganrun.optimizers import Sgd
from ganrun.priors import Prior

HPARAMS = {"method": {"temperatures": jnp.asarray([0.2, 1.0])}}


def small(shape=(2,), prior="normal", kernel="laplace", normalisation="joint", rescaled=True):
    module = Mlp(generator_hidden=(5,)).build(shape, 3).generator
    return Drifting(
        module=module,
        optimizer=Sgd(),
        batch_size=6,
        shape=shape,
        latents=Prior(prior, 3),
        kernel=kernel,
        normalisation=normalisation,
        rescaled=rescaled,
    )


def begun(method):
    variables = method.initial(jax.random.key(0), jnp.zeros((1, *method.shape)))
    return {"batch_stats": {}, **variables}


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_gradient_moves_the_samples_along_the_field(kernel, normalisation, scaled):
    # d/dp E ||G - T||² = -2 E V · dG/dp, with the target T = G + V held fixed.
    method, key = small(kernel=kernel, normalisation=normalisation, rescaled=scaled), jax.random.key(1)
    variables, x = begun(method), jax.random.normal(jax.random.key(2), (6, 2)) + 1.0
    (value, ((norm,), _)), gradient = jax.value_and_grad(
        lambda params: method.loss({**variables, "params": params}, x, None, key, HPARAMS), has_aux=True
    )(variables["params"])
    noise = method.prior.draw(key_for(key, "noise"), 6)
    samples, pull = jax.vjp(lambda params: method.decode({**variables, "params": params}, noise), variables["params"])
    temperatures = HPARAMS["method"]["temperatures"] * np.sqrt(2.0)
    fields = drifting_fields(
        samples, x, samples, temperatures, KERNELS[kernel], NORMALISATIONS[normalisation], without_self=True
    )
    v = (rescaled(fields) if scaled else fields).sum(axis=0)
    for found, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(pull(-2.0 * v / 6)[0]), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert float(value) == pytest.approx(np.mean(np.sum(np.asarray(v) ** 2, axis=1)), rel=1e-4)
    lengths = np.linalg.norm(np.asarray(fields.sum(axis=0)), axis=1)  # before they are rescaled
    assert float(norm) == pytest.approx(np.mean(lengths), rel=1e-5) and lengths.min() > 1e-3


def test_images_drift_as_the_vectors_of_their_pixels():
    method, key = small((4, 4, 1)), jax.random.key(1)
    x = jax.random.uniform(jax.random.key(2), (6, 4, 4, 1), minval=-1.0)
    flat = x.reshape(6, 16)
    samples = flat[::-1] * 0.5
    wanted = drifting_fields(
        samples, flat, samples, jnp.asarray([0.8, 4.0]), KERNELS["laplace"], NORMALISATIONS["joint"], without_self=True
    )  # at sqrt(16) times the temperatures
    np.testing.assert_allclose(method.fields(samples, flat, HPARAMS), wanted, rtol=1e-5)
    value, _ = method.loss(begun(method), x, None, key, HPARAMS)
    assert np.isfinite(float(value))


def test_samples_are_what_the_latents_of_the_prior_stand_for():
    for prior in ("normal", "uniform"):
        method = small(prior=prior)
        variables = begun(method)
        samples = method.sample(variables, HPARAMS, jax.random.key(3), 50)
        latents = Prior(prior, 3).draw(key_for(jax.random.key(3), "noise"), 50)
        np.testing.assert_array_equal(samples, method.decode(variables, latents))
        module, of_module = method.decoder(variables)
        np.testing.assert_array_equal(samples, module.apply(of_module, latents, train=False))
        assert samples.shape == (50, 2) and method.capabilities == {"decode", "push"}
    assert method.rank == 2


WORDS = ("method=drifting", "optimizer=sgd", "optimizer.discriminator=null", "batch_size=16", "steps=100")
RUNS = {
    "digits": ("dataset=digits", "architecture.generator_hidden=[8,8]"),
    "ring": ("dataset=ring", "architecture.generator_hidden=[8]", "method.normalisation=separate"),
}


@pytest.mark.parametrize("name", RUNS)
def test_members_of_a_population_are_what_the_runs_are_by_themselves(name, compose_config):
    config = compose_config(("dataset=" + name, *WORDS, *RUNS[name]))
    other = variants(
        config,
        3,
        rate=1e-3,
        method=lambda option, i: dataclasses.replace(option, temperatures=(0.1 * (1 + i), 0.5, 2.0)),
    )
    found = assert_members_equal_runs(other, rtol=5e-4, atol=5e-5, of_samples=5e-4)
    assert_all_differ(found, "Dense_0/kernel")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["conditional=true"], "conditional=true cannot be combined with method=drifting"),
        (["architecture=spline"], "architecture=spline has no networks for method=drifting: use architecture="),
        (["batch_size=1"], "batch_size must be at least 2 with method=drifting"),
        (["method.temperatures=[]"], "method.temperatures must have at least one temperature."),
        (["method.temperatures=[0.1,0]"], "method.temperatures"),
        (["method.kernel=cauchy"], "method.kernel must be one of laplace, gaussian, not 'cauchy'"),
        (["method.normalisation=none"], "method.normalisation must be one of joint, separate"),
        (["inference=bigan"], "inference=bigan adds an encoder to a GAN: leave it out with method=drifting."),
        (["loss=hinge"], "loss is not a part of method=drifting: leave it out, or set loss=null."),
        (["penalty=r1"], "penalty is not a part of method=drifting"),
        (["latent.dim=null"], "latent.dim must be a whole number with method=drifting, not null."),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(words, message):
    with pytest.raises(ConfigError) as caught:
        config = check(compose("train", ["method=drifting", *words]))
        config.method.build(config, config.dataset.shape)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_what_it_logs_is_declared_and_equal_settings_share_a_program(compose_config):
    one, other = (
        compose_config(["method=drifting", *words]) for words in ([], ["method.temperatures=[0.1,0.4,3]", "seed=2"])
    )
    assert one.method.build(one, (2,)) == other.method.build(other, (2,))
    np.testing.assert_allclose(other.method.hparams(other)["method"]["temperatures"], [0.1, 0.4, 3.0])
    more = compose_config(["method=drifting", "method.kernel=gaussian"])
    assert more.method.build(more, (2,)) != one.method.build(one, (2,))
    found = logged(one)
    assert {"loss", "drift/norm", "grad_norm", "jsd/exact"} <= set(found)
    assert [tag for tag in found if spec_of(tag) is None] == []

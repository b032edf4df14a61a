"""The exported functions: of latents, of labels, of random keys, for one number of samples or any."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from saved_runs import random_state, with_small_networks

from ganrun import datasets
from ganrun.architectures.convolution.derivatives import CONVOLVE, INPUT_GRADIENT
from ganrun.errors import GanrunError
from ganrun.export.programs import Input, Program, foreign_calls, lowered, programs_of
from ganrun.methods.base import Method
from ganrun.methods.experiment import Experiment

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.fixture(scope="module")
def model(compose_config):
    """Return the experiment and the weights of a run with these settings, without training."""

    def of(*words: str, **changes):
        config = dataclasses.replace(with_small_networks(compose_config(words)), **changes)
        data = datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=None)
        experiment = Experiment(config, data)
        return experiment, config, experiment.variables(random_state(config))

    return of


def test_one_program_serves_any_number_of_samples(model):
    experiment, config, variables = model("dataset=ring")
    (program,) = programs_of(experiment, config, variables)
    loaded = export.deserialize(bytearray(lowered(program, None, PLATFORMS).serialize()))
    z = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    few, many = np.asarray(loaded.call(z[:1])), np.asarray(loaded.call(z))
    assert few.shape == (1, 2) and many.shape == (6, 2)
    np.testing.assert_allclose(few[0], many[0], rtol=0, atol=1e-6)
    first, last = (jax.device_get(variables["params"][f"Dense_{i}"]) for i in range(2))
    hidden = z @ first["kernel"] + first["bias"]
    expected = np.where(hidden > 0, hidden, 0.2 * hidden) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(many, expected, rtol=0, atol=1e-5)


def test_a_fixed_number_of_samples_refuses_another(model):
    experiment, config, variables = model("dataset=ring")
    (program,) = programs_of(experiment, config, variables)
    exported = lowered(program, 4, ("cpu",))
    assert exported.in_avals[0].shape == (4, 2) and exported.platforms == ("cpu",)
    with pytest.raises(ValueError, match="shape"):
        exported.call(np.zeros((3, 2), np.float32))


def test_labels_choose_the_class(model):
    experiment, config, variables = model("dataset=ring", conditional=True)
    (program,) = programs_of(experiment, config, variables)
    exported = lowered(program, None, PLATFORMS)
    z = np.zeros((3, 2), np.float32)
    same, other = exported.call(z, np.zeros(3, np.int32)), exported.call(z, np.array([0, 1, 7], np.int32))
    np.testing.assert_array_equal(same[0], other[0])
    assert not np.allclose(same[1], other[1]) and not np.allclose(other[1], other[2])
    own = experiment.decode(variables, jnp.asarray(z), jnp.array([0, 1, 7], jnp.int32))
    np.testing.assert_allclose(other, own, rtol=0, atol=1e-5)


def test_samples_with_noise_of_their_own_are_a_function_of_keys(model):
    experiment, config, variables = model("method=vae", "dataset=ring")
    mean, sample = programs_of(experiment, config, variables)
    assert (mean.name, sample.name) == ("model", "sample") and "means" in mean.meaning
    keys = jax.random.split(jax.random.key(3), 400)
    drawn = np.asarray(lowered(sample, None, PLATFORMS).call(jax.random.key_data(keys)))
    own = np.asarray(experiment.method.sample(variables, experiment.hparams, keys[5], 1))
    np.testing.assert_allclose(drawn[5], own[0], rtol=0, atol=1e-5)
    # The samples have the variance of the means, of latents of the prior, and that of the noise beside it.
    z = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    means = np.asarray(lowered(mean, None, PLATFORMS).call(z))
    noise = float(np.exp(2 * variables["params"]["log_std"]))
    assert drawn.var(axis=0).sum() > means.var(axis=0).sum() + noise


class Noise(Method):
    """Samples without latents, as of a plugin: normal noise around the weights."""

    tags = init = step = variables = None  # no part of an export
    batch_size = 4
    classes = 3

    def sample(self, variables, hparams, key, n, labels=None):
        return variables["mean"] + labels[:, None] + hparams["scale"] * jax.random.normal(key, (n, 2))


def test_a_method_without_latents_has_samples_of_keys_only():
    experiment = SimpleNamespace(method=Noise(), hparams={"scale": jnp.float32(0.5)})
    (program,) = programs_of(experiment, SimpleNamespace(dataset=None), {"mean": jnp.array([10.0, 20.0])})
    assert program.name == "sample" and [one.name for one in program.inputs] == ["keys", "labels"]
    keys, labels = jax.random.split(jax.random.key(0), 3), np.array([0, 1, 2], np.int32)
    drawn = np.asarray(lowered(program, None, PLATFORMS).call(jax.random.key_data(keys), labels))
    noise = np.stack([jax.random.normal(key, (1, 2))[0] for key in keys])
    np.testing.assert_allclose(drawn, [[10, 20], [11, 21], [12, 22]] + 0.5 * noise, rtol=1e-6)


def test_samples_are_in_the_units_of_the_data(model):
    experiment, config, variables = model("dataset=ring")
    (program,) = programs_of(experiment, config, variables)
    scaled = SimpleNamespace(dataset=SimpleNamespace(in_data_units=lambda x: x * np.array([10.0, 2.0]) + 3.0))
    (in_units,) = programs_of(experiment, scaled, variables)
    z = np.ones((2, 2), np.float32)
    expected = np.asarray(program.function(z)) * [10.0, 2.0] + 3.0
    exported = lowered(in_units, None, PLATFORMS)
    np.testing.assert_allclose(exported.call(z), expected, rtol=1e-6)
    assert exported.out_avals[0].dtype == np.float32


def test_convolutions_are_those_of_xla_whatever_the_backend_prefers(model):
    experiment, config, variables = model("dataset=digits", "architecture=dcgan", "latent.dim=4")
    (program,) = programs_of(experiment, config, variables)
    z = jnp.zeros((2, 4))

    def primitives(function):
        return {equation.primitive for equation in jax.make_jaxpr(function)(z).eqns}

    own = primitives(lambda z: experiment.method.decode(variables, z))
    assert own & {CONVOLVE, INPUT_GRADIENT}  # on the CPU, so that the next line can fail
    assert not primitives(program.function) & {CONVOLVE, INPUT_GRADIENT}
    assert jax.lax.conv_general_dilated_p in primitives(program.function)


def test_calls_to_code_of_one_machine_are_found():
    text = """
    %0 = stablehlo.custom_call @cu_threefry2x32_ffi(%arg0) : (tensor<2xui32>) -> tensor<2xui32>
    stablehlo.custom_call @shape_assertion(%1, %0) : (tensor<i1>, tensor<i32>) -> ()
    %2 = stablehlo.custom_call @lapack_spotrf_ffi(%0) : (tensor<2xui32>) -> tensor<2xui32>
    """
    assert foreign_calls(text) == ["cu_threefry2x32_ffi", "lapack_spotrf_ffi"]


def program_of(function) -> Program:
    return Program("model", (Input("latents", (2, 2), "float32", ""),), function, "")


def test_an_operation_that_other_machines_lack_is_refused():
    cholesky = program_of(lambda x: jnp.linalg.cholesky(x))
    with pytest.raises(GanrunError, match="operation that other machines may lack"):
        lowered(cholesky, 3, ("cpu",))


def test_a_model_that_needs_a_fixed_number_of_samples_says_so():
    by_value = program_of(lambda x: x * np.arange(int(x.shape[0]))[:, None, None])
    with pytest.raises(GanrunError, match="batch=symbolic: try a fixed one, such as batch=64"):
        lowered(by_value, None, ("cpu",))
    assert lowered(by_value, 3, ("cpu",)).platforms == ("cpu",)

"""``precision``: what the networks compute in, and what stays float32 whatever they compute in."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from narrow import METHODS, NARROW

from ganrun.config.registry import options
from ganrun.config.settings import PRECISIONS
from ganrun.datasets.sampler import Cursor
from ganrun.evaluation.divergence.run_distribution import model_distribution
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Progress
from ganrun.methods.precision import InPrecision, in_precision, unwrapped, with_float32_products
from ganrun.training.build import build

SMALL = ("batch_size=16", "probe=off")
DATA = {"mlp": "ring", "dirac": "dirac"}
TINY = ("architecture=mlp", *NARROW["mlp"], *SMALL)
# Runs whose networks differ from those of the architecture's defaults, or are differentiated in another way.
VARIANTS = {
    "r1 and r2": ("dataset=digits", "architecture=r3gan", *NARROW["r3gan"], "penalty=[r1,r2]", "loss=relativistic"),
    "unrolled": ("dataset=ring", *TINY, "generator_update.unrolled=2"),
    "consensus": ("dataset=ring", *TINY, "penalty=[consensus]"),
    "batch norm": ("dataset=ring", *TINY, "architecture.generator_norm=batch"),
    "several outputs": ("dataset=ring", *TINY, "loss=cramer"),
    "features": ("dataset=ring", *TINY, "loss=feature_matching"),
    "encoder": ("dataset=digits", "architecture=dcgan", *NARROW["dcgan"], "inference=bigan"),
    "own convolutions of XLA": (
        "dataset=digits",
        "architecture=dcgan",
        *NARROW["dcgan"],
        "architecture.convolution=xla",
    ),
    "minibatch features": ("dataset=ring", *TINY, "architecture.minibatch=discrimination"),
}
PIECES = 5  # of a maxout unit: the gradient of a maximum is divided by the number of equal pieces


def words_of(architecture):
    method = (f"method={METHODS[architecture]}",) if architecture in METHODS else ()
    data = f"dataset={DATA.get(architecture, 'digits')}"
    return (data, f"architecture={architecture}", *NARROW[architecture], *method)


# A flow computes in float32 only: rounded, its inverse would not be one.
RUNS = {name: words_of(name) for name in NARROW if METHODS.get(name) != "flow"} | VARIANTS


@pytest.fixture
def experiment(compose_config):
    return lambda precision, words: build(compose_config((*words, *SMALL, f"precision={precision}")))


def step_of(experiment):
    """The jaxpr of one step, and the abstract values that it returns: the model, the cursor, and the metrics."""
    state, data = experiment.abstract(), experiment.data

    def step(model, train, held_out, hparams, index):
        batches = Batches(train=train, held_out=held_out, cursor=Cursor.start())
        progress = Progress(step=index, steps=hparams["run"]["steps"])
        return experiment.method.step(model, batches, key_for(jax.random.key(0), "step", index), hparams, progress)

    arguments = (state.model, experiment.window(Cursor.start(), 1), data.held_out, state.hparams, jnp.int32(0))
    closed, shapes = jax.make_jaxpr(step, return_shape=True)(*arguments)
    return closed.jaxpr, state.model, shapes


def equations(jaxpr):
    """All equations of ``jaxpr``, also those of the functions that it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, (list, tuple)) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def products(jaxpr):
    """The dtypes of the operands, and the precision, of every matrix product and convolution of ``jaxpr``."""
    return [
        (*(str(operand.aval.dtype) for operand in equation.invars), equation.params["precision"])
        for equation in equations(jaxpr)
        if equation.primitive.name in ("dot_general", "conv_general_dilated")
    ]


def floats(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


def test_every_architecture_is_among_the_runs():
    assert set(NARROW) == set(options("architecture"))
    assert set(NARROW) - set(RUNS) == {"realnvp", "spline"}


@pytest.mark.parametrize("name", RUNS)
def test_in_bf16_all_products_of_the_networks_are_of_bfloat16_and_all_else_is_float32(experiment, name):
    jaxpr, before, (after, _, metrics) = step_of(experiment("bf16", RUNS[name]))
    assert floats(before) == floats(after) == floats(metrics) == {"float32"}
    assert jax.tree.map(lambda leaf: leaf.dtype, before) == jax.tree.map(lambda leaf: leaf.dtype, after)
    found = {(left, right) for left, right, _ in products(jaxpr)}
    assert found == (set() if name == "dirac" else {("bfloat16", "bfloat16")})  # dirac multiplies two numbers
    for equation in equations(jaxpr):
        if equation.primitive.name == "reduce_sum" and equation.invars[0].aval.dtype == jnp.bfloat16:
            terms = equation.invars[0].aval.size // equation.outvars[0].aval.size
            assert terms == 1 or (name == "maxout" and terms == PIECES)  # other sums are of float32


@pytest.mark.parametrize("name", ["mlp", "dcgan", "mlp_vae", "r1 and r2"])
@pytest.mark.parametrize(("precision", "level"), [("f32", "HIGHEST"), ("tf32", "HIGH")])
def test_without_bf16_nothing_is_of_bfloat16_and_products_are_as_precise_as_asked(experiment, name, precision, level):
    run = experiment(precision, RUNS[name])
    with jax.default_matmul_precision("bfloat16"):  # whatever the process has chosen
        jaxpr, *_ = with_float32_products(step_of)(run)
    assert not [equation for equation in equations(jaxpr) if "bfloat16" in str(equation.outvars)]
    found = products(jaxpr)
    assert found
    wanted = jax.lax.Precision[level]
    assert set(found) == {("float32", "float32", (wanted, wanted))}


def test_the_programs_of_a_run_multiply_in_float32_whatever_the_process_has_chosen(experiment):
    run = experiment("f32", RUNS["mlp"])
    variables, latents = run.variables(run.abstract()), jnp.zeros((4, 2))
    with jax.default_matmul_precision("bfloat16"):
        jaxpr = jax.make_jaxpr(run.decode)(variables, latents).jaxpr
    highest = jax.lax.Precision.HIGHEST
    assert {level for *_, level in products(jaxpr)} == {(highest, highest)}


def test_spectral_normalisation_iterates_in_float32(experiment):
    """With one power iteration on the same initial matrices, its vectors are those of f32; the products are not."""
    words = ("dataset=ring", *TINY, "penalty=[spectral_normalisation]")
    runs = [experiment(precision, words) for precision in ("f32", "bf16")]
    one, other = (run.advance(run.init(), 1)[0].model.discriminator for run in runs)
    for path, direction in one.stats["spectral"].items():
        np.testing.assert_allclose(other.stats["spectral"][path], direction, rtol=1e-5, atol=1e-6)
    weights = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(each.optimizer)]) for each in (one, other)]
    assert np.abs(weights[0] - weights[1]).max() > 1e-6


@pytest.mark.parametrize("precision", PRECISIONS)
def test_initial_parameters_do_not_depend_on_the_precision(experiment, precision):
    one, other = (experiment(name, RUNS["mlp"]).init().model for name in ("f32", precision))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("name", ["mlp", "mlp_vae"])
def test_tf32_is_f32_on_a_device_without_tensorfloat32(experiment, name):
    one, other = (run.advance(run.init(), 3) for run in (experiment(p, RUNS[name]) for p in ("f32", "tf32")))
    jax.tree.map(np.testing.assert_array_equal, one[0].model, other[0].model)
    np.testing.assert_array_equal(one[1].means, other[1].means)


class Normalised(nn.Module):
    """Two layers, an operation with a float32 constant between them, and batch norm."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(32)(x) * jnp.linspace(0.5, 1.5, 32)
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(8)(nn.tanh(x))


@pytest.fixture(scope="module")
def network():
    module = Normalised()
    x = 3 + jax.random.normal(jax.random.key(0), (256, 5))
    return module, module.init(jax.random.key(1), x, train=False), x


def gradients(module, variables, x):
    def loss(params):
        given = {**variables, "params": params}
        output, _ = module.apply(given, x, train=True, mutable=["batch_stats"])
        return jnp.mean((output - jnp.linspace(-1, 1, 8)) ** 2)

    return jax.jit(jax.grad(loss))(variables["params"])


def test_gradients_in_bf16_are_close_to_those_in_float32_but_not_the_same(network):
    module, variables, x = network
    one, other = (gradients(in_precision(module, precision), variables, x) for precision in ("f32", "bf16"))
    assert floats(other) == {"float32"}
    # Batch norm removes what the first layer's bias adds, so the gradient of that one is rounding and nothing else.
    assert float(jnp.abs(one["Dense_0"].pop("bias")).max()) < 1e-6
    assert float(jnp.abs(other["Dense_0"].pop("bias")).max()) < 1e-2
    for wanted, found in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        error = float(jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted))
        assert 1e-5 < error < 4 * 2**-8  # a few roundings to 8 significant bits


def test_an_operation_with_a_float32_constant_does_not_make_later_layers_float32(network):
    module, variables, x = network
    apply = partial(InPrecision(module, "bf16").apply, train=False)
    found = {(left, right) for left, right, _ in products(jax.make_jaxpr(apply)(variables, x).jaxpr)}
    assert found == {("bfloat16", "bfloat16")}


def test_running_averages_are_float32_means_of_the_rounded_activations(network):
    module, variables, x = network
    output, new = InPrecision(module, "bf16").apply(variables, x, train=True, mutable=["batch_stats"])
    assert output.dtype == jnp.float32
    mean = new["batch_stats"]["BatchNorm_0"]["mean"]
    assert mean.dtype == jnp.float32
    assert np.any(np.asarray(mean) != np.asarray(mean.astype(jnp.bfloat16), np.float32))  # it has more than 8 bits

    def rounded(array):
        return np.asarray(jnp.asarray(array, jnp.bfloat16), np.float64)

    layer = variables["params"]["Dense_0"]
    active = rounded(rounded(x) @ rounded(layer["kernel"])) + rounded(layer["bias"])
    active = rounded(rounded(active) * np.asarray(jnp.linspace(0.5, 1.5, 32), np.float64))
    # Flax's momentum is 0.99, from 0. One product may be rounded the other way, which moves the mean by 1e-5 of it.
    np.testing.assert_allclose(mean, 0.01 * active.mean(axis=0), rtol=1e-3, atol=1e-5)


def test_variables_are_not_changed_by_applying(network):
    module, variables, x = network
    before = jax.tree.map(np.array, variables)
    InPrecision(module, "bf16").apply(variables, x, train=True, mutable=["batch_stats"])
    assert floats(variables) == {"float32"}
    jax.tree.map(np.testing.assert_array_equal, before, variables)


def test_networks_are_wrapped_only_if_they_compute_in_another_precision(network):
    module = network[0]
    assert in_precision(module, "f32") is module
    assert unwrapped(in_precision(module, "bf16")) is unwrapped(module) is module
    assert in_precision(module, "bf16") == InPrecision(Normalised(), "bf16") != in_precision(module, "tf32")
    assert hash(in_precision(module, "bf16")) == hash(InPrecision(Normalised(), "bf16"))


def test_samples_are_rounded_and_what_exact_divergences_integrate_is_not(experiment):
    run = experiment("bf16", ("dataset=mixture1d", *TINY))
    state = run.init()
    variables = run.variables(state)
    latents = np.linspace(-2, 2, 4001, dtype=np.float32)[:, None]
    samples = np.asarray(run.decode(variables, jnp.asarray(latents)))
    pushed = np.asarray(run.push(variables, jnp.asarray(latents)))
    assert samples.dtype == pushed.dtype == np.float32
    # Latents between -2 and 2 have about 2 * 128 values for each power of 2 that they span, most of them tiny.
    assert len(np.unique(samples)) < 1000 and len(np.unique(pushed)) > 3500
    np.testing.assert_allclose(samples, pushed, atol=0.03 * np.abs(pushed).max())
    distribution = model_distribution("model", run, variables)
    assert distribution.push is not None
    np.testing.assert_allclose(distribution.push(latents), pushed, atol=1e-6)  # in batches of another size


def test_a_generator_of_dense_layers_is_read_exactly_in_every_precision(experiment):
    for precision in PRECISIONS:
        run = experiment(precision, ("dataset=ring", *TINY))
        distribution = model_distribution("model", run, run.variables(run.init()))
        assert distribution.layers is not None and distribution.rank == 2


def test_a_bf16_generator_with_an_encoder_has_its_encoder_and_rank(experiment):
    run = experiment("bf16", ("dataset=digits", *TINY, "inference=bigan", "latent.dim=4"))
    assert run.method.rank == 4  # the latents: the narrowest layer has 8 units
    variables = run.variables(run.init())
    x = jnp.zeros((3, 8, 8, 1))
    assert run.encode(variables, x).shape == (3, 4) and run.encode(variables, x).dtype == jnp.float32
    module, own = run.method.decoder(variables)
    assert type(module).__name__ == "MlpGenerator" and "Dense_0" in own["params"]


def test_members_of_a_population_compute_convolutions_as_products_in_every_precision(experiment):
    method = experiment("bf16", RUNS["dcgan"]).method.for_population()
    assert method.spec.generator.precision == "bf16"
    assert (method.spec.generator.module.form, method.spec.discriminator.module.form) == ("matmul", "matmul")
    assert dataclasses.replace(method) == method

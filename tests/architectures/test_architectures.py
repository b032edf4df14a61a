"""Every architecture on every kind of data it allows: shapes, finite values, state, randomness, identity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.dcgan import Dcgan, base_and_stages
from ganrun.architectures.maxout import MaxoutNetworks
from ganrun.architectures.mlp import Mlp
from ganrun.architectures.r3gan import R3gan
from ganrun.architectures.r3gan2 import R3gan2
from ganrun.architectures.resnet import Resnet
from ganrun.config.registry import lookup, options
from ganrun.errors import ConfigError

LATENT = 6
SMALL_MLP = Mlp(generator_hidden=(8, 7), discriminator_hidden=(8,))
SMALL_MAXOUT = MaxoutNetworks(generator_hidden=(8, 8), discriminator_hidden=(6, 6), pieces=3)
CASES = {
    "mlp-vectors": (SMALL_MLP, (2,)),
    "mlp-images": (SMALL_MLP, (4, 6, 3)),
    "mlp-vectors-normalised": (Mlp((8, 7), (8,), "batch"), (1,)),
    "mlp-linear-images": (Mlp((8,), (8,), "none"), (4, 4, 1)),
    "maxout-vectors": (SMALL_MAXOUT, (2,)),
    "maxout-images": (SMALL_MAXOUT, (4, 6, 3)),
    "dcgan-8": (Dcgan(width=2), (8, 8, 1)),
    "dcgan-28": (Dcgan(width=2), (28, 28, 1)),
    "dcgan-28-xla": (Dcgan(width=2, convolution="xla"), (28, 28, 1)),
    "dcgan-32-colour": (Dcgan(width=2), (32, 32, 3)),
    "dcgan-10-plain": (Dcgan(width=2, batch_norm=False), (10, 10, 1)),
    "resnet-8": (Resnet(width=2, pooling="sum", attention=True), (8, 8, 3)),
    "r3gan-vectors": (R3gan(width=6, depth=2), (2,)),
    "r3gan-8": (R3gan(width=2, group_width=4), (8, 8, 1)),
    "r3gan2-vectors": (R3gan2(width=6, depth=2), (2,)),
    "r3gan2-8": (R3gan2(width=2, group_width=4), (8, 8, 1)),
}


@functools.partial(jax.jit, static_argnums=(0, 3))
def program(module, variables, x, train):
    return module.apply(variables, x, train, mutable=["batch_stats"], rngs={"dropout": jax.random.key(5)})


def apply(module, variables, x, train):
    """Apply with a fixed dropout key; return the output and the collections that were written, on the host."""
    return jax.device_get(program(module, variables, x, train))


@functools.cache
def players(case):
    """The two networks of a case, each with its variables and an input of four examples."""
    option, shape = CASES[case]
    networks = option.build(shape, LATENT)
    rng = np.random.default_rng(0)
    z, x = (rng.normal(size=size).astype(np.float32) for size in ((4, LATENT), (4, *shape)))
    x = np.tanh(x)
    rngs = {"params": jax.random.key(2), "dropout": jax.random.key(3)}
    return [
        (module, jax.jit(module.init, static_argnums=2)(rngs, data, False), data)
        for module, data in ((networks.generator, z), (networks.discriminator, x))
    ]


def shapes(module, data_shape):
    """The collections and shapes that a module starts with, without computing them."""
    return jax.eval_shape(lambda key: module.init(key, jnp.ones((1, *data_shape)), False), jax.random.key(0))


@pytest.mark.parametrize("case", CASES)
def test_shapes_values_and_gradients(case):
    _, shape = CASES[case]
    for (module, variables, data), output_shape in zip(players(case), ((4, *shape), (4,)), strict=True):

        def scalar(params, data, module=module, variables=variables):
            y, _ = program(module, {**variables, "params": params}, data, True)
            return jnp.sum((y - 0.5) ** 2), y  # not at its minimum where a network starts at zero

        gradient = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True))
        (_, y), gradients = jax.device_get(gradient(variables["params"], data))
        assert y.shape == output_shape
        assert y.dtype == jnp.float32
        assert np.isfinite(y).all()
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
        assert any(np.any(leaf) for leaf in jax.tree.leaves(gradients[0]))
        if len(output_shape) == 4:
            assert np.abs(y).max() <= 1


@pytest.mark.parametrize("side", [10, 28, 32])
@pytest.mark.parametrize(
    "option", [Dcgan(width=2, attention=True), Resnet(width=2, depth=2, attention=True), R3gan(2), R3gan2(2)]
)
def test_convolutional_networks_of_larger_images(option, side):
    networks = option.build((side, side, 3), LATENT)
    sizes = ((LATENT,), (side, side, 3))
    for module, size, output in zip((networks.generator, networks.discriminator), sizes, (sizes[1], ()), strict=True):
        start = jax.eval_shape(lambda m=module, size=size: m.init(jax.random.key(0), jnp.ones((4, *size)), False))
        found = jax.eval_shape(lambda v, m=module, size=size: m.apply(v, jnp.ones((4, *size)), False), start)
        assert found.shape == (4, *output)


@pytest.mark.parametrize("case", ["mlp-images", "dcgan-8", "resnet-8"])
def test_batch_statistics_move_only_while_training(case):
    for module, variables, data in players(case):
        if "batch_stats" not in variables:
            continue
        _, trained = apply(module, variables, data, True)
        _, idle = apply(module, variables, data, False)
        changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), trained["batch_stats"], variables["batch_stats"])
        assert all(jax.tree.leaves(changed))
        jax.tree.map(np.testing.assert_array_equal, idle["batch_stats"], variables["batch_stats"])


def normalised(option, shape):
    networks = option.build(shape, LATENT)
    inputs = ((networks.generator, (LATENT,)), (networks.discriminator, shape))
    return ["batch_stats" in shapes(module, data_shape) for module, data_shape in inputs]


def test_where_batch_norm_is_used():
    assert normalised(SMALL_MLP, (2,)) == [False, False]
    assert normalised(SMALL_MLP, (4, 4, 1)) == [True, False]
    assert normalised(*CASES["mlp-vectors-normalised"]) == [True, False]
    assert normalised(*CASES["mlp-linear-images"]) == [False, False]
    assert normalised(*CASES["dcgan-28"]) == [True, True]
    assert normalised(*CASES["dcgan-10-plain"]) == [False, False]
    assert normalised(*CASES["resnet-8"]) == [True, False]
    assert normalised(*CASES["r3gan-8"]) == [False, False]


def test_dropout_acts_only_while_training():
    _, (module, variables, data) = players("maxout-images")
    dropped = jax.jit(lambda seed: module.apply(variables, data, True, rngs={"dropout": jax.random.key(seed)}))
    draw = [np.asarray(dropped(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert np.any(draw[0] != draw[2])
    undropped = module.clone(dropout=0.0, input_dropout=0.0)
    np.testing.assert_array_equal(module.apply(variables, data, False), undropped.apply(variables, data, True))


@pytest.mark.parametrize("case", ["mlp-images", "maxout-images", "dcgan-8", "resnet-8", "r3gan-vectors"])
def test_vmap_over_parameters_equals_separate_calls(case):
    for module, variables, data in players(case):
        variables = jax.device_get(variables)
        other = jax.tree.map(lambda leaf: (leaf * 1.1 + 0.01).astype(leaf.dtype), variables)
        both = jax.tree.map(lambda a, b: np.stack([a, b]), variables, other)
        together, _ = jax.jit(jax.vmap(lambda v, m=module, d=data: program(m, v, d, True)))(both)
        for index, one in enumerate((variables, other)):
            np.testing.assert_allclose(together[index], apply(module, one, data, True)[0], atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_networks_are_values(case):
    option, shape = CASES[case]
    networks = option.build(shape, LATENT)
    again = option.build(list(shape), LATENT)
    assert networks == again
    assert hash(networks) == hash(again)
    assert networks != option.build((16, 16, 2) if len(shape) == 3 else (5,), LATENT)
    jax.jit(lambda n: 0, static_argnums=0)(networks)


def test_defaults_suit_the_data():
    vectors, images = Mlp().build((2,), 2), Mlp().build((28, 28, 1), 100)
    assert vectors.generator.hidden == vectors.discriminator.hidden == (64, 64, 64)
    assert images.generator.hidden == (256, 512, 1024)
    assert images.discriminator.hidden == (512, 256)


def test_maxout_follows_the_published_sizes_and_ranges():
    networks = MaxoutNetworks().build((28, 28, 1), 100)
    inputs = ((networks.generator, (1, 100)), (networks.discriminator, (1, 28, 28, 1)))
    generator, discriminator = (
        jax.device_get(jax.jit(lambda m=m, size=size: m.init(jax.random.key(0), jnp.ones(size), False))())["params"]
        for m, size in inputs
    )
    assert generator["Dense_1"]["kernel"].shape == (1200, 1200)
    assert discriminator["Maxout_0"]["kernel"].shape == (784, 5 * 240)
    for params, limit in ((generator, 0.05), (discriminator, 0.005)):
        kernels = np.concatenate([layer["kernel"].ravel() for layer in params.values()])
        assert np.abs(kernels).max() <= limit
        assert np.std(kernels) == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_dcgan_layers_double_their_channels():
    networks = Dcgan(width=2).build((32, 32, 3), LATENT)
    generator = shapes(networks.generator, (LATENT,))["params"]
    discriminator = shapes(networks.discriminator, (32, 32, 3))["params"]
    assert generator["Dense_0"]["kernel"].shape == (LATENT, 4 * 4 * 8)
    assert [generator[f"TransposedConv_{i}"]["kernel"].shape[2:] for i in range(3)] == [(8, 4), (4, 2), (2, 3)]
    assert [discriminator[f"StridedConv_{i}"]["kernel"].shape[2:] for i in range(3)] == [(3, 2), (2, 4), (4, 8)]
    assert discriminator["Dense_0"]["kernel"].shape == (4 * 4 * 8, 1)


def test_dcgan_bases():
    found = {side: base_and_stages((side, side, 1)) for side in (8, 10, 14, 28, 32, 48, 64)}
    wanted = {8: (4, 1), 10: (5, 1), 14: (7, 1), 28: (7, 2), 32: (4, 3), 48: (6, 3), 64: (4, 4)}
    assert found == {side: ((base, base), stages) for side, (base, stages) in wanted.items()}
    assert base_and_stages((48, 64, 3)) == ((6, 8), 3)
    assert base_and_stages((320, 40, 3)) == ((40, 5), 3)


@pytest.mark.parametrize("shape", [(8, 12, 2), (40, 16, 1)])
@pytest.mark.parametrize("option", [Dcgan(width=4, attention=True), Resnet(width=4, attention=True), R3gan(width=4)])
def test_images_need_not_be_square(option, shape):
    networks = option.build(shape, LATENT)
    z, x = jnp.zeros((3, LATENT)), jnp.zeros((3, *shape))
    key = jax.random.key(0)

    def apply(network, inputs):
        return jax.eval_shape(lambda: network.init_with_output({"params": key, "dropout": key}, inputs, train=True)[0])

    assert apply(networks.generator, z).shape == (3, *shape)
    assert apply(networks.discriminator, x).shape == (3,)
    if networks.encoder is not None:
        assert apply(networks.encoder, x).shape == (3, LATENT)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((30, 30, 1), "the data is 30 x 30 pixels with 1 channel."),
        ((7, 7, 1), "the data is 7 x 7 pixels"),
        ((28, 30, 3), "the data is 28 x 30 pixels with 3 channels."),
        ((2,), "the data is vectors of 2. Try mlp"),
    ],
)
def test_dcgan_says_which_shapes_it_takes(shape, said):
    with pytest.raises(ConfigError, match="takes images") as error:
        Dcgan().build(shape, LATENT)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="architecture=resnet takes images"):
        Resnet().build(shape, LATENT)


def test_impossible_shapes_and_latents():
    for option in (Mlp(), MaxoutNetworks(), Dcgan(), Resnet(), R3gan()):
        with pytest.raises(ConfigError, match=r"\(dim,\) or images .* is \(4, 4\)"):
            option.build((4, 4), LATENT)
        with pytest.raises(ConfigError, match="at least 1; it is 0"):
            option.build((8, 8, 1), 0)


def test_registered():
    assert set(options("architecture")) >= {"mlp", "maxout", "dcgan", "resnet", "r3gan", "dirac"}
    assert lookup("architecture", "dcgan") is Dcgan

"""Residual blocks with and without normalisation: what they are at the start, their sizes, their forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from ganrun.architectures.r3gan import Bottleneck, DenseBlock, R3gan, branch_init
from ganrun.architectures.resampling import average_pool, nearest_upsample
from ganrun.architectures.resnet import DiscriminatorBlock, GeneratorBlock, Resnet

X = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype(np.float32)


@functools.cache
def shapes(option, shape=(28, 28, 1), latent=64):
    networks = option.build(shape, latent)
    inputs = ((networks.generator, (1, latent)), (networks.discriminator, (1, *shape)))
    return [
        jax.eval_shape(lambda m=module, size=size: m.init(jax.random.key(0), jnp.ones(size), False))["params"]
        for module, size in inputs
    ]


def count(params):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("depth", [1, 5])
def test_blocks_without_normalisation_start_as_the_identity(depth):
    for block, x in ((Bottleneck(depth, 2, 4, "auto"), X), (DenseBlock(depth, 2), X[:, 0, 0])):
        found = jax.jit(lambda b=block, x=x: b.apply(b.init(jax.random.key(1), x), x))()
        np.testing.assert_array_equal(found, x)


def test_fixup_scale():
    # Fan-in 3 * 3 * 8 = 72 and 16 branches: the standard deviation is sqrt(2 / 72) / 16^(1/4) = 1/12.
    kernel = branch_init(16)(jax.random.key(0), (3, 3, 8, 500), jnp.float32)
    assert np.std(kernel) == pytest.approx(1 / 12, rel=0.02)


def test_blocks_of_zero_branches_are_their_shortcuts():
    def silenced(block, *data):
        params = jax.device_get(jax.jit(lambda: block.init(jax.random.key(0), *data))())["params"]
        residual = ("Conv_0", "Conv_1")
        zero = {name: jax.tree.map(np.zeros_like, params[name]) for name in residual}
        one = {"kernel": np.eye(6, dtype=np.float32).reshape(1, 1, 6, 6), "bias": np.zeros(6, np.float32)}
        return params | zero | ({"Conv_2": one} if "Conv_2" in params else {})

    for halve, expected in ((False, X), (True, average_pool(X))):
        block = DiscriminatorBlock(6, halve, "auto")
        found = jax.jit(block.apply)({"params": silenced(block, X)}, X)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for double, expected in ((False, X), (True, nearest_upsample(X))):
        block = GeneratorBlock(6, double, "auto")
        params = {"params": silenced(block, X, True)}
        found, _ = jax.jit(lambda p, b=block: b.apply(p, X, True, mutable=["batch_stats"]))(params)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_discriminator_block_by_hand():
    # One pixel: 3x3 windows see it at their middle. First 2 * 1 + 1 = 3, rectified 3; then -1 * 3 = -3. The shortcut
    # leaves 1, and rectifying the input, unless it is an image, changes nothing of a positive one: 1 - 3 = -2.
    middle = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    params = {
        "Conv_0": {"kernel": 2 * middle, "bias": jnp.array([1.0])},
        "Conv_1": {"kernel": -middle, "bias": jnp.zeros(1)},
    }
    pixel = jnp.ones((1, 1, 1, 1))
    assert DiscriminatorBlock(1, False, "auto").apply({"params": params}, pixel).item() == -2.0
    # Of the pixel -1 the branch sees 0, hence 1, hence -1, and x + branch = -2; as an image -1, hence -1, hence 0.
    assert DiscriminatorBlock(1, False, "auto").apply({"params": params}, -pixel).item() == -2.0
    assert DiscriminatorBlock(1, False, "auto", first=True).apply({"params": params}, -pixel).item() == -1.0


def test_the_features_of_a_resnet_double_as_maps_halve():
    generator, discriminator = shapes(Resnet(width=4, depth=2))
    blocks = [generator[f"GeneratorBlock_{i}"]["Conv_0"]["kernel"].shape[2:] for i in range(4)]
    assert blocks == [(16, 8), (8, 8), (8, 4), (4, 4)]
    blocks = [discriminator[f"DiscriminatorBlock_{i}"]["Conv_0"]["kernel"].shape[2:] for i in range(6)]
    assert blocks == [(1, 4), (4, 4), (4, 8), (8, 8), (8, 8), (8, 8)]


def test_pooling():
    # The sum over the smallest map, 4 x 4, is 16 times its mean.
    x = np.tanh(np.random.default_rng(0).normal(size=(2, 8, 8, 1))).astype(np.float32)
    mean, total = (Resnet(width=2, pooling=how).build((8, 8, 1), 3).discriminator for how in ("mean", "sum"))
    variables = drawn(mean, x)
    seen = jax.jit(lambda v: [m.apply(v, x, False, mutable=["features"])[1]["features"] for m in (mean, total)])
    features = [np.asarray(one["last"]) for one in seen(variables)]
    np.testing.assert_allclose(features[1], 16 * features[0], rtol=1e-5)


def test_the_groups_of_r3gan():
    # Expanded twice: 8, 16, 32 channels at 28, 14 and 7, in groups of at most 16; 12 channels in groups of 6.
    generator, discriminator = shapes(R3gan(width=4))
    for params, inner in ((generator, (32, 16, 8)), (discriminator, (8, 16, 32))):
        grouped = [params[f"Bottleneck_{i}"]["Conv_1"]["kernel"].shape for i in range(3)]
        assert grouped == [(3, 3, min(16, channels), channels) for channels in inner]
    _, discriminator = shapes(R3gan(width=6, group_width=7))
    assert discriminator["Bottleneck_0"]["Conv_1"]["kernel"].shape == (3, 3, 6, 12)
    assert discriminator["basis"].shape == (7, 7, 24)


def test_defaults_suit_a_cpu():
    # Measured: at these sizes a step of 16 MNIST images takes about 0.2 s on one core.
    assert [count(params) for params in shapes(Resnet())] == [557_377, 141_089]
    assert [count(params) for params in shapes(R3gan())] == [176_289, 168_129]
    generator, discriminator = shapes(R3gan(), (2,), 2)
    assert set(generator) == {"Dense_0", "Dense_1", "DenseBlock_0", "DenseBlock_1", "DenseBlock_2"}
    assert discriminator["DenseBlock_0"]["Dense_0"]["kernel"].shape == (64, 128)


@pytest.mark.parametrize("option", [Resnet(width=2, attention=True), R3gan(width=2, group_width=2)])
def test_networks_in_both_forms_agree(option):
    networks = option.build((8, 8, 1), 3)
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(3, 3)).astype(np.float32), np.tanh(rng.normal(size=(3, 8, 8, 1))).astype(np.float32)
    for module, data in ((networks.generator, z), (networks.discriminator, x)):
        variables = drawn(module, data)

        def scalar(params, form, module=module, variables=variables, data=data):
            return jnp.sum(jnp.sin(module.clone(form=form).apply({**variables, "params": params}, data, False)))

        values = [
            jax.jit(jax.value_and_grad(scalar), static_argnums=1)(variables["params"], f) for f in ("matmul", "xla")
        ]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *values)

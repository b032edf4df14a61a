"""Class labels: conditional batch norm and projection by hand, and what labels do to whole networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn
from flax import linen as nn

from ganrun.architectures.conditional import ConditionalBatchNorm, Embedding, Projection, with_label
from ganrun.architectures.dcgan import Dcgan
from ganrun.architectures.maxout import MaxoutNetworks
from ganrun.architectures.mlp import Mlp
from ganrun.architectures.r3gan import R3gan
from ganrun.architectures.r3gan2 import R3gan2
from ganrun.architectures.resnet import Resnet

LATENT, CLASSES, N = 4, 3, 12
CASES = {
    "mlp-vectors": (Mlp((8, 7), (8,)), (2,)),
    "mlp-normalised": (Mlp((8, 7), (8,), "batch"), (2,)),
    "mlp-one-layer": (Mlp((8,), (8,), "batch"), (2,)),
    "maxout": (MaxoutNetworks((8,), (6,), pieces=2), (2,)),
    "dcgan": (Dcgan(width=2), (8, 8, 1)),
    "dcgan-plain": (Dcgan(width=2, batch_norm=False), (8, 8, 1)),
    "resnet": (Resnet(width=4), (8, 8, 1)),
    "r3gan": (R3gan(width=2), (8, 8, 1)),
    "r3gan-vectors": (R3gan(width=6, depth=1), (2,)),
    "r3gan2": (R3gan2(width=2), (8, 8, 1)),
    "r3gan2-vectors": (R3gan2(width=6, depth=1), (2,)),
}
Y = np.array([0, 1, 2, 2, 1, 0] * 2)


def test_embedding_by_hand():
    table = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = Embedding(3, 2).apply({"params": {"embedding": table}}, jnp.array([2, 0]))
    assert found.tolist() == [[5.0, 6.0], [1.0, 2.0]]


def test_conditional_batch_norm_of_two_classes_by_hand():
    # 1 and 3 normalise to -1 and 1. Class 0 doubles and adds 1: -1. Class 1 triples and subtracts 1: 2.
    x, y = jnp.array([[1.0], [3.0]]), jnp.array([0, 1])
    layer = ConditionalBatchNorm(2)
    variables = layer.init(jax.random.key(0), x, True, y)
    params = {"scale": {"embedding": jnp.array([[2.0], [3.0]])}, "offset": {"embedding": jnp.array([[1.0], [-1.0]])}}
    assert jax.tree.map(jnp.shape, variables["params"]) == jax.tree.map(jnp.shape, params)
    found, new = layer.apply({**variables, "params": params}, x, True, y, mutable=["batch_stats"])
    np.testing.assert_allclose(found, [[-1.0], [2.0]], atol=1e-4)
    np.testing.assert_allclose(new["batch_stats"]["BatchNorm_0"]["mean"], [0.2], atol=1e-6)


def test_conditional_batch_norm_starts_as_batch_norm_on_maps():
    x = jax.random.normal(jax.random.key(0), (N, 3, 3, 2))
    layer = ConditionalBatchNorm(3)
    found, _ = layer.apply(layer.init(jax.random.key(0), x, True, Y), x, True, Y, mutable=["batch_stats"])
    np.testing.assert_allclose(found, (x - x.mean((0, 1, 2))) / x.std((0, 1, 2)), atol=1e-4)


def test_projection_by_hand():
    # Of class 1: (0.5, -1) . (1, 2) = -1.5 and (2, 0) . (1, 2) = 2; of class 0: (3, 1) . (1, 2) = 5 and 0.
    table = jnp.array([[3.0, 1.0, 0.0, 0.0], [0.5, -1.0, 2.0, 0.0]])
    h = jnp.array([[1.0, 2.0], [1.0, 2.0]])
    found = Projection(2, 2).apply({"params": {"Embedding_0": {"embedding": table}}}, h, jnp.array([1, 0]))
    assert found.tolist() == [[-1.5, 2.0], [5.0, 0.0]]


class Conditioning(nn.Module):
    @nn.compact
    def __call__(self, z, y):
        return with_label(z, y, 2)


def test_a_label_stands_beside_the_latent():
    z, table = jnp.array([[7.0, 8.0]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    assert Conditioning().apply({"params": {"Embedding_0": {"embedding": table}}}, z, jnp.array([1])).tolist() == [
        [7, 8, 3, 4]
    ]
    assert with_label(z, jnp.array([1]), 0) is z


@functools.cache
def players(case):
    """The two networks of a case with random variables, and their inputs."""
    option, shape = CASES[case]
    networks = option.build(shape, LATENT, classes=CLASSES)
    rng = np.random.default_rng(0)
    z, x = (rng.normal(size=size).astype(np.float32) for size in ((N, LATENT), (N, *shape)))
    x = np.tanh(x)
    both = ((networks.generator, z), (networks.discriminator, x))
    return [(module, drawn(module, data, y=Y), data) for module, data in both]


@functools.partial(jax.jit, static_argnums=0)
def program(module, variables, data, y):
    return module.apply(variables, data, False, y)


def apply(*arguments):
    """The output, on the host: each operation on an array of the device is a program that is compiled."""
    return np.asarray(program(*arguments))


@pytest.mark.parametrize("case", CASES)
def test_labels_matter(case):
    for module, variables, data in players(case):
        outputs = [apply(module, variables, data, np.full((N,), label)) for label in range(CLASSES)]
        for a, b in ((0, 1), (1, 2), (0, 2)):
            assert np.abs(outputs[a] - outputs[b]).reshape(N, -1).max(axis=1).min() > 1e-5
        # Every row answers to its own label.
        mixed = apply(module, variables, data, Y)
        np.testing.assert_allclose(mixed, np.stack(outputs)[Y, np.arange(N)], atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_every_parameter_and_every_class(case):
    for module, variables, data in players(case):

        def scalar(params, module=module, variables=variables, data=data):
            return jnp.sum(jnp.sin(module.apply({**variables, "params": params}, data, False, Y)))

        found = jax.device_get(jax.jit(jax.grad(scalar))(variables["params"]))
        gradients = jax.tree_util.tree_leaves_with_path(found)
        for path, leaf in gradients:
            name = jax.tree_util.keystr(path)
            assert np.isfinite(leaf).all() and np.any(leaf), name
            if "embedding" in name:
                assert np.abs(leaf).max(axis=1).min() > 0, name


@pytest.mark.parametrize("case", ["mlp-normalised", "dcgan", "r3gan-vectors"])
def test_vmap_over_labels_and_parameters(case):
    for module, variables, data in players(case):
        both = jax.tree.map(lambda leaf: np.stack([leaf, np.float32(0.9) * np.asarray(leaf)]), variables)
        labels = np.stack([Y, Y[::-1]])
        together = jax.jit(jax.vmap(lambda v, y, m=module, d=data: m.apply(v, d, False, y)))(both, labels)
        for index in range(2):
            one = jax.tree.map(lambda leaf, index=index: leaf[index], both)
            np.testing.assert_allclose(together[index], apply(module, one, data, labels[index]), atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_labels_are_needed(case):
    for module, _, data in players(case):
        with pytest.raises(ValueError, match="a network of 3 classes needs labels y"):
            jax.eval_shape(lambda m=module, d=data: m.init(jax.random.key(0), d, False))


@pytest.mark.parametrize("case", ["dcgan", "resnet", "r3gan", "r3gan2"])
def test_training_has_no_gather_or_scatter_and_no_convolution(case):
    """On a GPU a scatter adds in no fixed order, and a convolution is slow in a CPU's loop."""
    for module, variables, data in players(case):
        module = module.clone(form="matmul")
        program = str(jax.make_jaxpr(jax.grad(lambda v, m=module, d=data: m.apply(v, d, False, Y).sum()))(variables))
        assert not any(word in program for word in ("gather", "scatter", "conv_general_dilated"))

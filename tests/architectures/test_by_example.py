"""An architecture says truly whether its discriminator looks at one example at a time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.dcgan import Dcgan
from ganrun.architectures.dirac import Dirac
from ganrun.architectures.maxout import MaxoutNetworks
from ganrun.architectures.mlp import Mlp
from ganrun.architectures.r3gan import R3gan
from ganrun.architectures.r3gan2 import R3gan2
from ganrun.architectures.resnet import Resnet
from ganrun.config.registry import options

SMALL = {"mlp": {"discriminator_hidden": (8,)}, "maxout": {"discriminator_hidden": (8,), "pieces": 2}}
SMALL |= {name: {"width": 4} for name in ("dcgan", "resnet", "r3gan", "r3gan2")}
OFF = {"dropout": 0.0, "input_dropout": 0.0}
IMAGE = (8, 8, 1)
CASES = [
    (Dirac(), (1,), True),
    (Mlp(**SMALL["mlp"]), (2,), True),
    (Mlp(**SMALL["mlp"], minibatch="stddev"), (2,), False),
    (Mlp(**SMALL["mlp"], minibatch="discrimination"), (2,), False),
    (MaxoutNetworks(**SMALL["maxout"]), (2,), False),
    (MaxoutNetworks(**SMALL["maxout"], **OFF), (2,), True),
    (MaxoutNetworks(**SMALL["maxout"], dropout=0.0), (8,), False),
    (MaxoutNetworks(**SMALL["maxout"], **OFF, minibatch="stddev"), (2,), False),
    (Dcgan(**SMALL["dcgan"]), (16, 16, 1), False),  # two stages: the first is not normalised
    (Dcgan(**SMALL["dcgan"], batch_norm=False), IMAGE, True),
    (Dcgan(**SMALL["dcgan"], batch_norm=False, attention=True), IMAGE, True),
    (Dcgan(**SMALL["dcgan"], batch_norm=False, minibatch="stddev"), IMAGE, False),
    (Resnet(**SMALL["resnet"], attention=True), IMAGE, True),
    (Resnet(**SMALL["resnet"], minibatch="stddev"), IMAGE, False),
    (R3gan(**SMALL["r3gan"]), IMAGE, True),
    (R3gan(**SMALL["r3gan"], minibatch="discrimination"), IMAGE, False),
    (R3gan(**SMALL["r3gan"]), (2,), True),
    (R3gan(**SMALL["r3gan"], minibatch="discrimination"), (2,), False),
    (R3gan2(**SMALL["r3gan2"]), IMAGE, True),
    (R3gan2(**SMALL["r3gan2"], minibatch="stddev"), (2,), False),
]


def test_every_architecture_of_a_gan_is_here():
    named = {name for name, option in options("architecture").items() if hasattr(option, "build")}
    assert {option.name for option, _, _ in CASES} >= named - {"affine"}  # the example plugin's


@pytest.mark.parametrize(
    ("option", "shape", "wanted"), CASES, ids=lambda value: value.name if dataclasses.is_dataclass(value) else None
)
def test_by_example_means_that_an_output_depends_on_its_example_alone(option, shape, wanted):
    networks = option.build(shape, 3)
    assert networks.by_example == wanted
    x = jax.random.normal(jax.random.key(0), (4, *shape))
    variables = networks.discriminator.init(jax.random.key(1), x, train=False)
    # Weights that are zero at the start, such as those of a residual branch, would hide a dependence.
    moved = [
        leaf + 0.1 * jax.random.normal(jax.random.key(i), leaf.shape)
        for i, leaf in enumerate(jax.tree.leaves(variables["params"]))
    ]
    params = jax.tree.unflatten(jax.tree.structure(variables["params"]), moved)

    @jax.jit
    def output(x, key):
        return networks.discriminator.apply(
            {**variables, "params": params}, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )

    first, stats = output(x, jax.random.key(2))
    others, _ = output(x.at[1:].multiply(-2.0), jax.random.key(3))
    same = bool(np.allclose(first[0], others[0], rtol=1e-5, atol=1e-6)) and not jax.tree.leaves(stats)
    assert same == wanted
    assert not jnp.allclose(first[1:], others[1:])


@pytest.mark.parametrize(
    ("option", "shape", "alone"), CASES, ids=lambda value: value.name if dataclasses.is_dataclass(value) else None
)
def test_piecewise_linear_means_that_an_output_is_its_derivative_along_example_and_biases(option, shape, alone):
    # Euler's identity for functions that are homogeneous of degree one: f(v) is the derivative of f at v along v.
    networks = option.build(shape, 3, *([3] if option.name != "dirac" else []))
    # A constant takes the place of the biases of networks whose weights have unit norm.
    homogeneous = not getattr(option, "attention", False) and not networks.unit_weights
    assert networks.piecewise_linear == (alone and homogeneous)
    if not networks.piecewise_linear:
        return
    x, y = jax.random.normal(jax.random.key(0), (4, *shape)), jnp.array([0, 1, 2, 0])
    params = networks.discriminator.init(jax.random.key(1), x, train=False, y=y)["params"]
    leaves, tree = jax.tree_util.tree_flatten_with_path(params)
    moved = [leaf + 0.1 * jax.random.normal(jax.random.key(i), leaf.shape) for i, (_, leaf) in enumerate(leaves)]
    along = [leaf if path[-1].key == "bias" else 0.0 * leaf for (path, _), leaf in zip(leaves, moved, strict=True)]

    def output(params, x):
        return networks.discriminator.apply({"params": params}, x, train=True, y=y)

    unflatten = tree.unflatten
    value, derivative = jax.jvp(output, (unflatten(moved), x), (unflatten(along), x))
    np.testing.assert_allclose(derivative, value, rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(value).min()) > 1e-4

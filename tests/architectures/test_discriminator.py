"""What all discriminators share: features, outputs, pairs with a latent, packing, minibatch layers; and encoders."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from ganrun.architectures.dcgan import Dcgan
from ganrun.architectures.maxout import MaxoutNetworks
from ganrun.architectures.mlp import Mlp
from ganrun.architectures.r3gan import R3gan
from ganrun.architectures.r3gan2 import R3gan2
from ganrun.architectures.resnet import Resnet

LATENT, N = 4, 6
# The option, the shape of its data, and the numbers of its last hidden activations.
CASES = {
    "mlp": (Mlp((8,), (8, 7)), (2,), 7),
    "maxout": (MaxoutNetworks((8,), (6, 5), pieces=2), (4, 4, 1), 5),
    "dcgan": (Dcgan(width=2), (8, 8, 1), 4 * 4 * 2),
    "resnet": (Resnet(width=4), (8, 8, 1), 4),
    "r3gan": (R3gan(width=2), (8, 8, 1), 4),
    "r3gan-vectors": (R3gan(width=6, depth=1), (2,), 6),
    "r3gan2": (R3gan2(width=2), (8, 8, 1), 4),
    "r3gan2-vectors": (R3gan2(width=6, depth=1), (2,), 6),
}
Z = np.random.default_rng(0).normal(size=(N, LATENT)).astype(np.float32)


def examples(shape, seed=1):
    return np.tanh(np.random.default_rng(seed).normal(size=(N, *shape)).astype(np.float32))


@functools.partial(jax.jit, static_argnames=("module", "mutable"))
def program(module, variables, *data, mutable=False, **more):
    return module.apply(variables, *data, train=False, mutable=list(mutable) if mutable else False, **more)


def apply(*arguments, **more):
    """What is found, on the host: each operation on an array of the device is a program that is compiled."""
    return jax.device_get(program(*arguments, **more))


@pytest.mark.parametrize("case", CASES)
def test_features_are_what_the_last_layer_sees(case):
    option, shape, size = CASES[case]
    module, x = option.build(shape, LATENT).discriminator, examples(shape)
    variables = drawn(module, x)
    assert set(variables) <= {"params", "batch_stats"}
    logits, seen = apply(module, variables, x, mutable=("features",))
    assert list(seen) == ["features"]
    h = seen["features"]["last"]
    assert h.shape == (N, size)
    params = variables["params"]
    dense = "MpDense_" if "Gain_0" in params else "Dense_"
    last = params[max((name for name in params if name.startswith(dense)), key=lambda name: int(name[len(dense) :]))]
    kernel = np.asarray(last["kernel"])[:, 0]
    if "Gain_0" in params:
        wanted = h @ kernel / np.linalg.norm(kernel) * np.asarray(params["Gain_0"]["scale"])
    else:
        wanted = h @ kernel + np.asarray(last["bias"])
    np.testing.assert_allclose(wanted, logits, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_features_cost_nothing_where_nobody_asks(case):
    option, shape, _ = CASES[case]
    module, x = option.build(shape, LATENT).discriminator, examples(shape)
    variables = drawn(module, x)
    _, written = apply(module, variables, x, mutable=("batch_stats",))
    assert "features" not in written
    asked = jax.make_jaxpr(lambda v: module.apply(v, x, False, mutable=["features"]))(variables)
    silent = jax.make_jaxpr(lambda v: module.apply(v, x, False))(variables)
    assert len(silent.jaxpr.outvars) == 1
    assert len(asked.jaxpr.outvars) == 2
    assert len(silent.eqns) == len(asked.eqns)


@pytest.mark.parametrize("case", CASES)
def test_several_outputs(case):
    option, shape, _ = CASES[case]
    x = examples(shape)
    module = option.build(shape, LATENT, classes=2, outputs=3).discriminator
    y = np.arange(N) % 2
    found = apply(module, drawn(module, x, y=y), x, y=y)
    assert found.shape == (N, 3)
    assert found.dtype == jnp.float32
    assert len(np.unique(np.asarray(found))) == 3 * N


@pytest.mark.parametrize("case", CASES)
def test_packed_examples_set_the_size(case):
    """Three examples joined along the last axis, for a discriminator that was built for one."""
    option, shape, _ = CASES[case]
    module = option.build(shape, LATENT).discriminator
    packed = np.concatenate([examples(shape, seed) for seed in (1, 2, 3)], axis=-1)
    variables = drawn(module, packed)
    logits = apply(module, variables, packed)
    assert logits.shape == (N,)
    swapped = np.concatenate([examples(shape, seed) for seed in (1, 3, 2)], axis=-1)
    assert np.abs(logits - apply(module, variables, swapped)).max() > 1e-6


@pytest.mark.parametrize("case", CASES)
def test_pairs_are_judged_as_pairs(case):
    option, shape, _ = CASES[case]
    module = option.build(shape, LATENT).discriminator
    x, other_z = examples(shape), np.random.default_rng(7).normal(size=Z.shape).astype(np.float32)
    other_x = examples(shape, 9)
    variables = drawn(module, x, z=Z)
    judge = functools.partial(apply, module, variables)
    assert judge(x, z=Z).shape == (N,)
    # Were D(x, z) = f(x) + g(z), this mixed difference would vanish.
    mixed = judge(x, z=Z) - judge(x, z=other_z) - judge(other_x, z=Z) + judge(other_x, z=other_z)
    assert np.abs(mixed).max() > 1e-4 * np.abs(judge(x, z=Z)).max()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["stddev", "discrimination"])
def test_minibatch_layers_tie_the_rows_together(case, kind):
    option, shape, size = CASES[case]
    x = examples(shape)
    plain = option.build(shape, LATENT).discriminator
    module = dataclasses.replace(option, minibatch=kind, minibatch_kernels=3, minibatch_row=2).build(shape, LATENT)
    module = module.discriminator
    variables = drawn(module, x)
    widths = [leaf.shape[0] for leaf in jax.tree.leaves(variables["params"]) if leaf.shape[1:] == (1,)]
    assert size + (1 if kind == "stddev" else 3) in widths
    changed = np.concatenate([-x[:1], x[1:]])
    rest = apply(module, variables, x)[1:] - apply(module, variables, changed)[1:]
    assert np.abs(rest).max() > 0
    own = drawn(plain, x)
    np.testing.assert_allclose(apply(plain, own, x)[1:], apply(plain, own, changed)[1:], atol=1e-6)


@pytest.mark.parametrize(("option", "shape"), [CASES["mlp"][:2], (Mlp((8,), (8,)), (4, 4, 3)), CASES["dcgan"][:2]])
def test_encoders(option, shape):
    encoder, x = option.build(shape, LATENT).encoder, examples(shape)
    variables = drawn(encoder, x)
    latents = apply(encoder, variables, x)
    assert latents.shape == (N, LATENT)
    assert latents.dtype == jnp.float32
    gradients = jax.jit(jax.grad(lambda v: jnp.sum(encoder.apply(v, x, False) ** 2)))(variables)["params"]
    assert all(np.any(leaf) for leaf in jax.tree.leaves(jax.device_get(gradients)))
    assert hash(encoder) == hash(option.build(shape, LATENT).encoder)


@pytest.mark.parametrize("case", ["maxout", "resnet", "r3gan", "r3gan-vectors"])
def test_architectures_without_an_encoder_say_so(case):
    option, shape, _ = CASES[case]
    assert option.build(shape, LATENT).encoder is None

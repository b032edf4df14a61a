"""Self-attention: the identity at first, two positions by hand, and where it acts."""

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.attention import SelfAttention, attended_side
from ganrun.architectures.dcgan import Dcgan
from ganrun.architectures.resnet import Resnet


def test_the_identity_at_first():
    x = jax.random.normal(jax.random.key(0), (2, 4, 5, 16))
    variables = SelfAttention().init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "f": {"kernel": (16, 2)},
        "g": {"kernel": (16, 2)},
        "h": {"kernel": (16, 2)},
        "v": {"kernel": (2, 16)},
        "gamma": (),
    }
    np.testing.assert_array_equal(SelfAttention().apply(variables, x), x)


def test_two_positions_by_hand():
    # x = (0, 1), f = 1, g = log 3. Position 0 matches both by 0: weights 1/2, 1/2. Position 1 matches 0 by 0 and itself
    # by log 3: weights 1/4, 3/4. With h = 2 they find 1 and 3/2, and gamma = 1/2 adds half of that.
    kernels = {"f": 1.0, "g": np.log(3.0), "h": 2.0, "v": 1.0}
    params = {name: {"kernel": jnp.full((1, 1), value)} for name, value in kernels.items()}
    x = jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    y = SelfAttention().apply({"params": params | {"gamma": jnp.array(0.5)}}, x)
    np.testing.assert_allclose(y.ravel(), [0.5, 1.75], rtol=1e-6)


def test_it_acts_at_the_smallest_map_that_is_large_enough():
    assert attended_side([4, 8, 16, 32], 14) == 16
    assert attended_side([14, 7], 14) == 14
    assert attended_side([4], 14) == 4


def test_networks_have_one_each():
    for option in (Dcgan(width=8, attention=True), Resnet(width=8, attention=True, attention_side=3)):
        networks = option.build((16, 16, 1), 3)
        sides = {14: 8, 3: 4}
        for module, data in (
            (networks.generator, jnp.ones((1, 3))),
            (networks.discriminator, jnp.ones((1, 16, 16, 1))),
        ):
            params = jax.eval_shape(lambda m=module, d=data: m.init(jax.random.key(0), d, False))["params"]
            assert [name for name in params if name.startswith("SelfAttention")] == ["SelfAttention_0"]
            assert module.attention == sides[option.attention_side]

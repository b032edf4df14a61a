"""The settings of maxout networks that PacGAN's experiments need: batch norm in G, and normal initial weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.maxout import MaxoutNetworks


def initial(option):
    networks = option.build((2,), 3)
    z = jax.random.normal(jax.random.key(0), (64, 3))
    generator = networks.generator.init(jax.random.key(1), z, train=False)
    return networks, z, generator, networks.discriminator.init(jax.random.key(2), jnp.zeros((1, 2)), train=False)


def test_batch_norm_normalises_every_hidden_layer_of_the_generator_only():
    option = MaxoutNetworks((16, 16), (4,), generator_norm="batch", dropout=0.0, input_dropout=0.0)
    networks, z, generator, discriminator = initial(option)
    assert len(generator["batch_stats"]) == 2 and "batch_stats" not in discriminator
    # In training, the scale of the latents does not matter to a network that normalises its first layer.
    once, twice = (networks.generator.apply(generator, s * z, train=True, mutable="batch_stats")[0] for s in (1.0, 2.0))
    np.testing.assert_allclose(once, twice, atol=1e-3)
    plain = MaxoutNetworks((16, 16), (4,))
    assert "batch_stats" not in initial(plain)[2]


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_initial_weights_have_the_standard_deviation(std):
    _, _, generator, discriminator = initial(MaxoutNetworks((200, 200), (100,), init_std=std))
    for weights in (generator["params"]["Dense_1"]["kernel"], discriminator["params"]["Maxout_0"]["kernel"]):
        assert np.std(weights) == pytest.approx(std, rel=0.1) and np.abs(weights).max() > 2.2 * std


def test_networks_with_equal_settings_are_equal_so_that_runs_share_a_program():
    one, other = (MaxoutNetworks((8,), (4,), init_std=0.02).build((2,), 3) for _ in range(2))
    assert one == other and one != MaxoutNetworks((8,), (4,), init_std=0.03).build((2,), 3)

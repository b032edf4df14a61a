"""Autoregressive networks: which elements each output depends on, their sizes, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.autoencoder import MlpVae
from ganrun.architectures.masked_mlp import Fvsbn, Made, degrees, ranks, sequences
from ganrun.architectures.networks import builder
from ganrun.architectures.pixelcnn import PixelCnnOption, groups, pixel_mask
from ganrun.errors import ConfigError

POINTS = 8
PIXELS, COLOURS, VECTOR = (3, 6, 1), (3, 4, 3), (5,)
CASES = {
    "fvsbn": (Fvsbn(), PIXELS),
    "fvsbn of vectors": (Fvsbn(), VECTOR),
    "made": (Made(hidden=(40, 30), activation="tanh"), PIXELS),
    "made of few units": (Made(hidden=(4, 3), orders=3, activation="tanh"), VECTOR),
    "made of one element": (Made(hidden=(3,), orders=2, activation="tanh"), (1,)),
    "made of hidden units only": (Made(hidden=(40,), orders=2, activation="tanh", direct=False), VECTOR),
    "pixelcnn": (PixelCnnOption(features=6, layers=3), PIXELS),
    "pixelcnn of colours": (PixelCnnOption(features=10, layers=2), COLOURS),
    "pixelcnn of one layer": (PixelCnnOption(features=6, layers=0), (3, 3, 1)),
}


def randomised(module, shape, seed=0):
    rng = np.random.default_rng(seed)
    labels = jnp.zeros((1,), jnp.int32) if module.classes else None
    start = module.init(jax.random.key(0), jnp.zeros((1, *shape)), labels)
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), start)


def dependence(module, shape, order=0, seed=0):
    """Which outputs depend on which elements, both in the order of the network: bool ``(elements, elements)``.

    An output depends on an element if its derivative is not 0 at one of several points: at one, units may be inactive.
    """
    variables, size = randomised(module, shape, seed), int(np.prod(shape))

    def outputs(x):
        return module.apply(variables, x[None], None, order).reshape(size, -1)

    x = jnp.asarray(np.random.default_rng(seed + 1).normal(size=(POINTS, *shape)), jnp.float32)
    jacobian = np.asarray(jax.vmap(jax.jacobian(outputs))(x)).reshape(POINTS, size, -1, size)
    sequence = sequences(size, module.orders)[order]
    return (np.abs(jacobian).max(axis=(0, 2)) > 0)[np.ix_(sequence, sequence)]


@pytest.mark.parametrize("name", CASES)
def test_the_outputs_of_an_element_depend_on_all_earlier_elements_and_on_no_other(name):
    option, shape = CASES[name]
    module, size = option.build_autoregressive(shape, 2), int(np.prod(shape))
    for order in range(module.orders):
        np.testing.assert_array_equal(dependence(module, shape, order), np.tri(size, k=-1, dtype=bool))


def test_the_window_of_a_pixelcnn_grows_by_a_pixel_in_each_layer_and_has_no_blind_spot():
    shape = (5, 13, 1)
    for layers in (0, 1):
        found = dependence(PixelCnnOption(features=4, layers=layers).build_autoregressive(shape, 1), shape)
        reach, (row, column) = 3 + layers, (4, 6)
        seen = found[row * 13 + column].reshape(5, 13)
        wanted = np.zeros((5, 13), bool)
        wanted[max(0, row - reach - 1) : row, column - reach : column + reach + 1] = True
        wanted[row, column - reach : column] = True
        np.testing.assert_array_equal(seen[1:], wanted[1:])  # of the top row, what both stacks reach together


def test_a_pixelcnn_is_the_same_in_every_form_of_its_convolutions():
    results = []
    for form in ("direct", "matmul", "xla"):
        module = PixelCnnOption(features=5, layers=2, convolution=form).build_autoregressive((6, 5, 3), 2)
        x = jnp.asarray(np.random.default_rng(2).normal(size=(2, 6, 5, 3)), jnp.float32)
        results.append(module.apply(randomised(module, (6, 5, 3)), x))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "units"), [(2, 3), (5, 4), (5, 3), (784, 500), (6, 20), (1, 4)])
def test_the_degrees_are_spread_evenly_over_the_elements_that_a_unit_may_see(size, units):
    found = degrees(size, units)
    assert found.min() == 1 and found.max() <= max(1, size - 1)
    counts = np.bincount(found, minlength=size)[1:size]
    assert counts.size == 0 or counts.max() - counts.min() <= 1


def test_orders_are_permutations_of_which_the_first_is_the_natural_one():
    found = sequences(6, 4)
    np.testing.assert_array_equal(found[0], np.arange(6))
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(6), (4, 1)))
    assert len(np.unique(found, axis=0)) == 4
    for order, rank in zip(found, ranks(6, 4), strict=True):
        np.testing.assert_array_equal(rank[order], np.arange(1, 7))


def test_features_are_grouped_by_channel_and_masks_keep_the_channels_in_order():
    np.testing.assert_array_equal(groups(7, 3), [0, 0, 0, 1, 1, 2, 2])
    channels = np.arange(3)
    np.testing.assert_array_equal(pixel_mask(channels, channels), np.triu(np.ones((3, 3))))
    np.testing.assert_array_equal(pixel_mask(channels, channels, strict=True), np.triu(np.ones((3, 3)), k=1))


def test_the_numbers_of_parameters_are_those_counted_by_hand():
    def count(option, shape, outputs, classes=0):
        module = option.build_autoregressive(shape, outputs, classes)
        return sum(leaf.size for leaf in jax.tree.leaves(randomised(module, shape)["params"]))

    assert count(Fvsbn(), (4,), 1) == 4 * 4 + 4
    assert count(Fvsbn(), (4,), 3, classes=2) == 4 * 12 + 12 + 2 * 12
    assert count(Made(hidden=(5, 6)), (4,), 2) == (4 * 5 + 5) + (5 * 6 + 6) + (6 * 8 + 8) + 4 * 8
    assert count(Made(hidden=(5,), direct=False), (4,), 2, classes=3) == 4 * 5 + 5 + 5 * 8 + 8 + 3 * (5 + 8)
    gates, features = 8, 4
    first = 4 * 7 * 1 * gates + gates + 4 * 1 * gates + gates + gates**2 + features**2 + features
    other = 2 * 3 * features * gates + gates + 2 * features * gates + gates + gates**2 + features**2 + features
    head = features**2 + features + features * 1 + 1
    shared = PixelCnnOption(features=4, layers=1, pixel_biases=False)
    assert count(shared, (6, 6, 1), 1) == first + other + head
    assert count(PixelCnnOption(features=4, layers=1), (6, 5, 1), 1) == first + 6 * 5 * gates + other + head


def test_each_class_has_its_own_biases():
    for option, shape in ((Fvsbn(), VECTOR), (Made(hidden=(8,)), VECTOR), (PixelCnnOption(4, 1), (2, 2, 1))):
        module = option.build_autoregressive(shape, 2, classes=3)
        variables, x = randomised(module, shape), jnp.ones((3, *shape))
        found = module.apply(variables, x, jnp.arange(3))
        assert not np.allclose(found[0], found[1]) and not np.allclose(found[1], found[2])
        one = module.apply(variables, x[:1], jnp.asarray([2]))
        np.testing.assert_allclose(one[0], found[2], rtol=1e-5, atol=1e-6)


def test_what_a_network_cannot_have_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"^architecture=pixelcnn takes images; the data is vectors of 2\. Try made"):
        PixelCnnOption().build_autoregressive((2,), 3)
    with pytest.raises(ConfigError, match=r"^architecture.features must be at least 3, one for each channel"):
        PixelCnnOption(features=2).build_autoregressive((8, 8, 3), 3)
    with pytest.raises(ConfigError) as caught:
        builder(MlpVae(), "build_autoregressive", "autoregressive")
    wanted = "architecture=mlp_vae has no networks for method=autoregressive: use architecture=fvsbn, made or pixelcnn."
    assert str(caught.value) == wanted

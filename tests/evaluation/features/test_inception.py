"""Inception-v3: blocks against sums by hand, the interpolation, and files of weights that are refused."""

import hashlib
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.signal import correlate

from ganrun.datasets.images import Digits
from ganrun.datasets.synthetic import Ring
from ganrun.errors import ConfigError
from ganrun.evaluation.features import extractor, inception
from ganrun.evaluation.features.inception import interpolation, read_inception, resized
from ganrun.evaluation.features.inception_network import BlockA, BlockB, BlockC, BlockD, BlockE, Inception, Unit


def drawn(module, shape):
    """An input, and parameters of ``module`` in which nothing is 0 or 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(shape)))["params"]
    params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32) / 8, shapes)
    return x, params


def unit(x, params, name, padding=(0, 0), stride=1):
    """A layer by SciPy's correlation of each pair of an input channel and a feature."""
    layer = {key: np.asarray(value, np.float64) for key, value in params[name].items()}
    x = np.pad(x.astype(np.float64), [(0, 0), *((p, p) for p in padding), (0, 0)])
    y = np.stack([sum_of_correlations(one, layer["kernel"]) for one in x])
    return np.maximum(y[:, ::stride, ::stride] * layer["scale"] + layer["bias"], 0.0)


def sum_of_correlations(x, kernel):
    height, width, _, features = kernel.shape
    if height == width == 1:
        return x @ kernel[0, 0]
    return np.stack([correlate(x, kernel[..., f], "valid", "direct")[..., 0] for f in range(features)], axis=-1)


def pooled(x, reduce, padding, stride):
    """Windows of 3x3 pixels inside the image, each reduced by ``reduce``."""
    n, height, width, channels = x.shape
    rows, columns = (range(-padding, size + padding - 2, stride) for size in (height, width))
    y = np.empty((n, len(rows), len(columns), channels))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            y[:, i, j] = reduce(x[:, max(top, 0) : top + 3, max(left, 0) : left + 3], axis=(1, 2))
    return y


def compared(module, x, params, branches):
    found = jax.jit(module.apply)({"params": params}, x)
    expected = np.concatenate(branches, axis=-1)
    assert found.shape == expected.shape and expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.std())


def test_block_a():
    module = BlockA(pooled=3)
    x, params = drawn(module, (1, 4, 5, 6))
    u = lambda given, name, *how: unit(given, params, name, *how)  # noqa: E731
    double = u(u(u(x, "branch3x3dbl_1"), "branch3x3dbl_2", (1, 1)), "branch3x3dbl_3", (1, 1))
    five = u(u(x, "branch5x5_1"), "branch5x5_2", (2, 2))
    compared(module, x, params, [u(x, "branch1x1"), five, double, u(pooled(x, np.mean, 1, 1), "branch_pool")])


def test_block_c():
    module = BlockC(width=4)
    x, params = drawn(module, (1, 4, 5, 6))
    u = lambda given, name, *how: unit(given, params, name, *how)  # noqa: E731
    row, column = (0, 3), (3, 0)
    seven = u(u(u(x, "branch7x7_1"), "branch7x7_2", row), "branch7x7_3", column)
    double = u(x, "branch7x7dbl_1")
    for i, padding in ((2, column), (3, row), (4, column), (5, row)):
        double = u(double, f"branch7x7dbl_{i}", padding)
    compared(module, x, params, [u(x, "branch1x1"), seven, double, u(pooled(x, np.mean, 1, 1), "branch_pool")])


@pytest.mark.parametrize("maximum", [False, True])
def test_block_e(maximum):
    module = BlockE(maximum)
    x, params = drawn(module, (1, 2, 3, 4))
    u = lambda given, name, *how: unit(given, params, name, *how)  # noqa: E731
    three, double = u(x, "branch3x3_1"), u(u(x, "branch3x3dbl_1"), "branch3x3dbl_2", (1, 1))
    branches = [u(x, "branch1x1")]
    for given, name in ((three, "branch3x3_2"), (double, "branch3x3dbl_3")):
        branches += [u(given, f"{name}a", (0, 1)), u(given, f"{name}b", (1, 0))]
    pool = u(pooled(x, np.max if maximum else np.mean, 1, 1), "branch_pool")
    compared(module, x, params, [*branches, pool])


def test_blocks_that_halve_the_side():
    module = BlockB()
    x, params = drawn(module, (1, 5, 6, 4))
    u = lambda given, name, *how: unit(given, params, name, *how)  # noqa: E731
    double = u(u(u(x, "branch3x3dbl_1"), "branch3x3dbl_2", (1, 1)), "branch3x3dbl_3", (0, 0), 2)
    compared(module, x, params, [u(x, "branch3x3", (0, 0), 2), double, pooled(x, np.max, 0, 2)])
    module = BlockD()
    x, params = drawn(module, (1, 5, 3, 4))
    three = u(u(x, "branch3x3_1"), "branch3x3_2", (0, 0), 2)
    seven = u(u(x, "branch7x7x3_1"), "branch7x7x3_2", (0, 3))
    seven = u(u(seven, "branch7x7x3_3", (3, 0)), "branch7x7x3_4", (0, 0), 2)
    compared(module, x, params, [three, seven, pooled(x, np.max, 0, 2)])


def test_the_whole_network_has_the_size_of_the_published_one():
    shapes = jax.eval_shape(lambda: Inception().init(jax.random.key(0), jnp.zeros((1, 299, 299, 3))))["params"]
    kernels = sum(leaf.size for path, leaf in jax.tree.leaves_with_path(shapes) if "kernel" in str(path[-1]))
    units = sum(leaf.size for path, leaf in jax.tree.leaves_with_path(shapes) if "scale" in str(path[-1]))
    # Inception-v3 has 27 161 264 parameters with 1000 classes and the auxiliary head: 2 049 000 in the last layer,
    # and in the auxiliary one 128 * 768, 768 * 128 * 25 and 768 * 1000 + 1000, with batch norms of 128 and 768.
    auxiliary = 128 * 768 + 768 * 128 * 25 + 2 * (128 + 768) + 769_000
    assert kernels + 2 * units == 27_161_264 - 2_049_000 - auxiliary
    out = jax.eval_shape(lambda: Inception().init_with_output(jax.random.key(0), jnp.zeros((2, 299, 299, 3)))[0])
    assert out.shape == (2, 2048)


def test_the_interpolation_begins_at_the_first_pixel():
    # 2 to 4 pixels: positions 0, 0.5, 1, 1.5, and nothing beyond the last pixel.
    assert interpolation(2, 4).tolist() == [[1, 0], [0.5, 0.5], [0, 1], [0, 1]]
    # 4 to 2: every second pixel, without a mean.
    assert interpolation(4, 2).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert interpolation(3, 3).tolist() == np.eye(3).tolist()
    image = np.array([[0.0, 4.0], [8.0, 16.0]], np.float32)[None, :, :, None]
    assert np.asarray(resized(jnp.asarray(image), 4))[0, :3, :3, 0].tolist() == [[0, 2, 4], [4, 7, 10], [8, 12, 16]]


def test_images_are_rounded_to_bytes_and_grey_ones_become_three_equal_channels(monkeypatch):
    seen = []
    monkeypatch.setattr(inception, "_apply", lambda _, pixels: seen.append(pixels) or np.zeros((len(pixels), 2048)))
    found = inception.InceptionFeatures({}, "")
    assert found.features(np.full((27, 2, 2, 1), 0.2)).shape == (27, 2048)  # 153.0
    assert [part.shape for part in seen] == [(25, 2, 2, 3)] * 2
    assert np.unique(seen[0]).tolist() == [153] and np.unique(seen[1][2:]).tolist() == [0]
    with pytest.raises(ValueError, match="1 or 3 channels"):
        found.features(np.zeros((1, 2, 2, 4)))


@pytest.fixture
def small(monkeypatch):
    """A network of two layers in the place of Inception, and its arrays in PyTorch's layout."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Unit(2, (3, 1), padding=(1, 0), name="branch_pool")(x)

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Block(name="Mixed_5b")(Unit(4, name="Conv2d_1a_3x3")(x)).mean(axis=(1, 2))

    monkeypatch.setattr(inception, "Inception", Network)
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in (("Conv2d_1a_3x3", (4, 3, 1, 1)), ("Mixed_5b.branch_pool", (2, 4, 3, 1))):
        arrays[f"{name}.conv.weight"] = rng.standard_normal(shape)
        for part in ("weight", "bias", "running_mean"):
            arrays[f"{name}.bn.{part}"] = rng.standard_normal(shape[0])
        arrays[f"{name}.bn.running_var"] = rng.uniform(0.5, 2, shape[0])
    arrays["fc.weight"] = np.zeros((3, 2))
    return Network(), {name: array.astype(np.float32) for name, array in arrays.items()}


def written(path, arrays):
    """A safetensors file by its specification."""
    header, content = {}, b""
    for name, array in arrays.items():
        kind = {"float32": "F32", "float64": "F64"}[array.dtype.name]
        span = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": span}
        content += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def test_arrays_in_the_layout_of_pytorch_give_its_layers(tmp_path, small):
    network, arrays = small
    found = read_inception(written(tmp_path / "small.safetensors", arrays))
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 3)).astype(np.float32)
    y = x.astype(np.float64)
    for name, padding in (("Conv2d_1a_3x3", 0), ("Mixed_5b.branch_pool", 1)):
        weight, gain, offset, mean, variance = (arrays[f"{name}.{part}"].astype(np.float64) for part in inception.PARTS)
        y = np.pad(y, [(0, 0), (padding, padding), (0, 0), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(y, weight.shape[2], axis=1)
        y = np.einsum("nhwck,ock->nhwo", windows, weight[..., 0])
        y = np.maximum((y - mean) / np.sqrt(variance + 0.001) * gain + offset, 0)
    np.testing.assert_allclose(network.apply(found.params, x), y.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_the_extractor_says_what_was_checked_and_which_weights(tmp_path, small, capsys):
    path = written(tmp_path / "small.safetensors", small[1])
    found = extractor("inception", Digits(), weights=path)
    said = capsys.readouterr().err
    assert "on random weights only" in said and hashlib.sha256(path.read_bytes()).hexdigest() == found.checksum
    assert found.checksum in said and (found.name, found.size) == ("inception", 2048)


def without(name):
    return lambda arrays: {key: value for key, value in arrays.items() if key != name}


def changed(name, change):
    return lambda arrays: arrays | {name: change(arrays[name])}


NAME = "Mixed_5b.branch_pool"
REFUSED = {
    "a missing array": (without(f"{NAME}.bn.running_var"), rf"it has no array {NAME}\.bn\.running_var\."),
    "another shape": (changed(f"{NAME}.conv.weight", lambda a: a[:, :, :2]), r"shape \(2, 4, 2, 1\), not F32 and"),
    "another type": (changed(f"{NAME}.bn.bias", lambda a: a.astype(np.float64)), "has type F64"),
    "no number": (changed(f"{NAME}.bn.bias", lambda a: a * np.nan), "holds a NaN or Inf"),
    "a negative variance": (changed(f"{NAME}.bn.running_var", lambda a: -a), "holds a negative variance"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_files_that_are_not_these_weights_are_refused_in_a_line(kind, tmp_path, small):
    change, reason = REFUSED[kind]
    path = written(tmp_path / "small.safetensors", change(small[1]))
    with pytest.raises(ConfigError, match=reason) as caught:
        read_inception(path)
    assert str(caught.value).startswith(f"weights: {path}: ") and "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"weights: .*none\.safetensors cannot be read"):
        read_inception(tmp_path / "none.safetensors")
    (tmp_path / "a.pth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ConfigError, match=r"a pickle, which is never loaded: docs/metrics\.md#inception"):
        read_inception(tmp_path / "a.pth")


def test_weights_and_features_belong_together(tmp_path):
    for name, weights in (("inception", None), ("raw", tmp_path / "a.safetensors")):
        with pytest.raises(ConfigError, match="belong together"):
            extractor(name, Digits(), weights=weights)
    with pytest.raises(ConfigError, match=r"1 or 3 channels, not examples of shape \(2,\)"):
        extractor("inception", Ring(), weights=tmp_path / "a.safetensors")

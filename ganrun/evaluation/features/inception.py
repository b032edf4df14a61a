"""The features of Inception-v3, with weights that the user supplies: those that FID and KID are defined with.

The weights are those of ``pt_inception-2015-12-05-6726825d.pth``, which several implementations of FID in PyTorch use,
as a safetensors file with the same names. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import to_bytes
from ganrun.errors import ConfigError, shown
from ganrun.evaluation.features.inception_network import FEATURES, Inception
from ganrun.methods.precision import with_float32_products
from ganrun.storage.checksums import Damaged
from ganrun.storage.safe_io import read_bytes
from ganrun.storage.state_arrays import stored_arrays

SIDE = 299  # of the network's input
EPSILON = 1e-3  # of batch norm
MAX_BYTES = 1 << 28  # of a file; the published weights have 96 MB
CHUNK = 25  # images per call: one shape, compiled once
# Said wherever the features are used.
CHECKED = "this network was compared with one in PyTorch on random weights only, not on those that FID is defined with"
PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


@dataclass(frozen=True, eq=False)
class InceptionFeatures:
    """The mean of the last map of Inception-v3, 2048 features, with the weights of a file.

    Images are rounded to bytes, as if they were stored, and grey ones get three equal channels.

    Attributes:
        params: of :class:`~ganrun.evaluation.features.inception_network.Inception`.
        checksum: SHA-256 of the file, hexadecimal.
    """

    params: Any
    checksum: str
    name: str = "inception"

    @property
    def size(self) -> int:
        """Number of features."""
        return FEATURES

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the features, float32 ``(n, 2048)``, of images ``(n, height, width, 1 or 3)`` in [-1, 1].

        Raises:
            ValueError: these are no images with one or three channels.
        """
        if x.ndim != 4 or x.shape[-1] not in (1, 3):
            raise ValueError(f"Inception needs images with 1 or 3 channels, not examples of shape {x.shape[1:]}")
        parts = [np.zeros((0, FEATURES), np.float32)]
        for start in range(0, len(x), CHUNK):
            pixels = to_bytes(np.asarray(x[start : start + CHUNK], np.float32))
            padded = np.zeros((CHUNK, *x.shape[1:3], 3), np.uint8)
            padded[: len(pixels)] = pixels
            parts.append(np.asarray(_apply(self.params, jnp.asarray(padded)))[: len(pixels)])
        return np.concatenate(parts)


def read_inception(path: Path) -> InceptionFeatures:
    """Return the extractor with the weights in the safetensors file ``path``.

    The arrays have torchvision's names and layouts: ``NAME.conv.weight`` ``(features, channels, height, width)`` and
    ``NAME.bn.weight``, ``bias``, ``running_mean`` and ``running_var``, float32. Others, such as ``fc.weight``, are
    ignored.

    Raises:
        ConfigError: the file cannot be read, is no safetensors file, or lacks an array.
    """
    place = shown(str(path))
    try:
        content = read_bytes(path, MAX_BYTES)
        stored = stored_arrays(content, "it")
    except OSError as error:
        raise ConfigError(f"weights: {place} cannot be read ({error.strerror or error}).") from error
    except (ValueError, Damaged) as error:
        reason = " (a .pth file is a pickle, which is never loaded: docs/metrics.md#inception says how to convert it)"
        raise ConfigError(f"weights: {place}: {error}{reason if path.suffix in ('.pth', '.pt') else ''}.") from error
    target = jax.eval_shape(lambda: Inception().init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3))))
    try:
        params = {"params": _converted(target["params"], stored, ())}
    except ValueError as error:
        raise ConfigError(f"weights: {place}: {error}.") from error
    return InceptionFeatures(params, hashlib.sha256(content).hexdigest())


def _converted(target: Any, stored: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Return the parameters in the structure of ``target`` from the arrays that ``stored`` has below ``path``."""
    if "kernel" not in target:
        return {name: _converted(inner, stored, (*path, name)) for name, inner in target.items()}
    height, width, channels, features = target["kernel"].shape
    shapes = dict.fromkeys(PARTS, (features,)) | {PARTS[0]: (features, channels, height, width)}
    parts = [_array(stored, ".".join((*path, part)), shapes[part]) for part in PARTS]
    weight, gain, offset, mean, variance = parts
    if (variance < 0).any():
        raise ValueError(f"{'.'.join((*path, PARTS[-1]))} holds a negative variance")
    # Batch norm with fixed statistics is a multiplication and an addition.
    scale = gain / np.sqrt(variance + EPSILON)
    kernel = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    return {"kernel": jnp.asarray(kernel), "scale": jnp.asarray(scale), "bias": jnp.asarray(offset - mean * scale)}


def _array(stored: dict[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in stored:
        raise ValueError(f"it has no array {name}")
    found = stored[name]
    if found["dtype"] != "F32" or tuple(found["shape"]) != shape:
        raise ValueError(f"{name} has type {found['dtype']} and shape {tuple(found['shape'])}, not F32 and {shape}")
    array = np.frombuffer(bytearray(found["data"]), np.float32).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a NaN or Inf")
    return array


def resized(images: jax.Array, side: int) -> jax.Array:
    """Return ``images`` ``(n, height, width, channel)`` interpolated bilinearly to ``(n, side, side, channel)``.

    Output pixel i lies at i * size / side of the input, as in TensorFlow's ``resize_bilinear`` of the network that FID
    is defined with, and not at the centre of the pixels; nothing is smoothed before an image is reduced.
    """
    rows, columns = (jnp.asarray(interpolation(size, side)) for size in images.shape[1:3])
    return jnp.einsum("ah,bw,nhwc->nabc", rows, columns, images)


def interpolation(size: int, side: int) -> np.ndarray:
    """Return the weights ``(side, size)`` of the input pixels of one axis."""
    position = np.arange(side) * (size / side)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, size - 1)
    weights = np.zeros((side, size), np.float32)
    np.add.at(weights, (np.arange(side), before), 1 - (position - before))
    np.add.at(weights, (np.arange(side), after), position - before)
    return weights


@jax.jit
@with_float32_products
def _apply(params: Any, pixels: jax.Array) -> jax.Array:
    images = (resized(pixels.astype(jnp.float32), SIDE) - 128.0) / 128.0
    return Inception().apply(params, images)  # type: ignore[return-value]

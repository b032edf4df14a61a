"""Mutated files of weights for fuzz.py, and the extractor of features that reads them."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from fuzz_files import Files, mutated
from safetensors.numpy import save


class Small(nn.Module):
    """Stands for Inception, whose file is large."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        from ganrun.evaluation.features.inception_network import Unit

        return Unit(2, (3, 1), padding=(1, 0), name="a")(x)


class Weights(Files):
    """Weights of Inception as a user supplies them: mostly with a header that is changed."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        shapes = {"a.conv.weight": (2, 3, 3, 1)}
        shapes |= {f"a.bn.{part}": (2,) for part in ("weight", "bias", "running_mean", "running_var")}
        self.good = save({name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()})

    def make(self, rng: random.Random) -> None:
        content = self.good
        if rng.random() < 0.7:
            (size,) = struct.unpack("<Q", content[:8])
            header = mutated(content[8 : 8 + size], rng)
            content = struct.pack("<Q", len(header)) + header + content[8 + size :]
        else:
            content = mutated(content, rng)
        (self.place / "weights.safetensors").write_bytes(content)

    def give(self) -> None:
        from ganrun.evaluation.features import inception

        with mock.patch.object(inception, "Inception", Small), np.errstate(all="raise"):
            found = inception.read_inception(self.place / "weights.safetensors")
        jnp.asarray(found.params["params"]["a"]["scale"]).block_until_ready()

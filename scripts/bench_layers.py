"""Measures the convolutions of the architectures in each form, inside a compiled loop, as in training.

    python scripts/bench_layers.py [batch=64] [seconds=0.3] [forms=direct,matmul,xla] [out=FILE.md]

Prints a table of the speed of each layer of DCGAN, ResNet and R3GAN with its two gradients, and the form that ``auto``
takes. The operations of ``xla`` in the layers with resampling are counted as those of the other forms, which need 4/9
of them, so that the speeds of a row compare times.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp

from ganrun.architectures.convolution import (
    pooled_convolution,
    resolved_form,
    same_convolution,
    strided_convolution,
    transposed_convolution,
    upsampled_convolution,
)

SAME, STRIDED, TRANSPOSED = same_convolution, strided_convolution, transposed_convolution
POOLED, UPSAMPLED = pooled_convolution, upsampled_convolution
WORDS = {
    SAME: "stride 1",
    STRIDED: "stride 2",
    TRANSPOSED: "transposed, stride 2",
    POOLED: "then average pooling",
    UPSAMPLED: "after upsampling",
}


@dataclass(frozen=True)
class Layer:
    """One convolution.

    Attributes:
        convolution: the function.
        side: of the input.
        channels: of the input.
        features: output channels.
        size: side of the kernel.
        groups: of channels that are convolved separately.
    """

    convolution: Callable[..., jax.Array]
    side: int
    channels: int
    features: int
    size: int
    groups: int = 1

    @property
    def name(self) -> str:
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        kernel = f"{self.size}x{self.size} {WORDS[self.convolution]}{groups}"
        return f"{self.side}x{self.side}x{self.channels} to {self.features}, {kernel}"

    def flops(self, batch: int) -> float:
        """Return the operations of the output and of both gradients."""
        pixels = {STRIDED: 0.25, POOLED: 0.25}.get(self.convolution, 1) * self.side**2
        taps = 16 if self.convolution in (POOLED, UPSAMPLED) else self.size**2
        return 3 * 2 * batch * pixels * taps * self.channels * self.features / self.groups

    def form(self) -> str:
        pixels = (self.side // 2 if self.convolution in (STRIDED, POOLED) else self.side) ** 2
        return resolved_form("auto", self.channels // self.groups, self.features // self.groups, pixels)


LAYERS = {
    "DCGAN 28x28": [
        Layer(TRANSPOSED, 7, 128, 64, 4),
        Layer(TRANSPOSED, 14, 64, 1, 4),
        Layer(STRIDED, 28, 1, 64, 4),
        Layer(STRIDED, 14, 64, 128, 4),
    ],
    "DCGAN 32x32": [
        Layer(TRANSPOSED, 4, 256, 128, 4),
        Layer(TRANSPOSED, 8, 128, 64, 4),
        Layer(TRANSPOSED, 16, 64, 3, 4),
        Layer(STRIDED, 32, 3, 64, 4),
        Layer(STRIDED, 16, 64, 128, 4),
        Layer(STRIDED, 8, 128, 256, 4),
    ],
    "ResNet": [
        Layer(UPSAMPLED, 7, 64, 64, 3),
        Layer(UPSAMPLED, 14, 64, 64, 3),
        Layer(SAME, 28, 64, 64, 3),
        Layer(SAME, 28, 64, 1, 3),
        Layer(SAME, 28, 1, 64, 3),
        Layer(POOLED, 28, 64, 64, 3),
        Layer(SAME, 14, 64, 64, 3),
        Layer(POOLED, 14, 64, 64, 3),
        Layer(SAME, 7, 64, 64, 3),
        Layer(SAME, 14, 64, 64, 1),
    ],
    "R3GAN": [
        Layer(SAME, 28, 64, 64, 3, 4),
        Layer(SAME, 14, 128, 128, 3, 8),
        Layer(SAME, 14, 64, 128, 1),
        Layer(SAME, 28, 1, 64, 1),
    ],
}


def speed(layer: Layer, form: str, batch: int, seconds: float) -> float:
    """Return the operations per second of ``layer`` and its gradients in a loop, the median of several calls."""
    keys = jax.random.split(jax.random.key(0), 2)
    kernel = (layer.size, layer.size, layer.channels // layer.groups, layer.features)
    scale = (layer.size**2 * kernel[2]) ** -0.5
    start = (
        jax.random.normal(keys[0], (batch, layer.side, layer.side, layer.channels)),
        scale * jax.random.normal(keys[1], kernel),
    )
    options = {"groups": layer.groups} if layer.convolution is SAME else {}

    def scalar(x: jax.Array, kernel: jax.Array) -> jax.Array:
        # The square makes the gradients depend on the output, and the output an input of the loop's next pass.
        return 0.5 * jnp.mean(layer.convolution(x, kernel, form, **options) ** 2)

    @jax.jit
    def loop(n: int, values: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        def body(_: jax.Array, values: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x, kernel = values
            dx, dk = jax.grad(scalar, argnums=(0, 1))(x, kernel)
            return x - dx, kernel - 0.1 * dk

        return jax.lax.fori_loop(0, n, body, values)

    def timed(n: int) -> float:
        begun = time.perf_counter()
        jax.block_until_ready(loop(n, start))
        return time.perf_counter() - begun

    timed(1)  # compiles
    n = max(1, math.ceil(seconds / 5 / timed(1)))
    return n * layer.flops(batch) / statistics.median(timed(n) for _ in range(5))


def table(batch: int, seconds: float, forms: list[str]) -> str:
    """Return the results as a Markdown table; the fastest form of each layer is in bold."""
    lines = [
        f"| layer | GFLOP | {' | '.join(f'{form}, GFLOP/s' for form in forms)} | auto |",
        "| --- |" + " --- |" * (len(forms) + 2),
    ]
    for name, layers in LAYERS.items():
        for layer in layers:
            found = {form: speed(layer, form, batch, seconds) for form in forms}
            best = max(found.values())
            cells = [f"**{v / 1e9:.0f}**" if v == best else f"{v / 1e9:.0f}" for v in found.values()]
            lines.append(
                f"| {name}: {layer.name} | {layer.flops(batch) / 1e9:.2f} | {' | '.join(cells)} | {layer.form()} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def main() -> None:
    """Measure and print, or write to ``out``."""
    options = {"batch": "64", "seconds": "0.3", "forms": "direct,matmul,xla", "out": ""}
    for word in sys.argv[1:]:
        key, equals, value = word.partition("=")
        if not equals or key not in options:
            sys.exit(f"bench_layers.py: unknown setting '{word}': use {', '.join(f'{name}=' for name in options)}")
        options[key] = value
    device = jax.devices()[0].device_kind if jax.default_backend() != "cpu" else platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = (
        f"### {device}, {cores} cores: jax {jax.__version__}, jaxlib {version('jaxlib')}\n\n"
        f"{table(int(options['batch']), float(options['seconds']), options['forms'].split(','))}\n"
    )
    if options["out"]:
        Path(options["out"]).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()

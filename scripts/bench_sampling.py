"""Measures the time of sampling against the dimension of the data: a GAN and a VAE against an autoregressive model.

    python scripts/bench_sampling.py [dimensions=32,64,128,256] [samples=16] [units=64] [repeats=100]

Each model is fully connected with two hidden layers of as many units. Its samples are vectors; its weights are those
before the first step. An autoregressive model draws one element after the other, each given the earlier ones, so that
its time grows with the dimension even where the arithmetic of a step does not; the others take one pass.

The autoregressive model is a MADE without direct connections, whose work per element does not depend on the dimension.
Times are the shortest of calls in turn: one call of each model for each dimension, over and over. The last columns are
those of the least-squares line seconds = a + b * dimension: b in microseconds per dimension, and R², the share of the
variance that the line explains.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.architectures.autoencoder import MlpVae
from ganrun.architectures.masked_mlp import Made
from ganrun.architectures.mlp import Mlp
from ganrun.methods.autoregressive.autoregressive import Autoregressive
from ganrun.methods.autoregressive.conditionals import GaussianMixture
from ganrun.methods.likelihoods import Gaussian
from ganrun.methods.vae.vae import Vae
from ganrun.optimizers import Sgd

LATENTS = 16
DEFAULTS = {"dimensions": "32,64,128,256", "samples": "16", "units": "64", "repeats": "100"}
MODELS = ("gan", "vae", "autoregressive")


def sampler_of(name: str, dimension: int, samples: int, units: int) -> Callable[[jax.Array], jax.Array]:
    """Return a compiled function of a key that draws ``samples`` vectors from a model of ``dimension``."""
    hidden, shape, key = (units, units), (dimension,), jax.random.key(0)
    example = jnp.zeros((1, dimension))
    if name == "gan":
        generator = Mlp(hidden, hidden).build(shape, LATENTS).generator
        variables: Any = generator.init(key, jnp.zeros((1, LATENTS)), train=False)
        return jax.jit(lambda key: generator.apply(variables, jax.random.normal(key, (samples, LATENTS)), train=False))
    settings: dict[str, Any] = {"optimizer": Sgd(), "batch_size": 1}
    if name == "vae":
        module = MlpVae(hidden, hidden).build_autoencoder(shape, LATENTS, Gaussian.OUTPUTS)
        settings |= {"likelihood": Gaussian(), "latent_dim": LATENTS, "importance_samples": 1}
        method: Any = Vae(module=module, **settings)
    else:
        conditional = GaussianMixture(1)
        module = Made(hidden, direct=False).build_autoregressive(shape, conditional.outputs)
        method = Autoregressive(module=module, conditional=conditional, **settings)
    variables = {"batch_stats": {}, **method.initial(key, example)}
    return jax.jit(lambda key: method.sample(variables, {}, key, samples))


def seconds(dimensions: Sequence[int], samples: int, units: int, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of the fastest call of each model, for each of ``dimensions``."""
    calls = {(name, n): sampler_of(name, n, samples, units) for name in MODELS for n in dimensions}
    taken: dict[tuple[str, int], list[float]] = {pair: [] for pair in calls}
    for call in calls.values():
        jax.block_until_ready(call(jax.random.key(0)))
    for repeat in range(repeats):
        for pair, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call(jax.random.key(repeat)))
            taken[pair].append(time.perf_counter() - start)
    return {name: [min(taken[name, n]) for n in dimensions] for name in MODELS}


def line(dimensions: Sequence[int], times: Sequence[float]) -> tuple[float, float, float]:
    """Return intercept, slope and R² of the least-squares line of ``times`` against ``dimensions``."""
    x, y = np.asarray(dimensions, float), np.asarray(times, float)
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(np.sum((y - y.mean()) ** 2))
    rest = float(np.sum((y - intercept - slope * x) ** 2))
    return float(intercept), float(slope), 1.0 - rest / spread if spread else math.nan


def table(dimensions: Sequence[int], times: dict[str, list[float]]) -> list[str]:
    """Return the rows of a Markdown table: milliseconds for each dimension, and the line through them."""
    rows = [f"| model | {' | '.join(f'n = {n}, ms' for n in dimensions)} | slope, µs | R² |"]
    rows.append("|---" * (len(dimensions) + 3) + "|")
    for name, each in times.items():
        _, slope, r2 = line(dimensions, each)
        cells = " | ".join(f"{1e3 * value:.3f}" for value in each)
        rows.append(f"| {name} | {cells} | {1e6 * slope:.3g} | {r2:.4f} |")
    return rows


def main(words: Sequence[str]) -> int:
    """Measure and print the table."""
    given = DEFAULTS | dict(word.split("=", 1) for word in words)
    if given.keys() != DEFAULTS.keys():
        print(f"usage: {(__doc__ or '').splitlines()[2].strip()}", file=sys.stderr)
        return 2
    dimensions = [int(n) for n in given["dimensions"].split(",")]
    times = seconds(dimensions, int(given["samples"]), int(given["units"]), int(given["repeats"]))
    print("\n".join(table(dimensions, times)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

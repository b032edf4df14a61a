"""Measures what a training step spends beside its matrix products, by leaving parts out.

    python scripts/bench_step.py [rounds=7] [out=FILE.md] [problems=ring,mnist] [KEY=VALUE ...]

The sum of the products is that of the step's matrix products, each at the speed that it reaches alone in this process.
The variants of the step alternate, and each is compared with the whole step of the same round. A part's time is that of
the whole step less that of the step without it; parts overlap where XLA fuses them, so they need not add up. KEY=VALUE
are settings of `ganrun train` for all problems.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import optax

from ganrun.commands import bench_products
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.methods.experiment import Experiment, _advance
from ganrun.methods.gan import algorithm, batch, updates
from ganrun.training import device
from ganrun.training.build import build

PROBLEMS = {"ring": ["dataset=ring"], "mnist": ["dataset=mnist", "dataset.download=false"]}
CALL = 0.3  # seconds of one timed call


def without_optimizer() -> Iterator[Any]:
    """Gradient descent with a tiny rate in place of the optimizer."""
    yield mock.patch.object(updates, "optimizer", lambda *_: optax.scale(-1e-9))


def without_random_numbers() -> Iterator[Any]:
    """Fixed data and noise."""

    def noise(spec: Any, key: Any, n: int) -> jax.Array:
        return jnp.sin(jnp.arange(n * spec.latent_dim, dtype=jnp.float32)).reshape(n, -1)

    def data(spec: Any, source: Any, key: Any, cursor: Any, n: int) -> Any:
        shape = jax.eval_shape(lambda: source.minibatch(key, cursor, n)[0]).shape
        return (
            jnp.cos(jnp.arange(n, dtype=jnp.float32)).reshape(-1, *[1] * (len(shape) - 1)) * jnp.ones(shape),
            {},
            cursor,
        )

    yield mock.patch.object(updates, "draw_noise", noise)
    yield mock.patch.object(updates, "draw_data", data)


def without_bias_sums() -> Iterator[Any]:
    """Biases without a gradient."""
    forward = batch.forward

    def fixed(module: Any, params: Any, *others: Any) -> Any:
        def stop(path: Any, leaf: jax.Array) -> jax.Array:
            return jax.lax.stop_gradient(leaf) if path[-1].key == "bias" else leaf

        return forward(module, jax.tree_util.tree_map_with_path(stop, params), *others)

    yield mock.patch.object(batch, "forward", fixed)


def without_one_column_layers() -> Iterator[Any]:
    """The sum of the features in place of the last layer with one output."""
    forward = batch.forward

    def summed(module: Any, params: Any, *others: Any) -> Any:
        def ones(leaf: jax.Array) -> jax.Array:
            return jnp.full_like(leaf, 0.01) if leaf.ndim == 2 and leaf.shape[-1] == 1 else leaf

        return forward(module, jax.tree.map(ones, params), *others)

    yield mock.patch.object(batch, "forward", summed)


def without_average() -> Iterator[Any]:
    """No moving average of the generator."""
    yield mock.patch.object(algorithm, "moving_average", lambda average, *_: average)


def without_metrics() -> Iterator[Any]:
    """Metrics that are zero."""
    yield mock.patch.object(
        updates, "output_metrics", lambda kind, *_: dict.fromkeys(algorithm_tags(kind), jnp.zeros(()))
    )
    yield mock.patch.object(updates.optax.tree, "norm", lambda _: jnp.zeros(()))


def algorithm_tags(kind: str) -> tuple[str, ...]:
    """Return the metrics of an output of this ``kind``."""
    return updates.OUTPUT_METRICS[kind]


PARTS: dict[str, Callable[[], Iterator[Any]]] = {
    "optimizers": without_optimizer,
    "random numbers and data": without_random_numbers,
    "bias sums": without_bias_sums,
    "one-column layers": without_one_column_layers,
    "moving average": without_average,
    "metrics and gradient norms": without_metrics,
}


@contextmanager
def left_out(names: list[str]) -> Iterator[None]:
    """Leave these parts out of programs that are traced meanwhile."""
    with ExitStack() as stack:
        for name in names:
            for patch in PARTS[name]():
                stack.enter_context(patch)
        jax.clear_caches()
        yield


class Loop:
    """The compiled training loop of an experiment without some parts."""

    def __init__(self, experiment: Experiment, names: list[str]) -> None:
        with left_out(names):
            self.state = experiment.init()
            self.data = (experiment.window(self.state.cursor, 1), experiment.data.held_out)
            lowered = _advance.lower(experiment.method, self.state, *self.data, jnp.int32(1))
            self.program = lowered.compile()
        self.seconds: list[float] = []

    def measure(self, n: int) -> float:
        """Take ``n`` steps; return the seconds of one."""
        begun = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.program(self.state, *self.data, jnp.int32(n)))
        return (time.perf_counter() - begun) / n


def products(experiment: Experiment) -> float:
    """Return the seconds of the matrix products of a step, each at the speed that it reaches alone."""
    work = bench_products.work_of_step(experiment)
    return sum(flops / bench_products.product_speed(product, 0.15) for product, flops in work.items())


def table(name: str, words: list[str], rounds: int) -> list[str]:
    """Return the lines of the table of a problem."""
    experiment = build(check(compose("train", [*words, "probe=off"])))
    alone = products(experiment)
    loops = {"": Loop(experiment, [])} | {part: Loop(experiment, [part]) for part in PARTS}
    loops["all of these"] = Loop(experiment, list(PARTS))
    n = max(1, int(CALL / max(loops[""].measure(2), 1e-6)))
    for _ in range(rounds):
        for loop in loops.values():
            loop.seconds.append(loop.measure(n))
    whole = statistics.median(loops[""].seconds)
    alone = min(alone, products(experiment))
    lines = [f"| {name}: matrix products, each alone | {alone * 1e3:.3f} | {alone / whole:.0%} |"]
    lines.append(f"| {name}: whole step | {whole * 1e3:.3f} | 100% |")
    for part, loop in loops.items():
        if part:
            pairs = zip(loops[""].seconds, loop.seconds, strict=True)
            share = statistics.median(1 - less / full for full, less in pairs)
            lines.append(f"| {name}: {part} | {share * whole * 1e3:.3f} | {share:.1%} |")
    return lines


def main() -> None:
    """Print the table, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    own = ("rounds", "out", "problems")
    words = [word for word in sys.argv[1:] if word.split("=", 1)[0] not in own]
    device.prepare()
    about = device.describe()
    lines = [
        f"{about['device']}, jaxlib {about['versions']['jaxlib']}",
        "",
        "| part | ms | share of the step |",
        "|---|---|---|",
    ]
    for name in given.get("problems", ",".join(PROBLEMS)).split(","):
        lines += table(name, [*PROBLEMS[name], *words], int(given.get("rounds", 7)))
    print("\n".join(lines))
    if "out" in given:
        Path(given["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

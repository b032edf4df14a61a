"""Measures the bias of gradient=approximate in the penalties r1 and r2, relative to the exact squared gradient norm.

    python scripts/approximate_gradients.py [draws=200] [out=FILE.md] [KEY=VALUE ...]

Three discriminators: a quadratic function, whose bias is known; the default MLP after 1000 steps on the ring; and a
residual network with attention after 100 steps on the digits. For each step size, the difference between the estimate
and the squared derivative in the same direction, whose expectation is the squared gradient norm, is averaged over
examples of the data and directions; its standard error is that of independent directions. KEY=VALUE are settings of
`ganrun train` for both runs.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.datasets.sampler import Cursor
from ganrun.keys import key_for
from ganrun.methods.gan.penalties import PenaltyInputs
from ganrun.methods.gan.penalties.base import squared_directional_derivatives, squared_gradient_norms
from ganrun.training import device
from ganrun.training.build import build

STEPS = (1e-4, 1e-3, 1e-2, 0.1, 0.5)
EXAMPLES = 64
RUNS = {
    "MLP, ring": (["dataset=ring"], 1000),
    "resnet with attention, digits": (["dataset=digits", "architecture=resnet", "architecture.attention=true"], 100),
}


def inputs_of(critic: Any, x: jax.Array) -> PenaltyInputs:
    """Return the inputs of a penalty for data ``x``."""
    scores = critic(x, {}, jax.random.key(0))
    return PenaltyInputs(critic, x, x, {}, {}, scores, scores, {}, lambda: ((), ()), jnp.float32(0), jax.random.key(0))


def quadratic() -> PenaltyInputs:
    """Return D(x) = |x|² / 2 at points with |x|² = 4 in two dimensions: the exact value is 4, the bias 2 step²."""
    angles = jnp.linspace(0.0, 2 * jnp.pi, EXAMPLES, endpoint=False)
    points = 2.0 * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    return inputs_of(lambda x, conditioning, key: 0.5 * jnp.sum(x**2, axis=1), points)


def trained(words: list[str], steps: int) -> PenaltyInputs:
    """Return the discriminator of a run after ``steps``, and data."""
    experiment = build(check(compose("train", [*words, "probe=off"])))
    state, _ = experiment.advance(experiment.init(), steps)
    discriminator: Any = experiment.method.spec.discriminator  # type: ignore[attr-defined]
    variables = state.model.discriminator.variables
    source: Any = experiment.data.train
    x, _ = source.minibatch(jax.random.key(1), Cursor.start(), EXAMPLES)
    return inputs_of(lambda x, conditioning, key: discriminator.apply(variables, x, train=True), x)


def biases(inputs: PenaltyInputs, draws: int) -> tuple[float, list[tuple[float, float]]]:
    """Return the mean squared gradient norm, and for each step size the relative bias and its standard error."""
    exact = squared_gradient_norms(inputs, inputs.real, {})

    def difference(key: jax.Array, step: jax.Array) -> jax.Array:
        drawn, x = dataclasses.replace(inputs, key=key), inputs.real
        direction = jax.random.normal(key_for(key, "direction of x"), x.shape)
        _, slope = jax.jvp(lambda x: drawn.critic(x, {}, key), (x,), (direction,))
        return jnp.mean(squared_directional_derivatives(drawn, x, {}, drawn.real_scores, step) - slope**2)

    several = jax.jit(lambda step: jax.lax.map(lambda key: difference(key, step), jax.random.split(inputs.key, draws)))
    mean = float(jnp.mean(exact))
    found = [np.asarray(several(jnp.float32(step)), np.float64) / mean for step in STEPS]
    return mean, [(float(row.mean()), float(row.std(ddof=1) / np.sqrt(draws))) for row in found]


def main() -> None:
    """Print the table, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    draws = int(given.get("draws", 200))
    words = [word for word in sys.argv[1:] if word.split("=", 1)[0] not in ("draws", "out")]
    device.prepare()
    lines = [
        f"| discriminator | mean of ‖∇D‖² | {' | '.join(f'step {step:g}' for step in STEPS)} |",
        "|---|---|" + "---|" * len(STEPS),
    ]
    cases = {"quadratic": quadratic} | {
        name: lambda case=case: trained([*case[0], *words], case[1]) for name, case in RUNS.items()
    }
    for name, case in cases.items():
        mean, found = biases(case(), draws)
        lines.append(f"| {name} | {mean:.4g} | {' | '.join(f'{bias:+.2%} ± {error:.2%}' for bias, error in found)} |")
    print("\n".join(lines))
    if "out" in given:
        Path(given["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Coverage of the intervals of `ganrun eval` for the metrics of a model, on pairs whose values are known.

    python scripts/bench_intervals.py [only=modes,cas,log_density,jsd] [repeats=400]

Each row has the share of nominal 95 % intervals that contain the true value, and the shares that lie below and above.
modes: 500 samples of a ring of 8 modes, for which the expectation of `modes/kl` is a sum over binomial distributions.
cas: given the classifier, correct predictions are binomial, so the coverage is a finite sum, without repeats.
log_density: 1000 held-out examples of N(0, I) in 4 dimensions under a known N(shift, scale^2 I).
jsd: 200 examples each of N(0, 1) and N(1, 1) for the classifiers of `jsd/probe`, with a budget of 0.05; three seconds
per repeat. The interval is for what classifiers detect: its truth is the mean over the repeats, and the second row has
the divergence itself.
docs/sample_metrics.md has the results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import integrate, stats

from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.features import Raw
from ganrun.evaluation.measurements import of_model
from ganrun.evaluation.measurements.base import Measurement, Sets, Settings
from ganrun.evaluation.sample_metrics.intervals import proportion
from ganrun.methods.metric_spec import MetricSpec

MODES, SAMPLES = 8, 500
ANGLES = 2 * np.pi * np.arange(MODES) / MODES
CENTRES, STD, WEIGHTS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1), 0.02, np.full(MODES, 1 / MODES)
# Shares of the model's samples, and their width relative to that of the data's modes.
MIXTURES = {
    "equal": (WEIGHTS, 1.0),
    "shares 1:2, width 1.5": (np.tile([1.0, 2.0], MODES // 2) / (1.5 * MODES), 1.5),
    "one mode missing, width .9": (np.append(np.full(MODES - 1, 1 / (MODES - 1)), 0.0), 0.9),
}
ACCURACIES, HELD_OUT = (0.5, 0.8, 0.9, 0.95, 0.98), (150, 360, 1000, 10_000)
NORMALS = {"equal": (0.0, 1.0), "shift 1": (1.0, 1.0), "scale .6": (0.0, 0.6)}
D, EXAMPLES = 4, 1000
OF_JSD, BUDGET = 200, 0.05


@dataclass(frozen=True)
class Row:
    """Coverage of the true value by the intervals of one tag: shares of all, below and above it."""

    tag: str
    case: str
    truth: float
    n: int
    repeats: int
    covered: float
    below: float
    above: float

    def __str__(self) -> str:
        shares = f"{self.covered:.3f} | {self.below:.3f} | {self.above:.3f}"
        return f"| `{self.tag}` | {self.case} | {self.truth:.4f} | {self.n} | {self.repeats or 'all'} | {shares} |"


def row(tag: str, case: str, truth: float, found: list[Measurement], n: int) -> Row:
    low, high = np.array([(one.low, one.high) for one in found], np.float64).T
    below, above = float((high < truth).mean()), float((low > truth).mean())
    return Row(tag, case, truth, n, len(found), 1 - below - above, below, above)


def sets(fake: np.ndarray, reference: np.ndarray, context: Any = None, **more: Any) -> Sets:
    return Sets("", "", fake, reference, None, None, None, Raw(fake.shape[1:]), False, context=context, **more)


def modes(repeats: int) -> Iterator[Row]:
    density = SimpleNamespace(means=CENTRES, stds=np.full(MODES, STD), weights=WEIGHTS)
    for case, (shares, width) in MIXTURES.items():
        inside = 1 - np.exp(-(3.0**2) / (2 * width**2))
        found = []
        for i in range(repeats):
            rng = np.random.default_rng([1, i])
            component = rng.choice(MODES, SAMPLES, p=shares)
            fake = CENTRES[component] + width * STD * rng.standard_normal((SAMPLES, 2))
            found.append(of_model.modes(sets(fake, fake, SimpleNamespace(density=density)), Settings(floor=False)))
        by_tag = {group[0].tag: list(group) for group in zip(*found, strict=True)}
        yield row("modes/high_quality", case, inside, by_tag["modes/high_quality"], SAMPLES)
        yield row("modes/kl", case, expected_kl(SAMPLES, inside, shares), by_tag["modes/kl"], SAMPLES)


def expected_kl(n: int, inside: float, shares: np.ndarray) -> float:
    """Return the expectation of the divergence over the modes, of those of n samples that are ``inside`` a mode."""
    total = 0.0
    for of_n in range(1, n + 1):
        if (weight := float(stats.binom.pmf(of_n, n, inside))) > 1e-12:
            count = np.arange(1, of_n + 1)[:, None]
            terms = count / of_n * np.log(count / of_n / WEIGHTS)
            total += weight * float((stats.binom.pmf(count, of_n, shares) * terms).sum())
    return total


def cas(repeats: int) -> Iterator[Row]:
    del repeats
    for n in HELD_OUT:
        count = np.arange(n + 1)
        low, high = np.array([(found.low, found.high) for found in (proportion(k / n, n) for k in count)]).T
        for truth in ACCURACIES:
            chance = stats.binom.pmf(count, n, truth)
            below, above = float(chance[high < truth].sum()), float(chance[low > truth].sum())
            yield Row("cas", "", truth, n, 0, 1 - below - above, below, above)


def log_density(repeats: int) -> Iterator[Row]:
    for case, (shift, scale) in NORMALS.items():
        truth = -0.5 * D * np.log(2 * np.pi * scale**2) - D * (1 + shift**2) / (2 * scale**2)
        found = [of_model.log_density(sets(np.zeros((1, D)), np.zeros((1, D)), _normal_model(shift, scale, i)),
                                      Settings())[0] for i in range(repeats)]  # fmt: skip
        yield row("log_density", case, float(truth), found, EXAMPLES)


def _normal_model(shift: float, scale: float, seed: int) -> Any:
    """Return a run whose method is N(shift, scale^2 I), and whose held-out data are N(0, I)."""

    def log_density(variables: Any, key: Any, x: Any) -> dict[str, np.ndarray]:
        del variables, key
        return {"log_density": stats.norm.logpdf(np.asarray(x, np.float64), shift, scale).sum(axis=1)}

    def minibatch(key: Any, cursor: Any, n: int) -> tuple[np.ndarray, None]:
        del key, cursor
        return np.random.default_rng([2, seed]).standard_normal((n, D)), None

    data = SimpleNamespace(held_out=SimpleNamespace(minibatch=minibatch), log_volume=0.0)
    method = SimpleNamespace(densities=(MetricSpec("log_density", ""),), normaliser_specs=(), shared_errors={})
    experiment = SimpleNamespace(
        data=data, method=method, log_density=log_density, with_normaliser=lambda variables, key: variables
    )
    return SimpleNamespace(experiment=experiment, variables=None, noise=seed, is_last=False)


def jsd(repeats: int) -> Iterator[Row]:
    found = []
    for i in range(repeats):
        real, fake = np.random.default_rng([3, i]).standard_normal((2, OF_JSD, 1)).astype(np.float32)
        fake += 1
        data, model = (Distribution("", (1,), rows=rows) for rows in (real, fake))
        work = Settings(floor=False, budget=BUDGET, seed=i)
        found += of_model.probe(sets(fake, real, data=data, model=model), work)
    mean = float(np.mean([one.value for one in found]))
    yield row("jsd/probe", "mean of the estimates", mean, found, OF_JSD)
    yield row("jsd/probe", "the divergence", shifted_jsd(1.0), found, OF_JSD)


def shifted_jsd(shift: float) -> float:
    """Return the Jensen-Shannon divergence of N(0, 1) and N(shift, 1), nats."""

    def integrand(x: float) -> float:
        log_ratio = shift * x - shift**2 / 2  # of N(shift, 1) to N(0, 1)
        of_data, of_model = np.log(2) - np.logaddexp(0, log_ratio), np.log(2) - np.logaddexp(0, -log_ratio)
        return float(stats.norm.pdf(x) * of_data + stats.norm.pdf(x - shift) * of_model) / 2

    return float(integrate.quad(integrand, -12, 12 + shift)[0])


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {"modes": modes, "cas": cas, "log_density": log_density, "jsd": jsd}


def main(words: list[str]) -> None:
    options = dict(word.split("=", 1) for word in words)
    print(f"| tag | case | true value | n | repeats | covered | below | above |\n|{'---|' * 8}")
    for part in options.get("only", ",".join(PARTS)).split(","):
        for found in PARTS[part](int(options.get("repeats", 400))):
            print(found, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

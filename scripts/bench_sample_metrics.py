"""Coverage of the intervals of sample metrics, and power of the tests for memorisation, on normal distributions.

    python scripts/bench_sample_metrics.py part=coverage [repeats=200] [only=density]
    python scripts/bench_sample_metrics.py part=eval [repeats=200] [only=precision] [n=150] [subset=1000]
    python scripts/bench_sample_metrics.py part=power [repeats=100] [only=8]
    python scripts/bench_sample_metrics.py part=speed [n=10000] [d=512]

Coverage: real examples N(0, I) and fake ones N(shift, scale^2 I), d = 4, 150 each; the share of intervals that contain
the mean of the statistic at these sizes, which comes from 2000 independent pairs. Eval: the same for the intervals that
`ganrun eval` prints, those of AuthPct given the training examples. Power: 500 samples of which a few are
copies of training examples, changed by noise; 500 held-out and 1000 training examples. Speed: seconds of each metric,
and the most memory, with n real and n fake examples of d features.
docs/sample_metrics.md has the results.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import stats

from ganrun.evaluation.features import Raw
from ganrun.evaluation.measurements import two_samples
from ganrun.evaluation.measurements.base import Measurement, Sets, Settings
from ganrun.evaluation.measurements.families import evaluate
from ganrun.evaluation.sample_metrics.data_copying import data_copying
from ganrun.evaluation.sample_metrics.frechet import frechet
from ganrun.evaluation.sample_metrics.intervals import bootstrap, delete_jackknife, proportion, subsampling
from ganrun.evaluation.sample_metrics.kernel import kernel_distance
from ganrun.evaluation.sample_metrics.manifold import manifold
from ganrun.evaluation.sample_metrics.memorisation import authenticity, copy_test
from ganrun.evaluation.sample_metrics.mind import mind
from ganrun.evaluation.sample_metrics.parzen import parzen
from ganrun.evaluation.sample_metrics.vendi import vendi

N, D = 150, 4
TRUTH = 2000  # pairs for the mean of a statistic
SUBSETS = 60
PAIRS = {"shift .5": (0.5, 1.0), "scale 1.5": (0.0, 1.5), "equal": (0.0, 1.0)}
STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "frechet": lambda real, fake: frechet(real, fake).value,
    "kernel": lambda real, fake: kernel_distance(real, fake).value,
    "mind": lambda real, fake: mind(real, fake, projections=16).value,
    "precision": lambda real, fake: manifold(real, fake).precision,
    "density": lambda real, fake: manifold(real, fake).density,
    "coverage": lambda real, fake: manifold(real, fake).coverage,
    "vendi": lambda real, fake: vendi(fake),
    "authpct": lambda real, fake: authenticity(fake, real).percent,
    "parzen": lambda real, fake: parzen(fake, real[:1], real, [0.5]).mean,
}
INTERVALS = {"delete_jackknife": delete_jackknife, "subsampling": subsampling, "bootstrap": bootstrap}
COPIES = ((0, 0.0), (5, 0.0), (10, 0.0), (10, 0.1), (10, 0.3), (25, 0.3), (100, 0.3), (100, 0.6))
DIMENSIONS = (2, 8, 64)
TAGS = ("precision", "recall", "density", "coverage", "frechet", "kernel", "mind", "vendi", "authenticity", "parzen")


def draw_pair(pair: str, seed: Iterable[int], n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(list(seed))
    shift, scale = PAIRS[pair]
    fake = scale * rng.standard_normal((n, D))
    fake[:, 0] += shift
    return rng.standard_normal((n, D)), fake


def coverage(name: str, pair: str, repeats: int, pairs: int = TRUTH) -> dict[str, float]:
    """Return the share of intervals that contain the mean of the statistic, by method."""
    statistic = STATISTICS[name]
    truth = float(np.mean([statistic(*draw_pair(pair, (1, i))) for i in range(pairs)]))
    hits = dict.fromkeys(INTERVALS, 0)
    for i in range(repeats):
        for method, interval in INTERVALS.items():
            found = interval(statistic, *draw_pair(pair, (2, i)), repeats=SUBSETS, seed=i)
            hits[method] += found.low <= truth <= found.high
    return {method: count / repeats for method, count in hits.items()}


def eval_coverage(tag: str, pair: str, repeats: int, n: int = N, pairs: int = TRUTH) -> float:
    """Return the share of the intervals of ``ganrun eval`` for ``tag`` that contain the mean of the metric."""
    if tag == "authenticity":
        return _authenticity_coverage(pair, repeats, n)

    def measured(drawn: tuple[int, int], **settings: Any) -> Measurement:
        real, fake = draw_pair(pair, drawn, n)
        held_out = np.random.default_rng([9, *drawn]).standard_normal((n, D))
        sets = Sets("", "", fake, real, None, real, held_out, Raw((D,)), False)
        (found,) = evaluate(sets, (tag,), Settings(floor=False, **settings)).measurements
        return found

    truth = float(np.mean([measured((1, i), intervals=False).value or 0.0 for i in range(pairs)]))
    found = [measured((2, i), seed=i) for i in range(repeats)]
    hits = [one.low is not None and one.high is not None and one.low <= truth <= one.high for one in found]
    return sum(hits) / repeats


def _authenticity_coverage(pair: str, repeats: int, n: int) -> float:
    """Return the coverage for AuthPct given the training examples, of all samples that a model could draw."""
    hits = 0
    for i in range(repeats):
        training, fake = draw_pair(pair, (2, i), n)
        truth = authenticity(draw_pair(pair, (3, i), 100 * n)[1], training).percent / 100
        interval = proportion(authenticity(fake, training).percent / 100, n)
        hits += interval.low <= truth <= interval.high
    return hits / repeats


def speed(n: int, d: int) -> dict[str, tuple[float, float]]:
    """Return the seconds of each metric by the clock and of the processor, for ``n`` examples of each kind."""
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((n, d), np.float32) for _ in range(2))
    sets = Sets("", "", fake, real, None, None, None, Raw((d,)), False)
    seconds = {}
    for metric in ("manifold", "frechet", "kernel", "mind", "vendi"):
        for intervals in (False, True) if metric == "manifold" else (True,):
            begun = time.perf_counter(), time.process_time()
            evaluate(sets, (metric,), Settings(floor=False, intervals=intervals))
            name = metric + (" with intervals" if metric == "manifold" and intervals else "")
            seconds[name] = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return seconds


def power(d: int, copies: int, noise: float, repeats: int) -> dict[str, float]:
    """Return the share of repeats in which a test rejects at 5 %, by test."""
    rejected = {"copy_test": 0, "C_T": 0, "AuthPct": 0}
    for i in range(repeats):
        rng = np.random.default_rng([d, i])
        training, held_out, samples = (rng.standard_normal((n, d)) for n in (1000, 500, 500))
        samples[:copies] = training[:copies] + noise * samples[:copies]
        rejected["copy_test"] += copy_test(samples, held_out, training).p_value < 0.05
        rejected["C_T"] += data_copying(samples, held_out, training).p_value < 0.05
        # AuthPct has no test of its own: Fisher's exact test compares it with that of the held-out examples.
        ours, theirs = (500 - int(authenticity(rows, training).is_authentic.sum()) for rows in (samples, held_out))
        rejected["AuthPct"] += float(stats.hypergeom.sf(ours - 1, 1000, ours + theirs, 500)) < 0.05
    return {test: count / repeats for test, count in rejected.items()}


def main(words: list[str]) -> None:
    options = dict(word.split("=", 1) for word in words)
    only = options.get("only")
    if options.get("part", "coverage") == "coverage":
        print(f"| statistic | pair | {' | '.join(INTERVALS)} |\n|{'---|' * (2 + len(INTERVALS))}")
        for name in STATISTICS if only is None else only.split(","):
            for pair in PAIRS:
                found = coverage(name, pair, int(options.get("repeats", 200)))
                print(f"| {name} | {pair} | {' | '.join(f'{share:.3f}' for share in found.values())} |", flush=True)
        return
    if options["part"] == "speed":
        n, d = int(options.get("n", 10_000)), int(options.get("d", 512))
        for metric, (clock, processor) in speed(n, d).items():
            print(f"| {metric} | {clock:.1f} | {processor:.1f} |", flush=True)
        print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
        return
    if options["part"] == "eval":
        two_samples.SUBSET_SIZE = int(options.get("subset", two_samples.SUBSET_SIZE))
        print(f"| tag | {' | '.join(PAIRS)} |\n|{'---|' * (1 + len(PAIRS))}")
        for tag in TAGS if only is None else only.split(","):
            n, repeats = int(options.get("n", N)), int(options.get("repeats", 200))
            shares = [eval_coverage(tag, pair, repeats, n, int(options.get("truth", TRUTH))) for pair in PAIRS]
            print(f"| {tag} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)
        return
    print("| d | copies | noise | copy_test | C_T | AuthPct |\n|---|---|---|---|---|---|")
    for d in DIMENSIONS if only is None else [int(word) for word in only.split(",")]:
        for copies, noise in COPIES:
            found = power(d, copies, noise, int(options.get("repeats", 100)))
            print(
                f"| {d} | {copies} | {noise:g} | {' | '.join(f'{share:.2f}' for share in found.values())} |", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])

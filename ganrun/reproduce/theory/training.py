"""What training does: k discriminator updates, the noise prior, steps that hurt, collapse and overfitting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ganrun.methods.gan.losses import game_value
from ganrun.reproduce.experiments import experiment
from ganrun.reproduce.finding import Finding
from ganrun.reproduce.workspace import TrainedRun, Workspace

MODES = 8  # of the ring


def by_setting(runs: list[TrainedRun], group: str, key: str) -> dict[Any, list[TrainedRun]]:
    """Return the completed runs by the value of their setting ``group.key``."""
    found: dict[Any, list[TrainedRun]] = {}
    for run in runs:
        if run.completed:
            found.setdefault(run.config[group][key], []).append(run)
    return found


@experiment(
    "k-steps", "S1, Algorithm 1; S3", "more discriminator updates per step keep D nearer to its optimum", (2.0, 8.0), 9
)
def k_steps(workspace: Workspace) -> Iterator[Finding]:
    """Train with several k and compare the value of the training discriminator with that of the optimal one."""
    words = ("experiment=reproduce/k_steps", "schedule.k=1,5,25", f"steps={workspace.choose(2000, 8000)}")
    runs = by_setting(workspace.train("runs", *words, seeds=5), "schedule", "k")
    gaps = {k: tuple(run.last("jsd/exact") - run.last("jsd/online") for run in some) for k, some in runs.items()}
    for k, values in gaps.items():
        quantity = f"exact JSD minus (V + log 4) / 2 of the training D, k = {k}, nats"
        expected = {1: "0.150", 5: "0.118"}.get(int(k), "less than for k = 5")
        yield Finding(quantity, f"> 0 ({expected})", 0.0, np.inf, values, 9)
    yield Finding("gap of k = 1 minus gap of k = 25, by seed, nats", "> 0", 0.0, np.inf, _differences(gaps, 1, 25), 9)


def _differences(values: dict[float, tuple[float, ...]], one: float, other: float) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(values.get(one, ()), values.get(other, ()), strict=False))


@experiment(
    "noise-prior",
    "S1",
    "a bounded noise prior costs the tails of the data, since a Lipschitz generator maps it to bounded samples",
    (1.0, 6.0),
    12,
)
def noise_prior(workspace: Workspace) -> Iterator[Finding]:
    """Train with normal and uniform latents, and compare the exact divergence and the share of samples in a tail."""
    steps = f"steps={workspace.choose(3000, 10_000)}"
    words = ("experiment=reproduce/noise_prior", "latent.prior=normal,uniform", steps)
    runs = by_setting(workspace.train("runs", *words, seeds=workspace.choose(6, 20)), "latent", "prior")
    found = {prior: np.array([run.last("jsd/exact") for run in some]) for prior, some in runs.items()}
    error = math.sqrt(sum(values.var(ddof=1) / len(values) for values in found.values()))
    difference = float(found["uniform"].mean() - found["normal"].mean())
    quantity = "JSD with uniform minus JSD with normal latents"
    yield Finding(f"{quantity}, standard errors", "0 ± 2", -2.0, 2.0, (difference / error,), 12, as_stated=True)
    yield Finding(f"{quantity}, nats", "> 0", 0.0, np.inf, tuple(map(float, found["uniform"] - found["normal"])), 12)
    tails = {prior: tuple(_share_above(run, 4.5) for run in some) for prior, some in runs.items()}
    text = "0.0025 of the data"
    yield Finding("share of samples above 4.5, normal latents", text, 0.001, 0.006, tails["normal"], 12)
    yield Finding("the same, uniform latents", "0: bounded", 0.0, 1e-4, tails["uniform"], 12, every_seed=True)


def _share_above(run: TrainedRun, limit: float) -> float:
    """Return the share of 100 000 samples of a run that exceed ``limit``."""
    from ganrun.evaluation.load_run import load_run
    from ganrun.storage.run_directory import load_config

    experiment, state = load_run(run.path, load_config(run.path))
    samples = experiment.sample(experiment.variables(state), jax.random.key(0), 100_000)
    return float(np.mean(np.asarray(samples) > limit))


@experiment("one-step-may-hurt", "S1, Fig. 5", "a generator step may increase the divergence", (3.0, 15.0), 13)
def one_step_may_hurt(workspace: Workspace) -> Iterator[Finding]:
    """Measure the exact divergence after every step."""
    steps = workspace.choose(150, 400)
    words = ("experiment=reproduce/one_step_may_hurt", f"steps={steps}", f"log.pictures={steps}")
    slow = ("schedule.k=100", "optimizer.generator.learning_rate=1e-4")
    for name, more, setting, expected, low, high in (
        ("usual", (), "k = 1, learning rate 1e-3", "> 0 (about 0.53)", 0.01, 1.0),
        ("slow", slow, "k = 100, generator's learning rate 1e-4", "fewer: ≤ 0.29 (about 0.19)", 0.0, 0.29),
    ):
        runs = workspace.train(name, *words, *more, seeds=workspace.choose(3, 5))
        shares = tuple(_share_of_rises(run) for run in runs if run.completed)
        yield Finding(f"share of steps that increase the JSD, {setting}", expected, low, high, shares, 13)


def _share_of_rises(run: TrainedRun) -> float:
    values = [row["jsd/exact"] for row in run.rows() if row.get("jsd/exact") is not None]
    return float(np.mean(np.diff(values) > 0))


@experiment("helvetica", "S3", "many generator updates per discriminator update collapse the generator", (2.0, 3.0), 18)
def helvetica(workspace: Workspace) -> Iterator[Finding]:
    """Train with 1 and with 40 generator updates per discriminator update."""
    modes = {}
    for ratio in (1, 40):
        words = ("experiment=reproduce/helvetica", f"schedule.generator_steps={ratio}", "log.pictures=1")
        runs = workspace.train(f"ratio_{ratio}", *words, seeds=workspace.choose(5, 10))
        modes[ratio] = tuple(MODES * math.exp(-run.last("modes/kl")) for run in runs if run.completed)
        for run in runs[:1]:
            words = ("sample", f"run={run.path}", "n=2000", "average=false")
            workspace.picture(f"helvetica-{ratio}.png", f"Samples with {ratio} generator updates to 1.", *words)
    lost = tuple(many - few for many, few in zip(modes[1], modes[40], strict=False))
    yield Finding("effective modes of 8, 1 to 1 minus 40 to 1, by seed", "> 0", 0.0, 8.0, lost, 18, every_seed=True)
    yield Finding("effective modes of 8, 40 to 1", "about 1", 0.0, 1.5, modes[40], 18, every_seed=True)
    # The number of an earlier measurement, whose settings are not known in full.
    yield Finding("effective modes of 8, 1 to 1", "7.1 to 7.6", 7.1, 8.0, modes[1])


@experiment("overfitting", "S1, S3", "a discriminator trained to completion on finite data overfits", (1.0, 2.0), 19)
def overfitting(workspace: Workspace) -> Iterator[Finding]:
    """Train D on few examples against a fixed good generator, and compare its value on these and on held-out ones."""
    draws = np.random.default_rng(0).normal(size=(41_000, 8)).astype(np.float32)
    large, small = (workspace.array(name, part) for name, part in (("large", draws[1000:]), ("small", draws[:1000])))
    words = ("experiment=reproduce/overfitting", f"dataset.path={large}", "optimizer.generator.learning_rate=1e-3")
    (first,) = workspace.train("generator", *words, "steps=3000", seeds=1, fixed_seeds=True)
    words = ("experiment=reproduce/overfitting", f"dataset.path={small}", f"init_from={first.path}", "steps=200,4000")
    values: dict[float, list[tuple[float, float]]] = {}
    for run in workspace.train("runs", *words, seeds=3):
        if run.completed:
            values.setdefault(run.config["steps"], []).append(_values(run))
    gap = tuple(train - held_out for train, held_out in values[4000])
    yield Finding(
        "V on training minus V on held-out examples, 4000 updates, nats", "> 0", 0.0, np.inf, gap, 19, every_seed=True
    )
    pairs = zip(values[200], values[4000], strict=True)
    change = tuple(late[1] - early[1] for early, late in pairs)
    yield Finding("change of V on held-out examples from 200 to 4000 updates, nats", "< 0", -np.inf, 0.0, change, 19)


def _values(run: TrainedRun) -> tuple[float, float]:
    """Return V of the trained discriminator on all training and on all held-out examples."""
    from ganrun.evaluation.load_run import load_run
    from ganrun.storage.run_directory import load_config
    from ganrun.training.build import load_data

    config = load_config(run.path)
    experiment, state = load_run(run.path, config)
    data = load_data(config)
    variables = experiment.variables(state, average=False)
    samples = experiment.sample(variables, jax.random.key(0), 20_000)
    network = state.model.discriminator
    apply = experiment.method.spec.discriminator.apply  # type: ignore[attr-defined]
    logits = [
        apply({"params": network.params, "batch_stats": network.stats}, x, train=False)
        for x in (data.train.flat, data.held_out.flat, samples)  # type: ignore[union-attr]
    ]
    return float(game_value(logits[0], logits[2])), float(game_value(logits[1], logits[2]))

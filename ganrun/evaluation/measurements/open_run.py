"""Samples of a run beside the data that it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun import datasets
from ganrun.config.folders import data_folder
from ganrun.config.settings import Train
from ganrun.datasets.rows import spaced
from ganrun.errors import ConfigError, GanrunError
from ganrun.evaluation import features
from ganrun.evaluation.divergence.distribution import data_distribution, drawing, to_unit_range
from ganrun.evaluation.divergence.open_distribution import dimensions
from ganrun.evaluation.divergence.run_distribution import model_distribution
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.measurements.base import Sets
from ganrun.evaluation.metrics.base import EvalContext
from ganrun.evaluation.rebuilt_average import chosen_variables
from ganrun.evaluation.samples import BATCH, block_key, draw_samples
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.storage.run_directory import load_config, relative

DEFAULT_N = 10_000
MAX_BYTES = 1 << 28  # of each split of a finite set, evenly spaced if there are more; floats take four times this


@dataclass(frozen=True)
class Choice:
    """What of a run is measured, and beside what.

    Attributes:
        n: number of samples; None: :data:`DEFAULT_N`, or as many as there are real examples.
        seed: of the samples and of the choice of real examples.
        split: of the real examples: ``held_out`` or ``train``.
        features: one of :data:`ganrun.evaluation.features.EXTRACTORS`.
        weights: the file of weights of ``features="inception"``.
        checkpoint: ``latest``, ``best`` or a step.
        average: whether the moving average of the weights is used.
        data_dir: the folder of data; None: that of the run.
        sigma_rel: the width of a power-function average of the weights; None: the exponential one.
    """

    n: int | None = None
    seed: int = 0
    split: str = "held_out"
    features: str = "auto"
    weights: Path | None = None
    checkpoint: str = "latest"
    average: bool = True
    data_dir: str | None = None
    sigma_rel: float | None = None


@dataclass(frozen=True)
class Examples:
    """Real examples: to compare with, others, and the whole splits if they are finite."""

    reference: np.ndarray
    other: np.ndarray
    training: np.ndarray | None
    held_out: np.ndarray
    targets: tuple[np.ndarray, np.ndarray] | None = None


def of_run(folder: Path, choice: Choice) -> Sets:
    """Return samples of the run in ``folder`` and real examples of its data; nothing is written or downloaded.

    Raises:
        ConfigError: the config is invalid, there is no such checkpoint, or the data are missing or no data to compare
            with.
    """
    config = load_config(folder)
    data = _data(config, choice)
    try:
        experiment, state = load_run(folder, config, choice.checkpoint, data.density)
        variables, weights = chosen_variables(folder, experiment, state, choice.average, choice.sigma_rel)
    except GanrunError as error:  # the run is an input of this command
        raise ConfigError(str(error)) from error
    experiment.data = data
    shape, data_dir = tuple(data.shape), choice.data_dir or config.data_dir
    n, notes = size(data, choice)
    examples = real_examples(data, n, choice)
    fake = draw_samples(experiment, variables, n, choice.seed)
    if not np.isfinite(fake).all():
        raise ConfigError(f"{relative(folder)}: samples of step {int(state.step)} contain NaN or Inf.")
    model = model_distribution("model", experiment, variables)
    described = f"{len(examples.reference)} {'drawn' if data.density is not None else choice.split.replace('_', '-')}"
    return Sets(
        label=f"{relative(folder)}, step {int(state.step)}, {weights} {experiment.method.MODEL}",
        reference_label=f"{config.dataset.name}, {described} examples of {dimensions(shape)}",
        fake=fake,
        reference=examples.reference,
        other=examples.other,
        training=examples.training,
        held_out=examples.held_out,
        extractor=features.extractor(choice.features, config.dataset, data_dir, choice.weights),
        is_pixels=len(shape) == 3,
        notes=notes,
        data=data_distribution(config.dataset.name, data),
        model=model,
        context=EvalContext(experiment, config, int(state.step), fake, variables, model, True),
        labelled=_labelled(experiment, variables, examples.targets) if experiment.method.classes else None,
        classes=experiment.method.classes,
        targets=examples.targets,
    )


def _data(config: Train, choice: Choice) -> datasets.Data:
    option = config.dataset
    if hasattr(option, "source"):
        raise ConfigError(f"all examples of dataset={option.name} are the same: there is nothing to measure.")
    if hasattr(option, "download"):
        option = dataclasses.replace(option, download=False)
    uses_labels = config.conditional or features.chosen(choice.features, option) == "classifier"
    labels = uses_labels and bool(getattr(option, "classes", 0))
    folder = data_folder(choice.data_dir or config.data_dir)
    return datasets.load(option, folder, config.seed, labels=labels, device_bytes=0)


def size(data: datasets.Data, choice: Choice) -> tuple[int, tuple[str, ...]]:
    """Return the number of samples, and a note if it is smaller than what was asked for."""
    wanted = choice.n or DEFAULT_N
    if data.density is not None:
        return wanted, ()
    source: Any = data.held_out if choice.split == "held_out" else data.train
    most = len(source.flat)
    if wanted <= most:
        return wanted, ()
    return most, (f"n = {most} and not {wanted}: the {choice.split.replace('_', '-')} split has no more examples.",)


def real_examples(data: datasets.Data, n: int, choice: Choice, whole: bool = True) -> Examples:
    """Return ``n`` examples of the chosen split and as many others, fewer if the data have not as many.

    Args:
        data: of the run.
        n: number of examples.
        choice: its seed and split count.
        whole: whether the whole training set is returned too, if it is finite.
    """
    return _drawn(data, n, choice) if data.density is not None else _chosen(data, n, choice, whole)


def _drawn(data: datasets.Data, n: int, choice: Choice) -> Examples:
    assert data.density is not None
    draw = drawing(data.density)
    seeds = np.random.SeedSequence([choice.seed, 6]).generate_state(3)  # not those of the samples
    parts = [draw(n, int(seed)).reshape(n, *data.shape) for seed in seeds]
    return Examples(parts[0], parts[1], None, parts[2])


def _chosen(data: datasets.Data, n: int, choice: Choice, whole: bool) -> Examples:
    """Return ``n`` examples of the chosen split in random order, and as many of the other, if it has them."""
    sources: Any = data.held_out, data.train
    chosen = [spaced(source.flat, MAX_BYTES) for source in sources]
    held_out, training = (np.asarray(source.flat[rows]) for source, rows in zip(sources, chosen, strict=True))

    def floats(flat: np.ndarray) -> np.ndarray:
        return to_unit_range(flat).astype(np.float32, copy=False).reshape(-1, *data.shape)

    targets = None
    if sources[0].targets is not None:
        targets = (np.asarray(sources[0].targets)[chosen[0]], np.asarray(sources[1].targets)[chosen[1]])
    reference, other = (held_out, training) if choice.split == "held_out" else (training, held_out)
    rng = np.random.default_rng([choice.seed, 7])
    picked = [floats(rows[rng.permutation(len(rows))[:n]]) for rows in (reference, other)]
    return Examples(picked[0], picked[1], floats(training) if whole else None, floats(held_out), targets)


def _labelled(
    experiment: Experiment, variables: Any, targets: tuple[np.ndarray, np.ndarray] | None
) -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    """Return a function that draws samples with classes, which have their frequencies in the training data."""
    method = experiment.method
    counts = np.bincount(targets[1], minlength=method.classes) if targets is not None else np.ones(method.classes)
    sample = jax.jit(partial(method.sample, n=BATCH))

    def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, 8])
        labels = rng.choice(method.classes, -(-n // BATCH) * BATCH, p=counts / counts.sum()).astype(np.int32)
        parts = []
        for start in range(0, n, BATCH):
            key = key_for(block_key(seed, start), "labelled")
            batch = jnp.asarray(labels[start : start + BATCH])
            parts.append(np.asarray(sample(variables, experiment.hparams, key, labels=batch)))
        return np.concatenate(parts)[:n], labels[:n]

    return draw

"""Pictures of the last snapshot of a run, besides its samples: neighbours in the data, and the latent space."""

from __future__ import annotations

from functools import partial

import numpy as np

from ganrun.config.settings import Train
from ganrun.datasets import in_data_units
from ganrun.datasets.rows import spaced
from ganrun.errors import ConfigError
from ganrun.evaluation.held_out import labelled_examples
from ganrun.evaluation.interpolation import interpolated_samples, plane
from ganrun.evaluation.metrics.diversity import MAX_BYTES
from ganrun.evaluation.metrics.neighbours import nearest_rows, to_float
from ganrun.evaluation.samples import through
from ganrun.methods.base import Tree
from ganrun.methods.experiment import Experiment
from ganrun.plots import pictures
from ganrun.plots.planes import points_of_classes

WAYS, WAY = 8, 8  # pairs of latents in a picture of interpolations, and samples from one to the other
NEIGHBOURED, NEIGHBOURS = 8, 5  # samples with neighbours in a picture, and neighbours of each
SIDE = 16  # latents per axis of a plane of latents
ENCODED = 2000  # held-out examples whose latents are shown


def last_pictures(experiment: Experiment, config: Train, variables: Tree, samples: np.ndarray) -> dict[str, bytes]:
    """Return the pictures that apply to the run, PNGs by tag.

    ``neighbours`` (of images) shows samples beside their nearest training examples, ``interpolations`` (of images)
    samples between pairs of latents. With two latents, ``plane`` (of images) shows samples at the quantiles of the
    prior, and ``latents`` what the encoder finds for held-out examples.

    Args:
        experiment: of the run.
        config: of the run.
        variables: of the model.
        samples: of the snapshot, ``(n, *shape)``, in the units of the data.
    """
    found = {
        "neighbours": _neighbours(experiment, samples),
        "interpolations": interpolations(experiment, config, variables),
        "plane": _plane(experiment, config, variables),
        "latents": _latents(experiment, config, variables),
    }
    return {tag: picture for tag, picture in found.items() if picture is not None}


def interpolations(experiment: Experiment, config: Train, variables: Tree) -> bytes | None:
    """Return a picture of samples between pairs of latents, one pair a row; None if they are no images."""
    if len(experiment.data.shape) != 3:
        return None
    samples = interpolated_samples(experiment, variables, WAYS, WAY)
    return None if samples is None else pictures.table(in_data_units(config.dataset, samples))


def _neighbours(experiment: Experiment, samples: np.ndarray) -> bytes | None:
    flat = getattr(experiment.data.train, "flat", None)
    if flat is None or samples.ndim != 4:
        return None
    training = np.asarray(flat[spaced(flat, MAX_BYTES)])
    chosen = samples[np.linspace(0, len(samples) - 1, NEIGHBOURED).round().astype(int)]
    rows = chosen.reshape(len(chosen), -1).astype(np.float32)
    index = nearest_rows(rows, training, min(NEIGHBOURS, len(training)))
    nearest = to_float(training[index.ravel()]).reshape(*index.shape, *chosen.shape[1:])
    return pictures.table(np.concatenate([chosen[:, None], nearest], axis=1))


def _plane(experiment: Experiment, config: Train, variables: Tree) -> bytes | None:
    method = experiment.method
    if not _has_plane(experiment, "decode") or method.classes or len(experiment.data.shape) != 3:
        return None
    assert method.prior is not None
    z = plane(method.prior.name, SIDE).reshape(-1, 2).astype(np.float32)
    samples = through(partial(experiment.decode, variables), z)
    return pictures.table(in_data_units(config.dataset, samples).reshape(SIDE, SIDE, *experiment.data.shape))


def _latents(experiment: Experiment, config: Train, variables: Tree) -> bytes | None:
    if not _has_plane(experiment, "encode"):
        return None
    try:
        x, labels = labelled_examples(config, ENCODED, config.seed)
    except ConfigError:  # files that were there when training began
        return None
    return points_of_classes(through(partial(experiment.encode, variables), x), labels)


def _has_plane(experiment: Experiment, capability: str) -> bool:
    """Return whether the run has two latents, and a method that can do ``capability`` with them."""
    prior = experiment.method.prior
    return prior is not None and prior.dim == 2 and capability in experiment.method.capabilities

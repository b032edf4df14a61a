"""Pictures of ``ganrun sample`` that show a run and not only its samples: neighbours in the data, latents, a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganrun.errors import ConfigError
from ganrun.storage.run_directory import load_config, relative

if TYPE_CHECKING:
    from ganrun.commands.sample import Sample
    from ganrun.commands.sample_write import Units
    from ganrun.config.settings import Train
    from ganrun.methods.experiment import Experiment


def write_neighbours(
    request: Sample, experiment: Experiment, variables: Any, config: Train, units: Units, description: str
) -> None:
    """Write samples, each with its nearest training examples: rows of a picture, or arrays in the units of the data.

    Raises:
        ConfigError: the training data are not a finite set, are missing, or are too few.
    """
    from ganrun.commands.sample_write import drawn
    from ganrun.evaluation.divergence.distribution import load_images
    from ganrun.evaluation.metrics.neighbours import nearest_rows, to_float
    from ganrun.plots import pictures
    from ganrun.writers.whole import write_whole

    shape = tuple(config.dataset.shape)
    if hasattr(config.dataset, "density") or hasattr(config.dataset, "source"):
        raise ConfigError(f"mode=neighbours needs a finite set of examples, and dataset={config.dataset.name} is none.")
    if request.target.suffix.lower() == ".png" and len(shape) != 3:
        raise ConfigError(f"there is no picture of {config.dataset.name}: write numbers with out=neighbours.npz.")
    training, k = load_images(config.dataset, config.data_dir).train, request.neighbours or 0
    if k > len(training):
        raise ConfigError(f"neighbours must be at most {len(training)}, the training examples, not {k}.")
    samples = drawn(request, experiment, variables)[0].reshape(request.n or 0, -1).astype(np.float32)
    index = nearest_rows(samples, training, k)
    neighbours = to_float(training[index.ravel()]).reshape(*index.shape, -1)
    distances = np.linalg.norm(neighbours - samples[:, None], axis=2)
    both = units(np.concatenate([samples[:, None], neighbours], axis=1).reshape(len(samples), k + 1, *shape))
    content = {"samples": both[:, 0], "neighbours": both[:, 1:], "distances": distances, "index": index}
    write_whole(request.target, pictures.table(both) if request.target.suffix.lower() == ".png" else content)
    print(f"{len(samples)} samples with {k} nearest training examples each, {description}")
    unit = "pixels in [-1, 1]" if len(shape) == 3 else "standardised columns"
    least, middle = distances[:, 0].min(), np.median(distances[:, 0])
    print(f"Euclidean distance to the nearest, {unit}: {middle:.3g} (median), {least:.3g} (minimum)")


def write_latents(request: Sample, experiment: Experiment, variables: Any, config: Train, description: str) -> None:
    """Write the latents that the encoder finds for held-out examples: points of the plane by class, or arrays.

    Raises:
        ConfigError: the run has no encoder, or the data are missing.
    """
    from ganrun.evaluation.held_out import labelled_examples
    from ganrun.evaluation.samples import through
    from ganrun.latent_space.latents import encoder
    from ganrun.plots.planes import points_of_classes
    from ganrun.writers.whole import write_whole

    encode = encoder(experiment, variables)
    x, labels = labelled_examples(config, request.n or 0, request.seed)
    z = through(encode, x)
    content = {"latents": z} if labels is None else {"latents": z, "labels": labels}
    write_whole(request.target, points_of_classes(z, labels) if request.as_picture else content)
    print(f"latents of {len(z)} held-out examples {description}")
    print(f"mean square {(z**2).mean():.3g}, mean of the squared means {(z.mean(axis=0) ** 2).mean():.3g}")


def write_film(request: Sample, run: Path) -> None:
    """Write the pictures that the run in ``run`` has drawn during training as an animation.

    Raises:
        ConfigError: there are fewer than two, or one cannot be read.
    """
    from ganrun.plots.film import film, steps_of
    from ganrun.writers.whole import write_whole

    suffix = "" if request.picture == "samples" else f"_{request.picture}"
    found = steps_of(run / "samples", suffix)
    if len(found) < 2:
        if request.picture == "densities" and not hasattr(load_config(run).dataset, "density"):
            raise ConfigError("picture=densities belongs to runs on data with a known density: leave it out.")
        raise ConfigError(
            f"a film takes two pictures of {request.picture} or more, and {relative(run)} has {len(found)}: "
            "train with evaluate.share=1 log.pictures=50, for example."
        )
    steps = sorted(found)
    n = min(len(steps), request.n or 0)
    chosen = [steps[i] for i in np.linspace(0, len(steps) - 1, n).round().astype(int)]  # both ends included
    format = request.target.suffix[1:].upper()
    write_whole(request.target, film({step: found[step] for step in chosen}, request.milliseconds or 0, format))
    print(f"{len(chosen)} pictures from step {chosen[0]} to {chosen[-1]} in {request.target}")

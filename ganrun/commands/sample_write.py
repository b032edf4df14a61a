"""What ``ganrun sample`` draws from a run, and the files that it writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ganrun.evaluation.interpolation import interpolate, plane
from ganrun.evaluation.samples import BATCH, draw_labelled, through
from ganrun.latent_space import latents
from ganrun.latent_space.agreement import in_words, latent_error
from ganrun.latent_space.projection import project
from ganrun.plots import pairs as rows
from ganrun.plots import pictures
from ganrun.writers.whole import write_whole

if TYPE_CHECKING:
    from ganrun.commands.sample import Sample
    from ganrun.methods.experiment import Experiment
    from ganrun.priors import Prior

Units = Callable[[np.ndarray], np.ndarray]


def _prior(experiment: Experiment) -> Prior:
    prior = experiment.method.prior
    assert prior is not None  # _require_latents
    return prior


def write_samples(
    request: Sample, experiment: Experiment, variables: Any, units: Units, title: str, description: str
) -> None:
    """Draw samples and write them; ``units`` converts them to the units of the data."""
    samples, others = drawn(request, experiment, variables)
    samples = units(samples)
    shape = tuple(experiment.data.shape)
    suffix = request.target.suffix.lower()
    if suffix in (".gif", ".webp"):
        content = rows.animation(samples.reshape(-1, *shape), experiment.data.density, suffix[1:].upper())
    elif suffix == ".png" and (request.steps or request.mode == "plane") and len(shape) == 3:
        content = pictures.table(samples)
    elif suffix == ".png":
        rows_of = samples.reshape(-1, *shape)
        content = pictures.draw(rows_of, experiment.data.density, np.zeros(0), title, maximum=len(rows_of))
    elif suffix == ".npy":
        content = samples
    else:
        content = {"samples": samples, **others}
    write_whole(request.target, content)
    columns = request.n if request.mode == "plane" else request.steps
    count = f"{request.n} x {columns}" if columns else str(request.n)
    print(f"{count} samples {description}")


def drawn(request: Sample, experiment: Experiment, variables: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the samples, and by name their classes, if there are any, and latents, unless plain draws of the prior."""
    n, capabilities = request.n or 0, experiment.method.capabilities
    if request.mode in ("random", "neighbours") and (request.label is None or "decode" not in capabilities):
        samples, labels = draw_labelled(experiment, variables, n, request.seed, request.label)
        return samples, {} if labels is None else {"labels": labels}
    prior = _prior(experiment)
    if request.mode in ("random", "truncate", "neighbours"):
        z = latents.draw(prior, request.seed, n, request.truncation)
    elif request.mode == "plane":
        z = plane(prior.name, request.n or 0)
    elif request.mode == "walk":
        z = latents.walk(latents.draw(prior, request.seed, n), prior.name, request.steps or 0)
    else:
        ends = latents.draw(prior, request.seed, 2 * n)
        z = interpolate(ends[::2], ends[1::2], prior.name, request.steps or 0)
    z = z.astype(np.float32)
    push = latents.pushing(experiment, request.label)
    samples = through(partial(push, variables), z.reshape(-1, prior.dim))
    others = {} if request.label is None else {"labels": np.full(z.shape[:-1], request.label, np.int32)}
    return samples.reshape(*z.shape[:-1], *samples.shape[1:]), {**others, "latents": z}


def write_pairs(
    request: Sample, experiment: Experiment, variables: Any, inputs: np.ndarray, units: Units, description: str
) -> None:
    """Write ``inputs`` and their reconstructions; ``units`` converts both to the units of the data."""
    prior, push = _prior(experiment), latents.pushing(experiment, request.label)
    if request.task == "reconstruct":
        encode = latents.encoder(experiment, variables)
        z = through(encode, inputs)
    else:
        starts = request.starts or 0
        begins = latents.draw(prior, request.seed, len(inputs) * starts).reshape(len(inputs), starts, -1)
        z = project(push, variables, inputs, begins, prior.name, request.iterations or 0)
    outputs = through(partial(push, variables), z)
    content = {"inputs": units(inputs), "latents": z, "reconstructions": units(outputs)}
    is_picture = request.target.suffix.lower() == ".png"
    write_whole(request.target, rows.pairs(content["inputs"], content["reconstructions"]) if is_picture else content)
    print(f"{len(inputs)} examples and their reconstructions {description}")
    print(in_words(inputs, outputs))
    print(f"latents: mean square {(z**2).mean():.3g} (of the prior {1 if prior.name == 'normal' else 1 / 3:.3g})")
    if request.task == "reconstruct":
        fresh = latents.draw(prior, request.seed, BATCH)
        back = through(encode, through(partial(push, variables), fresh))
        print(f"E(G(z)) against z: mean squared error over variance {latent_error(fresh, back):.3g}")

"""Two sets of samples, from files, runs or datasets, of which the second is the reference."""

from __future__ import annotations

import numpy as np

from ganrun.config.folders import data_folder
from ganrun.config.registry import lookup, options
from ganrun.errors import ConfigError
from ganrun.evaluation import features
from ganrun.evaluation.divergence import pairs
from ganrun.evaluation.divergence.distribution import Distribution, load_images, to_unit_range
from ganrun.evaluation.divergence.open_distribution import glimpse, open_distribution, require_ranges
from ganrun.evaluation.divergence.pixel_range import SIGNED, Range
from ganrun.evaluation.measurements.base import Sets
from ganrun.evaluation.measurements.open_run import DEFAULT_N, Choice


def of_pair(
    samples: str,
    reference: str,
    choice: Choice,
    *,
    training: str | None = None,
    keys: tuple[str | None, str | None] = (None, None),
    spans: tuple[Range | None, Range | None] = (None, None),
) -> Sets:
    """Return the ``samples`` and the ``reference`` examples, as ``ganrun jsd`` opens them.

    Args:
        samples: an .npy or .npz file, a run, ``latest`` or a dataset.
        reference: likewise; the real examples.
        choice: the number of samples, the seed, the weights of a run, and the features: ``auto`` or ``raw``.
        training: what the model was trained on, likewise; None: the training split of a dataset, otherwise unknown.
        keys: the arrays of .npz files.
        spans: the pixel ranges of files of images.

    Raises:
        ConfigError: one of them cannot be opened, or their shapes differ.
    """
    a, b = (
        open_distribution(text, key=key, data_dir=choice.data_dir, average=choice.average, span=span)
        for text, key, span in zip((samples, reference), keys, spans, strict=True)
    )
    require_ranges(a, b)
    notes = pairs.check_pair(glimpse(a, choice.seed), glimpse(b, choice.seed + 1))
    wanted = choice.n or DEFAULT_N
    n = min([wanted, *(len(part.rows) for part in (a, b) if part.rows is not None)])
    if choice.n is not None and n < choice.n:
        notes = (*notes, f"n = {n} and not {choice.n}: the smaller set has no more rows.")
    fake = _rows(a, n, choice.seed)
    real = _rows(b, 2 * n, choice.seed + 1)
    rows = _training(reference, training, b, choice)
    # If there are no 2 n examples, the floor is that of two halves, with fewer examples than the value.
    halves = len(real) // 2 if len(real) < 2 * n and rows is None else 0
    other = real[halves : 2 * halves] if halves else real[n:]
    if rows is not None:
        other = rows[np.random.default_rng([choice.seed, 9]).permutation(len(rows))[:n]]
    shape = b.shape if len(b.shape) >= len(a.shape) else a.shape
    known = SIGNED in (a.span, b.span) or any(part.draw is not None and len(part.shape) == 3 for part in (a, b))
    return Sets(
        label=f"{a.label}: {a.about}",
        reference_label=f"{b.label}: {b.about}",
        fake=fake.reshape(n, *shape),
        reference=real[:n].reshape(n, *shape),
        other=other.reshape(len(other), *shape),
        floor_reference=real[:halves].reshape(halves, *shape) if halves else None,
        training=None if rows is None else rows.reshape(len(rows), *shape),
        held_out=(real if b.rows is None else b.rows).reshape(-1, *shape),
        extractor=features.of_shape("raw" if choice.features == "auto" else choice.features, shape, choice.weights),
        is_pixels=known and len(shape) > 1,
        notes=tuple(notes),
        data=b,
        model=a,
    )


def _rows(part: Distribution, n: int, seed: int) -> np.ndarray:
    """Return up to ``n`` rows in random order, or ``n`` draws."""
    if part.rows is None:
        assert part.draw is not None
        return part.draw(n, seed)
    return part.rows[np.random.default_rng([seed, 10]).permutation(len(part.rows))[:n]]


def _training(reference: str, training: str | None, b: Distribution, choice: Choice) -> np.ndarray | None:
    """Return the rows that the model was trained on, if they are known."""
    if training is not None:
        part = open_distribution(training, key=None, data_dir=choice.data_dir, span=b.span)
        if part.rows is None:
            raise ConfigError(f"training: {part.label} is no finite set of examples.")
        if part.d != b.d:
            raise ConfigError(f"training: {part.label} has {part.d} numbers per example, and {b.label} has {b.d}.")
        return part.rows
    if reference not in options("dataset") or b.density is not None:
        return None
    from ganrun.datasets import in_data_units, resolved

    option = resolved(lookup("dataset", reference)(), data_folder(choice.data_dir))
    return in_data_units(option, to_unit_range(load_images(option, choice.data_dir).train))

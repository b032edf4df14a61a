"""Held-out examples of the data of a run, for commands that read it."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from ganrun import datasets
from ganrun.config.folders import data_folder
from ganrun.config.settings import Train
from ganrun.datasets.sampler import Cursor
from ganrun.keys import key_for


def labelled_examples(config: Train, n: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return held-out examples in random order and their labels; nothing is downloaded.

    Args:
        config: of the run.
        n: number of examples; of finite data at most as many as there are.
        seed: of the order.

    Returns:
        float32 ``(n, *shape)`` and int32 ``(n,)``; None for data without classes.

    Raises:
        ConfigError: the data are missing or damaged.
    """
    option = config.dataset
    if hasattr(option, "download"):
        option = dataclasses.replace(option, download=False)
    classes = bool(getattr(option, "classes", 0))
    source = datasets.load(option, data_folder(config.data_dir), seed, labels=classes, device_bytes=0).held_out
    assert source is not None
    rows = getattr(source, "flat", None)
    n = n if rows is None else min(n, len(rows))
    key = key_for(jax.random.key(np.uint32(seed)), "held-out examples")
    if not classes:
        return np.asarray(source.minibatch(key, Cursor.start(), n)[0]), None
    x, labels, _ = source.labelled(key, Cursor.start(), n)
    return np.asarray(x), np.asarray(labels)

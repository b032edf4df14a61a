"""Classifiers in the cache folder: trained once for each set of examples, and verified whenever they are read.

The key of a folder is a hash of the examples, of their labels and of the recipe. A folder contains the weights,
``metadata.json`` and checksums of both (:mod:`ganrun.storage.checksums`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save as to_safetensors

from ganrun.config.folders import cache_folder, data_folder
from ganrun.datasets.images import ImageArrays
from ganrun.datasets.images.cache import UNFINISHED, sweep
from ganrun.errors import ConfigError, shown
from ganrun.evaluation.features.classifier import Classifier, train_classifier
from ganrun.evaluation.features.network import ClassifierNetwork
from ganrun.evaluation.features.training import RECIPE
from ganrun.storage import checksums
from ganrun.storage.checksums import Damaged
from ganrun.storage.safe_io import parsed
from ganrun.storage.state_arrays import fitted, flatten, stored_arrays

FOLDER = "classifiers"  # in the cache folder
WEIGHTS, METADATA = "weights.safetensors", "metadata.json"
MAX_WEIGHTS, MAX_METADATA = 1 << 30, 1 << 16  # bytes
MAX_CLASSES = 10_000
PARTS = ("train", "train_labels", "held_out", "held_out_labels")


def why_no_classifier(dataset: Any) -> str:
    """Return the reason why no classifier can be trained on the option ``dataset``; empty if one can."""
    if not hasattr(dataset, "load"):
        return f"dataset={dataset.name} is not a finite set of labelled examples"
    if getattr(dataset, "classes", 0) < 2:
        return f"dataset={dataset.name} has no labels of at least two classes"
    if dataset.classes > MAX_CLASSES:
        return f"dataset={dataset.name} has {dataset.classes} classes, more than {MAX_CLASSES}"
    return ""


@functools.lru_cache(maxsize=8)  # the runs of a sweep ask for the same one
def classifier_of(dataset: Any, data_dir: str | None) -> Classifier:
    """Return the classifier of the option ``dataset``: that in the cache, or a new one, which is stored there.

    Standard error shows the progress of training.

    Args:
        dataset: of finitely many labelled examples.
        data_dir: the setting ``data_dir``; None: ganrun's default.

    Raises:
        ConfigError: the examples have no labels, or their files are missing or damaged.
    """
    if reason := why_no_classifier(dataset):
        raise ConfigError(f"No classifier can be trained: {reason}.")
    arrays = dataset.load(data_folder(data_dir), labels=True)
    return stored_or_trained(arrays, dataset.classes, dataset.name)


def stored_or_trained(arrays: ImageArrays, classes: int, name: str) -> Classifier:
    """Return the classifier of ``arrays``, which have labels; ``name`` is that of the dataset, for messages."""
    folder = cache_folder() / FOLDER / key_of(arrays, classes)
    with _alone(folder, name):
        try:
            return _read(folder, arrays.shape, classes)
        except FileNotFoundError:
            pass
        except (Damaged, OSError) as error:
            print(f"{name}: the classifier in {folder} is damaged ({error}): it is trained again.", file=sys.stderr)
        print(f"{name}: training the classifier whose features are used", file=sys.stderr, flush=True)
        classifier = train_classifier(arrays, classes, name)
        content = to_safetensors(_named(classifier.params))
        classifier = replace(classifier, checksum=hashlib.sha256(content).hexdigest())
        where = _write(folder, content, classifier, name)
    right = f"{classifier.accuracy:.2%} of {classifier.held_out} held-out examples are classified correctly"
    print(f"{name}: {right}; {where}", file=sys.stderr)
    return classifier


def key_of(arrays: ImageArrays, classes: int) -> str:
    """Return the name of the folder for the examples and labels of ``arrays``."""
    digest = hashlib.sha256(repr((RECIPE, arrays.shape, classes)).encode())
    for part in PARTS:
        array = np.ascontiguousarray(getattr(arrays, part))
        digest.update(repr((part, array.dtype.str, array.shape)).encode())
        digest.update(hashlib.sha256(array.data).digest())
    return digest.hexdigest()[:32]


def _named(params: Any) -> dict[str, np.ndarray]:
    """Return the parameters by their path, in the order of the paths, so that equal weights give equal files."""
    return dict(sorted(flatten(params).items()))


def _read(folder: Path, shape: tuple[int, ...], classes: int) -> Classifier:
    """Return the classifier in ``folder``.

    Raises:
        FileNotFoundError: there is none.
        Damaged, OSError: it cannot be read.
    """
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    files = checksums.read(folder, {WEIGHTS: MAX_WEIGHTS, METADATA: MAX_METADATA})
    if missing := {WEIGHTS, METADATA} - files.keys():
        raise Damaged(f"{min(missing)} is missing")
    network = ClassifierNetwork(classes)
    target = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape))))
    params = fitted(stored_arrays(files[WEIGHTS], WEIGHTS), target)
    digest = hashlib.sha256(files[WEIGHTS]).hexdigest()
    try:
        known = parsed(files[METADATA], finite=True)
        accuracy, held_out = float(known["accuracy"]), int(known["held_out"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{METADATA} is not as ganrun writes it") from error
    if known.get("weights") != digest:
        raise Damaged(f"{METADATA} belongs to other weights")
    return Classifier(shape, classes, params, digest, accuracy, held_out)


def _write(folder: Path, content: bytes, classifier: Classifier, name: str) -> str:
    """Write the weights and what is known about them to ``folder``; return where they are, for a message."""
    metadata = {
        "dataset": name,
        "recipe": RECIPE,
        "weights": classifier.checksum,
        "shape": classifier.shape,
        "classes": classifier.classes,
        "accuracy": classifier.accuracy,
        "held_out": classifier.held_out,
        "jax": jax.__version__,
        "device": jax.default_backend(),
    }
    # A name of its own, as on file systems without locks two processes may train the same classifier.
    temporary = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}{UNFINISHED}")
    try:
        sweep(folder.parent)
        checksums.write(temporary, {WEIGHTS: content, METADATA: (json.dumps(metadata) + "\n").encode()})
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        return f"it cannot be stored in {shown(str(folder.parent))} ({error.strerror or error})"
    return f"it is stored in {folder}"


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Return a context that one process at a time enters for ``folder``; on file systems without locks, any number."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        number = os.open(folder.with_name(f"{folder.name}.lock"), flags, 0o644)
    except OSError:  # a cache that cannot be written
        yield
        return
    try:
        with contextlib.suppress(OSError):
            _wait(number, name)
        yield
    finally:
        os.close(number)  # releases the lock


def _wait(number: int, name: str) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{name}: waiting for another process, which trains the same classifier", file=sys.stderr, flush=True)
        fcntl.flock(number, fcntl.LOCK_EX)

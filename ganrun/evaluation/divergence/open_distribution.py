"""Opens a file of samples, a trained run's generator or a dataset as a :class:`Distribution`."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from ganrun.config.folders import data_folder
from ganrun.config.registry import lookup, options
from ganrun.errors import ConfigError, did_you_mean, exact, shown
from ganrun.evaluation.divergence.distribution import Distribution, drawing, load_images, to_unit_range
from ganrun.evaluation.divergence.pixel_range import (
    BYTES,
    SIGNED,
    SLACK,
    Range,
    ambiguous,
    range_of,
    range_text,
    to_signed,
)
from ganrun.storage.array_files import SUFFIXES, float_type, read_array, require_array
from ganrun.storage.run_directory import find_run, load_config, no_run

FEWEST = 100  # minimum number of samples: fewer cannot give a useful estimate
LARGEST = 1e18  # maximum magnitude: its square fits single precision
GLIMPSE = 1000  # draws on which a distribution without rows is checked


def open_distribution(
    text: str,
    *,
    key: str | None,
    data_dir: str | None,
    average: bool = True,
    sigma_rel: float | None = None,
    span: Range | None = None,
) -> Distribution:
    """Return the distribution that ``text`` names. Nothing is downloaded or written.

    Args:
        text: an .npy or .npz file, a run directory or ``latest``, or the name of a dataset.
        key: the array in an .npz file; optional if there is only one.
        data_dir: the folder with one folder per dataset; None: ganrun's default.
        average: for a run, use the moving average of the generator's weights (else the trained weights).
        sigma_rel: for a run with power-function averages, use that of this relative width instead.
        span: for a file of images, the range of its pixels; None: inferred by ``pixel_range``.

    Raises:
        ConfigError: it cannot be opened; the reason in one or two lines.
    """
    kind, target = _find(text)
    if kind == "file":
        return _of_file(shown(text), Path(target), key, span)
    if kind == "dataset":
        return _of_dataset(target, data_dir)
    from ganrun.evaluation.divergence.run_distribution import of_run  # only a run needs all of ganrun

    return of_run(shown(text), Path(target), data_dir, average=average, sigma_rel=sigma_rel)


def require_distribution(text: str, *, key: str | None) -> None:
    """Raise the :class:`ConfigError` of :func:`open_distribution` without loading any data."""
    kind, target = _find(text)
    if kind == "file":
        require_array(Path(target), key)
    if kind == "run":
        load_config(Path(target))


def is_run(text: str) -> bool:
    """Return whether ``text`` names a run; raise :class:`ConfigError` if it names nothing."""
    return _find(text)[0] == "run"


def glimpse(distribution: Distribution, seed: int) -> Distribution:
    """Return ``distribution`` with rows to check: its own, or fresh draws.

    Raises:
        ConfigError: the draws contain NaN or Inf.
    """
    if distribution.rows is not None or distribution.draw is None:
        return distribution
    rows = distribution.draw(GLIMPSE, seed)
    _require_finite(distribution.label, rows)
    return dataclasses.replace(distribution, rows=rows)


def _find(text: str) -> tuple[str, str]:
    """Return what ``text`` names (file, run or dataset) and its path or name."""
    if text == "latest":
        return "run", str(find_run(text))
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # ~name without such a user: left as it is, as in shells
        path = path.expanduser()
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
        exists = path.exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"'{shown(text)}' cannot be a file: {reason}.") from error
    # A dataset's name takes precedence over a file or folder of that name: those can be given as ./ring.
    if text in options("dataset"):
        return "dataset", text
    if exists and not is_folder and path.suffix.lower() in SUFFIXES:
        return "file", str(path)
    if is_folder and not (path / "config.yaml").is_file():
        raise ConfigError(no_run(path, f"'{shown(text)}'"))
    if is_folder:
        return "run", str(path.resolve())
    reason = "is no file of arrays" if is_file or exists else "is not there"
    raise ConfigError(_unknown(text, path, reason))


def _unknown(text: str, path: Path, reason: str) -> str:
    datasets = sorted(options("dataset"))
    candidates: list[str] = []
    with contextlib.suppress(OSError, ValueError):  # no such folder: suggest datasets only
        entries = list(path.parent.iterdir())
        candidates = [str(path) for path in entries if path.suffix.lower() in SUFFIXES or _is_run(path)]
    guess = did_you_mean(str(path), [*datasets, *(name for name in candidates if name.isprintable())])
    kinds = "A and B are each an .npy or .npz file, a run directory, latest, or a dataset"
    return f"'{shown(text)}' {reason}.{guess} {kinds} (`ganrun list datasets`)."


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def require_ranges(a: Distribution, b: Distribution) -> None:
    """Raise :class:`ConfigError` if one distribution's pixel range is known and the other's is ambiguous.

    Two files of ambiguous range are compared as they are: divergences are invariant to a common scaling.
    """
    for distribution, other, setting in ((a, b, "range"), (b, a, "range" if a.draw is not None else "range_b")):
        known = other.span is not None or (other.draw is not None and len(other.shape) == 3)
        if (
            known
            and distribution.span is None
            and distribution.draw is None
            and distribution.rows is not None
            and distribution.rows.min() > -SLACK
        ):
            raise ambiguous(distribution.label, distribution.rows, setting)


def _of_file(label: str, path: Path, key: str | None, span: Range | None) -> Distribution:
    array = read_array(path, key)
    if len(array) < FEWEST:
        raise ConfigError(f"{label}: {len(array)} samples are too few; at least {FEWEST} are needed.")
    shape = array.shape[1:] or (1,)
    flat, notes = _floats(label, array)
    _require_finite(label, flat)
    pixel_range = range_of(array) if array.ndim >= 3 and span is None else span
    if pixel_range is not None and (span is not None or pixel_range != SIGNED):
        flat = to_signed(label, array.reshape(len(array), -1), pixel_range)
        what = "bytes 0 to 255" if pixel_range == BYTES else f"pixels in {range_text(pixel_range)}"
        notes = (f"{label}: {what} were scaled to [-1, 1]: the other samples must be in that range too.",)
    about = f"{len(flat)} samples of {dimensions(shape)}, {array.dtype}"
    return Distribution(label, shape, rows=flat, span=pixel_range, notes=notes, about=about)


def dimensions(shape: tuple[int, ...]) -> str:
    """Return ``shape``, of one example, in words: ``2 dimensions``, ``28 x 28 x 1``."""
    if len(shape) != 1:
        return " x ".join(map(str, shape))
    return f"{shape[0]} dimension{'' if shape[0] == 1 else 's'}"


def _floats(label: str, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return ``array`` as floats ``(n, d)``, with notes on the conversion."""
    flat = array.reshape(len(array), -1)
    with np.errstate(all="ignore"):  # overflow gives Inf, which is refused later
        floats = flat.astype(float_type(array.dtype), copy=False)
    if array.dtype.kind in "iu":
        return floats, (f"{label}: {array.dtype} numbers were taken as they are, not scaled.",)
    return floats, ()


def _require_finite(label: str, rows: np.ndarray) -> None:
    """Raise :class:`ConfigError` for NaN, Inf, and numbers whose square overflows single precision."""
    step = max(1, (1 << 22) // rows.shape[1])  # in blocks: the mask of a large array would be large itself
    starts = range(0, len(rows), step)
    bad = np.concatenate([~np.isfinite(rows[start : start + step]).all(axis=1) for start in starts])
    if bad.any():
        count, first = int(bad.sum()), int(bad.argmax())
        held = f"{count} of {len(rows)} rows hold" if count > 1 else f"1 of {len(rows)} rows holds"
        raise ConfigError(f"{label}: {held} a NaN or Inf (the first is row {first}, counted from 0).")
    largest = max(rows.max(), -rows.min())
    if largest > LARGEST:
        raise ConfigError(f"{label}: holds numbers as large as {exact(largest)}; scale them below {LARGEST:g}.")


def _of_dataset(name: str, data_dir: str | None) -> Distribution:
    from ganrun.datasets import HELD_OUT_BYTES, in_data_units, resolved  # imports JAX
    from ganrun.datasets.rows import spaced

    option = lookup("dataset", name)()
    if hasattr(option, "density"):
        density = option.density()
        about = f"dataset of {dimensions(option.shape)}, known density"
        return Distribution(name, tuple(option.shape), draw=drawing(density), density=density, about=about)
    option = resolved(option, data_folder(data_dir))
    arrays = load_images(option, data_dir)
    held_out = arrays.held_out[spaced(arrays.held_out, HELD_OUT_BYTES)]
    rows = in_data_units(option, to_unit_range(held_out))
    if len(arrays.shape) == 1:
        about = f"dataset of {dimensions(arrays.shape)}, its {len(rows)} held-out examples"
        return Distribution(name, tuple(arrays.shape), rows=rows, about=about)
    about = f"dataset, its {len(rows)} held-out images in [-1, 1]"
    return Distribution(name, tuple(arrays.shape), rows=rows, span=SIGNED, about=about)

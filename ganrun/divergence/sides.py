"""What can be compared: a file of samples, a trained run's generator, or a dataset, all as one kind of side."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from ganrun.divergence.array_files import SUFFIXES, float_type, read_array, require_array
from ganrun.divergence.pixel_range import BYTES, SIGNED, SLACK, Range, ambiguous, range_of, to_signed, told
from ganrun.divergence.side import Side, drawing, load_images, to_unit_range
from ganrun.errors import ConfigError, did_you_mean, exact, shown
from ganrun.registry import lookup, options
from ganrun.rundir import find_run, load_config

FEWEST = 100  # samples a side: with fewer nothing can be said of any divergence
LARGEST = 1e18  # a number whose square still fits single precision
GLIMPSE = 1000  # samples of an endless side that stand for it where it is checked


def open_side(
    text: str, *, key: str | None, data_dir: str | None, average: bool = True, span: Range | None = None
) -> Side:
    """Return the side that ``text`` names.

    Args:
        text: an .npy or .npz file, a run directory or ``latest``, or the name of a dataset.
        key: the array in an .npz; not needed where there is only one.
        data_dir: the folder with one folder per dataset; None: as everywhere else in ganrun.
        span: of a file of images, the range of its pixels; None: what :mod:`ganrun.divergence.pixel_range` finds.
        average: of a run, take the moving average of the generator (else the trained weights as they are).

    Raises:
        ConfigError: in a line or two, what is wrong with it. Nothing is downloaded or written.
    """
    kind, place = _find(text)
    if kind == "file":
        return _of_file(shown(text), Path(place), key, span)
    if kind == "dataset":
        return _of_dataset(place, data_dir)
    from ganrun.divergence.run_side import of_run  # only a run needs all of ganrun

    return of_run(shown(text), Path(place), data_dir, average=average)


def require_side(text: str, *, key: str | None) -> None:
    """Raise :class:`ConfigError` where :func:`open_side` would, as far as can be told without loading anything."""
    kind, place = _find(text)
    if kind == "file":
        require_array(Path(place), key)
    if kind == "run":
        load_config(Path(place))


def glimpse(side: Side, seed: int) -> Side:
    """Return ``side`` with rows to check: its own, or some fresh draws of an endless side.

    Raises:
        ConfigError: the draws hold a NaN or Inf.
    """
    if side.rows is not None or side.draw is None:
        return side
    rows = side.draw(GLIMPSE, seed)
    _require_finite(side.label, rows)
    return dataclasses.replace(side, rows=rows)


def _find(text: str) -> tuple[str, str]:
    """Return what ``text`` names (file, run or dataset) and its path or name."""
    if text == "latest":
        return "run", str(find_run(text))
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # ~name where nobody has that name: shells leave it as it is, too
        path = path.expanduser()
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
        found = path.exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"'{shown(text)}' cannot be a file: {reason}.") from error
    # A dataset's name means the dataset in whatever folder one stands; ./ring is the file or folder called ring.
    if text in options("dataset"):
        return "dataset", text
    if found and not is_folder and path.suffix.lower() in SUFFIXES:
        return "file", str(path)
    if is_folder and not (path / "config.yaml").is_file():
        raise ConfigError(f"'{shown(text)}' is not a run directory: it has no config.yaml.")
    if is_folder:
        return "run", str(path.resolve())
    reason = "is no file of arrays" if is_file or found else "is not there"
    raise ConfigError(_unknown(text, path, reason))


def _unknown(text: str, path: Path, reason: str) -> str:
    datasets = sorted(options("dataset"))
    near: list[str] = []
    with contextlib.suppress(OSError, ValueError):  # no such folder: then only the datasets can be meant
        entries = list(path.parent.iterdir())
        near = [str(one) for one in entries if one.suffix.lower() in SUFFIXES or (one / "config.yaml").is_file()]
    guess = did_you_mean(str(path), [*datasets, *(name for name in near if name.isprintable())])
    return (
        f"'{shown(text)}' {reason}: A and B are each an .npy or .npz file, a run directory, latest, "
        f"or a dataset ({', '.join(datasets)}).{guess}"
    )


def require_ranges(a: Side, b: Side) -> None:
    """Raise :class:`ConfigError` where one side's pixels are in [-1, 1] and the other's may be in another range.

    Two files that leave their range open are compared as they are: a divergence is the same on every scale.
    """
    for side, other, setting in ((a, b, "range"), (b, a, "range" if a.draw is not None else "range_b")):
        known = other.span is not None or (other.draw is not None and len(other.shape) == 3)
        if known and side.span is None and side.draw is None and side.rows is not None and side.rows.min() > -SLACK:
            raise ambiguous(side.label, side.rows, setting)


def _of_file(label: str, path: Path, key: str | None, span: Range | None) -> Side:
    array = read_array(path, key)
    if len(array) < FEWEST:
        raise ConfigError(f"{label}: {len(array)} samples are too few; a side needs {FEWEST} at least.")
    shape = array.shape[1:] or (1,)
    flat, notes = _floats(label, array)
    _require_finite(label, flat)
    found = range_of(array) if array.ndim >= 3 and span is None else span
    if found is not None and (span is not None or found != SIGNED):
        flat = to_signed(label, array.reshape(len(array), -1), found)
        what = "bytes 0 to 255" if found == BYTES else f"pixels in {told(found)}"
        notes = (f"{label}: {what} were scaled to [-1, 1]; the other side must mean that range.",)
    about = f"{len(flat)} samples of {' x '.join(map(str, shape))}, {array.dtype}"
    return Side(label, shape, rows=flat, span=found, notes=notes, about=about)


def _floats(label: str, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return ``array`` as floats ``(n, d)``, and what there is to say about how they were made."""
    flat = array.reshape(len(array), -1)
    with np.errstate(all="ignore"):  # what does not fit becomes Inf, and is refused as such
        floats = flat.astype(float_type(array.dtype), copy=False)
    if array.dtype.kind in "iu":
        return floats, (f"{label}: {array.dtype} numbers were taken as they are, not scaled.",)
    return floats, ()


def _require_finite(label: str, rows: np.ndarray) -> None:
    """Raise :class:`ConfigError` for NaN, Inf, and numbers too large to be squared."""
    step = max(1, (1 << 22) // rows.shape[1])  # the mask of a large array would be large itself
    starts = range(0, len(rows), step)
    bad = np.concatenate([~np.isfinite(rows[start : start + step]).all(axis=1) for start in starts])
    if bad.any():
        count, first = int(bad.sum()), int(bad.argmax())
        held = f"{count} of {len(rows)} rows hold" if count > 1 else f"1 of {len(rows)} rows holds"
        raise ConfigError(f"{label}: {held} a NaN or Inf (the first is row {first}, counted from 0).")
    largest = max(rows.max(), -rows.min())
    if largest > LARGEST:
        raise ConfigError(f"{label}: holds numbers as large as {exact(largest)}; scale them below {LARGEST:g}.")


def _of_dataset(name: str, data_dir: str | None) -> Side:
    option = lookup("dataset", name)()
    if hasattr(option, "density"):
        density = option.density()
        about = f"dataset, {' x '.join(map(str, option.shape))}, known density"
        return Side(name, tuple(option.shape), draw=drawing(density), density=density, about=about)
    arrays = load_images(option, data_dir)
    rows = to_unit_range(arrays.held_out)
    about = f"dataset, its {len(rows)} held-out images in [-1, 1]"
    return Side(name, tuple(arrays.shape), rows=rows, span=SIGNED, about=about)

"""Finds the file that a dataset is read from."""

from __future__ import annotations

from pathlib import Path

from ganrun.errors import ConfigError, did_you_mean, shown

MAX_LISTED = 5


def located(dataset: str, path: str | None, data_dir: Path, suffixes: tuple[str, ...]) -> Path:
    """Return the file of ``dataset``.

    Args:
        dataset: name of the dataset, for messages.
        path: ``dataset.path``: relative to ``data_dir`` or to the working directory; None if it is not set.
        data_dir: a folder, or the file itself.
        suffixes: of the files that the dataset reads, in lower case.

    Raises:
        ConfigError: there is no such file, or several without ``path``.
    """
    listed = " or ".join(", ".join(suffixes).rsplit(", ", 1))
    try:
        if path is not None:
            return _named(dataset, path, data_dir, suffixes, listed)
        if data_dir.is_file():
            found = [data_dir] if data_dir.suffix.lower() in suffixes else []
        else:
            found = sorted(child for child in data_dir.iterdir() if child.suffix.lower() in suffixes)
    except (OSError, ValueError, RuntimeError) as error:  # no such folder, null bytes, unknown user
        reason = error.strerror if isinstance(error, OSError) else str(error)
        place = shown(path if path is not None else str(data_dir))
        raise ConfigError(f"dataset={dataset}: {place} cannot be read ({reason}): set dataset.path=FILE.") from error
    if len(found) == 1:
        return found[0]
    names = ", ".join(shown(child.name) for child in found[:MAX_LISTED]) + (", ..." if len(found) > MAX_LISTED else "")
    held = f"holds several files ({names})" if found else f"holds no {listed} file"
    raise ConfigError(f"dataset={dataset}: {shown(str(data_dir))} {held}: set dataset.path=FILE.")


def _named(dataset: str, path: str, data_dir: Path, suffixes: tuple[str, ...], listed: str) -> Path:
    given = Path(path).expanduser()
    places = list(dict.fromkeys([data_dir / given, given.absolute()]))
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        known = [child.name for child in data_dir.iterdir()] if data_dir.is_dir() else []
        searched = " and ".join(shown(str(place)) for place in places)
        raise ConfigError(f"dataset.path: there is no file {searched}.{did_you_mean(given.name, known)}")
    if file.suffix.lower() not in suffixes:
        raise ConfigError(f"dataset.path: dataset={dataset} reads {listed} files, not {shown(file.name)}.")
    return file

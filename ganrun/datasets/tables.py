"""Reads columns of numbers, and a column of classes, from .csv and .parquet files of any origin."""

from __future__ import annotations

import csv
import importlib
import io
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.errors import ConfigError, instead, shown
from ganrun.storage.safe_io import open_file, read_bytes

MAX_CSV = 1 << 30  # bytes
MAX_NUMBERS = 1 << 30  # of a table


@dataclass(frozen=True)
class Table:
    """Columns of a table.

    Attributes:
        columns: their names.
        rows: float64 ``(n, columns)``.
        classes: the class of each row as text; None if no column was named.
    """

    columns: tuple[str, ...]
    rows: np.ndarray
    classes: list[str] | None


def read_table(path: Path, columns: Sequence[str], label: str | None) -> Table:
    """Return the named columns of the table in ``path``.

    Args:
        path: a .csv file whose first line names the columns, or a .parquet file.
        columns: names of the columns; empty for all but ``label``.
        label: name of the column with the classes; None if there is none.

    Raises:
        ConfigError: the file cannot be read, has no such column, or holds something else than numbers.
    """
    try:
        return (_read_parquet if path.suffix.lower() == ".parquet" else _read_csv)(path, columns, label)
    except (OSError, ValueError, csv.Error, MemoryError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error).strip() or type(error).__name__
        raise ConfigError(f"{shown(str(path))}: cannot be read ({shown(reason.splitlines()[0])}).") from error


def _chosen(path: Path, known: Sequence[str], columns: Sequence[str], label: str | None) -> tuple[str, ...]:
    """Return the names of the columns to read; raise ConfigError if one does not exist or exists twice."""
    for key, name in (*(("columns", name) for name in columns), *([("label", label)] if label is not None else [])):
        if name not in known:
            raise ConfigError(
                f"dataset.{key}: {shown(str(path))} has no column '{shown(str(name))}'."
                f"{instead(str(name), map(shown, known), 'It has')}"
            )
    names = tuple(columns) or tuple(name for name in known if name != label)
    twice = next((name for name in (*names, label) if name is not None and known.count(name) > 1), None)
    twice = twice if twice is not None else next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{shown(str(path))}: the column '{shown(twice)}' occurs twice.")
    if not names:
        raise ConfigError(f"{shown(str(path))}: has no column of numbers.")
    return names


def _read_csv(path: Path, columns: Sequence[str], label: str | None) -> Table:
    text = read_bytes(path, MAX_CSV).decode("utf-8-sig")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip() for name in next(lines, [])]
    if not header:
        raise ValueError("the file is empty")
    names = _chosen(path, header, columns, label)
    places = [header.index(name) for name in names]
    of_label = None if label is None else header.index(label)
    numbers, classes = array("d"), []
    for line in lines:
        if not line:
            continue
        if len(line) != len(header):
            raise ValueError(f"line {lines.line_num} has {len(line)} fields; the first line has {len(header)}")
        try:
            numbers.extend([float(line[place]) for place in places])
        except ValueError:
            name, field = next((header[place], line[place]) for place in places if not _is_number(line[place]))
            advice = "choose columns with 'dataset.columns=[...]'" if not columns else "only numbers are read"
            raise ConfigError(
                f"{shown(str(path))}: line {lines.line_num} holds '{shown(field)}' in the column "
                f"'{shown(name)}', which is not a number: {advice}."
            ) from None
        if of_label is not None:
            classes.append(line[of_label].strip())
    rows = np.frombuffer(numbers, np.float64).reshape(-1, len(names))
    return Table(names, rows, classes if of_label is not None else None)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, columns: Sequence[str], label: str | None) -> Table:
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError("reading .parquet files needs pyarrow: pip install 'ganrun[parquet]'.") from error
    with open_file(path) as file:
        opened: Any = parquet.ParquetFile(file)
        known = [str(name) for name in opened.schema_arrow.names]
        names = _chosen(path, known, columns, label)
        if opened.metadata.num_rows * len(names) > MAX_NUMBERS:
            raise ValueError(f"it holds more than {MAX_NUMBERS} numbers")
        for name in names:
            kind = opened.schema_arrow.field(name).type
            if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
                raise ConfigError(
                    f"{shown(str(path))}: the column '{shown(name)}' holds {kind}, not numbers: "
                    "choose columns with 'dataset.columns=[...]'."
                )
        table = opened.read(columns=[*names, *([label] if label is not None else [])])
    numbers = [np.asarray(table.column(name).to_numpy(), np.float64) for name in names]  # null becomes NaN
    classes = None if label is None else [str(value) for value in table.column(label).to_pylist()]
    return Table(names, np.stack(numbers, axis=1), classes)

"""Errors that a person can cause, each told in one or two lines and tied to an exit code."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
import traceback
from collections.abc import Iterable
from pathlib import Path

LINES, WIDTH = 2, 2000  # of a message, at most
LONG = 1e16  # whole numbers from here on are written with an exponent


class GanrunError(Exception):
    """The run failed for a reason that its message tells in full. Exit code 1."""

    exit_code = 1


class ConfigError(GanrunError):
    """The command line, the configuration or the data folder is wrong. Exit code 2."""

    exit_code = 2


class StorageError(GanrunError):
    """The run directory cannot be written, which is no fault of the run: it goes on once it can. Exit code 1."""


def cannot_write(error: OSError, place: Path) -> StorageError:
    """Return the line for what ``place`` (or the file that ``error`` names) could not take."""
    return StorageError(f"Cannot write {error.filename or place}: {error.strerror or error}.")


def tell(error: Exception) -> int:
    """Say on standard error what went wrong (with a traceback if ``HYDRA_FULL_ERROR=1``); return the exit code."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    if isinstance(error, GanrunError):
        # A message quotes files that anyone may have written: they are not to speak to the terminal.
        told = "\n".join(shown(line, WIDTH) for line in str(error).split("\n")[:LINES])
        print(f"ganrun: {told}", file=sys.stderr)
        return error.exit_code
    lines = str(error).strip().splitlines() or ["no message"]
    kind = type(error).__name__
    told = shown(textwrap.shorten(lines[0], 300), WIDTH)
    print(f"ganrun: {kind}: {told} (HYDRA_FULL_ERROR=1 shows where)", file=sys.stderr)
    return 1


def shown(text: str, most: int = 200) -> str:
    """Return ``text`` as one line of about ``most`` characters that can be printed anywhere."""
    text = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    half = most // 2 - 10
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def exact(number: float) -> str:
    """Return ``number`` with all the digits that tell it from any other, and few more: 4294967296, 0.1, 1e+06."""
    if not isinstance(number, (int, float)):  # single precision, whose shortest form is not that of the same double
        number = float(str(number))
    if abs(number) > sys.float_info.max:
        return "so large"
    if float(brief := f"{number:g}") == number:
        return brief
    if abs(number) < LONG and number == int(number):
        return str(int(number))
    return repr(float(number))


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'hinge'?`` for the closest of ``allowed``, or an empty string."""
    match = difflib.get_close_matches(str(word), [str(option) for option in allowed], n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""

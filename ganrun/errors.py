"""Errors that a user can cause, each with a message of one or two lines and an exit code."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
import traceback
from collections.abc import Iterable
from pathlib import Path

LISTED = 12  # names that a message lists
LINES, WIDTH = 2, 2000  # maximum lines of a message, and characters per line
LONG = 1e16  # whole numbers from this one on are written with an exponent


class GanrunError(Exception):
    """The run failed; the message gives the full reason. Exit code 1."""

    exit_code = 1


class ConfigError(GanrunError):
    """The command line, the configuration or the data folder is wrong. Exit code 2."""

    exit_code = 2


class StorageError(GanrunError):
    """The run directory cannot be written. The run can be resumed once it is writable again. Exit code 1."""


def cannot_write(error: OSError, place: Path) -> StorageError:
    """Return the error for a failure to write ``place``, or the file that ``error`` names."""
    return StorageError(f"Cannot write {error.filename or place}: {error.strerror or error}.")


def tell(error: Exception) -> int:
    """Print ``error`` to standard error, with a traceback if ``HYDRA_FULL_ERROR=1``, and return the exit code."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    if isinstance(error, GanrunError):
        # A message may quote untrusted files, which must not control the terminal.
        message = "\n".join(shown(line, WIDTH) for line in str(error).split("\n")[:LINES])
        print(f"ganrun: {message}", file=sys.stderr)
        return error.exit_code
    lines = str(error).strip().splitlines() or ["no message"]
    kind = type(error).__name__
    message = shown(textwrap.shorten(lines[0], 300), WIDTH)
    print(f"ganrun: {kind}: {message} (HYDRA_FULL_ERROR=1 shows where)", file=sys.stderr)
    return 1


def shown(text: str, limit: int = 200) -> str:
    """Return ``text`` as one printable line of at most ``limit`` characters, shortened in the middle if necessary."""
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    half = limit // 2 - 10
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"


def exact(number: float) -> str:
    """Return ``number`` with as few digits as identify it exactly: 4294967296, 0.1, 1e+06."""
    if not isinstance(number, (int, float)):  # NumPy single precision: its shortest text differs from the double's
        number = float(str(number))
    number = number or 0  # zero has no sign
    if abs(number) > sys.float_info.max:
        return "so large"
    if float(brief := f"{number:g}") == number:
        return brief
    if abs(number) < LONG and number == int(number):
        return str(int(number))
    return repr(float(number))


def instead(word: str, allowed: Iterable[str], where: str, command: str = "") -> str:
    """Return what may stand instead of ``word``: the closest of ``allowed``, and then at most :data:`LISTED` of them.

    Args:
        word: what was given.
        allowed: what is allowed.
        where: the words before the list, such as ``It has``.
        command: lists all of them, if there are more.

    Returns:
        A text such as `` Did you mean 'hinge'? It has cramer, fgan, hinge, ... (12 in all: `ganrun list loss`).``
    """
    names = [str(name) for name in allowed]
    some, more = ", ".join(names[:LISTED]) or "none", f": `{command}`" if command else ""
    some += f", ... ({len(names)} in all{more})" if len(names) > LISTED else ""
    return f"{did_you_mean(word, names)} {where} {some}."


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'hinge'?`` for the closest of ``allowed``, or an empty string."""
    match = difflib.get_close_matches(str(word), [str(option) for option in allowed], n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""

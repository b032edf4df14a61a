"""Standard output on a terminal that cannot print every character."""

from __future__ import annotations

import codecs
import sys
from contextlib import suppress

ASCII = {
    "≥": ">=",
    "≤": "<=",
    "±": "+/-",
    "−": "-",
    "–": "-",
    "×": "x",
    "…": "...",
    "─": "-",
    "━": "-",
    "│": "|",
    "→": "->",
    "•": "*",
    "∇": "grad ",
    "‖": "||",
    "σ": "sigma",
    "χ": "chi",
    "λ": "lambda",
    "½": "1/2",
    "²": "^2",
}


def spelled(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the characters that could not be encoded, and where to go on: an error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = (ASCII.get(one, one.encode("ascii", "backslashreplace").decode()) for one in text)
    return "".join(plain), error.end


codecs.register_error("ganrun.spelled", spelled)


def spell_out() -> None:
    """Have standard output spell out in ASCII what its encoding does not have, in place of failing."""
    with suppress(AttributeError, ValueError):  # it is no stream of text, or closed
        if sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="ganrun.spelled")  # type: ignore[union-attr]

"""ASCII replacements for characters that the encoding of standard output does not have."""

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
    """Return the replacement of characters that cannot be encoded, and where to continue: a codec error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = (ASCII.get(character, character.encode("ascii", "backslashreplace").decode()) for character in text)
    return "".join(plain), error.end


codecs.register_error("ganrun.spelled", spelled)


def spell_out() -> None:
    """Make standard output replace characters that its encoding does not have, instead of failing."""
    with suppress(AttributeError, ValueError):  # it is not a text stream, or closed
        if sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="ganrun.spelled")  # type: ignore[union-attr]

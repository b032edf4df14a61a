"""``ganrun -sc ...``: bash completion, based on Hydra's.

Hydra's completion script calls ``ganrun -sc query=bash`` without the command being typed, so the command is taken from
the line that bash passes in ``COMP_LINE``.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from collections.abc import Callable, Iterable

HYDRA_COMMANDS = ("train", "sample", "eval", "jsd", "compare", "export", "bench")
WITHOUT_GROUPS = ("sample", "eval", "jsd", "compare", "export")  # commands whose configs choose no options of groups


def complete(words: list[str], commands: Iterable[str]) -> int:
    """Answer a completion query, with ``commands`` as the known commands, or print the installation script."""
    if words[1:2] != ["query=bash"]:
        return importlib.import_module("ganrun.commands.train").main(words)
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if len(typed) < 2 or (len(typed) == 2 and not line.endswith(" ")):
        start = typed[1] if len(typed) == 2 else ""
        print("\n".join(name for name in commands if name.startswith(start)))
        return 0
    command = typed[1]
    if command not in HYDRA_COMMANDS:
        return 0
    rest = line.split(None, 2)[2] if len(typed) > 2 else ""
    if command in ("eval", "jsd", "compare"):
        rest = _without_paths(rest)
    os.environ["COMP_LINE"] = f"ganrun {rest}"
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    main = importlib.import_module(f"ganrun.commands.{command}").main
    return _completed_without_groups(main, words) if command in WITHOUT_GROUPS else main(words)


def _completed_without_groups(main: Callable[[list[str]], int], words: list[str]) -> int:
    """Complete ``words`` with ``main``, without the config groups and their options: Hydra offers all of ``conf/``."""
    from ganrun.config.search_path import groups  # imports Hydra

    offered, known = io.StringIO(), groups()
    with contextlib.redirect_stdout(offered):
        code = main(words)
    for line in offered.getvalue().splitlines():
        kept = [word for word in line.split() if re.split(r"[=/@]", word.lstrip("+~"))[0] not in known]
        print(" ".join(kept))
    return code


def _without_paths(line: str) -> str:
    """Return ``line`` without the paths already typed: Hydra, which completes the rest, accepts settings only."""
    *done, last = line.split(" ")
    return " ".join([*(word for word in done if "=" in word or word.startswith("-")), last])

"""The command lines that repeat runs: the settings that differ from the defaults, without those of the evaluation."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganrun.config.hparams import chosen, settings, varying
from ganrun.config.schema import check
from ganrun.config.settings import Train
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import relative

Compose = Callable[[list[str]], dict[str, Any]]
TOO_MANY = 40  # values of a setting in one command line


def run_command(config: Train, folder: Path, compose: Compose) -> str:
    """Return a command line that repeats the run with ``config`` in ``folder``.

    It names the settings that differ from the defaults, or the recorded config if these do not give the same run.
    ``compose`` returns the config of a list of overrides.
    """
    words = [_word(key, text) for key, text in _texts(config).items()]
    if _give(words, config, compose):
        return shlex.join(["ganrun", "train", *words])
    return shlex.join(["ganrun", "train", "--config-dir", relative(folder), "--config-name", "config"])


def sweep_command(configs: Sequence[Train], compose: Compose) -> str:
    """Return the command line of the sweep that has the runs ``configs``; empty if they are not all combinations.

    ``compose`` returns the config of a list of overrides.
    """
    varied = varying(configs)
    rows = [_texts(config, varied) for config in configs]
    values = {key: list(dict.fromkeys(row.get(key) for row in rows)) for row in rows for key in row}
    combinations = {tuple(row.get(key) for key in values) for row in rows}
    full = all(None not in found for found in values.values())
    if len(rows) < 2 or not full or len(combinations) != math.prod(map(len, values.values())):
        return ""
    first = [_word(*pair) for pair in rows[0].items()]
    if max(map(len, values.values())) > TOO_MANY or not _give(first, configs[0], compose):
        return ""
    words = [_word(key, ",".join(map(str, found))) for key, found in values.items()]
    return shlex.join(["ganrun", "train", "-m", *words])


def _texts(config: Train, also: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the settings of ``config`` to type, and those of ``also``, as the texts of their values."""
    return {key: _penalties(value) if key == "penalty" else _text(value) for key, value in chosen(config, also).items()}


def _give(words: list[str], config: Train, compose: Compose) -> bool:
    """Return whether a run of ``words`` has the hyperparameters of ``config``."""
    try:
        return settings(check(compose(words))) == settings(config)
    except ConfigError:
        return False


def _word(key: str, text: str) -> str:
    return f"{key}={text}"


def _penalties(value: Any) -> str:
    names = str(value).split("+")
    return names[0] if len(names) == 1 else f"[{','.join(names)}]"


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(_text, value))}]"
    return str(value)

"""Runs given as words of a command line, for commands that take any number of them: ``ganrun compare a b``."""

from __future__ import annotations

import os

from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import quoted
from ganrun.errors import ConfigError


def name_paths(arguments: CliArguments) -> CliArguments:
    """Turn paths into ``paths=[...]``, and quote metrics: Hydra would parse D(x) as a function call.

    Raises:
        ConfigError: paths are given both ways.
    """
    given = [word for word in arguments.overrides if _is_path(word)]
    settings = [_quote_metrics(word) for word in arguments.overrides if not _is_path(word)]
    if given and any(word.startswith("paths=") for word in settings):
        raise ConfigError("give the runs as words or as paths=[...], not as both.")
    if given:
        settings.append(f"paths={_listed(given)}")
    return arguments.replaced(settings)


def _is_path(word: str) -> bool:
    """Return whether ``word`` is a path and not a setting; Hydra may have named a folder lr=0.1."""
    return "=" not in word or os.path.isdir(os.path.expanduser(word))  # noqa: PTH111, PTH112 (they never raise)


def _quote_metrics(word: str) -> str:
    key, _, text = word.partition("=")
    if key != "metrics" or any(mark in text for mark in "'\""):
        return word
    return f"metrics={_listed([name.strip() for name in text.strip('[]').split(',') if name.strip()])}"


def _listed(texts: list[str]) -> str:
    return f"[{','.join(map(quoted, texts))}]"

"""Names or paths given as words of a command line, for commands that take many: ``ganrun compare a b``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import hand_over, preflight, quoted, with_paths
from ganrun.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_named(
    command: str,
    words: list[str],
    inspect: Callable[[dict[str, Any]], object],
    job: Callable[[DictConfig], int],
    files: Sequence[str],
    key: str = "paths",
    nouns: str = "runs",
) -> int:
    """Run a command that takes names as words, and return its exit code.

    Args:
        command: its name, and that of its config.
        words: the command line after the name.
        inspect: checks the composed settings before Hydra runs the job.
        job: the command itself.
        files: settings that are paths.
        key: the setting that takes the words.
        nouns: what the words name, for messages.

    Raises:
        ConfigError: the command line or a setting is wrong.
    """
    arguments = CliArguments(words)
    if arguments.options.shell_completion:
        return hand_over(command, command, arguments, job)
    if arguments.options.multirun:
        raise ConfigError(f"{command} takes all its {nouns} at once: leave out -m.")
    arguments = with_paths(name_paths(arguments, key, nouns), files)
    name = arguments.options.config_name or command
    composed = None if arguments.only_shows else preflight(name, arguments, inspect)
    return hand_over(command, name, arguments, job, composed=composed)


def name_paths(arguments: CliArguments, key: str = "paths", nouns: str = "runs") -> CliArguments:
    """Turn words into ``paths=[...]``, and quote metrics: Hydra would parse D(x) as a function call.

    Args:
        arguments: the command line.
        key: the setting that takes the words.
        nouns: what they name, for the message.

    Raises:
        ConfigError: words are given both ways.
    """
    given = [word for word in arguments.overrides if _is_path(word)]
    settings = [_quote_metrics(word) for word in arguments.overrides if not _is_path(word)]
    if given and any(word.startswith(f"{key}=") for word in settings):
        raise ConfigError(f"give the {nouns} as words or as {key}=[...], not as both.")
    if given:
        settings.append(f"{key}={_listed(given)}")
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

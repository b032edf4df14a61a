"""Parses a command line of settings and Hydra's own options, as Hydra does."""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from ganrun.config.hydra_internals import parse_options
from ganrun.errors import ConfigError, shown

ONE = ("run", "multirun", "cfg", "info", "shell_completion")  # mutually exclusive options


class CliArguments:
    """A command line as Hydra parses it: ``overrides``, and Hydra's own ``options``, which may be mixed with them."""

    def __init__(self, words: list[str]) -> None:
        complaint = io.StringIO()
        try:
            with contextlib.redirect_stderr(complaint):
                self.options = parse_options(words)
        except SystemExit as leaving:
            if leaving.code == 0:
                raise
            reason = complaint.getvalue().strip().splitlines()[-1].split("error: ")[-1]
            raise ConfigError(f"{reason}.{_as_setting(words, reason)} `--help` shows what is understood.") from None
        self._require_sense()

    def _require_sense(self) -> None:
        """Refuse what would give a traceback in Hydra, and the one option that could execute code from a file."""
        options = self.options
        if options.experimental_rerun is not None:
            raise ConfigError(
                "--experimental-rerun would unpickle a file, which could run anything: "
                "--config-dir RUN --config-name config repeats a run."
            )
        given = [name for name in ONE if getattr(options, name)]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(f'--{name}' for name in given).replace('_', '-')} exclude each other.")
        if options.config_name is not None and _is_path(options.config_name):
            path = Path(os.path.expanduser(options.config_name))  # noqa: PTH111 (never raises)
            correct = shlex.join(["--config-dir", str(path.parent), "--config-name", path.name.removesuffix(".yaml")])
            raise ConfigError(f"--config-name takes the name of a config, not the path of a file: write {correct}.")
        if options.resolve and not options.cfg and not options.help:
            raise ConfigError("--resolve belongs to --cfg: --cfg job --resolve shows all values filled in.")

    def replaced(self, overrides: list[str], **options: object) -> CliArguments:
        """Return a copy of the command line with these settings, and with these options changed."""
        other = copy.copy(self)
        other.options = argparse.Namespace(**vars(self.options) | options | {"overrides": list(overrides)})
        return other

    def refuse_paths(self, key: str) -> None:
        """Refuse a word that names a run without ``key``, the setting that takes one.

        Raises:
            ConfigError: a word is a folder, or ``latest``.
        """
        for word in self.overrides if self.runs else ():
            if word == "latest" or os.path.isdir(os.path.expanduser(word)):  # noqa: PTH111, PTH112 (they never raise)
                raise ConfigError(f"'{shown(word)}' is not a setting: write {shlex.quote(f'{key}={word}')}.")

    @property
    def overrides(self) -> list[str]:
        """The settings, in the order given."""
        return self.options.overrides

    @property
    def only_shows(self) -> bool:
        """Whether Hydra only prints help or completions."""
        options = self.options
        return bool(options.help or options.hydra_help or options.shell_completion)

    @property
    def runs(self) -> bool:
        """Whether the command line runs jobs."""
        return not (self.only_shows or self.options.cfg or self.options.info)

    def names_apart(self, settings: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the words that are names or paths, and those that are settings, each in their order.

        A word with a ``=`` is a setting, unless it is an existing path and does not begin with the name of one of
        ``settings``, such as the directory of a sweep's run, ``3-seed=1``.
        """
        known, apart = set(settings), ([], [])
        for word in self.overrides:
            key, equals, _ = word.partition("=")
            key = key.lstrip("+~")
            named = key in known or key.partition(".")[0] == "hydra"
            path = not equals or (not named and os.path.exists(os.path.expanduser(word)))  # noqa: PTH110, PTH111 (no raise)
            apart[0 if path else 1].append(word)
        return apart

    def value(self, key: str) -> str | None:
        """Return the value of the last override of ``key``, with or without +; None if it is not set or null."""
        values = [text.partition("=")[2] for text in self.overrides if text.partition("=")[0].lstrip("+") == key]
        value = values[-1].strip("'\"") if values else ""
        return None if value in ("", "null") else value


def _is_path(name: str) -> bool:
    """Return whether ``name`` is the path of a file; a config's name has a slash only if it is in a group of conf/."""
    return name.startswith(("/", "./", "../", "~")) or ("/" in name and os.path.isfile(name))  # noqa: PTH113 (as typed)


def _as_setting(words: list[str], reason: str) -> str:
    """Return a hint such as ``write steps=20`` for a setting typed like an option, ``--steps 20``; else empty."""
    stray = re.match(r"unrecognized arguments: (.+)", reason)
    flag = re.match(r"argument (--[\w-]+)\S*: ignored explicit argument", reason)
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        rejected = (stray and stray[1].startswith(word)) or (flag and word.startswith(f"{flag[1]}="))
        typed, equals, value = word.lstrip("-").partition("=")
        key = typed.replace("-", "_")
        if not rejected or not re.fullmatch(r"[A-Za-z_][\w./]*", key):
            continue
        if not equals:
            is_value = "=" not in following and (following[0:1] != "-" or re.fullmatch(r"-[\d.]\S*", following))
            value = following if is_value else "VALUE"
        return f" Settings have no dashes: write {shlex.quote(f'{key}={value}')}."
    return ""

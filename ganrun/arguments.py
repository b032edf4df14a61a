"""A command line of settings and Hydra's own options, read as Hydra reads it."""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import os
import re
import shlex
from pathlib import Path

from hydra._internal.utils import get_args_parser

from ganrun.errors import ConfigError

ONE = ("run", "multirun", "cfg", "info", "shell_completion")  # of these options, at most


class Arguments:
    """A command line as Hydra reads it: ``overrides``, and Hydra's own ``options``, which may stand between them."""

    def __init__(self, words: list[str]) -> None:
        complaint = io.StringIO()
        try:
            with contextlib.redirect_stderr(complaint):
                self.options = get_args_parser().parse_intermixed_args(words)
        except SystemExit as leaving:
            if leaving.code == 0:
                raise
            reason = complaint.getvalue().strip().splitlines()[-1].split("error: ")[-1]
            raise ConfigError(f"{reason}.{_as_setting(words, reason)} `--help` shows what is understood.") from None
        self._require_sense()

    def _require_sense(self) -> None:
        """Refuse what Hydra would end with a traceback, and the one option that could run what a file says."""
        options = self.options
        if options.experimental_rerun is not None:
            raise ConfigError(
                "--experimental-rerun would unpickle a file, which could run anything: "
                "--config-dir RUN --config-name config repeats a run."
            )
        asked = [name for name in ONE if getattr(options, name)]
        if len(asked) > 1:
            raise ConfigError(f"{' and '.join(f'--{name}' for name in asked).replace('_', '-')} exclude each other.")
        if options.config_name is not None and _is_path(options.config_name):
            path = Path(os.path.expanduser(options.config_name))  # noqa: PTH111 (never raises)
            right = shlex.join(["--config-dir", str(path.parent), "--config-name", path.name.removesuffix(".yaml")])
            raise ConfigError(f"--config-name takes the name of a config, not the path of a file: write {right}.")
        if options.resolve and not options.cfg and not options.help:
            raise ConfigError("--resolve belongs to --cfg: --cfg job --resolve shows all values filled in.")

    def replaced(self, overrides: list[str], **options: object) -> Arguments:
        """Return the same command line with other settings, and with other options where they are given."""
        other = copy.copy(self)
        other.options = argparse.Namespace(**vars(self.options) | options | {"overrides": list(overrides)})
        return other

    @property
    def overrides(self) -> list[str]:
        """The settings, in their order."""
        return self.options.overrides

    @property
    def only_shows(self) -> bool:
        """Whether Hydra only prints something and runs no job."""
        options = self.options
        return bool(options.help or options.hydra_help or options.shell_completion)

    @property
    def runs(self) -> bool:
        """Whether jobs will run."""
        return not (self.only_shows or self.options.cfg or self.options.info)

    def value(self, key: str) -> str | None:
        """Return what the last override of ``key`` says, with or without +, or None where it is not set or null."""
        said = [text.partition("=")[2] for text in self.overrides if text.partition("=")[0].lstrip("+") == key]
        word = said[-1].strip("'\"") if said else ""
        return None if word in ("", "null") else word


def _is_path(name: str) -> bool:
    """Whether ``name`` is that of a file: configs have names, and folders of their own only below conf/."""
    return name.startswith(("/", "./", "../", "~")) or ("/" in name and os.path.isfile(name))  # noqa: PTH113 (as typed)


def _as_setting(words: list[str], reason: str) -> str:
    """Return `` Write steps=20.`` for a setting that was typed as an option of other programs, ``--steps 20``."""
    stray = re.match(r"unrecognized arguments: (.+)", reason)
    flag = re.match(r"argument (--[\w-]+)\S*: ignored explicit argument", reason)
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        guilty = (stray and stray[1].startswith(word)) or (flag and word.startswith(f"{flag[1]}="))
        typed, equals, value = word.lstrip("-").partition("=")
        key = typed.replace("-", "_")
        if not guilty or not re.fullmatch(r"[A-Za-z_][\w./]*", key):
            continue
        if not equals:
            is_value = "=" not in following and (following[0:1] != "-" or re.fullmatch(r"-[\d.]\S*", following))
            value = following if is_value else "VALUE"
        return f" Settings have no dashes: write {shlex.quote(f'{key}={value}')}."
    return ""

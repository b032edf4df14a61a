"""``ganrun COMMAND ...``: finds the command and hands over. Imports neither JAX nor Hydra until one needs them."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from ganrun import __version__
from ganrun.errors import ConfigError, GanrunError, did_you_mean, tell
from ganrun.terminal import spell_out

COMMANDS = {
    "train": "train a GAN; also continues one (resume=DIR) and sweeps (-m)",
    "sample": "draw samples from a trained run",
    "list": "the options of each group, with their meaning",
    "doctor": "check Python, JAX, devices, caches, data and TensorBoard",
    "compare": "runs beside each other, seeds aggregated, with intervals",
    "jsd": "estimate the Jensen-Shannon divergence between two sets of samples",
}
PLACELESS = ("list", "doctor")  # need no working directory
COLLECT_EVERY = 20_000  # new objects: importing and tracing make very many that stay, and to look at all takes long
HELP = """ganrun {version}: an experiment runner for generative adversarial networks in JAX.

usage: ganrun COMMAND [KEY=VALUE ...]

{commands}

`ganrun COMMAND --help` shows a command's options, `ganrun --version` the version.
bash completion: eval "$(ganrun train -sc install=bash)"
"""


def main(argv: list[str] | None = None) -> None:
    """Run the command line ``argv`` (default: the process's) and exit with its code."""
    words = sys.argv[1:] if argv is None else argv
    spell_out()
    if argv is None:
        gc.set_threshold(COLLECT_EVERY)
    try:
        code = dispatch(words)
    except SystemExit as leaving:  # as Hydra's jobs end
        code = leaving.code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader left (ganrun --help | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = tell(_cause(error))
    if argv is None and code in (130, 143):
        _leave(int(code))
    sys.exit(code)


def _cause(error: Exception) -> Exception:
    """Return why ``error`` came about: what JAX raises where it has no device says nothing."""
    if "jax" in sys.modules and not isinstance(error, GanrunError):
        try:
            importlib.import_module("ganrun.device").require_device()
        except GanrunError as cause:
            return cause
    return error


def _leave(code: int) -> None:
    """End the process at once. Python itself would wait for threads, which may be long at what nobody wants now."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def dispatch(words: list[str]) -> int:
    """Run the command that ``words`` name and return its exit code."""
    if words[:1] in ([], ["--help"], ["-h"], ["help"]):
        commands = "\n".join(f"  {name:8} {meaning}" for name, meaning in COMMANDS.items())
        print(HELP.format(version=__version__, commands=commands), end="")
        return 0
    if words[0] in ("--version", "-V"):
        print(f"ganrun {__version__}")
        return 0
    if words[0] in ("-sc", "--shell-completion"):
        return importlib.import_module("ganrun.commands.completion").complete(words, COMMANDS)
    if words[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise ConfigError(f"'{words[0]}' is not a command; there are {known}.{did_you_mean(words[0], COMMANDS)}")
    if words[0] not in PLACELESS:
        _require_place()
    # Without a home that can be written it says at every import where its cache is.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    command = importlib.import_module(f"ganrun.commands.{words[0]}")
    return command.main(words[1:])


def _require_place() -> None:
    """Raise :class:`ConfigError` where the working directory has been deleted: Hydra would only say that a file is."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory cannot be entered ({error.strerror}): cd to another.") from error

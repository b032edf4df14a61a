"""The ``ganrun COMMAND ...`` entry point. Imports JAX and Hydra only for commands that need them."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from ganrun import __version__
from ganrun.errors import ConfigError, GanrunError, instead, tell
from ganrun.writers.terminal import spell_out

COMMANDS = {
    "train": "train a GAN or another model; also continues one (resume=DIR) and sweeps (-m)",
    "sample": "draw samples from a trained run",
    "list": "the options of each group, with their meaning",
    "doctor": "check Python, JAX, devices, caches, data and TensorBoard",
    "compare": "compare runs in a table, seeds aggregated, with confidence intervals",
    "report": "write one HTML page about runs or a sweep, which opens in any browser",
    "reproduce": "compare numbers with theory and published tables, by experiments with a name",
    "eval": "measure samples against real examples: precision, recall, distances, memorisation",
    "jsd": "estimate the Jensen-Shannon divergence between two sets of samples",
    "export": "write a trained model as StableHLO, safetensors or ONNX, with a model card",
    "bench": "measure the speed of a run on this machine",
}
UNUSED = "ganrun-unused"  # name of threads that need not end
PLACELESS = ("list", "doctor")  # commands that need no working directory
COLLECT_EVERY = 20_000  # garbage collection threshold: imports and tracing create very many long-lived objects
HELP = """ganrun {version}: an experiment runner in JAX for GANs and the generative models beside them.

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
    except SystemExit as leaving:  # Hydra's jobs end this way
        code = leaving.code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader closed the pipe (ganrun --help | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = tell(_cause(error))
    if argv is None and (code in (130, 143) or _is_busy()):
        _exit_now(int(code or 0))
    sys.exit(code)


def _cause(error: Exception) -> Exception:
    """Return the cause of ``error``: without a device, JAX raises errors that do not name the cause."""
    if "jax" in sys.modules and not isinstance(error, GanrunError):
        try:
            importlib.import_module("ganrun.training.device").require_device()
        except GanrunError as cause:
            return cause
    return error


def _is_busy() -> bool:
    """Return whether a thread still works on what has no further use, as after a dry run."""
    return any(thread.name == UNUSED for thread in threading.enumerate())


def _exit_now(code: int) -> None:
    """End the process at once. A normal exit would wait for threads, whose work is no longer needed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def dispatch(words: list[str]) -> int:
    """Run the command ``words[0]`` with the other words and return its exit code."""
    if words[:1] in ([], ["--help"], ["-h"], ["help"]):
        commands = "\n".join(f"  {name:9} {meaning}" for name, meaning in COMMANDS.items())
        print(HELP.format(version=__version__, commands=commands), end="")
        return 0
    if words[0] in ("--version", "-V"):
        print(f"ganrun {__version__}")
        return 0
    if words[0] in ("-sc", "--shell-completion"):
        return importlib.import_module("ganrun.commands.completion").complete(words, COMMANDS)
    if words[0] not in COMMANDS:
        raise ConfigError(f"'{words[0]}' is not a command.{instead(words[0], COMMANDS, 'There are')}")
    if words[0] not in PLACELESS:
        _require_place()
    # Without a writable home, matplotlib prints the location of its cache at every import.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    command = importlib.import_module(f"ganrun.commands.{words[0]}")
    return command.main(words[1:])


def _require_place() -> None:
    """Raise :class:`ConfigError` if the working directory has been deleted: Hydra's own error would not say so."""
    try:
        Path.cwd()
    except OSError as error:
        raise ConfigError(f"the working directory cannot be entered ({error.strerror}): cd to another.") from error

"""``ganrun doctor``: what works on this machine, and what to do where it does not."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganrun import __version__
from ganrun.config import home_of
from ganrun.errors import ConfigError, GanrunError

HELP = """ganrun doctor: check Python, JAX, devices, memory, the compilation cache, data folders and TensorBoard.

usage: ganrun doctor [data_dir=FOLDER]

Exit code 0 when runs can be trained, 1 when something essential is missing.
"""


@dataclass
class Finding:
    """One line of the report: ``state`` is ok, note (nothing to worry about) or bad (runs will fail)."""

    what: str
    state: str
    text: str


def main(words: list[str]) -> int:
    """Print the report and return the exit code."""
    if words[:1] in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    data_dir = None
    for word in words:
        key, _, value = word.partition("=")
        if key != "data_dir" or not value:
            raise ConfigError(f"doctor takes data_dir=FOLDER, not '{word}'.")
        data_dir = value
    if data_dir is not None:
        home_of(data_dir)  # what is typed wrong is told before anything is looked for
    checks: dict[str, Callable[[], list[Finding]]] = {
        "Python": _python,
        "JAX": _jax,
        "memory": _memory,
        "cache": _cache,
        "data": partial(_data, data_dir),
        "TensorBoard": _tensorboard,
    }
    findings = [finding for what, check in checks.items() for finding in _found(what, check)]
    signs = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    for finding in findings:
        print(f"{signs[finding.state]}  {finding.what:12} {finding.text}")
    return int(any(finding.state == "bad" for finding in findings))


def _found(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what ``check`` finds; that it failed is a finding too, and the report goes on."""
    try:
        return check()
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return [Finding(what, "bad", reason)]


def _python() -> list[Finding]:
    good = sys.version_info >= (3, 11)
    text = f"{platform.python_version()} on {platform.platform()}; ganrun {__version__}"
    return [Finding("Python", "ok" if good else "bad", text if good else f"{text}: ganrun needs 3.11 or later.")]


def _jax() -> list[Finding]:
    from ganrun import device

    try:
        device.prepare()
        import jax
        import jax.numpy as jnp

        devices = jax.devices()
        float(jnp.ones((8, 8)).sum())  # a device that is listed can still fail to compute
    except GanrunError as error:
        return [Finding("JAX", "bad", str(error))]
    except Exception as error:  # whatever JAX or its plugins raise, the report goes on
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [Finding("JAX", "bad", f"{reason} (install again with: pip install -U jax)")]
    found = [Finding("JAX", "ok", f"{jax.__version__}, backend {jax.default_backend()}")]
    kinds = sorted({one.device_kind for one in devices})
    found.append(Finding("devices", "ok", f"{len(devices)}: {', '.join(kinds)}"))
    if jax.default_backend() == "cpu" and (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        text = "this machine has an NVIDIA GPU that JAX does not see: pip install 'ganrun[cuda]'"
        found.append(Finding("GPU", "note", text))
    return found


def _memory() -> list[Finding]:
    from ganrun import device

    found = []
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        found.append(Finding("memory", "ok", f"{_size(total)}, {os.cpu_count()} processors"))
    except (ValueError, OSError, AttributeError):
        found.append(Finding("memory", "note", "this system does not tell"))
    with contextlib.suppress(GanrunError):  # JAX has been reported above
        device.require_flags()
        device.require_device()
        import jax

        for one in jax.devices():
            limit = (one.memory_stats() or {}).get("bytes_limit")
            if limit:
                found.append(Finding("memory", "ok", f"{_size(limit)} on {one}"))
    return found


def _cache() -> list[Finding]:
    from ganrun import device
    from ganrun.config import cache_folder, cache_is_off, has_home

    if cache_is_off():
        return [Finding("cache", "note", "off ($GANRUN_CACHE): every run compiles again")]
    if (kept := device.programs_folder()) is None:
        why = f"{cache_folder()} cannot be written" if has_home() else "there is no home folder"
        text = f"{why}, so every run compiles again: set GANRUN_CACHE to a folder that can be written"
        return [Finding("cache", "note", text)]
    if not (
        folder := Path(kept)
    ).is_dir():  # JAX makes the one that its own variable names, or it is not of this machine
        return [Finding("cache", "note", f"{kept} ($JAX_COMPILATION_CACHE_DIR): nothing in it yet")]
    sizes = [path.stat().st_size for path in folder.iterdir() if path.is_file()]
    return [Finding("cache", "ok", f"{folder}: {len(sizes)} compiled programs, {_size(sum(sizes))}")]


def _data(data_dir: str | None) -> list[Finding]:
    from ganrun.config import Train, data_folder
    from ganrun.registry import options

    folder = data_folder(Train(data_dir=data_dir))
    found = []
    for name, option in sorted(options("dataset").items()):
        if not hasattr(option, "find"):
            continue
        try:
            files = option().find(folder)
        except GanrunError as error:
            found.append(Finding("data", "note", f"{name}: {error}"))
            continue
        if name == "digits":
            found.append(_import("data", "sklearn", "digits: bundled with scikit-learn", "pip install scikit-learn"))
        elif len(files) == 2:
            found.append(Finding("data", "ok", f"{name}: in {next(iter(files.values())).parent}"))
        else:
            text = f"{name}: not in {folder}; dataset={name} downloads it, or set data_dir or GANRUN_DATA"
            found.append(Finding("data", "note", text))
    return found


def _tensorboard() -> list[Finding]:
    finding = _import("TensorBoard", "tensorboard", "", "pip install tensorboard")
    if finding.state == "ok":
        from tensorboard import version

        program = shutil.which("tensorboard") or Path(sys.executable).with_name("tensorboard")
        finding.text = f"{version.VERSION}; start it with: {program} --logdir outputs"
    return [finding]


def _import(what: str, module: str, text: str, remedy: str) -> Finding:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Finding(what, "bad", f"{error} (install it with: {remedy})")
    return Finding(what, "ok", text)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"

"""``ganrun doctor``: checks the installation, and says how to fix problems."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganrun import __version__
from ganrun.config import user_plugins
from ganrun.config.folders import home_of
from ganrun.errors import ConfigError, GanrunError
from ganrun.machine.cores import usable_cores

HELP = """ganrun doctor: check Python, JAX, devices, memory, the compilation cache, plugins, data and TensorBoard.

usage: ganrun doctor [data_dir=FOLDER] ['plugins=[PACKAGE,...]']

Exit code 0 when runs can be trained, 1 when something essential is missing.
"""

FASTER_CONVOLUTIONS = (0, 12)  # the version of JAX, on the CPU: docs/performance.md


@dataclass
class Finding:
    """One line of the report. ``state`` is ok, note (harmless) or bad (runs will fail)."""

    what: str
    state: str
    text: str


def main(words: list[str]) -> int:
    """Print the report and return the exit code."""
    if words[:1] in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    user_plugins.use(user_plugins.named(words))
    data_dir = None
    for word in words:
        key, _, value = word.partition("=")
        if key == "plugins":
            continue
        if key != "data_dir" or not value:
            raise ConfigError(f"doctor takes data_dir=FOLDER and plugins=[PACKAGE,...], not '{word}'.")
        data_dir = value
    if data_dir is not None:
        home_of(data_dir)  # raises ConfigError for a wrong path before any check runs
    checks: dict[str, Callable[[], list[Finding]]] = {
        "Python": _python,
        "JAX": _jax,
        "memory": _memory,
        "cache": _cache,
        "plugins": _plugins,
        "data": partial(_data, data_dir),
        "TensorBoard": _tensorboard,
    }
    findings = [finding for what, check in checks.items() for finding in _run_check(what, check)]
    signs = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    for finding in findings:
        print(f"{signs[finding.state]}  {finding.what:12} {finding.text}")
    return int(any(finding.state == "bad" for finding in findings))


def _run_check(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of ``check``; if it raises, the error is a finding."""
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
    from ganrun.training import device

    try:
        device.prepare()
        import jax
        import jax.numpy as jnp

        devices = jax.devices()
        float(jnp.ones((8, 8)).sum())  # a listed device can still fail to compute
    except GanrunError as error:
        return [Finding("JAX", "bad", str(error))]
    except Exception as error:  # JAX and its plugins may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [Finding("JAX", "bad", f"{reason} (install again with: pip install -U jax)")]
    findings = [Finding("JAX", "ok", f"{jax.__version__}, backend {jax.default_backend()}")]
    kinds = sorted({item.device_kind for item in devices})
    findings.append(Finding("devices", "ok", f"{len(devices)}: {', '.join(kinds)}"))
    capability = getattr(devices[0], "compute_capability", None)
    text = device.precisions(jax.default_backend(), None if capability is None else str(capability))
    findings.append(Finding("precision", "ok", text))
    if jax.default_backend() == "cpu" and (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        text = "this machine has an NVIDIA GPU that JAX does not see: pip install 'ganrun[cuda]'"
        findings.append(Finding("GPU", "note", text))
    if jax.default_backend() == "cpu" and jax.__version_info__ < FASTER_CONVOLUTIONS:
        text = "convolutions are faster with jax 0.12, which needs Python 3.12 or later"
        findings.append(Finding("JAX", "note", text))
    return findings


def _memory() -> list[Finding]:
    from ganrun.training import device

    findings = []
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        findings.append(Finding("memory", "ok", f"{_size(total)}, {usable_cores()} cores"))
    except (ValueError, OSError, AttributeError):
        findings.append(Finding("memory", "note", "this system does not report its memory"))
    with contextlib.suppress(GanrunError):  # the JAX check reports it
        device.require_flags()
        device.require_device()
        import jax

        for accelerator in jax.devices():
            limit = (accelerator.memory_stats() or {}).get("bytes_limit")
            if limit:
                findings.append(Finding("memory", "ok", f"{_size(limit)} on {accelerator}"))
    return findings


def _cache() -> list[Finding]:
    from ganrun.config.folders import cache_folder, cache_is_off, has_home
    from ganrun.training import device

    if cache_is_off():
        return [Finding("cache", "note", "off ($GANRUN_CACHE): every run compiles again")]
    if (kept := device.programs_folder()) is None:
        why = f"{cache_folder()} cannot be written" if has_home() else "there is no home folder"
        text = f"{why}, so every run compiles again: set GANRUN_CACHE to a folder that can be written"
        return [Finding("cache", "note", text)]
    folder = Path(kept)
    if not folder.is_dir():  # JAX creates the folder of its own variable later, unless it is a remote one
        return [Finding("cache", "note", f"{kept} ($JAX_COMPILATION_CACHE_DIR): nothing in it yet")]
    sizes = [path.stat().st_size for path in folder.iterdir() if path.is_file()]
    return [Finding("cache", "ok", f"{folder}: {len(sizes)} compiled programs, {_size(sum(sizes))}")]


def _datasets() -> list[Finding]:
    """Return what the decoded images of the user's datasets take in the cache."""
    from ganrun.datasets.images.cache import datasets_folder
    from ganrun.datasets.images.cache_size import VARIABLE, maximum

    folder = datasets_folder()
    if not folder.is_dir():
        return []
    kept = [path for path in folder.iterdir() if path.is_dir()]
    size = sum(file.stat().st_size for path in kept for file in path.iterdir())
    most = maximum()
    limit = "without a limit" if most == math.inf else f"at most {_size(most)} are kept"
    text = f"{folder}: decoded images of {len(kept)} datasets, {_size(size)} ({limit}, ${VARIABLE})"
    return [Finding("data", "ok", text)] if kept else []


def _classifiers() -> list[Finding]:
    """Return what the classifiers whose features are used take in the cache."""
    from ganrun.config.folders import cache_folder
    from ganrun.evaluation.features.cached import FOLDER

    folder = cache_folder() / FOLDER
    kept = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    size = sum(file.stat().st_size for path in kept for file in path.iterdir() if file.is_file())
    text = f"{folder}: {len(kept)} classifiers, {_size(size)}; a folder in it that is deleted is trained again"
    return [Finding("data", "ok", text)] if kept else []


def _plugins() -> list[Finding]:
    from ganrun.config.registry import registered_by, without_yaml

    folders = user_plugins.config_folders()  # raises ConfigError if the configs of a plugin cannot be used
    findings = []
    for package in user_plugins.packages():
        source = user_plugins.installed().get(package, "named here")
        registered = registered_by(package)
        state, listed = "ok", ", ".join(registered) or "no options"
        if not registered and package not in folders:
            state, listed = "note", "no options and no folder conf/, so it is no plugin"
        findings.append(Finding("plugins", state, f"{package} ({source}): {listed}"))
        for option in registered:
            group, _, name = option.partition("=")
            if not any((folder / group / f"{name}.yaml").is_file() for folder in folders.values()):
                findings.append(Finding("plugins", "note", without_yaml(group, name)))
    return findings or [Finding("plugins", "ok", "none installed")]


def _data(data_dir: str | None) -> list[Finding]:
    from ganrun.config.folders import data_folder
    from ganrun.config.registry import options

    folder = data_folder(data_dir)
    findings = []
    for name, option in sorted(options("dataset").items()):
        if not hasattr(option, "find"):
            continue
        try:
            files = option().find(folder)
        except GanrunError as error:
            findings.append(Finding("data", "note", f"{name}: {error}"))
            continue
        if name == "digits":
            findings.append(_import("data", "sklearn", "digits: bundled with scikit-learn", "pip install scikit-learn"))
        elif len(files) == 2:
            findings.append(Finding("data", "ok", f"{name}: in {next(iter(files.values())).parent}"))
        else:
            text = f"{name}: not in {folder}; dataset={name} downloads it, or set data_dir or GANRUN_DATA"
            findings.append(Finding("data", "note", text))
    return findings + _datasets() + _classifiers()


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

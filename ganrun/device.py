"""How JAX is set up: quiet, and with compiled programs kept between runs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ganrun.config import cache_folder, cache_is_off, has_home
from ganrun.errors import ConfigError, GanrunError, shown

# Makes XLA read its flags, which ends the process where it does not like them; needs no device, and not all of JAX.
READ_FLAGS = "from jaxlib.xla_client import CompileOptions; CompileOptions()"
M_ARENA_MAX, ARENAS = -8, 2  # glibc's number for the setting, and its value here


def prepare() -> None:
    """Check that JAX can compute, and turn on its compilation cache; call before the first JAX computation.

    Every program is kept, however quick it was to compile: a GAN has several small ones, and compiling them is most
    of a short run's time. What JAX's own environment variables say of the cache is left as it is.

    Raises:
        GanrunError: JAX has no device, or XLA does not take its flags.
    """
    _limit_arenas()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    require_flags()
    require_device()
    import jax

    folder = programs_folder()
    jax.config.update("jax_compilation_cache_dir", folder)
    for name, value in (("min_compile_time_secs", 0), ("min_entry_size_bytes", -1)):
        if folder is not None and f"JAX_PERSISTENT_CACHE_{name.upper()}" not in os.environ:
            jax.config.update(f"jax_persistent_cache_{name}", value)


def programs_folder() -> str | None:
    """Return where compiled programs are kept: ``$JAX_COMPILATION_CACHE_DIR``, else ``xla`` in the cache folder.

    None where they are not kept: ``GANRUN_CACHE=off``, or there is no folder of the user's own that can be written.
    """
    if cache_is_off():
        return None
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return chosen
    if not (has_home() or os.environ.get("GANRUN_CACHE")):  # in a folder for everybody, somebody's program might run
        return None
    folder = cache_folder() / "xla"
    with contextlib.suppress(OSError):  # a read-only home is no reason not to train
        folder.mkdir(parents=True, exist_ok=True)
    return str(folder) if os.access(folder, os.W_OK) else None


def require_device() -> None:
    """Raise :class:`GanrunError`, in one line, where JAX finds no device to compute on."""
    import jax

    try:
        jax.devices()
    except Exception as error:  # whatever JAX or a plugin of its raises: an AssertionError without a word, say
        reason = shown(str(error).partition("\n")[0].partition(" (set JAX_PLATFORMS")[0].strip().rstrip("."))
        told = f" ({reason})" if reason else ""
        if platforms := os.environ.get("JAX_PLATFORMS"):
            raise ConfigError(
                f"JAX_PLATFORMS={shown(platforms)} is set, and JAX has no such device here{told}: "
                "unset it, or set JAX_PLATFORMS=cpu."
            ) from error
        raise GanrunError(
            f"JAX has no device to compute on{told}: install it again with pip install -U jax."
        ) from error


def require_flags() -> None:
    """Raise :class:`ConfigError` where XLA does not take ``$XLA_FLAGS``: it would end the process at once."""
    flags = os.environ.get("XLA_FLAGS", "")
    if flags.strip() and (reason := _refused(flags)):
        raise ConfigError(f"XLA does not take XLA_FLAGS={shown(flags)}: {shown(reason)}.")


@functools.cache
def _refused(flags: str) -> str:
    """Return what XLA says against ``flags``, read by a process of its own; nothing where it takes them."""
    words = [sys.executable, "-P", "-c", READ_FLAGS]
    try:
        child = subprocess.run(
            words, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):  # then XLA will say it itself
        return ""
    told = re.search(r"^[EF]\d+ .*?\] (.+)", child.stderr, re.MULTILINE)
    return told[1].strip().rstrip(".") if child.returncode and told else ""


def _limit_arenas() -> None:
    """Keep memory that is given back in few places, where the C library lets us.

    Its default is eight arenas for each core. Looks allocate in several threads, and what each arena keeps of that made
    a long run look as if it leaked.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def free_bytes() -> int:
    """Return how much memory is free where JAX computes: the accelerator's, or the machine's."""
    import jax

    seen = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in seen:
        return int(seen["bytes_limit"] - seen.get("bytes_in_use", 0))
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def describe() -> dict[str, Any]:
    """Return what computes: ``device`` in words and the ``versions`` of what the numbers depend on."""
    import jax

    devices = jax.devices()
    packages = ("ganrun", "jax", "jaxlib", "flax", "optax", "numpy")
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    kind = devices[0].device_kind
    if kind == "cpu":
        kind = f"cpu, {os.cpu_count()} cores"
    return {"device": f"{len(devices)} x {kind}" if len(devices) > 1 else kind, "versions": versions}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"

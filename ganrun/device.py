"""How JAX is set up: quiet, and with compiled programs kept between runs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from ganrun.config import cache_folder

M_ARENA_MAX, ARENAS = -8, 2  # glibc's number for the setting, and its value here


def prepare() -> None:
    """Turn on the persistent compilation cache; call before the first JAX computation.

    Every program is kept, however quick it was to compile: a GAN has several small ones, and compiling them is most
    of a short run's time. ``GANRUN_CACHE=off`` turns it off.
    """
    _limit_arenas()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    if os.environ.get("GANRUN_CACHE") == "off":
        return
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home is no reason not to train
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


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

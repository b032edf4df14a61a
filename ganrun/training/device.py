"""Sets up JAX, with little logging and a persistent compilation cache, and describes its devices."""

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

from ganrun.config.folders import cache_folder, cache_is_off, has_home
from ganrun.errors import ConfigError, GanrunError, shown
from ganrun.machine.cores import usable_cores
from ganrun.machine.memory import free_host_bytes
from ganrun.storage.compilation_cache import bound

# Makes XLA parse its flags, which aborts the process if they are invalid; needs no device and only part of JAX.
READ_FLAGS = "from jaxlib.xla_client import CompileOptions; CompileOptions()"
DEVICES_FLAG = "xla_force_host_platform_device_count"  # of XLA: the number of virtual devices of a CPU
AMPERE = 8  # compute capability of the first NVIDIA GPUs with units for bfloat16 and TensorFloat-32
M_ARENA_MAX, ARENAS = -8, 2  # glibc's constant for the mallopt parameter, and its value here


def prepare(cpu_devices: int = 1) -> None:
    """Check that JAX can compute, and set its compilation cache and precision; call before the first computation.

    Every program is cached, however quickly it compiled: a GAN has several small ones, and compiling them takes most
    of a short run's time. JAX's own environment variables for the cache take precedence; its size is bounded otherwise.

    Args:
        cpu_devices: number of virtual devices of the CPU, if JAX has not been used yet and the user has set no number.

    Raises:
        GanrunError: JAX has no device, or XLA rejects its flags.
    """
    _limit_arenas()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    require_flags()
    import jax

    if (
        cpu_devices > 1
        and getattr(jax.config, "jax_num_cpu_devices", -1) < 1
        and DEVICES_FLAG not in os.environ.get("XLA_FLAGS", "")
    ):
        with contextlib.suppress(RuntimeError):  # JAX has been used already
            jax.config.update("jax_num_cpu_devices", cpu_devices)
    require_device()

    # By default JAX rounds the operands of products on accelerators. `precision` of a run says where it should.
    jax.config.update("jax_default_matmul_precision", "float32")
    folder = programs_folder()
    if folder is not None and not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        bound(Path(folder))
    jax.config.update("jax_compilation_cache_dir", folder)
    for name, value in (("min_compile_time_secs", 0), ("min_entry_size_bytes", -1)):
        if folder is not None and f"JAX_PERSISTENT_CACHE_{name.upper()}" not in os.environ:
            jax.config.update(f"jax_persistent_cache_{name}", value)


def programs_folder() -> str | None:
    """Return the compilation cache folder: ``$JAX_COMPILATION_CACHE_DIR``, else ``xla`` in ganrun's cache folder.

    None if there is no cache: with ``GANRUN_CACHE=off``, or if the user has no writable folder of their own.
    """
    if cache_is_off():
        return None
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return chosen
    if not (has_home() or os.environ.get("GANRUN_CACHE")):  # in a shared folder, another user could plant a program
        return None
    folder = cache_folder() / "xla"
    with contextlib.suppress(OSError):  # a read-only home does not prevent training
        folder.mkdir(parents=True, exist_ok=True)
    return str(folder) if os.access(folder, os.W_OK) else None


def require_device() -> None:
    """Raise a one-line :class:`GanrunError` if JAX finds no device to compute on."""
    import jax

    try:
        jax.devices()
    except Exception as error:  # JAX and its plugins raise anything, even an AssertionError without a message
        reason = shown(str(error).partition("\n")[0].partition(" (set JAX_PLATFORMS")[0].strip().rstrip("."))
        details = f" ({reason})" if reason else ""
        if platforms := os.environ.get("JAX_PLATFORMS"):
            raise ConfigError(
                f"JAX_PLATFORMS={shown(platforms)} is set, and JAX has no such device here{details}: "
                "unset it, or set JAX_PLATFORMS=cpu."
            ) from error
        raise GanrunError(
            f"JAX has no device to compute on{details}: install it again with pip install -U jax."
        ) from error


def require_flags() -> None:
    """Raise :class:`ConfigError` if XLA rejects ``$XLA_FLAGS``: it would abort the process."""
    flags = os.environ.get("XLA_FLAGS", "")
    if flags.strip() and (reason := _refused(flags)):
        raise ConfigError(f"XLA does not take XLA_FLAGS={shown(flags)}: {shown(reason)}.")


@functools.cache
def _refused(flags: str) -> str:
    """Return XLA's complaint about ``flags``, which a child process parses; an empty string if they are valid."""
    words = [sys.executable, "-P", "-c", READ_FLAGS]
    try:
        child = subprocess.run(
            words, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):  # then XLA itself reports it later
        return ""
    complaint = re.search(r"^[EF]\d+ .*?\] (.+)", child.stderr, re.MULTILINE)
    return complaint[1].strip().rstrip(".") if child.returncode and complaint else ""


def _limit_arenas() -> None:
    """Limit the number of malloc arenas, if the C library supports it.

    glibc's default is eight arenas per core. Snapshots are evaluated in several threads, and the freed memory that each
    arena retains made a long run look as if it leaked.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, or another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def free_bytes() -> int:
    """Return the free memory in bytes: that of the accelerator, or of the machine if JAX computes on the CPU.

    See :func:`ganrun.machine.memory.free_host_bytes`.
    """
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return free_host_bytes()


def precisions(backend: str, capability: str | None = None) -> str:
    """Describe what ``precision=bf16`` and ``tf32`` are on a device, beside ``f32``, which is float32 on all.

    Args:
        backend: JAX's name of the platform: ``cpu``, ``gpu`` or ``tpu``.
        capability: compute capability of an NVIDIA GPU, such as ``8.0``; None if unknown.
    """
    if backend == "cpu":
        return "f32; bf16 rounds as on other devices, but is no faster; tf32 is f32"
    if backend == "tpu":
        return "f32 (6 passes of bfloat16 per product), tf32 (3 passes), bf16 (1 pass)"
    generation = int(capability.partition(".")[0]) if capability and capability[0].isdigit() else None
    if generation is not None and generation < AMPERE:
        return f"f32; this GPU (compute capability {capability}) has no units for bf16, and tf32 is f32"
    return "f32, tf32, bf16" if generation else "f32, bf16; tf32 is f32 unless the GPU has units for it"


def describe() -> dict[str, Any]:
    """Return ``device``, a description of the devices, and the ``versions`` of the packages that results depend on."""
    import jax

    devices = jax.devices()
    packages = ("ganrun", "jax", "jaxlib", "flax", "optax", "numpy")
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    kind = devices[0].device_kind
    if kind == "cpu":
        kind = f"cpu, {usable_cores()} cores"
    return {"device": f"{len(devices)} x {kind}" if len(devices) > 1 else kind, "versions": versions}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"

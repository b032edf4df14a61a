"""``deterministic=true``: on a GPU, the same bits every time that a run is trained or resumed.

Two things can change the bits there. Some operations add in the order in which threads finish: XLA then has to use
others. And XLA times several kernels for each operation and keeps the fastest, which need not be the same one
twice: its choices are kept in the run directory, where a resumed run finds them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from ganrun.storage.run_directory import AUTOTUNING

EXCLUDE, KEEP = "--xla_gpu_exclude_nondeterministic_ops", "--xla_gpu_per_fusion_autotune_cache_dir"
GPU_PLUGIN = re.compile(r"cuda|rocm")


def ask_for(nodes: Iterable[Any], folder: Path) -> None:
    """Add what ``deterministic=true`` needs to ``$XLA_FLAGS``, if one of the plain configs ``nodes`` has it.

    Does nothing where JAX has no plugin for a GPU: on a CPU, the same program gives the same bits, and a TPU has no
    such choices. Flags that the user has set take precedence.

    Args:
        nodes: configs that are not checked yet.
        folder: the run directory, or that of a sweep, whose runs share the choices.
    """
    if any(isinstance(node, Mapping) and node.get("deterministic") is True for node in nodes) and has_gpu_plugin():
        import jax

        os.environ["XLA_FLAGS"] = flags(folder, os.environ.get("XLA_FLAGS", ""))
        # JAX would otherwise set the folder of the choices itself, to one that all runs share.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def flags(folder: Path, given: str = "") -> str:
    """Return the flags ``given`` to XLA with those of a deterministic run in ``folder``, unless they are among them."""
    # A run of a sweep that is resumed alone takes the choices of the sweep.
    place = folder.parent if (folder.parent / AUTOTUNING).is_dir() else folder
    wanted = {EXCLUDE: "true", KEEP: f'"{place.resolve() / AUTOTUNING}"'}
    return " ".join([given, *(f"{flag}={value}" for flag, value in wanted.items() if f"{flag}=" not in given)]).strip()


def has_gpu_plugin() -> bool:
    """Return whether a plugin of JAX for NVIDIA's or AMD's GPUs is installed; does not load it."""
    return any(GPU_PLUGIN.search(plugin.name) for plugin in entry_points(group="jax_plugins"))

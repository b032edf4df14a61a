"""ganrun: a command-line runner of experiments with GANs and other generative models in JAX.

In Python, :func:`load_run` opens what a run has left. Nothing else is public: names in the packages below may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganrun.evaluation.loaded_run import LoadedRun

__all__ = ["load_run"]
__version__ = "0.1.0"


def load_run(path: str, checkpoint: str = "latest", plugins: Sequence[str] = ()) -> LoadedRun:
    """Open a run for a notebook or a script; nothing is written.

    Args:
        path: a run directory, or ``latest``.
        checkpoint: a step, ``latest`` (the latest readable one), or ``best`` (if the run keeps its best).
        plugins: packages of your own options that the run uses, besides the installed ones: ``["my_package"]``. They
            are imported, and stay plugins of this process.

    Returns:
        An object with ``config`` (all settings), ``metrics`` (arrays by tag), ``sample(n, seed)`` and, for methods with
        a density, ``log_density(x)``.

    Raises:
        ganrun.errors.ConfigError: there is no such run, its config is invalid, or a plugin that it uses is neither
            installed nor listed.
    """
    from ganrun.evaluation.loaded_run import open_run  # imports JAX

    return open_run(path, checkpoint, plugins)

"""Features of examples, in which samples and data are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganrun.errors import ConfigError
from ganrun.evaluation.features.base import Extractor
from ganrun.evaluation.features.raw import Raw

if TYPE_CHECKING:
    from ganrun.config.schema import Train

__all__ = ["NAMES", "Extractor", "Raw", "chosen", "extractor"]

NAMES = ("auto", "raw", "classifier", "inception")


def chosen(name: str, dataset: Any) -> str:
    """Return the extractor that ``name`` stands for with ``dataset``, an option or None: ``auto`` is resolved."""
    return "raw" if name == "auto" else name


def extractor(name: str, config: Train | None, data: Any, shape: tuple[int, ...]) -> Extractor:
    """Return the extractor ``name`` for examples of ``shape``.

    Args:
        name: one of :data:`NAMES`.
        config: of the run, if there is one.
        data: its :class:`ganrun.datasets.Data`, if there are.
        shape: of an example.

    Raises:
        ConfigError: there is no such extractor for these data.
    """
    if chosen(name, None if config is None else config.dataset) == "raw":
        return Raw.of(shape)
    raise ConfigError(f"features={name} is not available: use raw or auto.")

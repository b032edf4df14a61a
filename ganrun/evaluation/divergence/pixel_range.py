"""Inference of the value range of a file's pixels, and conversion of pixels to [-1, 1].

Bytes are in [0, 255]; floats are in [-1, 1] if some are negative. Anything else is ambiguous, and since a wrong guess
would shift every pixel, the user has to state the range.
"""

from __future__ import annotations

import numpy as np

from ganrun.errors import ConfigError, exact
from ganrun.evaluation.divergence.distribution import to_unit_range

Range = tuple[float, float]

BYTES: Range = (0.0, 255.0)
SIGNED: Range = (-1.0, 1.0)
SLACK = 1e-3  # tolerance beyond the range for rounding errors, as a fraction of half the range
CHOICES = "'{0}=[0,1]', '{0}=[0,255]' or '{0}=[-1,1]'"


def range_of(pixels: np.ndarray) -> Range | None:
    """Return the value range of the images' ``pixels``; None if it is ambiguous."""
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype == np.uint8:
        return None if high == 1 else BYTES  # zeros and ones may be a binary image
    within = high <= 1 + SLACK
    if -1 - SLACK <= low < 0 and within:
        return SIGNED
    return SIGNED if low >= 1 - SLACK and within else None  # 1 is white in [0, 1] as well


def ambiguous(name: str, pixels: np.ndarray, setting: str) -> ConfigError:
    """Return the error for ambiguous ``pixels`` of the file ``name``; ``setting`` is the key that states the range."""
    low, high = exact(pixels.min()), exact(pixels.max())
    return ConfigError(
        f"{name}: pixels go from {low} to {high}, which leaves their range open (bytes count as [0, 255], floats as "
        f"[-1, 1] where some are negative): write {CHOICES.format(setting)}."
    )


def to_signed(name: str, pixels: np.ndarray, span: Range) -> np.ndarray:
    """Return ``pixels``, whose range is ``span``, as float32 in [-1, 1].

    Raises:
        ConfigError: some lie outside ``span``.
    """
    low, high = span
    tolerance = SLACK * (high - low) / 2
    lowest, highest = pixels.min(), pixels.max()
    if lowest < low - tolerance or highest > high + tolerance:
        raise ConfigError(
            f"{name}: pixels go from {exact(lowest)} to {exact(highest)}, beyond the range {range_text(span)}."
        )
    if span == SIGNED:
        return pixels.astype(np.float32)
    if pixels.dtype == np.uint8 and span == BYTES:  # bit-identical to the scaling of the datasets
        return to_unit_range(pixels)
    return ((pixels.astype(np.float64) - low) * (2 / (high - low)) - 1).astype(np.float32)


def require_range(given: tuple[float, ...] | None, setting: str) -> Range | None:
    """Return ``given`` as a range, or None; raise :class:`ConfigError` if it is not two increasing numbers."""
    if given is None:
        return None
    if len(given) != 2 or not given[0] < given[1]:
        listed = ",".join(map(exact, given))
        raise ConfigError(f"{setting} must be the lowest and the highest a pixel can be, as in [0,1], not [{listed}].")
    return given[0], given[1]


def range_text(span: Range) -> str:
    """Return ``span`` as text."""
    return f"[{exact(span[0])}, {exact(span[1])}]"

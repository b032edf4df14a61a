"""The range that the pixels in a file stand in, as far as their numbers tell, and pixels brought to [-1, 1].

Bytes are [0, 255]. Floats are [-1, 1] where some of them are negative. All else could be this or that, and a wrong
guess would shift every pixel: it has to be said.
"""

from __future__ import annotations

import numpy as np

from ganrun.divergence.side import to_unit_range
from ganrun.errors import ConfigError, exact

Range = tuple[float, float]

BYTES: Range = (0.0, 255.0)
SIGNED: Range = (-1.0, 1.0)
SLACK = 1e-3  # of half the range, beyond it, that rounding may take a pixel
CHOICES = "'{0}=[0,1]', '{0}=[0,255]' or '{0}=[-1,1]'"


def range_of(pixels: np.ndarray) -> Range | None:
    """Return the range that the numbers ``pixels`` of images stand in; None where they do not tell."""
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype == np.uint8:
        return None if high == 1 else BYTES  # zeros and ones may be black and white
    within = high <= 1 + SLACK
    if -1 - SLACK <= low < 0 and within:
        return SIGNED
    return SIGNED if low >= 1 - SLACK and within else None  # 1 is white in [0, 1] as well


def ambiguous(name: str, pixels: np.ndarray, setting: str) -> ConfigError:
    """Return the line for ``pixels`` of the file ``name`` whose range has to be said, as ``setting=[LOW,HIGH]``."""
    low, high = exact(pixels.min()), exact(pixels.max())
    return ConfigError(
        f"{name}: pixels go from {low} to {high}, which leaves their range open (bytes count as [0, 255], floats as "
        f"[-1, 1] where some are negative): write {CHOICES.format(setting)}."
    )


def to_signed(name: str, pixels: np.ndarray, span: Range) -> np.ndarray:
    """Return ``pixels``, of the range ``span``, as float32 in [-1, 1].

    Raises:
        ConfigError: some lie outside ``span``.
    """
    low, high = span
    room = SLACK * (high - low) / 2
    least, most = pixels.min(), pixels.max()
    if least < low - room or most > high + room:
        raise ConfigError(f"{name}: pixels go from {exact(least)} to {exact(most)}, beyond the range {told(span)}.")
    if span == SIGNED:
        return pixels.astype(np.float32)
    if pixels.dtype == np.uint8 and span == BYTES:  # as the data sets themselves are scaled, to the last bit
        return to_unit_range(pixels)
    return ((pixels.astype(np.float64) - low) * (2 / (high - low)) - 1).astype(np.float32)


def require_range(given: tuple[float, ...] | None, setting: str) -> Range | None:
    """Return the two ends that ``given`` holds, or None; raise :class:`ConfigError` where they are no range."""
    if given is None:
        return None
    if len(given) != 2 or not given[0] < given[1]:
        listed = ",".join(map(exact, given))
        raise ConfigError(f"{setting} must be the lowest and the highest a pixel can be, as in [0,1], not [{listed}].")
    return given[0], given[1]


def told(span: Range) -> str:
    """Return ``span`` as one would write it."""
    return f"[{exact(span[0])}, {exact(span[1])}]"

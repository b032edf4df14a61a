"""Reconstruction errors between arrays."""

from __future__ import annotations

import math

import numpy as np


def squared_error(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the mean squared difference over all elements of ``x`` and ``x_hat``, which have the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"{x.shape} and {x_hat.shape} cannot be compared")
    return float(np.mean((np.asarray(x, np.float64) - np.asarray(x_hat, np.float64)) ** 2))


def relative_error(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return MSE / variance: 0 if ``x_hat`` equals ``x``, and 1 if every row of ``x_hat`` is the mean of ``x``.

    The variance is the mean squared difference of the rows of ``x`` ``(n, ...)`` from their mean, over all elements. If
    all rows are equal, it is 0 and the result is NaN.
    """
    error = squared_error(x, x_hat)
    rows = np.asarray(x, np.float64)
    variance = float(np.mean((rows - rows.mean(axis=0)) ** 2))
    return error / variance if variance > 0 else math.nan


def latent_error(z: np.ndarray, z_hat: np.ndarray) -> float:
    """Return MSE / var(z) of latents ``z_hat`` ``(n, latent_dim)`` inferred from G(z): 0 if an encoder inverts G."""
    return relative_error(z, z_hat)


def psnr(error: float) -> float:
    """Return the peak signal-to-noise ratio in dB of images in [-1, 1] with a mean squared ``error``.

    Formula: 10 log10(peak^2 / MSE), with a peak of 2, the width of the range.
    """
    return 10.0 * math.log10(4.0 / error) if error > 0 else math.inf


def in_words(inputs: np.ndarray, reconstructions: np.ndarray) -> str:
    """Return one line with the errors that are defined: PSNR for images, the relative error for several examples."""
    error = squared_error(inputs, reconstructions)
    relative = relative_error(inputs, reconstructions)
    over = "" if math.isnan(relative) else f", over the examples' variance {relative:.3g}"
    ratio = f", PSNR {psnr(error):.1f} dB" if inputs.ndim == 4 else ""
    return f"mean squared error {error:.3g}{over}{ratio}"

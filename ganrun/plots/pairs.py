"""Plots of examples next to their reconstructions, and animations of paths through the latent space."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ganrun.datasets.sampler import to_bytes
from ganrun.datasets.synthetic import Mixture
from ganrun.plots import pictures

ENLARGED = 256  # approximate size in pixels to which small frames are enlarged
MILLISECONDS = 50  # duration of a frame


def pairs(inputs: np.ndarray, reconstructions: np.ndarray) -> bytes:
    """Return a PNG of ``inputs`` and their ``reconstructions``.

    Images are shown above their reconstructions, points of the plane joined to them, and points of the line in a
    scatter plot of reconstruction against input.

    Args:
        inputs: ``(n, height, width, channel)`` in [-1, 1], ``(n, 2)`` or ``(n, 1)``.
        reconstructions: of the same shape.
    """
    if inputs.ndim == 4:
        return pictures.grid(np.concatenate([inputs, reconstructions], axis=1))
    figure = Figure(figsize=(5, 5), dpi=100)
    axes = figure.add_axes((0.13, 0.12, 0.82, 0.78))
    if inputs.shape[1] == 1:
        axes.plot(inputs[:, 0], inputs[:, 0], color="grey", linewidth=0.8)
        axes.scatter(inputs[:, 0], reconstructions[:, 0], s=8, color="tab:green")
        axes.set(xlabel="x", ylabel="G(z)", title="reconstructions; grey: where G(z) = x")
        return pictures.to_png(figure)
    joined = np.stack([inputs, reconstructions])
    axes.plot(joined[..., 0], joined[..., 1], color="grey", linewidth=0.5)
    axes.scatter(inputs[:, 0], inputs[:, 1], s=12, facecolors="none", edgecolors="black", label="x")
    axes.scatter(reconstructions[:, 0], reconstructions[:, 1], s=6, color="tab:green", label="G(z)")
    figure.legend(loc="upper right", ncols=2, frameon=False)
    return pictures.to_png(figure)


def animation(samples: np.ndarray, density: Mixture | None, format: str = "GIF") -> bytes:
    """Return a looping animation of ``samples`` ``(frames, *shape)``: one image per frame, or one more point per frame.

    ``format`` is ``GIF`` or ``WEBP``.
    """
    if density is None:
        frames = [pictures.enlarged(frame, ENLARGED) for frame in to_bytes(samples)]
    else:
        drawn = (pictures.draw(samples[: i + 1], density, np.zeros(0)) for i in range(len(samples)))
        frames = [Image.open(io.BytesIO(png)).convert("RGB") for png in drawn]
    file = io.BytesIO()
    frames[0].save(file, format, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0)
    return file.getvalue()

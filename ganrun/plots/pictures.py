"""Plots of generated samples: a grid of images, points over a density, or densities on the line."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ganrun.datasets.sampler import to_bytes
from ganrun.datasets.synthetic import Mixture

POINTS = 2000  # points shown by default in the plane: more would hide the density below them
PLANE = 96  # points per axis at which D is evaluated in the plane
LINE = 400  # points at which D is evaluated on the line
NO_LADDER = np.zeros((0, 2))
MARGIN = 2  # pixels between the images of a grid
GROUND = 32  # grey level of the background


def view(density: Mixture) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper corner of the region that a plot of ``density`` shows."""
    means, radii = np.asarray(density.means, np.float64), 4.0 * np.asarray(density.stds, np.float64)[:, None]
    low, high = (means - radii).min(axis=0), (means + radii).max(axis=0)
    margin = 0.15 * (high - low)
    return low - margin, high + margin


def points(density: Mixture | None) -> np.ndarray:
    """Return the points ``(n, dim)`` at which a plot needs the discriminator's logits; none for images."""
    if density is None:
        return np.zeros((0, 1), np.float32)
    low, high = view(density)
    if len(low) == 1:
        return np.linspace(low, high, LINE).astype(np.float32)
    axes = [np.linspace(low[i], high[i], PLANE) for i in range(2)]
    return np.stack(np.meshgrid(*axes, indexing="xy"), axis=-1).reshape(-1, 2).astype(np.float32)


def grid(images: np.ndarray) -> bytes:
    """Return a PNG with ``images`` ``(n, height, width, channel)`` in [-1, 1] on a square grid, small ones enlarged."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    pixels = np.full((rows * columns, *images.shape[1:]), GROUND, np.uint8)
    pixels[: len(images)] = to_bytes(images)
    return _sheet(pixels.reshape(rows, columns, *images.shape[1:]))


def table(images: np.ndarray) -> bytes:
    """Return a PNG with ``images`` ``(rows, columns, height, width, channel)`` in [-1, 1] in rows and columns."""
    return _sheet(to_bytes(images))


def _sheet(pixels: np.ndarray) -> bytes:
    """Return a PNG of uint8 images ``(rows, columns, height, width, channel)``, with a margin around each."""
    rows, columns, height, width, channel = pixels.shape
    down, right = height + MARGIN, width + MARGIN
    sheet = np.full((rows, down, columns, right, channel), GROUND, np.uint8)
    sheet[:, :height, :, :width] = pixels.transpose(0, 2, 1, 3, 4)
    before = ((MARGIN, 0), (MARGIN, 0), (0, 0))
    whole = np.pad(sheet.reshape(rows * down, columns * right, channel), before, constant_values=GROUND)
    file = io.BytesIO()
    enlarged(whole, 500).save(file, "PNG")
    return file.getvalue()


def enlarged(pixels: np.ndarray, size: int) -> Image.Image:
    """Return uint8 ``pixels`` ``(height, width, channel)`` as an image, enlarged by a whole factor up to ``size``.

    Of images with other than 1 or 3 channels, the first three are shown as colours, or the first of two as grey.
    """
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] < 3 else np.ascontiguousarray(pixels[..., :3]))
    zoom = max(1, size // max(picture.size))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def plane(samples: np.ndarray, density: Mixture, field: np.ndarray, title: str = "", label: str = "D(x)") -> bytes:
    """Return a PNG of ``samples`` ``(n, 2)`` over the data's density, with contours of D unless ``field`` is empty.

    ``field`` holds D's logits at :func:`points`, and ``label`` is their label.
    """
    low, high = view(density)
    # Positions are fixed, here and for the line: matplotlib's automatic layout takes longer than drawing.
    figure = Figure(figsize=(5, 5), dpi=100)
    axes = figure.add_axes((0.1, 0.12, 0.73, 0.73))
    extent = (low[0], high[0], low[1], high[1])
    log_p = density.log_density(points(density)).reshape(PLANE, PLANE)
    axes.imshow(log_p, origin="lower", extent=extent, cmap="Greys", vmin=log_p.max() - 200, vmax=log_p.max() + 200)
    if field.size:
        probability = 1.0 / (1.0 + np.exp(-np.clip(field, -50, 50).reshape(PLANE, PLANE)))
        shown = axes.contour(
            probability, levels=np.arange(0.1, 1.0, 0.1), extent=extent, cmap="coolwarm", linewidths=0.8, vmin=0, vmax=1
        )
        figure.colorbar(shown, cax=figure.add_axes((0.86, 0.2, 0.025, 0.57)), label=label)
    axes.scatter(samples[:, 0], samples[:, 1], s=4, color="tab:green", alpha=0.6, linewidths=0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title=title)
    return to_png(figure)


def line(
    samples: np.ndarray,
    density: Mixture,
    field: np.ndarray,
    title: str = "",
    ladder: np.ndarray = NO_LADDER,
    label: str = "D(x)",
) -> bytes:
    """Return a PNG in the style of Goodfellow et al. 2014, figure 1: data density, model density and D on the line.

    Args:
        samples: samples of the model, ``(n, 1)``; their histogram is the model's density.
        density: the density of the data.
        field: D's logits at :func:`points`; empty to leave out D.
        title: the title of the plot.
        ladder: pairs (z, G(z)), ``(rungs, 2)``, drawn below as arrows from the noise to the data; empty for none.
        label: the label of D.
    """
    low, high = view(density)
    x = points(density)
    figure = Figure(figsize=(6, 4.8 if len(ladder) else 4), dpi=100)
    figure.subplots_adjust(left=0.12, right=0.9, top=0.86, bottom=0.12, hspace=0.1)
    if len(ladder):
        axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        _arrows(below, ladder, (float(low[0]), float(high[0])))
    else:
        axes = figure.add_subplot()
    axes.plot(x[:, 0], np.exp(density.log_density(x)), "k:", label="data density")
    heights, edges = np.histogram(samples[:, 0], bins=120, range=(low[0], high[0]))
    model = heights / (len(samples) * np.diff(edges))
    axes.stairs(model, edges, color="tab:green", label="model density")
    axes.set(xlabel="" if len(ladder) else "x", ylabel="density", xlim=(low[0], high[0]), title=title)
    if field.size:
        right = axes.twinx()
        right.plot(x[:, 0], 1.0 / (1.0 + np.exp(-np.clip(field, -50, 50))), "b--", label=label)
        right.axhline(0.5, color="b", linewidth=0.5, alpha=0.4)
        right.set(ylim=(0, 1), ylabel=label)
    figure.legend(loc="upper right", ncols=3, frameon=False)
    return to_png(figure)


def _arrows(axes: Axes, ladder: np.ndarray, span: tuple[float, float]) -> None:
    """Draw z on a line below, G(z) on a line above, and arrows between them; z is scaled to the width of the plot."""
    z, x = ladder[:, 0], ladder[:, 1]
    middle, half = sum(span) / 2, (span[1] - span[0]) / 2
    start = middle + 0.9 * half * z / np.abs(z).max()
    axes.plot([start, x], [np.zeros_like(z), np.ones_like(x)], color="tab:green", linewidth=0.6)
    axes.plot(x, np.ones_like(x), linestyle="", marker="^", markersize=3, color="tab:green")
    axes.set(ylim=(0, 1.1), yticks=[0, 1], yticklabels=["z", "x = G(z)"], xlabel="x")


def bare(samples: np.ndarray, title: str = "") -> bytes:
    """Return a PNG of ``samples`` without a density: a histogram for ``(n, 1)``, points for ``(n, 2)``."""
    figure = Figure(figsize=(5, 4), dpi=100)
    axes = figure.add_axes((0.13, 0.12, 0.82, 0.76))
    if samples.shape[1] == 1:
        axes.hist(samples[:, 0], bins=60, color="tab:green")
        axes.set(xlabel="x", ylabel="samples", title=title)
    else:
        axes.scatter(samples[:, 0], samples[:, 1], s=4, color="tab:green", alpha=0.6, linewidths=0)
        axes.set(title=title)
    return to_png(figure)


def draw(
    samples: np.ndarray,
    density: Mixture | None,
    field: np.ndarray,
    title: str = "",
    ladder: np.ndarray = NO_LADDER,
    label: str = "D(x)",
    maximum: int = POINTS,
) -> bytes:
    """Return the PNG for the kind of data: images, points in the plane (at most ``maximum``), or the line."""
    if density is None:
        return grid(samples) if samples.ndim == 4 else bare(samples, title)
    if samples.shape[1] == 1:
        return line(samples, density, field, title, ladder, label)
    return plane(samples[:maximum], density, field, title, label)


def to_png(figure: Figure) -> bytes:
    """Return ``figure`` as a PNG."""
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()

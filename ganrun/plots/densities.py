"""Plots of p_data, p_g, the optimal discriminator and the learned one, for data with a known density.

Goodfellow et al. 2014, proposition 1: D*(x) = p_data(x) / (p_data(x) + p_g(x)). Both densities are given by the masses
of the plot's cells, so D* here is the optimal discriminator at the plot's resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganrun.datasets.cells import cell_masses
from ganrun.datasets.synthetic import Mixture
from ganrun.plots import pictures

NOWHERE = 5.0  # D* is not shown in cells where both masses are below that of this many samples: it would be noise
DECADES = 4  # range of the density shown in the plane, in decades
PANELS = {"left": 0.06, "right": 0.88, "bottom": 0.05, "top": 0.91, "wspace": 0.06, "hspace": 0.12}
BESIDE = ((0.9, 0.52, 0.02, 0.36), (0.9, 0.08, 0.02, 0.36))  # left, bottom, width and height of the colour bars


def densities(samples: np.ndarray, density: Mixture, field: np.ndarray, title: str = "", label: str = "D(x)") -> bytes:
    """Return a PNG of p_data, p_g, D* and the learned D, if there is one.

    Args:
        samples: samples of the model, ``(n, 1)`` or ``(n, 2)``; the more, the smoother the plot.
        density: the density of the data.
        field: the discriminator's logits at :func:`ganrun.plots.pictures.points` of ``density``; empty if there is no
            discriminator, or none of single points.
        title: the title of the plot.
        label: the label of the learned discriminator.
    """
    points = pictures.points(density)
    axes = [np.unique(points[:, i]).astype(np.float64) for i in range(points.shape[1])]
    edges = [_around(axis) for axis in axes]
    data = cell_masses(density, edges)
    model = np.histogramdd(samples, bins=edges)[0] / len(samples)
    populated = np.maximum(data, model) > NOWHERE / len(samples)
    best = np.where(populated, data / np.maximum(data + model, 1e-300), np.nan)
    learned = 1.0 / (1.0 + np.exp(-np.clip(field, -50, 50))) if field.size else None
    if learned is not None and len(edges) == 2:
        learned = learned.reshape(len(axes[1]), len(axes[0])).T
    drawn = _Cells(axes, edges, data, model, best, learned)
    return pictures.to_png((_line if len(edges) == 1 else _plane)(drawn, title, f"learned {label}"))


@dataclass(frozen=True)
class _Cells:
    """Masses and probabilities in the cells of the plot, with one array axis per dimension of the data.

    ``learned`` is None without a learned discriminator.
    """

    axes: list[np.ndarray]
    edges: list[np.ndarray]
    data: np.ndarray
    model: np.ndarray
    best: np.ndarray
    learned: np.ndarray | None


def _around(centres: np.ndarray) -> np.ndarray:
    """Return the edges of cells with evenly spaced ``centres``."""
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    return np.concatenate([centres - step / 2, [centres[-1] + step / 2]])


def _line(cells: _Cells, title: str, learned: str) -> Figure:
    (x,), (edges,) = cells.axes, cells.edges
    figure = Figure(figsize=(6, 5), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    width = edges[1] - edges[0]
    above.plot(x, cells.data / width, "k:", label="p_data")
    above.stairs(cells.model / width, edges, color="tab:green", label="p_g")
    above.set(ylabel="density", title=title, xlim=(edges[0], edges[-1]))
    above.legend(frameon=False)
    below.plot(x, cells.best, color="tab:red", label="optimal D*")
    if cells.learned is not None:
        below.plot(x, cells.learned, "b--", label=learned)
    below.axhline(0.5, color="b", linewidth=0.5, alpha=0.4)
    below.set(xlabel="x", ylabel="D(x)", ylim=(0, 1))
    below.legend(frameon=False)
    return figure


def _plane(cells: _Cells, title: str, learned: str) -> Figure:
    # Positions are fixed: matplotlib's automatic layout takes longer than drawing.
    figure = Figure(figsize=(8, 7.4), dpi=100)
    panels = figure.subplots(2, 2, sharex=True, sharey=True, gridspec_kw=PANELS)
    area = float(np.prod([edge[1] - edge[0] for edge in cells.edges]))
    top = np.log10(max(cells.data.max(), cells.model.max()) / area)
    for axes, masses, name in zip(panels[0], (cells.data, cells.model), ("p_data", "p_g"), strict=True):
        height = np.log10(np.maximum(masses / area, 1e-300))
        height = np.where(height > top - DECADES, height, np.nan)
        shown = _show(axes, height, cells.edges, "viridis", (top - DECADES, top), name)
    figure.colorbar(shown, cax=figure.add_axes(BESIDE[0]), label="log10 density")
    shown = _show(panels[1, 0], cells.best, cells.edges, "RdBu_r", (0.0, 1.0), "optimal D*")
    if cells.learned is None:
        panels[1, 1].set_axis_off()
    else:
        _show(panels[1, 1], cells.learned, cells.edges, "RdBu_r", (0.0, 1.0), learned)
    figure.colorbar(shown, cax=figure.add_axes(BESIDE[1]), label="probability of data")
    figure.suptitle(title)
    return figure


def _show(
    axes: Axes, values: np.ndarray, edges: list[np.ndarray], colours: str, limits: tuple[float, float], name: str
):  # type: ignore[no-untyped-def]
    extent = (edges[0][0], edges[0][-1], edges[1][0], edges[1][-1])
    axes.set_title(name)
    axes.set_facecolor("0.9")
    return axes.imshow(values.T, origin="lower", extent=extent, cmap=colours, vmin=limits[0], vmax=limits[1])

"""Plots of the plane of a two-dimensional latent."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from ganrun.plots import pictures

NAMED = 20  # maximum number of classes in a legend


def points_of_classes(latents: np.ndarray, labels: np.ndarray | None) -> bytes:
    """Return a PNG of ``latents`` ``(n, 2)``, coloured by their ``labels`` ``(n,)`` unless these are None."""
    figure = Figure(figsize=(5.6, 5), dpi=100)
    axes = figure.add_axes((0.11, 0.1, 0.74, 0.84))
    if labels is None:
        axes.scatter(latents[:, 0], latents[:, 1], s=4, alpha=0.6, linewidths=0, color="tab:green")
    else:
        classes = np.unique(labels)
        for label, color in zip(classes, colormaps["turbo"](np.linspace(0.05, 0.95, len(classes))), strict=True):
            x, y = latents[labels == label].T
            axes.scatter(x, y, s=4, alpha=0.7, linewidths=0, color=color, label=str(label))
        if len(classes) <= NAMED:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=3, fontsize=8, frameon=False)
    axes.set(xlabel="first latent", ylabel="second latent", title="latents of held-out examples", aspect="equal")
    return pictures.to_png(figure)

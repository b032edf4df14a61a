"""The comparison as a picture: each metric along training, the mean of a group with the band of its interval."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganrun.comparison.runs import Group
from ganrun.comparison.statistics import mean_interval
from ganrun.writers.pictures import to_png

COLUMNS = 3
LETTERS = 50  # of a legend beneath one panel
DECADES = 100  # between the lowest and the highest mean: too much for a plain axis
NAMED = 10  # groups that a legend can name


def curves(groups: list[Group], metrics: list[str], level: float = 0.95) -> bytes:
    """Return a PNG with a panel for each of ``metrics`` and a curve for each of ``groups``."""
    columns = min(COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(4.5 * columns, 3.2 * rows + 0.6), dpi=110, layout="constrained")
    with rc_context({"text.parse_math": False}):  # a tag or a setting that holds a $ is no formula
        _draw(figure, groups, metrics, level, rows, columns)
    return to_png(figure)


def _draw(figure: Figure, groups: list[Group], metrics: list[str], level: float, rows: int, columns: int) -> None:
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, tag in zip(panels, metrics, strict=False):
        for one in groups:
            _curve(axes, one, tag, level)
        axes.set(xlabel="step", title=tag)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        means = np.concatenate([line.get_ydata() for line in axes.lines])  # type: ignore[arg-type]
        if means.size and 0 < means.min() < means.max() / DECADES:
            axes.set_yscale("log")
        axes.grid(alpha=0.2)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    if 1 < len(labels) <= NAMED:
        beside = max(1, LETTERS * columns // (max(map(len, labels)) + 8))
        figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=beside)


def _curve(axes: Axes, one: Group, tag: str, level: float) -> None:
    found: dict[int, list[float]] = {}
    for run in one.runs:
        if run.failed:
            continue
        for step, value in zip(*run.curve(tag), strict=True):
            if math.isfinite(value):
                found.setdefault(step, []).append(value)
    steps = sorted(found)
    cells = [mean_interval(np.array(found[step]), level) for step in steps]
    (line,) = axes.plot(steps, [cell.value for cell in cells], label=one.label, linewidth=1.4)
    low, high = ([getattr(cell, end) for cell in cells] for end in ("low", "high"))
    axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.18, linewidth=0)

"""The comparison as a picture: each metric during training, as the mean of each group with its confidence band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean as mean
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganrun.comparison.groups import Group
from ganrun.comparison.statistics import intervals
from ganrun.evaluation.metrics.spec import bounds
from ganrun.plots.pictures import to_png

COLUMNS = 3
LETTERS = 50  # characters of a legend's row per panel
DECADES = 100  # minimum ratio of the largest and the smallest mean for a logarithmic axis
BAND_STEPS = 400  # maximum number of steps at which a band is computed: a panel has no more pixels
AT_ONCE = 100  # steps per call: the bootstrap keeps all its resamples in memory
NAMED = 10  # maximum number of groups in a legend


def curves(groups: list[Group], metrics: list[str], level: float = 0.95, interval: str = "student") -> bytes:
    """Return a PNG with a panel per metric and a curve per group, over the runs that count.

    Args:
        groups: to be drawn, a curve each.
        metrics: tags, a panel each.
        level: confidence level of the bands.
        interval: method for the bands: student or bootstrap.
    """
    columns = min(COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = Figure(figsize=(4.5 * columns, 3.2 * rows + 0.6), dpi=110, layout="constrained")
    with rc_context({"text.parse_math": False}):  # a $ in a tag or a setting starts no formula
        _draw(figure, groups, metrics, Band(level, interval), rows, columns)
    return to_png(figure)


@dataclass(frozen=True)
class Band:
    """The confidence band of a curve."""

    level: float
    interval: str

    def ends(self, samples: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends of the intervals of the means of ``samples``; NaN where there are none."""
        low, high = np.full((2, len(samples)), math.nan)
        for n in {len(values) for values in samples}:
            same = [i for i, values in enumerate(samples) if len(values) == n]
            for start in range(0, len(same), AT_ONCE):
                part = same[start : start + AT_ONCE]
                table = np.array([samples[i] for i in part]).T
                low[part], high[part] = intervals(table, self.level, self.interval)
        return low, high


def _draw(figure: Figure, groups: list[Group], metrics: list[str], band: Band, rows: int, columns: int) -> None:
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, tag in zip(panels, metrics, strict=False):
        draw_panel(axes, groups, tag, band)
        axes.set_title(tag)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    if 1 < len(labels) <= NAMED:
        columns_of_legend = max(1, LETTERS * columns // (max(map(len, labels)) + 8))
        figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=columns_of_legend)


def draw_panel(axes: Axes, groups: list[Group], tag: str, band: Band, colors: Sequence[Any] = ()) -> None:
    """Draw the curve of ``tag`` for each of ``groups`` with its band; ``colors``: one each, by default matplotlib's."""
    for i, group in enumerate(groups):
        _curve(axes, group, tag, band, colors[i] if colors else None)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    means = np.concatenate([line.get_ydata() for line in axes.lines])  # type: ignore[arg-type]
    if means.size and 0 < means.min() < means.max() / DECADES:
        axes.set_yscale("log")
    axes.grid(alpha=0.2)


def _curve(axes: Axes, group: Group, tag: str, band: Band, color: Any) -> None:
    values_by_step: dict[int, list[float]] = {}
    for run in group.counted:
        for step, value in zip(*run.curve(tag), strict=True):
            if math.isfinite(value):
                values_by_step.setdefault(step, []).append(value)
    steps = sorted(values_by_step)
    means = [mean(values_by_step[step]) for step in steps]
    marker = "o" if len(steps) == 1 else ""  # a line of one point is invisible
    (line,) = axes.plot(steps, means, label=group.label, linewidth=1.4, color=color, marker=marker)
    steps = steps[:: max(1, len(steps) // BAND_STEPS)]
    low, high = np.clip(band.ends([values_by_step[step] for step in steps]), *bounds(tag))
    axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.18, linewidth=0)

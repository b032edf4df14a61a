"""Curves of the metrics as SVG that takes its text colour from the page."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ganrun.comparison.curves import Band, draw_panel
from ganrun.comparison.groups import Group

INK = "#010203"  # stands for the text colour of the page, and occurs nowhere else
WIDTH, HEIGHT = 6.4, 3.4  # inches
POINTS_PER_INCH = 72  # units of the SVG
LEFT, BOTTOM, RIGHT, TOP = 0.11, 0.15, 0.985, 0.96  # of the axes, as fractions of the figure
READ = 150  # maximum number of points of a curve that the page can show as numbers


@dataclass(frozen=True)
class Chart:
    """The curves of a metric.

    Attributes:
        tag: of the metric.
        meaning: what it is; may be empty.
        svg: the picture.
        data: what a script needs to show values: the axes and the points of the curves.
    """

    tag: str
    meaning: str
    svg: str
    data: dict[str, Any]


def group_colors(n: int) -> list[str]:
    """Return ``n`` distinct colours, which are readable on white and on black."""
    if n <= 10:
        return [to_hex(color) for color in colormaps["tab10"].colors[:n]]  # type: ignore[attr-defined]
    return [to_hex(color) for color in colormaps["turbo"](np.linspace(0.08, 0.92, n))]


def chart(groups: list[Group], tag: str, meaning: str, level: float, interval: str) -> Chart:
    """Return the chart of ``tag``: the mean of each of ``groups`` over the runs that count, with its confidence band.

    Args:
        groups: a curve each.
        tag: of the metric.
        meaning: what it is.
        level: confidence level of the bands.
        interval: method for the bands: student or bootstrap.
    """
    colors = group_colors(len(groups))
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": tag,
        "text.parse_math": False,
        "font.family": "sans-serif",
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    }
    with rc_context(style):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=POINTS_PER_INCH)
        axes = figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))
        axes.patch.set_alpha(0.0)
        draw_panel(axes, groups, tag, Band(level, interval), colors)
        axes.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        svg = file.getvalue()
        data = {
            "box": [LEFT * WIDTH, (1 - TOP) * HEIGHT, RIGHT * WIDTH, (1 - BOTTOM) * HEIGHT],
            "size": [WIDTH, HEIGHT],
            "x": list(axes.get_xlim()),
            "y": list(axes.get_ylim()),
            "log": axes.get_yscale() == "log",
            "curves": [
                _points(line.get_xdata(), line.get_ydata()) | {"group": i}  # type: ignore[arg-type]
                for i, line in enumerate(axes.lines)
            ],
        }
    return Chart(tag, meaning, _for_page(svg), data)


def _points(x: Any, y: Any) -> dict[str, list[float]]:
    """Return at most :data:`READ` of the points of a curve, the first and the last included."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(READ, len(x))).round().astype(int)) if len(x) else []
    return {"steps": [int(x[i]) for i in chosen], "values": [_rounded(float(y[i])) for i in chosen]}


def _rounded(value: float) -> float:
    return float(f"{value:.5g}") if math.isfinite(value) else 0.0


def _for_page(svg: str) -> str:
    """Return only the element ``svg``, as wide as its place, with the text colour of the page."""
    element = svg[svg.index("<svg") :]
    head, rest = element.split(">", 1)
    words = [word for word in ('width="', 'height="') if word in head]
    for word in words:
        start = head.index(word)
        head = head[:start] + head[head.index('"', start + len(word)) + 1 :]
    return f'{head} role="img">{rest}'.replace(INK, "currentColor")

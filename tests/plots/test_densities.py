"""The picture of the game where densities are known: what is drawn, where, and the right way round."""

import io
import re

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image
from scipy.stats import norm

from ganrun.datasets.synthetic import Gaussian, Mixture1d, mixture
from ganrun.methods.gan.option import GanOption
from ganrun.plots import pictures
from ganrun.plots.densities import densities
from ganrun.plots.pictures import LINE, PLANE, points
from ganrun.writers.tensorboard import DIVERGENCES, _patterns

HUMP = Gaussian().density()
# Nothing in it looks the same when it is mirrored or turned.
LOPSIDED = mixture(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([0.3, 0.6]), np.array([0.8, 0.2]))
N = 1 << 17


def drawn(density, n, seed=0):
    """Samples of ``density`` from numpy: independent of the code under test."""
    rng = np.random.default_rng(seed)
    means, stds, weights = (np.asarray(part, np.float64) for part in (density.means, density.stds, density.weights))
    mode = rng.choice(len(means), size=n, p=weights / weights.sum())
    return means[mode] + stds[mode, None] * rng.normal(size=(n, means.shape[1]))


def size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return picture.size


class Panel:
    """What was given to ``imshow``: find a value by where it is drawn."""

    def __init__(self, values, origin="upper", extent=(), **_):
        assert origin == "lower"
        self.values, self.extent = np.ma.filled(np.ma.asarray(values, float), np.nan), extent

    def at(self, x, y):
        left, right, bottom, top = self.extent
        rows, columns = self.values.shape
        return self.values[int((y - bottom) / (top - bottom) * rows), int((x - left) / (right - left) * columns)]

    def centres(self):
        """The coordinates of every value, two arrays of the shape of ``values``."""
        left, right, bottom, top = self.extent
        rows, columns = self.values.shape
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        y = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
        return np.meshgrid(x, y, indexing="xy")


@pytest.fixture
def panels(monkeypatch):
    """The panels of the plane by title, as they are drawn."""
    found = {}
    imshow = Axes.imshow

    def noted(axes, values, **style):
        found[axes.get_title()] = Panel(values, **style)
        return imshow(axes, values, **style)

    monkeypatch.setattr(Axes, "imshow", noted)
    return found


@pytest.fixture
def curves(monkeypatch):
    """The curves of the line by label: ``(x, y)``; stairs are ``(edges, heights)``."""
    found = {}
    plot, stairs = Axes.plot, Axes.stairs

    def plotted(axes, x, y, *style, **more):
        found[more.get("label")] = (np.asarray(x), np.asarray(y))
        return plot(axes, x, y, *style, **more)

    def stepped(axes, heights, edges, **more):
        found[more.get("label")] = (np.asarray(edges), np.asarray(heights))
        return stairs(axes, heights, edges, **more)

    monkeypatch.setattr(Axes, "plot", plotted)
    monkeypatch.setattr(Axes, "stairs", stepped)
    return found


# The line


def test_the_line_is_one_picture_of_two_rows():
    assert size(densities(drawn(HUMP, 2000), HUMP, np.zeros(LINE), "step 5")) == (600, 500)


def test_on_the_line_a_perfect_model_leaves_nothing_to_tell(curves):
    densities(drawn(HUMP, N), HUMP, np.zeros(LINE))
    x, best = curves["optimal D*"]
    heavy = np.abs(x) < 2
    assert np.abs(best[heavy] - 0.5).max() < 0.06 and abs(best[heavy].mean() - 0.5) < 0.003
    assert curves["learned D(x)"][1] == pytest.approx(0.5)


def test_on_the_line_the_best_discriminator_is_p_over_p_plus_q(curves):
    model = np.random.default_rng(1).normal(0.5, 1.5, size=(8 * N, 1))
    densities(model, HUMP, np.zeros(LINE))
    x, best = curves["optimal D*"]
    p, q = norm.pdf(x), norm.pdf(x, 0.5, 1.5)
    heavy = p + q > 0.02
    assert heavy.sum() > 200
    assert best[heavy] == pytest.approx((p / (p + q))[heavy], abs=0.03)
    # Both densities are densities: they have the right height.
    assert curves["p_data"][1][heavy] == pytest.approx(p[heavy], rel=1e-3)
    edges, heights = curves["p_g"]
    assert len(edges) == len(heights) + 1 == LINE + 1
    assert heights[heavy] == pytest.approx(q[heavy], rel=0.25)
    assert np.sum(heights * np.diff(edges)) == pytest.approx(
        np.mean((model > edges[0]) & (model < edges[-1])), abs=1e-4
    )


def test_on_the_line_data_alone_is_told_for_sure_and_nothing_is_said_of_nowhere(curves):
    density = Mixture1d(means=(-3.0, 3.0), stds=(0.1, 0.1), weights=(0.5, 0.5)).density()
    densities(np.full((10_000, 1), 3.0), density, np.zeros(LINE))
    x, best = curves["optimal D*"]
    assert best[np.abs(x + 3) < 0.2] == pytest.approx(1.0)
    assert best[np.abs(x - 3).argmin()] < 0.5  # all of the model's mass lies in this one cell
    assert np.isnan(best[np.abs(x) < 1]).all()


def test_on_the_line_what_was_learned_is_drawn_where_it_was_asked(curves):
    x = points(HUMP)[:, 0]
    densities(drawn(HUMP, 2000), HUMP, 3.0 * x, label="D(x), calibrated")
    at, learned = curves["learned D(x), calibrated"]
    assert at == pytest.approx(x) and learned == pytest.approx(1 / (1 + np.exp(-3.0 * x)), abs=1e-6)


def test_samples_far_outside_of_the_picture_are_no_mass_in_it(curves):
    far = np.full((5000, 1), 1e6)
    densities(far, HUMP, np.full(LINE, 1e6))
    assert not curves["p_g"][1].any()
    x, best = curves["optimal D*"]
    assert best[np.abs(x) < 2] == pytest.approx(1.0)


# The plane


def test_the_plane_is_one_picture_of_four_panels(panels):
    assert size(densities(drawn(LOPSIDED, 2000), LOPSIDED, np.zeros(PLANE**2), "step 5", "D")) == (800, 740)
    assert list(panels) == ["p_data", "p_g", "optimal D*", "learned D"]


def test_in_the_plane_a_perfect_model_leaves_nothing_to_tell(panels):
    densities(drawn(LOPSIDED, 4 * N), LOPSIDED, np.zeros(PLANE**2))
    best = panels["optimal D*"]
    for x, y in ((2.0, 0.0), (2.3, 0.0), (2.0, -0.3), (0.0, 3.0)):
        assert best.at(x, y) == pytest.approx(0.5, abs=0.05)
    assert panels["learned D(x)"].values == pytest.approx(0.5)


def test_in_the_plane_mass_lies_where_it_is(panels):
    model = np.random.default_rng(1).normal(size=(N, 2)) * 0.3 + np.array([2.0, 0.0])  # it dropped the upper mode
    densities(model, LOPSIDED, np.zeros(PLANE**2))
    data, made, best = (panels[name] for name in ("p_data", "p_g", "optimal D*"))
    for centre, std, weight in (((2.0, 0.0), 0.3, 0.8), ((0.0, 3.0), 0.6, 0.2)):
        peak = np.log10(weight / (2 * np.pi * std**2))
        assert data.at(*centre) == pytest.approx(peak, abs=0.06)
        assert data.at(centre[0] + std, centre[1]) == pytest.approx(peak - 0.5 * np.log10(np.e), abs=0.15)
    assert made.at(2.0, 0.0) == pytest.approx(np.log10(1 / (2 * np.pi * 0.3**2)), abs=0.06)
    assert best.at(2.0, 0.0) == pytest.approx(0.8 / 1.8, abs=0.04)
    assert best.at(0.0, 3.0) == pytest.approx(1.0)
    assert np.isnan(made.at(0.0, 3.0)) and np.isnan(made.at(0.0, 0.0)) and np.isnan(best.at(-1.0, -1.0))
    x, y = data.centres()
    mass = 10.0**data.values
    assert np.nansum(x * mass) / np.nansum(mass) == pytest.approx(1.6, abs=0.02)
    assert np.nansum(y * mass) / np.nansum(mass) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("axis", [0, 1])
def test_what_was_learned_lies_the_same_way_round_as_in_the_other_picture(axis, panels, monkeypatch):
    contours = []
    contour = Axes.contour
    monkeypatch.setattr(Axes, "contour", lambda axes, *a, **k: contours.append((a, k)) or contour(axes, *a, **k))
    asked = points(LOPSIDED)
    field = 2.0 * (asked[:, axis] - 1.0)  # D grows to the right, or upwards
    densities(drawn(LOPSIDED, 2000), LOPSIDED, field)
    learned = panels["learned D(x)"]
    wanted = 1 / (1 + np.exp(-2.0 * (learned.centres()[axis] - 1.0)))
    assert learned.values == pytest.approx(wanted, abs=1e-5)
    pictures.plane(drawn(LOPSIDED, 100), LOPSIDED, field)
    (((probability,), style),) = contours
    assert probability == pytest.approx(learned.values)
    # Cells reach half a step beyond the outermost points.
    step = (np.array(style["extent"])[[1, 3]] - np.array(style["extent"])[[0, 2]]) / (PLANE - 1)
    assert np.array(learned.extent) - np.array(style["extent"]) == pytest.approx(
        np.array([-1, 1, -1, 1]) * step.repeat(2) / 2, abs=1e-5
    )


def test_the_data_lies_the_same_way_round_as_in_the_other_picture(panels):
    densities(drawn(LOPSIDED, 2000), LOPSIDED, np.zeros(PLANE**2))
    pictures.plane(drawn(LOPSIDED, 100), LOPSIDED, np.zeros(0))
    background = panels[""]  # no title yet when it is drawn
    seen = np.isfinite(panels["p_data"].values)
    there = panels["p_data"].values[seen] * np.log(10)
    near = there > there.max() - 4  # where a cell is small against the density's changes
    assert np.abs(background.values[seen][near] - there[near]).max() < 0.25


def test_without_a_learned_discriminator_none_is_drawn(panels, curves):
    assert size(densities(drawn(LOPSIDED, 2000), LOPSIDED, np.zeros(0))) == (800, 740)
    assert list(panels) == ["p_data", "p_g", "optimal D*"]
    densities(drawn(HUMP, 2000), HUMP, np.zeros(0))
    assert "optimal D*" in curves and not [label for label in curves if str(label).startswith("learned")]


# The chart


def test_the_chart_of_divergences_draws_the_estimates_and_nothing_about_them():
    patterns = _patterns(DIVERGENCES)
    tags = [f"jsd/{name}" for name in ("online", "exact", "probe", "probe_lower", "probe_se", "exact_error", "other")]
    tags += ["kl/forward", "kl/reverse", "w1", "probe/seconds", "value", "chart/one_half", "chart/log_2"]
    tags += [tag for chart in GanOption.CHARTS for pair in chart.curves.items() for tag in pair]
    shown = {tag for tag in tags for pattern in patterns if re.search(pattern, tag)}
    assert shown == {"jsd/online", "jsd/exact", "jsd/probe", "jsd/probe_lower", "chart/log_2"}

"""Masses and counts in cells against scipy's normal distribution, far out in the tails as well."""

import numpy as np
import pytest
from scipy.stats import norm

from ganrun.datasets import cells
from ganrun.datasets.synthetic import Mixture, Ring, mixture

STANDARD = mixture(np.zeros((1, 1)), 1.0)
BIMODAL = mixture(np.array([[-1.5], [2.0]]), np.array([0.7, 1.0]), np.array([0.6, 0.4]))


def test_cell_masses_on_a_line():
    edges = np.array([-np.inf, -1.0, 0.0, 2.5, np.inf])
    expected = np.diff(0.6 * norm.cdf(edges, -1.5, 0.7) + 0.4 * norm.cdf(edges, 2.0, 1.0))
    assert cells.cell_masses(BIMODAL, [edges]) == pytest.approx(expected, abs=1e-7)


def test_cell_masses_in_the_plane():
    density = mixture(np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([0.5, 1.5]), np.array([0.25, 0.75]))
    x, y = np.array([-np.inf, 0.0, 0.3, 4.0]), np.array([-2.0, 1.0, np.inf])
    expected = sum(
        weight * np.outer(np.diff(norm.cdf(x, *mx)), np.diff(norm.cdf(y, *my)))
        for weight, mx, my in [(0.25, (0, 0.5), (1, 0.5)), (0.75, (2, 1.5), (-1, 1.5))]
    )
    found = cells.cell_masses(density, [x, y])
    assert found.shape == (3, 2)
    assert found == pytest.approx(expected, abs=1e-12)
    everything = np.array([-np.inf, 0.1, np.inf])
    assert cells.cell_masses(density, [everything, everything]).sum() == pytest.approx(1, abs=1e-12)


def test_log_masses_far_out_and_narrow():
    edges = np.array([-41.0, -40.0, 40.0, 41.0, 41.0 + 1e-9, np.inf])
    found = cells.log_normal_masses(edges)
    assert found[0] == pytest.approx(norm.logcdf(-40), abs=1e-9)
    assert found[2] == pytest.approx(found[0], abs=1e-9)
    assert found[1] == pytest.approx(0, abs=1e-12)
    assert found[3] == pytest.approx(norm.logpdf(41.0) + np.log(np.diff(edges)[3]), abs=1e-6)
    assert found[4] == pytest.approx(norm.logsf(41.0), abs=1e-6)


def test_counts_own_their_lower_edge():
    edges = [np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, np.inf])]
    samples = np.array([[0.0, 0.0], [1.0, 0.5], [1.5, 7.0], [2.0, 0.5], [-0.1, 0.5]])
    assert cells.sample_counts(samples, edges).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        cells.sample_counts(samples[:, :1], edges)
    with pytest.raises(ValueError, match="increasing"):
        cells.cell_masses(STANDARD, [np.array([1.0, 0.0])])
    with pytest.raises(ValueError, match="2 axes"):
        cells.cell_masses(STANDARD, edges)


def test_a_distant_mode_counts_where_few_modes_are_near(monkeypatch: pytest.MonkeyPatch):
    density, points = Ring(modes=40).density(), np.random.default_rng(0).standard_normal((500, 2))
    every = cells.log_density(density, points)
    assert every == pytest.approx(density.log_density(points), abs=1e-3)
    monkeypatch.setattr(cells, "MAX_TERMS", 1)
    assert cells.log_density(density, points) == pytest.approx(every, abs=1e-9)


def test_weights_of_components_sum_to_one_without_those_of_no_weight():
    density = Mixture(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 3.0]))
    means, stds, weights = cells.components(density)
    assert (means[:, 0].tolist(), stds.tolist(), weights.tolist()) == ([0.0, 2.0], [1.0, 3.0], [0.25, 0.75])


def test_cells_between_two_modes_grow_from_both_to_the_middle():
    # Widths 1, 1.5, 2.25, ... from either edge, so edges at distances 1, 2.5, 4.75, ... from it.
    edges = cells._filled(np.array([0.0, 100.0]), np.array([1.0, 1.0]), -1.0, 101.0, 1.5)
    distances = [1.0, 2.5, 4.75, 8.125, 13.1875]
    for expected in (distances, [100.0 - one for one in distances]):
        assert np.isclose(edges[:, None], expected, atol=1e-6).any(axis=0).all()


@pytest.mark.parametrize("axis", [[[0.0, 1.0], [0.0, 1.0]], [0.0], [0.0, 0.0], [1.0, 0.0]], ids=str)
def test_what_is_no_axis_of_a_grid_is_refused(axis):
    with pytest.raises(ValueError, match="at least two increasing numbers"):
        cells.check_edges([np.array(axis)], 1)

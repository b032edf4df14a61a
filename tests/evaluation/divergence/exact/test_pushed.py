"""Where the mass of one latent number lands, by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.divergence.exact.pushed import cell_edges, prior_intervals, spread, spread_tails

EDGES = np.array([-np.inf, 0.0, 1.0, 2.0, 4.0, np.inf])


def test_a_mass_is_spread_evenly_over_the_cells_that_its_images_cover():
    # From 0.5 to 3: a fifth in the second cell, two fifths in each of the next two. Backwards it is the same.
    for images in ([0.5, 3.0], [3.0, 0.5]):
        np.testing.assert_allclose(spread(EDGES, np.array(images), np.array([1.0])), [0, 0.2, 0.4, 0.4, 0])


def test_a_mass_within_one_cell_and_an_atom_stay_there():
    np.testing.assert_allclose(spread(EDGES, np.array([1.2, 1.4, 1.4]), np.array([0.25, 0.75])), [0, 0, 1, 0, 0])


def test_an_atom_on_an_edge_lies_above_it():
    np.testing.assert_allclose(spread(EDGES, np.array([1.0, 1.0]), np.array([1.0])), [0, 0, 1, 0, 0])


def test_masses_that_overlap_add_up():
    # There and back again: 0.5 to 2.5 with 0.4, then 2.5 to 1 with 0.6, 0.2 and 0.4 of a unit of length.
    found = spread(EDGES, np.array([0.5, 2.5, 1.0]), np.array([0.4, 0.6]))
    np.testing.assert_allclose(found, [0, 0.1, 0.2 + 0.4, 0.1 + 0.2, 0])
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_prior_is_cut_into_intervals_that_hold_all_of_it(prior):
    images, mass, tails = prior_intervals(lambda z: 3 * z, prior)
    end = 5.0 if prior == "normal" else 1.0
    assert (images[0], images[-1]) == (-3 * end, 3 * end)
    assert len(mass) == len(images) - 1 == 2**17
    assert mass.sum() == pytest.approx(2 * norm.cdf(5) - 1 if prior == "normal" else 1, abs=1e-9)
    assert mass[2**16] == pytest.approx(norm.pdf(0) * 10 / 2**17 if prior == "normal" else 0.5**17, rel=1e-4)
    assert len(tails) == (2 if prior == "normal" else 0)
    for side, (distance, far) in zip((-1, 1), tails, strict=False):
        assert (distance[0], distance[-1]) == (5, 1e8)
        np.testing.assert_allclose(far, 3 * side * distance, rtol=1e-6)


def test_a_tail_ends_before_it_overflows():
    _, _, tails = prior_intervals(np.exp, "normal")
    low, high = tails
    assert low[0][-1] == 1e8 and low[1][-1] == 0
    assert 80 < high[0][-1] < np.log(np.finfo(np.float32).max)
    assert np.isfinite(high[1]).all()


def test_the_log_of_a_tail_s_mass_is_that_of_the_prior():
    # An identity: cells from 5 to 6 and from 6 to 7, cut into thousands of intervals, hold the prior's own mass.
    distance = np.linspace(5, 8, 3001)
    edges = np.array([-np.inf, 5.0, 6.0, 7.0, np.inf])
    for sign in (1, -1):
        ordered = edges if sign == 1 else -edges[::-1]
        found = spread_tails(ordered, [(distance, sign * distance)])
        wanted = [norm.sf(5) - norm.sf(6), norm.sf(6) - norm.sf(7), norm.sf(7) - norm.sf(8)]
        np.testing.assert_allclose(np.exp(found)[1:] if sign == 1 else np.exp(found)[-2::-1], wanted, rtol=2e-5)
        assert np.isneginf(found[0 if sign == 1 else -1])
    np.testing.assert_allclose(
        spread_tails(edges, [(distance, distance)] * 2)[1:], np.log(2 * np.array(wanted)), rtol=2e-5
    )


def test_cells_isolate_atoms_and_ends_and_are_joined_in_pairs():
    density = mixture(np.zeros((1, 1)), 1.0)
    images = np.array([0.0, 0.5, 0.5, 2.0, 1.0])  # an atom at 0.5, a fold at 2
    edges, starts = cell_edges(density, images, np.full(4, 0.25), [])
    assert (edges[0], edges[-1]) == (-np.inf, np.inf) and (np.diff(edges) > 0).all()
    for special in (0.5, 2.0, 0.0):
        cell = np.searchsorted(edges, special, side="right") - 1
        assert edges[cell + 1] - edges[cell] < 1e-6
        assert {cell, cell + 1} <= set(starts.tolist())  # both ends stay in the coarser cells
    assert starts[0] == 0 and (np.diff(starts) > 0).all()
    assert len(starts) == pytest.approx(len(edges) / 2, rel=0.01)
    assert edges[1] == pytest.approx(-8.5) and edges[-2] == pytest.approx(8.5)

"""A grid of latents by hand: where its nodes are, what its triangles cover, and whose each latent is."""

import numpy as np
import pytest

from ganrun.evaluation.divergence.exact.plane_cover import doubled_areas, inside
from ganrun.evaluation.divergence.exact.plane_grid import END, FRAMES, Grid, pushed


def twice(z: np.ndarray) -> np.ndarray:
    return 2 * z


@pytest.mark.parametrize(("nodes", "count"), [(5, 5), (8, 9), (10, 9), (12, 13)])
def test_a_uniform_prior_has_evenly_spaced_nodes(nodes, count):
    grid = Grid.through(twice, "uniform", nodes)
    np.testing.assert_allclose(grid.axis, np.linspace(-1, 1, count), atol=1e-7)
    assert grid.images.shape == (count, count, 2)
    np.testing.assert_allclose(grid.images[0, -1], [-2, 2])
    np.testing.assert_allclose(grid.images[-1, 0], [2, -2])


def test_a_normal_prior_has_nodes_as_dense_as_a_wider_normal():
    axis = Grid.through(twice, "normal", 41).axis
    assert len(axis) == 41 and (axis[0], axis[-1]) == (pytest.approx(-6), pytest.approx(6))
    np.testing.assert_allclose(axis, -axis[::-1], atol=1e-6)
    # A quarter of a normal of width sqrt(3) lies below -0.6745 of its widths.
    assert axis[20] == pytest.approx(0, abs=1e-6) and axis[10] == pytest.approx(-0.6745 * 3**0.5, abs=2e-3)


def test_the_first_frame_begins_where_the_square_ends():
    assert {prior: frames[0] for prior, frames in FRAMES.items()} == END == {"normal": 6.0, "uniform": 1.0}


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@pytest.mark.parametrize("step", [1, 2])
def test_triangles_cover_the_square_and_all_frames_once_and_go_where_the_generator_says(prior, step):
    grid = Grid.through(twice, prior, 9).every(step)
    triangles = grid.triangles()
    cells, end = 8 // step, FRAMES[prior][-1]
    assert len(triangles.latents) == 2 * cells**2 + 2 * 4 * cells * (len(FRAMES[prior]) - 1)
    assert np.abs(doubled_areas(triangles.latents)).sum() / 2 == pytest.approx(4 * end**2, rel=1e-6)
    inner = triangles.latents[: 2 * cells**2]
    assert np.abs(doubled_areas(inner)).sum() / 2 == pytest.approx(4 * END[prior] ** 2, rel=1e-6)
    np.testing.assert_allclose(triangles.images, 2 * triangles.latents, rtol=1e-6)
    assert triangles.precision == 2.0**-23


def test_every_latent_lies_in_the_triangle_that_owns_it():
    grid = Grid.through(twice, "normal", 17)
    latents = np.random.default_rng(0).uniform(-6, 6, (500, 2))
    corners = grid.triangles().latents[grid.owners(latents)]
    a, b, c = (corners[:, k] for k in range(3))
    solved = np.linalg.solve(np.stack([b - a, c - a], axis=2), (latents - a)[..., None])[..., 0]
    assert (solved >= -1e-9).all() and (solved.sum(axis=1) <= 1 + 1e-9).all()
    np.testing.assert_allclose(inside(corners, *solved.T), latents, atol=1e-9)


def test_the_outline_belongs_to_cells_as_well():
    grid = Grid.through(twice, "uniform", 5)
    owners = grid.owners(np.array([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0]]))
    # Four cells a side: 16 lower left triangles, then 16 others. In the last corner both coordinates end a cell.
    assert owners.tolist() == [0, 16 + 15, 12]


def test_a_generator_that_overflows_far_out_has_no_tail_there():
    def push(z: np.ndarray) -> np.ndarray:
        return np.where(np.abs(z).max(axis=1, keepdims=True) > 100, np.float32(np.inf), z)

    triangles = Grid.through(push, "normal", 9).triangles()
    assert np.isfinite(triangles.images).all()
    assert np.abs(triangles.latents).max() == 60  # the last frame before 100


def test_images_must_fit():
    assert pushed(twice, np.array([[1.0, 2.0]])).dtype == np.float64
    with pytest.raises(ValueError, match=r"returned shape \(1, 1\) for \(1, 2\) numbers"):
        pushed(lambda z: z[:, :1], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="not finite"):
        pushed(lambda z: z + np.float32(np.inf), np.zeros((1, 2)))

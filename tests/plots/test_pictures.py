"""Pictures: PNG files of the right size with the images where they belong."""

import io

import numpy as np
import pytest
from PIL import Image

from ganrun.datasets.synthetic import Gaussian, Grid, Mixture1d, Ring
from ganrun.plots import pictures
from ganrun.plots.pictures import LINE, MARGIN, PLANE, draw, grid, line, plane, points, view

BACKGROUND = 32
NOTHING = np.zeros(0)
RING = Ring().density()
HUMP = Gaussian().density()


def decoded(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return picture.copy()


def flat_images(values, size=(8, 8, 1)):
    return np.broadcast_to(np.array(values, float)[:, None, None, None], (len(values), *size))


def test_a_grid_puts_the_images_row_by_row():
    # Five images need three columns and two rows; 0, 128 and 255 are -1, 0 and 1.
    picture = decoded(grid(flat_images([-1.0, 1.0, 0.0, 1.0, -1.0])))
    # 3 * 10 + 2 by 2 * 10 + 2 pixels, enlarged by a whole number.
    zoom = picture.width // 32
    assert picture.size == (32 * zoom, 22 * zoom)
    assert zoom > 1
    small = np.asarray(picture)[::zoom, ::zoom]
    corners = [(MARGIN + row * 10, MARGIN + column * 10) for row in range(2) for column in range(3)]
    found = [np.unique(small[top : top + 8, left : left + 8]).tolist() for top, left in corners]
    assert found == [[0], [255], [128], [255], [0], [BACKGROUND]]
    assert set(small[:MARGIN].ravel()) == set(small[:, :MARGIN].ravel()) == {BACKGROUND}


def test_a_grid_keeps_the_way_up_of_an_image():
    # Bytes 0, 51 / 102, 255 of a 2 x 2 image: 51 is -0.6 and 102 is -0.2.
    picture = decoded(grid(np.array([[[[-1.0], [-0.6]], [[-0.2], [1.0]]]])))
    zoom = picture.width // 6
    assert np.asarray(picture)[::zoom, ::zoom][2:4, 2:4].tolist() == [[0, 51], [102, 255]]


def test_a_grid_shows_colours():
    red = np.broadcast_to(np.array([1.0, -1.0, -1.0]), (1, 4, 4, 3))
    picture = decoded(grid(red))
    assert picture.mode == "RGB"
    assert picture.getpixel((picture.width // 2, picture.height // 2)) == (255, 0, 0)


def test_a_large_grid_is_not_enlarged():
    assert decoded(grid(np.zeros((4, 300, 300, 1)))).size == (606, 606)


def test_the_view_holds_every_mode_with_room_around_it():
    # The centre 0 with 4 standard deviations is -4 ... 4, and 15 % of 8 is 1.2.
    low, high = view(HUMP)
    assert (low.tolist(), high.tolist()) == ([pytest.approx(-5.2)], [pytest.approx(5.2)])


def test_the_points_of_a_plane_start_along_the_first_axis():
    # The rows of an image: y is the slow index and x the fast one.
    low, high = view(RING)
    found = points(RING).reshape(PLANE, PLANE, 2)
    np.testing.assert_allclose(found[0, [0, -1]], [[low[0], low[1]], [high[0], low[1]]], rtol=1e-5)
    np.testing.assert_allclose(found[-1, 0], [low[0], high[1]], rtol=1e-5)


def test_there_are_points_for_densities_only():
    assert points(None).size == 0
    assert points(HUMP).shape == (LINE, 1)
    assert points(Grid().density()).shape == (PLANE**2, 2)


@pytest.mark.parametrize("field", [NOTHING, np.linspace(-3, 3, PLANE**2)], ids=["no field", "field"])
def test_a_plane_is_a_picture_with_and_without_the_discriminator(field):
    assert decoded(plane(np.zeros((10, 2)), RING, field, "step 1")).size == (500, 500)


@pytest.mark.parametrize("density", [HUMP, Mixture1d().density()], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("field", [NOTHING, np.linspace(-3, 3, LINE)], ids=["no field", "field"])
def test_a_line_is_a_picture_with_and_without_the_discriminator(density, field):
    assert decoded(line(np.zeros((10, 1)), density, field, "step 1")).size == (600, 400)


@pytest.mark.parametrize("logit", [0.0, 0.2, 1e6, -1e6])
def test_a_discriminator_that_says_the_same_everywhere_can_be_drawn(logit):
    # No contour lies inside the picture then; D = 1/2 everywhere is where the game ends.
    decoded(plane(np.zeros((10, 2)), RING, np.full(PLANE**2, logit)))
    decoded(line(np.zeros((10, 1)), HUMP, np.full(LINE, logit)))


@pytest.mark.parametrize("samples", [np.full((10, 2), 1e6), np.full((10, 2), np.nan)], ids=["far away", "not numbers"])
def test_samples_outside_of_the_picture_leave_the_density(samples):
    decoded(plane(samples, RING, NOTHING))
    decoded(line(samples[:, :1], HUMP, NOTHING))


def test_samples_show_where_they_are():
    # Samples are green on grey. (2, 0) is the ring's rightmost mode: at mid height, in the right part of 500 pixels.
    picture = np.asarray(decoded(plane(np.array([[2.0, 0.0]] * 50), RING, NOTHING)).convert("RGB")).astype(int)
    rows, columns = np.nonzero(picture[..., 1] - picture[..., 0] > 60)
    assert len(rows) > 0
    assert abs(rows.mean() - 250) < 30
    assert columns.min() > 350


@pytest.mark.parametrize(
    ("kind", "samples", "density"),
    [
        ("grid", np.zeros((4, 8, 8, 1)), None),
        ("line", np.zeros((4, 1)), HUMP),
        ("plane", np.zeros((4, 2)), RING),
    ],
)
def test_draw_picks_the_kind_that_suits_the_data(monkeypatch, kind, samples, density):
    for name in ("grid", "line", "plane"):
        monkeypatch.setattr(pictures, name, lambda *given, name=name: name)
    assert draw(samples, density, NOTHING, "step 1") == kind


@pytest.mark.parametrize(("density", "size"), [(RING, PLANE**2), (HUMP, LINE)], ids=["plane", "line"])
def test_a_picture_says_how_its_field_came_about(density, size):
    samples, field = np.zeros((10, density.means.shape[1])), np.linspace(-3, 3, size)
    plain = draw(samples, density, field, "step 1")
    assert draw(samples, density, field, "step 1", label="D(x)") == plain
    assert draw(samples, density, field, "step 1", label="D(x), calibrated") != plain


def test_draw_needs_no_field_for_images():
    assert draw(np.zeros((4, 8, 8, 1)), None, np.zeros(7)) == grid(np.zeros((4, 8, 8, 1)))


def test_the_line_shows_where_each_z_goes_when_it_is_told():
    samples = np.linspace(-2, 2, 500, dtype=np.float32)[:, None]
    without = line(samples, HUMP, np.zeros(0))
    rungs = np.stack([np.linspace(-1, 1, 9), np.linspace(-2, 2, 9)], axis=1)
    straight = line(samples, HUMP, np.zeros(0), ladder=rungs)
    folded = line(samples, HUMP, np.zeros(0), ladder=np.abs(rungs))
    assert len({without, straight, folded}) == 3


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (16, "RGB")])
def test_a_grid_shows_the_first_channels(channels, mode):
    values = np.linspace(-1, 1, channels, dtype=np.float32)
    content = pictures.grid(np.broadcast_to(values, (4, 8, 8, channels)).copy())
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == mode
        pixel = picture.getpixel((picture.width // 4, picture.height // 4))
    expected = [round((value + 1) * 127.5) for value in values[: 3 if mode == "RGB" else 1]]
    assert np.allclose(pixel, expected, atol=1)

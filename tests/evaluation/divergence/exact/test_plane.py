import dataclasses
import itertools
import tracemalloc
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from ganrun.architectures.dcgan import DcganGenerator
from ganrun.architectures.maxout import MaxoutGenerator
from ganrun.architectures.mlp import MlpGenerator
from ganrun.datasets.synthetic import Ring, mixture
from ganrun.evaluation.divergence.exact import plane_cover
from ganrun.evaluation.divergence.exact.densities import of_densities
from ganrun.evaluation.divergence.exact.plane import _Queries, _variance, of_plane
from ganrun.evaluation.divergence.exact.plane_cover import Strips, Triangles, doubled_areas, hits, inside, stretch
from ganrun.evaluation.divergence.exact.plane_pieces import Rectifiers, linear_triangles, rectifiers

LOG_2 = float(np.log(2))
STANDARD = mixture(np.zeros((1, 2)), 1.0)
RING = Ring().density()
FRAMES = (6.0, 600**0.5 * 1e3, 1e8)  # where the plane is cut for a normal prior
TILT = np.array([[1.5 * np.cos(0.5), -0.3 * np.sin(0.5)], [1.5 * np.sin(0.5), 0.3 * np.cos(0.5)]])


def summand(p: float, q: float) -> float:
    m = 0.5 * (p + q)
    return 0.5 * ((p * np.log(p / m) if p > 0 else 0.0) + (q * np.log(q / m) if q > 0 else 0.0))


def on_line(q: Callable[[float], float], end: float = 12.0) -> float:
    """JSD of N(0, 1) and the density ``q``, which may jump at 0; the plane's, if one coordinate is normal in both."""
    return quad(lambda x: summand(norm.pdf(x), q(x)), -end, end, points=[0], limit=500)[0]


def in_plane(q: Callable[[np.ndarray, np.ndarray], np.ndarray], end: float = 9.0) -> float:
    """JSD of N(0, I) and the smooth density ``q``, by a product rule."""
    node, weight = np.polynomial.legendre.leggauss(500)
    x, y = np.meshgrid(end * node, end * node, indexing="ij")
    p, q_there = norm.pdf(x) * norm.pdf(y), q(x, y) + 1e-300
    score = p * np.log(2 * p / (p + q_there)) + q_there * np.log(2 * q_there / (p + q_there))
    return 0.5 * float((score * np.outer(end * weight, end * weight)).sum())


def tilted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    u, v = np.linalg.inv(TILT) @ np.stack([x.ravel(), y.ravel()])
    return (norm.pdf(u) * norm.pdf(v)).reshape(x.shape) / abs(np.linalg.det(TILT))


def sine_density(x: float) -> float:
    """Density of sin(3 z)."""
    angle, turns = np.arcsin(x), 2 * np.pi * np.arange(-8, 9)
    reached = np.concatenate([angle + turns, np.pi - angle + turns])
    return float(norm.pdf(reached / 3).sum()) / (3 * np.cos(angle))


def thin(width: float) -> float:
    """JSD of N(0, 1) and N(0, width^2)."""
    inside = quad(lambda u: width * summand(norm.pdf(width * u), norm.pdf(u) / width), -9, 9, limit=500)[0]
    return inside + 0.5 * LOG_2 * 2 * norm.sf(9 * width)


def to_image(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], axis=1)


SINE = quad(
    lambda t: summand(norm.pdf(np.sin(t)), sine_density(np.sin(t))) * np.cos(t), -np.pi / 2, np.pi / 2, limit=500
)[0]
# Generators of a normal prior, and their divergences from N(0, I).
KNOWN = {
    "same": (lambda z: z, 0.0),
    "shift": (lambda z: z + np.float32([1, 0]), on_line(lambda x: float(norm.pdf(x, 1)))),
    "scale": (lambda z: 2 * z, of_densities(STANDARD, mixture(np.zeros((1, 2)), 2.0)).jsd),
    "tilt": (lambda z: (z @ TILT.T).astype(np.float32), in_plane(tilted)),
    "mirror": (lambda z: z[:, ::-1] * np.float32([-1, 1]), 0.0),
    "fold": (lambda z: to_image(np.abs(z[:, 0]), z[:, 1]), on_line(lambda x: 2 * float(norm.pdf(x)) * (x > 0))),
    "two folds": (np.abs, 0.5 * (0.25 * np.log(2 / 5) + 0.75 * LOG_2) + 0.5 * np.log(8 / 5)),
    "thin": (lambda z: z * np.float32([1, 1e-3]), thin(1e-3)),
    "thinner": (lambda z: z * np.float32([1, 1e-5]), thin(1e-5)),
    "cube": (
        lambda z: to_image(z[:, 0] ** 3, z[:, 1]),
        2 * quad(lambda u: 3 * u**2 * summand(norm.pdf(u**3), norm.pdf(u) / 3 / u**2), 0, 9, limit=500)[0],
    ),
    "sine": (lambda z: to_image(np.sin(3 * z[:, 0]), z[:, 1]), SINE + 0.5 * LOG_2 * 2 * norm.sf(1)),
    "line": (lambda z: z[:, :1] * np.float32([1, 2]), LOG_2),
    "point": (lambda z: 0 * z, LOG_2),
    "half a point": (lambda z: np.where(z[:, :1] > 0, z, 0), 0.5 * LOG_2),
    "gap": (
        lambda z: z + np.float32([1, 0]) * np.sign(z[:, :1]),
        on_line(lambda x: float(norm.pdf(abs(x) - 1)) * (abs(x) > 1)),
    ),
}
# What no grid resolves costs more.
LARGEST_ERROR = {"sine": 5e-3, "half a point": 6e-3, "gap": 0.04, "cube": 1e-3}


@pytest.mark.parametrize("case", KNOWN)
def test_known_divergences_by_a_grid(case: str):
    push, jsd = KNOWN[case]
    found = of_plane(STANDARD, push, "normal", nodes=129, points=1 << 14)
    assert abs(found.jsd - jsd) <= found.error
    assert found.error < LARGEST_ERROR.get(case, 4e-4)


def test_the_other_numbers_by_a_grid():
    shift, fold, line, tilt = (
        of_plane(STANDARD, KNOWN[case][0], "normal", nodes=65, points=1 << 14)
        for case in ("shift", "fold", "line", "tilt")
    )
    assert shift.kl_reverse == pytest.approx(0.5, abs=1e-3)
    assert fold.kl_reverse == pytest.approx(LOG_2, abs=1e-6)
    assert line.kl_reverse == np.inf
    assert tilt.kl_reverse == pytest.approx(0.5 * (1.5**2 + 0.3**2 - 2) - np.log(1.5 * 0.3), abs=5e-3)
    assert (shift.missed, line.missed) == (0, 1)
    assert fold.missed == pytest.approx(0.5, abs=1e-3)


def test_a_bent_normal():
    # (x, y + x^2) keeps areas; q(x, y) is a normal density at (x, y - x^2), so log q/p is known at points of each side.
    node, weight = np.polynomial.legendre.leggauss(200)
    x, y = np.meshgrid(9 * node, 9 * node, indexing="ij")
    mass = np.outer(9 * weight, 9 * weight) * norm.pdf(x) * norm.pdf(y)
    on_data, on_model = ((y**2 - (y - x**2) ** 2) / 2, ((y + x**2) ** 2 - y**2) / 2)
    jsd = LOG_2 - 0.5 * float((mass * (np.logaddexp(0, on_data) + np.logaddexp(0, -on_model))).sum())
    found = of_plane(STANDARD, lambda z: to_image(z[:, 0], z[:, 1] + z[:, 0] ** 2), "normal", 129, 1 << 14)
    assert abs(found.jsd - jsd) <= found.error < 1e-3


def test_a_uniform_prior_is_a_square():
    p, inside = lambda x, y: norm.pdf(x) * norm.pdf(y), (norm.cdf(1) - norm.cdf(-1)) ** 2
    node, weight = np.polynomial.legendre.leggauss(60)
    x, y = np.meshgrid(node, node, indexing="ij")
    both = np.vectorize(summand)(p(x, y), 0.25)
    jsd = float((both * np.outer(weight, weight)).sum()) + 0.5 * LOG_2 * (1 - inside)
    for push in (lambda z: z, lambda z: 2 * np.abs(z) - 1):
        found = of_plane(STANDARD, push, "uniform", nodes=65, points=1 << 14)
        assert abs(found.jsd - jsd) <= found.error < 5e-4
        assert found.missed == pytest.approx(1 - inside, abs=2e-3)


def test_a_generator_may_tear_the_plane_between_modes():
    # Each half of the first latent number is stretched to a whole normal: a perfect generator with a jump.
    data = mixture(np.array([[-2.0, 0.0], [2.0, 0.0]]), 0.5)

    def push(z: np.ndarray) -> np.ndarray:
        side = np.sign(z[:, 0])
        share = np.clip(2 * ndtr(-np.abs(z[:, 0].astype(np.float64))), 1e-12, 1 - 1e-12)
        return to_image(2 * side - 0.5 * side * ndtri(share), 0.5 * z[:, 1]).astype(np.float32)

    found = of_plane(data, push, "normal", nodes=257, points=1 << 14)
    assert found.jsd <= found.error < 0.02


def test_far_off_folds_and_outliers_take_no_longer():
    for push in (lambda z: 1e30 * z, lambda z: z * np.exp(np.float32(6) * z[:, :1]), lambda z: 1e-4 * z + 2):
        found = of_plane(RING, push, "normal", nodes=65, points=1 << 10)
        assert 0.6 < found.jsd <= LOG_2


# The pieces of a network -----------------------------------------------------------------------------------------


def network(seed: int, hidden: tuple[int, ...], slope: float = 0.2, scale: float = 1.5) -> Rectifiers:
    rng = np.random.default_rng(seed)
    sizes = itertools.pairwise([2, *hidden, 2])
    layers = ((scale * rng.standard_normal((a, b)) / a**0.5, 0.5 * rng.standard_normal(b)) for a, b in sizes)
    return Rectifiers(tuple(layers), slope)


def single(kernel: object, bias: object = (0.0, 0.0)) -> Rectifiers:
    return Rectifiers(((np.array(kernel, np.float64), np.array(bias, np.float64)),), 0.2)


def applied(net: Rectifiers) -> Callable[[np.ndarray], np.ndarray]:
    def push(z: np.ndarray) -> np.ndarray:
        out = z.astype(np.float64)
        for index, (kernel, bias) in enumerate(net.layers):
            out = out @ kernel + bias
            if index < len(net.layers) - 1:
                out = np.where(out > 0, out, net.slope * out)
        return out.astype(np.float32)

    return push


SPLIT = (np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]), np.zeros(4))
NETWORKS = {
    "same": single(np.eye(2)),
    "shift": single(np.eye(2), (1.0, 0.0)),
    "scale": single(2 * np.eye(2)),
    "tilt": single(TILT.T),
    "fold": Rectifiers((SPLIT, (np.array([[1.0, 0], [0, 1], [1, 0], [0, -1]]), np.zeros(2))), 0.0),
    "two folds": Rectifiers((SPLIT, (np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]]), np.zeros(2))), 0.0),
    "thin": single(np.diag([1, 1e-3])),
    "thinner": single(np.diag([1, 1e-5])),
    "line": single(np.outer([0.3, 0.7], [0.1, 0.9])),
    "point": single(np.zeros((2, 2))),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_known_divergences_by_pieces(case: str):
    net = NETWORKS[case]
    found = of_plane(STANDARD, applied(net), "normal", points=1 << 14, network=net)
    assert abs(found.jsd - KNOWN[case][1]) <= found.error < 3e-4
    assert np.isinf(found.kl_reverse) == (case in ("line", "point"))


def test_pieces_cover_the_square_and_map_it_as_the_network_does():
    net = network(0, (24, 24, 24))
    triangles = linear_triangles(net, (3.0,), 10**6)
    assert triangles is not None
    assert len(triangles.latents) > 1000
    assert np.abs(doubled_areas(triangles.latents)).sum() / 2 == pytest.approx(36, rel=1e-12)
    rng = np.random.default_rng(1)
    u, w = np.sort(rng.random((2, len(triangles.latents))), axis=0)
    latents, images = (inside(corners, u, w - u) for corners in (triangles.latents, triangles.images))
    np.testing.assert_allclose(applied(net)(latents), images, atol=1e-5)


def test_three_lines_cut_a_square_into_seven():
    # Three units, each 0 on one line, in general position; a convex piece of k corners makes k - 2 triangles.
    kernel, bias = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([0.0, 0.0, -0.5])
    triangles = linear_triangles(Rectifiers(((kernel, bias), (np.eye(3)[:, :2] + 0.3, np.zeros(2))), 0.2), (1.0,), 100)
    assert triangles is not None
    maps = np.round(np.einsum("nij,njk->nik", _edges(triangles.images), np.linalg.inv(_edges(triangles.latents))), 9)
    assert len(np.unique(maps.reshape(-1, 4), axis=0)) == 7


def _edges(corners: np.ndarray) -> np.ndarray:
    return (corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_pieces_and_grid_agree(prior: str, slope: float):
    net = network(3, (32, 32), slope)
    data = mixture(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.5, 1.0]))
    pieces = of_plane(data, applied(net), prior, points=1 << 14, network=net)
    grid = of_plane(data, applied(net), prior, nodes=129, points=1 << 14, seed=1)
    assert abs(pieces.jsd - grid.jsd) < pieces.error + grid.error
    assert pieces.error < 1e-3
    assert grid.error < 5e-3
    assert pieces.missed == pytest.approx(grid.missed, abs=0.01)


def test_a_network_of_too_many_pieces_is_followed_by_a_grid():
    net = network(0, (16, 16))
    with_network = of_plane(STANDARD, applied(net), "normal", nodes=9, points=100, network=net)
    pieces = linear_triangles(net, FRAMES, 10**6)
    assert pieces is not None
    assert linear_triangles(net, FRAMES, len(pieces.latents)) is not None
    assert linear_triangles(net, FRAMES, len(pieces.latents) - 1) is None
    assert with_network == of_plane(STANDARD, applied(net), "normal", nodes=9, points=100)


@pytest.mark.parametrize(
    "generator",
    [MlpGenerator((2,), (12, 8), False), MlpGenerator((2,), (12, 8, 8), True), MaxoutGenerator((2,), (12, 8))],
    ids=["mlp", "batch norm", "maxout"],
)
def test_generators_as_layers(generator):
    variables = generator.init(jax.random.key(0), jnp.zeros((4, 2)), train=False)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(0)
    leaves = [np.abs(leaf + 0.5 * rng.standard_normal(leaf.shape)) if leaf.ndim == 1 else leaf for leaf in leaves]
    variables = jax.tree.unflatten(tree, leaves)
    net = rectifiers(generator, variables)
    assert net is not None
    z = rng.standard_normal((100, 2)).astype(np.float32)
    np.testing.assert_allclose(applied(net)(z), generator.apply(variables, z, train=False), atol=1e-5)


def test_other_generators_are_no_layers():
    assert rectifiers(MlpGenerator((28, 28, 1), (8,), False), {}) is None
    assert rectifiers(DcganGenerator, {}) is None


# Where points lie ------------------------------------------------------------------------------------------------


def test_every_point_is_found_in_every_triangle(monkeypatch: pytest.MonkeyPatch):
    for name, small in (("STRIP", 5), ("BLOCK", 100), ("PAIRS", 1000)):
        monkeypatch.setattr(plane_cover, name, small)
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.standard_normal((1500, 2)), 5 + 1e-3 * rng.standard_normal((1500, 2)), [[1e9, -1e9]]])
    size = np.geomspace(1e-4, 10, 600)[:, None, None]
    corners = points[rng.integers(len(points) - 1, size=600)][:, None] + size * rng.standard_normal((600, 3, 2))
    corners[::3, 2] = 0.999 * corners[::3, 1] + 0.001 * corners[::3, 2]  # long and thin
    corners[::7, 1, 0] = corners[::7, 0, 0]  # an upright edge
    corners[5] = corners[5, 0]  # a point
    strips = Strips(points)
    found = {(p, t) for part in hits(strips, corners) for p, t in zip(part[0].tolist(), part[1].tolist(), strict=True)}
    a, b, c = (corners[:, k, None] - points for k in range(3))
    turns = [left[..., 0] * right[..., 1] - left[..., 1] * right[..., 0] for left, right in ((a, b), (b, c), (c, a))]
    same = np.logical_and.reduce([turn > 0 for turn in turns]) | np.logical_and.reduce([turn < 0 for turn in turns])
    assert found == {(p, t) for t, p in np.argwhere(same).tolist()}
    assert len(found) > 10_000


def test_coordinates_lead_back_to_the_point():
    rng = np.random.default_rng(0)
    points, corners = rng.standard_normal((500, 2)), rng.standard_normal((100, 3, 2))
    for point, triangle, u, w in hits(Strips(points), corners):
        assert len(point) > 100
        np.testing.assert_allclose(inside(corners[triangle], u, w), points[point], atol=1e-9)


def test_what_rounding_may_have_made_has_no_area():
    latents = np.tile([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (4, 1, 1))
    images = np.array(
        [
            [[0, 0], [2, 0], [0, 3]],
            [[100, 100], [101, 101], [102, 102 + 1e-5]],
            [[0, 0], [1, 0], [0, 1e-9]],  # thin, but where numbers are as small
            [[7, 7], [7, 7], [7, 7]],
        ]
    )
    np.testing.assert_allclose(stretch(Triangles(latents, images, 2.0**-23)), [6, 0, 1e-9, 0])


# Errors ----------------------------------------------------------------------------------------------------------


def test_the_error_is_that_of_many_trials():
    net = network(5, (16, 16))
    data = mixture(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.3, 1.0]), np.array([0.3, 0.7]))
    runs = [of_plane(data, applied(net), "normal", points=1 << 10, seed=seed, network=net) for seed in range(40)]
    truth = of_plane(data, applied(net), "normal", points=1 << 16, seed=99, network=net)
    off = np.array([run.jsd for run in runs]) - truth.jsd
    errors = np.array([run.error for run in runs])
    assert np.mean(np.abs(off) <= errors) >= 0.9
    assert errors.mean() < 6 * off.std()  # two standard errors, and less than three times that
    assert abs(off.mean()) < 3 * off.std() / 40**0.5 + truth.error


@pytest.mark.parametrize("lost", [0.0, 0.25])
def test_the_error_is_two_standard_errors_and_what_is_lost(lost: float):
    side, spread = 80, 0.3
    noise = spread * np.random.default_rng(0).standard_normal((2, side**2))
    queries = _Queries.of(STANDARD, "uniform", side**2, np.random.default_rng(1))
    found = queries.summary([noise[0], noise[1]], [noise[0], noise[1]], lost=lost, flat=0.0)
    # Half of each of two independent means of n scores, and a point's worth of what was not met.
    wanted = 2 * np.sqrt(2 * 0.25 * spread**2 / side**2) + LOG_2 / side**2 + lost
    assert found.error == pytest.approx(wanted, rel=0.04)


@pytest.mark.parametrize(
    ("change", "before", "lost"), [(0.1, 0.6, 0.3), (0.4, 0.6, 0.4), (-0.4, 0.1, 0.4), (0.1, -0.6, 0.3)]
)
def test_a_grid_loses_the_last_change_or_half_of_the_one_before(change, before, lost, monkeypatch):
    found = []
    for answers in ([0.0, 0.0, 0.2], [change, before, 0.2]):
        told = iter(answers)
        monkeypatch.setattr(_Queries, "mean", lambda self, parts, told=told: next(told))
        found.append(of_plane(STANDARD, lambda z: z, "normal", nodes=5, points=100))
    assert found[1].error - found[0].error == pytest.approx(lost)
    assert found[1].jsd == 0.2


def test_scores_that_change_evenly_are_averaged_better_than_by_chance():
    # Within a cell of width h a slope has the variance (slope h)^2 / 12; what neighbours tell is none of it.
    side = 50
    x = (np.arange(side) + np.random.default_rng(0).random((side, side))) / side
    assert _variance(x.ravel()) == pytest.approx(1 / side**2 / 12 / side**2, rel=0.1)


def test_a_seed_decides_everything():
    one, same, other = (of_plane(RING, np.tanh, "normal", 17, 400, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["normal", "uniform"]), st.floats(0.1, 2))
def test_bounds_and_turning_everything(seed: int, prior: str, std: float):
    net = network(seed, (6, 6))
    data = mixture(np.array([[0.5, -0.5], [1.0, 1.0]]), std, np.array([0.3, 0.7]))
    turned = mixture(np.asarray(data.means)[:, ::-1] * [-1, 1], std, np.array([0.3, 0.7]))
    *layers, (kernel, bias) = net.layers
    turned_net = dataclasses.replace(net, layers=(*layers, (kernel[:, ::-1] * [-1, 1], bias[::-1] * [-1, 1])))
    one = of_plane(data, applied(net), prior, points=900, network=net)
    other = of_plane(turned, applied(turned_net), prior, points=900, network=turned_net)
    assert 0 <= one.jsd <= LOG_2
    assert 0 <= one.missed <= 1
    assert abs(one.jsd - other.jsd) <= one.error + other.error
    assert other.kl_reverse == pytest.approx(one.kl_reverse, rel=1e-6)


def test_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match="1 dimensions"):
        of_plane(mixture(np.zeros((1, 1)), 1.0), lambda z: z, "normal")
    with pytest.raises(ValueError, match="'cauchy'; allowed: 'normal', 'uniform'"):
        of_plane(RING, lambda z: z, "cauchy")
    with pytest.raises(ValueError, match="too few"):
        of_plane(RING, lambda z: z, "normal", nodes=4)
    with pytest.raises(ValueError, match="shape"):
        of_plane(RING, lambda z: z[:, 0], "normal", nodes=9, points=9)
    with pytest.raises(ValueError, match="not finite"):
        of_plane(RING, lambda z: z * np.float32(np.nan), "normal", nodes=9, points=9)
    with pytest.raises(ValueError, match="not the generator"):
        of_plane(RING, lambda z: z, "normal", points=9, network=single(2 * np.eye(2)))
    with pytest.raises(ValueError, match="weights are not finite"):
        of_plane(RING, lambda z: z, "normal", points=9, network=single(np.nan * np.eye(2)))


def test_wide_layers_take_little_memory():
    net = network(0, (256,))
    tracemalloc.start()
    try:
        triangles = linear_triangles(net, (3.0,), 10**6)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert triangles is not None and len(triangles.latents) > 20_000
    # The maps of all units on all pieces would take about 8 bytes x 3 x 256 x 10 000, several times.
    assert peak < 150 << 20


def test_a_layer_of_too_many_pieces_is_given_up_at_once():
    tracemalloc.start()
    try:
        assert linear_triangles(network(0, (1024,)), (3.0,), 20_000) is None
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()

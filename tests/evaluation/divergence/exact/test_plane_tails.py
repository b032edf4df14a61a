"""What a latent plane without an end does to KL(data, model) and to the share of the data that a model leaves out."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.divergence.exact.plane import of_plane
from ganrun.evaluation.divergence.exact.plane_cover import doubled_areas
from ganrun.evaluation.divergence.exact.plane_pieces import Rectifiers, linear_triangles

STANDARD = mixture(np.zeros((1, 2)), 1.0)
SPLIT = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])  # the hidden units are x, y, -x and -y


def turned(scales: tuple[float, float], angle: float = 0.7) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]]) @ np.diag(scales)


def applied(net: Rectifiers) -> Callable[[np.ndarray], np.ndarray]:
    def push(z: np.ndarray) -> np.ndarray:
        out = z.astype(np.float64)
        for index, (kernel, bias) in enumerate(net.layers):
            out = out @ kernel + bias
            if index < len(net.layers) - 1:
                out = np.maximum(out, net.slope * out)
        return out.astype(np.float32)

    return push


def linear(matrix: np.ndarray) -> Rectifiers:
    return Rectifiers(((matrix.T, np.zeros(2)),), 0.2)


def by_both(net: Rectifiers, prior: str = "normal", points: int = 1 << 14):
    """Follow a network by its linear pieces and by a grid that knows nothing of them."""
    return (
        of_plane(STANDARD, applied(net), prior, points=points, network=net),
        of_plane(STANDARD, applied(net), prior, nodes=33, points=points),
    )


# Half the width was reported as infinitely far, with .0053 of the data missed: |x| > 3 wants |z| > 6.
@pytest.mark.parametrize("scales", [(0.5, 0.5), (0.25, 0.25), (0.05, 0.3), (2.0, 2.0), (1e-3, 1.0), (1e-5, 1e-5)])
def test_a_linear_model_leaves_out_nothing(scales):
    # KL(N(0, I), N(0, A A')) = (tr (A A')^-1 - 2 + log det A A') / 2, and A is a turned diagonal.
    wanted = 0.5 * (sum(1 / s**2 for s in scales) - 2) + np.log(scales[0] * scales[1])
    for found in by_both(linear(turned(scales))):
        assert found.missed == 0
        assert found.kl_forward == pytest.approx(wanted, rel=6e-3, abs=5e-3)


def test_half_the_width_by_hand():
    # Four times the precision in two dimensions: (8 - 2 - 2 log 4) / 2 = 3 - log 4.
    found, _ = by_both(linear(np.eye(2) / 2))
    assert 3 - np.log(4) == pytest.approx(1.6137, abs=5e-5)
    assert (found.missed, found.kl_forward) == (0, pytest.approx(3 - np.log(4), abs=1e-3))


def test_a_model_of_two_pieces():
    # x where x > 0, else x / 4: only half of the data see N(0, 1/16) for N(0, 1).
    net = Rectifiers(
        ((SPLIT, np.zeros(4)), (np.array([[1.0, 0.0], [0.0, 1.0], [-0.25, 0.0], [0.0, -1.0]]), np.zeros(2))), 0.0
    )
    wanted = 0.5 * (np.log(1 / 4) + 16 / 2 - 1 / 2)
    for found in by_both(net):
        assert found.missed == 0
        assert found.kl_forward == pytest.approx(wanted, rel=6e-3)


def test_what_a_fold_leaves_out_is_missed():
    # (|x|, |y|) / 2 covers a quadrant, whose tails are reached.
    net = Rectifiers(
        ((SPLIT, np.zeros(4)), (np.array([[0.5, 0.0], [0.0, 0.5], [0.5, 0.0], [0.0, 0.5]]), np.zeros(2))), 0.0
    )
    for found in by_both(net):
        assert found.missed == pytest.approx(0.75, abs=1e-3)
        assert found.kl_forward == np.inf


@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_a_bounded_prior_leaves_out_what_it_does_not_reach(scale):
    missed = 1 - (norm.cdf(scale) - norm.cdf(-scale)) ** 2
    for found in by_both(linear(scale * np.eye(2)), "uniform"):
        assert found.missed == pytest.approx(missed, abs=4e-3)
        assert found.kl_forward == np.inf


def test_a_uniform_prior_that_reaches_everything_is_as_far_as_by_hand():
    # q = 1 / (4 * 20^2) wherever the data are: log 1600 less the data's entropy, log 2 pi e.
    for found in by_both(linear(20 * np.eye(2)), "uniform"):
        assert (found.missed, found.kl_forward) == (0, pytest.approx(np.log(1600) - np.log(2 * np.pi * np.e), abs=2e-3))


def test_a_tail_that_overflows_is_left_out():
    with np.errstate(over="ignore"):
        found = of_plane(STANDARD, lambda z: np.sinh(z.astype(np.float64)).astype(np.float32), "normal", 129, 1 << 14)
    # Two independent latents, each with q(x) = N(asinh x) / sqrt(1 + x^2).
    x = np.linspace(-9, 9, 20_001)
    p = norm.pdf(x)
    log_ratio = norm.logpdf(x) - norm.logpdf(np.arcsinh(x)) + 0.5 * np.log1p(x**2)
    assert found.missed == 0
    assert found.kl_forward == pytest.approx(2 * np.sum(p * log_ratio) * (x[1] - x[0]), abs=5e-3)


@pytest.mark.parametrize("ends", [(3.0,), (6.0, 40.0, 1e4)])
def test_frames_cover_all_that_they_surround_once(ends):
    rng = np.random.default_rng(0)
    layers = tuple((rng.standard_normal((a, b)), rng.standard_normal(b)) for a, b in ((2, 9), (9, 5), (5, 2)))
    triangles = linear_triangles(Rectifiers(layers, 0.2), ends, 10**5)
    assert triangles is not None
    assert np.abs(triangles.latents).max() == ends[-1]
    assert np.abs(doubled_areas(triangles.latents)).sum() == pytest.approx(8 * ends[-1] ** 2, rel=1e-9)
    # Points drawn at every distance lie in one triangle each.
    points = rng.standard_normal((50, 2))
    points *= (rng.uniform(1e-3, 1, 50) * ends[-1] / np.abs(points).max(axis=1))[:, None]
    a, b, c = (triangles.latents[:, k, None] - points for k in range(3))
    turns = [x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0] for x, y in ((a, b), (b, c), (c, a))]
    held = np.logical_and.reduce([t > 0 for t in turns]) | np.logical_and.reduce([t < 0 for t in turns])
    assert (held.sum(axis=0) == 1).all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.floats(0.05, 0.9))
def test_a_network_that_can_be_inverted_leaves_out_nothing(seed: int, depth: int, slope: float):
    rng = np.random.default_rng(seed)
    layers = tuple(
        (turned(tuple(rng.uniform(0.2, 1.5, 2)), rng.uniform(0, 7)), rng.normal(size=2)) for _ in range(depth + 1)
    )
    net = Rectifiers(layers, slope)
    found = of_plane(STANDARD, applied(net), "normal", points=6400, network=net)
    # The inverse, layer by layer from the end, and what it does to areas.
    x = rng.standard_normal((20_000, 2))
    z, log_area = x, np.zeros(len(x))
    for index, (kernel, bias) in enumerate(layers[::-1]):
        if index:
            log_area -= (z < 0).sum(axis=1) * np.log(slope)
            z = np.where(z < 0, z / slope, z)
        z = (z - bias) @ np.linalg.inv(kernel)
        log_area -= np.log(abs(np.linalg.det(kernel)))
    ratio = norm.logpdf(x).sum(axis=1) - norm.logpdf(z).sum(axis=1) - log_area
    assert found.missed == 0
    assert found.kl_forward == pytest.approx(ratio.mean(), abs=6 * ratio.std() / 20_000**0.5 + 0.02 * ratio.std())

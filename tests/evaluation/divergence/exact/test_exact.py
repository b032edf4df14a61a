"""Exact divergences against closed forms and quadrature of the true densities that shares no code with them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ganrun.datasets import cells
from ganrun.datasets.synthetic import Grid, Mixture, Ring, mixture
from ganrun.evaluation.divergence.exact.densities import of_densities, of_push, of_samples

LOG_2 = float(np.log(2))
STANDARD = mixture(np.zeros((1, 1)), 1.0)
BIMODAL = mixture(np.array([[-1.5], [2.0]]), np.array([0.7, 1.0]), np.array([0.6, 0.4]))
RING = Ring().density()
ANGLES = 2 * np.pi * np.arange(8) / 8


def normal(mean: float, std: float) -> Mixture:
    return mixture(np.array([[mean]]), std)


def summand(p: float, q: float) -> float:
    middle = (p + q) / 2
    return 0.5 * sum(part * np.log(part / middle) for part in (p, q) if part > 0)


def shift_jsd(distance: float) -> float:
    """JSD of two normal distributions of standard deviation 1."""
    return quad(lambda x: summand(norm.pdf(x), norm.pdf(x, distance)), -12, 12 + distance, limit=500, epsabs=1e-12)[0]


def bimodal_pdf(x: float) -> float:
    return 0.6 * norm.pdf(x, -1.5, 0.7) + 0.4 * norm.pdf(x, 2.0, 1.0)


# One latent number -----------------------------------------------------------------------------------------------


def test_shift():
    found = of_push(STANDARD, lambda z: z + 1, "normal")
    assert shift_jsd(1) == pytest.approx(0.1114, abs=5e-5)
    assert found.jsd == pytest.approx(shift_jsd(1), abs=1e-6)
    assert found.error < 1e-5
    assert found.kl_forward == pytest.approx(0.5, abs=1e-5)
    assert found.kl_reverse == pytest.approx(0.5, abs=1e-5)
    assert found.w1 == pytest.approx(1, abs=1e-6)


def test_identity_is_zero():
    found = of_push(STANDARD, lambda z: -z, "normal")
    assert abs(found.jsd) < 1e-7
    assert abs(found.kl_forward) < 1e-6
    assert abs(found.kl_reverse) < 1e-6
    assert found.w1 == pytest.approx(0, abs=1e-6)


# One ten-thousandth of the width is finite too: |z| = 1e4 used to be the end of the prior.
@pytest.mark.parametrize("std", [1e-5, 0.01, 0.5, 3.0, 100.0])
def test_scale(std: float):
    found = of_push(STANDARD, lambda z: np.float32(std) * z, "normal")
    assert found.kl_forward == pytest.approx(np.log(std) + 0.5 / std**2 - 0.5, rel=1e-5)
    assert found.kl_reverse == pytest.approx(-np.log(std) + 0.5 * std**2 - 0.5, rel=1e-5)
    assert found.w1 == pytest.approx(abs(std - 1) * np.sqrt(2 / np.pi), rel=1e-5)


def test_fold_leaves_out_half_of_the_data():
    # On x > 0 q = 2p, on x < 0 q = 0.
    found = of_push(STANDARD, np.abs, "normal")
    assert found.jsd == pytest.approx(0.5 * (0.5 * np.log(2 / 3) + 0.5 * LOG_2 + np.log(4 / 3)), abs=1e-6)
    assert found.kl_forward == np.inf
    assert found.kl_reverse == pytest.approx(LOG_2, abs=1e-6)
    assert found.w1 == pytest.approx(np.sqrt(2 / np.pi), abs=1e-6)  # every half of the data that is left moves by 2|x|


@pytest.mark.parametrize("data", ["standard", "bimodal"])
def test_square_is_singular_at_zero(data: str):
    density, pdf = (STANDARD, norm.pdf) if data == "standard" else (BIMODAL, bimodal_pdf)
    # x = u^2 takes the singularity out: q(x) dx = 2 phi(u) du.
    expected = quad(lambda x: 0.5 * pdf(x) * LOG_2, -12, 0, epsabs=1e-12)[0]
    expected += quad(lambda u: summand(pdf(u * u) * 2 * u, 2 * norm.pdf(u)), 0, 12, limit=500, epsabs=1e-12)[0]
    found = of_push(density, np.square, "normal")
    assert found.jsd == pytest.approx(expected, abs=2e-6)
    assert abs(found.jsd - expected) < found.error < 1e-5


def test_saturating_generator():
    # The density is unbounded at both ends; in z it is phi(z).
    expected = quad(
        lambda z: summand(norm.pdf(np.tanh(3 * z)) * 3 / np.cosh(3 * z) ** 2, norm.pdf(z)), -9, 9, limit=500
    )[0]
    expected += 0.5 * LOG_2 * 2 * norm.cdf(-1)
    found = of_push(STANDARD, lambda z: np.tanh(3 * z), "normal")
    assert found.jsd == pytest.approx(expected, abs=3e-6)


def test_constant_generator_is_an_atom():
    found = of_push(STANDARD, lambda z: 0 * z + np.float32(0.3), "normal")
    assert found.jsd == pytest.approx(LOG_2, abs=1e-6)
    assert found.error < 1e-5
    assert found.w1 == pytest.approx(2 * norm.pdf(0.3) + 0.3 * (2 * norm.cdf(0.3) - 1), abs=1e-6)
    assert found.kl_forward == np.inf


def test_half_an_atom():
    # Half of the data is left out, half of the model is an atom, the rest agrees.
    found = of_push(STANDARD, lambda z: np.maximum(z, 0), "normal")
    assert found.jsd == pytest.approx(0.5 * LOG_2, abs=1e-6)
    assert found.w1 == pytest.approx(norm.pdf(0), abs=1e-6)


def test_a_jump_shows_in_the_error():
    found = of_push(STANDARD, np.sign, "normal")
    assert abs(found.jsd - LOG_2) < found.error < 1e-3


@pytest.mark.parametrize("distance", [0.1, 0.001])
def test_disjoint_segments(distance: float):
    found = of_push(normal(0, 1e-6), lambda z: np.float32(distance) + np.float32(1e-6) * z, "uniform")
    assert found.jsd == pytest.approx(LOG_2, abs=1e-6)
    assert found.w1 == pytest.approx(distance, rel=1e-3)
    assert found.kl_forward == np.inf


def test_uniform_prior():
    found = of_push(STANDARD, lambda z: 30 * z, "uniform")
    expected = quad(lambda x: summand(norm.pdf(x), 1 / 60), -30, 30, points=[-5, 0, 5], limit=500, epsabs=1e-12)[0]
    assert found.jsd == pytest.approx(expected, abs=1e-6)
    # Less than 1e-12 of the data lies beyond 30: finite.
    assert found.kl_forward == pytest.approx(np.log(60) - 0.5 * np.log(2 * np.pi * np.e), abs=1e-5)
    assert found.kl_reverse == pytest.approx(0.5 * np.log(2 * np.pi) + 30**2 / 6 - np.log(60), abs=1e-3)


@pytest.mark.parametrize("folds", [1, 51])
def test_many_folds_give_the_arcsine_law(folds: int):
    found = of_push(STANDARD, lambda z: np.sin(folds * np.pi / 2 * z), "uniform")
    expected = quad(lambda t: summand(norm.pdf(np.sin(t)) * np.cos(t), 1 / np.pi), -np.pi / 2, np.pi / 2)[0]
    expected += LOG_2 * norm.cdf(-1)
    assert found.jsd == pytest.approx(expected, abs=1e-5)


def test_two_modes_and_one_normal():
    expected = quad(lambda x: summand(bimodal_pdf(x), norm.pdf(x, -0.014, 1.885)), -15, 15, limit=500)[0]
    forward = quad(lambda x: bimodal_pdf(x) * np.log(bimodal_pdf(x) / norm.pdf(x, -0.014, 1.885)), -10, 10, limit=500)
    found = of_push(BIMODAL, lambda z: np.float32(1.885) * z - np.float32(0.014), "normal")
    known = of_densities(BIMODAL, normal(-0.014, 1.885))
    assert found.jsd == pytest.approx(expected, abs=1e-6)
    assert known.jsd == pytest.approx(expected, abs=1e-7)
    assert found.kl_forward == pytest.approx(forward[0], abs=1e-5)
    assert known.kl_forward == pytest.approx(forward[0], abs=1e-6)


def test_far_from_the_data_the_reverse_divergence_is_large_and_finite():
    found = of_push(normal(1e4, 0.01), lambda z: z, "normal")
    assert found.kl_reverse == pytest.approx(0.5 * (1e4 / 0.01) ** 2, rel=1e-3)
    assert found.jsd == pytest.approx(LOG_2, abs=1e-6)


def test_float32_rounding_is_not_taken_for_atoms():
    # Next to 1.3 float32 numbers are 0.12 standard deviations apart.
    mean = float(np.float32(1.3))
    found = of_push(normal(mean, 1e-6), lambda z: (mean + 1e-6 * z.astype(np.float64)).astype(np.float32), "normal")
    assert found.jsd < 1e-5
    samples = mean + 1e-6 * np.random.default_rng(0).standard_normal((200_000, 1))
    assert of_samples(normal(mean, 1e-6), samples.astype(np.float32)).jsd < 1e-3


def test_a_tail_that_overflows_is_left_out():
    with np.errstate(over="ignore"):
        found = of_push(STANDARD, np.exp, "normal")
    expected = 0.25 * LOG_2
    expected += quad(lambda u: summand(norm.pdf(np.exp(u)) * np.exp(u), norm.pdf(u)), -12, 12, limit=500)[0]
    assert found.jsd == pytest.approx(expected, abs=1e-6)
    assert found.w1 == pytest.approx(np.exp(0.5), abs=1e-5)  # exp(z) > z, so the means differ by it


def network(seed: int, width: int = 32):
    rng = np.random.default_rng(seed)
    first, second, last = rng.normal(size=(1, width)), rng.normal(size=(width, width)), rng.normal(size=(width, 1))
    bias = rng.normal(size=(2, width))

    def push(z: np.ndarray) -> np.ndarray:
        hidden = np.tanh(z @ first + bias[0])
        return (np.maximum(hidden @ second / width**0.5 + bias[1], 0) @ last / width**0.5).astype(np.float32)

    return push


@pytest.mark.parametrize("seed", range(4))
def test_pushing_and_sampling_a_network_agree(seed: int):
    push, z = network(seed), np.random.default_rng(99).standard_normal((2**19, 1)).astype(np.float32)
    pushed, sampled = of_push(BIMODAL, push, "normal"), of_samples(BIMODAL, push(z))
    assert pushed.error < 1e-4
    assert abs(pushed.jsd - sampled.jsd) < 1.5 * sampled.error
    assert sampled.w1 == pytest.approx(pushed.w1, abs=0.01)


def test_push_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match="2 dimensions"):
        of_push(RING, lambda z: z, "normal")
    with pytest.raises(ValueError, match="'cauchy'; allowed: 'normal', 'uniform'"):
        of_push(STANDARD, lambda z: z, "cauchy")
    with pytest.raises(ValueError, match="shape"):
        of_push(STANDARD, lambda z: z[:, 0], "normal")
    with pytest.raises(ValueError, match="not finite"):
        of_push(STANDARD, lambda z: z * np.float32(np.nan), "uniform")


# Samples on a line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [100_000, 2**19])
@pytest.mark.parametrize(
    ("push", "jsd"),
    [
        (lambda z: z, 0.0),
        (lambda z: z + 1, 0.1114215),
        (np.abs, 0.2157616),
        (np.square, 0.2652552),
        (lambda z: 0 * z, LOG_2),
        (lambda z: np.maximum(z, 0), 0.5 * LOG_2),
    ],
    ids=["same", "shift", "fold", "square", "atom", "half an atom"],
)
def test_samples_on_a_line(n: int, push, jsd: float):
    z = np.random.default_rng(n).standard_normal((n, 1)).astype(np.float32)
    found = of_samples(STANDARD, push(z))
    assert abs(found.jsd - jsd) < min(1.25 * found.error, 1.5e-3 if n == 100_000 else 6e-4)
    assert found.error < 1e-2


def test_samples_on_a_line_other_divergences():
    x = 1 + 2 * np.random.default_rng(0).standard_normal((2**19, 1))
    found = of_samples(STANDARD, x)
    assert found.kl_forward == pytest.approx(np.log(2) + (1 + 1) / 8 - 0.5, abs=0.01)
    assert found.kl_reverse == pytest.approx(-np.log(2) + (4 + 1) / 2 - 0.5, abs=0.02)
    exact = of_densities(STANDARD, normal(1, 2))
    assert found.w1 == pytest.approx(exact.w1, abs=0.01)
    assert found.jsd == pytest.approx(exact.jsd, abs=2e-3)


def test_standard_error_is_that_of_many_trials():
    rng = np.random.default_rng(5)
    runs = [of_samples(STANDARD, rng.standard_normal((20_000, 1)) + 1) for _ in range(100)]
    off = np.array([run.jsd for run in runs]) - shift_jsd(1)
    assert abs(off.mean()) < 3 * off.std() / 10 + 1e-4
    assert np.mean(np.abs(off) < [run.error for run in runs]) >= 0.9


# Two dimensions --------------------------------------------------------------------------------------------------


def ring(std: float = 0.02, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    return 2 * np.stack([np.cos(ANGLES + turn), np.sin(ANGLES + turn)], axis=1), np.full(8, std)


def radial_jsd(ratio: float) -> float:
    """JSD of two round normal distributions with one centre in the plane."""

    def ring_of(r: float) -> float:
        return (
            2
            * np.pi
            * r
            * summand(np.exp(-(r**2) / 2) / 2 / np.pi, np.exp(-(r**2) / 2 / ratio**2) / 2 / np.pi / ratio**2)
        )

    return quad(ring_of, 0, 12 * ratio, limit=500, epsabs=1e-12)[0]


def against_wide_normal(std: float) -> float:
    """JSD of the ring and N(0, std^2 I): a product rule around a mode; elsewhere the ring has no mass."""
    node, weight = np.polynomial.legendre.leggauss(120)
    offset, area = 0.2 * node, np.outer(0.2 * weight, 0.2 * weight)
    x, y = np.meshgrid(2 + offset, offset, indexing="ij")
    p = np.exp(-((x - 2) ** 2 + y**2) / 2 / 0.02**2) / (8 * 2 * np.pi * 0.02**2)
    q = np.exp(-(x**2 + y**2) / 2 / std**2) / (2 * np.pi * std**2)
    inside = 0.5 * (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)))
    return 8 * float((inside * area).sum()) + 0.5 * LOG_2 * (1 - 8 * float((q * area).sum()))


CHORD = 2 * 2 * np.sin(0.005) / 0.02
DROPPED = 0.5 * (7 / 8 * np.log(14 / 15) + np.log(2) / 8 + np.log(16 / 15))
ROWS = {
    "same": (*ring(), None, 0.0, 0.0),
    "one mode dropped": (*ring(), np.append(np.ones(7), 0.0), DROPPED, 0.0451),
    "std x 1.5": (*ring(std=0.03), None, radial_jsd(1.5), 0.0716),
    "rotated by .01": (*ring(turn=0.01), None, shift_jsd(CHORD), 0.1115),
    "normal": (np.zeros((1, 2)), np.full(1, np.sqrt(2)), None, against_wide_normal(np.sqrt(2)), 0.6822),
}


def draw(means: np.ndarray, stds: np.ndarray, weights: np.ndarray | None, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = np.ones(len(means)) if weights is None else weights
    mode = rng.choice(len(means), n, p=weights / weights.sum())
    return (means[mode] + stds[mode, None] * rng.standard_normal((n, 2))).astype(np.float32)


@pytest.mark.parametrize("row", ROWS)
def test_the_published_rows_agree_with_ours(row: str):
    *_, exact, published = ROWS[row]
    assert exact == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("row", ROWS)
def test_ring_by_quadrature(row: str):
    means, stds, weights, exact, _ = ROWS[row]
    found = of_densities(RING, mixture(means, stds, weights))
    assert found.jsd == pytest.approx(exact, abs=1e-6)
    assert found.error < 1e-6
    assert found.w1 is None


@pytest.mark.parametrize("row", ROWS)
def test_ring_from_half_a_million_samples(row: str):
    means, stds, weights, exact, _ = ROWS[row]
    found = of_samples(RING, draw(means, stds, weights, 2**19, seed=1))
    assert abs(found.jsd - exact) < min(found.error, 1e-3)
    assert found.error < 2e-3
    assert found.w1 is None


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_ring_from_four_million_samples(row: str):
    means, stds, weights, exact, _ = ROWS[row]
    found = of_samples(RING, draw(means, stds, weights, 4_000_000, seed=2))
    assert abs(found.jsd - exact) < min(found.error, 3e-4)
    assert found.error < 1e-3


def test_ring_other_divergences():
    means, stds = ring(std=0.03)
    # In the plane KL of round normals of one centre is log s^2 + 1/s^2 - 1, with s the ratio of their widths.
    known, sampled = of_densities(RING, mixture(means, stds)), of_samples(RING, draw(means, stds, None, 2**19, seed=3))
    for found, tolerance in ((known, 1e-5), (sampled, 0.02)):
        assert found.kl_forward == pytest.approx(np.log(2.25) + 1 / 2.25 - 1, abs=tolerance)
        assert found.kl_reverse == pytest.approx(2.25 - 1 - np.log(2.25), abs=tolerance)


def test_between_modes_the_reverse_divergence_is_that_of_the_samples():
    samples = draw(np.zeros((1, 2)), np.full(1, np.sqrt(2)), None, 200_000, seed=4)
    found, exact = of_samples(RING, samples), of_densities(RING, mixture(np.zeros((1, 2)), np.sqrt(2)))
    assert exact.kl_reverse == pytest.approx(
        -np.mean(cells.log_density(RING, samples)) - np.log(4 * np.pi * np.e), rel=0.02
    )
    assert found.kl_reverse == pytest.approx(exact.kl_reverse, rel=0.04)
    assert np.isfinite(found.kl_forward)


def test_a_model_on_a_curve_shows_in_the_error():
    # A circle has no area, so the truth is log 2; cells of finite size cannot see that.
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 2**19)
    found = of_samples(RING, 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert 0.5 < found.jsd < LOG_2
    assert LOG_2 - found.jsd < found.error


def test_distant_model_is_as_far_as_can_be():
    found = of_samples(RING, draw(np.array([[1e3, -1e3]]), np.ones(1), None, 10_000, seed=0))
    assert found.jsd == pytest.approx(LOG_2, abs=1e-6)
    assert found.kl_reverse == pytest.approx(0.5 * ((1e3 - np.sqrt(2)) / 0.02) ** 2 * 2, rel=0.05)


@pytest.mark.parametrize(
    "density", [Ring(modes=1000).density(), Ring(modes=200, std=1e-6).density(), Grid(side=30).density()]
)
def test_hostile_settings_stay_bounded(density: Mixture):
    means, stds, _ = cells.components(density)
    found = of_samples(density, draw(means, stds, None, 100_000, seed=0))
    assert found.jsd < max(2 * found.error, 0.02)
    axis = cells.mode_edges(means[:, 0], stds, 0.3, 5.0, -2.0, 2.0)
    assert len(axis) <= 1500
    assert axis[0] < -2.0
    assert axis[-1] > 2.0
    assert np.all(np.diff(axis) > 0)


def test_samples_reject_what_does_not_fit():
    with pytest.raises(ValueError, match=r"need \(n, 2\)"):
        of_samples(RING, np.zeros((2000, 1)))
    with pytest.raises(ValueError, match=r"need \(n, 1\)"):
        of_samples(STANDARD, np.zeros(2000))
    with pytest.raises(ValueError, match="1000"):
        of_samples(STANDARD, np.zeros((999, 1)))
    with pytest.raises(ValueError, match="not finite"):
        of_samples(STANDARD, np.full((2000, 1), np.inf))
    with pytest.raises(ValueError, match="1 and 2 dimensions"):
        of_densities(STANDARD, RING)


# Properties ------------------------------------------------------------------------------------------------------

NUMBERS = st.floats(-5, 5, width=32)
WIDTHS = st.floats(0.0625, 3, width=32)
ON_A_LINE = st.lists(st.tuples(NUMBERS, WIDTHS, st.floats(0.1, 1)), min_size=1, max_size=3).map(
    lambda modes: mixture(*(np.array(part) for part in zip(*[([m], s, w) for m, s, w in modes], strict=True)))
)


def mirrored(density: Mixture) -> Mixture:
    return mixture(-np.asarray(density.means), np.asarray(density.stds), np.asarray(density.weights))


def on_a_line(*modes: tuple[float, float, float]) -> Mixture:
    means, stds, weights = (np.array(part) for part in zip(*modes, strict=True))
    return mixture(means[:, None], stds, weights)


# Far from both modes log p bends at -2, where q has much mass: KL(q, p) was wrong by 1e-5 of its size.
BENT = on_a_line((0.0, 0.125, 1.0), (2.0, 0.25, 1.0)), on_a_line((0.0, 1.0, 1.0), (0.0, 1.75, 1.0))


def test_a_bend_of_the_log_density_far_from_its_modes_costs_nothing():
    p, q = BENT

    def log_density(density, x):
        return float(cells.log_density(density, np.array([[x]]))[0])

    def integrand(x):
        return np.exp(log_density(q, x)) * (log_density(q, x) - log_density(p, x))

    wanted, error = quad(integrand, -16, 16, points=[-2, 0, 0.67, 2], limit=2000, epsabs=1e-11, epsrel=1e-11)
    assert error < 1e-7
    assert of_densities(p, q).kl_reverse == pytest.approx(wanted, rel=1e-7)


@settings(max_examples=25, deadline=None)
@given(ON_A_LINE, ON_A_LINE)
@example(*BENT)
def test_known_densities_bounds_symmetry_and_mirror(p: Mixture, q: Mixture):
    there, back, mirror = of_densities(p, q), of_densities(q, p), of_densities(mirrored(p), mirrored(q))
    assert -there.error <= there.jsd <= LOG_2 + there.error
    assert there.error < 1e-6
    assert min(there.kl_forward, there.kl_reverse) > -1e-9
    assert there.w1 >= 0
    for other, forward, reverse in ((back, "kl_reverse", "kl_forward"), (mirror, "kl_forward", "kl_reverse")):
        assert other.jsd == pytest.approx(there.jsd, abs=1e-7)
        assert getattr(other, forward) == pytest.approx(there.kl_forward, rel=1e-5, abs=1e-7)
        assert getattr(other, reverse) == pytest.approx(there.kl_reverse, rel=1e-5, abs=1e-7)
        assert other.w1 == pytest.approx(there.w1, abs=1e-6)
    assert there.w1 >= abs(float(p.means[:, 0] @ p.weights - q.means[:, 0] @ q.weights)) - 1e-5


@settings(max_examples=25, deadline=None)
@given(ON_A_LINE, NUMBERS, st.floats(0.0625, 5, width=32))
def test_pushing_a_normal_agrees_with_its_density(p: Mixture, mean: float, std: float):
    known = of_densities(p, normal(mean, std))
    pushed = of_push(p, lambda z: np.float32(std) * z + np.float32(mean), "normal")
    assert pushed.jsd == pytest.approx(known.jsd, abs=5e-6)
    assert pushed.kl_forward == pytest.approx(known.kl_forward, rel=1e-3, abs=1e-5)
    assert pushed.kl_reverse == pytest.approx(known.kl_reverse, rel=1e-3, abs=1e-5)
    assert pushed.w1 == pytest.approx(known.w1, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(ON_A_LINE, st.integers(0, 1000), st.sampled_from(["normal", "uniform"]))
@example(mixture([[0.0]], 1.0), 332, "uniform")  # rounding once took it past log 2 by its last digit
def test_mirroring_data_and_generator_changes_nothing(p: Mixture, seed: int, prior: str):
    push = network(seed, width=4)
    one, other = of_push(p, push, prior), of_push(mirrored(p), lambda z: -push(z), prior)
    assert 0 <= one.jsd <= LOG_2
    assert min(one.kl_forward, one.kl_reverse) >= 0
    assert other.jsd == pytest.approx(one.jsd, abs=1e-5)
    assert other.w1 == pytest.approx(one.w1, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 2), st.integers(1000, 5000), st.integers(0, 100))
def test_the_order_of_samples_does_not_matter(dim: int, n: int, seed: int):
    rng = np.random.default_rng(seed)
    density = mixture(rng.uniform(-2, 2, (3, dim)), rng.uniform(0.1, 1, 3))
    samples = rng.standard_normal((n, dim))
    one = of_samples(density, samples)
    assert of_samples(density, rng.permutation(samples)) == one
    assert 0 <= one.jsd <= LOG_2

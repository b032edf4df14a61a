"""The Dirac-GAN (Mescheder et al. 2018): ganrun's own update against what can be worked out about it.

Data at 0, one sample θ, D(x) = ψ x. The field is v(θ, ψ), both players' descent at once, and its Jacobian at the
equilibrium (0, 0) decides whether they arrive. With f'(0) = 1/2 and f''(0) = -1/4 for the logistic losses:
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.methods.run_state import update
from ganrun.training.build import build

RATE = 0.2
START = (1.0, -1.0)  # θ, ψ. In the paper D is high on samples: its (1, 1) is this
PLAYERS = ("generator", "discriminator")
SETTINGS = ("momentum=0", "final_momentum=0", "decay=constant", f"learning_rate={RATE}")
WORDS = [
    "dataset=dirac",
    "architecture=dirac",
    "optimizer=sgd",
    *(f"optimizer.{player}.{word}" for player in PLAYERS for word in SETTINGS),
    "steps=500",
    "batch_size=2",
    "ema.decay=0",
]
AT_ONCE = "schedule.order=simultaneous"
R1 = ("penalty=r1", "penalty.r1.weight=0.3")
CONSENSUS = ("penalty=consensus", "penalty.consensus.weight=1")
CLIPPED = ("loss=wasserstein", "penalty=weight_clipping", "penalty.weight_clipping.limit=1")
# The paper's table has the weight of half a square; Gulrajani et al. have no half.
SLOPED = ("loss=wasserstein", "penalty=gradient_penalty", "penalty.gradient_penalty.weight=0.35")


def stepper(compose_config, *words):
    """The real update as a function of (θ, ψ) and a key, and the method."""
    experiment = build(compose_config([*WORDS, *words]))
    state = experiment.init()

    def step(point, key=state.key):
        theta, psi = (
            jax.tree.map(lambda leaf, i=i: jnp.zeros_like(leaf) + point[i], getattr(state.model, player).params)
            for i, player in enumerate(PLAYERS)
        )
        model = dataclasses.replace(
            state.model,
            generator=dataclasses.replace(state.model.generator, params=theta),
            discriminator=dataclasses.replace(state.model.discriminator, params=psi),
        )
        after = update(experiment.method, dataclasses.replace(state, key=key, model=model), experiment.data.train)
        return jnp.stack([jax.tree.leaves(getattr(after.model, player).params)[0][0] for player in PLAYERS])

    return step


def field_eigenvalues(step):
    """Eigenvalues of the field's Jacobian at (0, 0), where a step of all at once is 1 + RATE v'."""
    jacobian = np.asarray(jax.jit(jax.jacfwd(step))(jnp.zeros(2)), np.float64)
    return np.sort_complex(np.linalg.eigvals((jacobian - np.eye(2)) / RATE))


def pair(real, imaginary):
    return np.sort_complex(np.array([real + 1j * imaginary, real - 1j * imaginary]))


def damped(rate, strength=0.5):
    """-rate ± √(rate² - strength²): rate γ/2 for R1."""
    root = np.sqrt(complex(rate**2 - strength**2))
    return np.sort_complex(np.array([-rate + root, -rate - root]))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("loss=minimax",), pair(0, 0.5)),
        (("loss=nonsaturating",), pair(0, 0.5)),
        (("loss=relativistic",), pair(0, 0.5)),
        (("loss=relativistic_average",), pair(0, 1.0)),  # both halves of the loss are kept, not their mean
        (("loss=logistic",), pair(0, 0.5)),
        (("loss=wasserstein",), pair(0, 1.0)),
        (CLIPPED, pair(0, 1.0)),
        (("loss=hinge",), pair(0, 1.0)),
        (("loss=minimax", *R1), damped(0.15)),
        (("loss=nonsaturating", *R1), damped(0.15)),
        (("loss=relativistic", *R1), damped(0.15)),
        (("loss=minimax", "penalty=r2", "penalty.r2.weight=0.3"), damped(0.15)),
        (("loss=minimax", "penalty=[r1,r2]", "penalty.r1.weight=0.3", "penalty.r2.weight=0.3"), damped(0.3)),
        # γ = 1 is critical: a double eigenvalue, of which rounding shows the square root.
        (("loss=minimax", "penalty=r1", "penalty.r1.weight=1.2"), damped(0.6)),
        (("loss=minimax", *CONSENSUS), pair(-0.25, 0.5)),
        (("loss=nonsaturating", *CONSENSUS), pair(-0.25, 0.5)),
        (("loss=wasserstein", *CONSENSUS), pair(-1.0, 1.0)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_eigenvalues_of_the_real_update(words, wanted, compose_config):
    np.testing.assert_allclose(field_eigenvalues(stepper(compose_config, AT_ONCE, *words)), wanted, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_alternating_minimax_neither_arrives_nor_leaves(k, compose_config):
    # θ' = θ - h ψ'/2 and ψ' = ψ + k h θ/2 (in ψ's sign of the paper): a matrix of determinant 1.
    step = stepper(compose_config, "loss=minimax", f"schedule.k={k}")
    values = np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(step))(jnp.zeros(2)), np.float64))
    np.testing.assert_allclose(np.abs(values), 1.0, atol=1e-6)
    np.testing.assert_allclose(2 * values.real, 2 - k * RATE**2 / 4, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
def test_instance_noise_damps_by_its_variance(sigma, compose_config):
    # f'' σ² ± √(f''² σ⁴ - f'²), where σ² is what the minibatch's noise has: its draws on both sides, mean square.
    words = (f"inputs.noise={sigma}", f"inputs.final_noise={sigma}", "batch_size=100000", "loss=minimax", AT_ONCE)
    step = stepper(compose_config, *words)
    jacobian = (np.asarray(jax.jit(jax.jacfwd(step))(jnp.zeros(2)), np.float64) - np.eye(2)) / RATE
    own = -2 * jacobian[1, 1]
    # 200 000 draws: the standard error of a mean square is σ² √(2 / n).
    assert abs(own - sigma**2) < 5 * sigma**2 * np.sqrt(2 / 200_000)
    wanted = damped(own / 4)
    np.testing.assert_allclose(field_eigenvalues(step), wanted, atol=1e-6 if abs(own - 2) > 0.1 else 1e-3)


def arrival(compose_config, *words):
    """The distance from (0, 0) after 500 steps from START."""
    step = stepper(compose_config, *words)
    keys = jax.random.split(jax.random.key(0), 500)
    end, _ = jax.jit(lambda start: jax.lax.scan(lambda now, key: (step(now, key), None), start, keys))(jnp.array(START))
    return float(jnp.linalg.norm(end))


@pytest.mark.parametrize(
    ("words", "radius"),
    [
        (("loss=minimax",), 3.1),
        (("loss=nonsaturating",), 0.64),
        (("loss=relativistic",), 0.64),
        (CLIPPED, 1.0),
        (SLOPED, 1.8),
        (("loss=minimax", *R1), 2.6e-6),
        (("loss=minimax", *CONSENSUS), 2.6e-10),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_how_far_from_equilibrium_500_steps_at_once_end(words, radius, compose_config):
    assert arrival(compose_config, AT_ONCE, *words) == pytest.approx(radius, rel=0.03)


def by_hand(name, k):
    """500 steps of Algorithm 1 in double precision from the formulas: k times ψ, then θ."""
    theta, psi = START

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for _ in range(500):
        for _ in range(k):
            if name == "wasserstein":
                psi = np.clip(psi - RATE * theta, -1, 1)
            else:
                psi -= RATE * (sigmoid(psi * theta) * theta + (0.3 * psi if name == "r1" else 0))
        theta -= (
            RATE
            * {
                "minimax": -sigmoid(psi * theta) * psi,
                "nonsaturating": -sigmoid(-psi * theta) * psi,
                "r1": -sigmoid(psi * theta) * psi,
                "wasserstein": -psi,
            }[name]
        )
    return float(np.hypot(theta, psi))


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("minimax", ("loss=minimax",)),
        ("nonsaturating", ("loss=nonsaturating",)),
        ("wasserstein", CLIPPED),
        ("r1", ("loss=minimax", *R1)),
    ],
)
def test_how_far_from_equilibrium_500_alternating_steps_end(name, words, k, compose_config):
    # Rounding is carried along for thousands of updates; where the end is 1e-33 only the smallness means something.
    found, wanted = arrival(compose_config, *words, f"schedule.k={k}"), by_hand(name, k)
    assert found == pytest.approx(wanted, rel=0.02, abs=1e-12)

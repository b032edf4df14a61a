"""The settings of the game: what each is by itself, and what it may be, spelled out a second time."""

import dataclasses

import pytest

from ganrun.config.registry import options, traced

SMOOTHED = {"label_smoothing": "0.0 in [0.0, 1.0)"}
OBJECTIVES = "of saturating, nonsaturating"
MOVES = {"generator_steps": "1 in [1, 10000]", "order": "alternating of alternating, simultaneous"}
LAZY = {"every": "1 in [1, 10000]"}
FADING = {
    "weight": "0.1 in [0.0, ∞)",
    "final_weight": "0.0 in [0.0, ∞)",
    "decay": "constant of constant, cosine, linear",
    "gradient": "auto of auto, exact, fused, approximate",
    "step": "0.01 in (0.0, 10.0]",
}
SLOPE = {"weight": "10.0 in [0.0, ∞)", "target": "1.0 in [0.0, ∞)", "one_sided": "False"}
WATCHING = {"accuracy": "0.7 in [0.0, 1.0]", "until": "value of value, accuracy"}
DECAYS = "of constant, cosine, linear, exponential"
RATES = {"decay_rate": "4e-06 in [0.0, 10.0]"}
WANTED = {
    "loss": {
        "cramer": {"outputs": "256 in [2, 65536]"},
        "feature_matching": SMOOTHED,
        "fgan": {
            "divergence": "js of kl, reverse_kl, js, jeffrey, pearson, squared_hellinger, total_variation",
            "generator_objective": f"saturating {OBJECTIVES}",
        },
        "hinge": {},
        "least_squares": {
            "fake_target": "0.0 in (-∞, ∞)",
            "real_target": "1.0 in (-∞, ∞)",
            "generator_target": "1.0 in (-∞, ∞)",
        },
        "logistic": {"generator_objective": f"nonsaturating {OBJECTIVES}"},
        "maximum_likelihood": SMOOTHED,
        "minimax": SMOOTHED,
        "nonsaturating": SMOOTHED,
        "relativistic": {},
        "relativistic_average": {},
        "wasserstein": {},
    },
    "penalty": {
        "consensus": {"weight": "0.1 in [0.0, ∞)"},
        "dragan": LAZY | SLOPE | {"spread": "0.5 in [0.0, ∞)"},
        "drift": {"weight": "0.001 in [0.0, ∞)"},
        "gradient_penalty": LAZY | SLOPE,
        "r1": LAZY | FADING,
        "r2": LAZY | FADING,
        "spectral_normalisation": {"iterations": "1 in [1, 100]"},
        "weight_clipping": {"limit": "0.01 in (0.0, ∞)"},
    },
    "schedule": {
        "adaptive": MOVES
        | WATCHING
        | {"k": "20 in [1, 100000]", "patience": "1 in [1, 100000]", "tolerance": "0.0 in [0.0, ∞)"},
        "constant": MOVES | {"k": "1 in [1, 1000]"},
        "piecewise": MOVES
        | {
            "at": "(0, 25) in [0, 2147483647]",
            "k": "(100, 5) in [1, 100000]",
            "burst_every": "500 in [0, 2147483647]",
            "burst_k": "100 in [1, 100000]",
        },
        "ramp": MOVES
        | {
            "k": "1 in [1, 100000]",
            "final_k": "5 in [1, 100000]",
            "share": "1.0 in (0.0, 1.0]",
            "shape": "linear of linear, cosine",
        },
        "to_optimum": MOVES
        | WATCHING
        | {"k": "1000 in [1, 100000]", "patience": "20 in [1, 100000]", "tolerance": "0.0001 in [0.0, ∞)"},
    },
    "optimizer": {
        "adam": RATES
        | {
            "learning_rate": "0.001 in [0.0, 10.0]",
            "minimum_rate": "0.0 in [0.0, 10.0]",
            "decay": f"cosine {DECAYS}",
            "b1": "0.5 in [0.0, 1.0)",
            "b2": "0.99 in [0.0, 1.0)",
            "final_b2": "0.99 in [0.0, 1.0)",
            "b2_schedule": "constant of constant, cosine, linear",
            "eps": "1e-08 in (0.0, 1.0]",
        },
        "rmsprop": RATES
        | {
            "learning_rate": "5e-05 in [0.0, 10.0]",
            "minimum_rate": "0.0 in [0.0, 10.0]",
            "decay": f"constant {DECAYS}",
            "smoothing": "0.99 in [0.0, 1.0)",
            "eps": "1e-08 in (0.0, 1.0]",
        },
        "sgd": RATES
        | {
            "learning_rate": "0.1 in [0.0, 10.0]",
            "minimum_rate": "1e-06 in [0.0, 10.0]",
            "decay": f"exponential {DECAYS}",
            "momentum": "0.5 in [0.0, 1.0)",
            "final_momentum": "0.7 in [0.0, 1.0)",
            "momentum_steps": "125000.0 in (0.0, ∞)",
        },
    },
}


def told(field):
    default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    known = field.metadata
    if "choices" in known:
        return f"{default} of {', '.join(known['choices'])}"
    if isinstance(default, bool):
        return str(default)
    low = f"[{known['low']}" if "low" in known else f"({known.get('above', '-∞')}"
    high = f"{known['high']}]" if "high" in known else f"{known.get('below', '∞')})"
    return f"{default} in {low}, {high}"


@pytest.mark.parametrize("group", WANTED)
def test_every_setting_is_and_may_be_what_it_should(group):
    found = {
        name: {field.name: told(field) for field in dataclasses.fields(option) if field.name != "name"}
        for name, option in options(group).items()
    }
    assert found == WANTED[group]


def test_the_numbers_of_a_schedule_are_values_of_one_program():
    moves = {name: {field.name for field in dataclasses.fields(option)} for name, option in options("schedule").items()}
    shaping = {"name", "generator_steps", "order", "shape", "until"}
    assert {name: set(traced(option())) for name, option in options("schedule").items()} == {
        name: fields - shaping for name, fields in moves.items()
    }

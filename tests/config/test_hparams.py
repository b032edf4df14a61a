"""Which hyperparameters of a run are shown: the five that say what it is, and what was chosen."""

import dataclasses

import pytest

from ganrun.config.hparams import FIRST, chosen, hyperparameters, varying


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ([], {}),
        (["schedule.k=2", "steps=50"], {"schedule.k": 2, "steps": 50}),
        (["schedule.k=1", "latent.dim=2"], {}),  # as they come
        (["dataset=digits", "latent.dim=64"], {}),  # as they come with digits, though not with points
        (["dataset=digits", "latent.dim=2"], {"latent.dim": 2}),
        (["penalty=[r1,drift]"], {"penalty": "drift+r1"}),
        (["penalty=r1", "penalty.r1.weight=3"], {"penalty": "r1", "penalty.r1.weight": 3.0}),
        (["schedule=ramp"], {"schedule": "ramp"}),
        (["loss=fgan", "loss.divergence=kl"], {"loss.divergence": "kl"}),
        (["log.every=10", "checkpoint.keep=5", "probe=off"], {}),  # nothing that a run computes with
    ],
)
def test_what_differs_from_the_defaults_is_shown_after_the_five_that_always_are(compose_config, words, rest):
    found = chosen(compose_config(words))
    assert list(found)[:5] == ["dataset", "architecture", "method", "loss", "seed"] == list(FIRST)
    assert {key: value for key, value in found.items() if key not in FIRST} == rest


def test_the_five_say_what_was_chosen_by_name(compose_config):
    found = chosen(compose_config(["dataset=grid", "architecture=mlp", "loss=hinge", "seed=7"]))
    assert found == {"dataset": "grid", "architecture": "mlp", "method": "gan", "loss": "hinge", "seed": 7}


def test_what_a_preset_chooses_is_shown(compose_config):
    found = chosen(compose_config(["experiment=wgan"]))
    assert found["loss"] == "wasserstein" and found["schedule"] == "piecewise"


def test_what_varies_in_a_sweep_is_shown_of_the_run_that_has_the_default_too(compose_config):
    words = (["schedule.k=1"], ["schedule.k=2"], ["schedule.k=2", "penalty=r1"], ["schedule.k=2", "loss=hinge"])
    configs = [compose_config(one) for one in words]
    # A setting that only one option has does not vary: the choice of the option says it.
    assert varying(configs) == {"schedule.k", "penalty", "loss"}
    assert chosen(configs[0], varying(configs)) == {
        "dataset": "ring",
        "architecture": "mlp",
        "method": "gan",
        "loss": "nonsaturating",
        "seed": 0,
        "schedule.k": 1,
        "penalty": "none",
    }
    assert varying(configs[:1]) == varying([]) == frozenset()


def test_what_is_recorded_from_files_is_no_hyperparameter_except_for_the_content(compose_config):
    config = compose_config(["dataset=array", "dataset.held_out=0.2"])
    read = {"shape": (2,), "examples": 40, "content": "0123456789abcdef", "mean": (1.0, 2.0), "std": (3.0, 4.0)}
    config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, **read))
    names = {key for key in hyperparameters(config) if key.startswith("dataset.")}
    kept = ("name", "path", "key", "columns", "label", "held_out", "flip", "content")
    assert names == {f"dataset.{name}" for name in kept}
    assert {key for key in chosen(config) if key.startswith("dataset.")} == {"dataset.held_out"}
    assert chosen(config, ["dataset.content"])["dataset.content"] == "0123456789abcdef"

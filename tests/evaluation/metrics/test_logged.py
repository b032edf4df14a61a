"""Which tags a run logs is known before it starts, and what is refused because of it.

That runs really log them is shown where runs are made: ``assert_logs_what_was_foretold`` in tests/commands.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from written import assert_logs_what_was_foretold

from ganrun.config.settings import Checkpoint
from ganrun.errors import ConfigError
from ganrun.evaluation.load_run import best_step
from ganrun.evaluation.metrics.logged import logged, require_best, require_logged
from ganrun.training.session import RunSession
from ganrun.training.train import train

STEP = {"loss/discriminator", "loss/generator", "grad_norm/discriminator", "grad_norm/generator", "schedule/k"}
STEP |= {"steps_per_second"}
PROBABILITY = {"D(x)", "D(G(z))", "value", "jsd/online"}
SCORES = {"critic/real", "critic/fake"}
CALIBRATED = {"D(x)/calibrated", "D(G(z))/calibrated"}
EXACT = {"jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse"}
MODES = {"modes/covered", "modes/high_quality", "modes/kl", "modes/high_quality_data", "modes/kl_data"}
PROBE = {"jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"}
SMOOTHED = {"jsd/smoothed", "jsd/smoothed_error", "data_missed"}
DIVERSITY = {"samples/diversity"}

KNOWN = {
    "": STEP | PROBABILITY | EXACT | {"data_missed"} | MODES | PROBE | DIVERSITY,
    "latent.dim=3 probe=off": STEP | PROBABILITY | EXACT | MODES | DIVERSITY,
    "latent.dim=1 probe=off": STEP | PROBABILITY | EXACT | SMOOTHED | MODES | DIVERSITY,
    "architecture.generator_hidden=[8,1,8] probe=off": STEP | PROBABILITY | EXACT | SMOOTHED | MODES | DIVERSITY,
    "log.pictures=0 probe=off": STEP | PROBABILITY,
    "dataset=mixture1d loss=hinge": STEP | SCORES | CALIBRATED | EXACT | {"w1"} | MODES | PROBE | DIVERSITY,
    "dataset=gaussian loss=relativistic log.pictures=0 probe=stack": STEP
    | SCORES
    | {"value/pair"}
    | CALIBRATED
    | EXACT
    | {"w1"}
    | PROBE
    | DIVERSITY,
    "dataset=digits penalty=[r1,drift,weight_clipping]": STEP
    | PROBABILITY
    | {"penalty/r1", "penalty/drift"}
    | PROBE
    | DIVERSITY
    | {"samples/nearest_training"},
    "dataset=mixture1d conditional=true probe=off": STEP
    | PROBABILITY
    | EXACT
    | {"w1"}
    | MODES
    | DIVERSITY
    | {f"{side}/class_{i}" for side in ("D(x)", "D(G(z))") for i in (0, 1)},
    "loss=wasserstein dataset.modes=2 conditional=true probe=off": STEP
    | SCORES
    | CALIBRATED
    | EXACT
    | MODES
    | DIVERSITY
    | {f"critic/{side}/class_{i}" for side in ("real", "fake") for i in (0, 1)},
    "dataset=dirac architecture=dirac": STEP | PROBABILITY,
}


@pytest.mark.parametrize("words", KNOWN)
def test_what_a_run_logs_follows_from_its_config(words, compose_config) -> None:
    evaluated = set() if words == "log.pictures=0 probe=off" else {"evaluate/seconds"}
    assert sorted(logged(compose_config(words.split()))) == sorted(KNOWN[words] | evaluated)


def test_a_point_is_measured_by_nothing(compose_config, tmp_path) -> None:
    config = compose_config(
        ["dataset=dirac", "architecture=dirac", "batch_size=4", "log.every=1", "log.pictures=1", "steps=1"]
    )
    assert train(config, tmp_path / "run") == 0
    assert_logs_what_was_foretold(tmp_path / "run")


# What is refused

REFUSED = {
    "jsd/exakt": ("", "no run logs 'jsd/exakt'", "Did you mean 'jsd/exact'?"),
    "modes/coverd": ("", "no run logs 'modes/coverd'", "Did you mean 'modes/covered'?"),
    "jsd/probe": ("probe=off", "probe=off measures none"),
    "jsd/probe_lower": ("probe=off", "probe=off measures none"),
    "jsd/exact": ("dataset=digits", "dataset=digits has no known density"),
    "kl/reverse": ("log.pictures=0 probe=off", "log.pictures=0 and probe=off measure nothing"),
    "w1": ("", "dataset=ring is not on the line"),
    "data_missed": ("conditional=true", "cannot be computed"),
    "jsd/smoothed": ("", "can fill all dimensions"),
    "modes/kl": ("dataset=gaussian", "dataset=gaussian is not a mixture of several modes"),
    "modes/covered": ("dataset.modes=1", "dataset=ring is not a mixture of several modes"),
    "samples/nearest_training": ("", "dataset=ring is not a finite set"),
    "samples/diversity": ("dataset=dirac architecture=dirac", "all examples of dataset=dirac are the same"),
    "D(x)": ("loss=hinge", "loss=hinge reads the discriminator's output as a critic's score"),
    "critic/real": ("", "loss=nonsaturating reads the discriminator's output as a probability"),
    "value/pair": ("loss=hinge", "loss=hinge reads the discriminator's output as a critic's score"),
    "D(x)/calibrated": ("", "loss=nonsaturating gives a probability already"),
    "penalty/r1": ("penalty=r2", "no run logs 'penalty/r1'", "Did you mean 'penalty/r2'?"),
}


@pytest.mark.parametrize("tag", REFUSED)
def test_a_metric_that_is_never_logged_is_refused_with_the_reason_or_the_closest(tag, compose_config) -> None:
    words, *hints = REFUSED[tag]
    with pytest.raises(ConfigError) as caught:
        require_logged(tag, compose_config(words.split()), "checkpoint.best")
    assert str(caught.value).startswith("checkpoint.best: ") and len(str(caught.value).splitlines()) == 1
    assert all(hint in str(caught.value) for hint in (f"'{tag}'", *hints))


@pytest.mark.parametrize("words", KNOWN)
def test_whatever_is_logged_is_accepted(words, compose_config) -> None:
    config = compose_config(words.split())
    for tag in KNOWN[words]:
        require_logged(tag, config, "checkpoint.best")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("checkpoint.best=jsd/exakt", "Did you mean 'jsd/exact'?"),
        ("checkpoint.best=jsd/probe probe=off", "probe=off measures none"),
        ("checkpoint.best='D(x)'", "add checkpoint.best_is=lowest or checkpoint.best_is=highest"),
        ("checkpoint.best=jsd/online", "neither lower nor higher is better"),
        ("checkpoint.best=steps_per_second log.pictures=0 probe=off", "no checkpoint is ever rated"),
    ],
)
def test_a_best_checkpoint_that_could_never_be_chosen_is_refused(words, told, compose_config) -> None:
    with pytest.raises(ConfigError, match=r"^checkpoint\.best") as caught:
        require_best(compose_config(words.split()))
    assert told in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("words", ["", "checkpoint.best=modes/kl", "checkpoint.best='D(x)' checkpoint.best_is=highest"])
def test_a_best_checkpoint_that_can_be_chosen_is_not(words, compose_config) -> None:
    require_best(compose_config(words.split()))


@pytest.mark.parametrize("words", ["checkpoint.best=jsd/exakt", "checkpoint.best=jsd/probe probe=off"])
def test_train_refuses_it_before_anything_is_written(words, tmp_path, monkeypatch, capsys) -> None:
    from ganrun.commands.train import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^checkpoint\.best"):
        main(words.split())
    assert list(tmp_path.iterdir()) == []


# Which is best

# Of steps 10, 20 and 30: the values of a metric, and the step that is best where lower is and where higher is.
VALUES, LOWEST, HIGHEST = (0.5, 0.2, 0.8), 20, 30


@pytest.mark.parametrize(
    ("best", "best_is", "step"),
    [
        ("jsd/exact", None, LOWEST),
        ("modes/kl", None, LOWEST),
        ("modes/covered", None, HIGHEST),
        ("modes/high_quality", None, HIGHEST),
        ("modes/covered", "lowest", LOWEST),
        ("jsd/exact", "highest", HIGHEST),
        ("D(x)", "highest", HIGHEST),
        ("D(x)", "lowest", LOWEST),
    ],
)
def test_the_best_checkpoint_is_that_in_the_metrics_own_direction_or_the_one_given(
    best, best_is, step, tmp_path
) -> None:
    asked = SimpleNamespace(checkpoint=Checkpoint(best=best, best_is=best_is))
    lines = [json.dumps({"step": 10 * (i + 1), best: value}) for i, value in enumerate(VALUES)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert best_step(tmp_path, asked, [10, 20, 30]) == step  # type: ignore[arg-type]
    # What is kept while the run trains: the lowest rating.
    session = SimpleNamespace(config=asked, checkpoints=SimpleNamespace(ratings={}))
    for i, value in enumerate(VALUES):
        RunSession._rate(cast(RunSession, session), 10 * (i + 1), {best: value})
    assert min(session.checkpoints.ratings, key=session.checkpoints.ratings.get) == step


def test_of_equal_values_the_newest_is_best(tmp_path) -> None:
    asked = SimpleNamespace(checkpoint=Checkpoint(best="modes/covered"))
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {i}, "modes/covered": 8}}\n' for i in (10, 20, 30)))
    assert best_step(Path(tmp_path), asked, [10, 20]) == 20  # type: ignore[arg-type]

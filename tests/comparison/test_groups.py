"""Groups: whatever runs differ in separates them, named as briefly as tells them apart; and which runs count."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import make_run, make_runs, seeded, with_option, with_rates

from ganrun.comparison.groups import Group, group, notes, texts
from ganrun.comparison.runs import Run, read_runs, settings_of
from ganrun.config.hparams import flat
from ganrun.config.hydra_bridge import config_folder
from ganrun.config.settings import Log, Train


@pytest.fixture(scope="module")
def minimax(compose_config) -> Train:
    return compose_config(["loss=minimax", "probe=off"])


@pytest.fixture(scope="module")
def hinge(compose_config) -> Train:
    return compose_config(["loss=hinge", "probe=off"])


@pytest.fixture(scope="module")
def sgd(compose_config) -> Train:
    return compose_config(["optimizer=sgd", "probe=off"])


def labels(runs: list[Run]) -> list[str]:
    return [one.label for one in group(runs)]


def made(status: str = "completed", name: str = "run", **settings: Any) -> Run:
    return Run(Path(name), settings, status, {"w1": 1.0})


def configured(compose_config: Any, *jobs: str, seeds: tuple[int, ...] = (0, 1)) -> list[Run]:
    """Runs of ``jobs``, each a command line, with every one of ``seeds``."""
    configs = [compose_config(["probe=off", *job.split()]) for job in jobs]
    return [
        Run(Path(), settings_of(dataclasses.replace(one, seed=seed)), "completed", {})
        for one in configs
        for seed in seeds
    ]


# Groups


def test_seeds_are_aggregated_and_groups_come_in_the_order_of_their_runs(tmp_path, minimax, hinge):
    runs = make_runs(tmp_path, [*seeded(minimax, 0, 1), *seeded(hinge, 0, 1), *seeded(minimax, 5)])
    first, second = group(runs)
    assert (first.label, first.settings) == ("loss=minimax", {"loss": "minimax"})
    assert (second.label, second.settings) == ("loss=hinge", {"loss": "hinge"})
    assert [run.settings["seed"] for run in first.runs] == [0, 1, 5]
    assert first.values("w1").tolist() == [0.0, 1.0, 4.0]
    assert second.values("w1").tolist() == [2.0, 3.0]


def test_runs_that_differ_in_the_seed_only_are_one_group(tmp_path, minimax):
    assert labels(make_runs(tmp_path, seeded(minimax, 3, 1, 2))) == ["all runs"]
    assert group([]) == []


def test_what_a_run_does_not_compute_with_splits_nothing(tmp_path, minimax):
    shown = dataclasses.replace(minimax, log=Log(every=7, pictures=0), data_dir="/elsewhere", steps_per_call=3)
    runs = make_runs(tmp_path, [minimax, shown])
    assert labels(runs) == ["all runs"]
    assert labels([*runs, *make_runs(tmp_path / "longer", [dataclasses.replace(minimax, steps=9)])]) == [
        "steps=16000",
        "steps=9",
    ]


def test_a_label_uses_the_shortest_end_of_a_key_that_no_other_has(tmp_path, minimax):
    one = [with_rates(minimax, {"learning_rate": rate}, {}) for rate in (0.01, 0.02)]
    assert labels(make_runs(tmp_path / "one", one)) == ["learning_rate=0.01", "learning_rate=0.02"]
    both = [with_rates(minimax, {"learning_rate": rate}, {"learning_rate": 2 * rate}) for rate in (0.01, 0.02)]
    assert labels(make_runs(tmp_path / "both", both)) == [
        "generator.learning_rate=0.01, discriminator.learning_rate=0.02",
        "generator.learning_rate=0.02, discriminator.learning_rate=0.04",
    ]
    mixed = [with_rates(run, {"b1": 0.1 * (i + 1)}, {}) for i, run in enumerate(one)]
    assert labels(make_runs(tmp_path / "mixed", mixed))[0] == "learning_rate=0.01, b1=0.1"


def test_a_key_whose_last_word_only_ends_like_anothers_stays_short(tmp_path, sgd):
    runs = [with_rates(sgd, {"momentum": value, "final_momentum": value + 0.1}, {}) for value in (0.25, 0.5)]
    assert group(make_runs(tmp_path, runs))[0].settings == {"momentum": 0.25, "final_momentum": 0.35}
    longer = [dataclasses.replace(with_rates(sgd, {"momentum_steps": float(n)}, {}), steps=n) for n in (10, 20)]
    assert labels(make_runs(tmp_path / "steps", longer)) == [
        "steps=10, momentum_steps=10",
        "steps=20, momentum_steps=20",
    ]


def test_an_option_is_named_after_its_group(tmp_path, minimax, hinge):
    ring = make_runs(tmp_path / "0", [minimax, with_option(hinge, dataset={"radius": 3.0}, latent={"dim": 5})])
    assert [sorted(one.settings) for one in group(ring)] == [["dim", "loss", "radius"]] * 2


def test_a_setting_that_only_one_loss_has_says_nothing_by_itself(tmp_path, minimax, hinge):
    assert "label_smoothing" in {field.name for field in dataclasses.fields(minimax.loss)}
    assert "label_smoothing" not in {field.name for field in dataclasses.fields(hinge.loss)}
    smooth = with_option(minimax, loss={"label_smoothing": 0.1})
    runs = make_runs(tmp_path, [*seeded(smooth, 0, 1), *seeded(hinge, 0, 1)])
    assert labels(runs) == ["loss=minimax", "loss=hinge"]


def test_an_option_that_some_runs_lack_is_named_where_the_others_differ_in_it():
    runs = [
        made(**{"method.name": method, "steps": steps, **({"architecture.name": network} if network else {})})
        for method, network, steps in (
            ("vae", "mlp", 1),
            ("autoregressive", "made", 2),
            ("autoregressive", "pixelcnn", 3),
            ("rbm", "", 4),
        )
    ]
    assert [label.rsplit(", ", 1)[0] for label in labels(runs)] == [
        "method=vae, architecture=mlp",
        "method=autoregressive, architecture=made",
        "method=autoregressive, architecture=pixelcnn",
        "method=rbm",
    ]


def test_a_setting_that_differs_within_the_loss_that_has_it_splits_that_loss_only(tmp_path, minimax, hinge):
    smooth = with_option(minimax, loss={"label_smoothing": 0.1})
    runs = make_runs(tmp_path, [*seeded(minimax, 0, 1), *seeded(hinge, 0, 1), *seeded(smooth, 0)])
    assert [(one.label, len(one.runs)) for one in group(runs)] == [
        ("loss=minimax, label_smoothing=0", 2),
        ("loss=hinge", 2),
        ("loss=minimax, label_smoothing=0.1", 1),
    ]


def test_a_setting_that_another_one_determines_is_left_out(tmp_path, minimax, hinge, compose_config):
    smooth = compose_config(["loss=maximum_likelihood", "loss.label_smoothing=0.1", "probe=off"])
    assert labels(make_runs(tmp_path, [minimax, smooth, hinge])) == [
        "loss=minimax",
        "loss=maximum_likelihood",
        "loss=hinge",
    ]


def test_failed_runs_are_in_their_group_but_not_in_its_values(tmp_path, minimax):
    for i, status in enumerate(["completed", "failed", "stopped"]):
        make_run(tmp_path / str(i), dataclasses.replace(minimax, seed=i), {"w1": float(i)}, status)
    make_run(tmp_path / "3", dataclasses.replace(minimax, seed=3), rows=[{"step": 1, "w1": 7.0}])
    make_run(tmp_path / "4", dataclasses.replace(minimax, seed=4))
    (one,) = group(read_runs([str(tmp_path)]))
    assert len(one.runs) == 5
    # Neither failed nor, unless they are asked for, stopped or running.
    assert [run.settings["seed"] for run in one.counted] == [0]
    assert one.values("w1").tolist() == [0.0]
    (all_of_them,) = group(read_runs([str(tmp_path)]), unfinished=True)
    assert [run.settings["seed"] for run in all_of_them.counted] == [0, 2, 3, 4]
    assert all_of_them.values("w1").tolist() == [0.0, 2.0, 7.0]
    assert one.values("w2").shape == (0,)


def test_a_group_by_itself_needs_no_files():
    one = Group({"loss": "hinge", "b1": 0.5}, [made(), made(status="failed")])
    assert one.label == "loss=hinge, b1=0.5"
    assert (len(one.counted), one.values("w1").tolist()) == (1, [1.0])


# Whatever can be swept

# What is measured does not change what a run computes.
GROUPS = sorted(path.name for path in config_folder().iterdir() if path.is_dir() and path.name != "metric")


@pytest.mark.parametrize("name", GROUPS)
def test_the_options_of_every_group_of_conf_are_told_apart(name, compose_config):
    found = sorted(path.stem for path in (config_folder() / name).glob("*.yaml"))
    assert len(found) > 1
    runs = configured(compose_config, *(f"{name}={option}" for option in found))
    groups = group(runs, ["jsd/probe"])
    assert [len(one.runs) for one in groups] == [2] * len(found)
    assert len({one.label for one in groups}) == len(found)
    if name == "optimizer":
        found = [option.partition("_")[0] for option in found]  # adam_image and adam_likelihood: other numbers
    if name != "experiment":  # whose name no run remembers
        assert all(f"{name}={option}" in one.label.split(", ") for one, option in zip(groups, found, strict=True))


def test_penalties_are_told_apart_by_their_names(compose_config):
    jobs = ("none", "r1", "gradient_penalty", "[r1,r2]", "[r2,r1]")
    runs = configured(compose_config, *(f"penalty={one}" for one in jobs))
    found = [(one.label, len(one.runs)) for one in group(runs)]
    assert found == [("penalty=none", 2), ("penalty=r1", 2), ("penalty=gradient_penalty", 2), ("penalty=r1+r2", 4)]


def test_losses_and_penalties_are_told_apart_together(compose_config):
    runs = configured(compose_config, *(f"loss={a} penalty={b}" for a in ("hinge", "minimax") for b in ("none", "r1")))
    assert labels(runs) == [f"loss={a}, penalty={b}" for a in ("hinge", "minimax") for b in ("none", "r1")]


def test_a_weight_is_named_beside_its_penalty_only_where_it_varies(compose_config):
    runs = configured(compose_config, "penalty=none", "penalty=r1", "penalty=r1 penalty.r1.weight=2.5")
    assert labels(runs) == ["penalty=none", "penalty=r1, weight=0.1", "penalty=r1, weight=2.5"]
    both = configured(compose_config, *(f"penalty=[r1,r2] penalty.{one}.weight=2" for one in ("r1", "r2")))
    assert labels(both) == ["r1.weight=2, r2.weight=0.1", "r1.weight=0.1, r2.weight=2"]


def test_options_are_named_before_numbers(compose_config):
    runs = configured(compose_config, "steps=100", "steps=200 loss=hinge schedule.k=3", seeds=(0,))
    assert labels(runs) == ["loss=nonsaturating, steps=100, k=1", "loss=hinge, steps=200, k=3"]


def test_what_both_players_share_is_named_once(compose_config):
    assert labels(configured(compose_config, "optimizer=adam", "optimizer=adam optimizer.generator.b1=0.25")) == [
        "b1=0.5",
        "b1=0.25",
    ]
    rates = [f"optimizer.generator.learning_rate={one} optimizer.discriminator.learning_rate={one}" for one in (1, 2)]
    assert labels(configured(compose_config, *rates)) == ["learning_rate=1", "learning_rate=2"]
    short = configured(compose_config, "optimizer=rmsprop", "optimizer=sgd", seeds=(0,))
    assert [one.label.split(", ")[0] for one in group(short)] == ["optimizer=rmsprop", "optimizer=sgd"]


def test_lists_of_other_lengths_and_values_are_told_apart(compose_config):
    words = [f"architecture.generator_hidden={one}" for one in ("[8]", "[8,8]", "[16]")]
    assert labels(configured(compose_config, *words)) == [f"generator_hidden={one}" for one in ("[8]", "[8,8]", "[16]")]


KEYS = st.sampled_from(["a", "b", "name", "n"])
LEAVES = st.one_of(
    st.integers(-2, 2), st.sampled_from([0.5, 0.25]), st.booleans(), st.none(), st.sampled_from(["x", "y"]),
    st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip
TREES = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda inside: st.dictionaries(KEYS, inside, max_size=2), max_leaves=4), max_size=3
)


@settings(max_examples=150, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=6), st.randoms())
def test_groups_are_the_runs_whose_settings_all_agree_and_their_labels_differ(trees, random):
    chosen = [flat(random.choice(trees)) for _ in range(8)]
    groups = group([Run(Path(), own | {"seed": seed}, "completed", {}) for seed, own in enumerate(chosen)])
    of_seed = {run.settings["seed"]: i for i, one in enumerate(groups) for run in one.runs}
    assert sorted(of_seed) == list(range(8))
    written = [json.dumps(own, sort_keys=True) for own in chosen]
    for i in range(8):
        for j in range(i):
            assert (of_seed[i] == of_seed[j]) == (written[i] == written[j])
    assert len({one.label for one in groups}) == len(groups)
    assert len({tuple(sorted(one.shown.items())) for one in groups}) == len(groups)


def test_a_number_is_not_the_text_that_looks_like_it_nor_a_truth_value():
    assert len(group([made(a=one) for one in (1, "1", True, 1.0, None, "null", [], "[]")])) == 8


def test_a_run_that_lacks_all_that_the_others_have_says_so():
    assert labels([made(a=1), made(a=2), made()]) == ["a=1", "a=2", "a=absent"]
    assert labels([made(a=1, b=3), made(a=2, b=4), made()]) == ["a=1, b=3", "a=2, b=4", "a=absent"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_key_and_that_key_with_name_at_its_end_are_told_apart(order):
    runs = [made(), made(loss=None), made(**{"loss.name": None})]
    assert len(set(labels([runs[i] for i in order]))) == 3


def test_a_setting_that_is_named_like_a_column_keeps_more_of_its_key():
    keys = ["dataset.mean", "a.n", "a.best", "a.failed", "a.pruned", "a.unfinished", "a.repeated", "a.std"]
    (one, _) = group([made(**dict.fromkeys(keys, value)) for value in (0, 1)])
    assert list(one.settings) == [*keys[:-1], "std"]


# Values as text


def test_a_float_has_as_many_digits_as_it_takes():
    assert texts([0.1 + 0.2, 0.5]) == ["0.3", "0.5"]
    assert texts([0.1 + 0.2, 0.3]) == ["0.30000000000000004", "0.3"]
    assert texts([[0.1 + 0.2, 1.0], [0.1]]) == ["[0.3,1]", "[0.1]"]
    assert texts([1e-5, 2e-4, 1234567.5]) == ["1e-05", "0.0002", "1234567.5"]
    assert texts([0.12345678901, 0.12345678902]) == ["0.12345678901", "0.12345678902"]  # eleven of them
    assert texts([None, True, 3, "x", 0.5, 0.5]) == ["null", "true", "3", "x", "0.5", "0.5"]
    assert texts([]) == []


def test_the_label_of_a_sweep_over_floats_reads_as_it_was_meant():
    found = group([made(rate=0.1 * i, seed=seed) for i in (1, 2, 3) for seed in (0, 1)])
    assert [one.label for one in found] == ["rate=0.1", "rate=0.2", "rate=0.3"]
    assert found[2].settings == {"rate": 0.1 * 3}


# Which runs count


def test_runs_with_the_same_settings_and_seed_are_one_observation():
    runs = [made(name=name, seed=seed) for name, seed in (("a", 0), ("b", 1), ("c", 0), ("d", 0))]
    (one,) = group(runs)
    assert [run.folder.name for run in one.runs] == ["a", "b", "c", "d"]
    assert [run.folder.name for run in one.counted] == ["a", "b"]
    assert [run.folder.name for run in one.repeated] == ["c", "d"]
    assert one.values("w1").shape == (2,)
    assert notes([one]) == ["2 runs repeat others' settings and seed and are not counted: c, d"]
    assert notes(group(runs[:3])) == ["1 run repeats another's settings and seed and is not counted: c"]
    for copies, listed in ((3, "1, 2, 3"), (4, "1, 2, 3, ..."), (9, "1, 2, 3, ...")):
        many = group([made(name=str(i), seed=0) for i in range(copies + 1)])
        assert notes(many) == [f"{copies} runs repeat others' settings and seed and are not counted: {listed}"]


def test_the_same_seed_with_other_settings_repeats_nothing():
    assert notes(group([made(a=1, seed=0), made(a=2, seed=0)])) == []


@pytest.mark.parametrize(
    ("statuses", "kept"),
    [
        (["failed", "completed"], "completed"),
        (["running", "completed"], "completed"),
        (["failed", "stopped"], "stopped"),
        (["pruned", "running"], "running"),
        (["failed", "pruned"], "pruned"),
    ],
)
def test_of_runs_that_repeat_each_other_the_one_that_came_furthest_counts(statuses, kept):
    (one,) = group([made(status, seed=0) for status in statuses])
    assert [run.status for run in one.observations] == [kept]


def test_unfinished_runs_are_told_and_count_only_where_they_are_asked_for():
    runs = [made("completed", seed=0), made("stopped", seed=1), made("running", seed=2), made("pruned", seed=3)]
    assert notes(group(runs)) == [
        "2 runs have not finished (running or stopped): left out (unfinished=true counts them)"
    ]
    assert [run.status for run in group(runs)[0].counted] == ["completed"]
    asked = group(runs, unfinished=True)
    assert notes(asked) == ["2 runs have not finished (running or stopped): counted as far as they have come"]
    assert [run.status for run in asked[0].counted] == ["completed", "stopped", "running"]
    assert notes(group(runs[:2])) == [
        "1 run has not finished (running or stopped): left out (unfinished=true counts them)"
    ]
    assert notes([]) == []


# Probes

STREAMING = {"probe.name": "streaming", "probe.budget": 0.2}


@pytest.mark.parametrize(
    "other", [{"probe.name": "stack", "probe.budget": 0.2}, {"probe.name": "streaming", "probe.budget": 1.0}]
)
@pytest.mark.parametrize("tag", ["jsd/probe", "jsd/probe_lower", "jsd/probe_se", "probe/seconds"])
def test_what_other_probes_measured_is_not_pooled(other, tag):
    runs = [made(seed=seed, **probe) for seed in (0, 1) for probe in (STREAMING, other)]
    assert [len(one.runs) for one in group(runs, ["w1", tag])] == [2, 2]
    (told,) = notes(group(runs, ["w1", tag]), ["w1", tag])
    assert told.startswith("jsd/probe was measured by different probes and is not comparable: streaming budget=0.2, ")
    assert told.endswith(f"{other['probe.name']} budget={other['probe.budget']}")


def test_different_data_are_told_and_no_probe_is_not_a_probe():
    runs = [made(**STREAMING, **{"dataset.name": "ring"}), made(**{"probe.name": "off", "dataset.name": "digits"})]
    (told,) = notes(group(runs, ["jsd/probe"]), ["jsd/probe"])
    assert told == "the data differ, so that values are not comparable: ring, digits"
    assert notes(group(runs[:1], ["jsd/probe"]), ["jsd/probe"]) == []


def test_of_what_no_probe_measures_runs_are_pooled_whatever_their_probes():
    runs = [made(seed=0, **STREAMING), made(seed=1, **{"probe.name": "off"})]
    (one,) = group(runs, ["w1", "jsd/exact"])
    assert len(one.counted) == 2 and notes([one], ["w1", "jsd/exact"]) == []
    assert [one.label for one in group(runs, ["jsd/probe"])] == ["probe=streaming", "probe=off"]


def test_one_probe_is_nothing_to_tell():
    runs = [made(seed=seed, **STREAMING) for seed in (0, 1)]
    assert notes(group(runs, ["jsd/probe"]), ["jsd/probe"]) == []


def test_how_often_a_probe_looks_splits_nothing(compose_config):
    seldom, often = (compose_config([f"probe.times={times}"]) for times in (1, 4))
    runs = [Run(Path(), settings_of(one), "completed", {}) for one in (seldom, often)]
    assert len(group(runs, ["jsd/probe"])) == 1

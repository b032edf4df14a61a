"""What a report shows: which runs first, what varied, the curves and the commands. The runs are made by hand."""

import dataclasses
import json
import re
import shlex
from functools import partial

import numpy as np
import pytest
from PIL import Image
from run_folders import make_run, seeded, with_option

from ganrun.comparison.groups import group
from ganrun.comparison.runs import read_runs
from ganrun.config.hparams import settings
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.report import charts, repeat, run_pictures
from ganrun.report.content import read_content
from ganrun.storage.run_directory import load_config

of_train = partial(compose, "train")
DIVERGENCE = (0.3, 0.1, 0.2, 0.5, 0.4)  # of the seeds 0 to 4


@pytest.fixture(scope="module")
def config(compose_config):
    return compose_config(["loss=minimax", "probe=off", "steps=20"])


@pytest.fixture
def folder(tmp_path, config):
    """Five runs, the last one failed."""
    for seed, value in enumerate(DIVERGENCE):
        rows = [{"step": step, "jsd/exact": value * 20 / step, "D(x)": 0.5} for step in (10, 20)]
        status = "failed" if seed == 4 else "completed"
        one = dataclasses.replace(config, seed=seed)
        made = make_run(tmp_path / "runs" / str(seed), one, {"jsd/exact": value}, status, rows)
        if seed == 4:
            summary = json.loads((made / "summary.json").read_text())
            (made / "summary.json").write_text(json.dumps(summary | {"reason": "step 12: loss is NaN or Inf"}))
    return tmp_path / "runs"


def content(*paths, metrics=(), unfinished=False):
    return read_content([str(path) for path in paths], metrics, 0.95, "student", unfinished)


# Which runs


def test_the_best_the_median_and_the_worst_run_come_first_and_failed_ones_are_shown(folder):
    found = content(folder)
    roles = {card.run.folder.name: card.roles for card in found.featured}
    assert roles == {"1": ["best"], "2": ["median"], "3": ["worst"], "4": ["failed"]}  # .1, .2 (of four), .5
    assert [card.name for card in found.cards] == ["1", "2", "0", "3", "4"]  # best first, failed last
    assert found.cards[-1].reason == "step 12: loss is NaN or Inf"
    assert found.counts == {"completed": 4, "failed": 1}


def test_with_a_metric_that_should_be_high_the_best_run_has_the_highest(tmp_path, config):
    for seed, covered in enumerate((3.0, 8.0, 5.0)):
        make_run(tmp_path / str(seed), dataclasses.replace(config, seed=seed), {"modes/covered": covered}, rows=[])
    paths = [tmp_path / str(seed) for seed in range(3)]
    assert {card.name: card.roles for card in content(*paths).featured} == {
        "1": ["best"],
        "2": ["median"],
        "0": ["worst"],
    }


def test_one_run_is_best_median_and_worst_at_once(tmp_path, config):
    (card,) = content(make_run(tmp_path / "a", config, {"jsd/exact": 0.2}, rows=[])).featured
    assert card.roles == ["best", "median", "worst"]


# Settings


def test_what_varies_is_apart_from_what_all_runs_share(tmp_path, config):
    other = with_option(config, optimizer={}, latent={"dim": 3})
    for i, one in enumerate((*seeded(config, 0, 1), *seeded(other, 0, 1))):
        make_run(tmp_path / str(i), one, {"jsd/exact": 0.1 * i}, rows=[])
    found = content(*(tmp_path / str(i) for i in range(4)))
    assert found.varied == {"seed": ["0", "1"], "latent.dim": ["2", "3"]}
    assert found.common["loss.name"] == "minimax" and found.common["steps"] == "20"
    assert "seed" not in found.common and "latent.dim" not in found.common
    assert found.cards[0].changed == {"seed": "0", "latent.dim": "2"}


# Commands


def hyperparameters_of(command):
    """The hyperparameters that a command line gives, composed anew."""
    assert shlex.split(command)[:2] == ["ganrun", "train"]
    return settings(check(compose("train", shlex.split(command)[2:])))


@pytest.mark.parametrize(
    "words",
    [
        ["loss=hinge", "seed=3", "probe=off"],
        ["penalty=[r1,r2]", "penalty.r1.weight=0.3", "schedule.k=4"],
        ["dataset=digits", "architecture=dcgan", "optimizer.generator.learning_rate=3e-4", "ema.decay=0"],
        ["experiment=r3gan"],
        ["experiment=spline", "architecture.hidden=[8,8]"],
        ["method=vae", "dataset=digits", "method.beta=0.5"],
    ],
)
def test_the_command_of_a_run_gives_its_hyperparameters(compose_config, tmp_path, words):
    config = compose_config(words)
    command = repeat.run_command(config, tmp_path, of_train)
    assert "--config-dir" not in command
    assert hyperparameters_of(command) == settings(config)


def test_a_run_that_no_settings_give_is_repeated_from_its_recorded_config(config, tmp_path, monkeypatch):
    monkeypatch.setattr(repeat, "_give", lambda words, config, compose: False)
    assert repeat.run_command(config, tmp_path, of_train).endswith(f"--config-dir {tmp_path} --config-name config")


def test_the_command_of_a_sweep_has_its_values_and_one_that_lacks_a_run_has_none(compose_config):
    configs = [compose_config([f"loss={loss}", f"seed={seed}"]) for loss in ("hinge", "minimax") for seed in (0, 1)]
    words = shlex.split(repeat.sweep_command(configs, of_train))
    assert words[:3] == ["ganrun", "train", "-m"]
    assert {"loss=hinge,minimax", "seed=0,1"} <= set(words)
    assert repeat.sweep_command(configs[:3], of_train) == ""  # not all combinations
    assert repeat.sweep_command(configs[:1], of_train) == ""  # no sweep


def test_penalties_are_combined_and_swept_as_lists(compose_config):
    configs = [compose_config([f"penalty={penalty}"]) for penalty in ("none", "[r1,r2]")]
    assert "penalty=none,[r1,r2]" in shlex.split(repeat.sweep_command(configs, of_train))


# Curves


def test_a_chart_has_the_means_of_the_groups_at_their_steps(folder):
    (drawn,) = [chart for chart in content(folder).charts if chart.tag == "jsd/exact"]
    (curve,) = drawn.data["curves"]
    mean = np.mean(DIVERGENCE[:4])  # without the failed run
    assert curve["steps"] == [10, 20] and curve["values"] == pytest.approx([2 * mean, mean], rel=1e-4)
    assert drawn.data["x"][0] <= 10 and drawn.data["x"][1] >= 20
    assert "Jensen-Shannon" in drawn.meaning


def test_a_long_curve_is_thinned_for_the_page_with_both_ends(tmp_path, config):
    rows = [{"step": step, "jsd/exact": float(step)} for step in range(1, 1001)]
    runs = read_runs([str(make_run(tmp_path / "a", config, {"jsd/exact": 1.0}, rows=rows))])
    (curve,) = charts.chart(group(runs), "jsd/exact", "", 0.95, "student").data["curves"]
    assert len(curve["steps"]) == charts.READ and (curve["steps"][0], curve["steps"][-1]) == (1, 1000)
    assert curve["values"] == [float(step) for step in curve["steps"]]


def test_the_text_of_a_chart_has_the_colour_of_the_page_and_no_size_of_its_own(folder):
    (drawn,) = [chart for chart in content(folder).charts if chart.tag == "jsd/exact"]
    head = drawn.svg.split(">", 1)[0]
    assert "currentColor" in drawn.svg and charts.INK not in drawn.svg
    assert "viewBox" in head and not re.search(r"\b(width|height)=", head)


# Pictures


def picture(path, size, color=(200, 30, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_the_newest_picture_of_each_kind_is_shown_and_a_large_one_is_shrunk(tmp_path):
    for step in (100, 20, 3000):
        picture(tmp_path / "samples" / f"{step:08}.png", (900, 300))
    picture(tmp_path / "samples" / "00000100_densities.png", (40, 40))
    found = run_pictures.last_pictures(tmp_path)
    assert {kind: step for kind, (step, _) in found.items()} == {"samples": 3000, "densities": 100}
    assert all(address.startswith("data:image/webp;base64,") for _, address in found.values())
    assert size_of(found["samples"][1]) == (420, 140) and size_of(found["densities"][1]) == (40, 40)


def size_of(address):
    import base64
    import io

    return Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1]))).size


def test_a_picture_of_too_many_bytes_is_shrunk_further(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    whole, small = (run_pictures.address_of(tmp_path / "noise.png", limit) for limit in (1e6, 1e3))
    assert size_of(whole) == (420, 420) and size_of(small) == (210, 210)  # no smaller, or it would show nothing


def test_a_picture_that_cannot_be_read_is_left_out(tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "00000001.png").write_bytes(b"no picture")
    assert run_pictures.last_pictures(tmp_path) == {}


# Warnings and what else a summary holds


def test_warnings_are_read_and_damaged_ones_left_out(tmp_path, config):
    made = make_run(tmp_path / "a", config, {"jsd/exact": 0.2}, rows=[])
    good = {"name": "mode collapse", "step": 7, "evidence": "2 of 8 modes", "try": ["inputs.packing=2"]}
    summary = json.loads((made / "summary.json").read_text())
    summary |= {"warnings": [good, {"name": 3}, "x"], "device": "cpu", "seconds": 2.25, "versions": {"jax": "0.10"}}
    (made / "summary.json").write_text(json.dumps(summary))
    (card,) = content(made).cards
    assert [finding.plain() for finding in card.findings] == [good]
    assert card.facts == {"time": "2.2 s", "steps": "20", "device": "cpu", "versions": "jax 0.10"}


def test_warnings_of_several_runs_are_together_the_most_frequent_first(tmp_path, config):
    for seed in range(3):
        made = make_run(tmp_path / str(seed), dataclasses.replace(config, seed=seed), {"jsd/exact": seed}, rows=[])
        names = ["oscillation", "mode collapse"] if seed else ["mode collapse"]
        found = [{"name": name, "step": seed, "evidence": "numbers", "try": ["a=1"]} for name in names]
        summary = json.loads((made / "summary.json").read_text())
        (made / "summary.json").write_text(json.dumps(summary | {"warnings": found}))
    found = content(*(tmp_path / str(seed) for seed in range(3))).warnings
    assert [(name, [card.name for card, _ in pairs]) for name, pairs in found.items()] == [
        ("mode collapse", ["0", "1", "2"]),
        ("oscillation", ["1", "2"]),
    ]


def test_settings_that_only_some_options_have_do_not_vary(tmp_path, compose_config):
    for i, loss in enumerate(("hinge", "least_squares")):
        make_run(tmp_path / str(i), compose_config([f"loss={loss}", "probe=off"]), {"jsd/exact": 0.1}, rows=[])
    assert content(tmp_path / "0", tmp_path / "1").varied == {"loss.name": ["hinge", "least_squares"]}


def test_a_run_that_is_still_running_counts_if_asked_for(tmp_path, config):
    made = make_run(tmp_path / "a", config, rows=[{"step": 10, "jsd/exact": 0.3}])
    assert content(made).rows[0][-1][0] == ""
    assert content(made, unfinished=True).rows[0][-1][0] == "0.3"
    assert load_config(made) == config

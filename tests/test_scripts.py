"""The scripts that people run by hand still run; what they measure is not judged here."""

from __future__ import annotations

import importlib
import json
import math
import re
import runpy
from pathlib import Path

import jax
import pytest
from PIL import Image

from ganrun.config.registry import options
from ganrun.evaluation.divergence import estimators
from ganrun.evaluation.divergence.estimate import Estimate
from ganrun.evaluation.metrics.logged import logged

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
TINY = ["architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16", "probe=off"]
REPORT = """<testsuites><testsuite name="pytest">
<testcase classname="a.b" name="passed"/><testcase classname="a.b" name="failed"><failure/></testcase>
<testcase classname="a.b" name="broken"><error/></testcase><testcase classname="a.b" name="left"><skipped/></testcase>
<testcase classname="c" name="passed"/></testsuite></testsuites>"""


@pytest.fixture(autouse=True)
def modules_of_scripts(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))  # as Python does for a script that it runs


def test_a_sweep_that_ganrun_refuses_is_no_result_and_any_folder_will_do(tmp_path) -> None:
    train_sweep = importlib.import_module("train_sweep").train_sweep
    folder = tmp_path / "best (of 2), 'quoted'"
    train_sweep([*TINY, "seed=0,1", "steps=2", "log.every=2", "log.pictures=0"], folder)
    found = [json.loads(path.read_text())["status"] for path in folder.glob("*/summary.json")]
    assert found == ["completed", "completed"]
    with pytest.raises(SystemExit, match="ganrun refused: ganrun train -m steps=none"):
        train_sweep(["steps=none"], folder)


def test_the_training_benchmark_gives_a_row_with_both_speeds_and_their_ratio() -> None:
    measure = runpy.run_path(str(SCRIPTS / "bench_train.py"))["measure"]
    row = measure("tiny", [*TINY, "steps=200", "log.pictures=1"], 1)
    name, steps, bare, whole, ratio = [cell.strip() for cell in row.strip("|").split("|")]
    assert (name, steps) == ("tiny", "200")
    assert float(ratio.split()[0]) == pytest.approx(float(whole) / float(bare), rel=0.05)


def test_the_gallery_puts_pictures_side_by_side() -> None:
    strip = runpy.run_path(str(SCRIPTS / "make_gallery.py"))["strip"]
    sheet = strip([Image.new("L", (40, 30), value) for value in (0, 255)])
    assert sheet.size == (1600, 600)
    assert sheet.getpixel((10, 300)) == (0, 0, 0)
    assert sheet.getpixel((1590, 300)) == (255, 255, 255)


def test_precisions_are_compared_by_commands_that_can_be_typed_and_failed_runs_are_not_averaged(compose_config) -> None:
    script = runpy.run_path(str(SCRIPTS / "compare_precision.py"))
    for words, tags in script["PROBLEMS"].values():
        probe = () if any(word.startswith("probe=") for word in words) else ("probe=off",)
        config = compose_config((*words, "precision=bf16", *probe))
        assert config.steps <= 2000 and set(tags) <= set(logged(config))
    runs = [{"status": "completed", "metrics": {"a": value}} for value in (1.0, 3.0)]
    failed = {"status": "failed", "metrics": {"a": 100.0}}
    # Mean 2, standard error 1, and t = 12.706 for one degree of freedom.
    assert script["cell"]([*runs, failed], "a") == "2 (-10.71 to 14.71, n = 2)"
    assert script["cell"]([failed], "a") == "-"


def test_every_variant_that_is_compared_is_a_command_that_can_be_typed(compose_config) -> None:
    parts = runpy.run_path(str(SCRIPTS / "bench_variants.py"))["PARTS"]
    for words in (words for variants in parts.values() for words in variants.values()):
        assert compose_config(words).steps >= 400


def test_a_variant_whose_runs_all_agree_has_a_mean_and_no_interval() -> None:
    told = runpy.run_path(str(SCRIPTS / "bench_variants.py"))["told"]
    assert told([8.0, 8.0, 8.0]) == told([8.0]) == "8"
    assert told([0.0, 2.0]) == "1 (-11.7 to 13.7)"  # one degree of freedom: t = 12.706


def test_tests_for_memorisation_find_copies_and_intervals_are_counted() -> None:
    script = runpy.run_path(str(SCRIPTS / "bench_sample_metrics.py"))
    assert script["power"](8, 250, 0.0, 2) == {"copy_test": 1.0, "C_T": 1.0, "AuthPct": 1.0}
    shares = script["coverage"]("vendi", "equal", repeats=4, pairs=20)
    assert shares.keys() == script["INTERVALS"].keys() and set(shares.values()) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    for tag in ("vendi", "authenticity"):
        assert script["eval_coverage"](tag, "shift .5", repeats=4, n=60, pairs=20) in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert set(script["speed"](60, 3)) >= {"manifold", "frechet", "kernel", "mind", "vendi"}


def test_intervals_are_counted_against_known_values(monkeypatch) -> None:
    script = runpy.run_path(str(SCRIPTS / "bench_intervals.py"))
    # One sample is in one of 8 equal modes. Two are in one with probability 1/8, and otherwise in two.
    assert script["expected_kl"](1, 1.0, script["WEIGHTS"]) == pytest.approx(math.log(8))
    assert script["expected_kl"](2, 1.0, script["WEIGHTS"]) == pytest.approx(math.log(8) - 7 / 8 * math.log(2))
    assert script["shifted_jsd"](0.0) == pytest.approx(0.0, abs=1e-9)
    assert script["shifted_jsd"](1.0) == pytest.approx(0.1114, abs=1e-4)
    for part, rows in (("modes", 6), ("cas", 20), ("log_density", 3)):
        found = list(script["PARTS"][part](2))
        assert len(found) == rows
        for row in found:
            assert row.covered + row.below + row.above == pytest.approx(1) and 0 <= row.covered <= 1 + 1e-12
    given = iter([Estimate(0.05, 0.01, None, "stack", 200, 1), Estimate(0.11, 0.01, None, "stack", 200, 1)])
    monkeypatch.setattr(estimators, "estimate", lambda *words, **more: next(given))
    of_mean, of_truth = script["jsd"](2)
    # Mean .08: .05 + .0196 is below it and .11 - .0196 above; the second interval contains the divergence.
    assert (of_mean.truth, of_mean.covered, of_mean.below, of_mean.above) == (pytest.approx(0.08), 0.0, 0.5, 0.5)
    assert (of_truth.covered, of_truth.below, of_truth.above) == (0.5, 0.5, 0.0)
    exact = next(script["cas"](0))
    assert (exact.n, exact.truth) == (150, 0.5) and 0.94 < exact.covered < 0.97


def test_effective_modes_are_as_many_as_the_spread_over_eight_says(tmp_path) -> None:
    effective_modes = runpy.run_path(str(SCRIPTS / "bench_variants.py"))["effective_modes"]
    for kl, expected in ((0.0, 8.0), (math.log(8), 1.0), (math.log(2), 4.0)):  # all, one and half of the modes
        (tmp_path / "summary.json").write_text(json.dumps({"metrics": {"modes/kl": kl}}), encoding="utf-8")
        assert effective_modes(tmp_path) == pytest.approx(expected)


def test_the_page_on_safety_counts_every_test_of_hostile_files_and_says_what_it_has_seen(monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    safety = importlib.import_module("safety")
    theirs = {f"tests/hostile/{path.name}" for path in (SCRIPTS.parent / "tests" / "hostile").glob("test_[!f]*.py")}
    assert theirs == {path for path in safety.HOSTILE if path.startswith("tests/hostile/")}
    (tmp_path / "report.xml").write_text(REPORT, encoding="utf-8")
    counts = {path: vars(one) for path, one in safety.counted(tmp_path / "report.xml", ["a/b.py", "c.py"]).items()}
    assert counts["a/b.py"] == {"ran": 3, "failed": 2, "skipped": 1}
    assert counts["c.py"] == {"ran": 1, "failed": 0, "skipped": 0}
    assert safety.sheet(("a", "b"), [(1, 2)]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_every_rival_is_a_command_that_can_be_typed_and_its_row_is_a_mean(
    compose_config, tmp_path, monkeypatch
) -> None:
    script = runpy.run_path(str(SCRIPTS / "rivals.py"))
    for data, models in script["MODELS"].items():
        for words in models.values():
            config = compose_config((*(() if data == "mnist" else (f"dataset={data}",)), *words))
            assert config.dataset.name == data and config.steps == script["steps_of"](words) >= 500
            shown = set(script["SHOWN"].get(data, ())) - {"jsd/probe", "precision", "recall"}
            assert shown <= set(logged(config))
            densities = {spec.name for spec in config.method.build(config, config.dataset.shape).densities}
            assert not densities or densities & set(script["KINDS"])
        names = [script["place"](tmp_path, data, model) for model in models]
        assert len({*names}) == len(models) and all(re.fullmatch("[a-z0-9_]+", path.name) for path in names)
    runs = []
    for seed, value in enumerate((1.0, 3.0)):
        run = tmp_path / str(seed)
        run.mkdir()
        metrics = {"jsd/probe": {"value": value}, "iwae": {"value": -value}, "recall": {"value": None}}
        metrics["precision"] = {"value": 0.9 + value / 100}
        (run / "eval_7.json").write_text(json.dumps({"evaluations": [{"metrics": metrics}]}))
        (run / "summary.json").write_text(json.dumps({"seconds": 10.0}))
        runs.append(run)
    monkeypatch.setitem(script["line"].__globals__, "sampling_seconds", lambda run: 0.25)
    found = script["line"]("digits", "vae", runs, 3, 7)
    higher, lower = "2 (-10.71 to 14.71)", "-2 (-14.71 to 10.71)"  # one degree of freedom: t = 12.706
    precision = "0.92 (0.7929 to 1)"  # 0.92 + 0.1271 is more than a precision can be
    assert found == f"| vae (1 of 3 failed) | {lower}, lower bound | {higher} | {precision} |  |  | 0.25 | 10 |"
    assert script["header"]("digits")[0].count("|") == found.count("|")


def test_the_time_of_sampling_is_fitted_by_a_line_in_the_dimension() -> None:
    script = runpy.run_path(str(SCRIPTS / "bench_sampling.py"))
    intercept, slope, r2 = script["line"]([1, 2, 3, 4], [5.0, 7.0, 9.0, 11.0])
    assert (intercept, slope, r2) == pytest.approx((3.0, 2.0, 1.0))
    assert script["line"]([1, 2, 3], [0.0, 3.0, 0.0])[2] == pytest.approx(0.0)  # no trend explains nothing
    times = script["seconds"]([2, 5], samples=3, units=4, repeats=1)
    assert set(times) == {"gan", "vae", "autoregressive"}
    assert all(value > 0 for each in times.values() for value in each)
    head, _, *rows = script["table"]([2, 5], times)
    assert head.startswith("| model | n = 2, ms | n = 5, ms |") and len(rows) == 3
    for name, n in (("gan", 4), ("vae", 4), ("autoregressive", 4)):
        assert script["sampler_of"](name, n, 3, 4)(jax.random.key(0)).shape == (3, n)
    assert script["main"](["dimension=2"]) == 2


def test_the_tutorial_is_made_of_the_commands_of_its_page(compose_config) -> None:
    script = runpy.run_path(str(SCRIPTS / "make_tutorial.py"))
    text = "```bash\nganrun sample run=latest out=a.webp\nganrun report latest out=r.html\n```\n```text\nganrun no\n```"
    assert script["commands"](text) == [["sample", "run=latest", "out=a.webp"], ["report", "latest", "out=r.html"]]
    assert [script["pictures"](words) for words in script["commands"](text)] == [["a.webp"], []]
    page = script["PAGE"].read_text(encoding="utf-8")
    made = {name for words in script["commands"](page) for name in script["pictures"](words)}
    assert {f"gallery/tutorial/{name}" for name in made} == set(re.findall(r"\((gallery/tutorial/[^)]*)\)", page))
    assert {path.name for path in (script["PAGE"].parent / "gallery" / "tutorial").iterdir()} == made


def test_pictures_of_the_tutorial_are_made_smaller(tmp_path) -> None:
    shrink = runpy.run_path(str(SCRIPTS / "make_tutorial.py"))["shrink"]
    frames = [Image.new("RGB", (960, 480), (value, 0, 0)) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "film.webp", save_all=True, append_images=frames[1:], duration=300)
    frames[1].save(tmp_path / "one.png")
    shrink(tmp_path / "film.webp", tmp_path / "small.webp")
    shrink(tmp_path / "one.png", tmp_path / "small.png")
    with Image.open(tmp_path / "small.webp") as film, Image.open(tmp_path / "small.png") as picture:
        assert (film.size, getattr(film, "n_frames", 1)) == ((480, 240), 3)
        assert (picture.size, picture.convert("RGB").getpixel((9, 9))) == ((900, 450), (100, 0, 0))


def test_pictures_of_pages_are_small() -> None:
    gallery = SCRIPTS.parent / "docs" / "gallery"
    for path in (*(gallery / "tutorial").iterdir(), *(gallery / "curves").iterdir()):
        assert path.stat().st_size <= (300_000 if path.suffix == ".webp" else 60_000), path


def test_reference_curves_are_those_of_every_loss(compose_config) -> None:
    script = runpy.run_path(str(SCRIPTS / "reference_curves.py"))
    assert set(script["LOSSES"]) == set(options("loss"))
    for loss in script["LOSSES"]:
        settings = [word for word in script["words"](loss, 100) if "learning_rate" not in word and "seed=" not in word]
        config = compose_config(settings)
        assert (config.loss.name, config.steps, config.log.every) == (loss, 100, 20)
    page = (SCRIPTS.parent / "docs" / "curves.md").read_text(encoding="utf-8")
    drawn = re.findall(r"\(gallery/curves/(\w+)\.png\)", page)
    assert sorted(drawn) == sorted(script["LOSSES"])
    assert all(page.count(f"| loss={loss} |") == 1 and page.count(f"- `{loss}`") == 1 for loss in drawn)


def test_a_reference_curve_has_the_mean_of_the_seeds_and_a_kind_that_fails_is_named() -> None:
    script = runpy.run_path(str(SCRIPTS / "reference_curves.py"))

    def run(d: float) -> list[dict]:
        rows = [{"step": step, "D(x)": d, "D(G(z))": 1 - d, "value": -1.0} for step in (20, 40, 60, 80)]
        return [*rows, {"step": 100, "D(x)": d + 0.1, "D(G(z))": 1 - d, "value": -1.0, "modes/covered": 8.0}]

    found = {"healthy": [run(0.5), run(0.7)], "collapsed": [], "saturated": [run(0.9)]}
    steps, values = script["curve"](found["healthy"], "D(x)")
    assert steps.tolist() == [20, 40, 60, 80, 100] and values.shape == (2, 5)
    healthy, collapsed = script["table"]("minimax", found).splitlines()[2:4]
    # Means over the steps 80 and 100: 0.55 and 0.75.
    assert (
        healthy
        == "| healthy (1 of 3 ended with NaN or Inf) | 0.65 (0.55 to 0.75) | 0.4 (0.3 to 0.5) | -1 (-1 to -1) | 8, 8 |"
    )
    assert collapsed == "| collapsed | all end with NaN or Inf | | | |"
    assert script["draw"]("minimax", found).size == (900, 420)

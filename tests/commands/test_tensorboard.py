"""A real TensorBoard on the outputs of real runs, asked over its HTTP interface."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganrun.methods.gan.gan import LOGITS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEADER, LIST = 110, 320  # pixels of TensorBoard above the charts, and left of them


@pytest.fixture(scope="module")
def outputs(inside, tiny, tmp_path_factory) -> Path:
    """The ``outputs`` of a sweep over two losses."""
    cwd = tmp_path_factory.mktemp("watched")
    words = ("steps=40", "log.every=10", "loss=minimax,nonsaturating", "schedule.k=2")
    done = inside("train", "-m", *tiny, *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "outputs"


@pytest.fixture(scope="module")
def ask(outputs, environment, tmp_path_factory) -> Iterator[Callable[..., Any]]:
    """Ask the server's ``/data/PATH?KEY=VALUE``, or post a JSON body to it; answers JSON or bytes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(outputs), "--host", "127.0.0.1"]
    words += ["--port", str(port), "--load_fast=false", "--reload_interval", "1"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as file:
        server = subprocess.Popen(words, env=environment(), stdout=file, stderr=subprocess.STDOUT)

    def get(path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
        url = f"http://127.0.0.1:{port}/data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    def loaded() -> bool:
        try:
            tags = get("plugin/scalars/tags")
        except OSError:  # URLError is one: nobody listens yet
            return False
        done = [run for run in tags if "D(x)" in tags[run]]
        return len(done) == 2 and all(len(get("plugin/scalars/scalars", run=run, tag="D(x)")) == 4 for run in done)

    try:
        deadline = time.monotonic() + 40
        while not loaded():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"no answer in 40 s:\n{log.read_text()}"
            time.sleep(0.3)
        get.server = f"http://127.0.0.1:{port}"  # for a browser
        yield get
        assert "Traceback" not in log.read_text()
    finally:
        server.terminate()
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def runs(outputs) -> dict[str, Path]:
    """The run directories by the name that TensorBoard gives them."""
    return {str(path.parent.relative_to(outputs)): path.parent for path in outputs.glob("**/config.yaml")}


def written(run: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of ``metrics.jsonl`` by tag."""
    table: dict[str, list[tuple[int, float]]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        for tag in set(row) - {"step"}:
            value = np.inf if row[tag] is None else float(np.float32(row[tag]))  # JSON has no infinity
            table.setdefault(tag, []).append((row["step"], value))
    return table


def test_every_run_is_shown_with_every_tag_under_its_exact_name(ask, runs):
    tags = ask("plugin/scalars/tags")
    assert set(tags) == set(runs)
    for name, run in runs.items():
        assert {tag for tag in tags[name] if not tag.startswith("chart/")} == set(written(run))
        assert {"D(x)", "D(G(z))", "jsd/online"} <= set(tags[name])


def test_every_scalar_is_served_as_it_was_written(ask, runs):
    for name, run in runs.items():
        for tag, wanted in written(run).items():
            seen = ask("plugin/scalars/scalars", run=name, tag=tag)
            assert [(step, pytest.approx(float(value), rel=1e-6)) for _, step, value in seen] == wanted, tag


def test_the_charts_are_laid_out_and_their_patterns_find_their_tags(ask, runs):
    layout = ask("plugin/custom_scalars/layout")
    charts = [chart for category in layout["category"] for chart in category["chart"]]
    found = {chart["title"]: chart["multiline"]["tag"] for chart in charts}
    assert len(found) == 2
    tags = ask("plugin/scalars/tags")[next(iter(runs))]

    def shown(patterns: list[str]) -> set[str]:
        return {tag for tag in tags for pattern in patterns if re.match(pattern, tag)}

    spec, divergence = found.values()
    assert shown(spec) == {"chart/D_on_data", "chart/D_on_samples", "chart/one_half"}
    assert shown(divergence) == {"jsd/online", "jsd/exact", "chart/log_2"}
    assert "nats" in list(found)[1]
    # The page draws no curve whose tag has a parenthesis.
    assert not [tag for tag in shown(spec) | shown(divergence) if "(" in tag]


def test_the_charts_are_served_with_their_numbers(ask, runs):
    for name, run in runs.items():
        for tag, drawn in {"D(x)": "chart/D_on_data", "D(G(z))": "chart/D_on_samples"}.items():
            answer = ask("plugin/custom_scalars/scalars", run=name, tag=f"^{drawn}$")
            assert answer["regex_valid"] and set(answer["tag_to_events"]) == {drawn}
            seen = [(step, value) for _, step, value in answer["tag_to_events"][drawn]]
            assert seen == [(step, pytest.approx(value, rel=1e-6)) for step, value in written(run)[tag]]


def test_the_lines_to_read_the_charts_against_are_flat(ask, runs):
    for tag, value in {"chart/one_half": 0.5, "chart/log_2": math.log(2)}.items():
        seen = ask("plugin/scalars/scalars", run=next(iter(runs)), tag=tag)
        assert len(seen) >= 4 and all(found == pytest.approx(value) for _, _, found in seen)


def test_the_sample_pictures_are_served(ask, runs):
    for name, run in runs.items():
        seen = ask("plugin/images/images", run=name, tag="samples", sample="0")
        files = {int(path.stem): path.read_bytes() for path in (run / "samples").iterdir()}
        assert sorted(image["step"] for image in seen) == sorted(files) == [0, 40]
        for image in seen:
            query = {key: values[0] for key, values in urllib.parse.parse_qs(image["query"]).items()}
            assert ask("plugin/images/individualImage", **query) == files[image["step"]]


def test_the_histograms_of_the_logits_are_served(ask, runs):
    for name in runs:
        for tag in ("logits/real", "logits/fake"):
            seen = ask("plugin/histograms/histograms", run=name, tag=tag)
            assert [step for _, step, _ in seen] == [0, 40]
            for _, _, buckets in seen:
                counts = [count for _, _, count in buckets]
                assert len(buckets) == 30 and sum(counts) == LOGITS
                assert all(left <= right for left, right, _ in buckets)


@pytest.fixture(scope="module")
def sessions(ask, runs) -> dict[str, dict[str, Any]]:
    """What the HPARAMS tab shows, by run."""
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "startIndex": 0,
        "sliceSize": 10,
        "colParams": [],
        "aggregationType": "AGGREGATION_AVG",
        "aggregationMetric": {"tag": ""},
    }
    groups = ask("plugin/hparams/session_groups", body=request)["sessionGroups"]
    assert len(groups) == len(runs)
    return {session["name"].rstrip("/"): {**group, **session} for group in groups for session in group["sessions"]}


def test_the_hyperparameters_are_columns_that_tell_the_runs_apart(sessions, runs):
    assert set(sessions) == set(runs)
    settings = {name: {key.strip(): value for key, value in one["hparams"].items()} for name, one in sessions.items()}
    assert sorted(own["loss"] for own in settings.values()) == ["minimax", "nonsaturating"]
    for own in settings.values():
        assert (own["dataset"], own["architecture"], own["seed"]) == ("ring", "mlp", 0)
        assert own["schedule.k"] == 2 and own["batch_size"] == 16 and own["architecture.generator_hidden"] == "[8]"
        assert "optimizer.generator.learning_rate" not in own  # nobody has set it


def test_the_text_page_has_the_config_and_what_the_tags_are(ask, runs):
    for name in runs:
        assert {"config", "metrics"} <= set(ask("plugin/text/tags")[name])
        (config,) = ask("plugin/text/text", run=name, tag="config")
        assert "learning_rate: 0.001" in config["text"]
        (metrics,) = ask("plugin/text/text", run=name, tag="metrics")
        assert "<table>" in metrics["text"] and "<code>jsd/exact</code>" in metrics["text"]


def test_the_metrics_stand_beside_the_hyperparameters(sessions, runs):
    for name, session in sessions.items():
        shown = {metric["name"]["tag"]: metric["value"] for metric in session["metricValues"]}
        for tag, seen in written(runs[name]).items():
            assert float(shown[tag]) == pytest.approx(seen[-1][1], rel=1e-6), tag


def test_the_hparams_tab_knows_that_the_runs_have_ended_well(sessions):
    assert all(session["status"] == "STATUS_SUCCESS" for session in sessions.values())


def test_a_tag_that_is_not_there_is_not_found(ask, runs):
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        ask("plugin/scalars/scalars", run=next(iter(runs)), tag="jsd/nonsense")
    refused.value.close()


def in_browser(url, folder, width, *words):
    """Show ``url`` in a window of 1000 rows of ``width`` pixels; return what the browser prints and complains about."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},1000", "--virtual-time-budget=20000", "--enable-logging=stderr", *words, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if re.search(r"ERROR:CONSOLE|Uncaught", line)]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "side_by_side"), [(900, False), (1600, True)])
def test_a_browser_shows_both_charts_of_the_layout_at_once(ask, tmp_path, width, side_by_side):
    picture = tmp_path / "charts.png"
    _, complaints = in_browser(f"{ask.server}/#custom_scalars", tmp_path, width, f"--screenshot={picture}")
    assert complaints == []
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)[HEADER:, LIST:]
    assert pixels.shape[:2] == (1000 - HEADER, width - LIST)
    rows, columns = np.nonzero(np.ptp(pixels, axis=-1) > 90)  # lines and the buttons below have colours
    tall, wide = np.ptp(rows), np.ptp(columns)
    # A chart is about 340 pixels wide, and 250 tall with its buttons.
    assert (wide > 500 and tall < 350) if side_by_side else (wide < 400 and 450 < tall < 700)


@pytest.mark.slow
def test_a_browser_lists_the_tags_by_what_they_measure(ask, tmp_path):
    dom, complaints = in_browser(f"{ask.server}/#timeseries", tmp_path, 900, "--dump-dom")
    titles = re.findall(r'title="([^"]+)"', dom)
    groups = [title for title in titles if title in ("D(G(z))", "D(x)", "jsd", "kl", "loss", "modes", "value")]
    assert complaints == [] and list(dict.fromkeys(groups)) == [
        "D(G(z))",
        "D(x)",
        "jsd",
        "kl",
        "loss",
        "modes",
        "value",
    ]

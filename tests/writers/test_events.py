"""The event files of a run as TensorBoard itself reads them."""

import pytest
import yaml
from board import Board

from ganrun.evaluation.metrics.spec import specs
from ganrun.storage.growing_files import is_growing, positions, rewind
from ganrun.writers.base import Entry
from ganrun.writers.pages import metrics_page, pages
from ganrun.writers.tensorboard import TensorBoard

FOUR = {"dataset": "ring", "architecture": "mlp", "loss": "hinge", "seed": 3}


def run(folder, hyperparameters, texts=None, resumed_at=None, status="completed"):
    folder.mkdir(exist_ok=True)
    board = TensorBoard(folder, hyperparameters, texts, resumed_at)
    for step in (10, 20) if resumed_at is None else (resumed_at + 10,):
        board.write(Entry(step, {"D(x)": step / 100}))
    board.flush()
    sizes = positions(folder)  # as the last checkpoint does, before the end is written
    board.close(status)
    return sizes


def shown(names):
    """As a browser shows them: without the space before a name."""
    return [name.strip() for name in names]


def test_the_columns_are_dataset_architecture_loss_and_seed_then_the_others_by_name(tmp_path):
    run(tmp_path, {**FOUR, "schedule.k": 2, "batch_size": 16})
    assert shown(Board(tmp_path).columns()) == ["dataset", "architecture", "loss", "seed", "batch_size", "schedule.k"]


def test_what_differs_between_runs_comes_before_what_does_not(tmp_path):
    for name, seed, k in (("a", 0, 1), ("b", 1, 2)):
        run(tmp_path / name, {**FOUR, "seed": seed, "schedule.k": k})
    board = Board(tmp_path)
    assert shown(board.columns()) == ["seed", "schedule.k", "dataset", "architecture", "loss"]
    values = {
        name: dict(zip(shown(row.values), row.values.values(), strict=True)) for name, row in board.sessions().items()
    }
    assert values == {"a": {**FOUR, "seed": 0, "schedule.k": 1}, "b": {**FOUR, "seed": 1, "schedule.k": 2}}


def test_a_resumed_run_has_the_hyperparameters_and_pages_that_it_goes_on_with(tmp_path):
    sizes = run(tmp_path, {**FOUR, "steps": 20}, {"config": "steps: 20"}, status="stopped")
    assert rewind(tmp_path, sizes) == []
    run(tmp_path, {**FOUR, "steps": 30, "ema.decay": 0.5}, {"config": "steps: 30"}, resumed_at=20)
    board = Board(tmp_path)
    (row,) = board.sessions().values()
    assert row.values["steps"] == 30 and row.values["ema.decay"] == 0.5
    assert row.status == "SUCCESS"  # though it was stopped before
    assert board.texts()["config"] == [(0, "steps: 30")]
    assert board.scalars("D(x)") == [(step, pytest.approx(step / 100)) for step in (10, 20, 30)]


def test_the_file_that_says_what_a_run_is_does_not_count_as_one_that_grows(tmp_path):
    run(tmp_path, FOUR)
    (about,) = tmp_path.glob("*.about")
    assert "tfevents" in about.name and not is_growing(about.name) and about.name not in positions(tmp_path)
    assert sum(is_growing(path.name) for path in tmp_path.iterdir()) == 1


def test_the_pages_are_the_whole_config_and_what_each_tag_is(tmp_path, tiny_config):
    run(tmp_path, FOUR, pages(tiny_config))
    texts = Board(tmp_path).texts()
    assert set(texts) == {"config", "metrics"}
    ((step, config),) = texts["config"]
    assert step == 0 and all(line.startswith("    ") for line in config.splitlines())  # as it stands, in Markdown
    node = yaml.safe_load("\n".join(line[4:] for line in config.splitlines()))
    assert (
        node["batch_size"] == 16 and node["architecture"]["generator_hidden"] == [8] and node["ema"]["decay"] == 0.999
    )


def test_the_page_of_metrics_has_a_row_for_each():
    rows = [[cell.strip() for cell in line.split(" | ")] for line in metrics_page().splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| `{spec.name}`" for spec in specs()]
    exact = next(row for row in rows if row[0] == "| `jsd/exact`")
    assert "Jensen-Shannon" in exact[1] and exact[2:] == ["nats", "lower |"]

"""The default sweeper: every combination of the values, in batches where they are asked for."""

from __future__ import annotations

import pytest

from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import hand_over


@pytest.fixture
def launched(tmp_path):
    """Hand a sweep to Hydra, and return its exit code and the values of ``seed`` and ``steps`` of each launch."""

    def run(*words: str) -> tuple[int, list[list[tuple[int, int]]]]:
        launches = []

        def together(jobs, *_, **__):
            launches.append([(node["seed"], node["steps"]) for node, _ in jobs])
            return [0] * len(jobs)

        own = ["hydra/launcher=population", "hydra/sweeper=grid", f"hydra.sweep.dir='{tmp_path / 'sweep'}'"]
        try:
            code = hand_over("train", "train", CliArguments(["-m", *words, *own]), lambda node: 0, together)
        except SystemExit as leaving:
            code = leaving.code
        return code, launches

    return run


ALL = [(1, 5), (1, 6), (2, 5), (2, 6), (3, 5), (3, 6)]


def test_all_combinations_are_launched_at_once_in_the_order_of_the_words(launched, tmp_path):
    assert launched("seed=range(1,4)", "steps=5,6") == (0, [ALL])
    assert launched("steps=5", "seed=7") == (0, [[(7, 5)]])
    assert (tmp_path / "sweep" / "multirun.yaml").is_file()


def test_a_batch_size_splits_them(launched):
    assert launched("seed=1,2,3", "steps=5,6", "hydra.sweeper.max_batch_size=4") == (0, [ALL[:4], ALL[4:]])


def test_settings_of_the_sweeper_vary_too_and_lose_to_words(launched):
    params = "+hydra.sweeper.params={seed: '1,2', steps: 5}"
    assert launched(params) == (0, [[(1, 5), (2, 5)]])
    assert launched(params, "seed=3") == (0, [[(3, 5)]])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("seed=interval(0,1)",), "seed is an interval, which only a search can vary: write range(A,B,STEP), or list"),
        (("hydra.sweeper.max_batch_size=0",), "hydra.sweeper.max_batch_size must be at least 1, not 0."),
        (("hydra.sweeper.max_batch_size=two",), "hydra.sweeper.max_batch_size must be a whole number, not 'two'."),
    ],
)
def test_what_it_cannot_sweep_is_told_in_a_line_before_anything_is_written(words, line, launched, tmp_path, capsys):
    assert launched(*words) == (2, [])
    assert capsys.readouterr().err.startswith(f"ganrun: {line}")
    assert list(tmp_path.iterdir()) == []

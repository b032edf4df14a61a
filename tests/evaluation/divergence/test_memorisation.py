"""A generator that gives back its training set is found out; one that has learned is not."""

from __future__ import annotations

import numpy as np
import pytest

from ganrun.evaluation.divergence import memorisation as memorised_module
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.memorisation import memorised
from ganrun.evaluation.divergence.open_distribution import open_distribution
from ganrun.evaluation.metrics import neighbours

D = 16


@pytest.fixture
def splits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (3000, D)).astype(np.float32), rng.uniform(-1, 1, (500, D)).astype(np.float32)


def run(splits, draw) -> Distribution:
    return Distribution("run", (D,), draw=draw, training=splits[0], held_out=splits[1])


def test_fresh_samples_of_the_same_distribution_are_no_cause(splits):
    fresh = run(splits, lambda n, seed: np.random.default_rng(seed + 9).uniform(-1, 1, (n, D)).astype(np.float32))
    assert memorised(fresh) is None


@pytest.mark.parametrize("block", [8192, 700])
def test_copies_are_counted(block, splits, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)

    def draw(n: int, seed: int) -> np.ndarray:
        fresh = np.random.default_rng(seed + 9).uniform(-1, 1, (n, D)).astype(np.float32)
        fresh[:5] = splits[0][2000:2005] + np.float32(0.001)  # within half a step of grey
        return fresh

    told = memorised(run(splits, draw))
    assert told is not None and told.startswith("run may have memorised: of 1000 samples 5 are copies")


def test_samples_close_to_the_training_set_are_told(splits):
    def draw(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return (splits[0][rng.integers(0, 3000, n)] + rng.normal(0, 0.1, (n, D))).astype(np.float32)

    told = memorised(run(splits, draw))
    assert told is not None and "100% lie closer" in told and "copies" not in told


def test_nothing_is_said_of_a_side_without_training_set(splits):
    assert memorised(Distribution("x", (D,), rows=splits[0])) is None
    assert memorised(open_distribution("ring", key=None, data_dir=None)) is None
    assert memorised(open_distribution("digits", key=None, data_dir=None)) is None


@pytest.mark.parametrize(
    ("distances", "differences", "told"),
    [
        ([1.0, 1.0], [1.0, 1.0], None),  # half of the usual distance is not yet too near
        ([0.999, 0.999], [1.0, 1.0], "100% lie closer"),
        ([2.0, 0.0], [1.0, 1 / 255], "1 are copies"),  # half a step between two bytes is the same picture
        ([2.0, 2.0], [1.0, 1.001 / 255], None),
    ],
)
def test_where_copies_begin(distances, differences, told, monkeypatch):
    rows = np.zeros((2, 1), np.float32)
    side = Distribution("run", (1,), draw=lambda n, seed: rows + 1, training=rows, held_out=rows)
    answers = {1.0: (np.array(distances), np.array(differences)), 0.0: (np.full(2, 2.0), np.ones(2))}
    monkeypatch.setattr(memorised_module, "nearest", lambda some, training: answers[float(some[0, 0])])
    found = memorised_module.memorised(side)
    assert (found is None) if told is None else told in str(found)

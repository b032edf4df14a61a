"""The weights of the combination of base learners."""

import numpy as np
import pytest

from ganrun.evaluation.divergence.classifier.classifier import LOGIT
from ganrun.evaluation.divergence.classifier.combination import base_logits, combine


def shifted(n: int, *, columns: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose first column is N(0, 1) on one side and N(1, 1) on the other (log-odds 1/2 - x); noise in the rest."""
    x = np.random.default_rng(1).normal(size=(2 * n, columns))
    is_real = np.arange(2 * n) < n
    x[~is_real, 0] += 1
    return x, is_real


def log_odds(x: np.ndarray) -> np.ndarray:
    return 0.5 - x[:, 0]


def column(index: int, scale: float = 1.0):
    return lambda rows: scale * rows[:, index]


def weights(judge, columns: int) -> np.ndarray:
    """The weight of each expert, where expert i repeats column i."""
    return judge(np.eye(columns)) - judge(np.zeros((1, columns)))


def test_opinions_stand_side_by_side():
    judges = [column(0), lambda rows: rows[:, 1:], column(0, scale=-1)]
    assert np.array_equal(base_logits(judges, np.array([[1.0, 2.0, 3.0]])), [[1, 2, 3, -1]])


def test_a_coin_by_hand():
    """Where the expert says +1, three in four are real; where it says -1, one in four: weight log 3."""
    says = np.repeat([1.0, 1.0, -1.0, -1.0], [3000, 1000, 1000, 3000])
    is_real = np.repeat([True, False, True, False], [3000, 1000, 1000, 3000])
    judge = combine([column(0)], says[:, None], is_real)
    assert judge(np.array([[1.0], [-1.0], [0.0]])) == pytest.approx([np.log(3), -np.log(3), 0], abs=0.003)


def test_one_example_a_side_by_hand():
    """The ridge keeps the weight of an expert who was right twice finite: 2 log(1 + e^-w) + w^2 / 2 is least."""
    judge = combine([column(0)], np.array([[1.0], [-1.0]]), np.array([True, False]))
    assert 0.6748 * (1 + np.exp(0.6748)) == pytest.approx(2, abs=1e-3)
    assert judge(np.array([[1.0], [-1.0]])) == pytest.approx([0.6748, -0.6748], abs=1e-3)


def test_believes_the_expert_among_noise():
    x, is_real = shifted(4000, columns=9)
    judges = [log_odds, *(column(i) for i in range(1, 9))]
    judge = combine(judges, x, is_real)
    rows = np.random.default_rng(0).normal(size=(500, 9))
    # Of nine weights, each with a standard error of about 0.02.
    assert np.sqrt(np.mean((judge(rows) - log_odds(rows)) ** 2)) < 0.1


@pytest.mark.parametrize("scale", [3.0, 0.2])
def test_rescales_an_expert(scale):
    x, is_real = shifted(4000)
    judge = combine([lambda rows: scale * log_odds(rows)], x, is_real)
    rows = np.linspace(-2, 3, 11)[:, None]
    assert judge(rows) == pytest.approx(log_odds(rows), abs=0.2)


def test_never_believes_the_opposite_of_an_expert():
    x, is_real = shifted(4000)
    judge = combine([lambda rows: -log_odds(rows)], x, is_real)
    assert judge(np.linspace(-3, 3, 7)[:, None]) == pytest.approx(np.zeros(7), abs=1e-6)


def test_weights_are_not_negative():
    x = np.random.default_rng(2).normal(size=(60, 12))
    is_real = np.arange(60) < 30
    judge = combine([column(i) for i in range(12)], x, is_real)
    assert np.all(weights(judge, 12) >= 0)
    assert np.any(weights(judge, 12) == 0)  # of twelve free weights on noise half would be negative


def test_shares_its_belief_between_experts_that_agree():
    x, is_real = shifted(4000)
    alone, twice = combine([log_odds], x, is_real), combine([log_odds, log_odds], x, is_real)
    rows = np.linspace(-3, 3, 7)[:, None]
    assert twice(rows) == pytest.approx(alone(rows), abs=0.01)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_how_many_examples_a_side_has_is_no_evidence(share):
    """The Jensen-Shannon divergence weighs both sides alike, however many examples of each there are."""
    rng = np.random.default_rng(3)
    is_real = rng.random(20_000) < share
    x = rng.normal(size=(20_000, 2))
    assert combine([column(1)], x, is_real)(np.zeros((1, 2))) == pytest.approx([0], abs=0.1)
    x[~is_real, 0] += 1
    rows = np.linspace(-1, 2, 7)[:, None]
    assert combine([log_odds], x, is_real)(rows) == pytest.approx(log_odds(rows), abs=0.2)


def test_logits_are_cut_off():
    x = np.repeat([[1.0], [-1.0]], 500, axis=0)
    judge = combine([column(0)], x, x[:, 0] > 0)
    assert judge(np.array([[1e6], [-1e6]])).tolist() == [LOGIT, -LOGIT]


def test_no_expert_with_an_opinion():
    judge = combine([lambda rows: np.zeros(len(rows))], np.zeros((100, 1)), np.arange(100) < 50)
    assert judge(np.ones((3, 1))) == pytest.approx(np.zeros(3), abs=1e-6)

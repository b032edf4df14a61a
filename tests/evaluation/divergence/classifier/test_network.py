"""The network among the experts: that it learns, that it stops, and that it does the same again."""

import numpy as np
import pytest

from ganrun.evaluation.divergence.classifier import network
from ganrun.evaluation.divergence.classifier.classifier import LOGIT
from ganrun.evaluation.divergence.estimate import scores

pytestmark = pytest.mark.optimised


def shifted(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """N(0, 1) and N(1, 1): log-odds 1/2 - x."""
    rng = np.random.default_rng(seed)
    is_real = rng.random(n) < 0.5
    return rng.normal(size=(n, 1)) + ~is_real[:, None], is_real


def test_learns_a_shift():
    judge = network.on_examples(*shifted(4000, 0), 0, updates=200)
    x, is_real = shifted(20_000, 1)
    logits = judge(x)
    on_real, on_fake = scores(logits[is_real], logits[~is_real])
    # The truth is 0.1114; 20 000 scores of standard deviation 0.4 leave 0.003.
    assert 0.095 < 0.5 * (on_real.mean() + on_fake.mean()) < 0.1214
    assert judge(np.array([[-1.0], [0.5], [2.0]])) == pytest.approx([1.5, 0, -1.5], abs=0.4)


def test_keeps_the_best_on_held_examples():
    """After four looks every label is turned round: the network of before is the one that is returned."""
    held, asked = shifted(2000, 2), []

    def stream(n: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(n)
        x, is_real = shifted(n, 10 + len(asked))
        return x, is_real if len(asked) <= 2 else ~is_real

    judge = network.learn(stream, held, 0, updates=400)
    assert asked == [network.CALL * network.BATCH] * 4
    assert np.corrcoef(judge(held[0]), 0.5 - held[0][:, 0])[0, 1] > 0.95


def test_learns_nothing_from_noise():
    """500 examples with labels by chance: to learn them by heart takes 300 updates, and is seen to be no use."""
    spread = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        judge = network.on_examples(rng.normal(size=(500, 2)), rng.random(500) < 0.5, seed, updates=300)
        spread.append(float(np.sqrt(np.mean(judge(rng.normal(size=(1000, 2))) ** 2))))
    assert np.median(spread) < 0.25


def test_examples_kept_for_stopping_are_not_learned_from(monkeypatch):
    seen = {}

    def learn(stream, held, seed, updates):
        seen.update(held=held, used=stream(5000))
        return lambda rows: np.zeros(len(rows))

    monkeypatch.setattr(network, "learn", learn)
    x = np.arange(200.0)[:, None]
    network.on_examples(x, x[:, 0] < 100, 0)
    (held, held_real), (used, used_real) = seen["held"], seen["used"]
    assert len(held) == 20
    assert set(used[:, 0]) == set(x[:, 0]) - set(held[:, 0])
    assert np.array_equal(held_real, held[:, 0] < 100)
    assert np.array_equal(used_real, used[:, 0] < 100)


def test_the_same_seed_is_the_same_network():
    x, is_real = shifted(500, 3)
    one, again, other = (network.on_examples(x, is_real, seed, updates=100)(x) for seed in (7, 7, 8))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    examples = shifted(network.CALL * network.BATCH, 4)
    starts = [network.learn(lambda n: examples, (x, is_real), seed, updates=100)(x) for seed in (0, 1)]
    assert not np.array_equal(*starts)


def test_logits_of_any_number_of_rows():
    judge = network.on_examples(*shifted(500, 4), 0, updates=100)
    x = np.linspace(-3, 3, network.CHUNK + 5)[:, None]
    logits = judge(x)
    assert logits.shape == (len(x),)
    assert logits.dtype == np.float64
    assert judge(x[-3:]) == pytest.approx(logits[-3:], abs=1e-5)
    assert np.abs(judge(np.array([[1e9], [-1e9]]))).max() <= LOGIT

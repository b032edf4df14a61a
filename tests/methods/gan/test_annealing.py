"""What jumps where a run goes on with another number of steps."""

import dataclasses

import pytest

from ganrun.methods.gan.annealing import jumps
from ganrun.storage.run_directory import save_config
from ganrun.training.session import RunSession
from ganrun.writers.console import Messages

COSINE = ("optimizer.generator.decay=cosine", "optimizer.discriminator.decay=constant")


def told(compose_config, words, before, now, step):
    configs = [dataclasses.replace(compose_config(words), steps=steps) for steps in (before, now)]
    return jumps(*configs, step)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        # Half a cosine is at 1/2 in the middle: from 0 at its end the rate goes back to half of .002.
        (
            ["optimizer.generator.learning_rate=0.002", *COSINE],
            "steps=200 in place of 100 changes at step 100: optimizer.generator.learning_rate 0 -> 0.001.",
        ),
        (
            ["optimizer=sgd", "optimizer.generator.decay=linear", "optimizer.generator.minimum_rate=0"],
            "steps=200 in place of 100 changes at step 100: optimizer.generator.learning_rate 0 -> 0.05.",
        ),
        (
            ["optimizer=sgd", "inputs.noise=0.2", "penalty=r1", "penalty.r1.decay=linear", "penalty.r1.weight=4"],
            "steps=200 in place of 100 changes at step 100: penalty.r1.weight 0 -> 2, inputs.noise 0 -> 0.1.",
        ),
        (
            ["optimizer=sgd", "schedule=ramp", "schedule.final_k=9", "generator_update.top_k=0.5"],
            "steps=200 in place of 100 changes at step 100: generator_update.top_k 0.5 -> 0.75, schedule.k 9 -> 5.",
        ),
        (
            # Half of the way from 0.5 to 0.9.
            [
                *("optimizer.generator.decay=constant", "optimizer.discriminator.decay=constant"),
                *("optimizer.generator.b2=0.5", "optimizer.generator.b2_schedule=linear"),
                "optimizer.generator.final_b2=0.9",
            ],
            "steps=200 in place of 100 changes at step 100: optimizer.generator.b2 0.9 -> 0.7.",
        ),
        # These count steps, or nothing.
        (["optimizer=sgd", "schedule=piecewise"], None),
    ],
)
def test_what_follows_the_share_of_the_run_jumps(words, wanted, compose_config):
    assert told(compose_config, words, 100, 200, 100) == wanted
    assert told(compose_config, words, 100, 100, 100) is None


def test_what_hardly_changes_is_not_told(compose_config):
    assert told(compose_config, COSINE, 100_000, 100_001, 50_000) is None


def test_a_resumed_run_says_so_before_it_goes_on(tiny_config, tiny_ring, tmp_path, capsys):
    rule = dataclasses.replace(tiny_config.optimizer.generator, decay="cosine", learning_rate=0.5, minimum_rate=0.0)
    optimizer = dataclasses.replace(tiny_config.optimizer, generator=rule, discriminator=rule)
    before = dataclasses.replace(tiny_config, optimizer=optimizer, steps=100)
    save_config(before, tmp_path)
    member = RunSession(tiny_ring, dataclasses.replace(before, steps=200), tmp_path)
    member.step = 100
    messages = Messages(tmp_path)
    member.open(messages, [])
    member.close("stopped")
    messages.close()
    line = "warning: steps=200 in place of 100 changes at step 100: optimizer.generator.learning_rate 0 -> 0.25"
    assert line in capsys.readouterr().out and line in (tmp_path / "train.log").read_text()

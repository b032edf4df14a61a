"""Values as people type them: whole numbers with an exponent, bounds to the last digit, settings of other options."""

from __future__ import annotations

import dataclasses
import math
import typing

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganrun.commands.compare import Compare
from ganrun.commands.jsd import Jsd
from ganrun.commands.sample import Sample
from ganrun.config.hydra_bridge import compose, compose_each
from ganrun.config.hydra_errors import unknown_key
from ganrun.config.registry import GROUP_MODULES, options
from ganrun.config.schema import check, check_plain, to_dict
from ganrun.config.settings import Train
from ganrun.config.values import checked
from ganrun.errors import ConfigError, exact


def integers(schema, prefix=()):
    """Every setting of whole numbers in ``schema`` and in the groups inside it, by its path."""
    kinds = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind = kinds[field.name]
        if dataclasses.is_dataclass(kind):
            yield from integers(kind, (*prefix, field.name))
        elif int in (kind, *typing.get_args(kind)):
            yield (*prefix, field.name), kind, field.metadata


SCHEMAS = [Train, Sample, Jsd, Compare, *(option for group in GROUP_MODULES for option in options(group).values())]
WHOLE = [
    pytest.param(*one, id=f"{schema.__name__}.{'.'.join(one[0])}") for schema in SCHEMAS for one in integers(schema)
]


@pytest.mark.parametrize(("path", "kind", "rules"), WHOLE)
def test_every_setting_of_whole_numbers_takes_a_float_that_is_whole_and_no_other(path, kind, rules):
    several = typing.get_origin(kind) is tuple
    value = rules.get("low", 1) + 1
    found = checked(kind, [float(value)] if several else float(value), ".".join(path), rules)
    assert found == ((value,) if several else value) and type(found[0] if several else found) is int
    for wrong in (1.5, math.inf, math.nan, True, "1e4"):
        with pytest.raises(ConfigError, match=r"must be (auto or )?a whole number"):
            checked(kind, [wrong] if several else wrong, ".".join(path), rules)


@pytest.mark.parametrize(("steps", "every"), [("1e4", 50), ("2e6", 100), ("1_000_001.0", 100), ("1000000", 50)])
def test_steps_with_an_exponent_are_those_steps_and_rows_as_many(steps, every):
    config = check(compose("train", [f"steps={steps}"]))
    assert (config.steps, type(config.steps)) == (int(float(steps.replace("_", ""))), int)
    assert config.log.every == every


def test_a_sweep_over_steps_takes_exponents_and_whole_floats_too():
    jobs = [["steps=1e4", "seed=2.0"], ["steps=10000", "seed=2"]]
    one, other = [check(node) for node in compose_each("train", jobs)]
    assert one == other and to_dict(one) == to_dict(other) and repr(one) == repr(other)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("steps=1.5", "steps must be a whole number, not 1.5."),
        ("steps=1e30", "steps must be at least 1 and at most 2147483647, not 1e+30."),
        ("steps=1e400", "steps must be a whole number, not inf."),
        ("steps=2147483648", "steps must be at least 1 and at most 2147483647, not 2147483648."),
        ("seed=4294967296", "seed must be at least 0 and at most 4294967295, not 4294967296."),
        ("ema.decay=1.0000000001", "ema.decay must be at least 0 and less than 1, not 1.0000000001."),
        (
            "generator_update.top_k=1.000001",
            "generator_update.top_k must be at most 1 and greater than 0, not 1.000001.",
        ),
        ("data_dir=1e4", "data_dir must be text, not the number 10000.0: put it in quotes, \"data_dir='...'\"."),
    ],
)
def test_what_is_out_of_range_is_told_to_the_last_digit_that_matters(word, line):
    with pytest.raises(ConfigError) as told:
        check(compose("train", [word]))
    assert str(told.value) == line


@settings(max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@example(0.0, -0.0)
def test_numbers_that_differ_are_written_differently(a, b):
    assert float(exact(a)) == a
    assert (exact(a) == exact(b)) == (a == b)


def test_a_bound_and_the_number_beyond_it_never_look_alike():
    for bound in (2**32 - 1, 2**31 - 1, 1.0, 1e18):
        assert exact(bound) != exact(math.nextafter(bound, math.inf))
    assert exact(2**32) == "4294967296" and exact(10**400) == "so large"


LABELS = "loss=feature_matching, loss=maximum_likelihood, loss=minimax and loss=nonsaturating have it."


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["loss=hinge", "loss.label_smoothing=0.1"],
            f"'loss.label_smoothing' is not a setting of loss=hinge; {LABELS}",
        ),
        (
            ["loss.label_smoothing=0.1", "experiment=lsgan"],
            f"'loss.label_smoothing' is not a setting of loss=least_squares; {LABELS}",
        ),
        (
            ["optimizer.generator.momentum=0.1"],
            "'optimizer.generator.momentum' is not a setting of optimizer=adam; optimizer=sgd has it.",
        ),
        (
            ["optimizer=sgd", "optimizer.discriminator.b1=0.1"],
            "'optimizer.discriminator.b1' is not a setting of optimizer=sgd; optimizer=adam has it.",
        ),
        (
            ["penalty=r2", "penalty.r1.weight=2"],
            "'penalty.r1.weight' is a setting of penalty=r1, which is not chosen: add penalty=r1.",
        ),
        (
            ["dataset=digits", "dataset.modes=3"],
            "'dataset.modes' is not a setting of dataset=digits; dataset=ring has it.",
        ),
        (["loss.label_smoothin=0.1"], "'loss.label_smoothin' is not a setting. Did you mean loss.label_smoothing?"),
    ],
    ids=lambda one: one[-1] if isinstance(one, list) else "",
)
def test_a_setting_of_another_option_is_told_with_the_options_that_have_it(words, line):
    with pytest.raises(ConfigError) as told:
        compose("train", words)
    assert str(told.value) == line


def test_a_file_that_sets_what_another_option_has_is_told_the_same():
    node = compose("train", ["loss=hinge"])
    node["loss"]["label_smoothing"] = 0.1
    with pytest.raises(ConfigError) as told:
        check(node)
    assert str(told.value) == f"'loss.label_smoothing' is not a setting of loss=hinge; {LABELS}"


def test_no_setting_that_the_config_has_is_called_one_of_another_option():
    assert "is not a setting of" not in unknown_key("loss.nam", "train")
    assert "Did you mean" in unknown_key("loss.nam", "train")


def test_whole_floats_are_taken_by_the_other_commands():
    assert check_plain(Sample, {"n": 1e3, "steps": 2.0}).n == 1000
    assert check_plain(Jsd, {"n": 1e4}).n == 10_000

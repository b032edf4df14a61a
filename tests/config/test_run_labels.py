"""Names of settings, values and runs: short, unambiguous, and safe for every file system."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.config.labels import LONGEST, in_order, member_name, run_name, short_keys, short_value, varying


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (3e-4, "0.0003"),
        (1e-5, "1e-05"),
        (1e-3, "0.001"),
        (0.31622776601683794, "0.316227766"),
        (1.0, "1"),
        (16000, "16000"),
        (True, "true"),
        (None, "null"),
        ("hinge", "hinge"),
        ([8, 8], "[8,8]"),
        ((0.1 + 0.2, None), "[0.3,null]"),
        ({"name": "r1", "weight": 10.0}, "{name:r1,weight:10}"),
    ],
)
def test_a_value_is_written_as_a_person_would(value, shown):
    assert short_value(value) == shown


def test_fewer_digits_of_a_float_may_be_kept():
    assert short_value(0.0014325487324, digits=4) == "0.001433"


def test_keys_are_shortened_to_the_shortest_end_that_is_their_own():
    keys = ["optimizer.generator.learning_rate", "loss.name", "schedule.k"]
    assert list(short_keys(keys).values()) == ["learning_rate", "loss", "k"]
    both = ["optimizer.generator.learning_rate", "optimizer.discriminator.learning_rate", "seed"]
    assert list(short_keys(both).values()) == ["generator.learning_rate", "discriminator.learning_rate", "seed"]


@pytest.mark.parametrize("keys", [["loss", "loss.name"], ["loss.name", "loss"]])
def test_a_key_whose_short_name_is_another_key_keeps_its_own(keys):
    assert short_keys(keys) == {"loss": "loss", "loss.name": "loss.name"}


PARTS = st.lists(st.sampled_from(["a", "b", "name"]), min_size=1, max_size=4)


@given(st.lists(PARTS.map(".".join), unique=True, max_size=6))
def test_no_two_keys_have_one_short_name(keys):
    short = short_keys(keys)
    assert list(short) == keys
    assert len(set(short.values())) == len(keys)
    assert all(f".{key}".endswith((f".{name}", f".{name}.name")) for key, name in short.items())


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((None, "ring", "mlp", "nonsaturating"), "ring-mlp-nonsaturating"),
        (("wgan_gp", "ring", "mlp", "wasserstein"), "wgan_gp-ring-mlp-wasserstein"),
        (("ring", "ring", "mlp", "nonsaturating"), "ring-mlp-nonsaturating"),
        ((None, "a/b", "..\\c", "d e:*"), "a_b-.._c-d_e_"),
    ],
)
def test_a_run_is_named_after_dataset_architecture_and_loss(words, name):
    assert run_name(*words) == name


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"seed": 1, "learning_rate": 0.001}, "3-seed=1,learning_rate=0.001"),
        ({"rate": 0.1 + 0.2}, "3-rate=0.3"),
        ({}, "3"),
        ({"penalty": ["r1", "r2"], "loss": None}, "3-penalty=r1+r2,loss=null"),
        ({"penalty": {"r1": {"weight": 1.5}}}, "3-penalty=r1-weight-1.5"),
        ({"data_dir": "/data/of mine"}, "3-data_dir=_data_of_mine"),
        ({"text": "a=b,c"}, "3-text=a_b_c"),
        ({"text": "x" * 40}, f"3-text={'x' * 15}..{'x' * 15}"),
        ({"text": "end."}, "3-text=end"),
        ({f"key{i}": "v" * 12 for i in range(9)}, "3-" + ",".join(f"key{i}={'v' * 12}" for i in range(5)) + ",4-more"),
    ],
)
def test_a_run_of_a_sweep_is_named_after_its_number_and_what_varies(settings, name):
    assert member_name(3, settings) == name


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.integers(0, 99_999), st.dictionaries(st.text(min_size=1, max_size=60), VALUES, max_size=8))
def test_every_name_of_a_run_is_safe_short_and_begins_with_its_number(number, settings):
    name = member_name(number, settings)
    assert re.fullmatch(r"[0-9]+(-[A-Za-z0-9_.+=,-]+)?", name)
    assert name.split("-")[0] == str(number) and len(name) <= LONGEST and not name.endswith(".")


def test_what_varies_is_what_differs_or_is_not_everywhere():
    jobs = [{"steps": 5, "seed": 0, "loss": "a"}, {"steps": 5, "seed": 1, "loss": "a", "k": 2}]
    assert varying(jobs) == ["seed", "k"]
    assert varying([{"seed": 0}, {"seed": 0}]) == [] == varying([])


def test_runs_are_ordered_by_their_numbers():
    names = ["10-seed=9", "2-seed=10", "2-seed=9", "b/1", "b/10", "b/2", "0"]
    ordered = sorted(names, key=lambda name: in_order(name.split("/")))
    assert ordered == ["b/1", "b/2", "b/10", "0", "2-seed=10", "2-seed=9", "10-seed=9"]

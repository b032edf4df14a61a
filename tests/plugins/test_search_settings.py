"""A search's own whole numbers, and those that it varies, may be typed with an exponent."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra_plugins.ganrun_population.search import SearchSweeper
from hydra_plugins.ganrun_population.space import distribution

from ganrun.errors import ConfigError


def kind(name):
    return lambda *bounds, **options: (name, bounds, options)


DISTRIBUTIONS = SimpleNamespace(
    IntDistribution=kind("int"), FloatDistribution=kind("float"), CategoricalDistribution=kind("one of")
)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("steps=tag(int,interval(1e2,1e3))", ("int", (100, 1000), {"log": False})),
        ("steps=tag(log,int,interval(100,1e3))", ("int", (100, 1000), {"log": True})),
        ("steps=range(1e1,5e1)", ("int", (10, 49), {"step": 1, "log": False})),
        ("steps=range(10,50,1e1)", ("int", (10, 49), {"step": 10, "log": False})),
        ("ema.decay=interval(0.5,1.0)", ("float", (0.5, 1.0), {"log": False})),
        ("ema.decay=range(0.5,0.75,0.25)", ("one of", (["0.5"],), {})),
    ],
)
def test_whole_bounds_with_an_exponent_are_whole(word, found):
    (override,) = OverridesParser.create().parse_overrides([word])
    told = distribution(SimpleNamespace(distributions=DISTRIBUTIONS), override)
    assert told == found
    assert list(map(type, told[1])) == list(map(type, found[1]))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"trials": 1.5}, "hydra.sweeper.trials must be a whole number, not 1.5."),
        ({"trials": 1e1, "batch": 0}, "hydra.sweeper.batch must be at least 1 and at most 1e+06, not 0."),
        ({"seeds_per_trial": -1}, "hydra.sweeper.seeds_per_trial must be at least 1 and at most 1e+06, not -1."),
        ({"seed": 4294967296}, "hydra.sweeper.seed must be at least 0 and at most 4294967295, not 4294967296."),
        (
            {"trials": 1e1, "batch": 5.0, "direction": "down"},
            "hydra.sweeper.direction must be one of",
        ),  # the next check
    ],
    ids=str,
)
def test_whole_numbers_of_a_search_are_checked_before_it_begins(settings, line):
    pytest.importorskip("optuna")
    search = SearchSweeper(**settings)
    with pytest.raises(ConfigError) as told:
        search._search(["seed=1,2"])
    assert str(told.value).startswith(line)
    if "direction" in settings:
        assert (search.settings.trials, search.settings.batch) == (10, 5) and type(search.settings.trials) is int


@pytest.mark.parametrize(
    ("last", "failed", "value"),
    [
        ([{"jsd/exact": 0.1}, {"jsd/exact": 0.3}], False, 0.2),
        ([{"jsd/exact": 0.1}, {"jsd/exact_error": 0.3}], False, None),  # withheld: the trial fails, the search goes on
        ([{"jsd/exact": 0.1}, {"jsd/exact": 0.3}], True, None),
    ],
)
def test_a_trial_with_a_run_that_withholds_the_metric_has_no_value(last, failed, value, monkeypatch):
    from hydra_plugins.ganrun_population import search

    runs = [SimpleNamespace(last=one, failed=failed) for one in last]
    monkeypatch.setattr(search, "read_runs", lambda folders: runs)
    sweeper = SearchSweeper.__new__(SearchSweeper)
    sweeper.settings = SimpleNamespace(metric="jsd/exact")
    found = sweeper._value([])
    assert math.isnan(found) if value is None else found == pytest.approx(value)

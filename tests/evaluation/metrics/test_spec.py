"""What is known of a metric: its direction, and its last value."""

import math

import pytest

from ganrun.evaluation.metrics.spec import better, bounds, latest, spec_of, specs


def test_a_value_that_is_withheld_has_no_last_value():
    before = {"jsd/exact": 0.1, "jsd/exact_error": 0.01, "loss/generator": 1.0}
    assert latest(before, {"jsd/exact_error": 0.3}) == {"jsd/exact_error": 0.3, "loss/generator": 1.0}


def test_a_row_without_a_look_keeps_what_the_last_look_found():
    before = {"jsd/exact": 0.1, "jsd/exact_error": 0.01}
    assert latest(before, {"loss/generator": 1.0}) == before | {"loss/generator": 1.0}
    assert latest(before, {"jsd/exact": 0.05, "jsd/exact_error": 0.02}) == {"jsd/exact": 0.05, "jsd/exact_error": 0.02}
    assert before == {"jsd/exact": 0.1, "jsd/exact_error": 0.01}


def test_an_exact_name_comes_before_a_family():
    assert spec_of("value") is not None and spec_of("no such tag") is None
    for tag, name in {
        "D(x)": "D(x)",
        "D(x)/class_3": "D(x)/*",
        "penalty/r1": "penalty/*",
        "critic/real": "critic/real",
        "critic/real/class_0": "critic/real/*",
    }.items():
        found = spec_of(tag)
        assert found is not None and found.name == name


def test_directions_are_those_of_the_field():
    lower = {"jsd/exact", "jsd/smoothed", "jsd/probe", "jsd/probe_lower", "kl/forward", "kl/reverse", "w1"}
    lower |= {"data_missed", "modes/kl"}
    higher = {"modes/covered", "modes/high_quality", "steps_per_second", "elbo", "iwae"}
    neither = {
        "D(x)",
        "D(G(z))",
        "value",
        "value/pair",
        "critic/real",
        "loss/*",
        "grad_norm/*",
        "penalty/*",
        "jsd/online",
    }
    neither |= {
        "samples/diversity",
        "samples/nearest_training",
        "schedule/k",
        "jsd/exact_error",
        "probe/seconds",
        "loss",
    }
    expected = dict.fromkeys(lower, "lower") | dict.fromkeys(higher, "higher") | dict.fromkeys(neither)
    assert expected.keys() <= {spec.name for spec in specs()}
    assert {name: better(name) for name in expected} == expected
    assert better("jsd/nothing") is None
    assert len({spec.name for spec in specs()}) == len(specs())


def test_divergences_and_losses_have_their_units():
    for tag, unit in {"jsd/exact": "nats", "kl/forward": "nats", "modes/kl": "nats", "value": "nats"}.items():
        found = spec_of(tag)
        assert found is not None and found.unit == unit
    for tag, unit in {"probe/seconds": "s", "steps_per_second": "steps/s", "modes/covered": "", "D(x)": ""}.items():
        found = spec_of(tag)
        assert found is not None and found.unit == unit


# What cannot be negative by its definition, whatever the method, and what can.
AT_LEAST_0 = [
    "modes/covered",
    "modes/kl",
    "modes/kl_data",
    "kl/forward",
    "kl/reverse",
    "w1",
    "samples/diversity",
    "samples/nearest_training",
    "grad_norm",
    "grad_norm/generator",
    "drift/norm",
    "latents/active",
    "chains/r_hat",
    "elbo_se",
    "log_z_se",
    "jsd/probe_se",
]
UNBOUNDED = ["log_likelihood", "elbo", "loss", "loss/generator", "critic/real", "value", "kernel", "kl/latent"]


@pytest.mark.parametrize("tag", AT_LEAST_0)
def test_counts_norms_and_divergences_are_at_least_0(tag):
    assert bounds(tag) == (0.0, math.inf)


@pytest.mark.parametrize("tag", UNBOUNDED)
def test_likelihoods_losses_and_estimates_of_divergences_have_no_bounds(tag):
    assert bounds(tag) == (-math.inf, math.inf)

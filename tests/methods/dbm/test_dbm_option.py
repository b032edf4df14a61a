"""``method=dbm`` in a config, and as members of a population."""

import dataclasses

import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import better, spec_of

DBM = ("method=dbm", "dataset=digits")


def built(config):
    return config.method.build(config, config.dataset.shape)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method.hidden=[5]"], "method.hidden must be two numbers such as [500, 1000] with method=dbm, not [5]; "),
        (["method.hidden=[5,4,3]"], "method.hidden may have at most 2 entries, not 3."),
        (["method.hidden=5"], "method.hidden must be a list such as [1, 2], not 5."),
        (["method.chains=cd"], "'method.chains' is not a setting of method=dbm; method=rbm has it."),
        (["dataset=ring"], "method=dbm takes images with one channel, such as dataset=digits"),
        (["conditional=true"], "conditional=true cannot be combined with method=dbm"),
        (["loss=hinge"], "loss is not a part of method=dbm: leave it out"),
    ],
)
def test_what_a_machine_does_not_have_is_refused_in_one_line(words, message):
    with pytest.raises(ConfigError) as caught:
        built(check(compose("train", [*DBM, *words])))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_what_it_logs_is_declared_and_numbers_are_traced(compose_config):
    config, few = (compose_config([*DBM, f"method.hidden={hidden}"]) for hidden in ("[30,20]", "[20,30]"))
    estimates, exact = {"mean_field_bound_ais", "mean_field_bound_ais_se", "log_z", "chains/r_hat"}, "mean_field_bound"
    assert estimates <= set(logged(config)) and exact not in logged(config) and exact in logged(few)
    assert [tag for tag in logged(few) if spec_of(tag) is None] == [] and better("mean_field_bound_ais") == "higher"
    other = compose_config([*DBM, "method.hidden=[30,20]", "method.gibbs_steps=7", "method.first_gibbs_steps=2"])
    assert built(config) == built(other) != built(few)
    assert (built(config).hidden, built(config).top, built(config).state_units) == (30, 20, 84)


def test_members_of_a_population_are_what_the_runs_are_by_themselves(compose_config):
    def other(option, i):
        return dataclasses.replace(option, gibbs_steps=1 + i, weight_decay=0.01 * i)

    small = ("method.hidden=[6,4]", "method.sample_steps=10", "method.mean_field_steps=3", "batch_size=16")
    config = compose_config((*DBM, *small, "steps=100"))
    found = assert_members_equal_runs(variants(config, 3, method=other))
    assert all("model/stats/chains" in member for member in found)
    assert_all_differ(found, "top_weights")

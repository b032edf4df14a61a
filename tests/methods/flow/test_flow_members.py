"""Members of a population that differ in every number are what the same flows are by themselves."""

import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

RUNS = {
    "digits": ("dataset=digits", "architecture=realnvp", "architecture.width=3", "architecture.couplings=2"),
    "ring": ("dataset=ring", "architecture.hidden=[6]", "architecture.couplings=2", "conditional=true"),
}
SMALL = ("method=flow", "optimizer=sgd", "batch_size=16", "steps=100")


@pytest.mark.parametrize("name", RUNS)
def test_members_of_a_population_are_what_the_runs_are_by_themselves(name, compose_config):
    experiments = variants(compose_config((*SMALL, *RUNS[name])), 2, rate=1e-3)
    found = assert_members_equal_runs(
        experiments, rtol=5e-4, atol=5e-5, of_metrics=(2e-4, 2e-4), of_samples=1e-3, least=20
    )
    assert_all_differ(found, "kernel")

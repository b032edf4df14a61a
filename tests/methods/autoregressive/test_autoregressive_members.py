"""Members of a population that differ in every number are what the same autoregressive models are by themselves."""

import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

WORDS = ("method=autoregressive", "optimizer=sgd", "batch_size=16", "steps=100")
CASES = {
    "made of 2 orders": ("dataset=digits", "architecture.hidden=[8]", "architecture.orders=2"),
    "pixelcnn of classes": (
        "dataset=digits",
        "architecture=pixelcnn",
        "architecture.features=4",
        "architecture.layers=1",
        "conditional=true",
    ),
    "fvsbn of vectors": ("dataset=ring", "architecture=fvsbn"),
}


@pytest.mark.parametrize("name", CASES)
def test_members_of_a_population_are_what_the_runs_are_by_themselves(name, compose_config):
    found = assert_members_equal_runs(variants(compose_config((*WORDS, *CASES[name])), 3, rate=1e-3))
    assert_all_differ(found, ("output_kernel", "direct_kernel"))

"""Members of a population that differ in every number are what the same VAEs are by themselves."""

import pytest
from same_members import assert_all_differ, assert_members_equal_runs, variants

WORDS = ("method=vae", "optimizer=sgd", "architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]")
SMALL = ("batch_size=16", "latent.dim=2", "method.importance_samples=3", "steps=100")


@pytest.mark.parametrize(
    "data",
    [
        ("dataset=digits",),
        ("dataset=ring",),
        ("dataset=ring", "method.prior_couplings=2"),
        ("dataset=ring", "conditional=true"),
    ],
)
def test_members_of_a_population_are_what_the_runs_are_by_themselves(data, compose_config):
    found = assert_members_equal_runs(variants(compose_config((*WORDS, *SMALL, *data)), 3), least=20)
    assert_all_differ(found, "encoder/Dense_0/kernel")

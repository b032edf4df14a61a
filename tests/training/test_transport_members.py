"""Members of a population whose transport terms have different weights are what the same runs are alone."""

import dataclasses

from populations import SMALL, assert_all_differ, assert_members_equal_single_runs, begun_alone, gans_of, variants

from ganrun.training.vmapped import VmappedRuns

PLAIN = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", *SMALL, "optimizer=sgd")
UPDATES = (
    {"transport": 0.1, "final_transport": 0.01, "normalisation_decay": 0.5},
    {"transport": 0.3, "final_transport": 0.2, "normalisation_decay": 0.9},
    {"transport": 0.5, "final_transport": 0.1, "normalisation_decay": 0.0},
)


def with_updates(configs):
    return [
        dataclasses.replace(one, generator_update=dataclasses.replace(one.generator_update, **numbers))
        for one, numbers in zip(configs, UPDATES, strict=True)
    ]


def test_members_with_different_weights_equal_single_runs(compose_config):
    words = ("generator_update.transport=1", "generator_update.transport_decay=cosine")
    config = compose_config((*PLAIN, *words, "generator_update.normalised=true"))
    gans = gans_of(with_updates(variants(config, 3)))
    assert len({gan.method for gan in gans}) == 1
    population = VmappedRuns(gans)
    found = assert_members_equal_single_runs(population, start=begun_alone(population))
    assert_all_differ(found, "model/generator/params")
    assert len({float(member["model/generator/gradient_square"]) for member in found}) == 3

"""Samples between pairs of latents, as the picture at the end of a run shows them."""

import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.evaluation.interpolation import interpolated_samples, slerp
from ganrun.training.build import build

WORDS = ("dataset=digits", "architecture=mlp", "architecture.generator_hidden=[8]", "latent.dim=4", "batch_size=16")


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_row_leads_from_one_latent_to_another(prior, compose_config, monkeypatch):
    experiment = build(compose_config((*WORDS, f"latent.prior={prior}")))
    given = []

    def decode(variables, z, labels=None):
        given.append((variables, np.asarray(z), labels))
        return jnp.asarray(z).reshape(-1, 2, 2, 1)

    monkeypatch.setattr(experiment, "decode", decode)
    samples = interpolated_samples(experiment, "variables", 3, 5)
    ((variables, z, labels),) = given
    assert samples is not None and samples.shape == (3, 5, 2, 2, 1) and variables == "variables" and labels is None
    ways = z.reshape(3, 5, 4).astype(np.float64)
    middle = slerp(ways[:, 0], ways[:, -1], np.full(3, 0.5)) if prior == "normal" else (ways[:, 0] + ways[:, -1]) / 2
    np.testing.assert_allclose(ways[:, 2], middle, atol=1e-6)
    assert len(np.unique(ways[:, [0, -1]].reshape(6, 4), axis=0)) == 6  # six different ends
    assert (np.abs(z) <= 1).all() or prior == "normal"
    assert interpolated_samples(experiment, "variables", 3, 5).tobytes() == samples.tobytes()


def test_a_row_has_one_class_and_the_samples_are_those_of_the_model(compose_config):
    experiment = build(compose_config((*WORDS, "conditional=true")))
    variables = experiment.variables(experiment.init())
    samples = interpolated_samples(experiment, variables, 12, 3)
    assert samples is not None and samples.shape == (12, 3, 8, 8, 1)
    given = []
    original = experiment.decode
    experiment.decode = lambda *words: given.append(words) or original(*words)  # type: ignore[method-assign]
    interpolated_samples(experiment, variables, 12, 3)
    labels = np.asarray(given[0][2])
    assert labels.tolist() == [row % 10 for row in range(12) for _ in range(3)]
    again = np.asarray(original(variables, given[0][1][:3], jnp.zeros(3, jnp.int32)))
    np.testing.assert_allclose(samples[0], again, atol=1e-5)

"""The pictures that a run adds when it ends: neighbours, interpolations, and the plane of two latents."""

import io

import numpy as np
import pytest
from PIL import Image

from ganrun.evaluation import last_pictures
from ganrun.training.build import build

VAE = ("method=vae", "architecture.encoder_hidden=[4]", "architecture.decoder_hidden=[4]", "batch_size=16", "probe=off")
DIGITS = ("dataset=digits", *VAE, "architecture.activation=relu")


def made(config):
    experiment = build(config)
    variables = experiment.variables(experiment.init())
    samples = np.asarray(experiment.sample(variables, key(), 16))
    return experiment, variables, last_pictures.last_pictures(experiment, config, variables, samples)


def key():
    import jax

    return jax.random.key(0)


def size(png):
    return Image.open(io.BytesIO(png)).size


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        ((*DIGITS, "latent.dim=2"), {"neighbours", "interpolations", "plane", "latents"}),
        ((*DIGITS, "latent.dim=3"), {"neighbours", "interpolations"}),
        (("dataset=ring", *VAE), {"latents"}),
        (("dataset=ring",), set()),  # a GAN has no encoder, and points are no pictures
    ],
)
def test_a_run_shows_what_applies_to_it(compose_config, words, tags):
    assert set(made(compose_config(words))[2]) == tags


def test_the_plane_has_the_samples_of_the_quantiles_of_the_prior(compose_config, monkeypatch):
    tables = []
    monkeypatch.setattr(last_pictures.pictures, "table", lambda images: tables.append(images) or b"")
    experiment, variables, _ = made(compose_config((*DIGITS, "latent.dim=2")))
    plane = tables[-1]
    assert plane.shape == (16, 16, 8, 8, 1)
    corner = np.array([[-1.862731867421652, 1.862731867421652]], np.float32)  # quantiles 1/32 and 31/32
    upper_left = np.asarray(experiment.decode(variables, corner))
    np.testing.assert_allclose(plane[0, 0], upper_left[0], atol=1e-5)


def test_the_latents_are_those_of_held_out_examples_with_their_classes(compose_config, monkeypatch):
    given = []
    monkeypatch.setattr(last_pictures, "points_of_classes", lambda z, labels: given.append((z, labels)) or b"")
    made(compose_config((*DIGITS, "latent.dim=2")))
    ((z, labels),) = given
    assert z.shape == (360, 2) and set(labels) == set(range(10))


def test_files_that_have_gone_leave_the_picture_of_latents_out(compose_config, monkeypatch):
    from ganrun.errors import ConfigError

    def gone(*_):
        raise ConfigError("the data are missing")

    monkeypatch.setattr(last_pictures, "labelled_examples", gone)
    assert "latents" not in made(compose_config((*DIGITS, "latent.dim=2")))[2]


def test_pictures_are_pngs_of_a_readable_size(compose_config):
    found = made(compose_config((*DIGITS, "latent.dim=2")))[2]
    assert all(min(size(png)) >= 160 for png in found.values())

"""Every experiment that needs no training agrees, and notices when the game is changed.

A mutation replaces a part of ganrun by a wrong one. The experiment of the claim must then disagree.
"""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax.nn import log_sigmoid

from ganrun.methods.gan import algorithm
from ganrun.methods.gan.losses import Cramer, CrossEntropyGame, MaximumLikelihood, Minimax, NonSaturating, fgan
from ganrun.methods.gan.penalties.gradients import ZeroCentred
from ganrun.methods.rbm import energy
from ganrun.methods.vae import vae
from ganrun.reproduce.experiments import experiments
from ganrun.reproduce.workspace import Workspace

pytestmark = pytest.mark.slow
PARTLY = ("game-value", "optimal-discriminator", "vanishing-gradient", "wasserstein-and-cramer")
UNTRAINED = ("same-fixed-point", "mle-game", "convergence", "discrete-output", "nash", "fgan-table", "kl-directions")


class Offline(Workspace):
    """A workspace whose commands are not run: only what is computed in this process is found."""

    def train(self, *words, **more):
        return []

    def output(self, *words):
        return {"estimate": float("nan")}

    def picture(self, *words):
        pass


def disagreeing(name, folder, offline=False):
    """The findings of an experiment that do not agree, or that confirm what is known to be wrong."""
    jax.clear_caches()
    workspace = (Offline if offline else Workspace)(folder)
    return [one for one in experiments()[name].run(workspace) if one.agrees == one.as_stated]


def in_process(name, folder):
    """The same without what depends on commands."""
    return [one for one in disagreeing(name, folder, offline=True) if one.values and one.values[0] == one.values[0]]


@pytest.mark.parametrize("name", UNTRAINED)
def test_what_needs_no_training_agrees(name, tmp_path):
    assert disagreeing(name, tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["game-value", "optimal-discriminator", "vanishing-gradient", "wasserstein-and-cramer"]
)
def test_so_does_the_part_of_others_that_is_computed(name, tmp_path):
    assert in_process(name, tmp_path) == []


def negated(function):
    return lambda *arguments: -function(*arguments)


def of_logits(formula):
    """A loss function that ignores the hyperparameters."""
    return lambda self, real, fake, hparams: formula(real, fake)


def not_penalised(self, inputs, hparams):
    return ZeroCentred.gamma(self, inputs.done, hparams) * jnp.mean(self._squared_norms(inputs, hparams))


def always_the_updated_opponent(spec, *arguments):
    alternating = dataclasses.replace(spec.schedule, order="alternating")
    return STEP(dataclasses.replace(spec, schedule=alternating), *arguments)


def same_hidden_units(params, key, v):
    h = energy.draw(key, energy.hidden_logits(params, v))
    logits = energy.visible_logits(params, 1.0 - h)
    return energy.draw(key, logits), jax.nn.sigmoid(logits)


STEP = algorithm.step
MUTATIONS = {
    "the saturating generator ascends": ("mle-game", Minimax, "generator", negated(Minimax.generator)),
    "log D instead of -log D": ("same-fixed-point", NonSaturating, "generator", negated(NonSaturating.generator)),
    "the labels of D are swapped": (
        "game-value",
        CrossEntropyGame,
        "discriminator",
        of_logits(lambda real, fake: -jnp.mean(log_sigmoid(-real)) - jnp.mean(log_sigmoid(fake))),
    ),
    "V with factors of one half": (
        "game-value",
        CrossEntropyGame,
        "discriminator",
        of_logits(lambda real, fake: -0.5 * (jnp.mean(log_sigmoid(real)) + jnp.mean(log_sigmoid(-fake)))),
    ),
    "-E logit D instead of -E exp(logit D)": (
        "mle-game",
        MaximumLikelihood,
        "generator",
        of_logits(lambda real, fake: -jnp.mean(fake)),
    ),
    "the Cramer distance without the distance within samples": (
        "wasserstein-and-cramer",
        Cramer,
        "generator",
        of_logits(lambda real, fake: jnp.mean(jnp.linalg.norm(real - fake, axis=-1))),
    ),
    "the conjugate of another divergence": (
        "fgan-table",
        fgan,
        "FORMS",
        fgan.FORMS | {"kl": fgan.Form(fgan.FORMS["kl"].output, fgan.FORMS["pearson"].conjugate)},
    ),
    "R1 without its factor of one half": ("nash", ZeroCentred, "term", not_penalised),
    "simultaneous updates that alternate": ("nash", algorithm, "step", always_the_updated_opponent),
    "a Gibbs chain that flips the hidden units": ("explicit-models", energy, "transition", same_hidden_units),
    "an ELBO without the KL term": (
        "explicit-models",
        vae,
        "kl_from_prior",
        lambda mean, log_variance: jnp.zeros_like(mean),
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_of_the_game_is_noticed(mutation, tmp_path, monkeypatch):
    name, owner, attribute, wrong = MUTATIONS[mutation]
    monkeypatch.setattr(owner, attribute, wrong)
    assert in_process(name, tmp_path)

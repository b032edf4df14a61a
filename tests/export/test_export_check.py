"""The comparison of an exported program with the model: rounding passes, a wrong program does not."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.errors import GanrunError
from ganrun.export.check import Checker
from ganrun.export.programs import Program


@pytest.fixture
def checker(compose_config):
    """A checker of G(z) = Z + slope (z - Z), on data whose units are the model's."""

    def of(slope, *words):
        experiment = SimpleNamespace(decode=lambda variables, z: Z + slope * (z - Z))
        return Checker(experiment, compose_config(["dataset=ring", *words]), {}, 4)

    return of


PROGRAM = Program("model", (), jnp.asarray, "")
Z = jnp.asarray([[0.5, 1.0], [2.0, -1.0]], jnp.float32)


def test_a_difference_of_a_few_roundings_of_the_latents_passes(checker):
    slope = 1e-3 / np.spacing(np.float32(2.0))  # the smallest change of a latent of 2 moves its sample by 1e-3
    own = np.asarray(Z)
    found = checker(slope)._difference(PROGRAM, [Z], own + np.float32(7e-3))
    assert found == pytest.approx(7e-3, rel=0.1)
    with pytest.raises(GanrunError, match=r"differs from the model by up to 0\.02"):
        checker(slope)._difference(PROGRAM, [Z], own + np.float32(0.02))


def test_a_smooth_model_must_agree_to_five_digits(checker):
    own = np.asarray(Z)
    assert checker(1.0)._difference(PROGRAM, [Z], own + np.float32(1e-5)) == pytest.approx(1e-5, rel=0.1)
    with pytest.raises(GanrunError, match="nothing is written"):
        checker(1.0)._difference(PROGRAM, [Z], own + np.float32(4e-5))
    with pytest.raises(GanrunError):
        checker(1.0)._difference(PROGRAM, [Z], np.full_like(own, np.nan))


def test_another_program_than_the_model_is_not_compared(checker):
    assert checker(1.0)._difference(Program("sample", (), jnp.asarray, ""), [Z], np.asarray(Z) + 1.0) is None

"""A setting of a run changes what its method computes, or is refused: none is accepted and ignored."""

import jax
import numpy as np
import pytest

from ganrun.config.hydra_bridge import compose
from ganrun.config.registry import options
from ganrun.config.schema import SECTIONS, check
from ganrun.errors import ConfigError

METHODS = sorted(name for name, option in options("method").items() if option.__module__.startswith("ganrun.methods."))
SETTINGS = (
    "latent.dim=5",
    "latent.prior=uniform",
    "latent={dim: 5}",
    "conditional=true",
    "inference=bigan",
    "precision=bf16",
    "ema.decay=0.5",
    "batch_size=8",
    "loss=hinge",
    "penalty=r1",
    "schedule=ramp",
    "schedule.k=2",
    "inputs.noise=0.1",
    "inputs.packing=2",
    "generator_update.unrolled=1",
    "generator_update.top_k=0.5",
    "optimizer=sgd",
    "optimizer.generator.learning_rate=0.1",
    "optimizer.discriminator.learning_rate=0.1",
)


def computed(method, *words):
    """What a config determines of the steps of a run: the method with its static settings, and the traced ones."""
    config = check(compose("train", [f"method={method}", "dataset=digits", *words]))
    return config.method.build(config, config.dataset.shape), config.method.hparams(config)


def equal(one, other):
    leaves = [jax.tree.flatten(hparams) for _, hparams in (one, other)]
    return (
        one[0] == other[0]
        and leaves[0][1] == leaves[1][1]
        and all(np.array_equal(a, b) for a, b in zip(leaves[0][0], leaves[1][0], strict=True))
    )


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", METHODS)
def test_a_setting_has_an_effect_or_is_refused_in_one_line(method, setting):
    plain = computed(method)
    assert equal(plain, computed(method))
    try:
        changed = computed(method, setting)
    except ConfigError as error:
        named = (setting.split("=")[0], setting.split("=")[0].split(".")[0], setting)
        assert "\n" not in str(error) and any(word in str(error) for word in named)
    else:
        assert not equal(plain, changed)


@pytest.mark.parametrize("method", [name for name in METHODS if "latent" not in options("method")[name].SECTIONS])
def test_methods_without_latents_refuse_the_settings_of_latents(method):
    assert method not in ("gan", "vae", "flow")
    for words in (["latent.dim=5"], ["latent.prior=uniform"], ["+latent.dim=5"]):
        with pytest.raises(ConfigError) as caught:
            check(compose("train", [f"method={method}", "dataset=digits", *words]))
        assert f"latent is not a part of method={method}: leave it out" in str(caught.value)
    config = check(compose("train", [f"method={method}", "dataset=digits"]))
    assert config.latent is None


def test_every_section_is_part_of_a_method():
    assert set(SECTIONS) == {section for name in METHODS for section in options("method")[name].SECTIONS}

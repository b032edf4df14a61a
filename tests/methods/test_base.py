"""What every registered method promises: each capability is a function of its own, and what it lacks says so."""

import pytest

from ganrun.config.registry import options
from ganrun.methods.base import Method

FUNCTIONS = {
    "decode": "decode",
    "push": "decode",
    "encode": "encode",
    "log_density": "log_density",
    "exact_density": "log_density",
}
CONFIGS = (
    ("method=gan",),
    ("method=gan", "inference=bigan"),
    ("method=vae",),
    ("method=autoregressive",),
    ("method=flow",),
    ("method=rbm", "dataset=digits"),
    ("method=dbm", "dataset=digits"),
    ("method=gsn",),
    ("method=drifting",),
)


@pytest.mark.parametrize("words", CONFIGS, ids=" ".join)
def test_a_capability_is_a_function_of_the_methods_own(words, compose_config):
    config = compose_config(words)
    method = config.method.build(config, config.dataset.shape)
    assert method.capabilities <= FUNCTIONS.keys()
    for capability in method.capabilities:
        name = FUNCTIONS[capability]
        assert getattr(type(method), name) is not getattr(Method, name), name
    assert ("decode" in method.capabilities) <= (method.prior is not None)
    assert bool(method.densities) == ("log_density" in method.capabilities)
    names = {spec.name for spec in config.method.SPECS}
    assert {spec.name for spec in (*method.densities, *method.normaliser_specs)} <= names
    assert bool(method.normaliser_specs) == (type(method).normaliser is not Method.normaliser)
    assert set(method.shared_errors) <= {spec.name for spec in method.densities}
    assert set(method.shared_errors.values()) <= {spec.name for spec in method.normaliser_specs}


def test_every_registered_method_is_among_them():
    assert {f"method={name}" for name in options("method")} == {words[0] for words in CONFIGS}


def test_what_a_method_lacks_is_named(compose_config):
    config = compose_config(("method=gan",))
    with pytest.raises(NotImplementedError, match=r"^Gan has no log_density"):
        config.method.build(config, (2,)).log_density({}, None, None)

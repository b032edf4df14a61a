"""How often the networks are evaluated one after the other: for every element of a sample, once for a likelihood."""

import math

import jax
import jax.numpy as jnp
import pytest
from small_autoregressive import hparams, small


def iterations(jaxpr):
    """The number of iterations of the loops of ``jaxpr``, those of inner loops in each of the outer one's."""
    total = 0
    for equation in jaxpr.eqns:
        values = [value for entry in equation.params.values() for value in (entry if _several(entry) else (entry,))]
        inner = sum(iterations(getattr(value, "jaxpr", value)) for value in values if _is_program(value))
        assert equation.primitive.name != "while"  # of an unknown number
        total += equation.params["length"] * max(inner, 1) if equation.primitive.name == "scan" else inner
    return total


def _several(entry):
    return isinstance(entry, (tuple, list))


def _is_program(value):
    return hasattr(value, "jaxpr") or hasattr(value, "eqns")


def test_iterations_are_those_of_all_nested_loops():
    def nested(x):
        def outer(x, _):
            return jax.lax.scan(lambda x, _: (x + 1.0, None), x, length=3)[0], None

        return jax.jit(lambda x: jax.lax.scan(outer, x, length=5)[0])(x) * 2.0

    assert iterations(jax.make_jaxpr(nested)(0.0).jaxpr) == 15
    assert iterations(jax.make_jaxpr(lambda x: x + 1.0)(0.0).jaxpr) == 0


@pytest.mark.parametrize("shape", [(2, 2, 1), (3, 4, 1), (5, 6, 1)])
@pytest.mark.parametrize("name", ["fvsbn", "made", "pixelcnn"])
def test_samples_take_one_evaluation_per_element_and_likelihoods_one_in_all(name, shape):
    """Fully visible belief networks generate one element after the other, so that samples cost O(n) evaluations.

    Paper: Goodfellow 2016, "NIPS 2016 tutorial: generative adversarial networks", on fully visible belief networks.
    """
    method, key = small(name, shape), jax.random.key(0)
    variables = method.initial(key, jnp.zeros((1, *shape)))
    sampling = jax.make_jaxpr(lambda variables, key: method.sample(variables, hparams(), key, 3))(variables, key)
    likelihood = jax.make_jaxpr(method.log_density)(variables, key, jnp.zeros((3, *shape)))
    assert iterations(sampling.jaxpr) == math.prod(shape)
    assert iterations(likelihood.jaxpr) == 0

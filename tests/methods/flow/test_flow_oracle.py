"""The density of a flow on the line beside that of flowjax, an independent implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_flow import small

from ganrun.architectures.flow import splines
from ganrun.architectures.flow.options import NeuralSpline

X = np.array([-4.0, -2.5, -1.0, -0.2, 0.3, 1.1, 2.4, 5.0])
SCALES, OFFSETS, BOUND = (0.7, 1.6, 1.2), (0.4, -0.3, 0.1), 3.0
# log p at X for the parameters below, as flowjax 19.1.2 computes it in double precision.
FLOWJAX = [
    -12.368441793563557,
    -2.2070075449183184,
    -0.7615330764088786,
    -2.278486084360742,
    -3.08892690232774,
    -4.248530693913843,
    -7.539580974700037,
    -23.754169571103713,
]


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def raw(index):
    """The parameters of spline ``index``, of four bins."""
    return np.sin(3.0 * index + 1.7 * np.arange(11))


def test_the_log_density_is_what_flowjax_has_computed():
    method = small((1,), NeuralSpline(couplings=2, bins=4, bound=BOUND))
    params = {f"spline_{index}": jnp.asarray(raw(index)) for index in range(2)}
    for index, (scale, offset) in enumerate(zip(SCALES, OFFSETS, strict=True)):
        params[f"scalings_{index}"] = {"log_scale": jnp.log(jnp.asarray([scale])), "offset": jnp.asarray([offset])}
    shapes = jax.eval_shape(lambda: method.initial(jax.random.key(0), jnp.zeros((1, 1))))["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, dict(shapes))
    found = method.log_density({"params": params, "batch_stats": {}}, jax.random.key(0), jnp.asarray(X)[:, None])
    np.testing.assert_allclose(found["log_likelihood"], FLOWJAX, rtol=1e-10)


def test_the_stored_log_density_is_that_of_flowjax():
    bijections = pytest.importorskip("flowjax.bijections")
    from flowjax.distributions import StandardNormal, Transformed

    parts = []
    for index, (scale, offset) in enumerate(zip(SCALES, OFFSETS, strict=True)):
        parts.append(bijections.Affine(jnp.asarray(scale * offset), jnp.asarray(scale)))
        if index < 2:
            parts.append(_spline(bijections, splines.knots(jnp.asarray(raw(index)), BOUND)))
    flow = Transformed(StandardNormal(()), bijections.Invert(bijections.Chain(parts)))
    np.testing.assert_allclose(jax.vmap(flow.log_prob)(jnp.asarray(X)), FLOWJAX, rtol=1e-10)


def _spline(bijections, knots):
    import equinox

    spline = bijections.RationalQuadraticSpline(knots=3, interval=BOUND)
    own = (knots.x, knots.y, knots.slope)
    return equinox.tree_at(lambda one: (one.x_pos, one.y_pos, one.derivatives), spline, own)

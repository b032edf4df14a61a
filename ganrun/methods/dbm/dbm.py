"""The deep Boltzmann machine of two hidden layers: mean-field inference for data, persistent chains for the model.

The gradient of the bound on log p(v) is that of F(v', h2') - F(v, m2), with the means m2 of the second hidden layer
given v, and draws (v', h2') from the model, which are replaced by the ends of persistent Gibbs chains.

Paper: Salakhutdinov & Hinton 2009, "Deep Boltzmann machines"; Salakhutdinov & Larochelle 2010, "Efficient learning of
deep Boltzmann machines".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.base import Metrics, Tree
from ganrun.methods.dbm.energy import initial_parameters, log_unnormalised_bound, mean_field, stacked
from ganrun.methods.metric_spec import EVERYWHERE, MetricSpec
from ganrun.methods.rbm.rbm import LOG_Z, LOG_Z_EXACT, LOG_Z_SE, Rbm

BOUND = MetricSpec(
    "mean_field_bound",
    "mean-field lower bound on log p(x) of held-out examples, with the exact log Z",
    "nats",
    "higher",
)
BOUND_AIS = MetricSpec(
    "mean_field_bound_ais",
    "mean-field lower bound on log p(x) of held-out examples, but with log Z estimated by annealed importance "
    "sampling, which is too low on average",
    "nats",
    "higher",
    shown=EVERYWHERE,
)


@dataclass(frozen=True)
class Dbm(Rbm):
    """A deep Boltzmann machine of binary units, for images of one channel, which every step binarises anew.

    Its parameters are those of :mod:`ganrun.methods.dbm.energy`. States of chains are those of v and h2 side by side.

    Attributes:
        top: number of units of the second hidden layer; ``hidden`` is that of the first.
        mean_field_steps: updates of the means of h2 given an example.
    """

    top: int = field(kw_only=True)
    mean_field_steps: int = field(kw_only=True)

    @property
    def state_units(self) -> int:
        return self.visible + self.top

    def initial_networks(self, key: jax.Array) -> Tree:
        return initial_parameters(key, self.visible, self.hidden, self.top)

    def machine(self, params: Tree) -> Tree:
        return stacked(params)

    def explained(self, params: Tree, v: jax.Array) -> jax.Array:
        """Return ``v`` and the mean-field means of h2 given it, side by side."""
        return jnp.concatenate([v, mean_field(params, v, self.mean_field_steps)], axis=1)

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        return (BOUND_AIS, BOUND) if self._enumerable else (BOUND_AIS,)

    @property
    def shared_errors(self) -> dict[str, str]:
        return {BOUND_AIS.name: LOG_Z_SE.name}

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return the mean-field bound on log p(v) of the binarised examples, with log Z as :meth:`normaliser`."""
        shared = variables.get("normaliser") or self.normaliser(variables, key_for(key, "normaliser"))
        params, v = variables["params"], self.units(x, key_for(key, "observation"))
        bound = log_unnormalised_bound(params, v, mean_field(params, v, self.mean_field_steps))
        exact = {BOUND.name: bound - shared[LOG_Z_EXACT.name]} if self._enumerable else {}
        return {BOUND_AIS.name: bound - shared[LOG_Z.name], **exact}

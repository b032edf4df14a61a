"""Autoregressive models: an example is drawn element by element, and its density is a product of conditionals.

Also called fully visible belief networks. The density is exact and takes one pass; sampling takes a step for each
element.

Formula: log p(x) = sum_i log p(x_i | x_1, ..., x_i-1)
Paper: Frey 1998, "Graphical models for machine learning and digital communication"; Germain et al. 2015, "MADE: masked
autoencoder for distribution estimation", eq. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.autoregressive.conditionals import Conditional
from ganrun.methods.base import Metrics, Tree
from ganrun.methods.densities import LOG_LIKELIHOOD
from ganrun.methods.metric_spec import MetricSpec
from ganrun.methods.single_loss import SingleLossMethod


@dataclass(frozen=True)
class Autoregressive(SingleLossMethod):
    """An autoregressive model. Its ``module`` has the functions of :mod:`ganrun.architectures.autoregressive`.

    With several orders of the elements, the model is their mixture with equal weights. A step trains the conditionals
    of one order, drawn at random.

    Attributes:
        conditional: the distribution of an element given the earlier ones.
        orders: number of orders of the elements that the module has.
    """

    conditional: Conditional = field(kw_only=True)
    orders: int = field(default=1, kw_only=True)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"log_density", "exact_density"})

    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        labels = jnp.zeros((1,), jnp.int32) if self.classes else None
        return {"params": self.module.init(key_for(key, "initial networks"), example, labels)["params"]}

    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        x = self.conditional.observed(x, key_for(key, "observation"))
        order = jax.random.randint(key_for(key, "order"), (), 0, self.orders) if self.orders > 1 else 0
        return -jnp.mean(self.log_conditionals(variables, x, labels, order)), ((), {})

    def log_conditionals(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, order: jax.Array | int = 0
    ) -> jax.Array:
        """Return log p(x|labels) in one order, nats, ``(n,)``, of examples ``x`` ``(n, *shape)`` as observed."""
        outputs = self.module.apply({"params": variables["params"]}, x, labels, order)
        return jnp.sum(self.conditional.log_prob(outputs, x).reshape(x.shape[0], -1), axis=1)

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        """Return ``n`` samples ``(n, *shape)``, drawn together, one element after the other.

        For Bernoulli pixels they are the probabilities of white, each given the drawn earlier pixels.
        """
        labels, orders = self.labels_for(hparams, key, n, labels), 0
        if self.orders > 1:
            orders = jax.random.randint(key_for(key, "order"), (n,), 0, self.orders)

        def draw(parameters: jax.Array, position: jax.Array) -> tuple[jax.Array, jax.Array]:
            drawn = self.conditional.draw(parameters, key_for(key, "element", position))
            return drawn, self.conditional.shown(parameters, drawn)

        given = {"params": variables["params"]}
        return self.module.apply(given, draw, n, labels, orders, method="sample")[1]

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        return (LOG_LIKELIHOOD,)

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return log p(x), nats, exact: of all orders the log of the mean density, of classes that of their mixture."""
        x = self.conditional.observed(x, key_for(key, "observation"))

        def of_class(labels: jax.Array | None) -> jax.Array:
            if self.orders == 1:
                return self.log_conditionals(variables, x, labels)
            orders = jnp.arange(self.orders, dtype=jnp.int32)
            each = jax.lax.map(lambda order: self.log_conditionals(variables, x, labels, order), orders)
            return jax.nn.logsumexp(each, axis=0) - jnp.log(self.orders)

        return {LOG_LIKELIHOOD.name: self.over_classes(variables, of_class, x.shape[0])}

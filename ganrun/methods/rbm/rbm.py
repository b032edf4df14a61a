"""The restricted Boltzmann machine: training by contrastive divergence or persistent chains, sampling by Gibbs chains.

The gradient of log p(v) is that of F(v') - F(v), with the free energy F of a data point v and of a draw v' from the
model. The draw is replaced by the end of a Gibbs chain of few transitions, which starts at the data (contrastive
divergence) or goes on where it ended in the step before (persistent chains, also called stochastic maximum likelihood).

Paper: Hinton 2002, "Training products of experts by minimizing contrastive divergence"; Tieleman 2008, "Training
restricted Boltzmann machines using approximations to the likelihood gradient".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import Source
from ganrun.keys import key_for
from ganrun.methods.base import Inspection, Metrics, Progress, Tree
from ganrun.methods.chain_diagnostics import diagnosed
from ganrun.methods.densities import LOG_LIKELIHOOD
from ganrun.methods.likelihoods import Bernoulli
from ganrun.methods.metric_spec import AT_LEAST_0, EVERYWHERE, MetricSpec
from ganrun.methods.rbm.annealing import annealed_states
from ganrun.methods.rbm.energy import free_energy, gibbs, initial_parameters, random_states, transition
from ganrun.methods.rbm.partition import ais_log_z, enumerable, exact_log_z
from ganrun.methods.rbm.schedule import at
from ganrun.methods.single_loss import SingleLossMethod, SingleLossModel

DIAGNOSED = 16  # parallel chains of which a snapshot shows diagnostics
RATES_DECAY = 0.99  # of the moving average of the visible units over minibatches
CHAINS = "chains"  # the persistent chains among the statistics of a model

AIS = MetricSpec(
    "log_likelihood_ais",
    "log p(x) of held-out examples, estimated by annealed importance sampling: too high on average",
    "nats",
    "higher",
    shown=EVERYWHERE,
)
LOG_Z = MetricSpec("log_z", "log of the partition function, estimated by annealed importance sampling", "nats")
LOG_Z_SE = MetricSpec("log_z_se", "standard error of log_z", "nats", bounds=AT_LEAST_0)
LOG_Z_EXACT = MetricSpec("log_z_exact", "log of the partition function, exact", "nats")


@dataclass(frozen=True)
class Rbm(SingleLossMethod):
    """A restricted Boltzmann machine of binary units, for images of one channel, which every step binarises anew.

    Its parameters are those of :mod:`ganrun.methods.rbm.energy`. ``batch_stats`` has ``base_rates``, a moving average
    of the visible units over minibatches, and with persistent chains their states. It has no linen ``module``.

    Attributes:
        shape: of an example, ``(height, width, 1)``.
        hidden: number of hidden units.
        persistent: whether chains go on where they ended, instead of starting at the data.
        sample_steps: transitions of the chains that samples are the ends of; the first half is annealed.
        ais_chains: chains of annealed importance sampling.
        ais_steps: its intermediate distributions.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("free_energy/data", "free_energy/model")
    CARRIED: ClassVar[tuple[str, ...]] = (CHAINS,)
    NOT_WEIGHTS: ClassVar[tuple[str, ...]] = ("optimizer", CHAINS)

    shape: tuple[int, ...] = field(kw_only=True)
    hidden: int = field(kw_only=True)
    persistent: bool = field(kw_only=True)
    sample_steps: int = field(kw_only=True)
    ais_chains: int = field(kw_only=True)
    ais_steps: int = field(kw_only=True)

    @property
    def visible(self) -> int:
        """The number of visible units: pixels."""
        return math.prod(self.shape)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"log_density"})

    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        stats: dict[str, Any] = {"base_rates": jnp.full((self.state_units,), 0.5, jnp.float32)}
        if self.persistent:
            stats[CHAINS] = random_states(key_for(key, "initial chains"), self.batch_size, self.state_units)
        return {"params": self.initial_networks(key_for(key, "initial networks")), "batch_stats": stats}

    def initial_networks(self, key: jax.Array) -> Tree:
        """Return the parameters before the first step."""
        return initial_parameters(key, self.visible, self.hidden)

    @property
    def state_units(self) -> int:
        """The number of visible units of :meth:`machine`, the units of the state of a chain."""
        return self.visible

    def machine(self, params: Tree) -> Tree:
        """Return the parameters of the restricted Boltzmann machine in which chains run."""
        return params

    def explained(self, params: Tree, v: jax.Array) -> jax.Array:
        """Return the visible units of :meth:`machine` ``(n, state_units)`` for data ``v`` ``(n, visible)``."""
        del params
        return v

    def at(self, hparams: Tree, progress: Progress) -> Tree:
        return at(hparams, progress)

    def units(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """Return visible units 0 or 1 ``(n, visible)`` for images ``x``: a grey value is the probability of white."""
        return (Bernoulli().observed(x, key).reshape(x.shape[0], -1) + 1.0) / 2.0

    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        """Return a function whose gradient is the estimate of that of -log p(x); its value is not one of -log p(x).

        Formula: mean F(v) - mean F(v') + λ / 2 |W|², with v from the data and v' the ends of chains
        """
        params, stats, own = variables["params"], variables["batch_stats"], hparams["method"]
        machine, fixed = self.machine(params), jax.lax.stop_gradient(params)
        v = self.explained(fixed, self.units(x, key_for(key, "observation")))
        start = stats[CHAINS] if self.persistent else v
        end, _ = gibbs(self.machine(fixed), key_for(key, "chains"), start, own["gibbs_steps"])
        data, model = jnp.mean(free_energy(machine, v)), jnp.mean(free_energy(machine, end))
        decay = 0.5 * own["weight_decay"] * jnp.sum(machine["weights"] ** 2)
        rates = RATES_DECAY * stats["base_rates"] + (1.0 - RATES_DECAY) * jnp.mean(v, axis=0)
        carried = {CHAINS: end} if self.persistent else {}
        return data - model + decay, ((data, model), {"base_rates": rates, **carried})

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        """Return the last probabilities of white of ``n`` Gibbs chains, in the range of the data.

        The chains start at independent units and are annealed to the model in the first half of their transitions.
        """
        machine, annealed = self.machine(variables["params"]), self.sample_steps // 2
        start = annealed_states(machine, variables["batch_stats"]["base_rates"], key_for(key, "start"), n, annealed)
        _, probabilities = gibbs(machine, key_for(key, "chains"), start, self.sample_steps - annealed)
        return (2.0 * probabilities[:, : self.visible] - 1.0).reshape(n, *self.shape)

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        return (AIS, LOG_LIKELIHOOD) if self._enumerable else (AIS,)

    @property
    def normaliser_specs(self) -> tuple[MetricSpec, ...]:
        return (LOG_Z, LOG_Z_SE, LOG_Z_EXACT) if self._enumerable else (LOG_Z, LOG_Z_SE)

    @property
    def _enumerable(self) -> bool:
        return enumerable(self.state_units, self.hidden)

    @property
    def shared_errors(self) -> Mapping[str, str]:
        return {AIS.name: LOG_Z_SE.name}

    def normaliser(self, variables: Tree, key: jax.Array) -> Metrics:
        machine, rates = self.machine(variables["params"]), variables["batch_stats"]["base_rates"]
        log_z, error = ais_log_z(machine, rates, key_for(key, "ais"), self.ais_chains, self.ais_steps)
        exact = {LOG_Z_EXACT.name: exact_log_z(machine)} if self._enumerable else {}
        return {LOG_Z.name: log_z, LOG_Z_SE.name: error, **exact}

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return log p(v) = -F(v) - log Z of the binarised examples, with log Z as :meth:`normaliser` returns it."""
        shared = variables.get("normaliser") or self.normaliser(variables, key_for(key, "normaliser"))
        energy = free_energy(variables["params"], self.units(x, key_for(key, "observation")))
        exact = {LOG_LIKELIHOOD.name: -energy - shared[LOG_Z_EXACT.name]} if self._enumerable else {}
        return {AIS.name: -energy - shared[LOG_Z.name], **exact}

    def inspect(
        self, model: SingleLossModel, hparams: Tree, held_out: Source, key: jax.Array, points: jax.Array
    ) -> dict[str, jax.Array]:
        """Return the free energy along chains from random states, without the first half: ``(chains, transitions)``."""
        machine = self.machine(model.average["params"])
        start = random_states(key_for(key, "start"), DIAGNOSED, self.state_units)

        def body(v: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
            v, _ = transition(machine, key_for(key, "transition", index), v)
            return v, free_energy(machine, v)

        _, energies = jax.lax.scan(body, start, jnp.arange(self.sample_steps))
        return {"chains/free_energy": energies[self.sample_steps // 2 :].T}

    def read(self, arrays: Mapping[str, np.ndarray]) -> Inspection:
        """Return the diagnostics of the chains (:mod:`ganrun.methods.chain_diagnostics`)."""
        return Inspection(diagnosed(arrays["chains/free_energy"]))

"""The generative stochastic network: a Markov chain that corrupts its state and draws the next one from a denoiser.

The denoiser computes P(x|c) from a corrupted copy c ~ C(c|x). If it is the posterior under the data distribution, that
distribution is stationary for the chain that alternates both. Training by walkback runs this chain from an example for
some steps and lets the denoiser reconstruct the example from each of its corrupted states, so that the chain comes back
from where it strays.

Formula: minimise -mean_t log P(x_0 | c_t), c_t ~ C(c | x_(t-1)), x_t ~ P(x | c_t)
Paper: Bengio et al. 2013, "Generalized denoising auto-encoders as generative models", theorem 1 and Algorithm 1; Bengio
et al. 2014, "Deep generative stochastic networks trainable by backprop".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import Source
from ganrun.keys import key_for
from ganrun.methods.base import Inspection, Tree
from ganrun.methods.chain_diagnostics import diagnosed
from ganrun.methods.likelihoods import Likelihood
from ganrun.methods.single_loss import SingleLossMethod, SingleLossModel

DIAGNOSED = 16  # parallel chains of which a snapshot shows diagnostics
INITIAL_STD = 0.1  # of a Gaussian P(x|c): with a large one, chains in training lose their example from the start


def salt_and_pepper(x: jax.Array, level: jax.Array, key: jax.Array) -> jax.Array:
    """Return ``x`` with each element replaced with probability ``level``, by -1 or 1 with equal probabilities."""
    replaced = jax.random.uniform(key_for(key, "replaced"), x.shape) < level
    noise = jax.random.rademacher(key_for(key, "noise"), x.shape, x.dtype)
    return jnp.where(replaced, noise, x)


def gaussian_noise(x: jax.Array, level: jax.Array, key: jax.Array) -> jax.Array:
    """Return ``x`` plus normal noise of standard deviation ``level``."""
    return x + level * jax.random.normal(key, x.shape, x.dtype)


@dataclass(frozen=True)
class Gsn(SingleLossMethod):
    """A denoiser, applied in a chain. Its ``module`` is that of :mod:`ganrun.architectures.denoiser`.

    Its parameters are ``networks``, and with a Gaussian P(x|c) ``log_std``, the log of its standard deviation.

    Attributes:
        shape: shape of one example.
        likelihood: the distribution P(x|c); with ``SHARED_SCALE``, the corruption is normal noise, otherwise
            salt-and-pepper noise.
        walkback: steps of the chain in training.
        sample_steps: steps of the chain from random states to samples.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("log_likelihood/first_step", "log_likelihood/last_step")

    shape: tuple[int, ...] = field(kw_only=True)
    likelihood: Likelihood = field(kw_only=True)
    walkback: int = field(kw_only=True)
    sample_steps: int = field(kw_only=True)

    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        variables = self.module.init(key_for(key, "initial networks"), example, train=False)
        params = {"networks": variables["params"]}
        if self.likelihood.SHARED_SCALE:
            params["log_std"] = jnp.log(INITIAL_STD)
        return {"params": params, "batch_stats": variables.get("batch_stats", {})}

    def corrupted(self, x: jax.Array, level: jax.Array, key: jax.Array) -> jax.Array:
        """Return draws c from C(c|x) for ``x`` ``(n, *shape)``; ``level`` is the setting ``corruption``."""
        corrupt = gaussian_noise if self.likelihood.SHARED_SCALE else salt_and_pepper
        return corrupt(x, level, key)

    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        x, level = self.likelihood.observed(x, key_for(key, "observation")), hparams["method"]["corruption"]

        def body(carry: tuple[jax.Array, Tree], index: jax.Array) -> tuple[tuple[jax.Array, Tree], jax.Array]:
            state, stats = carry
            own = key_for(key, "walkback", index)
            c = self.corrupted(state, level, key_for(own, "corruption"))
            parameters, stats = self._denoised({**variables, "batch_stats": stats}, c)
            log_prob = self.likelihood.log_prob(parameters, x).reshape(x.shape[0], -1)
            state = jax.lax.stop_gradient(self._draw(parameters, key_for(own, "state")))
            return (state, stats), jnp.mean(jnp.sum(log_prob, axis=1))

        start = (x, variables["batch_stats"])
        (_, stats), steps = jax.lax.scan(body, start, jnp.arange(self.walkback))
        return -jnp.mean(steps), ((steps[0], steps[-1]), stats)

    def _denoised(self, variables: Tree, c: jax.Array) -> tuple[jax.Array, Tree]:
        """Return the parameters of P(x|c) in training, and the new batch statistics."""
        networks = {"params": variables["params"]["networks"], "batch_stats": variables["batch_stats"]}
        outputs, new = self.module.apply(networks, c, train=True, mutable=["batch_stats"])
        return self._parameters(variables, outputs), new.get("batch_stats", variables["batch_stats"])

    def _parameters(self, variables: Tree, outputs: jax.Array) -> jax.Array:
        if not self.likelihood.SHARED_SCALE:
            return outputs
        return jnp.concatenate([outputs, jnp.broadcast_to(variables["params"]["log_std"], outputs.shape)], axis=-1)

    def _draw(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        """Return draws from P(x|c). A Bernoulli distribution shows its means as samples, which are then binarised."""
        shown = self.likelihood.sample(parameters, key_for(key, "sample"))
        return self.likelihood.observed(shown, key_for(key, "observation"))

    def transition(
        self, variables: Tree, level: jax.Array, key: jax.Array, x: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Take one step of the chain.

        Args:
            variables: as :meth:`variables` returns them.
            level: of the corruption.
            key: a random key.
            x: the states of the chains ``(n, *shape)``, as the likelihood observes examples.

        Returns:
            The next states, and the parameters of P(x|c) that they are drawn from.
        """
        networks = {"params": variables["params"]["networks"], "batch_stats": variables["batch_stats"]}
        c = self.corrupted(x, level, key_for(key, "corruption"))
        parameters = self._parameters(variables, self.module.apply(networks, c, train=False))
        return self._draw(parameters, key_for(key, "state")), parameters

    def random_states(self, key: jax.Array, n: int) -> jax.Array:
        """Return the start of ``n`` chains: standard normal numbers, or -1 and 1 with equal probabilities."""
        shape = (n, *self.shape)
        if self.likelihood.SHARED_SCALE:
            return jax.random.normal(key, shape)
        return jax.random.rademacher(key, shape, jnp.float32)

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        """Return ``n`` draws from the last P(x|c) of chains from random states, or its means for binary pixels."""
        level = hparams["method"]["corruption"]

        def body(index: jax.Array, x: jax.Array) -> jax.Array:
            return self.transition(variables, level, key_for(key, "transition", index), x)[0]

        x = jax.lax.fori_loop(0, self.sample_steps - 1, body, self.random_states(key_for(key, "start"), n))
        _, parameters = self.transition(variables, level, key_for(key, "last transition"), x)
        return self.likelihood.sample(parameters, key_for(key, "observation"))

    def inspect(
        self, model: SingleLossModel, hparams: Tree, held_out: Source, key: jax.Array, points: jax.Array
    ) -> dict[str, jax.Array]:
        """Return the mean element of the states along chains from random states, without the first half."""

        def body(x: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
            own = key_for(key, "transition", index)
            x, _ = self.transition(model.average, hparams["method"]["corruption"], own, x)
            return x, jnp.mean(x.reshape(x.shape[0], -1), axis=1)

        start = self.random_states(key_for(key, "start"), DIAGNOSED)
        _, means = jax.lax.scan(body, start, jnp.arange(self.sample_steps))
        return {"chains/mean": means[self.sample_steps // 2 :].T}

    def read(self, arrays: Mapping[str, np.ndarray]) -> Inspection:
        """Return the diagnostics of the chains (:mod:`ganrun.methods.chain_diagnostics`)."""
        return Inspection(diagnosed(arrays["chains/mean"]))

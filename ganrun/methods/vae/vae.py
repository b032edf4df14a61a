"""The variational autoencoder: an encoder and a decoder that together maximise a lower bound on log p(x).

The decoder defines p(x|z), the prior is standard normal or a flow, and the encoder defines q(z|x), a normal
distribution with diagonal covariance that approximates the posterior p(z|x). The loss is the negative of one of two
bounds. The evidence lower bound (ELBO) is estimated with reparameterised latents and the KL divergence of q(z|x) from
the prior, for a standard normal one in closed form. It may have a weight (beta) and a part without gradient (free
bits). The bound of the importance weighted autoencoder (IWAE) is tighter: it is the log of a mean of weights.

Formula: log p(x) >= E_q(z|x) log p(x|z) - KL(q(z|x), p(z))
Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", eqs. 3 and 10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.base import Inspection, Metrics, Tree
from ganrun.methods.likelihoods import Likelihood
from ganrun.methods.metric_spec import EVERYWHERE, MetricSpec
from ganrun.methods.single_loss import GRAD_NORM, SingleLossMethod, SingleLossModel
from ganrun.methods.vae.flow_prior import FlowPrior
from ganrun.priors import Prior

INSPECTED = 512  # held-out examples that are encoded at a snapshot
ACTIVE = 0.01  # variance of a latent's posterior mean over examples above which the latent counts as used
AT_ONCE = 10  # importance samples that are decoded together: the memory does not grow with their number

ELBO = MetricSpec("elbo", "lower bound on log p(x) of held-out examples (ELBO)", "nats", "higher", shown=EVERYWHERE)
IWAE = MetricSpec("iwae", "tighter lower bound on log p(x) of held-out examples", "nats", "higher", shown=EVERYWHERE)


IWAE_TRAIN = MetricSpec("iwae/train", "tighter lower bound on log p(x) of the training minibatches", "nats")
OBJECTIVES = ("elbo", "iwae")


class Terms(NamedTuple):
    """The terms of the bounds on log p(x) of n examples with k latents each, in nats.

    Attributes:
        reconstruction: log p(x|z), ``(k, n)``.
        kl: KL(q(z|x), p(z)) of each latent, ``(n, latent_dim)``; of all of them, ``(n, 1)``, if the prior is a flow,
            estimated from the k latents.
        log_weights: log p(x, z) - log q(z|x), ``(k, n)``.
    """

    reconstruction: jax.Array
    kl: jax.Array
    log_weights: jax.Array


@dataclass(frozen=True)
class Vae(SingleLossMethod):
    """A variational autoencoder. Its ``module`` has the functions of
    :class:`ganrun.architectures.autoencoder.MlpAutoencoder`.

    Its parameters are ``networks``, those of encoder and decoder, with a Gaussian decoder ``log_std``, the log of its
    standard deviation, and with a learned prior ``prior``. The latents of :meth:`decode` and :meth:`encode` are then
    the noise that the flow maps to what the decoder takes, so that they are standard normal as well.

    Attributes:
        likelihood: the distribution p(x|z).
        latent_dim: dimension of the latents.
        importance_samples: latents per example in the estimates of log p(x).
        objective: the bound whose negative is the loss, a key of :data:`OBJECTIVES`.
        training_samples: latents per example in a training step.
        flow_prior: the prior p(z); None for a standard normal one.
    """

    TERMS: ClassVar[tuple[str, ...]] = ("elbo/train", "log_likelihood/reconstruction", "kl/latent")

    likelihood: Likelihood = field(kw_only=True)
    latent_dim: int = field(kw_only=True)
    importance_samples: int = field(kw_only=True)
    objective: str = "elbo"
    training_samples: int = 1
    flow_prior: FlowPrior | None = None

    @property
    def prior(self) -> Prior:
        return Prior("normal", self.latent_dim)

    @property
    def capabilities(self) -> frozenset[str]:
        """Without ``encode`` if there are classes: q(z|x, y) depends on that of an example, which it does not get."""
        return frozenset({"decode", "log_density"} | (set() if self.classes else {"encode"}))

    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        noise, labels = jnp.zeros((1, self.latent_dim)), jnp.zeros((1,), jnp.int32) if self.classes else None
        variables = self.module.init(key_for(key, "initial networks"), example, noise, train=False, y=labels)
        params = {"networks": variables["params"]}
        if self.likelihood.SHARED_SCALE:
            params["log_std"] = jnp.zeros(())
        if self.flow_prior is not None:
            params["prior"] = self.flow_prior.init(key_for(key, "initial prior"))
        return {"params": params, "batch_stats": variables.get("batch_stats", {})}

    @property
    def tags(self) -> tuple[str, ...]:
        own = (*self.TERMS, IWAE_TRAIN.name) if self.objective == "iwae" else self.TERMS
        return ("loss", *own, GRAD_NORM.name)

    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        x = self.likelihood.observed(x, key_for(key, "observation"))
        noise = jax.random.normal(key_for(key, "posterior"), (self.training_samples, self.batch_size, self.latent_dim))
        terms, stats = self.terms(variables, x, noise, labels)
        reconstruction, of_latents = jnp.mean(terms.reconstruction), jnp.mean(terms.kl, axis=0)
        kl = jnp.sum(of_latents)
        shown = (reconstruction - kl, reconstruction, kl)
        if self.objective == "iwae":
            bound = jnp.mean(jax.nn.logsumexp(terms.log_weights, axis=0) - jnp.log(self.training_samples))
            return -bound, ((*shown, bound), stats)
        # Without free bits the maximum is the KL divergence itself, which is not negative; an estimate may be.
        kept = kl if self.flow_prior else jnp.sum(jnp.maximum(of_latents, hparams["method"]["free_bits"]))
        return hparams["method"]["beta"] * kept - reconstruction, (shown, stats)

    def terms(
        self, variables: Tree, x: jax.Array, noise: jax.Array, labels: jax.Array | None = None
    ) -> tuple[Terms, Tree]:
        """Return the terms of the bounds on log p(x) of the examples ``x``, as in training.

        For a class-conditional model, they are those of the bounds on log p(x|y).

        Args:
            variables: as :meth:`variables` returns them.
            x: examples ``(n, *shape)`` as the likelihood observes them.
            noise: standard normal ``(k, n, latent_dim)``, from which z = mean + standard deviation * noise.
            labels: classes of the examples ``(n,)``; None unless the model is class-conditional.

        Returns:
            The terms, and the new batch statistics.
        """
        networks = _networks(variables)
        (mean, log_variance, outputs), new = self.module.apply(
            networks, x, noise, train=True, y=labels, mutable=["batch_stats"]
        )
        repeated = jnp.broadcast_to(x, (len(noise), *x.shape)).reshape(-1, *x.shape[1:])
        reconstruction = self._log_likelihood(variables, outputs, repeated).reshape(noise.shape[:2])
        log_ratio = self._log_ratio(variables, mean, log_variance, noise)
        if self.flow_prior is None:
            kl = kl_from_prior(mean, log_variance)
        else:  # the mean of log q(z|x) is that of its distribution, not of the k latents
            kl = -jnp.mean(log_ratio - 0.5 * jnp.sum(noise**2 - 1.0, axis=-1), axis=0)[:, None]
        terms = Terms(reconstruction=reconstruction, kl=kl, log_weights=reconstruction + log_ratio)
        return terms, new.get("batch_stats", networks["batch_stats"])

    def _log_ratio(self, variables: Tree, mean: jax.Array, log_variance: jax.Array, noise: jax.Array) -> jax.Array:
        """Return log p(z) - log q(z|x) for z = mean + standard deviation * noise, summed over the last axis."""
        z = mean + jnp.exp(log_variance / 2) * noise
        if self.flow_prior is None:
            return 0.5 * jnp.sum(noise**2 + log_variance - z**2, axis=-1)
        log_q = -0.5 * jnp.sum(noise**2 + log_variance, axis=-1) - 0.5 * self.latent_dim * math.log(2.0 * math.pi)
        return self.flow_prior.log_prob(variables["params"]["prior"], z) - log_q

    def _log_likelihood(self, variables: Tree, outputs: jax.Array, x: jax.Array) -> jax.Array:
        """Return log p(x|z) ``(n,)`` of the examples ``x``, given the decoder's ``outputs`` for z."""
        elements = self.likelihood.log_prob(self._parameters(variables, outputs), x)
        return jnp.sum(elements.reshape(x.shape[0], -1), axis=1)

    def _parameters(self, variables: Tree, outputs: jax.Array) -> jax.Array:
        """Return the parameters of p(x|z): the decoder's ``outputs``, and the scale shared by all elements, if any."""
        if not self.likelihood.SHARED_SCALE:
            return outputs
        return jnp.concatenate([outputs, jnp.broadcast_to(variables["params"]["log_std"], outputs.shape)], axis=-1)

    def networks(self, model: SingleLossModel, average: bool = True) -> dict[str, Tree]:
        """Return the variables of decoder, encoder and learned prior; ``log_std`` belongs to the decoder."""
        variables = self.variables(model, average)
        parts = _networks(variables)
        networks = {
            network: {name: part[network] for name, part in parts.items() if network in part}
            for network in ("decoder", "encoder")
        }
        if self.likelihood.SHARED_SCALE:
            networks["decoder"]["params"] |= {"log_std": variables["params"]["log_std"]}
        if self.flow_prior is not None:
            networks["prior"] = {"params": variables["params"]["prior"]}
        return networks

    def _apply(self, variables: Tree, x: jax.Array, method: str, labels: jax.Array | None = None) -> Any:
        """Apply ``method`` of the module (``encode`` or ``decode``) to ``x`` as after training."""
        return self.module.apply(_networks(variables), x, train=False, y=labels, method=method)

    def _decoded(self, variables: Tree, latents: jax.Array, labels: jax.Array | None) -> jax.Array:
        if self.flow_prior is not None:
            latents = self.flow_prior.from_noise(variables["params"]["prior"], latents)
        return self._parameters(variables, self._apply(variables, latents, "decode", labels))

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        """Return ``n`` samples ``(n, *shape)``: draws from p(x|z), for z drawn from the prior.

        For a Bernoulli decoder these are the means, whose grey values are probabilities of white, as those of the data.
        """
        latents, labels = self.prior.draw(key_for(key, "noise"), n), self.labels_for(hparams, key, n, labels)
        return self.likelihood.sample(self._decoded(variables, latents, labels), key_for(key, "observation"))

    def decode(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        return self.likelihood.mean(self._decoded(variables, latents, labels))

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        """Return the mean of q(z|x) ``(n, latent_dim)``, as noise if the prior is a flow.

        Grey values are not binarised, so it is deterministic.
        """
        mean = self._apply(variables, x, "encode")[0]
        return mean if self.flow_prior is None else self.flow_prior.to_noise(variables["params"]["prior"], mean)

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        return (ELBO, IWAE)

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return the ELBO and the tighter bound of importance weighting with k = ``importance_samples``, in nats.

        The weights are w_i = p(x, z_i) / q(z_i|x) with z_i drawn from q(z|x). Both bounds are estimated from the same
        draws, so the first is never above the second. For a class-conditional model, each bound is that of the mixture
        over the classes.

        Formula: ELBO = E mean_i log w_i <= L_k = E log mean_i w_i <= log p(x)
        Paper: Burda et al. 2016, "Importance weighted autoencoders", eq. 8 and theorem 1.
        """
        x = self.likelihood.observed(x, key_for(key, "observation"))

        def bounds(labels: jax.Array | None) -> Metrics:
            mean, log_variance = self._apply(variables, x, "encode", labels)

            def log_weight(index: jax.Array) -> jax.Array:
                noise = jax.random.normal(key_for(key, "posterior", index), mean.shape)
                return self.log_weight(variables, x, mean, log_variance, noise, labels)

            weights = jax.lax.map(log_weight, jnp.arange(self.importance_samples), batch_size=AT_ONCE)
            iwae = jax.nn.logsumexp(weights, axis=0) - jnp.log(self.importance_samples)
            return {"elbo": jnp.mean(weights, axis=0), "iwae": iwae}

        return self.over_classes(variables, bounds, x.shape[0])

    def log_weight(
        self,
        variables: Tree,
        x: jax.Array,
        mean: jax.Array,
        log_variance: jax.Array,
        noise: jax.Array,
        labels: jax.Array | None = None,
    ) -> jax.Array:
        """Return log p(x, z) - log q(z|x) ``(n,)`` for z = mean + standard deviation * noise of q(z|x), in nats."""
        outputs = self._apply(variables, mean + jnp.exp(log_variance / 2) * noise, "decode", labels)
        return self._log_likelihood(variables, outputs, x) + self._log_ratio(variables, mean, log_variance, noise)

    def inspect(
        self, model: SingleLossModel, hparams: Tree, held_out: Source, key: jax.Array, points: jax.Array
    ) -> dict[str, jax.Array]:
        """Return the posterior means of held-out examples, ``(n, latent_dim)``.

        With a learned prior the scale of the latents is free: they are then divided by the standard deviation of the
        latents of all examples, which is about 1 where the prior is standard normal.
        """
        rows = getattr(held_out, "flat", None)
        size = INSPECTED if rows is None else min(INSPECTED, rows.shape[0])
        x, labels, _ = self.drawn(held_out, key, Cursor.start(), size)
        mean, log_variance = self._apply(model.average, x, "encode", labels)
        if self.flow_prior is not None:
            mean /= jnp.sqrt(jnp.var(mean, axis=0) + jnp.mean(jnp.exp(log_variance), axis=0))
        return {"posterior/mean": mean}

    def read(self, arrays: Mapping[str, np.ndarray]) -> Inspection:
        """Return the number of latents that the encoder uses (Burda et al. 2016, section 5)."""
        variance = np.var(np.asarray(arrays["posterior/mean"], np.float64), axis=0)
        return Inspection({"latents/active": float(np.sum(variance > ACTIVE))})


def _networks(variables: Tree) -> Tree:
    """Return the variables of the linen module among those of the model."""
    return {"params": variables["params"]["networks"], "batch_stats": variables["batch_stats"]}


def kl_from_prior(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Return KL(N(mean, variance), N(0, 1)) in nats, element by element.

    Formula: 1/2 (variance + mean² - 1 - log variance)
    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", appendix B.
    """
    return 0.5 * (jnp.exp(log_variance) + mean**2 - 1.0 - log_variance)

"""A method without networks: a normal distribution fitted by maximum likelihood."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ganrun.config.registry import register, static, traced
from ganrun.config.settings import Train
from ganrun.datasets.sampler import Cursor
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Method, Metrics, Progress, Tree
from ganrun.methods.method_option import MethodOption, as_arrays, run_hparams
from ganrun.methods.metric_spec import EVERYWHERE, MetricSpec

LOG_LIKELIHOOD = MetricSpec("log_likelihood", "mean log p(x) of held-out examples", "nats", "higher", EVERYWHERE)


@struct.dataclass
class NormalModel:
    """The parameters, ``mean`` and ``log_std`` of the shape of an example, and the state of their optimizer."""

    params: Tree
    optimizer: Tree


@dataclass(frozen=True)
class Normal(Method):
    """A normal distribution with independent elements.

    Attributes:
        batch_size: examples per minibatch.
        optimizer: the optimizer of the parameters.
    """

    batch_size: int
    optimizer: Any

    @property
    def tags(self) -> tuple[str, ...]:
        return ("loss",)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"log_density"})

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        return (LOG_LIKELIHOOD,)

    def init(self, key: jax.Array, hparams: Tree, example: jax.Array) -> NormalModel:
        params = {"mean": jnp.zeros(example.shape[1:]), "log_std": jnp.zeros(example.shape[1:])}
        return NormalModel(params, self._transform(jnp.int32(0), hparams).init(params))

    def step(
        self, model: NormalModel, batches: Batches, key: jax.Array, hparams: Tree, progress: Progress
    ) -> tuple[NormalModel, Cursor, Metrics]:
        x, cursor = batches.train.minibatch(key_for(key, "data"), batches.cursor, self.batch_size)
        loss, gradient = jax.value_and_grad(lambda params: -jnp.mean(self._log_p(params, x)))(model.params)
        change, optimizer = self._transform(progress.step, hparams).update(gradient, model.optimizer, model.params)
        return NormalModel(optax.apply_updates(model.params, change), optimizer), cursor, {"loss": loss}

    def variables(self, model: NormalModel, average: bool = True) -> Tree:
        return model.params

    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        noise = jax.random.normal(key_for(key, "noise"), (n, *variables["mean"].shape))
        return variables["mean"] + jnp.exp(variables["log_std"]) * noise

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        return {LOG_LIKELIHOOD.name: self._log_p(variables, x)}

    @staticmethod
    def _log_p(params: Tree, x: jax.Array) -> jax.Array:
        elements = jax.scipy.stats.norm.logpdf(x, params["mean"], jnp.exp(params["log_std"]))
        return jnp.sum(elements.reshape(len(x), -1), axis=1)

    def _transform(self, step: jax.Array, hparams: Tree) -> optax.GradientTransformation:
        return self.optimizer.transform(step, hparams["run"]["steps"], hparams["optimizer"]["generator"])


@register("method", "normal")
@dataclass(frozen=True)
class NormalOption(MethodOption):
    """A normal distribution with independent elements, fitted by maximum likelihood.

    Formula: maximise E log N(x; mean, std²)
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        LOG_LIKELIHOOD,
        MetricSpec("log_likelihood_se", "standard error of log_likelihood", "nats"),
        MetricSpec("loss", "negative mean log likelihood of the training minibatches", "nats", shown=EVERYWHERE),
    )

    name: str = "normal"

    def build(self, config: Train, shape: tuple[int, ...]) -> Normal:
        return Normal(config.batch_size, static(config.optimizer.generator))

    def hparams(self, config: Train, train: Any = None) -> dict[str, Any]:
        return as_arrays({"run": run_hparams(config), "optimizer": {"generator": traced(config.optimizer.generator)}})

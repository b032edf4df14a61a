"""Methods with one loss: all parameters descend its gradient, as in maximum likelihood.

A subclass of :class:`SingleLossMethod` says how its parameters are initialised and what its loss is. It inherits the
step: minibatch, gradient, optimizer, moving average.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ganrun.architectures.layers import with_convolutions
from ganrun.config.registry import traced
from ganrun.config.settings import Train
from ganrun.datasets.sampler import Cursor, Source
from ganrun.errors import ConfigError
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Method, Metrics, Progress, Tree
from ganrun.methods.class_labels import class_probabilities, draw_labels, require_classes
from ganrun.methods.detection import Detector
from ganrun.methods.method_option import MethodOption, as_arrays, run_hparams
from ganrun.methods.metric_spec import AT_LEAST_0, EVERYWHERE, MetricSpec
from ganrun.methods.moving_average import moving_average
from ganrun.methods.sample_detectors import astray, collapsed, copied, longer, shorter
from ganrun.optimizers import optimizer_hparams

CLASSES = "class_probabilities"
LOSS = MetricSpec(
    "loss",
    "loss of the training minibatches, which the model minimises: the negative of a log-likelihood or of a bound, in "
    "nats, but with rbm and dbm a difference of free energies, and with drifting the mean square of a field",
    shown=EVERYWHERE,
)
GRAD_NORM = MetricSpec("grad_norm", "Euclidean norm of the gradient of all parameters", bounds=AT_LEAST_0)
DETECTORS = (
    Detector("samples off the data", astray, (longer,)),
    Detector("mode collapse", collapsed, (longer,)),
    Detector("memorisation", copied, (shorter,)),
)


@struct.dataclass
class SingleLossModel:
    """The parameters of a method with one loss, and their optimizer.

    Attributes:
        params: all that the optimizer changes.
        stats: batch statistics, the class frequencies of a class-conditional model, and whatever else a step changes
            without the optimizer; may be empty.
        optimizer: state of the optimizer.
        average: the moving average of the variables (:meth:`SingleLossMethod.variables`).
    """

    params: Tree
    stats: Tree
    optimizer: Tree
    average: Tree


@dataclass(frozen=True)
class SingleLossMethod(Method):
    """A model whose parameters all descend one loss.

    The variables of a model are a dictionary: ``params``, and ``batch_stats`` with its batch statistics.

    Attributes:
        module: the linen module, or its wrapper (:mod:`ganrun.methods.precision`); None for a model without networks.
        optimizer: of all parameters.
        batch_size: examples per minibatch.
        classes: number of classes that the model is conditioned on; 0 if it is not class-conditional.
        TERMS: tags of the metrics that :meth:`loss` returns beside the loss.
        CARRIED: names of those of the model's ``stats`` that only the next step needs, such as persistent Markov
            chains. :meth:`loss` gets them as batch statistics; they are not averaged and not part of the variables.
    """

    TERMS: ClassVar[tuple[str, ...]] = ()
    CARRIED: ClassVar[tuple[str, ...]] = ()

    module: Any
    optimizer: Any
    batch_size: int
    classes: int = 0

    @property
    def tags(self) -> tuple[str, ...]:
        return ("loss", *self.TERMS, GRAD_NORM.name)

    @abstractmethod
    def initial(self, key: jax.Array, example: jax.Array) -> Tree:
        """Return the variables before the first step. Only the shape of ``example`` ``(1, *shape)`` is used."""

    @abstractmethod
    def loss(
        self, variables: Tree, x: jax.Array, labels: jax.Array | None, key: jax.Array, hparams: Tree
    ) -> tuple[jax.Array, tuple[Sequence[jax.Array], Tree]]:
        """Return the loss of a minibatch in training.

        Args:
            variables: the variables of the model.
            x: examples ``(batch_size, *shape)``.
            labels: their classes, int32 ``(batch_size,)``; None unless the model is class-conditional.
            key: the random key of the step.
            hparams: the traced hyperparameters.

        Returns:
            The loss; the values of :attr:`TERMS`, and the new batch statistics.
        """

    def init(self, key: jax.Array, hparams: Tree, example: jax.Array) -> SingleLossModel:
        variables = self.initial(key, example)
        params, stats = variables["params"], dict(variables.get("batch_stats", {}))
        if self.classes:
            stats[CLASSES] = hparams[CLASSES]
        optimizer = self._transform(jnp.zeros((), jnp.int32), hparams["run"]["steps"], hparams).init(params)
        average = jax.tree.map(jnp.copy, self._lasting(params, stats))
        return SingleLossModel(params=params, stats=stats, optimizer=optimizer, average=average)

    def at(self, hparams: Tree, progress: Progress) -> Tree:
        """Return ``hparams`` with the value at a step of those that change during a run."""
        del progress
        return hparams

    def _transform(self, step: jax.Array, steps: jax.Array, hparams: Tree) -> optax.GradientTransformation:
        return self.optimizer.transform(step, steps, hparams["optimizer"]["generator"])

    def step(
        self, model: SingleLossModel, batches: Batches, key: jax.Array, hparams: Tree, progress: Progress
    ) -> tuple[SingleLossModel, Cursor, Metrics]:
        hparams = self.at(hparams, progress)
        x, labels, cursor = self.drawn(batches.train, key, batches.cursor, self.batch_size)

        def loss(params: Tree) -> tuple[jax.Array, Any]:
            return self.loss({"params": params, "batch_stats": model.stats}, x, labels, key, hparams)

        (value, (terms, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(model.params)
        transform = self._transform(progress.step, progress.steps, hparams)
        change, optimizer = transform.update(gradient, model.optimizer, model.params)
        params, stats = optax.apply_updates(model.params, change), {**model.stats, **stats}
        average = moving_average(model.average, self._lasting(params, stats), hparams["ema"]["decay"], progress.step)
        after = SingleLossModel(params=params, stats=stats, optimizer=optimizer, average=average)
        values = (value, *terms, optax.tree.norm(gradient))
        return after, cursor, dict(zip(self.tags, values, strict=True))

    def drawn(
        self, source: Source, key: jax.Array, cursor: Cursor, n: int
    ) -> tuple[jax.Array, jax.Array | None, Cursor]:
        """Return ``n`` examples, their labels (None unless the model is class-conditional), and the next cursor."""
        data_key = key_for(key, "data")
        if self.classes:
            return source.labelled(data_key, cursor, n)
        x, cursor = source.minibatch(data_key, cursor, n)
        return x, None, cursor

    def variables(self, model: SingleLossModel, average: bool = True) -> Tree:
        return model.average if average else self._lasting(model.params, model.stats)

    def _lasting(self, params: Tree, stats: Tree) -> Tree:
        """Return the variables of a model: all but what is :attr:`CARRIED`."""
        kept = {name: value for name, value in stats.items() if name not in self.CARRIED}
        return {"params": params, "batch_stats": kept}

    def for_export(self) -> Self:
        return self._with_convolutions("xla")

    def for_population(self) -> Self:
        return self._with_convolutions("matmul")

    def _with_convolutions(self, form: str) -> Self:
        return self if self.module is None else replace(self, module=with_convolutions(self.module, form))

    def labels_for(self, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None) -> jax.Array | None:
        """Return ``labels``, or ``n`` with the frequencies in the data; None if the model is not class-conditional."""
        if not self.classes:
            return None
        return draw_labels(hparams[CLASSES], key_for(key, "labels"), n) if labels is None else labels

    def over_classes(self, variables: Tree, log_density: Callable[[jax.Array | None], Tree], n: int) -> Tree:
        """Return log p(x) of ``n`` examples: that of a mixture over the classes if the model is class-conditional.

        Of lower bounds on log p(x|y), the result is a lower bound on log p(x).

        Formula: log p(x) = log sum_y p(y) p(x|y), with the frequencies p(y) in the training data

        Args:
            variables: the variables of the model.
            log_density: returns log p(x|y) ``(n,)`` for labels ``(n,)``, and log p(x) for None; or a tree of such
                arrays.
            n: number of examples.
        """
        if not self.classes:
            return log_density(None)
        each = jax.lax.map(lambda label: log_density(jnp.full((n,), label)), jnp.arange(self.classes, dtype=jnp.int32))
        log_frequencies = jnp.log(variables["batch_stats"][CLASSES])[:, None]
        return jax.tree.map(lambda of_class: jax.nn.logsumexp(of_class + log_frequencies, axis=0), each)


class SingleLossOption(MethodOption):
    """The option of a method with one loss: what all of them refuse, trace and detect.

    Attributes:
        CONDITIONAL: whether ``conditional=true`` is supported.
        LATENT_PRIORS: the values of ``latent.prior`` that a method with latents has.
        POINTS: whether data of which all examples are the same are supported, as only a method without a density can.
    """

    SECTIONS: ClassVar[frozenset[str]] = frozenset({"architecture"})
    CONDITIONAL: ClassVar[bool] = False
    LATENT_PRIORS: ClassVar[tuple[str, ...]] = ("normal",)
    POINTS: ClassVar[bool] = False

    def hparams(self, config: Train, train: Any = None) -> dict[str, Any]:
        optimizer = {"generator": optimizer_hparams(config.optimizer.generator)}
        hparams = {"run": run_hparams(config), "optimizer": optimizer, "ema": traced(config.ema)}
        own = traced(self)
        if own:
            hparams["method"] = own
        if config.conditional:
            hparams[CLASSES] = class_probabilities(config, train)
        return as_arrays(hparams)

    def detectors(self) -> Sequence[Detector]:
        return DETECTORS

    def lag(self, config: Train) -> float:
        return 1 / (1 - config.ema.decay)

    def require_supported(self, config: Train) -> None:
        """Raise :class:`ConfigError` for settings of a run that a method with one loss does not have."""
        if config.conditional and not self.CONDITIONAL:
            raise ConfigError(
                f"conditional=true cannot be combined with method={self.name}, which models examples without classes."
            )
        require_classes(config)
        if config.inference != "none":
            raise ConfigError(f"inference=bigan adds an encoder to a GAN: leave it out with method={self.name}.")
        if "latent" in self.SECTIONS and config.latent.prior not in self.LATENT_PRIORS:
            raise ConfigError(
                f"latent.prior must be {' or '.join(self.LATENT_PRIORS)} with method={self.name}, not "
                f"{config.latent.prior}."
            )
        if hasattr(config.dataset, "source") and not self.POINTS:
            raise ConfigError(
                f"dataset={config.dataset.name} cannot be combined with method={self.name}: all examples are the same, "
                "so the likelihood has no maximum."
            )

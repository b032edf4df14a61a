"""The interface of a method: what ganrun needs in order to train, sample, evaluate and compare a generative model.

A method consists of two classes. A :class:`~ganrun.methods.method_option.MethodOption` is what a config chooses
(``method=gan``): it checks the settings and builds a :class:`Method`. The :class:`Method` is the model: pure functions,
and the static settings that determine the compiled program. It is hashable and compared by value, so that runs with
equal methods share programs and can be members of one population. Everything outside ``ganrun/methods`` uses only these
two classes, and asks for optional capabilities by name and never for a particular method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.datasets.sampler import Cursor, Source
from ganrun.methods.metric_spec import MetricSpec
from ganrun.priors import Prior

if TYPE_CHECKING:
    pass

Tree = Any
Metrics = dict[str, jax.Array]  # scalars by tag


@struct.dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: number of steps before this one, int32.
        steps: number of steps of the whole run, float32.
    """

    step: jax.Array
    steps: jax.Array

    @property
    def done(self) -> jax.Array:
        """The fraction of the run that is done, from 0 to 1."""
        return jnp.clip(self.step / self.steps, 0.0, 1.0)


@struct.dataclass
class Batches:
    """The data that a step may draw from.

    Attributes:
        train: the source of training minibatches: a whole dataset, or a window of it.
        held_out: the source of examples that are never trained on.
        cursor: position of the next minibatch of ``train``.
    """

    train: Source
    held_out: Source
    cursor: Cursor


@dataclass
class Inspection:
    """What a method shows of its networks at a snapshot, besides samples.

    Attributes:
        scalars: metrics by tag.
        field: logits of "x is data" at the points of the picture, for known densities; may be empty.
        field_label: what ``field`` shows, for the picture.
    """

    scalars: dict[str, float] = field(default_factory=dict)
    field: np.ndarray = field(default_factory=lambda: np.zeros(0))
    field_label: str = ""


class Method(ABC):
    """A generative model and its training algorithm. Subclasses are frozen dataclasses.

    Attributes:
        batch_size: examples per minibatch.
        classes: number of classes that samples are conditioned on; 0 if the method is not class-conditional.
        prior: distribution of the latents; None for a method without latents.
        HISTOGRAMS: the arrays of :meth:`inspect` that TensorBoard shows as histograms. A run fails if one of them
            contains NaN or Inf.
        MODEL: how messages call the model, such as ``generator``.
        NOT_WEIGHTS: names of the parts of a model, at any depth of the pytree, that belong to its training and not to
            its networks. A run with ``init_from`` takes all other arrays.
    """

    HISTOGRAMS: ClassVar[tuple[str, ...]] = ()
    MODEL: ClassVar[str] = "model"
    NOT_WEIGHTS: ClassVar[tuple[str, ...]] = ("optimizer",)

    batch_size: int
    classes: int = 0

    @property
    def prior(self) -> Prior | None:
        return None

    @property
    @abstractmethod
    def tags(self) -> tuple[str, ...]:
        """Tags of the metrics of a step, in the order in which they are accumulated."""

    @abstractmethod
    def init(self, key: jax.Array, hparams: Tree, example: jax.Array) -> Tree:
        """Return the model before the first step. Only the shape of ``example`` ``(1, *shape)`` is used."""

    @abstractmethod
    def step(
        self, model: Tree, batches: Batches, key: jax.Array, hparams: Tree, progress: Progress
    ) -> tuple[Tree, Cursor, Metrics]:
        """Take one training step.

        Args:
            model: the model before the step.
            batches: the data.
            key: the random key of this step.
            hparams: the traced hyperparameters, as :meth:`MethodOption.hparams` returns them.
            progress: how far the run is.

        Returns:
            The model after the step, the cursor behind the minibatches drawn, and a scalar for each of :attr:`tags`.
        """

    @abstractmethod
    def variables(self, model: Tree, average: bool = True) -> Tree:
        """Return the part of ``model`` that samples are drawn from; ``average`` selects the moving average, if any."""

    def networks(self, model: Tree, average: bool = True) -> dict[str, Tree]:
        """Return the variables of each network by its name, first those that samples are drawn from."""
        return {self.MODEL: self.variables(model, average)}

    @abstractmethod
    def sample(
        self, variables: Tree, hparams: Tree, key: jax.Array, n: int, labels: jax.Array | None = None
    ) -> jax.Array:
        """Return ``n`` samples ``(n, *shape)``.

        ``labels`` are int32 ``(n,)``. Without them, a class-conditional method draws the classes with their frequencies
        in the data.
        """

    # Optional capabilities.

    @property
    def capabilities(self) -> frozenset[str]:
        """What the method can do besides sampling.

        ``decode``, ``encode`` and ``log_density`` are functions of this class. ``exact_density`` means that the first
        of :attr:`densities` is log p(x) itself and not an estimate or a bound. ``push`` means that samples are a
        function of the latents: ``decode`` of draws from the prior. It is missing if samples have noise of their own.
        """
        return frozenset()

    @property
    def rank(self) -> int:
        """An upper bound on the dimension of the set that contains all samples; 0 if unknown."""
        return 0

    def decode(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        """Return what ``latents`` ``(n, prior.dim)`` stand for, ``(n, *shape)``: samples, or their means given z."""
        raise NotImplementedError(f"{type(self).__name__} has no decode: it is not among its capabilities")

    def decoder(self, variables: Tree) -> tuple[Any, Tree] | None:
        """Return the linen module behind :meth:`decode` and its variables; None if there is no single such module."""
        return None

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        """Return latents ``(n, prior.dim)`` for ``x`` ``(n, *shape)``."""
        raise NotImplementedError(f"{type(self).__name__} has no encode: it is not among its capabilities")

    @property
    def densities(self) -> tuple[MetricSpec, ...]:
        """The estimates of :meth:`log_density`; the meaning of each says whether it is exact or a bound."""
        return ()

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return estimates of log p(x) of the examples ``x`` ``(n, *shape)``, in nats.

        Returns:
            For each of :attr:`densities`, by name: the estimates, ``(n,)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no log_density: it is not among its capabilities")

    @property
    def normaliser_specs(self) -> tuple[MetricSpec, ...]:
        """The scalars of :meth:`normaliser`; empty if the method has none."""
        return ()

    @property
    def shared_errors(self) -> Mapping[str, str]:
        """The estimates of log p(x) that contain an estimated normaliser, and the scalar that is its standard error."""
        return {}

    def normaliser(self, variables: Tree, key: jax.Array) -> Metrics:
        """Return what :meth:`log_density` needs and all examples share: for each of :attr:`normaliser_specs`, a scalar.

        It is computed once, and :meth:`log_density` of every batch finds it as ``variables["normaliser"]``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no normaliser")

    def inspect(
        self, model: Tree, hparams: Tree, held_out: Source, key: jax.Array, points: jax.Array
    ) -> dict[str, jax.Array]:
        """Return arrays that show the networks, besides samples: part of every snapshot.

        Args:
            model: the model.
            hparams: the traced hyperparameters.
            held_out: the source of held-out examples.
            key: the same at every snapshot of a run.
            points: ``(n, *shape)``, at which a picture shows a function of x; may be empty.
        """
        del model, hparams, held_out, key, points
        return {}

    def read(self, arrays: Mapping[str, np.ndarray]) -> Inspection:
        """Return what the arrays of :meth:`inspect`, copied to the host, show."""
        del arrays
        return Inspection()

    def in_float32(self) -> Method:
        """Return the method with a decoder that computes in float32, whatever the precision of the run."""
        return self

    def for_export(self) -> Method:
        """Return the method in a form that has only operations of XLA, for programs that run elsewhere."""
        return self

    def for_population(self) -> Method:
        """Return the method in the form in which it is fastest under ``vmap``."""
        return self

"""The option ``method=NAME`` of a config, which checks settings and builds a :class:`~ganrun.methods.base.Method`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp

from ganrun.methods.annealing import describe_jumps, learning_rates
from ganrun.methods.base import Method
from ganrun.methods.metric_spec import Chart, MetricSpec
from ganrun.methods.power_average import exponent

if TYPE_CHECKING:
    from ganrun.config.settings import Train
    from ganrun.methods.detection import Detector
    from ganrun.methods.experiment import Experiment

TagFamily = tuple[tuple[str, ...], str]  # tags that are logged together, and why a run does not log them (or empty)


class MethodOption(ABC):
    """The option ``method=NAME`` of a config. Subclasses are frozen dataclasses; their fields are its own settings.

    Attributes:
        name: of the method.
        SECTIONS: the parts of a config that this method has; see :data:`ganrun.config.schema.SECTIONS` for all.
        SPECS: the metrics of a step, and those of :meth:`Method.read`.
        CHARTS: charts of these metrics in TensorBoard.
        PRECISIONS: the values of ``precision`` that :meth:`build` obeys; see :mod:`ganrun.methods.precision`.
        LATENT_DIM_OF_DATA: whether latents have the dimension of the data, which ``latent.dim: null`` means.
    """

    SECTIONS: ClassVar[frozenset[str]] = frozenset()
    SPECS: ClassVar[tuple[MetricSpec, ...]] = ()
    CHARTS: ClassVar[tuple[Chart, ...]] = ()
    PRECISIONS: ClassVar[tuple[str, ...]] = ("f32",)
    LATENT_DIM_OF_DATA: ClassVar[bool] = False

    name: str

    @abstractmethod
    def build(self, config: Train, shape: tuple[int, ...]) -> Method:
        """Return the method that ``config`` describes, for examples of ``shape``.

        Raises:
            ConfigError: parts of the configuration are incompatible.
        """

    @abstractmethod
    def hparams(self, config: Train, train: Any = None) -> dict[str, Any]:
        """Return the traced hyperparameters as arrays, by part and name.

        ``hparams["run"]`` holds ``steps`` and ``log_every`` (:func:`run_hparams`). ``train`` is the training data; None
        if it has not been loaded.
        """

    def examples_per_step(self, config: Train) -> int:
        """Return the maximum number of training examples that a step draws."""
        return config.batch_size

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        """Yield the tags that a step logs, and those of other runs with the reason why this one does not log them."""
        yield self.build(config, config.dataset.shape).tags, ""

    def snapshot_families(self, config: Train) -> Iterator[TagFamily]:
        """Yield the tags of :meth:`Method.read`, likewise."""
        del config
        yield from ()

    def cautions(self, experiment: Experiment) -> Sequence[str]:
        """Return a line for each combination of settings that is allowed but defeats the purpose of one of them."""
        del experiment
        return ()

    def jumps(self, before: Train, now: Train, step: int) -> str | None:
        """Describe in one line what jumps at ``step`` if a run of ``before.steps`` is resumed with ``now.steps``.

        By default these are the learning rates. Returns None if nothing changes by more than 1 %.
        """
        return describe_jumps(learning_rates, before, now, step)

    def detectors(self) -> Sequence[Detector]:
        """Return the detectors of training failures."""
        return ()

    def lag(self, config: Train) -> float:
        """Return by how many steps the weights that samples are drawn from lag behind the trained ones."""
        del config
        return 0.0


def run_hparams(config: Train) -> dict[str, Any]:
    """Return the hyperparameters of every run: its number of steps, and the steps between rows of metrics.

    If the run keeps power-function averages, also their exponents, ``average_exponents``.
    """
    hparams: dict[str, Any] = {"steps": float(config.steps), "log_every": config.log.every}
    if config.ema.sigma_rel:
        hparams["average_exponents"] = tuple(map(exponent, config.ema.sigma_rel))
    return hparams


def as_arrays(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested ``hparams`` with arrays for numbers and tuples: int32 for whole numbers, otherwise float32."""

    def array(value: Any) -> jax.Array:
        items = value if isinstance(value, tuple) else (value,)
        whole = all(isinstance(item, int) for item in items)
        return jnp.asarray(value, jnp.int32 if whole else jnp.float32)

    return jax.tree.map(array, dict(hparams), is_leaf=lambda value: isinstance(value, tuple))

"""The settings of a run: every key with its type, default and range. :mod:`ganrun.config.schema` checks them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ganrun.config.registry import choice, number

EVERY = 50  # default number of steps between rows of metrics
MAX_STEPS = 2**31 - 1  # steps of one run, which are counted with 32 bits
AUTO = "auto"  # a number that ganrun chooses
PARAMETERS = ("replicated", "sharded")  # where the parameters of a run on several devices are (:mod:`ganrun.mesh`)
FEEDS = ("auto", "resident", "streamed")  # how training examples reach the device (:mod:`ganrun.datasets.feed`)
AUGMENTATIONS = ("colour", "translation", "cutout")  # of images (:mod:`ganrun.methods.gan.augmentation`)
DECAYS = ("constant", "cosine", "linear")  # how a setting goes to its final value (:mod:`ganrun.methods.annealing`)
PRECISIONS = ("f32", "bf16", "tf32")  # of the networks (:mod:`ganrun.methods.precision`)
# Widths of power-function averages, relative to the steps done; a uniform average has 1/sqrt(12), about 0.289.
NARROWEST, WIDEST = 0.005, 0.28


@dataclasses.dataclass(frozen=True)
class Latent:
    """The noise prior p(z); ``dim`` is None for a method whose latents have the dimension of the data."""

    dim: int | None = number(2, low=1, high=100_000)
    prior: str = choice("normal", ("normal", "uniform"))

    @property
    def size(self) -> int:
        """``dim``, of a method to whose latents the config gives a dimension."""
        if self.dim is None:
            raise ValueError("latent.dim is null: the latents have the dimension of the data")
        return self.dim


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How the discriminator's inputs and labels are modified: augmentation, instance noise, label flipping, packing."""

    augmentation: tuple[str, ...] = choice((), AUGMENTATIONS)
    noise: float = number(0.0, low=0.0)
    final_noise: float = number(0.0, low=0.0)
    label_flipping: float = number(0.0, low=0.0, below=1.0)
    packing: int = number(1, low=1, high=1024)


@dataclasses.dataclass(frozen=True)
class GeneratorUpdate:
    """How the generator's gradient is computed."""

    unrolled: int = number(0, low=0, high=1000)
    top_k: float = number(1.0, above=0.0, high=1.0)
    transport: float = number(0.0, low=0.0)
    final_transport: float = number(0.0, low=0.0)
    transport_decay: str = choice("constant", DECAYS)
    normalised: bool = False
    normalisation_decay: float = number(0.9, low=0.0, below=1.0)

    @property
    def transports(self) -> bool:
        """Whether the weight of the transport term is not zero throughout."""
        return self.transport > 0 or (self.final_transport > 0 and self.transport_decay != "constant")


@dataclasses.dataclass(frozen=True)
class Ema:
    """The moving averages of the weights: the exponential one, from which samples are drawn, and others by width.

    ``sigma_rel`` are the widths of power-function averages (:mod:`ganrun.methods.power_average`), ``snapshots`` how
    often they are stored in a run of ``steps``.
    """

    decay: float = number(0.999, low=0.0, below=1.0)
    sigma_rel: tuple[float, ...] = number((), low=NARROWEST, high=WIDEST, most=4)
    snapshots: int = number(40, low=1, high=1000)


@dataclasses.dataclass(frozen=True)
class Log:
    """What is logged, and how often."""

    every: int = number(EVERY, low=1, high=MAX_STEPS)
    pictures: int = number(10, low=0, high=10_000)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """How much of a run's time evaluation may take: metrics of snapshots, pictures and the probe."""

    share: float = number(0.15, low=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """When the whole state is saved, besides the end of the run and when it is stopped."""

    seconds: float = number(30.0, above=0.0)
    steps: int = number(0, low=0)
    keep: int = number(2, low=1, high=10_000)
    best: str | None = None
    best_is: str | None = choice(None, ("lowest", "highest"))


@dataclasses.dataclass(frozen=True)
class Stop:
    """When a run ends before its last step (:mod:`ganrun.training.plateau`)."""

    when: str | None = None
    patience: int = number(10, low=1, high=10_000)
    times: int = number(40, low=1, high=100_000)
    tolerance: float = number(0.0, low=0.0)


@dataclasses.dataclass(frozen=True)
class Population:
    """How the runs of a sweep share programs.

    ``members`` is the maximum number of runs per program; 0: as many as improve throughput and fit in memory. ``jobs``
    is set by a sweep for a job of several runs: the directory and the overrides of each run, as a JSON list.
    """

    members: int = number(0, low=0, high=100_000)
    members_per_job: int = number(1, low=1, high=100_000)
    jobs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Devices:
    """How a run or a population uses several devices (:mod:`ganrun.training.mesh`)."""

    data: int | str = number(AUTO, low=1, high=1_000_000, word=AUTO)
    population: int | str = number(AUTO, low=1, high=1_000_000, word=AUTO)
    parameters: str = choice("replicated", PARAMETERS)


@dataclasses.dataclass(frozen=True)
class Hosts:
    """How this process finds the others of a run on several hosts (:mod:`ganrun.training.hosts`).

    ``index`` is the number of this one, the same command otherwise being run on all; ``timeout`` and ``heartbeat`` are
    in seconds.
    """

    count: int | str = number(1, low=1, high=100_000, word=AUTO)
    index: int | None = number(None, low=0, high=100_000)
    coordinator: str | None = None
    timeout: int = number(300, low=1, high=86_400)
    heartbeat: int = number(100, low=5, high=86_400)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The optimizer of each network."""

    generator: Any = None
    discriminator: Any = None


@dataclasses.dataclass(frozen=True)
class Train:
    """The whole configuration of one run."""

    seed: int = number(0, low=0, high=2**32 - 1)
    steps: int = number(16_000, low=1, high=MAX_STEPS)
    batch_size: int = number(512, low=1, high=2**24)
    steps_per_call: int = number(100, low=1, high=1_000_000)
    conditional: bool = False
    inference: str = choice("none", ("none", "bigan"))
    precision: str = choice("f32", PRECISIONS)
    deterministic: bool = False
    data_dir: str | None = None
    feed: str = choice("auto", FEEDS)
    resume: str | None = None
    init_from: str | None = None
    profile: str | None = None
    retry: int = number(0, low=0, high=1000)
    plugins: tuple[str, ...] = ()
    dataset: Any = None
    architecture: Any = None
    method: Any = None
    loss: Any = None
    penalty: tuple[Any, ...] = ()
    schedule: Any = None
    probe: Any = None
    metric: tuple[Any, ...] = ()
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    latent: Any = dataclasses.field(default_factory=Latent)
    inputs: Any = dataclasses.field(default_factory=Inputs)
    generator_update: Any = dataclasses.field(default_factory=GeneratorUpdate)
    ema: Ema = dataclasses.field(default_factory=Ema)
    log: Log = dataclasses.field(default_factory=Log)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    population: Population = dataclasses.field(default_factory=Population)
    mesh: Devices = dataclasses.field(default_factory=Devices)
    hosts: Hosts = dataclasses.field(default_factory=Hosts)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)
    stop: Stop = dataclasses.field(default_factory=Stop)

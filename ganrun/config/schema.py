"""The configuration schema of a run: every key with its type and range, checked before any work starts.

Hydra composes the YAML under ``conf/``; :func:`check` turns the result into a :class:`Train`, or raises
:class:`~ganrun.errors.ConfigError` with one line that names the key, the value given and the values allowed. The
options of a group (``dataset=ring``) have their own fields: see :mod:`ganrun.config.registry`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ganrun.config.folders import absolute
from ganrun.config.registry import choice, lookup, misplaced, number
from ganrun.config.values import checked, is_whole
from ganrun.errors import ConfigError, instead

Plain = typing.TypeVar("Plain")

EVERY, MAX_ROWS = 50, 20_000  # default number of steps between rows of metrics, and maximum number of rows by default
MAX_STEPS = 2**31 - 1  # steps of one run, which are counted with 32 bits

GROUPS = ("dataset", "architecture", "method", "loss", "schedule", "probe")  # groups of which one option is chosen
NAMED = ("penalty", "metric")  # groups of which any number of options is chosen, each with its settings by name
# Parts of a config that only some methods have (:class:`ganrun.methods.base.MethodOption`); null for the others.
SECTIONS = ("architecture", "loss", "penalty", "schedule", "inputs", "generator_update", "latent")
SECTIONS += ("optimizer.discriminator",)
AUTO = "auto"  # a number that ganrun chooses
PARAMETERS = ("replicated", "sharded")  # where the parameters of a run on several devices are (:mod:`ganrun.mesh`)
FEEDS = ("auto", "resident", "streamed")  # how training examples reach the device (:mod:`ganrun.datasets.feed`)
AUGMENTATIONS = ("colour", "translation", "cutout")  # of images (:mod:`ganrun.methods.gan.augmentation`)
DECAYS = ("constant", "cosine", "linear")  # how a setting goes to its final value (:mod:`ganrun.methods.annealing`)
PRECISIONS = ("f32", "bf16", "tf32")  # of the networks (:mod:`ganrun.methods.precision`)
# Widths of power-function averages, relative to the steps done; a uniform average has 1/sqrt(12), about 0.289.
NARROWEST, WIDEST = 0.005, 0.28
METRICS: dict[str, Any] = {"exact": {}, "modes": {}, "diversity": {}, "log_density": {}}  # the default of train.yaml


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

    ``index`` is the number of this one, the same command otherwise being run on all; ``timeout`` is in seconds.
    """

    count: int | str = number(1, low=1, high=100_000, word=AUTO)
    index: int | None = number(None, low=0, high=100_000)
    coordinator: str | None = None
    timeout: int = number(300, low=1, high=86_400)


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


class Parts:
    """The parts of configs that have been checked, so that each is checked once: most configs of a sweep share most."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Any] = {}

    def __call__(self, path: str, node: Any, build: Callable[[], Any]) -> Any:
        """Return ``build()``, or what it returned before for this ``path`` and equal plain data ``node``."""
        key = path, repr(node)  # tells 1 from 1.0 and from True, which are equal
        if key not in self._known:
            self._known[key] = build()
        return self._known[key]


def check(given: Mapping[str, Any], known: Parts | None = None) -> Train:
    """Return the configuration described by ``given`` (plain dicts and scalars).

    Args:
        given: the configuration.
        known: the parts of other configurations which are known to be valid; they are added to.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or is out of range.
    """
    known = known or Parts()
    # Runs older than these groups have none of them.
    given = {"probe": {"name": "off"}, "method": {"name": "gan"}, "metric": METRICS, **given}
    node = given.pop("method")
    method = known("method", node, partial(_option, "method", node, "method"))
    _refuse_sections(given, method)
    parts: dict[str, Any] = {"method": method}
    for name in GROUPS:
        if name == "method":
            continue
        node = given.pop(name, None)
        if name in SECTIONS and name not in method.SECTIONS:
            parts[name] = node
        else:
            parts[name] = known(name, node, partial(_option, name, node, name))
    for name in NAMED:
        node = given.pop(name, None) or {}
        parts[name] = known(name, node, partial(_by_name, name, node))
    node = given.pop("optimizer", None)
    parts["optimizer"] = known(f"optimizer of {method.name}", node, partial(_optimizers, node, method))
    for name, schema in PLAIN_SECTIONS.items():
        node = given.pop(name, {})
        if name in method.SECTIONS:
            parts[name] = known(name, node, partial(_section, schema, node, name))
        else:
            parts[name] = None
    given = _spaced(given)
    plain = _build(Train, given, "", tuple(parts), known)
    _require_precision(plain.precision, method)
    latent = parts["latent"]
    if latent is not None and latent.dim is None and not method.LATENT_DIM_OF_DATA:
        raise ConfigError(f"latent.dim must be a whole number with method={method.name}, not null.")
    # An empty data_dir, as from an empty environment variable, counts as not given and not as the working directory.
    plain = dataclasses.replace(plain, data_dir=str(absolute(plain.data_dir)) if plain.data_dir else None)
    return dataclasses.replace(plain, **parts)


def check_recorded(given: Mapping[str, Any]) -> Train:
    """Return the configuration that a run has recorded, as :func:`check`; newer settings are as they were then.

    Earlier versions recorded latents for every method, and the layers of a PixelCNN had no biases for each pixel.
    """
    given = dict(given)
    method = _option("method", given.get("method", {"name": "gan"}), "method")
    if "latent" not in method.SECTIONS:
        given["latent"] = None
    architecture = given.get("architecture")
    if isinstance(architecture, Mapping) and architecture.get("name") == "pixelcnn":
        given["architecture"] = {"pixel_biases": False, **architecture}
    return check(given)


PLAIN_SECTIONS = {
    "inputs": Inputs,
    "generator_update": GeneratorUpdate,
    "latent": Latent,
}  # sections that are no groups


def _refuse_sections(given: Mapping[str, Any], method: Any) -> None:
    """Raise :class:`ConfigError` if ``given`` has a part that ``method`` does not have."""
    for section in SECTIONS:
        node: Any = given
        for part in section.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if node and section not in method.SECTIONS:
            raise ConfigError(f"{not_a_part(section, method.name)}, or set {section}=null.")


def _require_precision(precision: str, method: Any) -> None:
    """Raise :class:`ConfigError` if the networks of ``method`` cannot compute in ``precision``."""
    if precision not in method.PRECISIONS:
        able = ", ".join(method.PRECISIONS)
        raise ConfigError(f"precision={precision} cannot be combined with method={method.name}, which has {able}.")


def not_a_part(section: str, method: str) -> str:
    """Return the message for ``section``, a part of a config that the method named ``method`` does not have."""
    return f"{section} is not a part of method={method}: leave it out"


def _optimizers(node: Any, method: Any) -> Optimizer:
    """Return the optimizer of each network; None for a network that ``method`` does not have."""
    given = _mapping(node, "optimizer")
    unknown = set(given) - {"generator", "discriminator"}
    if unknown:
        _refuse_key("optimizer", min(map(str, unknown)), ("generator", "discriminator"))
    networks = [
        name for name in ("generator", "discriminator") if name == "generator" or name_of(name) in method.SECTIONS
    ]
    return Optimizer(**{name: _option("optimizer", given.get(name), name_of(name)) for name in networks})


def name_of(network: str) -> str:
    """Return the key of the optimizer of ``network``."""
    return f"optimizer.{network}"


def _spaced(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with a value for ``log.every`` if it is null, such that a long run has at most MAX_ROWS rows."""
    log, steps = given.get("log"), given.get("steps", Train.steps)
    if not isinstance(log, Mapping) or log.get("every", EVERY) is not None:
        return dict(given)
    # Steps that are not a whole number, or too many, are refused later, by their own key.
    count = min(int(steps), MAX_STEPS) if is_whole(steps) else 1
    times = max(1, math.ceil(count / (EVERY * MAX_ROWS)))
    return {**given, "log": {**log, "every": EVERY * times}}


def check_plain(schema: type[Plain], given: Mapping[str, Any]) -> Plain:
    """Return ``given`` as ``schema``, a dataclass without groups; raise :class:`ConfigError` if it is invalid."""
    return _build(schema, given, "")


def to_dict(config: Train) -> dict[str, Any]:
    """Return ``config`` as plain dicts, lists and scalars: the content of config.yaml, the inverse of :func:`check`."""
    plain = _plain(config)
    for group in NAMED:
        plain[group] = {option.pop("name"): option for option in map(_plain, getattr(config, group))}
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _option(group: str, node: Any, path: str) -> Any:
    """Return the option ``node['name']`` with the other keys as its fields."""
    node = _mapping(node, path)
    if "name" not in node:
        raise ConfigError(f"{path}.name is missing: choose one with {group}=NAME.")
    schema, name = lookup(group, str(node["name"])), str(node["name"])
    stray = next((str(key) for key in node if key not in schema.__dataclass_fields__), None)
    if stray is not None and (line := misplaced(group, name, f"{path}.{stray}")):
        raise ConfigError(line)
    return _build(schema, node, path)


def _by_name(group: str, node: Any) -> tuple[Any, ...]:
    """Return the options of ``node``, a mapping from names of options of ``group`` to settings, sorted by name."""
    given = _mapping(node, group)
    named = {
        str(name): _mapping({} if settings is None else settings, f"{group}.{name}") for name, settings in given.items()
    }
    return tuple(_option(group, {**named[name], "name": name}, f"{group}.{name}") for name in sorted(named))


def _mapping(node: Any, path: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise ConfigError(f"{path} must be a group of settings, not {node!r}.")
    return dict(node)


def _section(schema: type, node: Any, path: str) -> Any:
    return _build(schema, _mapping(node, path), path)


def _build(
    schema: type, node: Mapping[str, Any], path: str, skip: tuple[str, ...] = (), known: Parts | None = None
) -> Any:
    fields = {field.name: field for field in dataclasses.fields(schema) if field.name not in skip}
    kinds = _kinds(schema)
    values = {}
    for key, value in node.items():
        if key not in fields:
            _refuse_key(path, str(key), fields)
        where = f"{path}.{key}" if path else str(key)
        kind = kinds[key]
        if dataclasses.is_dataclass(kind):
            build = partial(_section, typing.cast(type, kind), value, where)
            values[key] = known(where, value, build) if known else build()
        else:
            values[key] = checked(kind, value, where, fields[key].metadata)
    return schema(**values)


@functools.cache
def _kinds(schema: type) -> dict[str, Any]:
    return typing.get_type_hints(schema)


def _refuse_key(path: str, key: str, allowed: Any) -> None:
    where = f"{path}.{key}" if path else key
    names = instead(key, sorted(allowed), f"{path} has" if path else "The configuration has")
    raise ConfigError(f"{where} is not a setting.{names}")

"""What a run may say: every key with its type and range, checked before any work starts.

Hydra composes the YAML under ``conf/``; :func:`check` turns the result into a :class:`Train`, or raises
:class:`~ganrun.errors.ConfigError` with one line that names the key, what was given and what is allowed. The options
of a group (``dataset=ring``) bring their own fields: see :mod:`ganrun.registry`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.metrics.spec import better
from ganrun.registry import choice, lookup, misplaced, number
from ganrun.values import checked, is_whole

Plain = typing.TypeVar("Plain")

EVERY, MOST_ROWS = 50, 20_000  # steps between rows of metrics where nothing is said, and rows then at most
MOST_STEPS = 2**31 - 1  # of one run: they are counted with 32 bits

GROUPS = ("dataset", "architecture", "loss", "schedule", "probe")


@dataclasses.dataclass(frozen=True)
class Latent:
    """The noise prior p(z)."""

    dim: int = number(2, low=1, high=100_000)
    prior: str = choice("normal", ("normal", "uniform"))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What reaches the discriminator, and its loss, beside the bare examples and samples."""

    noise: float = number(0.0, low=0.0)
    final_noise: float = number(0.0, low=0.0)
    label_flipping: float = number(0.0, low=0.0, below=1.0)
    packing: int = number(1, low=1, high=1024)


@dataclasses.dataclass(frozen=True)
class GeneratorUpdate:
    """How the generator's gradient is taken."""

    unrolled: int = number(0, low=0, high=1000)
    top_k: float = number(1.0, above=0.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class Ema:
    """The moving average of the generator's weights that samples are drawn with."""

    decay: float = number(0.999, low=0.0, below=1.0)


@dataclasses.dataclass(frozen=True)
class Log:
    """What is written down, and how often."""

    every: int = number(EVERY, low=1, high=MOST_STEPS)
    pictures: int = number(10, low=0, high=10_000)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """When the whole state is saved (it always is at the end, and when the run is stopped)."""

    seconds: float = number(30.0, above=0.0)
    steps: int = number(0, low=0)
    keep: int = number(2, low=1, high=10_000)
    best: str | None = None
    best_is: str | None = choice(None, ("lowest", "highest"))

    def rating(self, value: float) -> float:
        """Return what a ``value`` of the metric ``best`` is worth: the lower, the better."""
        highest = self.best_is == "highest" or (self.best_is is None and better(self.best or "") == "higher")
        return -value if highest else value


@dataclasses.dataclass(frozen=True)
class Population:
    """How a sweep's runs share programs; 0 lanes: as many as do some good and fit the memory.

    ``jobs`` is what a sweep's job of several runs is told about them: the overrides of each, as a JSON list.
    """

    lanes: int = number(0, low=0, high=100_000)
    lanes_per_job: int = number(1, low=1, high=100_000)
    jobs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One descent rule per player."""

    generator: Any = None
    discriminator: Any = None


@dataclasses.dataclass(frozen=True)
class Train:
    """The whole configuration of one run."""

    seed: int = number(0, low=0, high=2**32 - 1)
    steps: int = number(16_000, low=1, high=MOST_STEPS)
    batch_size: int = number(512, low=1, high=2**24)
    steps_per_call: int = number(100, low=1, high=1_000_000)
    conditional: bool = False
    inference: str = choice("none", ("none", "bigan"))
    data_dir: str | None = None
    resume: str | None = None
    dataset: Any = None
    architecture: Any = None
    loss: Any = None
    penalty: tuple[Any, ...] = ()
    schedule: Any = None
    probe: Any = None
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    latent: Latent = dataclasses.field(default_factory=Latent)
    inputs: Inputs = dataclasses.field(default_factory=Inputs)
    generator_update: GeneratorUpdate = dataclasses.field(default_factory=GeneratorUpdate)
    ema: Ema = dataclasses.field(default_factory=Ema)
    log: Log = dataclasses.field(default_factory=Log)
    population: Population = dataclasses.field(default_factory=Population)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)


def check(given: Mapping[str, Any]) -> Train:
    """Return the configuration that ``given`` (plain dicts and scalars) describes; raise :class:`ConfigError`."""
    given = {"probe": {"name": "off"}, **given}  # a run from before there were probes has none
    groups = {name: _option(name, given.pop(name, None), name) for name in GROUPS}
    penalties = _penalties(given.pop("penalty", None) or {})
    sides = _mapping(given.pop("optimizer", None), "optimizer")
    unknown = set(sides) - {"generator", "discriminator"}
    if unknown:
        _refuse_key("optimizer", min(map(str, unknown)), ("generator", "discriminator"))
    optimizer = Optimizer(
        **{
            player: _option("optimizer", sides.get(player), f"optimizer.{player}")
            for player in ("generator", "discriminator")
        }
    )
    given = _spaced(given)
    plain = _build(Train, given, "", skip=(*GROUPS, "optimizer", "penalty"))
    # Not given, or empty as an exported variable may be: that is not the working directory.
    plain = dataclasses.replace(plain, data_dir=str(_folder(plain.data_dir)) if plain.data_dir else None)
    return dataclasses.replace(plain, optimizer=optimizer, penalty=penalties, **groups)


def _spaced(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with ``log.every`` chosen, where it is null, so that a long run can still be looked at."""
    log, steps = given.get("log"), given.get("steps", Train.steps)
    if not isinstance(log, Mapping) or log.get("every", EVERY) is not None:
        return dict(given)
    # Steps that are no whole number, or too many, are refused by their own name.
    count = min(int(steps), MOST_STEPS) if is_whole(steps) else 1
    times = max(1, math.ceil(count / (EVERY * MOST_ROWS)))
    return {**given, "log": {**log, "every": EVERY * times}}


def check_plain(schema: type[Plain], given: Mapping[str, Any]) -> Plain:
    """Return the ``schema`` (a dataclass without groups) that ``given`` describes; raise :class:`ConfigError`."""
    return _build(schema, given, "")


def to_dict(config: Train) -> dict[str, Any]:
    """Return ``config`` as plain dicts, lists and scalars: what config.yaml holds and :func:`check` takes back."""
    plain = _plain(config)
    plain["penalty"] = {one.pop("name"): one for one in map(_plain, config.penalty)}
    return plain


def data_folder(config: Train) -> Path:
    """Return the folder that holds one folder per dataset: ``data_dir``, ``$GANRUN_DATA``, or a cache folder."""
    chosen = config.data_dir or os.environ.get("GANRUN_DATA")
    return _folder(chosen) if chosen else cache_folder() / "data"


def cache_folder() -> Path:
    """Return the folder for compiled programs and downloads: ``$GANRUN_CACHE``, else ``~/.cache/ganrun``.

    ``GANRUN_CACHE=off`` means no cache of programs, and is no folder. Who has no home has one in the system's
    temporary folder.

    Raises:
        ConfigError: ``$GANRUN_CACHE`` begins with the home of nobody.
    """
    chosen = os.environ.get("GANRUN_CACHE")
    if chosen and not cache_is_off():
        return home_of(chosen).resolve()
    if not has_home():
        return Path(tempfile.gettempdir()) / f"ganrun-{os.getuid()}"
    return (Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "ganrun").expanduser().resolve()


def cache_is_off() -> bool:
    """Return whether ``GANRUN_CACHE=off`` asks to compile every program again."""
    return os.environ.get("GANRUN_CACHE", "").lower() == "off"


def has_home() -> bool:
    """Return whether there is a folder of the user's own for caches: not without ``$HOME`` and an entry in passwd."""
    try:
        return bool(os.environ.get("XDG_CACHE_HOME") or Path.home())
    except RuntimeError:
        return False


def home_of(name: str) -> Path:
    """Return the path ``name`` with ``~`` as the home folder that it stands for; raise :class:`ConfigError` if none."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"there is nobody called {Path(name).parts[0]} here.") from error


def _folder(name: str) -> Path:
    if any("\ud800" <= one <= "\udfff" for one in name):
        raise ConfigError(f"data_dir: '{shown(name)}' is no UTF-8, so no config can hold it: rename the folder.")
    try:
        folder = home_of(name).resolve()
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"data_dir: {folder} is a file, and no folder.")
        return folder
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"data_dir: '{shown(name)}' cannot be a folder: {reason}.") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _option(group: str, node: Any, path: str) -> Any:
    """Build the option that ``node['name']`` chooses, with the other keys as its fields."""
    node = _mapping(node, path)
    if "name" not in node:
        raise ConfigError(f"{path}.name is missing: choose one with {group}=NAME.")
    schema, name = lookup(group, str(node["name"])), str(node["name"])
    stray = next((str(key) for key in node if key not in schema.__dataclass_fields__), None)
    if stray is not None and (line := misplaced(group, name, f"{path}.{stray}")):
        raise ConfigError(line)
    return _build(schema, node, path)


def _penalties(node: Any) -> tuple[Any, ...]:
    """Build the penalties of a mapping from names to settings, in the order of their names."""
    given = _mapping(node, "penalty")
    named = {str(name): _mapping({} if own is None else own, f"penalty.{name}") for name, own in given.items()}
    return tuple(_option("penalty", {**named[name], "name": name}, f"penalty.{name}") for name in sorted(named))


def _mapping(node: Any, path: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise ConfigError(f"{path} must be a group of settings, not {node!r}.")
    return dict(node)


def _build(schema: type, node: Mapping[str, Any], path: str, skip: tuple[str, ...] = ()) -> Any:
    fields = {field.name: field for field in dataclasses.fields(schema) if field.name not in skip}
    kinds = typing.get_type_hints(schema)
    values = {}
    for key, value in node.items():
        if key not in fields:
            _refuse_key(path, str(key), fields)
        where = f"{path}.{key}" if path else str(key)
        kind = kinds[key]
        if dataclasses.is_dataclass(kind):
            values[key] = _build(typing.cast(type, kind), _mapping(value, where), where)
        else:
            values[key] = checked(kind, value, where, fields[key].metadata)
    return schema(**values)


def _refuse_key(path: str, key: str, allowed: Any) -> None:
    where = f"{path}.{key}" if path else key
    home = path or "the configuration"
    raise ConfigError(f"{where} is not a setting: {home} has {', '.join(sorted(allowed))}.{did_you_mean(key, allowed)}")

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
from ganrun.config.registry import lookup, misplaced
from ganrun.config.settings import EVERY, MAX_STEPS, GeneratorUpdate, Inputs, Latent, Optimizer, Train
from ganrun.config.values import checked, is_whole
from ganrun.errors import ConfigError, instead

Plain = typing.TypeVar("Plain")

MAX_ROWS = 20_000  # maximum number of rows of metrics by default

GROUPS = ("dataset", "architecture", "method", "loss", "schedule", "probe")  # groups of which one option is chosen
NAMED = ("penalty", "metric")  # groups of which any number of options is chosen, each with its settings by name
# Parts of a config that only some methods have (:class:`~ganrun.methods.method_option.MethodOption`); null for others.
SECTIONS = ("architecture", "loss", "penalty", "schedule", "inputs", "generator_update", "latent")
SECTIONS += ("optimizer.discriminator",)
METRICS: dict[str, Any] = {"exact": {}, "modes": {}, "diversity": {}, "log_density": {}}  # the default of train.yaml


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

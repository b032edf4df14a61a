"""``ganrun jsd A B``: how far two distributions are apart, from samples of both."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from typing import TYPE_CHECKING, Any

from ganrun.arguments import Arguments
from ganrun.config import check_plain
from ganrun.errors import ConfigError, tell
from ganrun.hydra_app import hand_over, preflight, quoted, with_paths
from ganrun.registry import choice, number

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.divergence.estimate import Estimate
    from ganrun.divergence.side import Side

USAGE = "usage: ganrun jsd A B [KEY=VALUE ...] (`ganrun jsd --help` says what A and B may be)."
METHODS = ("auto", "stack", "streaming", "knn", "exact")
DRAWN = 10_000  # samples of an endless side where the method wants a finite set
EXACT_FEWEST = 1000  # samples for which an exact value can state its error
SEEN = "what the classifiers see, which is less than the divergence on average"
SAMPLING = "± is the standard error of sampling alone"
MEANINGS = {
    "stack": f"{SEEN}; {SAMPLING}, not of what they miss",
    "streaming": f"{SEEN}; {SAMPLING}, not of what they miss",
    "knn": f"from nearest neighbours, neither an upper nor a lower bound; {SAMPLING}, not of the bias",
    "exact": "the divergence itself; ± is how far it may be off",
}
BOUND = "the divergence is at least this, with probability 0.95"
BOUNDS = {"exact": "the divergence is at least this, as far as the error is known"}
NO_BOUND = "none: this method bounds the divergence on neither side"
WEAK = 32  # numbers in one example from which on the stack is known to find too little
NEAR = 0.03  # nats from log 2 at which the estimate itself says little


@dataclasses.dataclass(frozen=True)
class Jsd:
    """What ``ganrun jsd`` may be told."""

    a: str | None = None
    b: str | None = None
    method: str = choice("auto", METHODS)
    key: str | None = None
    key_b: str | None = None
    range: tuple[float, ...] | None = None
    range_b: tuple[float, ...] | None = None
    n: int | None = number(None, low=100, high=100_000_000)
    seed: int = number(0, low=0, high=2**32 - 1)
    budget: float = number(1.0, above=0.0, high=1000.0)
    floor: bool = True
    format: str = choice("text", ("text", "json"))
    average: bool = True
    data_dir: str | None = None


def main(words: list[str]) -> int:
    """Run ``ganrun jsd`` with ``words`` and return the exit code."""
    arguments = Arguments(words)
    if arguments.options.shell_completion:
        return hand_over("jsd", "jsd", arguments, _job)
    arguments = name_sides(arguments)
    options = arguments.options
    name = options.config_name or "jsd"
    composed = None if arguments.only_shows else preflight(name, arguments, _inspect)
    if not options.multirun or arguments.value("hydra.sweep.dir"):
        return hand_over("jsd", name, arguments, _job, composed=composed)
    with tempfile.TemporaryDirectory(prefix="ganrun-jsd-") as folder:  # a sweep of Hydra's always writes a file
        arguments = arguments.replaced([*arguments.overrides, f"hydra.sweep.dir={quoted(folder)}"])
        return hand_over("jsd", name, arguments, _job)


def name_sides(arguments: Arguments) -> Arguments:
    """Turn the words that are paths or names into ``a=`` and ``b=``, which is how Hydra wants them.

    A word with a ``=`` is a setting, unless it is the path of something and begins with no setting's name, such as the
    directory of a sweep's run: ``3-seed=1``.

    Raises:
        ConfigError: there are more than two of them.
    """
    given = [word for word in arguments.overrides if _is_path(word)]
    settings = [word for word in arguments.overrides if not _is_path(word)]
    free = [name for name in ("a", "b") if arguments.value(name) is None]
    if len(given) > len(free):
        raise ConfigError(f"jsd compares two sides, but there are {len(given) + 2 - len(free)}. {USAGE}")
    named = [f"{name}={quoted(text)}" for name, text in zip(free, given, strict=False)]
    return with_paths(arguments.replaced([*settings, *named]), ("a", "b", "data_dir"))


def _is_path(word: str) -> bool:
    key, equals, _ = word.partition("=")
    key = key.lstrip("+~")
    known = {field.name for field in dataclasses.fields(Jsd)}
    is_setting = key in known or key.partition(".")[0] == "hydra"
    return not equals or (not is_setting and os.path.exists(os.path.expanduser(word)))  # noqa: PTH110, PTH111 (no raise)


def _inspect(node: dict[str, Any]) -> Jsd:
    """Check what can be checked before anything is loaded or drawn."""
    from ganrun.divergence.sides import require_side

    asked = check_plain(Jsd, node)
    if asked.a is None or asked.b is None:
        missing = "A and B are missing" if asked.a is None and asked.b is None else "one side is missing"
        raise ConfigError(f"jsd compares two sides: {missing}. {USAGE}")
    archives = [text.lower().endswith(".npz") for text in (asked.a, asked.b)]
    if asked.key is not None and not any(archives):
        raise ConfigError(f"key={asked.key} names an array of an .npz file, but neither A nor B is one.")
    if asked.key_b is not None and not archives[1]:
        raise ConfigError(f"key_b={asked.key_b} names an array of an .npz file, but B is none.")
    _require_ranges(asked)
    require_side(asked.a, key=asked.key)
    require_side(asked.b, key=asked.key_b or asked.key)
    return asked


def _require_ranges(asked: Jsd) -> None:
    """Refuse a range of pixels that is none, or that no file is there for."""
    from ganrun.divergence.array_files import SUFFIXES
    from ganrun.divergence.pixel_range import require_range

    files = [str(text).lower().endswith(SUFFIXES) for text in (asked.a, asked.b)]
    for name, given, used in (("range", asked.range, any(files)), ("range_b", asked.range_b, files[1])):
        if require_range(given, name) is not None and not used:
            one = "neither A nor B is one" if name == "range" else "B is none"
            raise ConfigError(f"{name} is that of the pixels in an .npy or .npz file, but {one}.")


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun import device

    try:
        device.prepare()
        asked = check_plain(Jsd, OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _compare(asked)
    except Exception as error:
        return tell(error)
    return 0


def _compare(asked: Jsd) -> None:
    from ganrun.divergence import pairs, sides
    from ganrun.divergence.memorised import memorised
    from ganrun.divergence.pairs import without_constants
    from ganrun.divergence.pixel_range import require_range

    span = require_range(asked.range, "range")
    span_b = require_range(asked.range_b, "range_b") or span
    more: dict[str, Any] = {"data_dir": asked.data_dir, "average": asked.average}
    a = sides.open_side(str(asked.a), key=asked.key, span=span, **more)
    b = sides.open_side(str(asked.b), key=asked.key_b or asked.key, span=span_b, **more)
    sides.require_ranges(a, b)
    method = resolve(asked.method, a, b)
    n = _samples(asked.n, method, a, b)
    # Different seeds: A and B may draw from the same noise, and would then not be independent.
    seen_a, seen_b = sides.glimpse(a, asked.seed), sides.glimpse(b, asked.seed + 1)
    warnings = list(pairs.check_pair(seen_a, seen_b))
    warnings += [told for told in (memorised(side, asked.seed) for side in (a, b)) if told]
    if seen_a.rows is not None and seen_b.rows is not None:
        a, b, dropped = without_constants(a, b, seen_a.rows, seen_b.rows)
        warnings += dropped
    from rich.console import Console

    from ganrun.divergence import methods  # heavy, and for nothing where the sides are refused

    work: dict[str, Any] = {"n": n, "seed": asked.seed, "budget": asked.budget}
    with Console(stderr=True).status(f"{method}: A against B"):
        found = methods.estimate(a, b, method, **work)
    floor = None
    if asked.floor:
        with Console(stderr=True).status(f"{method}: A against itself, for the floor"):
            floor = methods.floor(b if method == "exact" and a.density is None else a, method, **work)
    warnings = list(dict.fromkeys([*warnings, *found.warnings, *_weaknesses(found)]))
    _print(_as_json(found, floor, warnings) if asked.format == "json" else _as_text(a, b, found, floor, warnings))


def resolve(method: str, a: Side, b: Side) -> str:
    """Return the method that ``method`` means for these sides; raise :class:`ConfigError` where it cannot be used."""
    finite = [(name, side) for name, side in (("A", a), ("B", b)) if side.draw is None]
    if method == "auto":
        return "stack" if finite else "streaming"
    if method == "streaming" and finite:
        told = " and ".join(f"{name} ({side.label})" for name, side in finite)
        kind = "are finite sets" if len(finite) > 1 else "is a finite set"
        raise ConfigError(f"method=streaming needs samples without end, but {told} {kind}: use stack or knn.")
    if method == "exact":
        _require_exact(a, b)
    return method


def _require_exact(a: Side, b: Side) -> None:
    told = f"method=exact is not possible with A ({a.label}) and B ({b.label}): "
    if a.density is None and b.density is None:
        raise ConfigError(f"{told}neither has a known density (as ring, grid, gaussian and mixture1d have).")
    for name, side in (("A", a), ("B", b)):
        if side.density is None and side.push is None and side.draw is None:
            raise ConfigError(f"{told}{name} is a finite set; it takes a run or another known density.")
    if max(a.d, b.d) > 2:
        raise ConfigError(f"{told}it integrates in 1 or 2 dimensions, not in {max(a.d, b.d)}.")


def _samples(n: int | None, method: str, a: Side, b: Side) -> int | None:
    """Return how many samples a side are used: what was asked for, else by default of an endless side (None: all)."""
    sizes = {f"{name} ({side.label})": len(side.rows) for name, side in (("A", a), ("B", b)) if side.rows is not None}
    for name, size in sizes.items():
        if n is not None and n > size:
            raise ConfigError(f"n={n} is more than the {size} samples of {name}.")
    if n is not None and method == "exact" and n < EXACT_FEWEST:
        raise ConfigError(f"n={n} is too few for method=exact, which counts samples in cells: {EXACT_FEWEST} at least.")
    if n is None and method in ("stack", "knn") and len(sizes) < 2:
        return min([DRAWN, *sizes.values()])
    return n


def _weaknesses(found: Estimate) -> list[str]:
    """Where the method is known to be weak (measured: SCIENCE, section B)."""
    from ganrun.divergence.estimate import LOG_2

    told = []
    if found.method == "stack" and found.d >= WEAK:
        told.append(f"weak: from {WEAK} dimensions on (here {found.d}) the stack finds less than there is.")
    if found.method != "exact" and found.lower is not None and found.estimate >= LOG_2 - NEAR:
        told.append("near log 2: read `lower`, the estimate itself says little there.")
    return told


def _as_json(found: Estimate, floor: float | None, warnings: list[str]) -> str:
    numbers = {"estimate": found.estimate, "se": found.se, "lower": found.lower}
    content = {name: _finite(value) for name, value in numbers.items()} | {
        "method": found.method,
        "n": int(found.n),
        "d": int(found.d),
        "floor": _finite(floor),
        "seconds": _finite(found.seconds),
        "warnings": warnings,
    }
    return json.dumps(content, allow_nan=False)


def _finite(value: float | None) -> float | None:
    """Return ``value`` as JSON can say it: null where it is no finite number."""
    return float(value) if value is not None and math.isfinite(value) else None


def _as_text(a: Side, b: Side, found: Estimate, floor: float | None, warnings: list[str]) -> str:
    from ganrun.divergence.estimate import LOG_2

    error = 2 * found.se if found.method == "exact" else found.se  # as training logs it: jsd/exact_error, jsd/probe_se
    rows = [
        ("A", f"{a.label}: {a.about}"),
        ("B", f"{b.label}: {b.about}"),
        ("estimate", f"{found.estimate:.4f} ± {error:.4f} nats (log 2 = {LOG_2:.4f})"),
        ("meaning", MEANINGS[found.method]),
        ("lower", NO_BOUND if found.lower is None else f"{found.lower:.4f}: {BOUNDS.get(found.method, BOUND)}"),
        ("floor", "not asked for" if floor is None else f"{floor:.4f}: A against itself"),
        ("method", found.method),
        ("n", f"{found.n} samples a side of {found.d} numbers" if found.n else "no samples: densities are integrated"),
        ("seconds", f"{found.seconds:.1f}"),
    ]
    lines = [f"{name:10} {value}" for name, value in rows] + [f"warning: {told}" for told in warnings]
    return "\n".join(lines)


def _print(text: str) -> None:
    from ganrun.writers.console import Terminal

    # Only its patience with a reader that leaves is wanted: what a path contains is no markup.
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    terminal.print(text.encode(terminal.encoding, "backslashreplace").decode(terminal.encoding))

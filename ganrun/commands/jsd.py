"""``ganrun jsd A B``: estimates the Jensen-Shannon divergence between two distributions from samples of both."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ganrun.commands.chosen_average import require_one
from ganrun.commands.jsd_format import as_json, as_text, weaknesses
from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import hand_over, preflight, quoted, with_paths
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.config.settings import NARROWEST, WIDEST
from ganrun.errors import ConfigError, tell

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.evaluation.divergence.distribution import Distribution

USAGE = "usage: ganrun jsd A B [KEY=VALUE ...] (`ganrun jsd --help` says what A and B may be)."
ESTIMATORS = ("auto", "stack", "streaming", "knn", "exact")
DRAWN = 10_000  # samples drawn from a generator or a density if the estimator needs a finite set
EXACT_FEWEST = 1000  # minimum number of samples for which the exact estimator can state its error


@dataclasses.dataclass(frozen=True)
class Jsd:
    """The settings of ``ganrun jsd``."""

    a: str | None = None
    b: str | None = None
    estimator: str = choice("auto", ESTIMATORS)
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
    sigma_rel: float | None = number(None, low=NARROWEST, high=WIDEST)
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()


def main(words: list[str]) -> int:
    """Run ``ganrun jsd`` with ``words`` and return the exit code."""
    arguments = CliArguments(words)
    if arguments.options.shell_completion:
        return hand_over("jsd", "jsd", arguments, _job)
    arguments = name_distributions(arguments)
    options = arguments.options
    name = options.config_name or "jsd"
    composed = None if arguments.only_shows else preflight(name, arguments, _inspect)
    if not options.multirun or arguments.value("hydra.sweep.dir"):
        return hand_over("jsd", name, arguments, _job, composed=composed)
    with tempfile.TemporaryDirectory(prefix="ganrun-jsd-") as folder:  # Hydra always writes a file for a sweep
        arguments = arguments.replaced([*arguments.overrides, f"hydra.sweep.dir={quoted(folder)}"])
        return hand_over("jsd", name, arguments, _job)


def name_distributions(arguments: CliArguments) -> CliArguments:
    """Turn the words that are paths or names into ``a=`` and ``b=``, as Hydra requires.

    A word with a ``=`` is a setting, unless it is an existing path and does not begin with the name of a setting, such
    as the directory of a sweep's run, ``3-seed=1``.

    Raises:
        ConfigError: there are more than two of them.
    """
    given, settings = arguments.names_apart(field.name for field in dataclasses.fields(Jsd))
    free = [name for name in ("a", "b") if arguments.value(name) is None]
    if len(given) > len(free):
        raise ConfigError(f"jsd compares two distributions, but there are {len(given) + 2 - len(free)}. {USAGE}")
    named = [f"{name}={quoted(text)}" for name, text in zip(free, given, strict=False)]
    return with_paths(arguments.replaced([*settings, *named]), ("a", "b", "data_dir"))


def _inspect(node: dict[str, Any]) -> Jsd:
    """Check the settings, as far as possible before anything is loaded or drawn."""
    from ganrun.evaluation.divergence.open_distribution import is_run, require_distribution

    request = check_plain(Jsd, node)
    if request.a is None or request.b is None:
        missing = "A and B are missing" if request.a is None and request.b is None else "one of them is missing"
        raise ConfigError(f"jsd compares two distributions: {missing}. {USAGE}")
    archives = [text.lower().endswith(".npz") for text in (request.a, request.b)]
    if request.key is not None and not any(archives):
        raise ConfigError(f"key={request.key} names an array of an .npz file, but neither A nor B is one.")
    if request.key_b is not None and not archives[1]:
        raise ConfigError(f"key_b={request.key_b} names an array of an .npz file, but B is none.")
    require_one(request)
    if request.sigma_rel is not None and not any(is_run(text) for text in (request.a, request.b)):
        raise ConfigError(f"sigma_rel={request.sigma_rel:g} belongs to runs, but neither A nor B is one.")
    _require_ranges(request)
    require_distribution(request.a, key=request.key)
    require_distribution(request.b, key=request.key_b or request.key)
    return request


def _require_ranges(request: Jsd) -> None:
    """Refuse a pixel range that is invalid, or that applies to no file."""
    from ganrun.evaluation.divergence.pixel_range import require_range
    from ganrun.storage.array_files import SUFFIXES

    files = [str(text).lower().endswith(SUFFIXES) for text in (request.a, request.b)]
    for name, given, used in (("range", request.range, any(files)), ("range_b", request.range_b, files[1])):
        if require_range(given, name) is not None and not used:
            reason = "neither A nor B is one" if name == "range" else "B is none"
            raise ConfigError(f"{name} is that of the pixels in an .npy or .npz file, but {reason}.")


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun.training import device

    try:
        device.prepare()
        request = check_plain(Jsd, OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _compare(request)
    except Exception as error:
        return tell(error)
    return 0


def _compare(request: Jsd) -> None:
    with _progress() as show:
        text = _estimated(request, show)
    _print(text)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None] | None]:
    """Return a context with a function that shows what is done, beside a spinner on the terminal; None elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield None
        return
    with console.status("opening A and B") as status:
        yield lambda text: status.update(Text(text))  # a name must not be read as markup


def _estimated(request: Jsd, show: Callable[[str], None] | None) -> str:
    """Return the estimate as text, in the format that ``request`` chooses."""
    from ganrun.evaluation.divergence import pairs
    from ganrun.evaluation.divergence.memorisation import memorised
    from ganrun.evaluation.divergence.open_distribution import glimpse, open_distribution, require_ranges
    from ganrun.evaluation.divergence.pairs import without_constants
    from ganrun.evaluation.divergence.pixel_range import require_range

    span = require_range(request.range, "range")
    span_b = require_range(request.range_b, "range_b") or span
    more: dict[str, Any] = {"data_dir": request.data_dir, "average": request.average, "sigma_rel": request.sigma_rel}
    a = open_distribution(str(request.a), key=request.key, span=span, **more)
    b = open_distribution(str(request.b), key=request.key_b or request.key, span=span_b, **more)
    require_ranges(a, b)
    estimator = resolve(request.estimator, a, b)
    n = _samples(request.n, estimator, a, b)
    # With the same seed, A and B could be drawn from the same noise and would not be independent.
    sample_a, sample_b = glimpse(a, request.seed), glimpse(b, request.seed + 1)
    warnings = list(pairs.check_pair(sample_a, sample_b))
    warnings += [message for message in (memorised(distribution, request.seed) for distribution in (a, b)) if message]
    if sample_a.rows is not None and sample_b.rows is not None:
        a, b, dropped = without_constants(a, b, sample_a.rows, sample_b.rows)
        warnings += dropped
    begins = f"estimating the divergence of {a.label} and {b.label} (estimator={estimator})"
    if show is None and request.format == "text":
        print(f"ganrun: {begins}{', then the floor' if request.floor else ''}", file=sys.stderr, flush=True)
    show = show or (lambda text: None)
    show(begins)
    from ganrun.evaluation.divergence import estimators  # slow to import, and not needed if A or B is refused

    work: dict[str, Any] = {"n": n, "seed": request.seed, "budget": request.budget}
    result = estimators.estimate(a, b, estimator, **work)
    floor = None
    if request.floor:
        show(f"estimating the floor, A against itself (estimator={estimator})")
        floor = estimators.floor(b if estimator == "exact" and a.density is None else a, estimator, **work)
    warnings = list(dict.fromkeys([*warnings, *result.warnings, *weaknesses(result)]))
    return as_json(result, floor, warnings) if request.format == "json" else as_text(a, b, result, floor, warnings)


def resolve(estimator: str, a: Distribution, b: Distribution) -> str:
    """Return the estimator to use for ``a`` and ``b``; raise :class:`ConfigError` if it does not apply to them."""
    finite = [(name, distribution) for name, distribution in (("A", a), ("B", b)) if distribution.draw is None]
    if estimator == "auto":
        return "stack" if finite else "streaming"
    if estimator == "streaming" and finite:
        listed = " and ".join(f"{name} ({distribution.label})" for name, distribution in finite)
        kind = "are finite sets" if len(finite) > 1 else "is a finite set"
        raise ConfigError(f"estimator=streaming needs unlimited samples, but {listed} {kind}: use stack or knn.")
    if estimator == "exact":
        _require_exact(a, b)
    return estimator


def _require_exact(a: Distribution, b: Distribution) -> None:
    prefix = f"estimator=exact is not possible with A ({a.label}) and B ({b.label}): "
    if a.density is None and b.density is None:
        raise ConfigError(f"{prefix}neither has a known density (as ring, grid, gaussian and mixture1d have).")
    for name, distribution in (("A", a), ("B", b)):
        if distribution.density is None and distribution.push is None and distribution.draw is None:
            raise ConfigError(f"{prefix}{name} is a finite set; it takes a run or another known density.")
    if max(a.d, b.d) > 2:
        raise ConfigError(f"{prefix}it integrates in 1 or 2 dimensions, not in {max(a.d, b.d)}.")


def _samples(n: int | None, estimator: str, a: Distribution, b: Distribution) -> int | None:
    """Return the number of samples per distribution: ``n`` or the default; None for the estimator's own choice."""
    both = (("A", a), ("B", b))
    sizes = {f"{name} ({x.label})": len(x.rows) for name, x in both if x.rows is not None}
    for name, size in sizes.items():
        if n is not None and n > size:
            raise ConfigError(f"n={n} is more than the {size} samples of {name}.")
    if n is not None and estimator == "exact" and n < EXACT_FEWEST:
        raise ConfigError(
            f"n={n} is too few for estimator=exact, which counts samples in cells: {EXACT_FEWEST} at least."
        )
    if n is None and estimator in ("stack", "knn") and len(sizes) < 2:
        return min([DRAWN, *sizes.values()])
    return n


def _print(text: str) -> None:
    from ganrun.writers.console import Terminal

    # Used only because it tolerates a closed pipe: text from a path must not be parsed as markup.
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    terminal.print(text.encode(terminal.encoding, "backslashreplace").decode(terminal.encoding))

"""``ganrun eval``: measures samples of runs, or of one set, against real examples."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.chosen_average import require_one
from ganrun.config.cli_args import CliArguments
from ganrun.config.folders import home_of
from ganrun.config.hydra_bridge import hand_over, preflight, quoted, with_paths
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.config.settings import NARROWEST, WIDEST
from ganrun.config.values import is_whole
from ganrun.errors import ConfigError, shown, tell
from ganrun.storage.folder_checks import require_place
from ganrun.storage.run_directory import find_run, load_config

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.commands.eval_format import Evaluation
    from ganrun.evaluation.measurements.base import Sets
    from ganrun.evaluation.measurements.open_run import Choice

USAGE = "usage: ganrun eval [RUN ...] [KEY=VALUE ...], or ganrun eval SAMPLES REFERENCE [KEY=VALUE ...]."
FEATURES = ("auto", "raw", "classifier", "inception")
OF_FILES = ("training", "key", "key_b", "range", "range_b")  # settings that runs do not have


@dataclasses.dataclass(frozen=True)
class Eval:
    """The settings of ``ganrun eval``."""

    run: tuple[str, ...] = ()
    samples: str | None = None
    reference: str | None = None
    training: str | None = None
    metrics: tuple[str, ...] = ()
    n: int | None = number(None, low=2, high=1_000_000)
    features: str = choice("auto", FEATURES)
    weights: str | None = None
    k: int = number(5, low=1, high=1000)
    split: str = choice("held_out", ("held_out", "train"))
    seed: int = number(0, low=0, high=2**32 - 2)
    floor: bool = True
    budget: float = number(0.2, low=0.05, high=1000.0)
    checkpoint: str = "latest"
    average: bool = True
    sigma_rel: float | None = number(None, low=NARROWEST, high=WIDEST)
    key: str | None = None
    key_b: str | None = None
    range: tuple[float, ...] | None = None
    range_b: tuple[float, ...] | None = None
    format: str = choice("text", ("text", "json", "csv"))
    out: str | None = None
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()

    @property
    def is_pair(self) -> bool:
        """Whether two sets are given instead of runs."""
        return self.samples is not None or self.reference is not None


def main(words: list[str]) -> int:
    """Run ``ganrun eval`` with ``words`` and return the exit code."""
    arguments = CliArguments(words)
    if arguments.options.shell_completion:
        return hand_over("eval", "eval", arguments, _job)
    if arguments.options.multirun:
        raise ConfigError("eval takes all its runs at once: leave out -m.")
    arguments = with_paths(_name_words(arguments), ("samples", "reference", "training", "weights", "out", "data_dir"))
    name = arguments.options.config_name or "eval"
    composed = None if arguments.only_shows else preflight(name, arguments, _inspect)
    return hand_over("eval", name, arguments, _job, composed=composed)


def _name_words(arguments: CliArguments) -> CliArguments:
    """Turn the words that are runs into ``run=[...]``, and two other words into ``samples=`` and ``reference=``."""
    given, words = arguments.names_apart(field.name for field in dataclasses.fields(Eval))
    settings = [_quote(word) for word in words]
    if not given:
        return arguments.replaced(settings)
    if any(word.startswith(("run=", "samples=", "reference=")) for word in settings):
        raise ConfigError("give the runs, or the two sets of samples, as words or as settings, not as both.")
    others = [word for word in given if word != "latest" and not os.path.isdir(os.path.expanduser(word))]  # noqa: PTH111, PTH112
    if not others:
        return arguments.replaced([*settings, f"run={_listed(given)}"])
    if len(given) != 2:
        raise ConfigError(f"eval takes runs, or two sets of samples; '{shown(others[0])}' is no run directory. {USAGE}")
    named = [f"{name}={quoted(text)}" for name, text in zip(("samples", "reference"), given, strict=True)]
    return arguments.replaced([*settings, *named])


def _quote(word: str) -> str:
    """Quote runs and metrics, in which Hydra would read = and / as its own."""
    key, _, text = word.partition("=")
    if key not in ("run", "metrics") or any(mark in text for mark in "'\"$") or text in ("", "null"):
        return word
    if not text.startswith("["):
        return f"{key}={_listed([text])}"
    return f"{key}={_listed([part.strip() for part in text.strip('[]').split(',') if part.strip()])}"


def _listed(texts: list[str]) -> str:
    return f"[{','.join(map(quoted, texts))}]"


def _inspect(node: dict[str, Any]) -> tuple[Eval, list[Path]]:
    """Check the settings, as far as possible before anything is loaded or drawn."""
    from ganrun.evaluation.measurements.families import require_known

    step, run = node.get("checkpoint"), node.get("run")
    runs = [run] if isinstance(run, str) else run or []
    request = check_plain(Eval, {**node, "run": runs, "checkpoint": int(step) if is_whole(step) else step})
    require_known(request.metrics)
    if (request.features == "inception") != (request.weights is not None):
        raise ConfigError("features=inception and weights=FILE belong together: ganrun has no weights of Inception.")
    if request.checkpoint not in ("latest", "best") and not request.checkpoint.isdecimal():
        raise ConfigError(f"checkpoint must be latest, best or a step, not '{request.checkpoint}'.")
    require_one(request)
    if request.out is not None:
        require_place("out", request.out)
    if request.is_pair:
        _require_pair(request)
        return request, []
    if stray := next((name for name in OF_FILES if getattr(request, name) is not None), None):
        raise ConfigError(f"{stray} belongs to files of samples: ganrun eval SAMPLES REFERENCE.")
    folders = [find_run(name) for name in request.run or ("latest",)]
    for folder in folders:
        load_config(folder)
    return request, folders


def _require_pair(request: Eval) -> None:
    from ganrun.evaluation.divergence.open_distribution import require_distribution
    from ganrun.evaluation.divergence.pixel_range import require_range

    if request.samples is None or request.reference is None:
        raise ConfigError(f"samples and reference belong together. {USAGE}")
    if request.run:
        raise ConfigError("give run, or samples and reference, not both.")
    if request.features == "classifier":
        raise ConfigError(f"features={request.features} needs a run, whose data have labels: use raw.")
    if request.split != "held_out" or request.checkpoint != "latest" or request.sigma_rel is not None:
        raise ConfigError("split, checkpoint and sigma_rel belong to runs: ganrun eval run=DIR.")
    for name in ("range", "range_b"):
        require_range(getattr(request, name), name)
    keys = request.key, request.key_b or request.key, None
    for text, key in zip((request.samples, request.reference, request.training), keys, strict=True):
        if text is not None:
            require_distribution(text, key=key if text.lower().endswith(".npz") else None)


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun.training import device

    try:
        device.prepare()
        request, folders = _inspect(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _eval(request, folders)
    except Exception as error:
        return tell(error)
    return 0


def _eval(request: Eval, folders: list[Path]) -> None:
    from ganrun.commands.eval_format import FORMATS, beside
    from ganrun.writers.console import Terminal
    from ganrun.writers.whole import write_whole

    with _progress() as show:
        if request.is_pair:
            evaluations = [_measured(request, None, show)]
        else:
            evaluations = [_measured(request, folder, show) for folder in folders]
    if not any(one.result.measurements for one in evaluations):
        raise ConfigError(f"nothing that was asked for can be measured: {beside(evaluations)}.")
    text = FORMATS[request.format](evaluations)
    if request.format == "csv" and (line := beside(evaluations)):
        print(f"ganrun: not in the table: {line}", file=sys.stderr)
    if request.out is not None:
        write_whole(home_of(request.out), text.encode("utf-8", "surrogateescape"))
        return
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    terminal.print(text.encode(terminal.encoding, "backslashreplace").decode(terminal.encoding), end="")


def _measured(request: Eval, folder: Path | None, show: Callable[[str], None]) -> Evaluation:
    from ganrun.commands.eval_format import Evaluation
    from ganrun.evaluation.measurements.base import Settings
    from ganrun.evaluation.measurements.families import evaluate
    from ganrun.evaluation.measurements.open_run import Choice, of_run

    name = request.samples if folder is None else str(folder)
    show(f"opening {shown(str(name))}")
    choice = Choice(
        request.n,
        request.seed,
        request.split,
        request.features,
        None if request.weights is None else home_of(request.weights),
        request.checkpoint,
        request.average,
        request.data_dir,
        request.sigma_rel,
    )
    sets = _pair(request, choice) if folder is None else of_run(folder, choice)
    settings = Settings(request.k, request.seed, budget=request.budget, floor=request.floor)
    result = evaluate(sets, request.metrics, settings, lambda family: show(f"{shown(str(name))}: {family}"))
    return Evaluation(sets, result, settings)


def _pair(request: Eval, choice: Choice) -> Sets:
    from ganrun.evaluation.divergence.pixel_range import require_range
    from ganrun.evaluation.measurements.open_pair import of_pair

    span = require_range(request.range, "range")
    return of_pair(
        str(request.samples),
        str(request.reference),
        choice,
        training=request.training,
        keys=(request.key, request.key_b or request.key),
        spans=(span, require_range(request.range_b, "range_b") or span),
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Return a context with a function that shows what is done: beside a spinner on a terminal, in lines elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda text: print(f"ganrun: {text}", file=sys.stderr, flush=True)
        return
    with console.status("") as status:
        yield lambda text: status.update(Text(text))  # a name must not be read as markup

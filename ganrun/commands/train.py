"""``ganrun train``: checks the whole command line, then lets Hydra run it as one job or many."""

from __future__ import annotations

from pathlib import Path

from ganrun.commands import dry_run, train_jobs
from ganrun.commands.train_checks import inspect, require_typed
from ganrun.commands.train_resume import allowed, continue_run, continue_sweep
from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import hand_over, preflight, quoted, use_plugins
from ganrun.errors import ConfigError
from ganrun.storage.folder_checks import require_outside, require_writable
from ganrun.storage.run_directory import find_checkpoint, relative
from ganrun.storage.sweep_directory import (
    find_sweep,
    require_own_runs,
)

# The default launcher and sweeper of `-m`.
QUOTES = "'\""
OWN = {"launcher": "population", "sweeper": "grid"}


def main(words: list[str]) -> int:
    """Run ``ganrun train`` with ``words`` and return the exit code."""
    dry, words = dry_run.option_of(words)
    arguments = CliArguments(words)
    if arguments.only_shows:
        return hand_over("train", "train", arguments, train_jobs.run_job)
    arguments.refuse_paths("resume")
    if dry is not None and arguments.runs:
        return dry_run.main(arguments, dry == dry_run.TIMED, _defaults(arguments))
    use_plugins(arguments)
    resumed, allow = arguments.value("resume"), None
    if resumed is not None:
        if arguments.options.multirun:
            raise ConfigError("resume continues one run or one sweep: leave out -m.")
        allow, arguments = allowed(arguments)
        if (sweep := find_sweep(resumed)) is not None:
            return continue_sweep(sweep, arguments, allow)
        arguments = continue_run(arguments, resumed)
    arguments = _with_checkpoint(arguments)
    options = arguments.options
    name = options.config_name or "train"
    composed = preflight(
        name, arguments, lambda node: require_typed(inspect(node, allow, fetch=resumed is None), resumed)
    )
    if arguments.runs and resumed is None:
        given = arguments.value("hydra.run.dir") or arguments.value("hydra.sweep.dir")
        require_writable(given or "outputs")
        if given is not None:
            place = Path(given).expanduser()
            require_outside(place)
            if options.multirun and (place / "config.yaml").exists():
                raise ConfigError(f"{relative(place)} holds a run already: choose another folder for the sweep.")
            inside = sorted(place.glob("*")) if options.multirun else []
            require_own_runs(place, [run for run in inside if run.name[:1].isdecimal()])
    if options.multirun:
        arguments = arguments.replaced([*arguments.overrides, *_defaults(arguments)])
    return hand_over("train", name, arguments, train_jobs.run_job, train_jobs.run_jobs, composed=composed)


def _with_checkpoint(arguments: CliArguments) -> CliArguments:
    """Return ``arguments`` with the checkpoint that ``init_from`` stands for.

    To the jobs of a sweep, and to a job that is requeued, ``latest`` would be another run.
    """

    def resolved(word: str) -> str:
        key, _, value = word.partition("=")
        several = arguments.options.multirun and set(value) & set(",[](){}")
        if key.lstrip("+") != "init_from" or value in ("", "null") or several:
            return word
        try:
            return f"{key}={quoted(str(find_checkpoint(value.strip(QUOTES))))}"
        except ConfigError as error:
            raise ConfigError(f"init_from: {error}") from error

    return arguments.replaced([resolved(word) for word in arguments.overrides]) if arguments.runs else arguments


def _defaults(arguments: CliArguments) -> list[str]:
    """Return the overrides that choose the launcher and the sweeper of a sweep where ``arguments`` do not."""
    kinds = OWN.items() if arguments.options.multirun else ()
    return [f"hydra/{kind}={own}" for kind, own in kinds if not _chosen(arguments, kind)]


def _chosen(arguments: CliArguments, kind: str) -> bool:
    return any(text.partition("=")[0].lstrip("+~") == f"hydra/{kind}" for text in arguments.overrides)

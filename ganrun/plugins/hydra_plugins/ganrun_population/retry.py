"""Launches the jobs of a sweep by a launcher that starts processes, and tries those again that died."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from ganrun.config.hydra_bridge import quoted
from ganrun.training.retry import DIED, Retries, died


def launch(
    launcher: Any, batch: Sequence[Sequence[str]], folders: Sequence[Path], first: int, retries: Retries
) -> list[JobReturn]:
    """Launch the jobs ``batch``, and those again that died while they may be tried again; return their results.

    A worker that is lost may end all jobs of a launch: those that have completed are not launched again, and a job that
    is continues from its newest checkpoint.

    Args:
        launcher: Hydra's launcher.
        batch: the overrides of each job.
        folders: the directory of each job, which contains the runs of a job of several.
        first: the number of the first job.
        retries: counts them, by job.

    Raises:
        Exception: that of the launcher, if a job that died may not be tried again.
    """
    results: dict[int, JobReturn] = {}
    left, again = list(range(len(batch))), False
    while left:
        words = [[*batch[i], *([f"resume={quoted(str(folders[i].resolve()))}"] if again else [])] for i in left]
        problem: Exception | None = None
        try:
            results |= dict(zip(left, launcher.launch(words, initial_job_idx=first), strict=True))
        except Exception as error:
            problem = error
        lost = [i for i in left if _is_lost(results.get(i), folders[i])]
        jobs = [folders[i] for i in lost]
        if not retries.may(jobs):
            if problem is not None:
                raise problem
            break
        retries.begin(jobs, DIED, problem or "see its log")
        left, again = lost, True
    for job in results.values():
        _ = job.return_value  # raises the error of a job that failed
    return [results[i] for i in sorted(results)]


def retries_of(config: Any, folder: Path) -> Retries:
    """Return a counter of retries for the sweep in ``folder``, which logs them in its ``train.log``."""

    def say(line: str) -> None:
        from ganrun.writers.console import Messages  # slow to import, and every command imports this module

        folder.mkdir(parents=True, exist_ok=True)
        messages = Messages(folder)
        messages.say(line)
        messages.close()

    return Retries(int(config.get("retry", 0)), say)


def _is_lost(result: JobReturn | None, folder: Path) -> bool:
    """Return whether a job died, and was neither completed, nor stopped, nor ended by its own fault."""
    try:
        if result is not None and result.return_value != 1:
            return False
    except Exception:  # the error of the job or of its launcher
        pass
    runs = [path.parent for path in folder.glob("**/config.yaml")]
    return any(died(run) for run in runs)

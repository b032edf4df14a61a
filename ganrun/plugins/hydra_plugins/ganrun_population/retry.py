"""Launches the jobs of a sweep by a launcher that starts processes, and tries those again that died."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra_plugins.ganrun_population.outcomes import recorded

from ganrun.config.hydra_bridge import quoted
from ganrun.errors import GanrunError, shown
from ganrun.storage.run_directory import relative
from ganrun.storage.sweep_directory import begun, sweep_of
from ganrun.training.retry import DIED, Retries, died
from ganrun.training.shell_commands import resume_command


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
        GanrunError: the jobs have not started, or one has been stopped, or died and may not be tried again.
    """
    results: dict[int, JobReturn] = {}
    left, again = list(range(len(batch))), False
    while left:
        words = [[*batch[i], *([f"resume={quoted(str(folders[i].resolve()))}"] if again else [])] for i in left]
        problem: Exception | None = None
        with recorded(launcher) as started:
            try:
                results |= dict(zip(left, launcher.launch(words, initial_job_idx=first), strict=True))
            except Exception as error:
                problem = error
                results |= {left[i]: result for i, result in started.results().items()}
        lost = [i for i in left if _is_lost(results.get(i), folders[i])]
        jobs = [folders[i] for i in lost]
        if not retries.may(jobs):
            if problem is not None:
                raise _of_lost([folders[i] for i in left if i in lost or i not in results], problem) from problem
            break
        retries.begin(jobs, DIED, problem or "see its log")
        left, again = lost, True
    for job in results.values():
        _ = job.return_value  # raises the error of a job that failed
    return [results[i] for i in sorted(results)]


def _of_lost(jobs: Sequence[Path], problem: Exception) -> Exception:
    """Return the error for ``jobs`` that have ended early, or have not begun, by the launcher's error ``problem``."""
    if isinstance(problem, GanrunError):
        return problem
    why = shown(str(problem).strip().partition("\n")[0], 200)
    if not any(begun(run) for job in jobs for run in _runs_in(job)):
        return GanrunError(f"the launcher has not started the jobs: {why}")
    sweep = sweep_of(jobs[0]) or sweep_of(_runs_in(jobs[0])[0]) or jobs[0].parent
    which = relative(jobs[0]) + (f" and {len(jobs) - 1} more" if len(jobs) > 1 else "")
    return GanrunError(
        f"{which} has not finished, its process has ended ({why}): continue with {resume_command(sweep)}"
    )


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
    return any(died(run) for run in _runs_in(folder))


def _runs_in(folder: Path) -> list[Path]:
    """Return the runs of a job: ``folder`` itself, or those in it."""
    return [path.parent for path in folder.glob("**/config.yaml")]

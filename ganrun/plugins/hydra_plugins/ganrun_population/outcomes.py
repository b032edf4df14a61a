"""The outcomes of all jobs of a launch.

Hydra's launchers for submitit and Ray raise the error of the first job that died, while others still run.
"""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from hydra.core.utils import JobReturn

Waits = Callable[[], JobReturn]


class Launched:
    """The jobs that a launcher has started.

    Attributes:
        waits: a function per job, in their order, which waits for its end and returns its result, or raises its error.
    """

    def __init__(self) -> None:
        self.waits: list[Waits] = []

    def results(self) -> dict[int, JobReturn]:
        """Wait until every job has ended, and return the results of those that did not die."""
        found: dict[int, JobReturn] = {}
        for i, wait in enumerate(self.waits):
            try:
                found[i] = wait()
            except Exception:  # its process died
                continue
        return found


@contextmanager
def recorded(launcher: Any) -> Iterator[Launched]:
    """Return a context in which the jobs that ``launcher`` starts are recorded, if it is submitit's or Ray's."""
    launched = Launched()
    kind = type(launcher).__module__
    if kind.startswith("hydra_plugins.hydra_submitit_launcher"):
        import submitit  # type: ignore[import-not-found]

        with patch.object(submitit.AutoExecutor, "map_array", _recording(submitit.AutoExecutor.map_array, launched)):
            yield launched
    elif kind.startswith("hydra_plugins.hydra_ray_launcher"):
        from hydra_plugins.hydra_ray_launcher import _core  # type: ignore[import-not-found]

        start: Any = getattr(_core, "launch_job_on_ray")  # noqa: B009 (imported there, not exported)
        with patch.object(_core, "launch_job_on_ray", _recording(start, launched)):
            yield launched
    else:
        yield launched


def _recording(start: Callable[..., Any], launched: Launched) -> Callable[..., Any]:
    """Return ``start`` with the jobs that it returns, one or a list, added to ``launched``."""

    def started(*args: Any, **kwargs: Any) -> Any:
        jobs = start(*args, **kwargs)
        several = jobs if isinstance(jobs, list) else [jobs]
        launched.waits += [partial(_result, job) for job in several]
        return jobs

    return started


def _result(job: Any) -> JobReturn:
    """Wait for ``job`` of submitit or Ray, and return its result.

    Raises:
        Exception: its process died.
    """
    if not hasattr(job, "results"):
        import ray  # type: ignore[import-not-found]

        return ray.get(job)
    return job.results()[0]

"""The jobs of ``ganrun train``: one run that Hydra starts, or the runs of a sweep together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.train_checks import inspect, require_typed, resolved
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.config.search_path import COMMAND_LINE
from ganrun.errors import tell
from ganrun.storage.folder_checks import require_own
from ganrun.storage.sweep_directory import (
    begun,
    require_own_runs,
    require_room,
    sweep_of,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganrun.training.loop import Pruner


SIGNALLED = (130, 143)  # exit codes after which the process ends at once, without its exit handlers
SUBMITIT = "SUBMITIT_EXECUTOR"  # the environment variable that submitit sets for its jobs


def run_job(node: DictConfig) -> int:
    """Run one Hydra job and report its errors, so that a sweep continues and Hydra prints no traceback."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    folder = Path(HydraConfig.get().runtime.output_dir)

    def job() -> int:
        from ganrun.training.train import Sweep, train  # imports JAX, so only after the device is prepared

        config = resolved(check(OmegaConf.to_container(node, resolve=True)))  # type: ignore[arg-type]
        if config.population.jobs:
            return _several(config.population.jobs, folder, again=config.resume is not None)
        if config.resume is not None and Path(config.resume).resolve() != folder.resolve():
            require_typed(config, None)  # Hydra composed another config than was checked
        hydra = HydraConfig.get()
        member = hydra.mode == RunMode.MULTIRUN
        require_own(folder, linked=not member)
        planned = member and _is_planned(folder)
        resume = config.resume is not None or planned or _is_requeued(folder)
        return train(config, folder, resume=resume, sweep=Sweep(_keys(hydra.overrides.task), member=member))

    try:
        return _ended(_on_hosts([OmegaConf.to_container(node, resolve=True)], folder, job))
    except Exception as error:
        return tell(error)
    finally:
        _remove_if_empty(folder)


def _on_hosts(nodes: Sequence[Any], folder: Path, job: Callable[[], int]) -> int:
    """Prepare JAX for the plain configs ``nodes``, run ``job``, which writes to ``folder``, and return its exit code.

    A host that another one leads follows that instead, and exits when it does.
    """
    from ganrun.training import determinism, device, hosts
    from ganrun.training.mesh import cpu_devices

    determinism.ask_for(nodes, folder)
    settings = nodes[0].get("hosts")
    count = settings.get("count") if isinstance(settings, Mapping) else 1
    hosts.start(settings)
    device.prepare(cpu_devices(nodes, count))
    if not hosts.several():
        return job()
    from ganrun.training.leading import follow

    if hosts.is_follower():
        raise SystemExit(follow(nodes[0].get("data_dir")))
    hosts.channel().code = 1
    hosts.channel().code = code = job()
    if code in SIGNALLED:
        hosts.channel().end()
    return code


def _ended(code: int) -> int:
    """Return ``code``; exit with it if a signal has ended a job of submitit.

    A job that returns has ended for submitit, and SLURM may requeue one that has got SIGTERM: submitit then waits.
    """
    if code in SIGNALLED and SUBMITIT in os.environ:
        raise SystemExit(code)
    return code


def _several(jobs: tuple[str, ...], folder: Path, again: bool = False) -> int:
    """Train the runs of one cluster job as a sweep of its own in ``folder``; return the largest exit code.

    ``jobs`` are JSON lists of a run's directory, relative to ``folder``, and its overrides. ``again``: the job is tried
    again, so that its runs may have started before.
    """
    from hydra.core.hydra_config import HydraConfig

    sources = HydraConfig.get().runtime.config_sources
    extra = next((source.path for source in sources if source.provider == COMMAND_LINE), None)
    name = str(HydraConfig.get().job.config_name)
    named = [[str(text) for text in json.loads(job)] for job in jobs]
    runs = [(compose(name, overrides, extra), folder / place) for place, *overrides in named]
    varied = _keys(text for _, *overrides in named for text in overrides)
    resumed = again or any(_is_requeued(run) or (begun(run) and _is_planned(run)) for _, run in runs)
    return max(run_jobs(runs, folder, resumed=resumed, varied=varied))


def _keys(overrides: Iterable[str]) -> set[str]:
    """Return the keys that ``overrides`` set."""
    return {text.partition("=")[0].lstrip("+~") for text in overrides}


def _is_planned(folder: Path) -> bool:
    """Return whether the run in ``folder`` is one of a sweep, which wrote its config.

    It has begun if its job was started a second time: Ray does so by itself if a worker is lost.
    """
    return (folder / "config.yaml").exists() and (not begun(folder) or sweep_of(folder) is not None)


def _is_requeued(folder: Path) -> bool:
    """Return whether this is a requeued job of a cluster, which was preempted: its run has already started."""
    return SUBMITIT in os.environ and begun(folder)


def run_jobs(
    given: list[tuple[dict[str, Any], Path]],
    folder: Path,
    resumed: bool = False,
    pruner: Pruner | None = None,
    whole: bool = True,
    varied: Collection[str] = (),
) -> list[int]:
    """Train the jobs of a sweep, those with a common program together; return their exit codes.

    Args:
        given: the plain config and the run directory of each job.
        folder: the sweep's directory.
        resumed: whether the runs may have started before.
        pruner: may end runs early.
        whole: whether ``given`` is the whole sweep, to be compared at the end.
        varied: hyperparameters that vary in the sweep, even if not in these jobs.
    """
    codes: list[int] = []

    def sweep() -> int:
        from ganrun.training.sweep import train_all
        from ganrun.training.sweep_plan import Job

        require_own_runs(folder, [path for _, path in given])
        if not resumed:
            require_room(folder, [path for _, path in given])
        jobs = [Job(inspect(node, fetch=not resumed), path.resolve()) for node, path in given]
        codes.extend(train_all(jobs, folder.resolve(), pruner, whole, varied))
        return max(codes)

    try:
        code = _on_hosts([node for node, _ in given], folder, sweep)
        return codes or [code] * len(given)
    except Exception as error:
        return [tell(error)] * len(given)


def _remove_if_empty(folder: Path) -> None:
    """Remove the run directory, which Hydra creates before the job, and its parents if nothing was written."""
    inside = [parent for parent in folder.parents if Path.cwd() in parent.parents]
    for path in (folder, *inside):
        try:
            path.rmdir()
        except OSError:
            return

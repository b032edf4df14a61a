"""The files of an export: loads a run, and makes each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganrun.comparison.runs import read_runs
from ganrun.config.settings import Train
from ganrun.errors import shown
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.rebuilt_average import with_average
from ganrun.export.arrays import safetensors_of, weights_of
from ganrun.export.check import SHOWN, Checked, Checker
from ganrun.export.describe import Facts, config_json
from ganrun.export.model_card import Row, model_card
from ganrun.export.programs import Program, lowered, programs_of
from ganrun.export.request import Export
from ganrun.methods.experiment import Experiment
from ganrun.plots import pictures
from ganrun.storage.metrics_file import rows_of
from ganrun.storage.run_directory import ended_at
from ganrun.training import device
from ganrun.writers.closing import metric_rows
from ganrun.writers.newest import Newest

POINTS = 2  # maximum dimension of vectors that a picture shows


def exported_files(request: Export, config: Train, run: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the files of an export, contents by name, and lines that say what they are.

    Args:
        request: what is to be exported.
        config: of the run.
        run: the run directory.

    Raises:
        GanrunError: the run has no such checkpoint, it cannot be read, or the model cannot be exported.
    """
    density = config.dataset.density() if hasattr(config.dataset, "density") else None
    experiment, state = load_run(run, config, request.checkpoint, density)
    if request.sigma_rel is not None:
        state = with_average(run, experiment, state, request.sigma_rel)
    variables, trained = experiment.variables(state, request.average), experiment.variables(state, False)
    has_average, step = experiment.variables(state, True) is not trained, int(state.step)
    programs = programs_of(experiment, config, variables)
    files, checks = _programs(request, programs, Checker(experiment, config, variables, request.size))
    arrays = {}
    if "safetensors" in request.formats:
        arrays = weights_of(experiment, state, request.average, request.networks)
    facts = Facts(
        config=config,
        method=experiment.method,
        name=run.name,
        step=step,
        average=request.average and has_average,
        has_average=has_average,
        sigma_rel=request.sigma_rel,
        programs=programs,
        batch=request.size,
        platforms=request.platforms,
        arrays=arrays,
        difference=max((one.difference for one in checks if one.difference is not None), default=None),
        versions=device.describe()["versions"],
    )
    if arrays:
        stated = {"ganrun": facts.versions["ganrun"], "method": config.method.name, "step": step}
        files["model.safetensors"] = safetensors_of(arrays, stated | {"weights": facts.weights})
    if (picture := _picture(checks, experiment, f"{run.name}, step {step}")) is not None:
        files["samples.png"] = picture
    return _described(files, facts, run), _lines(facts)


def _programs(request: Export, programs: list[Program], checker: Checker) -> tuple[dict[str, bytes], list[Checked]]:
    """Return the files of ``programs``, and what they have returned; the last are draws, if samples have noise."""
    files: dict[str, bytes] = {}
    checks: list[Checked] = []
    if "onnx" in request.formats:
        from ganrun.export.to_onnx import onnx_of

        files["model.onnx"] = onnx_of(programs[0], request.size)
        checks.append(checker.onnx(programs[0], files["model.onnx"]))
    if "stablehlo" in request.formats:
        for program in programs:
            content = bytes(lowered(program, request.size, request.platforms).serialize())
            files[f"{program.name}.stablehlo"] = content
            checks.append(checker.stablehlo(program, content))
    return files, checks


def _described(files: dict[str, bytes], facts: Facts, run: Path) -> dict[str, bytes]:
    """Return ``files`` with the model card and ``config.json``, which lists all others."""
    (finished,) = read_runs([str(run)])
    newest = Newest()
    newest.restore(rows_of(run))
    rows: list[Row] = metric_rows(finished.last, newest, facts.step)
    status = shown(finished.status)
    if finished.finished and (step := ended_at(run, facts.config)) is not None:
        status += f": `stop.when={shown(str(facts.config.stop.when))}` ended it at step {step} of {facts.config.steps}"
    files = files | {"README.md": model_card(facts, status, rows, files).encode()}
    return files | {"config.json": config_json(facts, files)}


def _picture(checks: list[Checked], experiment: Experiment, title: str) -> bytes | None:
    """Return a PNG of the samples of the last program; None for data that a picture cannot show, or without any."""
    shape = experiment.data.shape
    if not checks or (len(shape) != 3 and shape[0] > POINTS):
        return None
    return pictures.draw(checks[-1].samples[:SHOWN], experiment.data.density, np.zeros(0), title)


def _lines(facts: Facts) -> list[str]:
    count = sum(array.size for array in facts.arrays.values())
    lines = [f"{facts.method.MODEL} of step {facts.step}, {facts.weights} weights"]
    if count:
        lines[0] += f": {count} parameters in {len(facts.arrays)} arrays"
    if facts.difference is not None:
        lines.append(f"the exported program differs from the model by at most {facts.difference:.2g}")
    return lines

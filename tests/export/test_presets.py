"""The model of every preset, exported and loaded again in a process that has JAX and not ganrun."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from saved_runs import saved_run, with_small_networks

from ganrun.config.folders import config_folder
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.evaluation.load_run import load_run
from ganrun.export.check import SHOWN, inputs_of
from ganrun.export.folder import write_folder
from ganrun.export.model import exported_files
from ganrun.export.programs import CUSTOM_CALL, RESOLVED_CALLS, programs_of
from ganrun.export.request import Export

PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
CONDITIONAL = "dcgan of ten classes"
# Runs in the folder of the exports. Neither ganrun nor Flax can be imported there.
STRANGER = """
import sys
sys.modules["ganrun"] = sys.modules["flax"] = None
from pathlib import Path
import numpy as np
from jax import export
for folder in sorted(path for path in Path(".").iterdir() if path.is_dir()):
    with np.load(folder.with_suffix(".npz"), allow_pickle=False) as file:
        given = [file[name] for name in file.files]
    names = sorted(path.name for path in folder.glob("*.stablehlo"))
    exported = export.deserialize(bytearray((folder / names[0]).read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu"), exported.platforms
    np.save(folder.with_suffix(".npy"), np.asarray(exported.call(*given)))
    print(folder.name, *names, sep="|")
"""
SAMPLE, MODEL = "sample.stablehlo", "model.stablehlo"
OTHERS = {
    "vae": [MODEL, SAMPLE],
    "conv_vae": [MODEL, SAMPLE],
    "conv_vae with a standard normal prior": [MODEL, SAMPLE],
    "iwae": [MODEL, SAMPLE],
    "fvsbn": [SAMPLE],
    "made": [SAMPLE],
    "pixelcnn": [SAMPLE],
    "rbm": [SAMPLE],
    "gsn": [SAMPLE],
}
COUPLINGS = ("realnvp", "conv_vae")  # they magnify rounding, four after each other and with random weights
STANDARD = "conv_vae with a standard normal prior"
N = SHOWN  # ganrun's program for them is compiled anyway


def own_samples(experiment: Any, variables: Any, program: str, inputs: list[Any]) -> np.ndarray:
    """What ganrun makes of the inputs: of latents together, of random keys one sample after the other."""
    if program == "model":
        return np.asarray(experiment.decode(variables, *inputs))

    @jax.jit
    def one(key: jax.Array) -> jax.Array:
        return experiment.method.sample(variables, experiment.hparams, jax.random.wrap_key_data(key), 1)[0]

    return np.stack([one(key) for key in inputs[0]])


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> Path:
    """A folder with an export of every preset, inputs beside each, and what ganrun makes of them."""
    folder = tmp_path_factory.mktemp("exports")
    configs = {name: with_small_networks(check(compose("train", [f"experiment={name}"]))) for name in PRESETS}
    configs[CONDITIONAL] = dataclasses.replace(configs["dcgan"], conditional=True)
    method = dataclasses.replace(configs["conv_vae"].method, prior_couplings=0)
    configs[STANDARD] = dataclasses.replace(configs["conv_vae"], method=method)
    for seed, (name, config) in enumerate(configs.items()):
        run = saved_run(folder / "runs" / name, config, seed=seed)
        request = Export(run=str(run), networks="all")
        files, _ = exported_files(request, config, run)
        (folder / "models").mkdir(exist_ok=True)
        write_folder(folder / "models" / name, files)
        experiment, state = load_run(run, config)
        variables = experiment.variables(state)
        program = programs_of(experiment, config, variables)[0]
        inputs = inputs_of(program, experiment, N)
        np.savez(folder / "models" / f"{name}.npz", **{f"{i}": np.asarray(one) for i, one in enumerate(inputs)})
        np.save(folder / f"{name}.npy", own_samples(experiment, variables, program.name, inputs))
        if program.name == "model":
            inputs[0] = np.nextafter(np.asarray(inputs[0]), np.float32(np.inf))
            np.save(folder / f"{name}.moved.npy", own_samples(experiment, variables, program.name, inputs))
    return folder


@pytest.fixture(scope="module")
def listed(exports) -> dict[str, list[str]]:
    """The programs of each export, as the other process has found and run them."""
    words = [sys.executable, "-c", STRANGER]
    done = subprocess.run(words, cwd=exports / "models", capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return {name: programs for name, *programs in (line.split("|") for line in done.stdout.splitlines())}


def config_of(exports: Path, name: str) -> dict[str, Any]:
    return json.loads((exports / "models" / name / "config.json").read_text())


def of_rounding(exports: Path, name: str) -> float:
    """The difference that rounding may make: several times that of inputs moved to the next numbers, with couplings."""
    if name not in COUPLINGS:
        return 0.0
    own, moved = np.load(exports / f"{name}.npy"), np.load(exports / f"{name}.moved.npy")
    return 8 * float(np.abs(moved - own).max())


@pytest.mark.parametrize("name", [*PRESETS, CONDITIONAL, STANDARD])
def test_a_process_without_ganrun_draws_the_samples_of_ganrun(name, exports, listed):
    own, other = np.load(exports / f"{name}.npy"), np.load(exports / "models" / f"{name}.npy")
    assert own.shape == other.shape and own.shape[0] == N and np.isfinite(own).all()
    assert own.dtype == other.dtype == np.float32
    tolerance = 1e-5 * max(1.0, float(np.abs(own).max()))
    np.testing.assert_allclose(other, own, rtol=0, atol=max(tolerance, of_rounding(exports, name)))
    assert len(np.unique(other.reshape(N, -1), axis=0)) == (1 if name == "dirac" else N)  # Dirac-GAN has no latents
    assert listed[name] == OTHERS.get(name, [MODEL])


def test_the_difference_that_is_recorded_was_measured(exports):
    without_latents = {name for name, programs in OTHERS.items() if MODEL not in programs}
    names = [name for name in (*PRESETS, CONDITIONAL, STANDARD) if name not in without_latents]
    differences = {name: config_of(exports, name)["largest_difference"] for name in names}
    learned_prior = differences.pop("conv_vae")
    assert 0 <= learned_prior < max(1e-4, of_rounding(exports, "conv_vae"))
    assert all(0 <= difference < 1e-4 for difference in differences.values())
    assert any(difference > 0 for difference in differences.values())  # XLA's convolutions round differently


def test_every_preset_has_a_config_with_its_shapes(exports):
    shapes = {name: config_of(exports, name)["samples"]["shape"] for name in PRESETS}
    assert shapes["ring"] == [2] and shapes["dcgan"] == [28, 28, 1] and shapes["mixture1d"] == [1]
    assert config_of(exports, "goodfellow2014")["latents"] == {"dim": 100, "prior": "uniform"}
    programs = config_of(exports, CONDITIONAL)["programs"]["model.stablehlo"]
    assert [one["name"] for one in programs["inputs"]] == ["latents", "labels"]
    assert programs["inputs"][1]["dtype"] == "int32" and programs["inputs"][1]["shape"] == ["batch"]


def test_no_program_calls_code_that_is_not_of_stablehlo(exports):
    from jax import export

    for path in (exports / "models").glob("*/*.stablehlo"):
        module = export.deserialize(bytearray(path.read_bytes())).mlir_module()
        assert set(CUSTOM_CALL.findall(module)) <= set(RESOLVED_CALLS), path

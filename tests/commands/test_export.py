"""``ganrun export``: what it writes for a run, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from jax import export
from safetensors import safe_open

import ganrun as package
from ganrun.methods.experiment import Experiment

pytestmark = pytest.mark.retraced  # by a decoder that is wrong


@pytest.fixture(scope="module")
def points(inside, tiny, tmp_path_factory) -> Path:
    """A folder with a trained run on the ring, and an export of it with every network."""
    cwd = tmp_path_factory.mktemp("points")
    done = inside("train", *tiny, "steps=40", "log.every=20", "hydra.run.dir=run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    done = inside("export", "run=run", "out=model", "networks=all", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd


def called(folder: Path, z: np.ndarray) -> np.ndarray:
    return np.asarray(export.deserialize(bytearray((folder / "model.stablehlo").read_bytes())).call(z))


def arrays(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no iterator)


def test_an_export_is_a_folder_of_files_whose_checksums_hold(points):
    assert sorted(path.name for path in (points / "model").iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "model.stablehlo",
        "samples.png",
    ]
    words = ["sha256sum", "-c", "--strict", "SHA256SUMS"]
    done = subprocess.run(words, cwd=points / "model", capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count(": OK") == 5
    assert (points / "model" / "samples.png").read_bytes()[:4] == b"\x89PNG"


def test_all_files_that_are_written_are_listed(points, inside):
    done = inside("export", "run=run", "out=listed", cwd=points)
    told = done.stdout.splitlines()[-1]
    names = sorted(path.name for path in (points / "listed").iterdir())
    assert told.startswith(f"{len(names)} files in ") and sorted(told.rpartition(": ")[2].split(", ")) == names


def test_the_card_says_that_a_run_ended_early(points, inside):
    run = shutil.copytree(points / "run", points / "early")
    stop = {"when": "jsd/exact", "patience": 2, "times": 20, "tolerance": 0.0}
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"stop": stop, "steps": 400}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    for stopped in (stop, {**stop, "patience": 3}):  # the second one is not that of the config
        summary = json.loads((run / "summary.json").read_text()) | {"status": "completed", "steps": 40, "stop": stopped}
        (run / "summary.json").write_text(json.dumps(summary))
        done = inside("export", "run=early", "out=early_model", "overwrite=true", "formats=[safetensors]", cwd=points)
        assert done.returncode == 0, done.stderr
        card = (points / "early_model" / "README.md").read_text()
        told = "The run is completed: `stop.when=jsd/exact` ended it at step 40 of 400. These settings"
        assert (told in card) is (stopped == stop)


def test_the_code_of_the_card_runs_without_ganrun(points, tmp_path):
    card = (points / "model" / "README.md").read_text()
    block = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
    shutil.copytree(points / "model", tmp_path / "there")
    code = f"import sys\nsys.modules['ganrun'] = sys.modules['flax'] = None\n{block}\nprint(samples.shape)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path / "there", capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "(16, 2)\n"), done.stderr


def test_the_code_of_the_card_opens_the_run_with_ganrun(points, monkeypatch):
    block = re.findall(r"```python\n(.*?)```", (points / "model" / "README.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(points)
    found: dict = {}
    exec(compile(block, "README.md", "exec"), found)  # the card is ours
    np.testing.assert_array_equal(found["samples"], package.load_run("run").sample(16, seed=0))


def test_the_weights_have_names_and_the_average_is_that_of_the_run(points):
    found = arrays(points / "model" / "model.safetensors")
    assert {name.split("/")[0] for name in found} == {"generator", "discriminator"}
    assert found["generator/params/Dense_0/kernel"].shape == (2, 8)
    state = arrays(points / "run" / "checkpoints" / "40" / "state.safetensors")
    for name in ("params/Dense_0/kernel", "params/Dense_1/bias"):
        np.testing.assert_array_equal(found[f"generator/{name}"], state[f"model/average/{name}"])
        np.testing.assert_array_equal(found[f"discriminator/{name}"], state[f"model/discriminator/{name}"])
    with safe_open(points / "model" / "model.safetensors", "numpy") as file:
        facts = file.metadata()
    assert facts == {
        "format": "flax",
        "ganrun": package.__version__,
        "method": "gan",
        "step": "40",
        "weights": "moving average",
    }


def test_the_trained_weights_are_others(points, inside):
    done = inside("export", "run=run", "out=trained", "average=false", cwd=points)
    assert done.returncode == 0, done.stderr
    state = arrays(points / "run" / "checkpoints" / "40" / "state.safetensors")
    found = arrays(points / "trained" / "model.safetensors")
    assert {name.split("/")[0] for name in found} == {"generator"}
    name = "params/Dense_0/kernel"
    np.testing.assert_array_equal(found[f"generator/{name}"], state[f"model/generator/{name}"])
    z = np.ones((3, 2), np.float32)
    own, average = called(points / "trained", z), called(points / "model", z)
    assert (own != average).any()
    assert json.loads((points / "trained" / "config.json").read_text())["run"]["weights"] == "trained"


def test_one_format_and_a_fixed_batch(points, inside):
    words = ("formats=[stablehlo]", "platforms=[cpu]", "batch=4", "checkpoint=40")
    done = inside("export", "run=run", "out=fixed", *words, cwd=points)
    assert done.returncode == 0, done.stderr
    assert not (points / "fixed" / "model.safetensors").exists()
    exported = export.deserialize(bytearray((points / "fixed" / "model.stablehlo").read_bytes()))
    assert exported.in_avals[0].shape == (4, 2) and exported.platforms == ("cpu",)
    done = inside("export", "run=run", "out=weights", "formats=[safetensors]", cwd=points)
    assert done.returncode == 0, done.stderr
    assert not (points / "weights" / "model.stablehlo").exists()
    assert json.loads((points / "weights" / "config.json").read_text())["programs"] == {}


def test_a_program_for_another_platform_is_written_and_not_compared(points, inside):
    done = inside("export", "run=run", "out=tpu", "formats=[stablehlo]", "platforms=[tpu]", cwd=points)
    assert done.returncode == 0 and "differs" not in done.stdout, done.stderr
    assert json.loads((points / "tpu" / "config.json").read_text())["largest_difference"] is None
    assert "differed" not in (points / "tpu" / "README.md").read_text()


def test_an_export_tells_nothing_of_the_machine(points):
    for path in (points / "model").iterdir():
        content = path.read_bytes()
        assert str(points).encode() not in content and b".py" not in content, path
        assert str(Path(package.__file__).parent).encode() not in content and b"site-packages" not in content, path


def test_an_export_is_replaced_only_if_asked(points, inside):
    shutil.copytree(points / "model", points / "second")
    (points / "second" / "README.md").write_text("edited")
    done = inside("export", "run=run", "out=second", cwd=points)
    assert done.returncode == 2 and "overwrite=true" in done.stderr
    assert (points / "second" / "README.md").read_text() == "edited"
    done = inside("export", "run=run", "out=second", "networks=all", "overwrite=true", cwd=points)
    assert done.returncode == 0, done.stderr
    for name in ("README.md", "samples.png"):  # functions of the checkpoint
        assert (points / "second" / name).read_bytes() == (points / "model" / name).read_bytes()


REFUSED = {
    "formats=[stablhlo]": "formats[0] must be one of stablehlo, safetensors, onnx, not 'stablhlo'."
    " Did you mean 'stablehlo'?",
    "formats=[]": "formats is empty: name at least one of stablehlo, safetensors, onnx",
    "platforms=[gpu]": "platforms[0] must be one of cpu, cuda, rocm, tpu, not 'gpu'",
    "platforms=[]": "platforms is empty",
    "batch=0": "batch must be symbolic, or a whole number from 1 to 1048576, not '0'",
    "batch=symbol": "not 'symbol'",
    "batch=2.5": "batch must be text, not the number 2.5",
    "networks=generators": "Did you mean 'generator'?",
    "checkpoint=newest": "checkpoint must be latest, best or a step, not 'newest'",
    "checkpoint=41": "no checkpoint of step 41. It has ",
    "checkpoint=best": "keeps no best checkpoint",
    "run=rum": "there is no run directory rum. Did you mean 'run'?",
    "out=no/where": "out: there is no folder",
    "out=run": "holds .lock, which no export writes|holds checkpoints, which no export writes",
    "out=note.txt": "out: note.txt is not a folder",
    "foramts=[onnx]": "'foramts' is not a setting",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(words, points, inside):
    (points / "note.txt").write_text("")
    before = sorted(points.rglob("*"))
    done = inside("export", "run=run", "out=new", words, cwd=points)
    assert done.returncode in (1, 2) and any(text in done.stderr for text in REFUSED[words].split("|")), done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert sorted(points.rglob("*")) == before


def test_a_damaged_checkpoint_is_refused_and_nothing_is_written(points, inside, tmp_path):
    run = Path(shutil.copytree(points / "run", tmp_path / "run"))
    path = run / "checkpoints" / "40" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = inside("export", "run=run", "out=new", "checkpoint=40", cwd=tmp_path)
    assert done.returncode == 1 and "state.safetensors is not as it was written" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_program_that_differs_from_the_model_is_not_written(points, inside, monkeypatch):
    decode = Experiment.decode
    monkeypatch.setattr(Experiment, "decode", lambda *given: decode(*given) + 1e-3)
    done = inside("export", "run=run", "out=wrong", cwd=points)
    assert done.returncode == 1 and not (points / "wrong").exists()
    assert "differs from the model by up to 0.001: nothing is written" in done.stderr


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [("onnx", "jax2onnx", "pip install 'ganrun[onnx]'"), ("stablehlo", "flatbuffers", "pip install flatbuffers")],
)
def test_without_its_package_a_format_says_what_to_install(name, package, command, points, inside, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda asked, *rest: None if asked == package else find(asked, *rest)
    )
    done = inside("export", "run=run", f"formats=[{name}]", "out=new", cwd=points)
    assert done.returncode == 2 and not (points / "new").exists()
    assert f"formats=[{name}] needs the package {package}" in done.stderr and command in done.stderr
    assert len(done.stderr.splitlines()) == 1

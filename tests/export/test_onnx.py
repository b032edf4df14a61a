"""Models as ONNX: what is refused without the converter, and with it the samples of ONNX Runtime."""

from __future__ import annotations

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from saved_runs import random_state, with_small_networks

from ganrun import datasets
from ganrun.errors import GanrunError
from ganrun.export.check import inputs_of
from ganrun.export.programs import Input, Program, programs_of
from ganrun.export.to_onnx import onnx_of
from ganrun.methods.experiment import Experiment

MODELS = {
    "mlp": ("dataset=ring",),
    "dcgan": ("dataset=digits", "architecture=dcgan"),
    "resnet": ("dataset=digits", "architecture=resnet"),
    "r3gan": ("dataset=digits", "architecture=r3gan"),
    "vae": ("dataset=digits", "method=vae"),
}
PROGRAM = Program("model", (Input("latents", (2,), "float32", ""),), lambda z: z, "")


def test_a_program_of_random_keys_is_refused():
    with pytest.raises(GanrunError, match="a function of latents; this run's is not"):
        onnx_of(dataclasses.replace(PROGRAM, name="sample"), None)


def test_what_the_converter_cannot_convert_is_reported_in_one_line(monkeypatch):
    def to_onnx(*_: object, **__: object) -> None:
        raise KeyError("no plugin for 'svd'\nand more")

    monkeypatch.setitem(sys.modules, "jax2onnx", SimpleNamespace(to_onnx=to_onnx))
    with pytest.raises(GanrunError, match=r"^jax2onnx cannot convert the model \(KeyError: .*svd.*\)\.$") as refused:
        onnx_of(PROGRAM, None)
    assert len(str(refused.value).splitlines()) == 1


def test_the_converter_gets_names_and_a_symbolic_batch(monkeypatch):
    def to_onnx(function, inputs, **named):
        assert named["input_names"] == ["latents"] and named["output_names"] == ["samples"]
        assert str(inputs[0].shape) == "(batch, 2)" and inputs[0].dtype == np.float32
        return SimpleNamespace(SerializeToString=lambda: b"bytes")

    monkeypatch.setitem(sys.modules, "jax2onnx", SimpleNamespace(to_onnx=to_onnx))
    assert onnx_of(PROGRAM, None) == b"bytes"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [None, 4])
def test_onnx_runtime_draws_the_samples_of_ganrun(name, batch, compose_config):
    pytest.importorskip("jax2onnx")  # in an environment of its own
    onnxruntime = pytest.importorskip("onnxruntime")
    config = with_small_networks(compose_config(MODELS[name]))
    experiment = Experiment(config, datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=None))
    variables = experiment.variables(random_state(config))
    program = programs_of(experiment, config, variables)[0]
    session = onnxruntime.InferenceSession(onnx_of(program, batch))
    for n in (4,) if batch else (4, 1):
        inputs = inputs_of(program, experiment, n)
        (samples,) = session.run(None, {"latents": np.asarray(inputs[0])})
        own = np.asarray(experiment.decode(variables, *inputs))
        np.testing.assert_allclose(samples, own, rtol=0, atol=1e-5 * max(1.0, float(np.abs(own).max())))

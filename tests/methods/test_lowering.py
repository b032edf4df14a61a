"""The programs of a run lower for a TPU and for a GPU, on a machine that has neither.

Each is traced as on an accelerator, where layers choose another form of convolution than on a CPU, for shapes only:
nothing is compiled and nothing is computed. Lowering fails for an operation that a platform lacks; beyond that, no
program may call code outside XLA or the host, which only some devices can.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.extend.core import Primitive
from jax.interpreters import mlir
from narrow import narrow

from ganrun import datasets
from ganrun.config.folders import config_folder
from ganrun.config.registry import options
from ganrun.config.settings import Train
from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.export.programs import foreign_calls
from ganrun.methods import experiment as single
from ganrun.methods.experiment import Experiment
from ganrun.plots.pictures import points
from ganrun.training import vmapped
from ganrun.training.vmapped import VmappedRuns

pytestmark = pytest.mark.retraced  # what is traced here is not the program of a CPU
PLATFORMS = ("tpu", "cuda")
HOST = re.compile(r"stablehlo\.(send|recv|infeed|outfeed)\b")
PRESETS = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))
SHOWN = 8  # samples of a program that draws them
RING = ("dataset=ring", "batch_size=8", "latent.dim=2")
# What no preset has, on the smallest data that allow it.
OTHERS = {
    **{f"loss={name}": (f"loss={name}", *RING) for name in options("loss")},
    "every penalty": ("penalty=[consensus,dragan,drift,gradient_penalty,r1,r2,weight_clipping]", *RING),
    "spectral normalisation": ("penalty=spectral_normalisation", *RING),
    "method=dbm": ("method=dbm", "dataset=digits", "batch_size=8"),
    "architecture=conv_vae": ("method=vae", "architecture=conv_vae", "dataset=digits", "batch_size=8"),
    "architecture=r3gan": ("architecture=r3gan", "dataset=digits", "batch_size=8"),
    "architecture=r3gan2": ("architecture=r3gan2", "dataset=digits", "batch_size=8"),
    "conditional": ("conditional=true", "dataset=digits", "architecture=dcgan", "batch_size=8"),
    "precision=bf16": ("precision=bf16", "dataset=digits", "architecture=dcgan", "batch_size=8"),
    "precision=tf32": ("precision=tf32", *RING),
    "averages": ("ema.sigma_rel=[0.05,0.1]", *RING),
    "probe=streaming": ("probe=streaming", *RING),
}


@pytest.fixture(autouse=True)
def _as_on_an_accelerator(monkeypatch):
    """What a program is made of depends on the backend at the time when it is traced."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")


def experiment_of(config: Train) -> Experiment:
    """The experiment of ``config``; in place of a dataset's files, a few random pictures of its shape."""
    if hasattr(config.dataset, "density") or hasattr(config.dataset, "source"):
        return Experiment(config, datasets.load(config.dataset, config_folder(), 0, config.conditional))
    rows, shape = max(config.batch_size, 256), config.dataset.shape
    rng, classes = np.random.default_rng(0), config.dataset.classes if config.conditional else 0
    pixels = rng.integers(0, 256, (rows, int(np.prod(shape))), dtype=np.uint8)
    labels = jnp.asarray(np.arange(rows) % classes, jnp.uint8) if classes else None
    source = Pixels(jnp.asarray(pixels), jax.random.key_data(jax.random.key(0)), shape, labels, classes)
    return Experiment(config, datasets.Data(source, source, shape, None, classes))


def programs(experiment: Experiment) -> dict[str, tuple[Any, ...]]:
    """The programs of a run and of a population of two by name: a function of JAX, and its arguments."""
    method, held_out = experiment.method, experiment.data.held_out
    shown, n = points(experiment.data.density), jax.ShapeDtypeStruct((), jnp.int32)
    state = experiment.abstract()
    variables = jax.eval_shape(method.variables, state.model)
    both = VmappedRuns([experiment, experiment])
    own, states = (both._train_own, both._held_out_own), jax.eval_shape(both.init)
    look = jax.ShapeDtypeStruct(shown.shape, jnp.float32)
    looks = jax.ShapeDtypeStruct((2, *shown.shape), jnp.float32)
    return {
        "step": (single._advance, method, state, experiment.window(Cursor.start(), 0), held_out, n),
        "sample": (single._sample, method, experiment.hparams, variables, jax.random.key(0), SHOWN, None),
        "snapshot": (single._snapshot, method, state, held_out, look, SHOWN),
        "step of two": (vmapped._advance, both._method, *own, states, both._train, both._held_out, n),
        "snapshot of two": (vmapped._snapshot_members, both._method, SHOWN, own[1], states, both._held_out, looks),
    }


def module_of(function: Any, *arguments: Any) -> str:
    """The program as StableHLO for both platforms at once; fails if one of them lacks an operation of it."""
    return export.export(function, platforms=PLATFORMS)(*arguments).mlir_module()


def elsewhere(module: str) -> list[str]:
    """What of a program does not run on the device: calls of libraries, and exchanges with the host."""
    return [*foreign_calls(module), *sorted(set(HOST.findall(module)))]


def lower_all(config: Train, *names: str) -> None:
    found = programs(experiment_of(config))
    for name in names:
        module = module_of(*found[name])
        assert elsewhere(module) == [], name
        assert "stablehlo.while" in module or "step" not in name, name


@pytest.mark.parametrize("preset", PRESETS)
def test_the_programs_of_every_preset_lower(preset, compose_config):
    lower_all(compose_config([f"experiment={preset}"]), "step", "sample", "snapshot")


QUICK = ("ring", "dcgan", "vae", "rbm")


@pytest.mark.parametrize(
    "preset", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in PRESETS]
)
def test_the_programs_of_a_population_of_every_preset_lower(preset, compose_config):
    lower_all(compose_config([f"experiment={preset}"]), "step of two", "snapshot of two")


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_the_step_of_every_other_part_lowers(words, compose_config):
    config = compose_config(words)
    lower_all(compose_config((*words, *narrow(config))), "step")


def test_every_part_of_a_config_is_in_a_preset_or_in_the_list(compose_config):
    configs = [compose_config([f"experiment={preset}"]) for preset in PRESETS]
    configs += [compose_config(words) for words in OTHERS.values()]
    for group in ("method", "architecture", "loss"):
        used = {part.name for config in configs if (part := getattr(config, group)) is not None}
        assert used == set(options(group)), group
    assert {one.name for config in configs for one in config.penalty} == set(options("penalty"))


# Steps that only a CPU can take.


def test_an_accelerator_has_the_convolutions_of_xla(compose_config):
    experiment = experiment_of(compose_config(OTHERS["conditional"]))
    assert "stablehlo.convolution" in module_of(*programs(experiment)["step"])


def step_with(operation: Callable[[jax.Array], jax.Array], config: Train) -> tuple[Any, ...]:
    """The program of a step that applies ``operation`` to its metrics, and its arguments."""
    experiment = experiment_of(config)
    plain = type(experiment.method)

    class Changed(plain):
        def step(self, *arguments: Any) -> Any:
            model, cursor, metrics = plain.step(self, *arguments)
            return model, cursor, jax.tree.map(operation, metrics)

    fields = dataclasses.fields(experiment.method)
    experiment.method = Changed(**{field.name: getattr(experiment.method, field.name) for field in fields})
    return programs(experiment)["step"]


def test_a_step_with_an_operation_that_only_the_cpu_has_does_not_lower(tiny_config):
    only_here = Primitive("only_here")
    only_here.def_abstract_eval(lambda x: x)
    mlir.register_lowering(only_here, mlir.lower_fun(lambda x: x, multiple_results=False), platform="cpu")
    with pytest.raises(NotImplementedError, match="only_here"):
        module_of(*step_with(only_here.bind, tiny_config))


def test_a_step_that_calls_a_function_of_the_host_does_not_lower(tiny_config):
    def called(x: jax.Array) -> jax.Array:
        return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    with pytest.raises(NotImplementedError, match="python_callback"):
        module_of(*step_with(called, tiny_config))


def test_a_step_that_calls_a_library_of_one_backend_is_found(tiny_config):
    module = module_of(*step_with(lambda x: x * jnp.linalg.eigvalsh(jnp.eye(2) * x)[0], tiny_config))
    assert elsewhere(module) == ["Eigh", "cusolver_syevd_ffi"]

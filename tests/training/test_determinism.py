"""``deterministic=true`` on a machine that has no GPU: what XLA is told, and that it takes it."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import jax
import pytest

from ganrun.errors import ConfigError
from ganrun.storage.folder_checks import require_own
from ganrun.training import determinism

ASKED = {"deterministic": True}
# Says what JAX would compile with: the folder of the choices, and whether an operation may be nondeterministic.
COMPILED_WITH = """
import jax
from jax._src.compiler import get_compile_options
jax.config.update("jax_compilation_cache_dir", "shared")
jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
whole = get_compile_options(num_replicas=1, num_partitions=1)
build = whole.executable_build_options  # each is a view of the one before, which has to stay
options = build.debug_options
print(options.xla_gpu_per_fusion_autotune_cache_dir)
print("xla_gpu_exclude_nondeterministic_ops: true" in str(options))
"""


@pytest.fixture
def with_gpu(monkeypatch):
    """A machine with the plugin for NVIDIA's GPUs, as its entry point says; the environment is restored."""
    plugin = EntryPoint("xla_cuda12", "jax_plugins.xla_cuda12", "jax_plugins")
    monkeypatch.setattr(determinism, "entry_points", lambda group: [plugin] if group == "jax_plugins" else [])
    monkeypatch.setenv("XLA_FLAGS", "")
    before = jax.config.jax_persistent_cache_enable_xla_caches
    yield
    jax.config.update("jax_persistent_cache_enable_xla_caches", before)


def test_xla_takes_the_flags_and_keeps_its_choices_in_the_run(tmp_path):
    run = tmp_path / "a run"  # with a space, at which XLA divides its flags
    environment = os.environ | {"XLA_FLAGS": determinism.flags(run, "--xla_cpu_enable_fast_math=false")}
    command = [sys.executable, "-c", COMPILED_WITH]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(run / "autotuning"), "True"]


def test_a_deterministic_run_asks_for_it(with_gpu, tmp_path):
    determinism.ask_for([{"seed": 1}, ASKED], tmp_path)
    assert os.environ["XLA_FLAGS"] == determinism.flags(tmp_path)
    assert jax.config.jax_persistent_cache_enable_xla_caches == "none"


@pytest.mark.parametrize("nodes", [[{}], [{"deterministic": False}], [{"deterministic": "yes"}], [None], []])
def test_other_runs_do_not(with_gpu, tmp_path, nodes):
    determinism.ask_for(nodes, tmp_path)
    assert os.environ["XLA_FLAGS"] == ""


def test_without_a_gpu_nothing_is_changed(monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    determinism.ask_for([ASKED], tmp_path)
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"


def test_flags_of_the_user_take_precedence():
    given = "--xla_gpu_exclude_nondeterministic_ops=false --xla_gpu_per_fusion_autotune_cache_dir=/mine"
    assert determinism.flags(Path("run"), given) == given


def test_a_run_of_a_sweep_takes_the_choices_of_the_sweep(tmp_path):
    (tmp_path / "autotuning").mkdir()
    assert f'"{tmp_path / "autotuning"}"' in determinism.flags(tmp_path / "0-seed=0")


def test_xla_does_not_write_through_a_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "autotuning").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="autotuning is a link"):
        require_own(tmp_path / "run")

"""``precision``, as it is typed: recorded, resumed to the same bits, refused where it cannot be, and in samples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from written import arrays, assert_same_bits, summary

from ganrun import load_run
from ganrun.config.hparams import settings
from ganrun.config.schema import check, to_dict
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import load_config

STEPS = 40
CONSTANT = tuple(f"optimizer.{player}.decay=constant" for player in ("generator", "discriminator"))
SHORT = (*CONSTANT, "precision=bf16", "penalty=[spectral_normalisation]", "architecture.generator_norm=batch")


@pytest.fixture(scope="module")
def cwd(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("precision")


@pytest.fixture(scope="module")
def words(tiny) -> tuple[str, ...]:
    return (*tiny, *SHORT, "log.every=10")


@pytest.fixture(scope="module")
def run(inside, cwd, words) -> Path:
    done = inside("train", *words, f"steps={STEPS}", "hydra.run.dir=whole", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "whole"


def rounded(x: np.ndarray) -> np.ndarray:
    """``x`` to 8 significant bits: the lower 16 of the 32 bits of its numbers are zero, after rounding to even."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)


def test_a_run_in_bf16_says_so_and_saves_float32(run) -> None:
    assert yaml.safe_load((run / "config.yaml").read_text())["precision"] == "bf16"
    assert load_config(run).precision == "bf16" and settings(load_config(run))["precision"] == "bf16"
    kinds = {array.dtype.name for array in arrays(run).values() if array.dtype.kind not in "iu"}
    assert kinds == {"float32"}
    weights = [array for name, array in arrays(run).items() if re.search("generator.*kernel", name)]
    assert weights and all((rounded(array) != array).any() for array in weights)  # more than 8 bits of each are kept
    assert summary(run)["status"] == "completed" and np.isfinite(summary(run)["metrics"]["jsd/exact"])


def test_a_stopped_run_in_bf16_continues_to_the_same_bits(run, inside, cwd, words) -> None:
    assert inside("train", *words, "steps=20", "hydra.run.dir=half", cwd=cwd).returncode == 0
    done = inside("train", "resume=half", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "half", run)


def test_a_run_is_not_resumed_in_another_precision_unless_that_is_allowed(run, inside, cwd) -> None:
    done = inside("train", "resume=whole", "precision=f32", f"steps={STEPS + 10}", cwd=cwd)
    assert done.returncode == 2
    assert "these differ: precision ('bf16' before, 'f32' now)" in done.stderr
    before = arrays(run)
    allowed = "resume.allow=[precision]"
    done = inside("train", "resume=whole", "precision=tf32", "hydra.run.dir=other", allowed, cwd=cwd)
    assert done.returncode == 2  # resume continues in its own folder
    for name, array in arrays(run).items():
        np.testing.assert_array_equal(array, before[name])


def test_samples_are_those_of_the_runs_precision(run, inside, cwd) -> None:
    done = inside("sample", "run=whole", "n=200", "seed=3", "out=samples.npy", cwd=cwd)
    assert done.returncode == 0, done.stderr
    samples = np.load(cwd / "samples.npy")
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(load_run(run).sample(200, seed=3), samples)
    node = yaml.safe_load((run / "config.yaml").read_text())
    (cwd / "plain").mkdir()
    (cwd / "plain" / "config.yaml").write_text(yaml.safe_dump(node | {"precision": "f32"}))
    (cwd / "plain" / "checkpoints").symlink_to(run / "checkpoints")
    full = load_run(cwd / "plain").sample(200, seed=3)  # the same weights in float32
    errors = np.abs(samples - full) / np.abs(full).max()
    assert 1e-4 < np.median(errors) < 2**-8 and errors.max() < 0.05


def test_a_run_of_before_there_was_a_choice_is_f32(tiny_config) -> None:
    node = to_dict(tiny_config)
    del node["precision"]
    assert check(node).precision == "f32"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("bf32", "precision must be one of f32, bf16, tf32, not 'bf32'. Did you mean "),
        ("16", "precision must be one of f32, bf16, tf32, not '16'."),
    ],
)
def test_another_name_is_refused_with_the_choices(word, line, inside, tmp_path) -> None:
    done = inside("train", f"precision={word}", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f"ganrun: {line}")
    assert len(done.stderr.splitlines()) == 1


def test_a_method_that_does_not_know_of_precisions_is_refused_in_another(tiny_config, monkeypatch) -> None:
    monkeypatch.setattr(type(tiny_config.method), "PRECISIONS", ("f32",))
    assert check(to_dict(tiny_config)) == tiny_config
    with pytest.raises(ConfigError) as caught:
        check(to_dict(tiny_config) | {"precision": "bf16"})
    assert str(caught.value) == "precision=bf16 cannot be combined with method=gan, which has f32."


def test_runs_of_two_precisions_are_two_programs_and_two_groups(inside, cwd, tiny) -> None:
    words = (*tiny, "steps=10", "log.every=5", "seed=range(2)", "precision=f32,bf16", "hydra.sweep.dir=sweep")
    done = inside("train", "-m", *words, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 runs in 2 programs" in done.stdout
    table = inside("compare", "sweep", "format=json", cwd=cwd)
    assert table.returncode == 0, table.stderr
    shown = json.dumps(json.loads(table.stdout))
    assert "bf16" in shown and "f32" in shown

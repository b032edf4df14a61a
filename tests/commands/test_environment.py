"""The settings of JAX: the environment is respected, and errors in it are reported in one line."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import jax
import pytest

from ganrun.commands import doctor
from ganrun.config.folders import cache_folder, data_folder
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError, GanrunError
from ganrun.training import device

CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
NAMES = ("GANRUN_CACHE", "GANRUN_DATA", "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


def setting(name: str):
    """What JAX is set to."""
    return getattr(jax.config, name)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """An environment that says nothing, a home of its own, and JAX as it was afterwards."""
    before = {name: setting(name) for name in CACHE}
    for name in (*NAMES, "XDG_CACHE_HOME", "XLA_FLAGS", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def nobody(monkeypatch) -> None:
    """Have the process belong to somebody of whom the system knows nothing."""

    def unknown(*_):
        raise KeyError("uid not found")

    for name in ("HOME", "USER", "LOGNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


def kept() -> str | None:
    device.prepare()
    return setting(CACHE[0])


@pytest.mark.parametrize("off", ["off", "OFF"])
def test_off_is_no_folder_and_turns_off_the_cache_of_programs_alone(off, tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_CACHE", off)
    home = (tmp_path / "home").resolve()
    assert data_folder(None) == home / ".cache" / "ganrun" / "data"
    assert kept() is None
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "programs"))
    assert kept() is None
    assert not (tmp_path / off).exists()


def test_programs_are_kept_in_the_cache_folder_of_jax_or_else_of_ganrun(tmp_path, monkeypatch):
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "mine"))
    assert kept() == str((tmp_path / "mine" / "xla").resolve())
    assert setting(CACHE[1]) == 0
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "gs://somewhere/programs")  # which no mkdir could make
    assert kept() == "gs://somewhere/programs" and not Path("gs:").exists()
    assert data_folder(None) == (tmp_path / "mine" / "data").resolve()


def test_the_minimum_compile_time_is_the_one_given_to_jax(tmp_path, monkeypatch):
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 7)  # as JAX has read it
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "7")
    device.prepare()
    assert setting(CACHE[1]) == 7


def test_who_has_no_home_keeps_no_programs_and_has_data_in_the_temporary_folder(tmp_path, monkeypatch):
    nobody(monkeypatch)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache_folder() == tmp_path / f"ganrun-{os.getuid()}"
    assert data_folder(None) == tmp_path / f"ganrun-{os.getuid()}" / "data"
    assert kept() is None and list(tmp_path.iterdir()) == []
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "mine"))
    assert kept() == str((tmp_path / "mine" / "xla").resolve())


def test_a_cache_in_the_home_of_nobody_is_reported(monkeypatch):
    monkeypatch.setenv("GANRUN_CACHE", "~nobody-here/cache")
    with pytest.raises(ConfigError, match="no user ~nobody-here"):
        cache_folder()


@pytest.mark.parametrize("variable", ["GANRUN_DATA", None])
def test_an_empty_data_folder_is_none_and_not_the_working_directory(variable, tmp_path, monkeypatch):
    if variable:
        monkeypatch.setenv(variable, "")
    config = check(compose("train", [] if variable else ["data_dir="]))
    assert config.data_dir is None
    assert data_folder(config.data_dir) == (tmp_path / "home").resolve() / ".cache" / "ganrun" / "data"


@pytest.fixture
def no_device(monkeypatch):
    """JAX without a device: it raises, with or without a word."""

    def without(error: Exception) -> None:
        def devices():
            raise error

        monkeypatch.setattr(jax, "devices", devices)

    return without


MISSING = RuntimeError("Backend 'cuda': no CUDA. (set JAX_PLATFORMS='' to choose)\nand more")


@pytest.mark.parametrize(
    ("error", "platforms", "code", "line"),
    [
        (
            AssertionError(),
            "cuda",
            2,
            "JAX_PLATFORMS=cuda is set, and JAX has no such device here: unset it, or set JAX_PLATFORMS=cpu.",
        ),
        (
            MISSING,
            "cuda",
            2,
            "JAX_PLATFORMS=cuda is set, and JAX has no such device here (Backend 'cuda': no CUDA): "
            "unset it, or set JAX_PLATFORMS=cpu.",
        ),
        (AssertionError(), "", 1, "JAX has no device to compute on: install it again with pip install -U jax."),
    ],
    ids=["no word", "words", "nothing set"],
)
def test_no_device_is_reported_in_one_line_by_every_command(
    error, platforms, code, line, no_device, monkeypatch, inside
):
    no_device(error)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    with pytest.raises(GanrunError) as told:
        device.prepare()
    assert (str(told.value), told.value.exit_code) == (line, code)
    done = inside("jsd", "ring", "grid", cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (code, f"ganrun: {line}\n")
    done = inside("doctor", cwd=Path.cwd())
    assert done.returncode == 1 and f"BAD   JAX          {line}\n" in done.stdout
    assert [row[6:18].strip() for row in done.stdout.splitlines() if row.startswith("BAD")] == ["JAX"]
    assert "TensorBoard" in done.stdout and done.stderr == ""


def test_what_breaks_before_a_device_is_asked_for_is_reported_by_its_cause(no_device, monkeypatch, inside):
    no_device(AssertionError())
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr("ganrun.commands.jsd.name_distributions", jax.devices)
    done = inside("jsd", "ring", "grid", cwd=Path.cwd())
    assert done.returncode == 2 and done.stderr.startswith("ganrun: JAX_PLATFORMS=cuda is set")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--xla_no_such_flag=1", "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1"),
        ("--xla_force_host_platform_device_count=abc", "Couldn't interpret value abc for flag"),
    ],
)
def test_flags_that_would_end_the_process_are_reported_in_one_line(flags, reason, monkeypatch, inside):
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(ConfigError) as told:
        device.prepare()
    assert f"XLA_FLAGS={flags}: {reason}" in str(told.value) and "\n" not in str(told.value)
    (finding,) = doctor._jax()
    assert finding.state == "bad" and finding.text == str(told.value)


def test_flags_that_xla_takes_are_taken_and_nothing_is_asked_without_any(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    device.prepare()
    monkeypatch.setenv("XLA_FLAGS", " ")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("asks"))
    device.prepare()


def test_a_check_of_doctors_that_fails_is_a_line_of_the_report(monkeypatch, inside):
    monkeypatch.setenv("GANRUN_DATA", "~nobody-here/data")
    done = inside("doctor", cwd=Path.cwd(), env={"GANRUN_DATA": "~nobody-here/data"})
    assert done.returncode == 1 and done.stderr == ""
    assert "BAD   data         there is no user ~nobody-here" in done.stdout and "TensorBoard" in done.stdout


def test_a_file_is_no_folder_of_data(inside, tmp_path):
    (tmp_path / "file").touch()
    line = f"data_dir: {tmp_path / 'file'} is a file, not a folder."
    done = inside("train", "dataset=mnist", "data_dir=file", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"ganrun: {line}\n")
    done = inside("doctor", "data_dir=file", cwd=tmp_path)
    assert done.returncode == 1 and f"BAD   data         {line}" in done.stdout


@pytest.mark.parametrize(("version", "noted"), [((0, 11, 9), True), ((0, 12, 0), False)])
def test_doctor_notes_a_version_of_jax_with_slower_convolutions(monkeypatch, version, noted):
    monkeypatch.setattr(jax, "__version_info__", version)
    texts = [finding.text for finding in doctor._jax() if finding.state == "note"]
    assert ("convolutions are faster with jax 0.12, which needs Python 3.12 or later" in texts) == noted


@pytest.mark.parametrize(
    ("backend", "capability", "line"),
    [
        ("cpu", None, "f32; bf16 rounds as on other devices, but is no faster; tf32 is f32"),
        ("gpu", "9.0", "f32, tf32, bf16"),
        ("gpu", "10.0", "f32, tf32, bf16"),
        ("gpu", "7.5", "f32; this GPU (compute capability 7.5) has no units for bf16, and tf32 is f32"),
        ("gpu", "gfx942", "f32, bf16; tf32 is f32 unless the GPU has units for it"),
        ("tpu", None, "f32 (6 passes of bfloat16 per product), tf32 (3 passes), bf16 (1 pass)"),
    ],
)
def test_doctor_says_what_the_precisions_are_on_a_device(backend, capability, line, monkeypatch):
    assert device.precisions(backend, capability) == line
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    if capability is None:
        assert [finding.text for finding in doctor._jax() if finding.what == "precision"] == [line]

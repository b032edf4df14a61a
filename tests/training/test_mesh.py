"""Runs and populations on several devices: virtual ones of the CPU, in a process of its own."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.mesh import Mesh, divide
from ganrun.training import mesh as chosen
from ganrun.training.mesh import cpu_devices, mesh_for

CLOSE = 1e-5


@pytest.fixture(scope="module")
def found():
    script = Path(__file__).parent / "mesh_cases.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["data", "sharded", "rows", "images"])
def test_a_run_on_several_devices_is_that_on_one(found, case):
    assert found["meshes"][case] <= CLOSE


@pytest.mark.slow
def test_a_run_resumed_on_as_many_devices_is_the_same_bit_for_bit(found):
    assert found["resumed"]["8"] == -1


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["1", "2", "4"])
def test_a_run_resumes_on_other_numbers_of_devices(found, devices):
    assert found["resumed"][devices] <= CLOSE


@pytest.mark.slow
def test_members_on_several_devices_are_those_on_one(found):
    population = found["population"]
    assert population["difference"] <= CLOSE
    assert population["round trip"] == -1
    assert population["spread"] == "P('population',)"
    assert population["reports"] == 6  # those of two repeated members, which fill the mesh, are left out
    assert population["samples"] == [16, 2]


@pytest.mark.slow
def test_a_frozen_member_takes_no_step_on_a_mesh(found):
    assert found["population"]["frozen"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("case", ["run", "member"])
def test_streamed_data_on_a_mesh_are_those_on_one_device(found, case):
    assert found["streamed"][case] <= CLOSE


@pytest.mark.slow
def test_a_population_that_shrinks_keeps_the_devices_that_share_its_minibatches(found):
    assert found["streamed"]["devices"] == 4


@pytest.mark.slow
def test_devices_only_exchange_sums(found):
    """Gradients and metrics in one sum for each network; batch norm needs its sums before, and once in the gradient."""
    assert found["collectives"] == {
        "vectors": {"all-reduce": 2},
        "images": {"all-reduce": 5},
        "vae": {"all-reduce": 2},
        "streamed": {"all-reduce": 2},  # minibatches are where they are needed
    }


@pytest.mark.slow
def test_a_device_has_a_part_of_sharded_parameters(found):
    memory = found["memory"]
    assert memory["sharded"] < 0.4 * memory["replicated"]  # small arrays are not divided


@functools.cache
def defaults():
    return compose("train", [])


def config(**settings):
    mesh = {key: settings.pop(key) for key in ("data", "population", "parameters") if key in settings}
    return check({**defaults(), **settings, "mesh": mesh})


@pytest.mark.parametrize(
    ("settings", "members", "devices", "expected"),
    [
        ({}, 1, 1, Mesh()),
        ({}, 1, 8, Mesh(data=8)),
        ({"batch_size": 12}, 1, 8, Mesh(data=6)),
        ({"data": 2}, 1, 8, Mesh(data=2)),
        ({}, 6, 8, Mesh(population=6)),
        ({}, 100, 8, Mesh(population=8)),
        ({"data": 2}, 100, 8, Mesh(population=4, data=2)),
        ({"population": 3, "data": 2}, 100, 8, Mesh(population=3, data=2)),
        ({"parameters": "sharded"}, 1, 8, Mesh(data=8, sharded=True)),
        ({"parameters": "sharded"}, 1, 1, Mesh()),
    ],
)
def test_the_mesh_is_chosen_by_settings_and_devices(monkeypatch, settings, members, devices, expected):
    monkeypatch.setattr(chosen.jax, "device_count", lambda: devices)
    assert mesh_for(config(**settings), members) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": 16}, "mesh.data=16 needs 16 devices; JAX has 8 devices."),
        ({"data": 5}, "mesh.data=5: batch_size=512 cannot be divided evenly among 5 devices."),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(monkeypatch, settings, message):
    monkeypatch.setattr(chosen.jax, "device_count", lambda: 8)
    with pytest.raises(ConfigError) as error:
        mesh_for(config(**settings))
    assert str(error.value) == message


@pytest.mark.parametrize("value", ["all", 0, 1.5, True])
def test_a_number_of_devices_is_auto_or_whole(value):
    with pytest.raises(ConfigError, match=r"mesh\.data must be "):
        config(data=value)


def test_a_cpu_gets_the_devices_that_a_config_asks_for():
    assert cpu_devices([{"mesh": {"data": 4, "population": 2}}, {"mesh": {"data": "auto"}}, {}]) == 8
    assert cpu_devices([{"mesh": {"data": -1}}, {"mesh": 7}, 3]) == 1


@pytest.mark.parametrize(
    ("shape", "parts", "expected"),
    [
        ((64, 32), 4, ("data", None)),
        ((30, 64), 4, (None, "data")),
        ((30, 65), 4, ()),
        ((8, 8), 4, ()),  # too small
        ((), 4, ()),
    ],
)
def test_an_array_is_divided_along_its_largest_dimension_that_allows_it(shape, parts, expected):
    assert divide(shape, parts) == expected


def test_members_are_repeated_where_several_hosts_have_more_devices(monkeypatch):
    monkeypatch.setattr(chosen.jax, "device_count", lambda: 8)
    monkeypatch.setattr(chosen.jax, "process_count", lambda: 2)
    assert mesh_for(config(), 3) == Mesh(population=8)
    with pytest.raises(ConfigError, match="with several hosts it must use all"):
        mesh_for(config(data=2))

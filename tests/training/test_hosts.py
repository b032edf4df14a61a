"""Several hosts: how they find each other, and runs on two of them, which are processes on this machine."""

import json
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ganrun.config.settings import Hosts
from ganrun.errors import ConfigError, GanrunError
from ganrun.training import host_watch, hosts
from ganrun.training.host_watch import HostWatch
from ganrun.training.rendezvous import wait

CASES = Path(__file__).parent / "host_cases.py"
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "hosts.py"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def in_threads(address, indices, count, timeout):
    """What ``wait`` returns or raises on each of the hosts ``indices``."""
    found = {}

    def one(place, index):
        try:
            found[place], connections = wait(address, count, index, timeout)
            for connection in connections.values():
                connection.close()
        except GanrunError as error:
            found[place] = error

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(indices)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[place] for place in range(len(indices))]


def test_hosts_wait_for_each_other():
    left = in_threads(f"127.0.0.1:{free_port()}", [2, 0, 1], 3, 20.0)
    assert all(isinstance(seconds, float) and 1.0 <= seconds <= 20.0 for seconds in left)


def test_a_host_that_does_not_come_is_named_by_the_first():
    first, second = in_threads(address := f"127.0.0.1:{free_port()}", [0, 1], 3, 1.5)
    assert str(first) == "hosts: host 2 has not come within hosts.timeout=1.5 seconds."
    assert str(second) == f"hosts: not all hosts have come to {address} within hosts.timeout=1.5 seconds."


def test_a_host_that_has_died_before_the_last_one_comes_is_a_broken_connection():
    port, found = free_port(), []
    first = threading.Thread(target=lambda: found.append(wait(f"127.0.0.1:{port}", 3, 0, 20.0)))
    first.start()
    while True:
        try:
            second = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            time.sleep(0.05)
    second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    second.sendall(b"1\n")
    time.sleep(0.3)
    second.close()  # with a reset, as by the system when a process dies
    third = in_threads(f"127.0.0.1:{port}", [2], 3, 20.0)
    first.join()
    assert isinstance(third[0], float)
    with found[0][1][1] as broken, found[0][1][2], pytest.raises(OSError):
        assert broken.recv(1) == b"" and broken.sendall(b"x") is None


def test_two_hosts_with_one_number_are_refused():
    first, *_ = in_threads(f"127.0.0.1:{free_port()}", [0, 1, 1], 3, 3.0)
    assert isinstance(first, ConfigError) and str(first) == "hosts.index=1 was given to two hosts."


def test_a_stranger_at_the_port_is_no_host():
    port = free_port()

    def stranger():
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\n")
            connection.recv(10)

    timer = threading.Timer(0.3, stranger)
    timer.start()
    (first,) = in_threads(f"127.0.0.1:{port}", [0], 2, 1.5)
    assert "host 1 has not come" in str(first)


def test_a_port_that_is_in_use_is_one_line():
    with socket.create_server(("", 0)) as server, pytest.raises(GanrunError, match="cannot be used here"):
        wait(f"127.0.0.1:{server.getsockname()[1]}", 2, 0, 1.0)


@pytest.fixture
def connections():
    """Two connections, by the number of the host at the other end, and these ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends = {number: socket.create_connection(server.getsockname()) for number in (1, 2)}
        here = {number: server.accept()[0] for number in ends}
    yield here, ends
    for one in (*here.values(), *ends.values()):
        one.close()


@pytest.fixture
def exits(monkeypatch):
    """A queue of the codes that processes would exit with."""
    codes = queue.Queue()
    monkeypatch.setattr(host_watch.os, "_exit", codes.put)
    return codes


def test_the_first_host_tells_the_others_which_one_has_died_and_ends_after_them(connections, exits, capsys):
    here, ends = connections
    HostWatch(0, here, 60)
    ends[2].close()
    assert ends[1].recv(9) == b"2\n"
    assert exits.empty()
    ends[1].close()
    assert exits.get(timeout=5) == 1
    line = "ganrun: hosts: host 2 is lost. resume=RUN on all hosts continues from the newest checkpoint."
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.parametrize(("told", "line"), [(b"3\n", "host 3 is lost."), (None, "the first host is lost.")])
def test_a_host_ends_when_it_is_told_or_the_first_one_has_died(connections, exits, capsys, told, line):
    here, ends = connections
    HostWatch(1, {0: here[1]}, 60)
    ends[1].sendall(told) if told else ends[1].close()
    assert exits.get(timeout=5) == 1
    assert line in capsys.readouterr().err


def test_hosts_may_end_after_the_run(connections, exits, capsys):
    here, ends = connections
    HostWatch(0, here, 60).end()
    for one in ends.values():
        one.close()
    with pytest.raises(queue.Empty):
        exits.get(timeout=0.5)
    assert not capsys.readouterr().err


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="needs Linux")
def test_the_system_asks_whether_a_machine_is_there(connections, exits):
    here, _ = connections
    HostWatch(0, here, 40).end()
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert [here[1].getsockopt(socket.IPPROTO_TCP, name) for name in names] == [10, 10, 3]  # 10 + 3 * 10 seconds
    assert here[1].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":99", "127.0.0.1:port", "127.0.0.1:0", "127.0.0.1:65536"])
def test_an_address_needs_a_port(address):
    with pytest.raises(ConfigError, match=r"hosts\.coordinator must be an address and a port"):
        wait(address, 2, 1, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 2}, "hosts.count=2 needs hosts.coordinator and hosts.index"),
        ({"count": 2, "index": 0}, "hosts.count=2 needs hosts.coordinator:"),
        ({"count": 2, "index": 2, "coordinator": "a:1"}, "hosts.index=2 must be less than hosts.count=2."),
        ({"count": 0}, "count must be at least 1"),
        ({"count": "some"}, "count must be auto or a whole number"),
        ({"count": 2, "port": 1}, "port is not a setting."),
    ],
)
def test_incomplete_settings_are_refused_before_jax_is_used(settings, message):
    with pytest.raises(ConfigError) as error:
        hosts.start(settings)
    assert message in str(error.value)


def test_a_run_on_one_host_connects_to_none():
    hosts.start({"count": 1})
    hosts.start(None)
    assert not hosts.several() and not hosts.is_follower()


def test_slurm_says_how_many_hosts_there_are(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM", "OMPI"))]:
        monkeypatch.delenv(name)
    found = {"JOB_ID": "4321", "STEP_NODELIST": "node[7-8]", "NTASKS": "2", "PROCID": "1", "LOCALID": "0"}
    for name, value in (found | {"STEP_NUM_TASKS": "2", "JOB_NUM_NODES": "2"}).items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    coordinator, count, index = hosts._detected(Hosts(count="auto"))
    assert coordinator.startswith("node7:") and (count, index) == (2, 1)


def test_without_a_scheduler_nothing_is_detected(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM", "OMPI", "TPU", "KUBERNETES"))]:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="no job of SLURM or Open MPI"):
        hosts._detected(Hosts(count="auto"))


@pytest.fixture(scope="module")
def streamed():
    """What host_cases.py finds on one host with two devices, and on each of two hosts with one."""
    port = free_port()
    processes = [
        subprocess.Popen([sys.executable, str(CASES), *map(str, words)], stdout=subprocess.PIPE, text=True)
        for words in ((1,), (2, 0, port), (2, 1, port))
    ]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["run", "population"])
def test_a_host_reads_the_streamed_examples_of_its_own_devices(streamed, case):
    """Minibatches of 32 are divided between the hosts; of two members, each host reads the data of one."""
    one, *hosts = (found[case] for found in streamed)
    assert len(one["read"]) > 0 and [len(host["read"]) for host in hosts] == [len(one["read"]) // 2] * 2
    assert sorted(hosts[0]["read"] + hosts[1]["read"]) == one["read"]
    assert one["ahead"] == 2 * hosts[0]["ahead"] == 2 * hosts[1]["ahead"] > 0  # while the devices compute


@pytest.mark.slow
@pytest.mark.parametrize("case", ["run", "population"])
def test_streamed_data_on_two_hosts_give_the_bits_of_two_devices_of_one(streamed, case):
    one, *hosts = (found[case]["ends"] for found in streamed)
    assert one == hosts[0] == hosts[1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "codes"), [("TERM", {"[143, 143]"}), ("KILL", {"[-9, 1]", "[1, -9]"})])
def test_two_hosts_train_stop_and_resume_to_the_same_bits(number, codes):
    """SIGTERM on one host saves the state and ends both, SIGKILL ends the other; the resumed run has the same bits."""
    words = ["hosts=2", "kills=2", f"signal={number}", "steps=300"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 of " in done.stdout.splitlines()[-1]
    lines = [line.partition("exit codes ")[2] for line in done.stdout.splitlines() if line.startswith(number)]
    ends = {line.partition(" after")[0] for line in lines}
    assert ends <= {*codes, "[0, 0]"} and ends

"""Signals as requests to stop, in small processes of their own without JAX."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

WAIT = """
import signal, sys, time
from ganrun.training.signals import StopRequest
# Tests that are started with nohup hand on a hangup that is ignored.
signal.signal(signal.SIGHUP, signal.SIG_IGN if "ignored" in sys.argv else signal.SIG_DFL)
with StopRequest() as stop:
    print("ready", flush=True)
    for _ in range(1000):
        time.sleep(0.01)
        if stop.signal is not None:
            break
    if "busy" in sys.argv:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            time.sleep(0.01)
print(stop.signal, flush=True)
sys.exit(stop.exit_code)
"""


def started(*words):
    process = subprocess.Popen([sys.executable, "-c", WAIT, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 143), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=lambda one: str(one)
)
def test_a_signal_asks_to_stop_and_the_work_ends_in_order(number, code):
    process = started()
    process.send_signal(number)
    told, _ = process.communicate(timeout=30)
    assert (process.returncode, told) == (code, f"{int(number)}\n")


def test_a_second_hangup_does_not_leave_at_once_and_ctrl_c_does():
    process = started("busy")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    process.send_signal(signal.SIGHUP)  # as a shell and the system each send one
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130
    process.communicate()


def test_under_nohup_a_hangup_stays_ignored():
    process = started("ignored")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=30)
    assert (process.returncode, told) == (143, f"{int(signal.SIGTERM)}\n")


REQUEUES = """
import signal, sys, time
from ganrun.training.signals import StopRequest
def requeue(number, frame):  # as submitit does, which leaves the process, or raises an error if it will not requeue
    print("requeued", flush=True)
    if "often" in sys.argv:
        raise RuntimeError("timed-out too many times")
    sys.exit(7)
signal.signal(signal.SIGUSR2, requeue)
signal.signal(signal.SIGTERM, lambda number, frame: None)
with StopRequest() as stop:
    print("ready", flush=True)
    while not (stop.preempted if "both" in sys.argv else stop.signal):
        time.sleep(0.01)
    print("saved", flush=True)
sys.exit(stop.exit_code)
"""


@pytest.mark.parametrize(
    ("words", "sent", "code", "printed"),
    [
        ((), (signal.SIGUSR2,), 7, "saved\nrequeued\n"),
        (("both",), (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR2), 7, "saved\nrequeued\n"),
        (("often",), (signal.SIGUSR2,), 143, "saved\nrequeued\n"),
        ((), (signal.SIGTERM,), 143, "saved\n"),
    ],
    ids=["preempted", "after SIGTERM", "too often", "SIGTERM alone"],
)
def test_a_job_is_requeued_after_its_state_is_saved_whatever_the_order_of_signals(words, sent, code, printed):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", REQUEUES, *words], **pipes)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for number in sent:
        process.send_signal(number)
        time.sleep(0.1)
    told, complaint = process.communicate(timeout=30)
    assert (process.returncode, told) == (code, printed)
    line = "ganrun: the job does not go back into the queue: timed-out too many times\n"
    assert complaint == (line if "often" in words else "")


PRINTS = """
import fcntl, signal, sys, termios, time
from pathlib import Path
from ganrun.training.signals import StopRequest
signal.signal(signal.SIGHUP, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
with StopRequest() as stop:
    print("ready", flush=True)
    while stop.signal is None:
        time.sleep(0.01)
    print("to a terminal that is gone", flush=True)
    print("and there", file=sys.stderr, flush=True)
    Path(sys.argv[1]).write_text("saved")
"""


def test_what_is_printed_after_the_terminal_is_gone_fails_nothing(tmp_path):
    terminal, its = pty.openpty()
    command = [sys.executable, "-c", PRINTS, str(tmp_path / "done")]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    assert b"ready" in os.read(terminal, 100)
    os.close(terminal)  # the system sends SIGHUP
    assert process.wait(timeout=30) == 0
    assert (tmp_path / "done").read_text() == "saved"

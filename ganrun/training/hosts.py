"""Several hosts that train together: how they find each other, and how the first one leads the others.

Every host runs the same command. The first one is the leader: it decides, logs and writes, as a run on one host does.
The others have no files and make no decisions. They receive each operation of the leader's executor through the
key-value store of JAX's coordination service, and call the same programs in the same order, as computations on several
hosts require.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ganrun.config.schema import check_plain
from ganrun.config.settings import AUTO, Hosts
from ganrun.errors import ConfigError, GanrunError, shown
from ganrun.training.host_watch import HostWatch
from ganrun.training.rendezvous import wait

PREFIX = "ganrun"
DONE = "done"
PATIENCE_MS = 1000  # milliseconds that a follower waits for a message before it looks for signals
ENDING = 10  # seconds in which followers learn that the leader ends
POLL = 0.25  # seconds between the leader's looks for signals that followers have received
KEPT = 64  # messages that stay in the store: followers are never so far behind
GRACE = 5  # seconds that JAX, which aborts the process, waits longer for a host than ganrun does


def start(settings: Any) -> None:
    """Connect to the other hosts, if ``settings``, the plain section ``hosts`` of a config, ask for some.

    Call before anything else uses JAX.

    Raises:
        ConfigError: the settings are invalid or incomplete.
        GanrunError: not all hosts have come within ``hosts.timeout`` seconds.
    """
    hosts = check_plain(Hosts, settings) if isinstance(settings, Mapping) else Hosts()
    if hosts.count == 1:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    if jax.distributed.is_initialized():
        return
    coordinator, count, index = _detected(hosts) if hosts.count == AUTO else _given(hosts)
    if count == 1:
        return
    left, others = wait(coordinator, count, index, hosts.timeout)
    channel().watch = HostWatch(index, others, hosts.heartbeat)
    settings = {"initialization_timeout": math.ceil(left), "heartbeat_timeout_seconds": hosts.heartbeat + GRACE}
    try:
        # The first host closes its port only when all others have come, and JAX opens it again.
        jax.distributed.initialize(coordinator, count, index, **settings)
    except Exception as error:  # JAX and its schedulers' plugins raise anything
        raise GanrunError(f"hosts: cannot connect to the others ({_reason(error)}).") from error
    if index == 0:  # a sweep may build several programs, one after another
        atexit.register(lambda: channel().end())


def _detected(hosts: Hosts) -> tuple[str, int, int]:
    """Return the address of the first host, the number of hosts and that of this one, as the environment says."""
    try:
        from jax._src.clusters import ClusterEnv  # JAX has no public name for what it detects

        found = ClusterEnv.auto_detect_unset_distributed_params(
            hosts.coordinator, None, hosts.index, None, None, hosts.timeout
        )
    except Exception as error:  # schedulers' plugins raise anything
        raise ConfigError(f"hosts.count=auto: the environment is not understood ({_reason(error)}).") from error
    coordinator, count, index = found[:3]
    if coordinator is None or count is None or index is None:
        raise ConfigError(
            "hosts.count=auto: this is no job of SLURM or Open MPI, and no TPU pod: set hosts.count, hosts.index and "
            "hosts.coordinator."
        )
    return coordinator, count, index


def _given(hosts: Hosts) -> tuple[str, int, int]:
    """Return the same as the settings say."""
    count = int(hosts.count)
    if hosts.coordinator is None or hosts.index is None:
        missing = " and ".join(f"hosts.{name}" for name in ("coordinator", "index") if getattr(hosts, name) is None)
        raise ConfigError(
            f"hosts.count={count} needs {missing}: the address and port of the first host, and the number of "
            "this one from 0; or hosts.count=auto under SLURM, Open MPI or on a TPU pod."
        )
    if hosts.index >= count:
        raise ConfigError(f"hosts.index={hosts.index} must be less than hosts.count={count}.")
    return hosts.coordinator, count, hosts.index


def _reason(error: Exception) -> str:
    return shown(str(error).partition("\n")[0].rstrip(".") or type(error).__name__, 200)


def several() -> bool:
    """Return whether this process is one of several hosts."""
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_follower() -> bool:
    """Return whether another host leads this one."""
    import jax

    return several() and jax.process_index() > 0


@dataclass
class Channel:
    """Messages from the leader to all followers, in order, and signals from followers to the leader.

    Attributes:
        number: of messages sent or received so far.
        looked: when the leader last looked for signals.
        code: the exit code with which the followers end when the leader does.
        ended: whether the leader has told them.
        watch: ends this process when another host dies.
    """

    number: int = 0
    looked: float = field(default_factory=time.monotonic)
    code: int = 1
    ended: bool = False
    watch: HostWatch | None = None

    def send(self, operation: str, **content: Any) -> None:
        """Send an ``operation`` with JSON ``content`` to the followers."""
        client = _client()
        client.key_value_set(f"{PREFIX}/message/{self.number}", json.dumps({"operation": operation, **content}))
        if self.number >= KEPT:
            client.key_value_delete(f"{PREFIX}/message/{self.number - KEPT}")
        self.number += 1

    def end(self) -> None:
        """End the followers with :attr:`code`, once, and wait until they know it: they die with the leader's store."""
        if not self.ended:
            self.ended = True
            self.unwatch()
            self.send("end", code=self.code)
            with contextlib.suppress(GanrunError):  # one that is lost needs no end
                self.confirmed(ENDING)

    def unwatch(self) -> None:
        """Let the other hosts end without ending this one."""
        if self.watch is not None:
            self.watch.end()

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None if there has been none for a second.

        Raises:
            GanrunError: the leader is lost.
        """
        try:
            message = _client().blocking_key_value_get(f"{PREFIX}/message/{self.number}", PATIENCE_MS)
        except Exception as error:  # of a type that JAX does not export
            if "DEADLINE_EXCEEDED" in str(error):
                return None
            if self.watch is not None:
                time.sleep(ENDING)  # it ends this process
            raise GanrunError("hosts: the first host is lost.") from error
        self.number += 1
        return json.loads(message)

    def confirm(self, error: str = "") -> None:
        """Tell the leader that this follower has done what the last message asks for, or why it could not."""
        import jax

        _client().key_value_set(f"{PREFIX}/done/{self.number}/{jax.process_index()}", error or DONE)

    def confirmed(self, seconds: float) -> None:
        """Wait until all followers have done what the last message asks for.

        Raises:
            GanrunError: one of them could not, or has not within ``seconds``.
        """
        import jax

        for index in range(1, jax.process_count()):
            try:
                key = f"{PREFIX}/done/{self.number}/{index}"
                answer = _client().blocking_key_value_get(key, int(1000 * seconds))
            except Exception as error:  # of a type that JAX does not export
                raise GanrunError(f"hosts: host {index} is lost, or busy for more than {seconds:g} seconds.") from error
            if answer != DONE:
                raise GanrunError(f"hosts: host {index}: {shown(answer, 500)}")

    def tell(self, number: int) -> None:
        """Tell the leader that this follower has received the signal ``number``."""
        import jax

        _client().key_value_set(f"{PREFIX}/signal/{jax.process_index()}", str(int(number)), allow_overwrite=True)

    def look(self) -> None:
        """Send this process, the leader, the signal that a follower has received."""
        if time.monotonic() - self.looked < POLL:
            return
        self.looked = time.monotonic()
        for name, number in _client().key_value_dir_get(f"{PREFIX}/signal/"):
            with contextlib.suppress(Exception):
                _client().key_value_delete(name)
            os.kill(os.getpid(), signal.Signals(int(number)))
            return


_channel = Channel()


def channel() -> Channel:
    """Return the channel of this process."""
    return _channel


def _client() -> Any:
    from jax._src.distributed import global_state  # JAX has no public name for its key-value store

    return global_state.client

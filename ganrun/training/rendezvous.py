"""The hosts of a run wait for each other before JAX connects them: it ends the process if one of them does not come."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress

from ganrun.errors import ConfigError, GanrunError, shown

ALL_HERE = b"all here\n"
MAX_LINE = 32  # bytes of a host's message: its number
RETRY = 0.2  # seconds between attempts to connect to the first host
SLOW = 5.0  # seconds in which a host that has connected says its number


def wait(coordinator: str, count: int, index: int, timeout: float) -> tuple[float, dict[int, socket.socket]]:
    """Wait until all hosts have come.

    Args:
        coordinator: address and port of the first host.
        count: number of hosts.
        index: number of this one.
        timeout: seconds to wait.

    Returns:
        The seconds that are left of ``timeout``, and the open connections: to the first host, or from it to all others.

    Raises:
        ConfigError: ``coordinator`` is not an address with a port, or two hosts have the same number.
        GanrunError: a host has not come, or the port cannot be used.
    """
    address, port = _parsed(coordinator)
    until = time.monotonic() + timeout
    if index == 0:
        connections = _gather(port, count, until, timeout)
    else:
        connections = {0: _join(address, port, index, until, timeout)}
    return max(1.0, until - time.monotonic()), connections


def _parsed(coordinator: str) -> tuple[str, int]:
    address, _, port = coordinator.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"hosts.coordinator must be an address and a port, such as 10.0.0.1:9876, not {coordinator!r}."
        )
    return address.strip("[]"), int(port)


def _gather(port: int, count: int, until: float, timeout: float) -> dict[int, socket.socket]:
    """Wait for the other hosts at ``port``, tell them that all have come, and return the connections to them."""
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise GanrunError(f"hosts: port {port} of hosts.coordinator cannot be used here: {error.strerror}.") from error
    with ExitStack() as held:
        held.enter_context(server)
        here: dict[int, socket.socket] = {}
        while len(here) < count - 1:
            server.settimeout(max(0.01, until - time.monotonic()))
            try:
                connection = held.enter_context(server.accept()[0])
            except TimeoutError as error:
                missing = [str(i) for i in range(1, count) if i not in here]
                which = f"host {missing[0]} has" if len(missing) == 1 else f"hosts {', '.join(missing[:8])} have"
                raise GanrunError(f"hosts: {which} not come within hosts.timeout={timeout:g} seconds.") from error
            index = _number(connection)
            if index in here:
                raise ConfigError(f"hosts.index={index} was given to two hosts.")
            if index is not None and 0 < index < count:
                here[index] = connection
        for connection in here.values():
            with suppress(OSError):  # it has died since, which the one who watches the connection says
                connection.sendall(ALL_HERE)
        held.pop_all()
    server.close()
    return here


def _number(connection: socket.socket) -> int | None:
    """Return the number that a host has sent; None if it is no host of a run."""
    connection.settimeout(SLOW)
    try:
        line = connection.recv(MAX_LINE).strip()
    except OSError:
        return None
    return int(line) if line.isdigit() else None


def _join(address: str, port: int, index: int, until: float, timeout: float) -> socket.socket:
    """Connect to the first host, wait until it says that all have come, and return the connection."""
    while time.monotonic() < until:
        try:
            with ExitStack() as held:
                connection = held.enter_context(
                    socket.create_connection((address, port), timeout=max(0.01, until - time.monotonic()))
                )
                connection.sendall(b"%d\n" % index)
                connection.settimeout(max(0.01, until - time.monotonic()))
                if connection.recv(MAX_LINE) == ALL_HERE:
                    held.pop_all()
                    return connection
        except socket.gaierror as error:
            raise GanrunError(
                f"hosts: {shown(address)} of hosts.coordinator is not known: {error.strerror}."
            ) from error
        except OSError:
            pass
        time.sleep(RETRY)
    raise GanrunError(f"hosts: not all hosts have come to {address}:{port} within hosts.timeout={timeout:g} seconds.")

"""Serial ports behind a network server such as ser2net: their addresses, and exclusive use on this machine.

`socket://HOST:PORT` is the bare bytes over TCP, `rfc2217://HOST:PORT` is Telnet with the speed and flow control of
RFC 2217. Neither authenticates or encrypts.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket

# No path, query or user: pyserial's options (`?logging=debug`) would write every SMS to the log.
_ADDRESS = re.compile(
    r"(?P<scheme>socket|rfc2217)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})"
)
FORMS = "socket://HOST:PORT or rfc2217://HOST:PORT"
CONNECT_SECONDS = 3.0  # a server in the same network or VPN answers within milliseconds


def is_network(port: str) -> bool:
    """Return whether `port` is an address, rather than the name of a local port."""
    return "://" in port


def is_valid(port: str) -> bool:
    """Return whether `port` is a name, or an address that can be opened."""
    if not is_network(port):
        return True
    match = _ADDRESS.fullmatch(port)
    return match is not None and 1 <= int(match["port"]) <= 65535


def sets_speed(port: str) -> bool:
    """Return whether the speed of the serial line can be set: not over bare TCP, where the server sets it."""
    return not port.startswith("socket:")


def host_and_port(address: str) -> tuple[str, int]:
    """Return the host and TCP port of a valid address. Raises ValueError for another."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r}: expected {FORMS}")
    return match["host"].strip("[]"), int(match["port"])


def reachable(address: str) -> bool:
    """Return whether the server accepts a connection now. Blocks for up to `CONNECT_SECONDS`."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(host_and_port(address), CONNECT_SECONDS),
    ):
        return True
    return False


class AddressLock:
    """Exclusive use of an address on this machine, as a local port has by TIOCEXCL. Ends with the process.

    Programs on other machines are kept away by the server, which accepts one connection at a time.
    """

    def __init__(self, address: str) -> None:
        """Take the lock. Raises OSError while another holder exists, in this process or another."""
        host, port = host_and_port(address)
        # An abstract Unix socket: no file remains, and the kernel removes it with the process (unix(7)).
        name = hashlib.sha256(f"{host.lower()}:{port}".encode()).hexdigest()[:32]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0zimbox-port-{name}")
        except OSError:
            self._socket.close()
            raise

    def release(self) -> None:
        self._socket.close()

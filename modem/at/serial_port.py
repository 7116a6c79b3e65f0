"""Serial ports: their names, opening them, and their errors as `PortLost`. The only module that imports pyserial."""

from __future__ import annotations

import contextlib
import glob
import termios
import threading
import warnings
from collections.abc import Iterator

import serial

from modem.at.errors import PortError, PortLost
from modem.at.network_port import AddressLock, is_network
from modem.timeouts import SerialLine, Timing

_READ_SECONDS = 1.0  # how often a reader checks whether it has to end
_REMOTE_READ_SECONDS = 0.25  # its read cannot be interrupted
_READ_AT_MOST = 4096

_ERRORS: tuple[type[BaseException], ...] = (
    serial.SerialException,  # including its time-outs: a line that accepts no bytes is lost
    OSError,
    termios.error,  # not an OSError
    ValueError,  # a speed that the port does not support
    NotImplementedError,  # a setting that pyserial's network ports do not support
    AttributeError,  # pyserial, where another thread has just closed the port
    TypeError,  # the same, in select()
)


@contextlib.contextmanager
def port_errors(what: str) -> Iterator[None]:
    """Convert every error of pyserial and the system into a `PortLost`."""
    try:
        yield
    except PortError:
        raise
    except _ERRORS as error:
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PortLost(f"{what}: {words}") from error


class SerialPort:
    """An open port, local or behind a network server, held for exclusive use. Every error is a `PortLost`."""

    def __init__(self, name: str, baud: int, line: SerialLine, timing: Timing) -> None:
        """Open the port. Raises PortLost."""
        self._lock: AddressLock | None = None
        if not is_network(name):
            with port_errors(f"open {name}"):
                self.device = _local(name, baud, line, timing)
            return
        try:
            self._lock = AddressLock(name)
        except ValueError as error:
            raise PortLost(f"open {error}") from error
        except OSError as error:
            raise PortLost(f"open {name}: in use by another program on this machine") from error
        try:
            with port_errors(f"open {name}"):
                self.device = _remote(name, baud, line, timing)
        except PortLost:
            self._lock.release()
            raise

    def read(self) -> bytes:
        """Return what has arrived, after waiting up to a second; b"" for nothing."""
        with port_errors("read"):
            data: bytes = self.device.read(1)
            if data and (more := self.device.in_waiting):
                data += self.device.read(min(more, _READ_AT_MOST))
            return data

    def write(self, data: bytes) -> None:
        with port_errors("write"):
            self.device.write(data)

    def set_speed(self, baud: int) -> None:
        with port_errors(f"set {baud} baud"):
            self.device.baudrate = baud

    def close(self, reader: threading.Thread) -> None:
        """Close the port once `reader`, which may be in `read`, has ended. Never raises a `PortError`."""
        with contextlib.suppress(PortLost), port_errors("close"):
            self.device.cancel_read()
        if reader is not threading.current_thread():
            reader.join(_READ_SECONDS * 2)
        # After a cut, pyserial's `socket://` drops its socket without closing it.
        connection = getattr(self.device, "_socket", None)
        with contextlib.suppress(PortLost), port_errors("close"):
            self.device.close()
        if connection is not None:
            connection.close()
        if self._lock is not None:
            self._lock.release()


def _local(name: str, baud: int, line: SerialLine, timing: Timing) -> serial.SerialBase:
    return serial.Serial(
        port=name,
        baudrate=baud,
        timeout=_READ_SECONDS,
        write_timeout=timing.write_seconds,
        exclusive=True,
        rtscts=line.rtscts,
        dsrdtr=False,
    )


def _remote(address: str, baud: int, line: SerialLine, timing: Timing) -> serial.SerialBase:
    rfc2217 = address.startswith("rfc2217:")
    # ser2net does not answer SET-CONTROL for DTR and RTS on a device without these lines.
    url = f"{address}?ign_set_control" if rfc2217 else address
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyserial's rfc2217: setDaemon
        return serial.serial_for_url(
            url,
            baudrate=baud,
            timeout=_REMOTE_READ_SECONDS,
            # rfc2217 has no write time-out; its socket has one of 5 s.
            write_timeout=None if rfc2217 else timing.write_seconds,
            rtscts=line.rtscts,
            dsrdtr=False,
        )


def matching(pattern: str) -> list[str]:
    """Return the ports that match a pattern now."""
    return sorted(glob.glob(pattern))  # noqa: PTH207 - patterns are absolute, pathlib refuses those


def is_pattern(path: str) -> bool:
    """Return whether `path` has wildcards. An address may have brackets, around an IPv6 address."""
    return glob.has_magic(path) and not is_network(path)


def find(path: str, turn: int = 0) -> str:
    """Return the port that `path` (a name or a pattern) means now. Raises PortLost.

    A USB modem has several ports, of which one or two answer AT: each `turn` is another port.
    """
    if not is_pattern(path):
        return path
    found = matching(path)
    if not found:
        raise PortLost(f"no port like {path}")
    return found[turn % len(found)]

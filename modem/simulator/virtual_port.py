"""The pseudo-terminal: a serial port for any program, with the faults of a serial line."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import select
import termios
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path

from modem.simulator.distortion import CLEAN, Distortion, distort
from modem.simulator.trace import Trace
from modem.simulator.uart import Pacer

LONGEST_BACKLOG = 65536  # bytes that a client may leave unread; more are lost
_CHUNK = 65536
_SPEEDS = {
    9600: termios.B9600,
    19200: termios.B19200,
    38400: termios.B38400,
    57600: termios.B57600,
    115200: termios.B115200,
    230400: termios.B230400,
    460800: termios.B460800,
}


class VirtualPort:
    """A port that clients can open repeatedly, and that can disappear."""

    def __init__(
        self,
        received: Callable[[bytes], None],
        chance: random.Random,
        *,
        link: Path | None = None,
        baud: int = 0,
        fixed: bool = False,
        trace: Trace | None = None,
    ) -> None:
        self._received, self._chance = received, chance
        self._trace = trace
        self._link, self._baud, self._fixed = link, baud, fixed
        self.distortion: Distortion = CLEAN
        self.lost = 0  # bytes written while no client had the port open
        self._master = -1
        self._edges: select.epoll | None = None
        self._client = False  # whether a client has the port open, as far as known
        self._slave = ""
        self._backlog = bytearray()
        self._pacer: Pacer | None = None
        self._outward = _Delayed(self._transmit)
        self._inward = _Delayed(received)

    # -- open and close

    def open(self) -> str:
        """Create the port. Return its name, or the link's."""
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._slave = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        # Edge-triggered in an epoll of its own: with no client the port is for ever "hung up", and
        # the loop's level-triggered one would spin on that.
        self._edges = select.epoll()
        self._edges.register(self._master, select.EPOLLIN | select.EPOLLET)
        asyncio.get_running_loop().add_reader(self._edges.fileno(), self._readable)
        if self._baud:
            self._pacer = Pacer(self._master, self._baud)
        if self._link is None:
            return self._slave
        _point(self._link, self._slave)
        return str(self._link)

    @property
    def plugged(self) -> bool:
        """Whether the port exists."""
        return self._master >= 0

    def close(self) -> None:
        """Remove the port; a client that has it open reads end of file and cannot write."""
        if self._edges is None:
            return
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._edges.fileno())
        if self._backlog:
            loop.remove_writer(self._master)
            self._backlog.clear()
        self._outward.clear()
        self._inward.clear()
        if self._pacer:
            self._pacer.stop()
            self._pacer = None
        self._edges.close()
        self._edges = None
        os.close(self._master)
        self._master = -1
        self._client = False

    # -- from the client

    def _readable(self) -> None:
        if self._edges is not None:
            self._edges.poll(0)
        while self._master >= 0:
            try:
                data = os.read(self._master, _CHUNK)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._hung_up()
                return
            self._client = True
            self._hear(data)

    def _hung_up(self) -> None:
        """Drop unread bytes after the last client has closed the port, as a real port does."""
        if not self._client:
            return
        self._client = False
        slave = os.open(self._slave, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        termios.tcflush(slave, termios.TCIFLUSH)
        os.close(slave)

    def _hear(self, data: bytes) -> None:
        if self._trace:
            self._trace.note("in", data)
        if self._fixed and not self._same_speed():
            data = self._noise(data)
        if self._baud:
            self._inward.put(len(data) * 10 / self._baud, b"")
        if self.distortion.clean or self.distortion.direction == "out":
            self._inward.put(0.0, data)
            return
        for seconds, piece in distort(data, self.distortion, self._chance):
            self._inward.put(seconds, piece)

    # -- to the client

    def write(self, data: bytes) -> None:
        """Write bytes to the client; without a client they are lost."""
        if self._trace:
            self._trace.note("out", data)
        if self._fixed and self._master >= 0 and not self._same_speed():
            data = self._noise(data)
        if self.distortion.clean or self.distortion.direction == "in":
            self._outward.put(0.0, data)
            return
        for seconds, piece in distort(data, self.distortion, self._chance):
            self._outward.put(seconds, piece)

    def _transmit(self, data: bytes) -> None:
        if not data:
            return
        if self._master < 0 or not self._listened():
            self.lost += len(data)
        elif self._pacer:
            self._pacer.put(data)
        elif self._backlog:
            self._keep(data)
        else:
            self._keep(data[self._written(data) :])

    def _listened(self) -> bool:
        if not self._client:
            poll = select.poll()
            poll.register(self._master, 0)
            self._client = not any(event & select.POLLHUP for _, event in poll.poll(0))
        return self._client

    def _written(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def _keep(self, rest: bytes) -> None:
        """Keep bytes for which the client's buffer has no room, and write them later."""
        if not rest:
            return
        room = LONGEST_BACKLOG - len(self._backlog)
        self.lost += max(0, len(rest) - room)
        if not self._backlog:
            asyncio.get_running_loop().add_writer(self._master, self._writable)
        self._backlog += rest[:room]

    def _writable(self) -> None:
        if self._listened():
            del self._backlog[: self._written(bytes(self._backlog))]
        else:
            self._backlog.clear()
        if not self._backlog:
            asyncio.get_running_loop().remove_writer(self._master)

    # -- speed

    def set_speed(self, baud: int) -> None:
        """Change the speed for the next bytes; an unpaced line has none."""
        if self._baud and baud != self._baud:
            self._baud = baud
            if self._pacer:
                self._pacer.set_speed(baud)

    def _same_speed(self) -> bool:
        return bool(termios.tcgetattr(self._master)[5] == _SPEEDS.get(self._baud))

    def _noise(self, data: bytes) -> bytes:
        return bytes(self._chance.randrange(0x80, 0x100) for _ in data[::2])


class _Delayed:
    """Bytes in order, some of them delayed."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, seconds: float, data: bytes) -> None:
        """Append bytes, so many seconds after the previous ones."""
        if not seconds and self._timer is None:
            self._sink(data)
            return
        self._waiting.append((seconds, data))
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._waiting[0][0], self._due)

    def _due(self) -> None:
        self._timer = None
        _, data = self._waiting.popleft()
        if data:
            self._sink(data)
        while self._waiting and not self._waiting[0][0]:
            self._sink(self._waiting.popleft()[1])
        if self._waiting:
            self._wait()

    def clear(self) -> None:
        """Drop the bytes that are still delayed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()


def _point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, in one step. Refuses to replace a real file."""
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} is there and is no symbolic link")
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)

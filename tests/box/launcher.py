"""Start boxes as forks of one process that has imported everything.

An interpreter needs a second of a core to import the gateway, a fork needs a few milliseconds. What a test gets is
a process as any other: it has its own environment, output, data and process id, and ends by signal or by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

ZIMBOX = Path(sys.executable).parent / "zimbox"
REQUEST_OCTETS = 1 << 17
START_SECONDS = 120.0  # until the launcher has imported everything, on a busy machine


class Process:
    """A started process: the part of `subprocess.Popen` that a test needs."""

    def __init__(self, news: socket.socket) -> None:
        self._news = news  # one line with its id, one with its exit code
        self._lines = news.makefile("r")
        self.returncode: int | None = None
        self.pid = int(self._lines.readline())

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Return its exit code, negative for a signal. Raises TimeoutError."""
        if self.returncode is None:
            self._news.settimeout(timeout)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._news.close()
        return self.returncode


class Launcher:
    """The process that forks; it ends with the test process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests = ours
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.box.launcher", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._requests.close()
        self._process.wait(START_SECONDS)

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int
    ) -> Process:
        """Start `zimbox WORDS` with this environment; its output goes to these descriptors."""
        request = json.dumps([list(words), dict(environment)]).encode()
        assert len(request) < REQUEST_OCTETS
        ours, theirs = socket.socketpair()
        with theirs, self._turn:
            socket.send_fds(self._requests, [request], [stdout, stderr, theirs.fileno()])
        return Process(ours)


@functools.cache
def launcher() -> Launcher:
    """Return the launcher of this test process."""
    return Launcher()


# --- in the launcher's own process ---------------------------------------------------------------


class _Forks:
    """Forks on request, and tells the requester when a fork has ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)

    def serve(self) -> list[str] | None:
        """Serve until the test process is gone. Returns the command line in each fork, None here at the end."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._requests:
                    self._ended(key)
                    continue
                request, descriptors, _, _ = socket.recv_fds(self._requests, REQUEST_OCTETS, 3)
                if not request:
                    return None
                words, environment = json.loads(request)
                stdout, stderr, news = descriptors
                if (pid := os.fork()) == 0:
                    self._become(environment, stdout, stderr)
                    os.close(news)
                    return [str(word) for word in words]
                os.close(stdout)
                os.close(stderr)
                os.write(news, b"%d\n" % pid)
                self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, news))

    def _ended(self, key: selectors.SelectorKey) -> None:
        pid, news = key.data
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(key.fileobj)
        os.close(key.fd)
        with socket.socket(fileno=news) as result:
            try:
                result.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            except BrokenPipeError:
                return  # the test did not wait for it

    def _become(self, environment: Mapping[str, str], stdout: int, stderr: int) -> None:
        """Make this fork a process of its own."""
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._requests:
                os.close(key.fd)
                os.close(key.data[1])
        self._selector.close()
        self._requests.close()
        for given, standard in ((stdout, 1), (stderr, 2)):
            os.dup2(given, standard)
            os.close(given)
        os.environ.clear()
        os.environ.update(environment)


def _serve(descriptor: int) -> None:
    # `serve` imports these late. httpcore imports trio where it is installed, which takes as long as all the rest.
    import httpcore  # noqa: F401
    import litestar
    import uvicorn.lifespan.off  # noqa: F401
    import uvloop  # noqa: F401

    import modem.simulator.simulator  # noqa: F401
    import web.server  # noqa: F401
    from appliance.cli.main import main
    from tests.box import crash_points, set_clock

    litestar.Litestar()  # imports the rest of it
    gc.collect()
    gc.freeze()  # what a fork never touches stays shared
    words = _Forks(socket.socket(fileno=descriptor)).serve()
    if words is not None:
        sys.argv = [str(ZIMBOX), *words]
        # A restart in the same process (`os.execv`) begins from here, in an interpreter of its own.
        sys.orig_argv = [sys.executable, *sys.argv]
        crash_points.install()
        set_clock.install()
        main(prog_name="zimbox")


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

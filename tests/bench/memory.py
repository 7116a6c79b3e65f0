"""Memory of the installed box: idle, and after a load."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import requests

from tests.bench.api import SETTINGS, Empty, Served
from tests.bench.load import load
from tests.box.running import REQUEST_SECONDS, eventually, free_port


def pss_mib(pid: int) -> float:
    """Proportional set size of a process, in MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


class Installed:
    """`zimbox serve` started as systemd starts it; a process forked by the tests shares their memory."""

    def __init__(self, data: Path, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.port = int(self.url.rpartition(":")[2])
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "appliance", "serve", "--data", str(data)),
                *("--listen", f"127.0.0.1:{self.port}", "--modem", str(data / "no-modem")),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._healthy, "GET /health")

    def _healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=REQUEST_SECONDS).ok
        except requests.ConnectionError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def measure(folder: Path) -> Iterator[str]:
    """An empty application and the box, idle and after 2,000 messages and 5,000 reads."""
    empty = Empty()
    yield f"Memory (PSS, MiB): empty Litestar application {pss_mib(empty.pid):.1f}"
    empty.stop()
    served = Served(folder)
    send, read = (
        msgspec.structs.replace(plan, connections=16, requests=n)
        for plan, n in ((served.send(), 2000), (served.read(), 5000))
    )
    served.box.stop()
    environment = {"PATH": "/usr/bin:/bin", "ZIMBOX_RATE_LIMIT": "0", **SETTINGS}
    box = Installed(served.box.data, environment)
    try:
        yield f"  the box, idle                {pss_mib(box.pid):.1f}"
        for plan in (send, read):
            load(msgspec.structs.replace(plan, port=box.port))
        yield f"  the box, after that load     {pss_mib(box.pid):.1f}"
    finally:
        box.stop()

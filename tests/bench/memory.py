"""Memory of the installed box: idle, and after a load.

Measured as on a box, where the packages of development are not installed: httpx imports trio where it finds it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import msgspec
import requests

from tests.bench.api import SETTINGS, Served
from tests.bench.load import load
from tests.box.running import REQUEST_SECONDS, eventually, free_port

OURS = {"appliance", "modem", "web", "zimbox"}


def pss_mib(pid: int) -> float:
    """Proportional set size of a process, in MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def only_for_development() -> list[str]:
    """Top-level modules that requirements/dev.txt installs and requirements/run.txt does not."""
    installed = {
        _package(d)
        for d in re.findall(r"(?m)^([\w.-]+)==", Path("requirements/run.txt").read_text())
    }
    return sorted(
        module
        for module, packages in packages_distributions().items()
        if not installed & {_package(name) for name in packages} and module not in OURS
    )


def _package(name: str) -> str:
    return name.lower().replace("_", "-")


def as_installed(module: str, *words: str) -> list[str]:
    """Return the command that runs a module as `python -m` does, without the packages of development."""
    program = (
        "import runpy, sys; "
        f"sys.modules.update(dict.fromkeys({only_for_development()!r})); "
        f"sys.argv[0] = {module!r}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", program, *words]


def empty_mib() -> float:
    """Proportional set size of an empty Litestar application on uvicorn, in MiB."""
    command = as_installed("tests.bench.empty", "plain")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.get(url, timeout=REQUEST_SECONDS).ok
        return pss_mib(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=30)


class Installed:
    """`zimbox serve` started as systemd starts it; a process forked by the tests shares their memory."""

    def __init__(self, data: Path, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.port = int(self.url.rpartition(":")[2])
        self._process = subprocess.Popen(
            as_installed(
                "appliance",
                *("serve", "--data", str(data), "--listen", f"127.0.0.1:{self.port}"),
                *("--modem", str(data / "no-modem")),
            ),
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
    yield f"Memory (PSS, MiB): empty Litestar application {empty_mib():.1f}"
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

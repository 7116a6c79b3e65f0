"""Run the simulated modem beside QEMU, and give it orders."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from image.emulator.machine import EmulationError


@contextlib.contextmanager
def simulated_modem(folder: Path, *options: str) -> Iterator[tuple[Path, Path]]:
    """Run `zimbox simulate` beside QEMU; yield its serial port and the journal of its network."""
    link, journal = folder / "modem", folder / "journal"
    with (folder / "simulator.log").open("ab") as log:
        process = subprocess.Popen(
            [".venv/bin/zimbox", "simulate", "--link", link, "--journal", journal,
             "--control", folder / "control", *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not link.exists():
            if time.monotonic() > deadline:
                raise EmulationError("the simulated modem did not start")
            time.sleep(0.2)
        yield link, journal
    finally:
        process.terminate()
        process.wait()


def order(folder: Path, what: Mapping[str, object]) -> None:
    """Send an order to the simulated modem of this folder (docs/simulator.md). Raises EmulationError, OSError."""
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as stream:
        line.connect(str(folder / "control"))
        stream.write(json.dumps(what) + "\n")
        stream.flush()
        answer = json.loads(stream.readline())
    if not answer.get("ok"):
        raise EmulationError(f"{what}: {answer}")

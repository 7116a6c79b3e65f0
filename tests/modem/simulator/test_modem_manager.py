"""ModemManager, the modem daemon of Linux desktops, works with the simulator: it registers, receives and joins parts.

It finds modems through udev, which knows no pseudo-terminals. Like its own tests, these hand it the modem as a Unix
socket: `--test-enable` offers the D-Bus call `SetProfile`, on a private bus.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import uuid
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.modem.network import Bridge
from tests.modem.simulated import Bench, simulated
from tests.waiting import HANG_SECONDS, eventually

PROGRAMS = ("ModemManager", "mmcli", "dbus-daemon", "busctl")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]

pytestmark = [
    pytest.mark.process,
    pytest.mark.seconds(10),
    pytest.mark.skipif(
        bool(MISSING) and not os.environ.get("CI"),
        reason=f"{', '.join(MISSING)} NOT INSTALLED (Debian: modemmanager, dbus-daemon): this proof is missing",
    ),
]

SENDER = "+4915112340003"
TEXT = "Grüße, ein langer Text, der in zwei Teilen kommt. " * 4


class ModemManager:
    """A running ModemManager with one modem, asked through `mmcli`."""

    def __init__(self, bus: str, log: Path) -> None:
        self._environment = {
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "DBUS_SYSTEM_BUS_ADDRESS": bus,
            "DBUS_SESSION_BUS_ADDRESS": bus,
        }
        self._bus, self.log = bus, log

    async def start(self) -> asyncio.subprocess.Process:
        with self.log.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                "ModemManager",
                *("--test-session", "--test-enable", "--test-no-udev", "--test-no-qrtr"),
                *("--test-no-suspend-resume", "--debug"),
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=self._environment,
            )

    async def run(self, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=self._environment
        )
        async with asyncio.timeout(HANG_SECONDS):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def add(self, socket: str) -> None:
        """Hand over a modem at the Unix socket `abstract:…`, and enable it."""
        service, path = "org.freedesktop.ModemManager1", "/org/freedesktop/ModemManager1"
        profile = ("SetProfile", "ssas", "simulated", "generic", "1", socket)
        call = ("busctl", f"--address={self._bus}", "call", service, path, f"{service}.Test")

        async def added() -> bool:
            code, _ = await self.run(*call, *profile)
            return code == 0

        await eventually(added, "ModemManager is on the bus and takes the modem")
        await self.until("modem.generic.state", "disabled", "-m", "0")
        await self.enable()

    async def enable(self) -> None:
        code, output = await self.run("mmcli", "-m", "0", "--enable")
        assert code == 0, output

    async def disable(self) -> None:
        code, output = await self.run("mmcli", "-m", "0", "--disable")
        assert code == 0, output

    async def value(self, name: str, *which: str) -> str:
        """A value of `mmcli`'s JSON, by the names on the way to it; empty where there is none."""
        code, output = await self.run("mmcli", "-J", *which)
        found = json.loads(output) if code == 0 else {}
        for each in name.split("."):
            found = found.get(each, {})
        return str(found or "").strip()

    async def until(self, name: str, value: str, *which: str) -> None:
        async def so() -> bool:
            return await self.value(name, *which) == value

        await eventually(so, f"ModemManager says {name} {value}")

    async def until_messages(self, *states: str) -> None:
        """Wait until it has just these messages, told by their states."""

        async def so() -> bool:
            _, output = await self.run("mmcli", "-m", "0", "--messaging-list-sms")
            return re.findall(r"/SMS/\d+ \((\w+)\)", output) == list(states)

        await eventually(so, f"ModemManager has messages {states}")

    async def text(self) -> str:
        """The text of its only message."""
        _, output = await self.run("mmcli", "-m", "0", "--messaging-list-sms")
        (number,) = re.findall(r"/SMS/(\d+) ", output)
        return await self.value("sms.content.text", "-s", number)


@asynccontextmanager
async def managed(folder: Path, personality: str) -> AsyncIterator[tuple[Bench, ModemManager]]:
    """A simulated modem that ModemManager has enabled and that is registered."""
    assert not MISSING, f"not installed: {MISSING}"
    name = f"abstract:{uuid.uuid4().hex}"
    async with simulated(folder, personality=personality) as bench:
        bench.client.close()
        bridge = Bridge(bench.port, socket=f"\0{name}")
        await bridge.start()
        bus = await asyncio.create_subprocess_exec(
            *("dbus-daemon", "--session", "--nofork", "--print-address"),
            f"--address=unix:path={folder}/bus",
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        assert bus.stdout is not None
        manager = ModemManager((await bus.stdout.readline()).decode().strip(), folder / "log")
        process = await manager.start()
        try:
            await manager.add(name)
            await manager.until("modem.generic.state", "registered", "-m", "0")
            yield bench, manager
        finally:
            for each in (process, bus):
                each.terminate()
                await each.wait()
            await bridge.stop()


def read(bench: Bench, manager: ModemManager) -> int:
    """How many messages ModemManager has read since it was started."""
    return manager.log.read_text("utf-8", "replace").count("<-- '<CR><LF>+CMGR: ")


@pytest.mark.parametrize("personality", ["sim800", "sim7600", "ec25"])
async def test_modem_manager_joins_parts_that_come_one_after_the_other(
    tmp_path: Path, personality: str
) -> None:
    """As the network sends them: it waits for the acknowledgement of each before the next (24.011 5.3)."""
    async with managed(tmp_path, personality) as (bench, manager):
        assert await manager.value("modem.3gpp.operator-name", "-m", "0") == "ZimSim"
        await bench.order("incoming", sender=SENDER, text=TEXT, reference=7, without=[2])
        await manager.until_messages("receiving")
        await bench.order("incoming", sender=SENDER, text=TEXT, reference=7, without=[1])
        await eventually(lambda: read(bench, manager) == 2, "the second part is read")
        await manager.until("sms.content.text", TEXT.strip(), "-s", "0")
        await manager.until_messages("received")


async def test_modem_manager_misses_a_part_announced_while_it_reads_another(
    tmp_path: Path,
) -> None:
    """Its fault, not the modem's: a `+CMTI` that arrives while it uses the storage is dropped (`cmti_received`).

    The part stays in the modem and is found when ModemManager lists the storage again.
    """
    async with managed(tmp_path, "sim7600") as (bench, manager):
        await bench.order("incoming", sender=SENDER, text=TEXT)
        await eventually(lambda: read(bench, manager) == 1, "the first part is read")
        await manager.until_messages("receiving")
        assert len(bench.simulator.equipment.storage("ME").places) == 2
        await manager.disable()
        await manager.enable()
        await manager.until_messages("received")
        assert await manager.text() == TEXT.strip()

"""Programs for real modems work with the simulator: they identify it, send, and get reports."""

from __future__ import annotations

import asyncio
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.modem.simulated import Bench, simulated
from tests.waiting import HANG_SECONDS, eventually

pytestmark = [pytest.mark.process, pytest.mark.seconds(15)]

SLOW = 25.0  # seconds; these programs sleep between their commands, and that cannot be changed


def needs(program: str) -> pytest.MarkDecorator:
    """A loud skip where the program is not installed (Debian: gammu, gammu-smsd, smstools)."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} IS NOT INSTALLED: this proof is missing"
    )


def gammu_settings(folder: Path, more: str = "") -> Path:
    path = folder / "gammurc"
    path.write_text(f"[gammu]\ndevice={folder}/port\nconnection=at\n{more}")
    return path


async def gammu(folder: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "gammu", "-c", gammu_settings(folder), *words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(HANG_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@asynccontextmanager
async def alone(folder: Path, **settings: Any) -> AsyncIterator[Bench]:
    """A simulator whose port nobody has open."""
    async with simulated(folder, **settings) as bench:
        bench.client.close()
        yield bench


@asynccontextmanager
async def running(*words: str | Path) -> AsyncIterator[Process]:
    """A program that runs until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def until(true: Callable[[], bool]) -> None:
    """Looks every 50 ms, for what another program does cannot be waited for otherwise."""
    await eventually(lambda: true(), "true()")


@needs("gammu")
async def test_gammu_identifies_a_sim800(tmp_path: Path) -> None:
    async with alone(tmp_path, personality="sim800"):
        output = await gammu(tmp_path, "identify")
        assert "SIMCOM_Ltd" in output and "SIM800L" in output
        assert "860123456789015" in output and "262019876543210" in output


@needs("gammu")
async def test_gammu_knows_the_network(tmp_path: Path) -> None:
    async with alone(tmp_path, personality="ec25"):
        output = await gammu(tmp_path, "networkinfo")
        assert "home network" in output and "262 01" in output


@needs("gammu")
@needs("stdbuf")
async def test_gammu_sends_and_shows_the_reports(tmp_path: Path) -> None:
    text = "Grüße für 5 € [alles] " * 9  # two parts; one report, for it loses one of two in a burst
    # The delay keeps "gammu monitor", which asks without a pause, from filling the machine.
    async with alone(tmp_path, personality="sim800", command_delay=0.01) as bench:
        await bench.order("report", lost=True)
        await bench.order("report", hold=True)
        output = await gammu(
            tmp_path, "sendsms", "TEXT", "+4915112340001", "-report", "-len", "400", "-text", text
        )
        assert "message reference=0" in output and "message reference=1" in output
        assert [line["text"] for line in bench.journal("message")] == [text]
        monitor = ("stdbuf", "-oL", "gammu", "-c", gammu_settings(tmp_path), "monitor")
        async with running(*monitor) as process:
            await until(lambda: bench.simulator.equipment.modes.cusd == 1)  # all else is set
            await bench.order("release")
            shown = b""
            assert process.stdout is not None
            async with asyncio.timeout(HANG_SECONDS):
                while b"Delivery status      : Delivered" not in shown:
                    line = await process.stdout.readline()
                    assert line, "gammu monitor ended without the reports"
                    shown += line
        assert b"Reference number     : 1" in shown


GAMMU_SMSD = """
[smsd]
service=files
logfile={folder}/log
debuglevel=1
inboxpath={folder}/inbox/
outboxpath={folder}/outbox/
sentsmspath={folder}/sent/
errorsmspath={folder}/error/
deliveryreport=log
commtimeout=1
sendtimeout=5
receivefrequency=1
statusfrequency=0
checksecurity=0
loopsleep=1
phoneid=x
"""


@needs("gammu-smsd")
@pytest.mark.parametrize("personality", ["sim800", "sim868", "sim7070", "a7670"])
async def test_gammu_smsd_sends_gets_its_report_and_receives(
    tmp_path: Path, personality: str
) -> None:
    for name in ("inbox", "outbox", "sent", "error"):
        (tmp_path / name).mkdir()
    log = tmp_path / "log"
    settings = gammu_settings(tmp_path, GAMMU_SMSD.format(folder=tmp_path))
    async with alone(tmp_path, personality=personality) as bench:
        order = ("TEXT", "+4915112340003", "-report", "-text", "Hello from gammu-smsd")
        async with running("gammu-smsd-inject", "-c", settings, *order) as inject:
            await inject.communicate()
        await bench.order("incoming", sender="+4915112340003", text="And hello back")
        async with running("gammu-smsd", "-c", settings):
            await until(lambda: log.exists() and "Delivered to +4915112340003" in log.read_text())
            await until(lambda: any((tmp_path / "inbox").iterdir()))
        assert [line["text"] for line in bench.journal("submit")] == ["Hello from gammu-smsd"]
        (received,) = (tmp_path / "inbox").iterdir()
        assert received.read_text().startswith("And hello back")


@needs("gammu-smsd")
@pytest.mark.parametrize("personality", ["sim7600", "ec25", "chatty"])
async def test_gammu_smsd_loses_stored_reports_as_it_does_on_real_modems(
    tmp_path: Path, personality: str
) -> None:
    """It asks for stored reports where they are offered, and reads nothing from +CDSI (gammu issue 695)."""
    for name in ("inbox", "outbox", "sent", "error"):
        (tmp_path / name).mkdir()
    log = tmp_path / "log"
    settings = gammu_settings(tmp_path, GAMMU_SMSD.format(folder=tmp_path))
    async with alone(tmp_path, personality=personality) as bench:
        order = ("TEXT", "+4915112340003", "-report", "-text", "Hello from gammu-smsd")
        async with running("gammu-smsd-inject", "-c", settings, *order) as inject:
            await inject.communicate()
        async with running("gammu-smsd", "-c", settings):
            await until(lambda: log.exists() and "Delivery report:  to " in log.read_text())
        assert [line["taken"] for line in bench.journal("report")] == ["stored"]
        assert bench.simulator.equipment.storage("SR").places, "it waits to be read"


SMSTOOLS = """
devices = M1
logfile = {folder}/log
loglevel = 5
outgoing = {folder}/outgoing
checked = {folder}/checked
incoming = {folder}/incoming
report = {folder}/report
failed = {folder}/failed
sent = {folder}/sent
infofile = {folder}/running
pidfile = {folder}/pid
delaytime = 1
delaytime_mainprocess = 1
autosplit = 3
[M1]
device = {folder}/port
incoming = yes
report = yes
init = AT+CNMI=2,1,0,1,0
baudrate = 115200
"""


@needs("smsd")
@pytest.mark.parametrize("personality", ["sim7600", "quiet"])
async def test_smstools_sends_gets_its_reports_and_receives(
    tmp_path: Path, personality: str
) -> None:
    for name in ("outgoing", "checked", "incoming", "report", "failed", "sent"):
        (tmp_path / name).mkdir()
    settings = tmp_path / "smsd.conf"
    settings.write_text(SMSTOOLS.format(folder=tmp_path))
    text = "Hello from smstools, which splits this long text into two parts by itself. " * 3
    (tmp_path / "outgoing" / "one").write_text(f"To: 4915112340002\nReport: yes\n\n{text}\n")
    async with alone(tmp_path, personality=personality) as bench:
        await bench.order("incoming", sender="+4915112340002", text="And hello back")
        async with running("smsd", "-c", settings, "-t"):
            await until(lambda: len(list((tmp_path / "report").iterdir())) == 2)
            await until(lambda: any((tmp_path / "incoming").iterdir()))
        assert [line["text"].strip() for line in bench.journal("message")] == [text.strip()]
        assert len(bench.journal("submit")) == 2
        for report in (tmp_path / "report").iterdir():
            assert "Status: 0,Ok" in report.read_text()
        (received,) = (tmp_path / "incoming").iterdir()
        assert "And hello back" in received.read_text()

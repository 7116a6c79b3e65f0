"""Faults of real modules as recorded dialogues, each with what is expected of the driver in its head."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from modem.driver.device import ModemDriver, SerialLine
from modem.interface import ReceivedPdu, Verdict
from tests.modem.driven import part, quick
from tests.modem.scripted import TRANSCRIPTS, Recording, recording
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.seconds(20)

NAMES = sorted(path.stem for path in (TRANSCRIPTS / "faults").glob("*.txt"))
KNOWN = {
    *("state", "sends", "degraded", "restarts", "warnings", "receives", "limitation", "heard"),
    *("iccid", "rarely", "paced"),
}
LOOKS = 12  # of an idle modem, within which a question may come only a few times


def quickly(name: str) -> object:
    """The waits of tests; where unsolicited lines are missing, that is noticed soon."""
    return quick(
        idle_poll_seconds=0.05,
        store_seconds=0.1,
        prompt_seconds=0.3,
        slow_command_seconds=0.3,
        command_seconds=0.3,
        repeat_seconds=HANG_SECONDS if "in-every-answer" in name else 0.01,
        urc_silence_seconds=0.2 if name.startswith("huawei") else HANG_SECONDS,
        stored_poll_seconds=0.2,
    )


class Watch:
    """A driver on a recorded modem, and what it has handed over."""

    def __init__(self, device: ModemDriver) -> None:
        self.device = device
        self.received: list[ReceivedPdu] = []

    async def listen(self) -> None:
        while True:
            event = await self.device.next_event()
            if isinstance(event, ReceivedPdu):
                self.received.append(event)
                await self.device.forget(event)


def test_there_are_recordings_and_no_unknown_expectations() -> None:
    assert len(NAMES) >= 40
    for name in NAMES:
        assert recording(name).expected.keys() <= KNOWN, name


@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_fault_has_the_expected_end(name: str) -> None:
    found = recording(name)
    with found.modem as modem, capture_logs() as logged:
        device = ModemDriver(SerialLine(modem.path), timing=quickly(name))  # type: ignore[arg-type]
        watch = Watch(device)
        listening = asyncio.create_task(watch.listen())
        await device.start()
        try:
            await the_expected(found, watch)
            if "warnings" in found.expected:
                assert [line["event"] for line in logged if line["log_level"] == "warning"] == []
        finally:
            await device.stop()
            listening.cancel()


async def the_expected(found: Recording, watch: Watch) -> None:
    device, modem, expected = watch.device, found.modem, found.expected
    await eventually(lambda: device.status.state.value == found.one("state"), found.one("state"))
    if sends := found.one("sends"):
        outcome = await device.send(part())
        if sends == "unknown":
            assert outcome.verdict is Verdict.UNKNOWN
        else:
            assert (outcome.verdict, outcome.reference) == (Verdict.TAKEN, int(sends))
    for pdu in expected.get("receives", ()):
        await eventually(received(watch, pdu), f"received {pdu}")
    for command in expected.get("heard", ()):
        await asyncio.to_thread(modem.wait_for, command, 1, HANG_SECONDS)
    if limitation := found.one("limitation"):
        await limited(device, limitation)
    elif "limitation" in expected:
        assert device.status.limitations == frozenset()
    if "degraded" in expected:
        await eventually(lambda: device.degraded is (found.one("degraded") == "yes"), "degraded")
    if "restarts" in expected:
        assert device.status.recoveries.get("restart", 0) == int(found.one("restarts"))
    if "iccid" in expected:
        assert device.status.identity is not None
        assert device.status.identity.iccid == found.one("iccid")
    await asked_rarely(found)


def received(watch: Watch, pdu: str) -> Callable[[], bool]:
    return lambda: any(one.hex == pdu for one in watch.received)


async def limited(device: ModemDriver, limitation: str) -> None:
    """Until the limitation is shown; a silence is noticed by what should have come after a part."""
    async with asyncio.timeout(HANG_SECONDS):
        while limitation not in device.status.limitations:
            await device.send(part())
            await asyncio.sleep(0.1)  # sends meet an idle line in between


async def asked_rarely(found: Recording) -> None:
    modem = found.modem
    for command in (*found.expected.get("rarely", ()), *found.expected.get("paced", ())):
        before, looks = modem.heard.count(command), modem.heard.count("AT+CSQ")
        await asyncio.to_thread(modem.wait_for, "AT+CSQ", looks + LOOKS, HANG_SECONDS)
        asked = modem.heard.count(command) - before
        most = LOOKS + 2 if command == "AT+CREG?" else LOOKS
        assert asked <= most, f"{command} asked {asked} times"

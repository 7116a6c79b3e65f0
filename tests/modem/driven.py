"""The real driver on a simulated modem, with short time-outs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from modem.driver.device import ModemDriver, SerialLine, Timing
from modem.interface import Changed, Event, ModemState, ModemStatus, Outcome, ReceivedPdu, Tpdu
from modem.simulator import Settings, Simulator
from modem.sms import tpdu
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu import Deliver, Report, Submit

PATIENCE = 120.0  # seconds until a test says that something did not come; never waited in full

# For tests that are about a silence: a healthy modem answers well within these times on a machine that is not busy.
QUICK = Timing(
    command_seconds=1.0,
    list_seconds=3.0,
    slow_command_seconds=1.5,
    write_seconds=2.0,
    prompt_seconds=0.6,
    network_seconds=1.2,
    echo_seconds=0.5,
    closing_seconds=0.2,
    resync_pause_seconds=0.01,
    resync_seconds=0.4,
    boot_seconds=4.0,
    probe_seconds=0.05,
    sim_seconds=0.3,
    sim_poll_seconds=0.02,
    store_seconds=1.0,
    registration_seconds=0.5,
    registration_poll_seconds=0.02,
    owner_poll_seconds=0.03,
    idle_after_seconds=0.05,
    idle_poll_seconds=0.2,
    stored_poll_seconds=0.3,
    other_store_seconds=5.0,
    ussd_seconds=0.5,
    repeat_seconds=0.01,
    urc_silence_seconds=30.0,
    steady_seconds=0.5,
    reset_seconds=0.02,
    reopen_seconds=0.02,
    vanished_seconds=0.5,
    backoff_first_seconds=0.05,
    backoff_longest_seconds=0.4,
    stop_seconds=2.0,
)

# For all others: polls as often, and gives a healthy modem the time that a busy machine takes.
PATIENT = msgspec.structs.replace(
    QUICK,
    command_seconds=15.0,
    list_seconds=15.0,
    slow_command_seconds=15.0,
    write_seconds=15.0,
    prompt_seconds=15.0,
    network_seconds=15.0,
    echo_seconds=15.0,
    closing_seconds=15.0,
    resync_seconds=15.0,
    boot_seconds=15.0,
    ussd_seconds=15.0,
    stop_seconds=15.0,
)


def quick(**changes: float) -> Timing:
    """`QUICK` with some waits different."""
    return msgspec.structs.replace(QUICK, **changes)


def patient(**changes: float) -> Timing:
    """`PATIENT` with some polls different."""
    return msgspec.structs.replace(PATIENT, **changes)


class Driven:
    """A device, its simulator, and everything that came from the one or went to the other."""

    def __init__(self, device: ModemDriver, simulator: Simulator, journal: Path) -> None:
        self.device = device
        self.simulator = simulator
        self.events: list[Event] = []
        self._journal = journal
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        while True:
            event = await self.device.next_event()
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    async def until(self, true: Callable[[], object], patience: float = PATIENCE) -> None:
        """Until something about the events or the status holds."""
        async with asyncio.timeout(patience), self._news:
            await self._news.wait_for(true)

    async def state(self, state: ModemState) -> ModemStatus:
        await self.until(lambda: self.device.status.state is state)
        return self.device.status

    async def left(self, state: ModemState) -> ModemStatus:
        """Until the modem has been in another state, were it for a moment only."""
        before = len(self.events)

        def left() -> bool:
            return self.device.status.state is not state or any(
                isinstance(event, Changed) and event.status.state is not state
                for event in self.events[before:]
            )

        await self.until(left)
        return self.device.status

    async def ready(self) -> ModemStatus:
        return await self.state(ModemState.READY)

    async def reported(self, count: int) -> None:
        await self.until(lambda: len(self.reports) >= count)

    async def order(self, do: str, **words: Any) -> dict[str, Any]:
        answer = await self.simulator.command({"do": do, **words})
        assert answer["ok"], answer
        return answer

    async def send(self, text: str = "Hello", to: str = "+4915112340001") -> Outcome:
        async with asyncio.timeout(PATIENCE):
            return await self.device.send(part(text, to))

    def journal(self, event: str = "submit") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._journal.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    @property
    def received(self) -> list[ReceivedPdu]:
        return [event for event in self.events if isinstance(event, ReceivedPdu)]

    @property
    def reports(self) -> list[Report]:
        decoded = (tpdu.decode(event.hex) for event in self.received)
        return [one for one in decoded if isinstance(one, Report)]

    @property
    def messages(self) -> list[Deliver]:
        decoded = (tpdu.decode(event.hex) for event in self.received)
        return [one for one in decoded if isinstance(one, Deliver)]


def part(text: str = "Hello", to: str = "+4915112340001") -> Tpdu:
    return tpdu.encode_submit(Submit(recipient=to, text=text, alphabet=Alphabet.GSM7))


@contextlib.asynccontextmanager
async def driven(
    folder: Path,
    settings: Settings | None = None,
    *,
    timing: Timing = PATIENT,
    start: bool = True,
    **device: Any,
) -> AsyncIterator[Driven]:
    """A started device on a started simulator."""
    journal = folder / "journal"
    simulator = Simulator(settings or Settings(), journal=journal, link=folder / "port")
    path = await simulator.start()
    async with attached(path, simulator, journal, timing=timing, start=start, **device) as found:
        yield found
    await simulator.stop()


@contextlib.asynccontextmanager
async def attached(
    path: str,
    simulator: Simulator,
    journal: Path,
    *,
    timing: Timing = PATIENT,
    start: bool = True,
    **device: Any,
) -> AsyncIterator[Driven]:
    """A device on a simulator that is there already."""
    found = Driven(ModemDriver(SerialLine(path), timing=timing, **device), simulator, journal)
    listening = asyncio.create_task(found.listen())
    if start:
        await found.device.start()
    try:
        yield found
    finally:
        await found.device.stop()
        listening.cancel()

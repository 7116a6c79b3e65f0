"""Take reports and messages from the network: send, store, buffer or drop them, as +CNMI says."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from modem.simulator.commands.formats import stamp
from modem.simulator.network.network import Arriving, Taken
from modem.simulator.sim_card import StoredMessage
from modem.simulator.timers import Timers
from modem.sms.tpdu import Report

if TYPE_CHECKING:
    from modem.simulator.equipment import Equipment


class Arrivals:
    """The receiving side of one modem (27.005 3.4.1)."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._timers = Timers()
        self._kept: deque[str] = deque(maxlen=equipment.settings.indications)
        self._unacknowledged: Arriving | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def forget(self) -> None:
        """Reset: drop buffered lines and the wait for +CNMA."""
        self._timers.cancel()
        self._kept.clear()
        if self._unacknowledged is not None:
            self._equipment.network.keep(self._unacknowledged)
        self._unacknowledged = None

    def take(self, arriving: Arriving) -> Taken:
        """Handle a TPDU from the network as the client configured it."""
        if self._unacknowledged is not None:
            return Taken.NOT
        if arriving.report is not None:
            return self._take_report(arriving, arriving.report)
        return self._take_message(arriving)

    def _take_report(self, arriving: Arriving, report: Report) -> Taken:
        modes = self._equipment.modes
        if modes.cnmi[3] == 1:
            announced = self._announced_length(arriving)
            return self._direct(arriving, _report_line(announced, report, modes.text_mode))
        if modes.cnmi[3] == 2:
            return self._store("SR", arriving, "+CDSI", self._equipment.personality.cdsi)
        return Taken.DROPPED

    def _take_message(self, arriving: Arriving) -> Taken:
        modes = self._equipment.modes
        flash = arriving.flash and self._equipment.personality.flash_direct
        if modes.cnmi[1] == 2 or (modes.cnmi[1] and flash):
            announced = self._announced_length(arriving)
            return self._direct(arriving, _message_line(announced, modes.text_mode))
        name = modes.memories[2]
        return self._store(name, arriving, "+CMTI" if modes.cnmi[1] else "", None)

    def _announced_length(self, arriving: Arriving) -> Arriving:
        """Return what arrives with the length that this modem announces, which may be wrong."""
        off = self._equipment.personality.direct_length_off
        length = arriving.tpdu.length + off
        return replace(arriving, tpdu=replace(arriving.tpdu, length=length)) if off else arriving

    def _direct(self, arriving: Arriving, line: str) -> Taken:
        taken = self._indicate(line)
        if taken is Taken.DIRECT and self._equipment.modes.csms == 1:
            self._unacknowledged = arriving
            self._deadline = self._timers.later(
                self._equipment.settings.acknowledge_within, lambda: self.acknowledge(good=False)
            )
        return taken

    def _store(
        self, name: str, arriving: Arriving, label: str, fixed: tuple[str, int] | None
    ) -> Taken:
        stored = StoredMessage(0, arriving.tpdu.hex, arriving.tpdu.length)
        first = self._equipment.personality.first_index
        index = self._equipment.storage(name).put(stored, first)
        if index is None:
            if self._equipment.personality.announces_no_place and label:
                self._indicate(f"{label}: ,-1")
            return Taken.NOT  # the network gets "memory exceeded", the client gets no line
        if label:
            place = fixed or (name, index)
            self._indicate(f'{label}: "{place[0]}",{place[1]}')
        return Taken.STORED

    def _indicate(self, line: str) -> Taken:
        if self._equipment.modes.cnmi[0] == 0:
            self._kept.append(line)
            return Taken.BUFFERED
        self._equipment.send_urc(line)
        return Taken.DIRECT

    def indications_changed(self) -> None:
        """Send or clear the buffered lines after +CNMI was set (<bfr>)."""
        cnmi = self._equipment.modes.cnmi
        if cnmi[0] == 0:
            return
        if cnmi[4] == 0:
            self._equipment.send_urc(*self._kept)
        self._kept.clear()

    @property
    def awaits_acknowledgement(self) -> bool:
        """Whether the client must acknowledge with +CNMA."""
        return self._unacknowledged is not None

    def acknowledge(self, *, good: bool) -> None:
        """End the wait for +CNMA: acknowledged, refused or timed out (27.005 4.7)."""
        arriving, self._unacknowledged = self._unacknowledged, None
        self._timers.drop(self._deadline)
        if good or arriving is None:
            self._timers.later(0, self._equipment.network.flush)
            return
        self._equipment.modes.cnmi[1] = self._equipment.modes.cnmi[3] = 0
        self._equipment.journal.write("not acknowledged", tpdu=arriving.tpdu.hex)
        self._equipment.network.keep(arriving)

    def room_made(self) -> None:
        """Let the network try again: a storage slot is free."""
        if self._equipment.network.waiting:
            self._timers.later(0, self._equipment.network.flush)


def _report_line(arriving: Arriving, report: Report, text_mode: bool) -> str:
    if not text_mode:
        return f"+CDS: {arriving.tpdu.length}\r\n{arriving.tpdu.hex}"
    kind = 145 if report.recipient.startswith("+") else 129
    sent, done = _time(report.scts), _time(report.discharged_at)
    start = f'+CDS: 6,{report.reference},"{report.recipient}",{kind}'
    return f'{start},"{sent}","{done}",{report.status}'


def _message_line(arriving: Arriving, text_mode: bool) -> str:
    if not text_mode:
        return f"+CMT: ,{arriving.tpdu.length}\r\n{arriving.tpdu.hex}"
    return f'+CMT: "{arriving.sender}",,"{_time(datetime.now(UTC))}"\r\n{arriving.text}'


def _time(moment: datetime | None) -> str:
    return "00/00/00,00:00:00+00" if moment is None else stamp(moment)

"""What lies in the modem's stores: read, handed out once, deleted when its content is safe."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from modem.at import responses
from modem.at.errors import PortError, Refused
from modem.at.line_parser import pdu_fits
from modem.at.responses import Stored
from modem.at.session import Talk
from modem.driver.configuration import Settings
from modem.interface import Received, Slot

REPORTS = "SR"
# A PDU that is not as long as the modem says was spoilt on the line: read again, so often.
_READS = 5


class HandedOut:
    """Which stored PDUs the receiver has already and has not told to forget. Pure."""

    def __init__(self, again_seconds: float) -> None:
        self._again_seconds = again_seconds
        self._slots: dict[tuple[str, Slot], tuple[str, float]] = {}
        self._done: dict[tuple[str, Slot], str] = {}

    def fresh(self, iccid: str, slot: Slot, pdu: str, now: float) -> bool:
        """Whether to hand it out: it is new, or nobody took it off our hands for long."""
        known = self._slots.get((iccid, slot))
        if known is not None and known[0] == pdu and now - known[1] < self._again_seconds:
            return False
        self._slots[iccid, slot] = (pdu, now)
        return True

    def settled(self, iccid: str, slot: Slot, pdu: str) -> bool:
        """Whether the receiver has committed exactly this, and only the deletion is missing."""
        return self._done.get((iccid, slot)) == pdu

    def forget(self, iccid: str, slot: Slot, pdu: str) -> bool:
        """The receiver has this. Until it is deleted it must not come again. Whether it lies there still,
        as far as is known: another one may have taken its place before it was committed."""
        known = self._slots.get((iccid, slot))
        if known is None or known[0] != pdu:
            return False
        self._done[iccid, slot] = pdu
        return True

    def undeleted(self, iccid: str, slot: Slot) -> bool:
        """Whether what lies there, as far as is known, may be deleted and was not yet."""
        known = self._slots.get((iccid, slot))
        return known is not None and self.settled(iccid, slot, known[0])

    def deleted(self, iccid: str, slot: Slot) -> None:
        """The slot is free: whatever lies there next is new."""
        self._slots.pop((iccid, slot), None)
        self._done.pop((iccid, slot), None)

    def restarted(self) -> None:
        """The modem started anew: what nobody has confirmed is shown again."""
        self._slots = {key: known for key, known in self._slots.items() if key in self._done}


class Stores:
    """The stores of one modem. A send may go between any two of its commands."""

    def __init__(self, talk: Talk, hand_out: Callable[[Received], None]) -> None:
        self._talk = talk
        self._hand_out = hand_out
        self._handed = HandedOut(talk.timing.handed_out_seconds)
        self._settings: Settings | None = None
        self._iccid = ""
        self._selected = ""
        self._free = asyncio.Lock()  # selecting a store and what is done there belong together

    def begin(self, settings: Settings, iccid: str) -> None:
        """The modem was started: with these settings, with this SIM."""
        self._settings = settings
        self._iccid = iccid
        self._selected = settings.receives
        self._handed.restarted()

    async def look(self, *, everywhere: bool = False) -> None:
        """Lists what may have arrived: messages, and reports where they are stored."""
        if self._settings is None:
            return
        names = [self._settings.receives]
        if self._settings.report_mode == "stored":
            names.append(REPORTS)
        if everywhere:
            names += self._settings.readable
        for name in dict.fromkeys(names):
            if name in self._settings.readable or name == self._settings.receives:
                await self._list(name)

    async def announced(self, slot: Slot, *, report: bool) -> None:
        """Reads what +CMTI or +CDSI pointed to.

        Of a report the place is not to be believed (EC25 says "SM",0 and stores in SR; the index
        of a SIM7600 cannot be read): where there is a report store, it is listed instead.
        """
        if self._settings is None:
            return
        if report and REPORTS in self._settings.readable:
            await self._list(REPORTS)
            return
        readable = slot.storage in self._settings.readable
        if readable:
            with contextlib.suppress(Refused):
                async with self._selecting(slot.storage):
                    found = await self._read(slot.index)
                    if found is not None:
                        await self._show(slot.storage, found)
                        return
        await self._list(slot.storage if readable else self._settings.receives)

    async def forget(self, received: Received) -> None:
        """Deletes what the receiver has committed; if not now, then when it is next listed."""
        slot, iccid = received.slot, received.iccid
        if slot is None:
            return
        if not self._handed.forget(iccid, slot, received.hex) or iccid != self._iccid:
            self._talk.log.info("nothing to delete", storage=slot.storage, index=slot.index)
            return
        try:
            async with self._selecting(slot.storage):
                # A look may have deleted it meanwhile, and another message may lie there now.
                if self._iccid == iccid and self._handed.undeleted(iccid, slot):
                    await self._delete(slot)
        except PortError as error:
            self._talk.log.warning("not deleted yet", storage=slot.storage, reason=str(error))

    async def _delete(self, slot: Slot) -> None:
        """In the store that is selected. Once: where the answer is lost, another message may lie there by
        the time of a second try."""
        await self._talk.slow(f"AT+CMGD={slot.index}", once=True)
        self._handed.deleted(self._iccid, slot)

    async def _list(self, name: str) -> None:
        try:
            async with self._selecting(name):
                lines = await self._talk.ask("AT+CMGL=4", self._talk.timing.list_seconds)
                for found in responses.listed(lines):
                    await self._show(name, found)
        except Refused as refused:
            self._talk.log.info("cannot be listed", storage=name, reason=refused.line)

    async def _show(self, name: str, found: Stored) -> None:
        """Hands out what was just read of the selected store. Reading and this belong together: a
        deletion in between would make it look new, and its place may hold another message by then."""
        slot = Slot(name, found.index)
        spoilt = found.length is not None and not pdu_fits(found.hex, found.length)
        if spoilt or self._talk.careful:
            with contextlib.suppress(Refused):
                found = await self._again(found)
        if self._handed.settled(self._iccid, slot, found.hex):
            with contextlib.suppress(Refused):
                await self._delete(slot)
        elif self._handed.fresh(self._iccid, slot, found.hex, time.monotonic()):
            self._hand_out(Received(found.hex, slot, self._iccid))

    async def _again(self, found: Stored) -> Stored:
        """Read until it comes twice running as long as the modem says; in the end as it came."""
        for _ in range(_READS):
            before, found = found, await self._read(found.index) or found
            fits = found.length is None or pdu_fits(found.hex, found.length)
            if fits and found.hex == before.hex:
                break
        return found

    async def _read(self, index: int) -> Stored | None:
        try:
            return responses.read(await self._talk.slow(f"AT+CMGR={index}"), index)
        except Refused:
            return None  # CMS 321: the place is empty

    @contextlib.asynccontextmanager
    async def _selecting(self, name: str) -> AsyncIterator[None]:
        """Has the line, with `name` as the store to read from and delete in (mem1)."""
        assert self._settings is not None
        usual = self._settings.receives
        async with self._free:
            await self._select(name)
            try:
                yield
            finally:
                # Some modules count +CPMS? and others receive by mem1: never left elsewhere.
                if self._selected != usual:
                    with contextlib.suppress(PortError):
                        await self._select(usual)

    async def _select(self, name: str) -> None:
        if self._selected == name:
            return
        self._selected = ""  # an answer that is lost leaves it in doubt: then the next one selects
        await self._talk.slow(f'AT+CPMS="{name}"')
        self._selected = name

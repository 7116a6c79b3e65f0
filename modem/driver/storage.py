"""The message storage of a modem: read, handed out once, deleted when the content is committed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from modem.at import responses
from modem.at.errors import CommandError, PortError
from modem.at.line_parser import pdu_fits
from modem.at.responses import StoredPdu
from modem.at.session import AtSession
from modem.driver.configuration import ModemConfiguration
from modem.driver.stored_reports import REPORTS
from modem.interface import ReceivedPdu, Slot

# How often a PDU of another length than announced is read again: the line has altered it.
_READS = 5


class HandedOut:
    """Tracks which stored PDUs the receiver has, and which are to be deleted. Pure."""

    def __init__(self, again_seconds: float) -> None:
        self._again_seconds = again_seconds
        self._slots: dict[tuple[str, Slot], tuple[str, float]] = {}
        self._done: dict[tuple[str, Slot], str] = {}

    def fresh(self, iccid: str, slot: Slot, pdu: str, now: float) -> bool:
        """Return whether to hand it out: it is new, or was not committed for a long time."""
        known = self._slots.get((iccid, slot))
        if known is not None and known[0] == pdu and now - known[1] < self._again_seconds:
            return False
        self._slots[iccid, slot] = (pdu, now)
        return True

    def settled(self, iccid: str, slot: Slot, pdu: str) -> bool:
        """Return whether exactly this is committed, and only its deletion is missing."""
        return self._done.get((iccid, slot)) == pdu

    def forget(self, iccid: str, slot: Slot, pdu: str) -> bool:
        """Note that the receiver has committed this, so that it is not handed out again.

        Return whether it is still in its place, as far as is known: another one may have taken it meanwhile.
        """
        known = self._slots.get((iccid, slot))
        if known is None or known[0] != pdu:
            return False
        self._done[iccid, slot] = pdu
        return True

    def undeleted(self, iccid: str, slot: Slot) -> bool:
        """Return whether the content of a slot, as far as known, may be deleted and was not yet."""
        known = self._slots.get((iccid, slot))
        return known is not None and self.settled(iccid, slot, known[0])

    def deleted(self, iccid: str, slot: Slot) -> None:
        """Note that a slot is free: its next content is new."""
        self._slots.pop((iccid, slot), None)
        self._done.pop((iccid, slot), None)

    def restarted(self) -> None:
        """Note a restart of the modem: unconfirmed PDUs are handed out again."""
        self._slots = {key: known for key, known in self._slots.items() if key in self._done}


class StorageReader:
    """The message storage of a modem. A send may happen between any two of its commands."""

    def __init__(self, session: AtSession, publish: Callable[[ReceivedPdu], None]) -> None:
        self._session = session
        self._publish_received = publish
        self._handed = HandedOut(session.timing.handed_out_seconds)
        self._settings: ModemConfiguration | None = None
        self._iccid = ""
        self._selected = ""
        self._takes_three_only = False  # of +CPMS
        self._new = 0  # PDUs handed out so far
        self._free = asyncio.Lock()  # selecting a storage and using it must not be separated

    def begin(self, settings: ModemConfiguration, iccid: str) -> None:
        """Begin after a start-up, with these settings and this SIM."""
        self._settings = settings
        self._iccid = iccid
        self._selected = settings.receives
        self._takes_three_only = False
        self._handed.restarted()

    async def poll(self, *, everywhere: bool = False) -> int:
        """List what may have arrived: messages, and reports if they are stored. Return how many are new."""
        if self._settings is None:
            return 0
        before = self._new
        names = [self._settings.receives]
        if self._settings.report_mode == "stored":
            names.append(REPORTS)
        if everywhere:
            names += self._settings.readable
        for name in dict.fromkeys(names):
            if name in self._settings.readable or name == self._settings.receives:
                await self._list(name)
        return self._new - before

    async def announced(self, slot: Slot, *, report: bool) -> None:
        """Read what +CMTI or +CDSI announced.

        The place of a report is unreliable (EC25 announces "SM",0 and stores in SR; the index of a SIM7600 cannot be
        read), so a report storage is listed instead.
        """
        if self._settings is None:
            return
        if report and REPORTS in self._settings.readable:
            await self._list(REPORTS)
            return
        readable = slot.storage in self._settings.readable
        if readable:
            with contextlib.suppress(CommandError):
                async with self._selecting(slot.storage):
                    found = await self._read(slot.index)
                    if found is not None:
                        await self._publish_or_delete(slot.storage, found)
                        return
        await self._list(slot.storage if readable else self._settings.receives)

    async def forget(self, received: ReceivedPdu) -> None:
        """Delete what the receiver has committed; if that fails, when it is next listed."""
        slot, iccid = received.slot, received.iccid
        if slot is None:
            return
        if not self._handed.forget(iccid, slot, received.hex) or iccid != self._iccid:
            self._session.log.info("nothing_to_delete", storage=slot.storage, index=slot.index)
            return
        try:
            async with self._selecting(slot.storage):
                # It may have been deleted meanwhile, and another message may have its place.
                if self._iccid == iccid and self._handed.undeleted(iccid, slot):
                    await self._delete(slot)
        except PortError as error:
            self._session.log.warning("deletion_postponed", storage=slot.storage, reason=str(error))

    async def _delete(self, slot: Slot) -> None:
        """Delete a slot of the selected storage, without repeating.

        If the answer is lost, another message may have the place by the time of a second attempt.
        """
        await self._session.slow(f"AT+CMGD={slot.index}", once=True)
        self._handed.deleted(self._iccid, slot)

    async def _list(self, name: str) -> None:
        try:
            async with self._selecting(name):
                for found in await self._listed(name):
                    await self._publish_or_delete(name, found)
        except CommandError as refused:
            self._session.log.info("storage_not_listable", storage=name, reason=refused.line)

    async def _listed(self, name: str) -> list[StoredPdu]:
        """Return what the selected storage holds; place by place if the modem refuses to list it."""
        try:
            lines = await self._session.command("AT+CMGL=4", self._session.timing.list_seconds)
            return list(responses.listed(lines))
        except CommandError as refused:
            usage = responses.stores(await self._session.slow("AT+CPMS?"))
            if not usage or not usage[0].used:
                raise
            self._session.log.info("storage_read_by_place", storage=name, reason=refused.line)
        found: list[StoredPdu] = []
        for index in range(usage[0].total + 1):  # some count from 0, others from 1
            if len(found) == usage[0].used:
                break
            if (stored := await self._read(index)) is not None:
                found.append(stored)
        return found

    async def _publish_or_delete(self, name: str, found: StoredPdu) -> None:
        """Hand out what was just read from the selected storage, or delete it if it is committed.

        Call it right after reading: after a deletion in between, the PDU would look new.
        """
        slot = Slot(name, found.index)
        corrupted = found.length is not None and not pdu_fits(found.hex, found.length)
        if corrupted or self._session.degraded:
            with contextlib.suppress(CommandError):
                found = await self._reread(found)
        if self._handed.settled(self._iccid, slot, found.hex):
            with contextlib.suppress(CommandError):
                await self._delete(slot)
        elif self._handed.fresh(self._iccid, slot, found.hex, time.monotonic()):
            self._new += 1
            self._publish_received(ReceivedPdu(found.hex, slot, self._iccid))

    async def _reread(self, found: StoredPdu) -> StoredPdu:
        """Read until two consecutive results have the announced length; finally return the last result."""
        for _ in range(_READS):
            before, found = found, await self._read(found.index) or found
            fits = found.length is None or pdu_fits(found.hex, found.length)
            if fits and found.hex == before.hex:
                break
        return found

    async def _read(self, index: int) -> StoredPdu | None:
        try:
            return responses.read(await self._session.slow(f"AT+CMGR={index}"), index)
        except CommandError:
            return None  # CMS 321: the place is empty

    @contextlib.asynccontextmanager
    async def _selecting(self, name: str) -> AsyncIterator[None]:
        """Hold the line with `name` selected as the storage to read and delete (mem1)."""
        assert self._settings is not None
        usual = self._settings.receives
        async with self._free:
            await self._select(name)
            try:
                yield
            finally:
                # Some modules count +CPMS? and others receive by mem1, so it is always restored.
                if self._selected != usual:
                    with contextlib.suppress(PortError):
                        await self._select(usual)

    async def _select(self, name: str) -> None:
        if self._selected == name:
            return
        self._selected = (
            ""  # a lost answer leaves the selection unknown: the next use selects again
        )
        assert self._settings is not None
        receives = self._settings.receives
        all_three = f'AT+CPMS="{name}","{receives}","{receives}"'
        if self._takes_three_only:
            await self._session.slow(all_three)
        else:
            try:
                await self._session.slow(f'AT+CPMS="{name}"')
            except CommandError:
                # Huawei E3372-325 takes exactly three.
                await self._session.slow(all_three)
                self._takes_three_only = True
        self._selected = name

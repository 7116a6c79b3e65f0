"""The status of a modem as one frozen value, and its events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from modem.at.errors import Log
from modem.interface import Changed, Event, Limitation, ModemState, ModemStatus

# These change with every poll and cause no event; everything else does.
_VOLATILE: Mapping[str, object] = {"signal_dbm": None, "stored": 0, "storage": 0}


class StatusPublisher:
    """Holds the status, which is replaced as a whole."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.status = ModemStatus(ModemState.OFFLINE, "not started")
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def update(
        self, state: ModemState | None = None, detail: str | None = None, **changes: object
    ) -> None:
        """Replace fields of the status. A new state without a detail clears the old detail."""
        if state is not None:
            changes |= {"state": state, "detail": detail or ""}
        before, self.status = self.status, msgspec.structs.replace(self.status, **changes)
        if _stable(before) == _stable(self.status):
            return
        if before.state is not self.status.state:
            self.log.debug("modem_state", state=self.status.state.value, detail=self.status.detail)
        self.publish(Changed(self.status))

    def set_limitation(self, limitation: Limitation, applies: bool, **fields: object) -> None:
        """Add or remove a limitation, logged with `fields` when it changes."""
        if (limitation in self.status.limitations) is applies:
            return
        log = self.log.warning if applies else self.log.info
        log("modem_limitation", limitation=limitation.value, applies=applies, **fields)
        self.update(limitations=self.status.limitations ^ {limitation})

    def count(self, what: str) -> None:
        """Count a recovery step, or a restart of the modem."""
        counted = dict(self.status.recoveries)
        counted[what] = counted.get(what, 0) + 1
        self.update(recoveries=counted)

    def publish(self, event: Event) -> None:
        self._events.put_nowait(event)

    @property
    def pending(self) -> int:
        """How many events nobody has taken yet."""
        return self._events.qsize()

    async def next_event(self) -> Event:
        return await self._events.get()


def _stable(status: ModemStatus) -> ModemStatus:
    return msgspec.structs.replace(status, **_VOLATILE)

"""Whether the box can store and send messages now."""

from __future__ import annotations

import asyncio
from sqlite3 import Connection
from typing import Literal

from appliance import __version__
from appliance.context import Context
from appliance.devices.directory import DeviceDirectory
from appliance.devices.manager import Devices
from appliance.domain.views import Health
from appliance.store import backlog, devices
from appliance.store.database import TAKES_NOTHING
from appliance.store.rows import DeviceRow

FRESH_SECONDS = 10.0  # limits the wear of the card to one small commit in this time, and only while somebody asks
ANSWER_SECONDS = 5.0  # a card that takes longer than this for one row fails its clients as well

StorageFault = Literal["storage_full", "storage_not_writable"]


class WriteProbe:
    """Finds out whether a message could be stored now: by a commit, at most one in ten seconds."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self._probing = asyncio.Lock()
        self._fault: StorageFault | None = None
        self._fresh_until = float("-inf")

    async def fault(self) -> StorageFault | None:
        """Return why nothing can be stored, at most ten seconds old; None if the store accepts work."""
        if self._box.free_space.mib < self._box.config.storage.reserve_mib:
            return "storage_full"
        async with self._probing:
            if self._box.clock.monotonic() >= self._fresh_until:
                self._fault = None if await self._writes() else "storage_not_writable"
                self._fresh_until = self._box.clock.monotonic() + FRESH_SECONDS
        return self._fault

    async def _writes(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._box.db.write(_note, self._box.clock.now())
        except (*TAKES_NOTHING, TimeoutError):
            return False
        return True


def _note(db: Connection, now: int) -> None:
    db.execute(
        "INSERT INTO meta VALUES ('write_probe', ?1) ON CONFLICT DO UPDATE SET value = ?1", (now,)
    )


class HealthCheck:
    """Answers /health."""

    def __init__(self, box: Context, devices: Devices) -> None:
        self._box = box
        self._devices = devices
        self._directory = DeviceDirectory(box, devices)
        self._write_probe = WriteProbe(box)

    async def take(self) -> Health:
        """Return the modems, the number of queued messages, and why none could be stored or sent now."""

        def work(db: Connection) -> tuple[list[DeviceRow], int]:
            return devices.live(db), backlog.messages(db, test=False)

        rows, queued = await self._box.db.read(work)
        views = self._directory.views([r for r in rows if self._devices.by_number(r.id)])
        online = any(view.status == "online" for view in views)
        reason = await self._write_probe.fault() or (None if online else "no_modem")
        return Health("degraded" if reason else "ok", __version__, views, queued, reason)

"""What became of messages: status, history, statistics, export; and cancelling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from appliance.context import Context
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.requests import HistoryFilter, StatsFilter
from appliance.domain.views import Caller, HistoryPage, MessageView, Stats
from appliance.store import devices, history, messages, statistics
from appliance.store.rows import TrackedRow

EXPORT_BATCH = 500
Filter = TypeVar("Filter", HistoryFilter, StatsFilter)


def own_message(box: Context, caller: Caller, message_id: str) -> TrackedRow:
    """Return the row of a message of this caller. Raises MESSAGE_NOT_FOUND, also for another client's."""
    number = ids.parse("msg", message_id)
    row = None if number is None else box.db.read_now(history.one, caller.tenant, number)
    if row is None:
        raise ApiError("MESSAGE_NOT_FOUND")
    return row


class Tracking:
    """Reads the messages of a caller, and cancels them."""

    def __init__(self, box: Context) -> None:
        self._box = box

    def status(self, caller: Caller, message_id: str) -> MessageView:
        """Return everything that a client may know about a message. Raises MESSAGE_NOT_FOUND."""
        return history.view(own_message(self._box, caller, message_id))

    async def history(self, caller: Caller, wanted: HistoryFilter) -> HistoryPage:
        """Return a page of messages, newest first."""
        return await self._box.db.read(history.page, caller.tenant, self._by_number(caller, wanted))

    async def stats(self, caller: Caller, wanted: StatsFilter) -> Stats:
        """Count the messages of a period by UTC day."""
        return await self._box.db.read(
            statistics.stats, caller.tenant, self._by_number(caller, wanted)
        )

    async def export(
        self, caller: Caller, wanted: HistoryFilter
    ) -> AsyncIterator[tuple[MessageView, ...]]:
        """Yield the whole history in batches; `page` and `limit` of the filter do not count."""
        wanted = self._by_number(caller, wanted)
        before: tuple[int, int] | None = None
        while True:
            rows, before = await self._box.db.read(
                history.after, caller.tenant, wanted, before, EXPORT_BATCH
            )
            if rows:
                yield tuple(history.view(row) for row in rows)
            if before is None:
                return

    def _by_number(self, caller: Caller, wanted: Filter) -> Filter:
        """Return a filter with the box's id of the device, where the caller has named an alias."""
        if wanted.device_id is None:
            return wanted
        number = self._box.db.read_now(devices.named, caller.client_id, wanted.device_id)
        return msgspec.structs.replace(wanted, device_id=f"device_{number or 0}")

    async def cancel(self, caller: Caller, message_id: str) -> None:
        """Cancel a queued message. Raises MESSAGE_NOT_FOUND, CANNOT_CANCEL_MESSAGE."""
        number = own_message(self._box, caller, message_id).id
        if not await self._box.db.write(
            messages.cancel, self._box.ids, number, self._box.clock.now()
        ):
            raise ApiError("CANNOT_CANCEL_MESSAGE")
        self._box.wakeups.changed()

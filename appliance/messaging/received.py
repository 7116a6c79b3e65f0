"""Received messages, page by page."""

from __future__ import annotations

from appliance.context import Context
from appliance.domain import ids
from appliance.domain.requests import InboxFilter
from appliance.domain.validation import utc
from appliance.domain.views import Caller, InboxPage, Received
from appliance.store import received


class ReceivedMessages:
    """Reads what a client has received."""

    def __init__(self, box: Context) -> None:
        self._box = box

    async def page(self, caller: Caller, wanted: InboxFilter) -> InboxPage:
        """Return a page of received messages, newest first."""
        rows, total, exact = await self._box.db.read(received.page, caller.tenant, wanted)
        return InboxPage(
            tuple(
                Received(
                    inbox_id=ids.short_id("inbox", row.id),
                    sender=row.sender,
                    message=row.body,
                    received_at=utc(row.received_at),
                    device_id=f"device_{row.device}",
                    incomplete=bool(row.incomplete),
                )
                for row in rows
            ),
            total,
            exact,
        )

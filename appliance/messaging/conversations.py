"""Conversations of a client: what it sent to a number and received from it, and the names of numbers."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.context import Context
from appliance.core.i18n import _
from appliance.domain import ids
from appliance.domain.errors import invalid
from appliance.domain.requests import PageFilter
from appliance.domain.validation import utc
from appliance.domain.views import (
    Caller,
    Contact,
    ContactPage,
    Conversation,
    ConversationPage,
    ConversationText,
    Thread,
)
from appliance.store import contacts, conversations, history
from appliance.store.conversations import COUNT_MOST
from appliance.store.rows import ConversationRow, InboundRow, TrackedRow


class Conversations:
    """Reads conversations, marks them as read, and names their numbers."""

    def __init__(self, box: Context) -> None:
        self._box = box

    async def page(self, caller: Caller, wanted: PageFilter, *, unread: bool) -> ConversationPage:
        """Return a page of conversations, the last one that received a text first."""

        def work(db: Connection) -> ConversationPage:
            rows, total = conversations.page(
                db, caller.tenant, unread=unread, limit=wanted.limit, offset=_offset(wanted)
            )
            found = tuple(map(shown, rows))
            return ConversationPage(found, min(total, COUNT_MOST), total <= COUNT_MOST)

        return await self._box.db.read(work)

    async def thread(self, caller: Caller, number: str, wanted: PageFilter) -> Thread:
        """Return a page of the texts exchanged with a number, newest first."""

        def work(db: Connection) -> Thread:
            rows, total = conversations.thread(
                db, caller.tenant, number, limit=wanted.limit, offset=_offset(wanted)
            )
            contact = contacts.one(db, caller.tenant, number)
            return Thread(
                contact.name if contact else "",
                tuple(map(_text, rows)),
                min(total, COUNT_MOST),
                total <= COUNT_MOST,
            )

        return await self._box.db.read(work)

    async def read(self, caller: Caller, number: str, upto: int | None) -> None:
        """Mark the texts from a number as read, up to an inbox id if one is named. Raises NOT_FOUND."""
        found = await self._box.db.write(conversations.read, caller.tenant, number, upto)
        if not found:
            raise invalid("number", _("has not written to you"), "NOT_FOUND")
        self._box.wakeups.changed()

    # --- contacts ------------------------------------------------------------------------------------

    async def contacts(self, caller: Caller, wanted: PageFilter, search: str | None) -> ContactPage:
        """Return a page of contacts by name. `search` is folded."""

        def work(db: Connection) -> ContactPage:
            rows, total = contacts.page(
                db, caller.tenant, search, limit=wanted.limit, offset=_offset(wanted)
            )
            found = tuple(Contact(number=row.number, name=row.name) for row in rows)
            return ContactPage(found, min(total, COUNT_MOST), total <= COUNT_MOST)

        return await self._box.db.read(work)

    async def name(self, caller: Caller, number: str, name: str) -> Contact:
        """Give a number a name, in place of an earlier one."""
        await self._box.db.write(contacts.name, caller.tenant, number, name)
        return Contact(number=number, name=name)

    async def forget(self, caller: Caller, number: str) -> None:
        """Remove a contact; the conversation stays. Raises NOT_FOUND."""
        if not await self._box.db.write(contacts.remove, caller.tenant, number):
            raise invalid("number", _("has no name"), "NOT_FOUND")


def _offset(wanted: PageFilter) -> int:
    return (wanted.page - 1) * wanted.limit


def shown(row: ConversationRow) -> Conversation:
    """Return a conversation as a client sees it."""
    return Conversation(
        number=row.number,
        name=row.name or None,
        unread=row.unread,
        last_message=row.last_text,
        last_received_at=utc(row.last_at),
    )


def _text(row: TrackedRow | InboundRow) -> ConversationText:
    if isinstance(row, InboundRow):
        return ConversationText(
            direction="received",
            inbox_id=ids.short_id("inbox", row.id),
            message_id=None,
            message=row.body,
            at=utc(row.received_at),
            status=None,
            uncertain=False,
            incomplete=bool(row.incomplete),
        )
    view = history.view(row)
    return ConversationText(
        direction="sent",
        inbox_id=None,
        message_id=view.message_id,
        message=view.message,
        at=utc(view.created_at),
        status=view.status,
        uncertain=view.uncertain,
        incomplete=False,
    )

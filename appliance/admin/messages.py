"""All clients' messages in the owner's hands: history, timelines, sending by hand, the inbox."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from sqlite3 import Connection
from typing import Literal

import msgspec

from appliance.admin.clients import AdminClients
from appliance.context import Context
from appliance.domain import ids, validation
from appliance.domain.errors import ApiError
from appliance.domain.requests import HistoryFilter, Idempotency, InboxFilter, PageFilter
from appliance.domain.schemas import NAME_CHARACTERS, SendBody
from appliance.domain.views import Caller, Contact, MessageView, Permissions, Thread
from appliance.messaging.conversations import Conversations
from appliance.messaging.intake import Intake
from appliance.messaging.tracking import Tracking
from appliance.store import clients, contacts, history, received, timeline
from appliance.store import dashboard as table
from appliance.store.dashboard import ConversationRows, InboxRows, MessagePage
from appliance.store.timeline import PartTimeline, WebhookNotification
from modem.sms import gsm7

CONTACTS_OFFERED = 200  # while a number is typed


class Measured(msgspec.Struct, frozen=True):
    """How a text will go out."""

    characters: int
    parts: int
    alphabet: str
    forcing: tuple[str, ...]  # the characters that force the longer alphabet


class Timeline(msgspec.Struct, frozen=True):
    """Everything that happened to one message."""

    message: MessageView
    tenant: int
    client: str
    parts: tuple[PartTimeline, ...]
    attempts: tuple[PartTimeline, ...]
    notifications: tuple[WebhookNotification, ...]

    @property
    def test(self) -> bool:
        return bool(self.tenant & 1)


class AdminMessages:
    """Reads and sends messages of any client."""

    def __init__(
        self,
        box: Context,
        intake: Intake,
        tracking: Tracking,
        conversations: Conversations,
        clients: AdminClients,
    ) -> None:
        self._box = box
        self._intake = intake
        self._tracking = tracking
        self._conversations = conversations
        self._clients = clients

    async def page(self, wanted: HistoryFilter, *, test: bool, client: int | None) -> MessagePage:
        """Return a page of the messages of one client, or of all."""

        def work(db: Connection) -> MessagePage:
            return table.messages(db, table.tenants(db, test=test, client=client), wanted)

        return await self._box.db.read(work)

    async def export(
        self, wanted: HistoryFilter, *, test: bool, client: int | None
    ) -> AsyncIterator[tuple[MessageView, ...]]:
        """Yield all messages of the filter, client by client, newest first."""
        found = await self._box.db.read(table.tenants, test=test, client=client)
        for tenant in found:
            async for batch in self._tracking.export(as_client(tenant), wanted):
                yield batch

    async def timeline(self, message_id: str) -> Timeline:
        """Return everything that happened to one message. Raises MESSAGE_NOT_FOUND."""
        number = ids.parse("msg", message_id)

        def work(db: Connection) -> Timeline | None:
            tenant = None if number is None else table.tenant_of(db, number)
            if number is None or tenant is None:
                return None
            row = history.one(db, tenant, number)
            client = clients.client(db, tenant // 2)
            assert row is not None
            found = timeline.timeline(db, number)
            return Timeline(
                message=history.view(row),
                tenant=tenant,
                client=client.name if client else "",
                parts=found.parts,
                attempts=found.attempts,
                notifications=timeline.notifications(db, number),
            )

        found = await self._box.db.read(work)
        if found is None:
            raise ApiError("MESSAGE_NOT_FOUND")
        return found

    async def _caller_for(self, message_id: str) -> Caller:
        number = ids.parse("msg", message_id)
        tenant = None if number is None else await self._box.db.read(table.tenant_of, number)
        if tenant is None:
            raise ApiError("MESSAGE_NOT_FOUND")
        return as_client(tenant)

    async def resend(self, message_id: str) -> None:
        """Queue a failed message again, as its client. Raises what `Intake.resend` and `check_enabled` raise."""
        caller = await self._caller_for(message_id)
        await self._clients.check_enabled(caller.client_id)
        await self._intake.resend(caller, message_id)

    async def cancel(self, message_id: str) -> None:
        """Cancel a queued message. Raises MESSAGE_NOT_FOUND, CANNOT_CANCEL_MESSAGE."""
        await self._tracking.cancel(await self._caller_for(message_id), message_id)

    def measure(self, text: str) -> Measured:
        """Return how many parts a text takes, and why."""
        plan = gsm7.plan(text, shifts=self._box.config.sending.national_shifts)
        # A national table may have what GSM-7 itself has not.
        short = plan.alphabet is gsm7.Alphabet.UCS2
        return Measured(
            characters=len(text),
            parts=len(plan.parts) if text else 0,
            alphabet=plan.alphabet.value,
            forcing=gsm7.forcing(text) if short else (),
        )

    async def send(
        self, to: str, text: str, *, priority: int = 3, client: int | None = None, form: str = ""
    ) -> str:
        """Send a message as a client, the first one by default; return its id.

        The same form sent again is the same message: `form` is its unique name.
        """
        order = SendBody(
            to=self._box.numbers.with_national().read(to, short_codes=True),
            message=validation.message(text),
            priority=validation.priority(priority),
        )
        number = client if client is not None else await self._clients.first()
        await self._clients.check_enabled(number)
        accepted = await self._intake.send(as_client(number * 2), order, _once(form, order))
        self._box.wakeups.changed()
        return accepted.message_id

    async def inbox(self, wanted: InboxFilter) -> InboxRows:
        """Return a page of the messages that all clients received."""

        def work(db: Connection) -> InboxRows:
            tenants = table.tenants(db, test=False)
            since = self._box.clock.now() - received.PICTURES_KEPT_MS
            found = table.inbox(db, tenants, wanted)
            pictures = tuple(received.pictures(db, tenants, since))
            return msgspec.structs.replace(found, pictures=pictures)

        return await self._box.db.read(work)

    # --- conversations -------------------------------------------------------------------------------

    async def conversations(self, wanted: PageFilter) -> ConversationRows:
        """Return a page of the conversations of all clients, the last one that received a text first."""

        def work(db: Connection) -> ConversationRows:
            return table.recent_conversations(db, table.tenants(db, test=False), wanted)

        return await self._box.db.read(work)

    async def conversation(self, client: int, number: str, wanted: PageFilter) -> Thread:
        """Return a page of the texts that a client exchanged with a number, newest first."""
        return await self._conversations.thread(as_client(client * 2), number, wanted)

    async def read(self, client: int, number: str, thread: Thread) -> None:
        """Mark the received texts of a page of a conversation as read, and those before them."""
        newest = next((text.inbox_id for text in thread.texts if text.inbox_id), None)
        if newest is not None:
            with contextlib.suppress(ApiError):  # the retention removed it meanwhile
                await self._conversations.read(
                    as_client(client * 2), number, ids.parse("inbox", newest)
                )

    async def name(self, client: int, number: str, name: str) -> None:
        """Give a number a name for one client; an empty one removes it. Raises INVALID_REQUEST."""
        caller = as_client(client * 2)
        if name:
            text = validation.line(name, "name", NAME_CHARACTERS)
            await self._conversations.name(caller, number, text)
        else:
            with contextlib.suppress(ApiError):  # it had none
                await self._conversations.forget(caller, number)

    async def contacts(self) -> tuple[Contact, ...]:
        """Return the named numbers of all clients, each once, at most `CONTACTS_OFFERED`."""

        def work(db: Connection) -> tuple[Contact, ...]:
            found: dict[str, Contact] = {}
            for tenant in table.tenants(db, test=False):
                rows, _ = contacts.page(db, tenant, None, limit=CONTACTS_OFFERED, offset=0)
                for row in rows:
                    found.setdefault(row.number, Contact(number=row.number, name=row.name))
            return tuple(found.values())[:CONTACTS_OFFERED]

        return await self._box.db.read(work)


def as_client(tenant: int) -> Caller:
    """Return the owner acting for a client; the permissions of its keys do not bind the owner."""
    client = tenant // 2
    mode: Literal["live", "test"] = "test" if tenant & 1 else "live"
    return Caller(0, client, f"client_{client}", mode, tenant, None, Permissions(short_codes=True))


def _once(form: str, order: SendBody) -> Idempotency | None:
    """Return what makes a form that is sent twice (a double tap) one message."""
    if not form:
        return None
    mark = hashlib.sha256(msgspec.json.encode((form, order))).digest()
    return Idempotency(f"page {mark.hex()}", mark)

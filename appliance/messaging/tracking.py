"""The gateway as the web sees it: `appliance.domain.views.Gateway`, a few lines for each thing asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from sqlite3 import Connection, Row
from typing import Literal

from appliance import __version__
from appliance.clients.authentication import Key
from appliance.clients.rate_limit import Limiter
from appliance.context import Context
from appliance.core.i18n import _
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.domain import ids
from appliance.domain.errors import ApiError, invalid
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.requests import (
    BlockOrder,
    BulkOrder,
    HistoryFilter,
    Idempotency,
    InboxFilter,
    OtpOrder,
    PageFilter,
    SendOrder,
    StatsFilter,
    VerifyOrder,
    WebhookOrder,
)
from appliance.domain.views import (
    Accepted,
    AuthTest,
    BlocklistEntry,
    BulkAccepted,
    Caller,
    DeviceView,
    Health,
    HistoryPage,
    InboxPage,
    InboxView,
    MessageView,
    OtpAccepted,
    OtpVerdict,
    RateLimitState,
    Replayed,
    Stats,
    WebhookLogPage,
    WebhookTest,
    WebhookView,
)
from appliance.messaging.intake import Intake, resendable
from appliance.messaging.otp import OneTimePasswords
from appliance.monitoring.metrics import Metrics
from appliance.monitoring.write_probe import WriteProbe
from appliance.store import backlog, clients, messages, received, statistics
from appliance.store import blocklist as blocklist_store
from appliance.store import history as history_store
from appliance.store import idempotency as idempotency_store
from appliance.webhooks.dispatcher import Webhooks

EXPORT_BATCH = 500
KEY_NOTED_EVERY_SECONDS = 60.0  # last_used_at is for people; a write for each request is not


class Gateway:
    """Authenticates, delegates, and shapes the answer. Raises ApiError and nothing else expected."""

    def __init__(self, box: Context, devices: Devices, intake: Intake, webhooks: Webhooks) -> None:
        self._box = box
        self._devices = devices
        self._intake = intake
        self._webhooks = webhooks
        self._write_probe = WriteProbe(box)
        self._metrics = Metrics(box, devices, webhooks)
        self._otps = OneTimePasswords(box, intake)
        self._limiter = Limiter(box.clock, box.config.rate_limit, box.config.read_limit)
        self._noted: dict[int, float] = {}

    def now(self) -> int:
        return self._box.clock.now()

    @property
    def numbers(self) -> NumberReader:
        return self._box.numbers

    # --- who is asking -------------------------------------------------------------------------------

    async def authenticate(self, api_key: str, client_id: str, device_id: str | None) -> Caller:
        """A revoked key is refused at once, also one that the command line revoked beside the box."""
        key = self._box.credentials.key(api_key)
        now = self._box.clock.now()
        expired = key is not None and key.expires_at is not None and now >= key.expires_at
        if key is None or not key.usable or expired:
            raise ApiError("INVALID_API_KEY")
        if ids.parse_decimal("client", client_id) != key.client:
            raise ApiError("INVALID_CLIENT_ID")
        if device_id is not None:
            self._check_device(key, device_id)
        await self._note_use(key.id, now)
        return Caller(
            key_id=key.id,
            client_id=key.client,
            client=f"client_{key.client}",
            mode="test" if key.test else "live",
            tenant=key.client * 2 + key.test,
            device_id=device_id,
            permissions=key.permissions,
        )

    def _check_device(self, key: Key, device_id: str) -> None:
        """A test key may name any device of its client: its messages go to the simulated one."""
        number = ids.parse_decimal("device", device_id)
        live = self._box.credentials.devices(key.client, False)
        test = self._box.credentials.devices(key.client, True) if key.test else []
        if number not in {row["id"] for row in (*live, *test)}:
            raise ApiError("INVALID_DEVICE_ID")

    async def _note_use(self, key_id: int, now: int) -> None:
        monotonic = self._box.clock.monotonic()
        if monotonic - self._noted.get(key_id, -KEY_NOTED_EVERY_SECONDS) >= KEY_NOTED_EVERY_SECONDS:
            self._noted[key_id] = monotonic
            await self._box.db.write_best_effort(clients.used, key_id, now)

    def admit(
        self, caller: Caller, kind: Literal["read", "write"], *, any_key: bool
    ) -> RateLimitState | None:
        may = caller.permissions
        if kind == "read" and not may.read and not any_key:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "read"})
        if kind == "write" and not may.send and not any_key:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "send"})
        return self._limiter.admit(caller.tenant, kind)

    async def auth_test(self, caller: Caller) -> AuthTest:
        found = list(await self.devices(caller))
        if caller.device_id and caller.mode == "live":  # a test key ends at the simulated one
            found = [d for d in found if d.device_id == caller.device_id]
        best = min(found, key=lambda d: d.status != "online", default=None)
        return AuthTest(
            client=caller.client,
            device_id=best.device_id if best else caller.device_id,
            device_status=best.status if best else "offline",
        )

    # --- sending -------------------------------------------------------------------------------------

    async def answered(
        self, caller: Caller, idempotency: Idempotency
    ) -> Accepted | BulkAccepted | OtpAccepted | None:
        return self._box.db.read_now(
            idempotency_store.earlier, caller.tenant, idempotency, self.now()
        )

    async def send(
        self, caller: Caller, order: SendOrder, idempotency: Idempotency | None
    ) -> Accepted:
        self._webhooks.check_url(order.webhook_url)
        return await self._intake.send(caller, order, idempotency)

    async def send_bulk(
        self, caller: Caller, order: BulkOrder, idempotency: Idempotency | None
    ) -> BulkAccepted:
        for url in {e.webhook_url for e in order.entries if isinstance(e, SendOrder)}:
            self._webhooks.check_url(url)
        return await self._intake.send_bulk(caller, order, idempotency)

    async def cancel(self, caller: Caller, message_id: str) -> None:
        number = await self._mine(caller, message_id)
        if not await self._box.db.write(messages.cancel, self._box.ids, number, self.now()):
            raise ApiError("CANNOT_CANCEL_MESSAGE")
        self._box.wakeups.changed()

    async def resend(self, caller: Caller, message_id: str) -> None:
        number = await self._mine(caller, message_id)
        row = await self._box.db.read(history_store.one, caller.tenant, number)
        if row is None or not resendable(row) or not await self._intake.resend(caller, number):
            raise ApiError("CANNOT_RESEND_MESSAGE")
        self._box.wakeups.changed()

    async def _mine(self, caller: Caller, message_id: str) -> int:
        """The number of one of this caller's messages. MESSAGE_NOT_FOUND."""
        number = ids.parse("msg", message_id)
        if (
            number is None
            or self._box.db.read_now(history_store.one, caller.tenant, number) is None
        ):
            raise ApiError("MESSAGE_NOT_FOUND")
        return number

    # --- tracking ------------------------------------------------------------------------------------

    async def status(self, caller: Caller, message_id: str) -> MessageView:
        number = ids.parse("msg", message_id)
        row = None
        if number is not None:
            row = self._box.db.read_now(history_store.one, caller.tenant, number)
        if row is None:
            raise ApiError("MESSAGE_NOT_FOUND")
        return history_store.view(row)

    async def history(self, caller: Caller, wanted: HistoryFilter) -> HistoryPage:
        return await self._box.db.read(history_store.page, caller.tenant, wanted)

    async def stats(self, caller: Caller, wanted: StatsFilter) -> Stats:
        return await self._box.db.read(statistics.stats, caller.tenant, wanted)

    async def export(
        self, caller: Caller, wanted: HistoryFilter
    ) -> AsyncIterator[tuple[MessageView, ...]]:
        before: tuple[int, int] | None = None
        while True:
            rows, before = await self._box.db.read(
                history_store.after, caller.tenant, wanted, before, EXPORT_BATCH
            )
            if rows:
                yield tuple(history_store.view(row) for row in rows)
            if before is None:
                return

    # --- devices -------------------------------------------------------------------------------------

    async def devices(self, caller: Caller) -> tuple[DeviceView, ...]:
        if caller.mode == "test":
            await self._devices.test_modem()
        rows = self._box.credentials.devices(caller.client_id, caller.mode == "test")
        return tuple(self._device(row) for row in rows)

    def _device(self, row: Row) -> DeviceView:
        attached = self._devices.by_number(row["id"])
        return device_view(row, attached)

    async def health(self) -> Health:
        def work(db: Connection) -> tuple[list[Row], int]:
            rows = db.execute("SELECT * FROM device WHERE test = 0 ORDER BY id").fetchall()
            return rows, backlog.messages(db, test=False)

        rows, queued = await self._box.db.read(work)
        views = tuple(self._device(row) for row in rows if self._devices.by_number(row["id"]))
        online = any(view.status == "online" for view in views)
        reason = await self._write_probe.fault() or (None if online else "no_modem")
        return Health("degraded" if reason else "ok", __version__, views, queued, reason)

    # --- one-time passwords ----------------------------------------------------------------------------

    async def send_otp(
        self, caller: Caller, order: OtpOrder, idempotency: Idempotency | None
    ) -> OtpAccepted:
        self._webhooks.check_url(order.webhook_url)
        return await self._otps.send(caller, order, idempotency)

    async def verify_otp(self, caller: Caller, order: VerifyOrder) -> OtpVerdict:
        return await self._otps.verify(caller, order)

    # --- webhooks ------------------------------------------------------------------------------------

    async def webhook_configure(self, caller: Caller, order: WebhookOrder) -> WebhookView:
        if not caller.permissions.read:  # a webhook is told all texts
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "read"})
        return await self._webhooks.configure(caller.tenant, order, caller.key_id)

    async def webhooks(self, caller: Caller) -> tuple[WebhookView, ...]:
        return await self._webhooks.listed(caller.tenant)

    async def webhook_delete(self, caller: Caller, webhook_id: str) -> None:
        await self._webhooks.delete(caller.tenant, webhook_id)

    async def webhook_test(self, caller: Caller, webhook_id: str) -> WebhookTest:
        return await self._webhooks.test(caller.tenant, webhook_id)

    async def webhook_logs(self, caller: Caller, wanted: PageFilter) -> WebhookLogPage:
        return await self._webhooks.logs(caller.tenant, wanted)

    async def webhook_replay(self, caller: Caller, log_id: str) -> Replayed:
        return await self._webhooks.replay(caller.tenant, log_id)

    # --- received --------------------------------------------------------------------------------------

    async def inbox(self, caller: Caller, wanted: InboxFilter) -> InboxPage:
        rows, total, exact = await self._box.db.read(received.page, caller.tenant, wanted)
        return InboxPage(
            tuple(
                InboxView(
                    inbox_id=ids.short_id("inbox", row["id"]),
                    sender=row["sender"],
                    message=row["body"],
                    received_at=row["received_at"],
                    device_id=f"device_{row['device']}",
                    incomplete=bool(row["incomplete"]),
                )
                for row in rows
            ),
            total,
            exact,
        )

    async def blocklist(self, caller: Caller) -> tuple[BlocklistEntry, ...]:
        rows = await self._box.db.read(blocklist_store.listed, caller.tenant)
        return tuple(_blocked(row) for row in rows)

    async def block(self, caller: Caller, order: BlockOrder) -> BlocklistEntry:
        row = await self._box.db.write(
            blocklist_store.add, caller.tenant, order.number, order.reason or "", "api", self.now()
        )
        return _blocked(row)

    async def unblock(self, caller: Caller, number: str) -> None:
        if await self._box.db.write(blocklist_store.remove, caller.tenant, number, self.now()):
            return
        if await self._box.db.read(blocklist_store.is_blocked, caller.tenant, number):
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "owner"})
        raise invalid("number", _("is not on the block list"), "NOT_FOUND")

    # --- the box itself --------------------------------------------------------------------------------

    async def metrics(self, token: str | None) -> bytes:
        return await self._metrics.text(token)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._metrics.observe(method, route, status, seconds)


def _blocked(row: Row) -> BlocklistEntry:
    return BlocklistEntry(row["number"], row["reason"] or None, row["source"], row["created_at"])


def device_view(row: Row, attached: Attached | None) -> DeviceView:
    """A device as it stands now; one that is not attached is offline."""
    status = attached.status if attached else None
    return DeviceView(
        device_id=f"device_{row['id']}",
        name=row["name"],
        status="online" if attached and attached.online else "offline",
        state=status.state.value if status else "offline",
        operator=(status.operator or None) if status else None,
        technology=(status.technology or None) if status else None,
        signal_dbm=status.signal_dbm if status else None,
        phone_number=row["phone_number"] or None,
        since=row["since"],
    )

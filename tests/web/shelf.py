"""A gateway that keeps messages on a shelf and sends none: for what the door alone decides.

It knows one client with one key. Whatever is about the box itself is tested on the box itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from appliance.core.i18n import Text
from appliance.domain import requests
from appliance.domain import views as seam
from appliance.domain.errors import ApiError, later
from appliance.domain.phone_numbers import INTERNATIONAL, NumberReader

KEY, CLIENT, DEVICE = "zs_live_0123456789", "client_1", "device_1"
NOW = 1_736_937_000_000  # 2025-01-15T10:30:00Z
MINUTE = 60_000


class Shelf(seam.Gateway):
    """See the module."""

    def __init__(self) -> None:
        self.messages: list[seam.MessageView] = []
        self.orders: list[object] = []
        self.filters: list[object] = []
        self.answers: dict[str, tuple[bytes, seam.Accepted]] = {}
        self.allowance: seam.RateLimitState | None = None
        self.broken: BaseException | None = None
        self.observed: list[tuple[str, str, int]] = []

    def now(self) -> int:
        return NOW

    @property
    def numbers(self) -> NumberReader:
        return INTERNATIONAL

    async def authenticate(
        self, api_key: str, client_id: str, device_id: str | None
    ) -> seam.Caller:
        if self.broken:
            raise self.broken
        if api_key != KEY:
            raise ApiError("INVALID_API_KEY")
        if client_id != CLIENT:
            raise ApiError("INVALID_CLIENT_ID")
        if device_id not in (None, DEVICE):
            raise ApiError("INVALID_DEVICE_ID")
        return seam.Caller(1, 1, CLIENT, "live", 1, device_id)

    def admit(
        self, caller: seam.Caller, kind: Literal["read", "write"], *, any_key: bool
    ) -> seam.RateLimitState | None:
        if self.allowance and not self.allowance.remaining:
            raise later("RATE_LIMIT_EXCEEDED", self.allowance.reset_seconds)
        return self.allowance

    async def answered(
        self, caller: seam.Caller, idempotency: requests.Idempotency
    ) -> seam.Accepted | None:
        if idempotency.key not in self.answers:
            return None
        fingerprint, answer = self.answers[idempotency.key]
        if fingerprint != idempotency.fingerprint:
            raise ApiError("IDEMPOTENCY_CONFLICT")
        return answer

    async def send(
        self,
        caller: seam.Caller,
        order: requests.SendOrder,
        idempotency: requests.Idempotency | None,
    ) -> seam.Accepted:
        self.orders.append(order)
        message_id = self._keep(order)
        due = order.scheduled_at or NOW
        answer = seam.Accepted(
            *(
                message_id,
                order.to,
                NOW,
                due,
                order.scheduled_at,
                order.priority,
                DEVICE,
                1,
                "GSM-7",
            )
        )
        if idempotency:
            self.answers[idempotency.key] = (idempotency.fingerprint, answer)
        return answer

    def _keep(self, order: requests.SendOrder) -> str:
        message_id = f"msg_{len(self.messages):016x}"
        self.messages.append(
            seam.MessageView(
                message_id=message_id,
                status="queued",
                to=order.to,
                message=order.message,
                priority=order.priority,
                created_at=NOW,
                queued_at=NOW,
                scheduled_at=order.scheduled_at,
                sent_at=None,
                delivered_at=None,
                failed_at=None,
                cancelled_at=None,
                metadata=order.metadata,
                uncertain=False,
                cancellable=True,
                device_id=DEVICE,
                parts=1,
                attempts=0,
                error=None,
                batch_id=None,
            )
        )
        return message_id

    async def send_bulk(
        self,
        caller: seam.Caller,
        order: requests.BulkOrder,
        idempotency: requests.Idempotency | None,
    ) -> seam.BulkAccepted:
        self.orders.append(order)
        entries: list[seam.BulkResult] = []
        for entry, same in zip(order.entries, order.same_as, strict=True):
            if isinstance(entry, requests.RefusedEntry):
                entries.append(seam.BulkResult(None, entry.to, entry.reason))
            elif same is not None:
                entries.append(entries[same])
            else:
                entries.append(seam.BulkResult(self._keep(entry), entry.to))
        return seam.BulkAccepted("batch_000000000001", tuple(entries), NOW)

    def _found(self, message_id: str) -> seam.MessageView:
        for view in self.messages:
            if view.message_id == message_id:
                return view
        raise ApiError("MESSAGE_NOT_FOUND")

    async def cancel(self, caller: seam.Caller, message_id: str) -> None:
        self._found(message_id)

    async def resend(self, caller: seam.Caller, message_id: str) -> None:
        self._found(message_id)
        raise ApiError("CANNOT_RESEND_MESSAGE")

    async def status(self, caller: seam.Caller, message_id: str) -> seam.MessageView:
        return self._found(message_id)

    async def history(
        self, caller: seam.Caller, wanted: requests.HistoryFilter
    ) -> seam.HistoryPage:
        self.filters.append(wanted)
        first = (wanted.page - 1) * wanted.limit
        return seam.HistoryPage(
            tuple(self.messages[::-1][first : first + wanted.limit]), len(self.messages)
        )

    async def stats(self, caller: seam.Caller, wanted: requests.StatsFilter) -> seam.Stats:
        self.filters.append(wanted)
        day = seam.DayCounts("2025-01-15", 3, 2, 1)
        return seam.Stats(wanted.start, wanted.end, 3, 2, 1, len(self.messages), (day,))

    async def export(
        self, caller: seam.Caller, wanted: requests.HistoryFilter
    ) -> AsyncIterator[tuple[seam.MessageView, ...]]:
        self.filters.append(wanted)
        for view in self.messages:
            yield (view,)

    async def devices(self, caller: seam.Caller) -> tuple[seam.DeviceView, ...]:
        return (
            seam.DeviceView(
                *(DEVICE, "HAT", "online", "ready", "Orange F", "LTE", -71, "+33600000000", NOW)
            ),
        )

    async def auth_test(self, caller: seam.Caller) -> seam.AuthTest:
        return seam.AuthTest(CLIENT, DEVICE, "online")

    async def send_otp(
        self,
        caller: seam.Caller,
        order: requests.OtpOrder,
        idempotency: requests.Idempotency | None,
    ) -> seam.OtpAccepted:
        self.orders.append(order)
        expires = NOW + order.expiry_seconds * 1000
        return seam.OtpAccepted("otp_000000000001", "msg_1", order.to, expires, order.length)

    async def verify_otp(self, caller: seam.Caller, order: requests.VerifyOrder) -> seam.OtpVerdict:
        if order.otp_id != "otp_000000000001":
            raise ApiError("OTP_NOT_FOUND")
        if order.code == "123456":
            return seam.OtpVerdict(True, verified_at=NOW)
        return seam.OtpVerdict(False, attempts_remaining=2)

    async def webhook_configure(
        self, caller: seam.Caller, order: requests.WebhookOrder
    ) -> seam.WebhookView:
        secret = order.secret or "whsec_1"
        return seam.WebhookView("wh_1", order.url, order.events, "active", NOW, secret)

    async def webhooks(self, caller: seam.Caller) -> tuple[seam.WebhookView, ...]:
        return (seam.WebhookView("wh_1", "https://example.com/", ("sms.sent",), "active", NOW),)

    async def webhook_delete(self, caller: seam.Caller, webhook_id: str) -> None:
        if webhook_id != "wh_1":
            raise ApiError("WEBHOOK_NOT_FOUND")

    async def webhook_test(self, caller: seam.Caller, webhook_id: str) -> seam.WebhookTest:
        answers = {"wh_1": 200, "wh_2": 500, "wh_3": None}
        if webhook_id not in answers:
            raise ApiError("WEBHOOK_NOT_FOUND")
        return seam.WebhookTest(answers[webhook_id])

    async def webhook_logs(
        self, caller: seam.Caller, wanted: requests.PageFilter
    ) -> seam.WebhookLogPage:
        self.filters.append(wanted)
        log = seam.WebhookLogEntry(
            *("1", "wh_1", "sms.sent", "evt_1", "https://example.com/", 200, 12, True, 1, NOW)
        )
        return seam.WebhookLogPage((log,), 1)

    async def webhook_replay(self, caller: seam.Caller, log_id: str) -> seam.Replayed:
        if log_id != "1":
            raise ApiError("WEBHOOK_NOT_FOUND")
        return seam.Replayed("1", "wh_1", "evt_1")

    async def inbox(self, caller: seam.Caller, wanted: requests.InboxFilter) -> seam.InboxPage:
        self.filters.append(wanted)
        view = seam.InboxView("1", "+33612345678", "STOP", NOW, DEVICE, False)
        return seam.InboxPage((view,), 1)

    async def blocklist(self, caller: seam.Caller) -> tuple[seam.BlocklistEntry, ...]:
        return (seam.BlocklistEntry("+33612345678", None, "stop", NOW),)

    async def block(self, caller: seam.Caller, order: requests.BlockOrder) -> seam.BlocklistEntry:
        return seam.BlocklistEntry(order.number, order.reason, "api", NOW)

    async def unblock(self, caller: seam.Caller, number: str) -> None:
        if number != "+33612345678":
            raise ApiError("NOT_FOUND")

    async def health(self) -> seam.Health:
        return seam.Health("ok", "0.1.0", await self.devices(await self._nobody()), 0)

    async def _nobody(self) -> seam.Caller:
        return seam.Caller(0, 0, CLIENT, "live", 0)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self.observed.append((method, route, status))

    async def metrics(self, token: str | None) -> bytes:
        if token not in (None, "secret"):
            raise ApiError("INVALID_API_KEY")
        return b"zimbox_up 1\n"


def failed(view: seam.MessageView) -> seam.MessageView:
    """The same message as the network refused it."""
    cause = Text("The destination cannot receive SMS.")
    changes = {
        "status": "failed",
        "failed_at": NOW + MINUTE,
        "error": seam.Failure("NETWORK_ERROR", cause, "CMS", 38),
    }
    return seam.MessageView(**{**{f: getattr(view, f) for f in view.__struct_fields__}, **changes})

"""What the gateway is to the web: orders in, frozen answers out. All moments are epoch milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from appliance.domain.errors import FailureCode, Reason, Words
from appliance.domain.requests import (
    BlockOrder,
    BulkOrder,
    HistoryFilter,
    Idempotency,
    InboxFilter,
    MessageStatus,
    OtpOrder,
    PageFilter,
    SendOrder,
    StatsFilter,
    VerifyOrder,
    WebhookEvent,
    WebhookOrder,
)


class Permissions(msgspec.Struct, frozen=True):
    """What the owner lets a key do; anything beyond is KEY_NOT_ALLOWED. The gateway checks."""

    send: bool = True
    read: bool = True
    short_codes: bool = False
    prefixes: tuple[str, ...] = ()  # "+33", "+4179": empty allows all
    daily_cap: int | None = None


class Caller(msgspec.Struct, frozen=True):
    """Who is asking, as the key proved. `scope` is the store's partition (client and mode)."""

    key_id: int
    client_id: int
    client: str  # "client_1"
    mode: Literal["live", "test"]
    scope: int
    device_id: str | None = None  # X-Device-ID, checked
    permissions: Permissions = Permissions()


class Allowance(msgspec.Struct, frozen=True):
    """What is left of the request limit, for the RateLimit-* headers."""

    limit: int
    remaining: int
    reset_seconds: int


class Accepted(msgspec.Struct, frozen=True):
    """A message that is on the disk and will be sent."""

    message_id: str
    to: str
    queued_at: int
    estimated_delivery: int
    scheduled_at: int | None
    priority: int
    device_id: str | None
    parts: int
    encoding: str


class BulkMessage(msgspec.Struct, frozen=True):
    """One entry of a bulk in its place: a message, or why not."""

    message_id: str | None
    to: str | None
    error: Reason | None = None


class BulkAccepted(msgspec.Struct, frozen=True):
    """A batch; its entries in the order they were asked for, repeated ones with the same id."""

    batch_id: str
    messages: tuple[BulkMessage, ...]
    queued_at: int
    sendable_now: int | None = None  # where the SIM's limits make the rest wait
    rest_from: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a message failed: the public code, and the cause with the modem's own number."""

    code: FailureCode
    cause: Words | None = None
    source: str | None = None  # "CMS", "CME", "TP-ST", "modem"
    number: int | None = None


class MessageView(msgspec.Struct, frozen=True):
    """All that a client may know of one of its messages. The code of an OTP is masked already."""

    message_id: str
    status: MessageStatus
    to: str
    message: str
    priority: int
    created_at: int
    queued_at: int
    scheduled_at: int | None
    sent_at: int | None
    delivered_at: int | None
    failed_at: int | None
    cancelled_at: int | None
    metadata: str | None  # compact JSON
    uncertain: bool
    cancellable: bool
    device_id: str | None
    parts: int
    attempts: int
    error: Failure | None
    batch_id: str | None


class HistoryPage(msgspec.Struct, frozen=True):
    """One page, newest first. `exact` is False where counting stopped at 10,000 hits."""

    messages: tuple[MessageView, ...]
    total: int
    exact: bool = True


class Day(msgspec.Struct, frozen=True):
    """One UTC day: all that left the queue, and how it stands now."""

    date: str  # "2025-01-31"
    sent: int
    delivered: int
    failed: int


class Stats(msgspec.Struct, frozen=True):
    """Counts of a period as it was really counted (whole days past the retention)."""

    start: int
    end: int  # exclusive
    total_sent: int
    delivered: int
    failed: int
    pending: int
    by_day: tuple[Day, ...]
    truncated: bool = False


class DeviceView(msgspec.Struct, frozen=True):
    """One modem. `state` is modem.interface.State in its own words."""

    device_id: str
    name: str
    status: Literal["online", "offline"]
    state: str
    operator: str | None
    technology: str | None
    signal_dbm: int | None
    phone_number: str | None
    since: int | None  # when this status began


class AuthTest(msgspec.Struct, frozen=True):
    """Who the key belongs to and the modem it would use; None where the box has none."""

    client: str
    device_id: str | None
    device_status: Literal["online", "offline"]


class OtpAccepted(msgspec.Struct, frozen=True):
    """A one-time code on its way."""

    otp_id: str
    message_id: str
    to: str
    expires_at: int
    code_length: int


class OtpVerdict(msgspec.Struct, frozen=True):
    """Right (`verified_at`) or wrong (`attempts_remaining`)."""

    valid: bool
    verified_at: int | None = None
    attempts_remaining: int | None = None


class WebhookView(msgspec.Struct, frozen=True):
    """A webhook; `secret` only in the answer that makes it."""

    webhook_id: str
    url: str
    events: tuple[WebhookEvent, ...]
    status: str
    created_at: int
    secret: str | None = None


class WebhookTest(msgspec.Struct, frozen=True):
    """What the receiver answered to a test event; None when it did not."""

    response_status: int | None


class WebhookLog(msgspec.Struct, frozen=True):
    """One attempt to tell a receiver of one event."""

    log_id: str
    webhook_id: str | None  # None: the message's own webhook_url
    event: str
    event_id: str
    url: str
    response_status: int | None
    response_time_ms: int | None
    success: bool
    attempt: int
    timestamp: int
    reason: str | None = None  # why it was no success, one English sentence


class WebhookLogPage(msgspec.Struct, frozen=True):
    """One page of attempts, newest first."""

    logs: tuple[WebhookLog, ...]
    total: int


class Replayed(msgspec.Struct, frozen=True):
    """An event that will be told again."""

    log_id: str
    webhook_id: str | None
    event_id: str


class InboxView(msgspec.Struct, frozen=True):
    """One received message, joined. `incomplete` when a part never came."""

    inbox_id: str
    sender: str
    message: str
    received_at: int
    device_id: str
    incomplete: bool


class InboxPage(msgspec.Struct, frozen=True):
    """One page of received messages, newest first."""

    messages: tuple[InboxView, ...]
    total: int
    exact: bool = True


class BlockedNumber(msgspec.Struct, frozen=True):
    """A number that gets no SMS, and since when. `source` is "api", "stop" or "page"."""

    number: str
    reason: str | None
    source: str
    created_at: int


class Health(msgspec.Struct, frozen=True):
    """Liveness and the modems in one glance; `status` says whether a send would go out now."""

    status: Literal["ok", "degraded"]
    version: str
    devices: tuple[DeviceView, ...]
    queued: int


class Gateway(Protocol):
    """The box behind the web. Every method may raise `Refusal`, and nothing else that is expected.

    What does not exist and what is another client's are refused alike.
    """

    def now(self) -> int:
        """The box's clock."""

    async def authenticate(self, api_key: str, client_id: str, device_id: str | None) -> Caller:
        """INVALID_API_KEY, then INVALID_CLIENT_ID, then INVALID_DEVICE_ID."""

    def admit(
        self, caller: Caller, kind: Literal["read", "write"], *, any_key: bool
    ) -> Allowance | None:
        """Count one request; None where there is no limit. RATE_LIMIT_EXCEEDED, and KEY_NOT_ALLOWED
        unless it is one for `any_key`.
        """

    async def answered(
        self, caller: Caller, idempotency: Idempotency
    ) -> Accepted | BulkAccepted | OtpAccepted | None:
        """The answer this key was given before, asked before the rules look at the clock.

        IDEMPOTENCY_CONFLICT when it came with another body.
        """

    async def send(
        self, caller: Caller, order: SendOrder, idempotency: Idempotency | None
    ) -> Accepted:
        """Returns after the commit. Looks at `idempotency` again, inside its transaction."""

    async def send_bulk(
        self, caller: Caller, order: BulkOrder, idempotency: Idempotency | None
    ) -> BulkAccepted:
        """One transaction for all. If no entry can go: the first one's refusal."""

    async def cancel(self, caller: Caller, message_id: str) -> None:
        """MESSAGE_NOT_FOUND, CANNOT_CANCEL_MESSAGE."""

    async def resend(self, caller: Caller, message_id: str) -> None:
        """MESSAGE_NOT_FOUND, CANNOT_RESEND_MESSAGE."""

    async def status(self, caller: Caller, message_id: str) -> MessageView:
        """MESSAGE_NOT_FOUND."""

    async def history(self, caller: Caller, wanted: HistoryFilter) -> HistoryPage: ...
    async def stats(self, caller: Caller, wanted: StatsFilter) -> Stats: ...

    def export(
        self, caller: Caller, wanted: HistoryFilter
    ) -> AsyncIterator[tuple[MessageView, ...]]:
        """All pages of the history in batches; `page` and `limit` of the filter do not count."""

    async def devices(self, caller: Caller) -> tuple[DeviceView, ...]: ...
    async def auth_test(self, caller: Caller) -> AuthTest: ...

    async def send_otp(
        self, caller: Caller, order: OtpOrder, idempotency: Idempotency | None
    ) -> OtpAccepted: ...

    async def verify_otp(self, caller: Caller, order: VerifyOrder) -> OtpVerdict:
        """OTP_NOT_FOUND, OTP_EXPIRED, OTP_MAX_ATTEMPTS."""

    async def webhook_configure(self, caller: Caller, order: WebhookOrder) -> WebhookView: ...
    async def webhooks(self, caller: Caller) -> tuple[WebhookView, ...]: ...

    async def webhook_delete(self, caller: Caller, webhook_id: str) -> None:
        """WEBHOOK_NOT_FOUND."""

    async def webhook_test(self, caller: Caller, webhook_id: str) -> WebhookTest:
        """WEBHOOK_NOT_FOUND."""

    async def webhook_logs(self, caller: Caller, wanted: PageFilter) -> WebhookLogPage: ...

    async def webhook_replay(self, caller: Caller, log_id: str) -> Replayed:
        """WEBHOOK_NOT_FOUND."""

    async def inbox(self, caller: Caller, wanted: InboxFilter) -> InboxPage: ...
    async def blocklist(self, caller: Caller) -> tuple[BlockedNumber, ...]: ...
    async def block(self, caller: Caller, order: BlockOrder) -> BlockedNumber: ...

    async def unblock(self, caller: Caller, number: str) -> None:
        """NOT_FOUND when it is not on the list."""

    async def health(self) -> Health: ...

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered: for the metrics. `route` as it is written, without values."""

    async def metrics(self, token: str | None) -> bytes:
        """Return the metrics in Prometheus text format. Raises INVALID_API_KEY for a wrong token."""

"""What clients ask of the gateway, checked and normalised. All moments are epoch milliseconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from appliance.refusals import Reason

MessageStatus = Literal["queued", "sent", "delivered", "failed", "cancelled"]
OnUncertain = Literal["fail", "resend"]


class SendOrder(msgspec.Struct, frozen=True):
    """One SMS. `to` is E.164 (or a short code), `metadata` compact JSON, `priority` 1 (first) to 5."""

    to: str
    message: str
    priority: int = 3
    metadata: str | None = None
    webhook_url: str | None = None
    scheduled_at: int | None = None
    retry_attempts: int = 3
    validity_minutes: int | None = None
    flash: bool = False
    on_uncertain: OnUncertain | None = None  # None: as the box is configured


class Refused(msgspec.Struct, frozen=True):
    """An entry of a bulk that the rules refused: it keeps its place, the others go."""

    to: str | None  # as it was written, None when it was no text
    reason: Reason


class BulkOrder(msgspec.Struct, frozen=True):
    """Many SMS. `same_as[i]` is the index of the earlier entry that entry i repeats, else None."""

    entries: tuple[SendOrder | Refused, ...]
    same_as: tuple[int | None, ...]


class OtpOrder(msgspec.Struct, frozen=True):
    """A one-time code to be made and sent. `template` contains {{code}} or {code}."""

    to: str
    template: str
    length: int = 6
    expiry_seconds: int = 300
    purpose: str | None = None
    metadata: str | None = None
    webhook_url: str | None = None


class VerifyOrder(msgspec.Struct, frozen=True):
    """A one-time code as the person typed it; `phone` must be the code's own when it is given."""

    otp_id: str
    code: str
    phone: str | None = None


class Idempotency(msgspec.Struct, frozen=True):
    """An Idempotency-Key with the SHA-256 of the route and the canonical body it came with."""

    key: str
    fingerprint: bytes


class Period(msgspec.Struct, frozen=True):
    """Half-open: start <= created_at < end. None is without bound."""

    start: int | None = None
    end: int | None = None


class HistoryFilter(msgspec.Struct, frozen=True):
    """Which messages, and which page of them. `search` is folded already (`rules.fold`)."""

    page: int = 1
    limit: int = 50
    status: MessageStatus | None = None
    to: str | None = None
    period: Period = Period()
    device_id: str | None = None
    search: str | None = None


class StatsFilter(msgspec.Struct, frozen=True):
    """Which messages to count: start <= created_at < end."""

    start: int
    end: int
    device_id: str | None = None


class InboxFilter(msgspec.Struct, frozen=True):
    """Which received messages. `senders`: any of these, E.164, short code or name as the network told it."""

    page: int = 1
    limit: int = 50
    senders: tuple[str, ...] | None = None
    period: Period = Period()
    search: str | None = None


class PageFilter(msgspec.Struct, frozen=True):
    """Which page of a list."""

    page: int = 1
    limit: int = 50


WebhookEvent = Literal[
    "sms.sent",
    "sms.delivered",
    "sms.failed",
    "sms.received",
    "sms.cancelled",
    "device.connected",
    "device.disconnected",
]


class WebhookOrder(msgspec.Struct, frozen=True):
    """A webhook to be called for these events. `secret` None: the box makes one."""

    url: str
    events: tuple[WebhookEvent, ...]
    secret: str | None = None


class BlockOrder(msgspec.Struct, frozen=True):
    """A number that shall get no SMS."""

    number: str
    reason: str | None = None

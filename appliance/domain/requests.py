"""The filters of requests, and words that several requests use. All times are epoch milliseconds."""

from __future__ import annotations

from typing import Literal

import msgspec

MessageStatus = Literal["queued", "sent", "delivered", "failed", "cancelled"]
OnUncertain = Literal["fail", "resend"]


class Idempotency(msgspec.Struct, frozen=True):
    """An Idempotency-Key with the SHA-256 of its route and canonical body, and how long it holds."""

    key: str
    fingerprint: bytes
    window_ms: int = 86_400_000
    otherwise: Idempotency | None = (
        None  # another mark of the request, for where this one is unknown
    )


class Period(msgspec.Struct, frozen=True):
    """Half-open: start <= created_at < end. None means unbounded."""

    start: int | None = None
    end: int | None = None


class HistoryFilter(msgspec.Struct, frozen=True):
    """Which messages, and which page of them. `search` is already folded."""

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
    """Which received messages. `senders` are E.164 numbers, short codes or names, as received."""

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
    "mms.received",
    "device.connected",
    "device.disconnected",
    "device.warning",
]

"""Requests of clients, validated and normalised. All times are epoch milliseconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from appliance.domain.errors import Reason

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
    on_uncertain: OnUncertain | None = None  # None: the configured default


class RefusedEntry(msgspec.Struct, frozen=True):
    """A refused entry of a bulk; it keeps its place among the others."""

    to: str | None  # as written; None if it was not a string
    reason: Reason


class BulkOrder(msgspec.Struct, frozen=True):
    """Many SMS. `same_as[i]` is the index of an earlier entry that entry i repeats, else None."""

    entries: tuple[SendOrder | RefusedEntry, ...]
    same_as: tuple[int | None, ...]


class OtpOrder(msgspec.Struct, frozen=True):
    """A one-time password to send. `template` contains {{code}} or {code}."""

    to: str
    template: str
    length: int = 6
    expiry_seconds: int = 300
    purpose: str | None = None
    metadata: str | None = None
    webhook_url: str | None = None


class VerifyOrder(msgspec.Struct, frozen=True):
    """A code as typed. `phone`, if given, must be the number that the code was sent to."""

    otp_id: str
    code: str
    phone: str | None = None


class Idempotency(msgspec.Struct, frozen=True):
    """An Idempotency-Key with the SHA-256 of its route and canonical body."""

    key: str
    fingerprint: bytes


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
    "device.connected",
    "device.disconnected",
]


class WebhookOrder(msgspec.Struct, frozen=True):
    """A webhook for these events. Without `secret` the box creates one."""

    url: str
    events: tuple[WebhookEvent, ...]
    secret: str | None = None


class BlockOrder(msgspec.Struct, frozen=True):
    """A number to put on the block list."""

    number: str
    reason: str | None = None

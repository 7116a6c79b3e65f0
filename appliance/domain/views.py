"""What the services return: frozen values, the answers of the API among them.

An `int` time is epoch milliseconds. A `datetime` is UTC to the second; msgspec writes it as RFC 3339 with Z.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.core.i18n import Text
from appliance.domain.errors import FailureCode, Reason
from appliance.domain.requests import MessageStatus

Moment = Annotated[datetime, Meta(tz=True)]
MomentOrNull = Annotated[Moment | None, Meta(description="null if not reached.")]
OnOff = Annotated[str, Meta(extra_json_schema={"enum": ["online", "offline"]})]
Queued = Annotated[str, Meta(extra_json_schema={"const": "queued"})]


class Permissions(msgspec.Struct, frozen=True):
    """What the owner allows a key to do; anything else is KEY_NOT_ALLOWED."""

    send: bool = True
    read: bool = True
    short_codes: bool = False
    prefixes: tuple[str, ...] = ()  # "+33", "+4179": empty allows all
    daily_cap: int | None = None
    simple: bool = False  # the key may come in an address (GET /v1/simple/send)
    alert_to: tuple[str, ...] = ()  # who receives alerts (POST /v1/alerts/…); empty: nobody


class Caller(msgspec.Struct, frozen=True):
    """The authenticated caller. `tenant` is the partition of the store (client and mode)."""

    key_id: int
    client_id: int
    client: str  # "client_1"
    mode: Literal["live", "test"]
    tenant: int
    device_id: str | None = None  # X-Device-ID, validated
    permissions: Permissions = Permissions()


class RateLimitState(msgspec.Struct, frozen=True):
    """The remaining rate limit, for the RateLimit-* headers."""

    limit: int
    remaining: int
    reset_seconds: int


class SuccessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A success."""

    success: Annotated[bool, Meta(extra_json_schema={"const": True})] = True
    warnings: Annotated[
        list[str] | UnsetType,
        Meta(
            description="Unknown fields of the body, which were ignored; how a time without offset was read."
        ),
    ] = UNSET


class AcceptedAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The message is on disk and will be sent."""

    message_id: str
    status: Queued = "queued"
    to: str
    queued_at: Moment
    estimated_delivery: Moment
    scheduled_at: MomentOrNull
    priority: str
    device_id: str | None
    parts: int
    encoding: Annotated[str, Meta(extra_json_schema={"enum": ["GSM-7", "UCS-2"]})]


class BulkResult(msgspec.Struct, frozen=True):
    """An entry of a bulk: a message, or the reason of its refusal."""

    message_id: str | None
    to: str | None
    error: Reason | None = None


class BulkAccepted(msgspec.Struct, frozen=True):
    """A batch, with its entries in order; repeated ones have the same id."""

    batch_id: str
    messages: tuple[BulkResult, ...]
    queued_at: int
    sendable_now: int | None = None  # if limits of the SIM delay the rest
    rest_from: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a message failed: the public code, and the cause with the modem's number."""

    code: FailureCode
    cause: Text | None = None
    source: str | None = None  # "CMS", "CME", "TP-ST", "modem"
    number: int | None = None


class MessageView(msgspec.Struct, frozen=True):
    """Everything that a client may know about a message. The code of an OTP is masked."""

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
    """A page of messages, newest first. `exact` is False if counting stopped at 10,000 hits."""

    messages: tuple[MessageView, ...]
    total: int
    exact: bool = True


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a UTC day."""

    date: Annotated[str, Meta(extra_json_schema={"format": "date"})]
    sent: int
    delivered: int
    failed: int


class Stats(msgspec.Struct, frozen=True):
    """Counts of the period that was really counted (whole days beyond the retention)."""

    start: int
    end: int  # exclusive
    total_sent: int
    delivered: int
    failed: int
    pending: int
    by_day: tuple[Day, ...]
    truncated: bool = False


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A modem."""

    device_id: str
    name: str
    status: OnOff
    state: Annotated[
        str, Meta(description="More precise than status: ready, searching, pin_required, …")
    ]
    operator: str | None
    technology: str | None
    signal: Annotated[int | None, Meta(description="dBm")]
    phone_number: str | None
    since: Annotated[MomentOrNull, Meta(description="Since when the modem has this status.")]
    limitations: Annotated[
        list[str],
        Meta(
            description="What the modem cannot do at present: no_storage, storage_stuck, no_reports, "
            "restarting. Empty for a modem without faults."
        ),
    ]


class AuthTest(msgspec.Struct, frozen=True):
    """The client of a key and the modem that it would use; None without a modem."""

    client: str
    device_id: str | None
    device_status: Literal["online", "offline"]


class OtpAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The code is queued."""

    otp_id: str
    to: str
    expires_at: Moment
    message_id: str
    status: str = "queued"
    phone_masked: str
    code_length: int


class OtpVerdict(msgspec.Struct, frozen=True):
    """The result of a verification: `verified_at` if correct, else `attempts_remaining`."""

    valid: bool
    verified_at: int | None = None
    attempts_remaining: int | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    events: list[str]
    status: str
    created_at: Moment


class ConfiguredAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The webhook is active."""

    webhook_id: str
    url: str
    events: list[str]
    secret: Annotated[str | None, Meta(description="The signing secret, shown only once.")]
    status: str
    created_at: Moment


class WebhookTest(msgspec.Struct, frozen=True):
    """The receiver's answer to a test event; None without an answer. After a failure with the reason."""

    response_status: int | None
    reason: str | None = None  # one English sentence, as in the log of calls
    why: Text | None = None  # the same for the owner, with what to do


class WebhookLog(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt to call a webhook."""

    log_id: str
    webhook_id: str | None
    event: str
    event_id: str
    url: str
    response_status: int | None
    response_time_ms: int | None
    success: bool
    attempt: int
    timestamp: Moment
    reason: Annotated[str | None, Meta(description="Why the attempt failed, in English.")]


class WebhookLogPage(msgspec.Struct, frozen=True):
    """A page of attempts, newest first."""

    logs: tuple[WebhookLog, ...]
    total: int


class ReplayedAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The event will be sent again."""

    log_id: str
    webhook_id: str | None
    event_id: str


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A received message."""

    inbox_id: str
    sender: str = msgspec.field(name="from")
    message: str
    received_at: Moment
    device_id: str
    incomplete: Annotated[bool, Meta(description="Whether a part is missing.")]


class InboxPage(msgspec.Struct, frozen=True):
    """A page of received messages, newest first."""

    messages: tuple[Received, ...]
    total: int
    exact: bool = True


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A number that has written to the client."""

    number: Annotated[str, Meta(description="Or the name of the sender as received.")]
    name: Annotated[str | None, Meta(description="The name of the contact.")]
    unread: Annotated[int, Meta(description="Received texts that nobody has read.")]
    last_message: Annotated[str, Meta(description="The last text that was received.")]
    last_received_at: Moment


class ConversationPage(msgspec.Struct, frozen=True):
    """A page of conversations, the last one that received a text first."""

    conversations: tuple[Conversation, ...]
    total: int
    exact: bool = True


class ConversationText(msgspec.Struct, frozen=True, kw_only=True):
    """A text of a conversation."""

    direction: Annotated[str, Meta(extra_json_schema={"enum": ["received", "sent"]})]
    inbox_id: Annotated[str | None, Meta(description="Of a received text.")]
    message_id: Annotated[str | None, Meta(description="Of a text to the number.")]
    message: str
    at: Annotated[Moment, Meta(description="When it was received, or accepted to be sent.")]
    status: Annotated[str | None, Meta(description="Of a text to the number.")]
    uncertain: bool
    incomplete: Annotated[bool, Meta(description="Whether a part of a received text is missing.")]


class Thread(msgspec.Struct, frozen=True):
    """A page of the texts exchanged with a number, newest first."""

    name: str  # of the contact; "" without one
    texts: tuple[ConversationText, ...]
    total: int
    exact: bool = True


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A number with the name that the client gave it."""

    number: str
    name: str


class ContactPage(msgspec.Struct, frozen=True):
    """A page of contacts, by name."""

    contacts: tuple[Contact, ...]
    total: int
    exact: bool = True


class BlockedNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A number on the block list."""

    number: str
    reason: str | None
    source: str
    created_at: Moment


class Health(msgspec.Struct, frozen=True):
    """Liveness and the modems; `status` says whether a message could be stored and sent now."""

    status: Literal["ok", "degraded"]
    version: str
    devices: tuple[Device, ...]
    queued: int
    reason: Literal["no_modem", "storage_full", "storage_not_writable"] | None = None

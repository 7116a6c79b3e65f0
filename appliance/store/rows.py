"""The rows that the store returns: the columns of a query by name and type.

A query names the columns with `columns(Kind)`, and `first` or `every` make the rows of it. Flags are 0 or 1, as
stored; times are epoch milliseconds.
"""

from __future__ import annotations

from functools import cache
from sqlite3 import Cursor
from typing import Literal, NamedTuple, TypeVar

from appliance.domain.errors import FailureCode
from appliance.domain.requests import MessageStatus, OnUncertain

RowT = TypeVar("RowT", bound=NamedTuple)


@cache
def columns(kind: type[NamedTuple], table: str = "") -> str:
    """Return the columns of a kind of row for a SELECT, those of one table if it is named."""
    prefix = f"{table}." if table else ""
    return ", ".join(f"{prefix}{name}" for name in kind._fields)


def first(kind: type[RowT], cursor: Cursor) -> RowT | None:
    """Return the first row of a query; None without one."""
    row = cursor.fetchone()
    return None if row is None else kind._make(row)


def every(kind: type[RowT], cursor: Cursor) -> list[RowT]:
    """Return all rows of a query."""
    return list(map(kind._make, cursor.fetchall()))


class MessageRow(NamedTuple):
    """A message in the queue tables."""

    id: int
    tenant: int
    kind: Literal["sms", "otp"]
    recipient: str
    body: str
    secret: bytes | None
    alphabet: str
    shift: int
    parts: int
    priority: int
    device: int
    bound: int
    status: str
    uncertain: int
    ever_submitted: int
    attempts: int
    max_attempts: int
    round: int
    created_at: int
    queued_at: int
    scheduled_at: int | None
    due_at: int
    expires_at: int
    sent_at: int | None
    delivered_at: int | None
    failed_at: int | None
    cancelled_at: int | None
    error_code: FailureCode | None
    error_detail: str | None
    concatenation: int | None
    validity_minutes: int | None
    flash: int
    on_uncertain: OnUncertain
    metadata: str | None
    webhook_url: str | None
    closed_at: int | None
    held: int


class PartRow(NamedTuple):
    """A part of a message in the queue tables, with its current attempt."""

    message: int
    number: int
    state: str
    ready_at: int
    attempts: int
    device: int | None
    sim: str | None
    submitted_at: int | None
    answered_at: int | None
    reference: int | None
    tp_status: int | None
    reported_at: int | None
    open: int
    error: str | None


class AttemptRow(NamedTuple):
    """An earlier attempt of a part."""

    message: int
    number: int
    device: int | None
    sim: str | None
    submitted_at: int | None
    answered_at: int | None
    reference: int | None
    round: int


class SubmissionRow(NamedTuple):
    """A part or an attempt that a report may be about; `kind` as in `report_matching.Candidate`."""

    kind: Literal["part", "air", "try"]
    id: int
    message: int
    number: int
    recipient: str
    reference: int | None
    submitted_at: int
    answered_at: int | None


class PastRow(NamedTuple):
    """A submission that expects no further report, or that a report was about."""

    message: int
    number: int
    recipient: str
    reference: int
    submitted_at: int
    taken_by: int
    scts: int | None


class ReportRow(NamedTuple):
    """A delivery report that matches no part yet."""

    id: int
    device: int
    sim: str
    reference: int
    recipient: str
    tp_status: int
    scts: int | None
    discharged_at: int | None
    arrived_at: int


class TrackedRow(NamedTuple):
    """A message of either table, with what its client may know."""

    id: int
    tenant: int
    kind: Literal["sms", "otp"]
    batch: int | None
    recipient: str
    body: str
    parts: int
    priority: int
    device: int
    status: MessageStatus
    uncertain: int
    ever_submitted: int
    attempts: int
    created_at: int
    queued_at: int
    scheduled_at: int | None
    sent_at: int | None
    delivered_at: int | None
    failed_at: int | None
    cancelled_at: int | None
    error_code: FailureCode | None
    error_detail: str | None
    metadata: str | None


class IndexedRow(NamedTuple):
    """A message in the history, with what its indexes are made of."""

    id: int
    tenant: int
    recipient: str
    created_at: int
    body: str


class HeldRow(NamedTuple):
    """A message that waits for the owner's decision after a restore."""

    id: int
    tenant: int
    kind: Literal["sms", "otp"]
    recipient: str
    body: str
    parts: int
    created_at: int
    scheduled_at: int | None
    expires_at: int


class ClientRow(NamedTuple):
    """A client."""

    id: int
    name: str
    signing_secret: str
    created_at: int
    disabled_at: int | None


class KeyRow(NamedTuple):
    """An API key with the state of its client."""

    id: int
    client: int
    test: int
    hint: str
    name: str
    permissions: str  # JSON of appliance.domain.views.Permissions
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    revoked_at: int | None
    disabled_at: int | None
    deleted_at: int | None
    smpp: int = 0


class DeviceRow(NamedTuple):
    """A modem; `since` when it came online or went offline."""

    id: int
    imei: str
    test: int
    name: str
    phone_number: str
    since: int | None
    online: int


class WebhookRow(NamedTuple):
    """A webhook; `events` are separated by commas."""

    id: int
    tenant: int
    url: str
    events: str
    secret: str
    created_at: int


class DeliveryRow(NamedTuple):
    """An event for one receiver."""

    id: int
    event: int
    tenant: int
    message: int | None
    webhook: int | None
    url: str
    receiver: str
    stream: str
    state: str
    attempt: int
    scheduled_attempts: int
    due_at: int
    created_at: int


class CallRow(NamedTuple):
    """An attempt to deliver an event, from the log."""

    id: int
    webhook: int | None
    url: str
    event: int
    name: str
    response_status: int | None
    response_time_ms: int
    success: int
    attempt: int
    reason: str
    at: int


class InboundRow(NamedTuple):
    """A received message."""

    id: int
    tenant: int
    device: int
    sender: str
    body: str
    sent_at: int | None
    received_at: int
    incomplete: int


class ConversationRow(NamedTuple):
    """A number that has written to a client, with the last text received from it."""

    tenant: int
    number: str
    name: str  # of the contact; "" without one
    unread: int
    last_at: int
    last_text: str


class ContactRow(NamedTuple):
    """A name that a client gave to a number."""

    number: str
    name: str


class InboundPartRow(NamedTuple):
    """A received part of a message that is not complete yet."""

    id: int
    device: int
    sender: str
    total: int
    number: int
    text: str
    hex: str
    sent_at: int | None


class PictureRow(NamedTuple):
    """A picture message that waits at the operator; `size` in octets."""

    id: int
    tenant: int
    device: int
    sender: str
    size: int | None
    url: str | None
    received_at: int


class BlockedRow(NamedTuple):
    """An entry of a block list."""

    tenant: int
    number: str
    reason: str
    source: Literal["api", "page", "stop"]
    device: int | None
    created_at: int


class OtpRow(NamedTuple):
    """A one-time password."""

    id: int
    message: int
    recipient: str
    code_hash: bytes
    attempts_left: int
    expires_at: int
    verified_at: int | None
    purpose: str | None

"""What clients write, and how it becomes an order: the rules of `rules`, applied field by field.

`object` is the type of a field whose every fault has a code of its own; the rest msgspec checks.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from appliance import rules
from appliance.orders import (
    BlockOrder,
    BulkOrder,
    OtpOrder,
    Refused,
    SendOrder,
    VerifyOrder,
    WebhookOrder,
)
from appliance.refusals import Refusal, invalid

Json = dict[str, Any]
Body = TypeVar("Body", bound=msgspec.Struct)


RECIPIENTS = 100
MESSAGES = 1000
SECRET_CHARACTERS = 256
PURPOSE_CHARACTERS = 100
REASON_CHARACTERS = 200
OTP_LENGTH = 6
OTP_EXPIRY_SECONDS = 300


class SendBody(msgspec.Struct, frozen=True):
    """POST /v1/sms/send."""

    to: object
    message: str
    priority: object = None
    webhook_url: object = None
    metadata: Json | None = None
    scheduled_at: object = None
    retry_attempts: int | None = None
    validity_minutes: int | None = None
    flash: bool | None = None
    on_uncertain: str | None = None


class BulkEntry(msgspec.Struct, frozen=True):
    """One entry of `messages`."""

    to: object
    message: str
    metadata: Json | None = None
    priority: object = None


class BulkBody(msgspec.Struct, frozen=True):
    """POST /v1/sms/send-bulk: `recipients` with one `message`, or `messages`."""

    recipients: list[object] | None = None
    message: str | None = None
    messages: list[object] | None = None
    priority: object = None
    webhook_url: object = None
    metadata: Json | None = None
    scheduled_at: object = None
    retry_attempts: int | None = None
    validity_minutes: int | None = None
    flash: bool | None = None
    on_uncertain: str | None = None


class OtpBody(msgspec.Struct, frozen=True):
    """POST /v1/sms/send-otp."""

    to: object
    length: int | None = None
    code_length: int | None = None
    expiry: int | None = None
    expiry_minutes: int | None = None
    template: str | None = None
    purpose: str | None = None
    metadata: Json | None = None
    webhook_url: object = None


class VerifyBody(msgspec.Struct, frozen=True):
    """POST /v1/sms/verify-otp."""

    otp_id: str
    code: str
    phone: object = None


class WebhookBody(msgspec.Struct, frozen=True):
    """POST /v1/webhooks/configure."""

    url: object
    events: list[str]
    secret: str | None = None


class BlockBody(msgspec.Struct, frozen=True):
    """POST /v1/blocklist."""

    number: object
    reason: str | None = None


def send_order(body: SendBody, now: int, *, short_codes: bool = False) -> SendOrder:
    """The order for one SMS. `short_codes`: whether this key may write to them."""
    return SendOrder(
        to=rules.phone_number(body.to, short_codes=short_codes),
        message=rules.message(body.message),
        priority=_priority(body.priority, 3),
        metadata=_metadata(body.metadata),
        **_common(body, now),
    )


def bulk_order(body: BulkBody, now: int, *, short_codes: bool = False) -> BulkOrder:
    """The order for a bulk of either form. If the rules refuse every entry: the first's refusal."""
    if (body.recipients is None) == (body.messages is None):
        raise invalid(
            "recipients",
            "donner soit recipients et message, soit messages",
            "give either recipients and message, or messages",
        )
    common = _common(body, now)
    level = _priority(body.priority, 3)
    told = _metadata(body.metadata)
    if body.recipients is not None:
        _count(body.recipients, "recipients", RECIPIENTS)
        if body.message is None:
            raise invalid("message", "est obligatoire", "is required")
        text = rules.message(body.message)
        shared = SendOrder(to="", message=text, priority=level, metadata=told, **common)
        entries = [_addressed(to, shared, short_codes) for to in body.recipients]
        return _some(entries, once=True)
    assert body.messages is not None  # the one that is not None, seen above
    _count(body.messages, "messages", MESSAGES)
    shared = SendOrder(to="", message="", priority=level, metadata=told, **common)
    return _some([_entry(entry, shared, short_codes) for entry in body.messages], once=False)


def _common(body: SendBody | BulkBody, now: int) -> Json:
    """The fields that one message and a bulk share."""
    order: Json = {}
    if body.webhook_url is not None:
        order["webhook_url"] = rules.webhook_url(body.webhook_url)
    if body.scheduled_at is not None:
        order["scheduled_at"] = rules.scheduled_at(body.scheduled_at, now)
    if body.retry_attempts is not None:
        order["retry_attempts"] = rules.retry_attempts(body.retry_attempts)
    if body.validity_minutes is not None:
        order["validity_minutes"] = rules.validity_minutes(body.validity_minutes)
    if body.flash is not None:
        order["flash"] = body.flash
    if body.on_uncertain is not None:
        order["on_uncertain"] = rules.on_uncertain(body.on_uncertain)
    return order


def _priority(value: object, default: int) -> int:
    return default if value is None else rules.priority(value)


def _metadata(value: Json | None, default: str | None = None) -> str | None:
    return default if value is None else rules.metadata(value)


def _count(entries: list[object], field: str, most: int) -> None:
    if not entries:
        raise invalid(field, "ne doit pas être vide", "must not be empty")
    if len(entries) > most:
        raise Refusal(
            "TOO_MANY_RECIPIENTS", {"field": field, "count": len(entries), "maximum": most}
        )


def _addressed(to: object, shared: SendOrder, short_codes: bool) -> SendOrder | Refused:
    try:
        number = rules.phone_number(to, short_codes=short_codes)
    except Refusal as refusal:
        return Refused(_shown(to), refusal.reason)
    return msgspec.structs.replace(shared, to=number)


def _entry(value: object, shared: SendOrder, short_codes: bool) -> SendOrder | Refused:
    try:
        entry = taken(value, BulkEntry)
        return msgspec.structs.replace(
            shared,
            to=rules.phone_number(entry.to, short_codes=short_codes),
            message=rules.message(entry.message),
            priority=_priority(entry.priority, shared.priority),
            metadata=_metadata(entry.metadata, shared.metadata),
        )
    except Refusal as refusal:
        to = value.get("to") if isinstance(value, dict) else None
        return Refused(_shown(to), refusal.reason)


def _shown(to: object) -> str | None:
    """A refused recipient as it was written, cut to a length that can be answered."""
    if not isinstance(to, str):
        return None
    return to[:40].encode("utf-8", "replace").decode()


def _some(entries: list[SendOrder | Refused], *, once: bool) -> BulkOrder:
    first = entries[0]
    if isinstance(first, Refused) and all(isinstance(entry, Refused) for entry in entries):
        raise Refusal(first.reason.code, first.reason.details)
    seen: dict[str, int] = {}
    same_as: list[int | None] = []
    for index, entry in enumerate(entries):
        earlier = None
        if once and isinstance(entry, SendOrder):
            earlier = seen.setdefault(entry.to, index)
        same_as.append(earlier if earlier != index else None)
    return BulkOrder(tuple(entries), tuple(same_as))


def otp_order(body: OtpBody, *, short_codes: bool = False) -> OtpOrder:
    """The order for a one-time code."""
    length = rules.one_of_two(
        ("length", _whole(body.length, "length", 4, 8)),
        ("code_length", _whole(body.code_length, "code_length", 4, 8)),
    )
    minutes = _whole(body.expiry_minutes, "expiry_minutes", 1, 30)
    expiry = rules.one_of_two(
        ("expiry", _whole(body.expiry, "expiry", 60, 1800)),
        ("expiry_minutes", None if minutes is None else minutes * 60),
    )
    length = OTP_LENGTH if length is None else length
    template = rules.OTP_TEMPLATE if body.template is None else body.template
    return OtpOrder(
        to=rules.phone_number(body.to, short_codes=short_codes),
        template=rules.otp_template(template, length),
        length=length,
        expiry_seconds=OTP_EXPIRY_SECONDS if expiry is None else expiry,
        purpose=_line(body.purpose, "purpose", PURPOSE_CHARACTERS),
        metadata=_metadata(body.metadata),
        webhook_url=None if body.webhook_url is None else rules.webhook_url(body.webhook_url),
    )


def verify_order(body: VerifyBody) -> VerifyOrder:
    """The order to check a one-time code. A code of any shape may be tried; most are wrong."""
    return VerifyOrder(
        otp_id=rules.line(body.otp_id, "otp_id", 64),
        code=rules.line(body.code, "code", 64),
        phone=None if body.phone is None else rules.phone_number(body.phone, field="phone"),
    )


def webhook_order(body: WebhookBody) -> WebhookOrder:
    """The order for a webhook."""
    return WebhookOrder(
        url=rules.webhook_url(body.url, "url"),
        events=rules.webhook_events(body.events),
        secret=_line(body.secret, "secret", SECRET_CHARACTERS),
    )


def block_order(body: BlockBody) -> BlockOrder:
    """The order to block a number; short codes can be blocked too."""
    return BlockOrder(
        number=rules.phone_number(body.number, short_codes=True, field="number"),
        reason=_line(body.reason, "reason", REASON_CHARACTERS),
    )


def _line(text: str | None, field: str, most: int) -> str | None:
    return None if text is None else rules.line(text, field, most)


def _whole(value: int | None, field: str, least: int, most: int) -> int | None:
    return None if value is None else rules.whole(value, field, least, most)


_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<place>[^`]*)`$")


def taken(value: object, kind: type[Body]) -> Body:
    """A decoded JSON value as the body it should be. INVALID_REQUEST names the field and why."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _ill_typed(str(error)) from None


def _ill_typed(told: str) -> Refusal:
    """What msgspec says of a value, in the words of the API."""
    place = _PLACE.search(told)
    field = place["place"] if place else ""
    if missing := _MISSING.search(told):
        return invalid(f"{field}.{missing['field']}".lstrip("."), "est obligatoire", "is required")
    found = _EXPECTED.search(told)
    if found is None:  # a text of msgspec's that this does not know: still true, only in English
        return invalid(field or "body", told, told)
    expected, got = found["expected"].replace(" | null", ""), found["got"]
    return invalid(
        field or "body", f"devrait être {expected}, reçu {got}", f"should be {expected}, got {got}"
    )

"""Conversion of request bodies to validated requests. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from appliance.core.i18n import _
from appliance.domain import validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.phone_numbers import INTERNATIONAL, NumberReader
from appliance.domain.requests import (
    BlockOrder,
    BulkOrder,
    OtpOrder,
    RefusedEntry,
    SendOrder,
    VerifyOrder,
    WebhookOrder,
)
from appliance.domain.schemas import (
    MESSAGES,
    OTP_EXPIRY_SECONDS,
    OTP_LENGTH,
    PURPOSE_CHARACTERS,
    REASON_CHARACTERS,
    RECIPIENTS,
    SECRET_CHARACTERS,
    BlockBody,
    BulkBody,
    BulkEntry,
    Common,
    Json,
    OtpBody,
    PersonalizedBody,
    SendBody,
    VerifyBody,
    WebhookBody,
    taken,
)


def send_order(
    body: SendBody, now: int, numbers: NumberReader = INTERNATIONAL, *, short_codes: bool = False
) -> SendOrder:
    """Return the request for one SMS. `short_codes`: whether the key may write to them."""
    return SendOrder(
        to=numbers.read(body.to, short_codes=short_codes),
        message=validation.message(body.message),
        priority=_priority(body.priority, 3),
        metadata=_metadata(body.metadata),
        **_common(body, now),
    )


def personalized_order(
    body: PersonalizedBody,
    now: int,
    numbers: NumberReader = INTERNATIONAL,
    *,
    short_codes: bool = False,
) -> BulkOrder:
    """Return the request for a bulk of messages."""
    return _each(body, body.messages, now, numbers, short_codes)


def bulk_order(
    body: BulkBody, now: int, numbers: NumberReader = INTERNATIONAL, *, short_codes: bool = False
) -> BulkOrder:
    """Return the request for a bulk of either form. Raises the first entry's error if all are invalid."""
    if (body.recipients is None) == (body.messages is None):
        raise invalid(
            "recipients",
            _("give either recipients and message, or messages"),
        )
    if body.messages is not None:
        return _each(body, body.messages, now, numbers, short_codes)
    assert body.recipients is not None  # the one that is not None, as checked above
    _count(body.recipients, "recipients", RECIPIENTS)
    if body.message is None:
        raise invalid("message", _("is required"))
    shared = _shared(body, validation.message(body.message), now)
    return _some(
        [_addressed(to, shared, numbers, short_codes) for to in body.recipients], once=True
    )


def _each(
    body: Common, entries: list[Any], now: int, numbers: NumberReader, short_codes: bool
) -> BulkOrder:
    _count(entries, "messages", MESSAGES)
    shared = _shared(body, "", now)
    return _some([_entry(entry, shared, numbers, short_codes) for entry in entries], once=False)


def _shared(body: Common, text: str, now: int) -> SendOrder:
    """Return the request that all entries of a bulk share."""
    return SendOrder(
        to="",
        message=text,
        priority=_priority(body.priority, 3),
        metadata=_metadata(body.metadata),
        **_common(body, now),
    )


def _common(body: Common, now: int) -> Json:
    """Return the fields that one message and a bulk share."""
    order: Json = {}
    if body.webhook_url is not None:
        order["webhook_url"] = validation.webhook_url(body.webhook_url)
    if body.scheduled_at is not None:
        order["scheduled_at"] = validation.scheduled_at(body.scheduled_at, now)
    if body.retry_attempts is not None:
        order["retry_attempts"] = validation.retry_attempts(body.retry_attempts)
    if body.validity_minutes is not None:
        order["validity_minutes"] = validation.validity_minutes(body.validity_minutes)
    if body.flash is not None:
        order["flash"] = body.flash
    if body.on_uncertain is not None:
        order["on_uncertain"] = validation.on_uncertain(body.on_uncertain)
    return order


def _priority(value: object, default: int) -> int:
    return default if value is None else validation.priority(value)


def _metadata(value: Json | None, default: str | None = None) -> str | None:
    return default if value is None else validation.metadata(value)


def _count(entries: list[Any], field: str, most: int) -> None:
    if not entries:
        raise invalid(field, _("must not be empty"))
    if len(entries) > most:
        raise ApiError(
            "TOO_MANY_RECIPIENTS", {"field": field, "count": len(entries), "maximum": most}
        )


def _addressed(
    to: object, shared: SendOrder, numbers: NumberReader, short_codes: bool
) -> SendOrder | RefusedEntry:
    try:
        number = numbers.read(to, short_codes=short_codes)
    except ApiError as refusal:
        return RefusedEntry(_shown(to), refusal.reason)
    return msgspec.structs.replace(shared, to=number)


def _entry(
    value: object, shared: SendOrder, numbers: NumberReader, short_codes: bool
) -> SendOrder | RefusedEntry:
    try:
        entry = taken(value, BulkEntry)
        return msgspec.structs.replace(
            shared,
            to=numbers.read(entry.to, short_codes=short_codes),
            message=validation.message(entry.message),
            priority=_priority(entry.priority, shared.priority),
            metadata=_metadata(entry.metadata, shared.metadata),
        )
    except ApiError as refusal:
        to = value.get("to") if isinstance(value, dict) else None
        return RefusedEntry(_shown(to), refusal.reason)


def _shown(to: object) -> str | None:
    """Return a refused recipient as written, shortened for the answer."""
    if not isinstance(to, str):
        return None
    return to[:40].encode("utf-8", "replace").decode()


def _some(entries: list[SendOrder | RefusedEntry], *, once: bool) -> BulkOrder:
    first = entries[0]
    if isinstance(first, RefusedEntry) and all(
        isinstance(entry, RefusedEntry) for entry in entries
    ):
        raise ApiError(first.reason.code, first.reason.details)
    seen: dict[str, int] = {}
    same_as: list[int | None] = []
    for index, entry in enumerate(entries):
        earlier = None
        if once and isinstance(entry, SendOrder):
            earlier = seen.setdefault(entry.to, index)
        same_as.append(earlier if earlier != index else None)
    return BulkOrder(tuple(entries), tuple(same_as))


def otp_order(
    body: OtpBody, numbers: NumberReader = INTERNATIONAL, *, short_codes: bool = False
) -> OtpOrder:
    """Return the request for a one-time password."""
    length = validation.one_of_two(
        ("length", _whole(body.length, "length", 4, 8)),
        ("code_length", _whole(body.code_length, "code_length", 4, 8)),
    )
    minutes = _whole(body.expiry_minutes, "expiry_minutes", 1, 30)
    expiry = validation.one_of_two(
        ("expiry", _whole(body.expiry, "expiry", 60, 1800)),
        ("expiry_minutes", None if minutes is None else minutes * 60),
    )
    length = OTP_LENGTH if length is None else length
    template = validation.OTP_TEMPLATE if body.template is None else body.template
    return OtpOrder(
        to=numbers.read(body.to, short_codes=short_codes),
        template=validation.otp_template(template, length),
        length=length,
        expiry_seconds=OTP_EXPIRY_SECONDS if expiry is None else expiry,
        purpose=_line(body.purpose, "purpose", PURPOSE_CHARACTERS),
        metadata=_metadata(body.metadata),
        webhook_url=None if body.webhook_url is None else validation.webhook_url(body.webhook_url),
    )


def verify_order(body: VerifyBody, numbers: NumberReader = INTERNATIONAL) -> VerifyOrder:
    """Return the request to verify a code, which may have any form."""
    return VerifyOrder(
        otp_id=validation.line(body.otp_id, "otp_id", 64),
        code=validation.line(body.code, "code", 64),
        phone=None
        if body.phone is None
        else numbers.read(body.phone, short_codes=True, field="phone"),
    )


def webhook_order(body: WebhookBody) -> WebhookOrder:
    """Return the request for a webhook."""
    return WebhookOrder(
        url=validation.webhook_url(body.url, "url"),
        events=validation.webhook_events(body.events),
        secret=_line(body.secret, "secret", SECRET_CHARACTERS),
    )


def block_order(body: BlockBody, numbers: NumberReader = INTERNATIONAL) -> BlockOrder:
    """Return the request to block a number, or a short code."""
    return BlockOrder(
        number=numbers.read(body.number, short_codes=True, field="number"),
        reason=_line(body.reason, "reason", REASON_CHARACTERS),
    )


def _line(text: str | None, field: str, most: int) -> str | None:
    return None if text is None else validation.line(text, field, most)


def _whole(value: int | None, field: str, least: int, most: int) -> int | None:
    return None if value is None else validation.whole(value, field, least, most)

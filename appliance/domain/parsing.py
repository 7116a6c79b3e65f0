"""Reading of request bodies: decoded JSON to the structs of `appliance.domain.schemas`. Pure."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec

from appliance.core.i18n import _
from appliance.domain import validation
from appliance.domain.errors import ApiError, Reason, invalid
from appliance.domain.schemas import (
    MESSAGES,
    RECIPIENTS,
    BulkBody,
    BulkEntry,
    Field,
    Json,
    PersonalizedBody,
    Reading,
    SendBody,
    SendOptions,
)

Body = TypeVar("Body", bound=msgspec.Struct)


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[tuple[str, bool, Field], ...]:
    """Return the fields of a body: name, whether it is required, and the rest."""
    return tuple(
        (info.encode_name, info.required, info.type.__metadata__[0])
        for info in msgspec.structs.fields(kind)
    )


def read(kind: type[Body], value: object, reading: Reading) -> Body:
    """Return a body read from decoded JSON. Raises the error of its first field that breaks a rule."""
    return kind(**_read(kind, value, reading))


def _read(kind: type[msgspec.Struct], value: object, reading: Reading) -> Json:
    """Return the fields that are given; an optional one that is null is absent."""
    if not isinstance(value, dict):
        raise invalid("body", _("must be a JSON object"))
    given: Json = {}
    for name, required, field in fields_of(kind):
        if name not in value:
            if required:
                raise invalid(name, _("is required"))
        elif required or value[name] is not None:
            given[name] = field.rule(value[name], name, reading)
    return given


# --- bulks ---------------------------------------------------------------------------------------


class RefusedEntry(msgspec.Struct, frozen=True):
    """A refused entry of a bulk; it keeps its place among the others."""

    to: str | None  # as written; None if it was not a string
    reason: Reason


class Bulk(msgspec.Struct, frozen=True):
    """Many SMS. `same_as[i]` is the index of an earlier entry that entry i repeats, else None."""

    entries: tuple[SendBody | RefusedEntry, ...]
    same_as: tuple[int | None, ...]


def bulk(body: BulkBody | PersonalizedBody, reading: Reading) -> Bulk:
    """Return the messages of a bulk of either form. Raises the first entry's error if all are invalid."""
    if isinstance(body, PersonalizedBody):
        return _of_messages(body, body.messages, reading)
    if (body.recipients is None) == (body.messages is None):
        raise invalid("recipients", _("give either recipients and message, or messages"))
    if body.messages is not None:
        return _of_messages(body, body.messages, reading)
    recipients = body.recipients or []
    _count(recipients, "recipients", RECIPIENTS)
    if body.message is None:
        raise invalid("message", _("is required"))
    shared = _shared(body, validation.message(body.message))
    return _bulk([_addressed(to, shared, reading) for to in recipients], once=True)


def _of_messages(body: SendOptions, messages: list[Any], reading: Reading) -> Bulk:
    _count(messages, "messages", MESSAGES)
    shared = _shared(body, "")
    return _bulk([_entry(entry, shared, reading) for entry in messages], once=False)


def _shared(options: SendOptions, text: str) -> SendBody:
    """Return what all entries of a bulk share, without a recipient."""
    names = SendOptions.__struct_fields__
    return SendBody("", text, **{name: getattr(options, name) for name in names})


def _count(entries: list[Any], field: str, most: int) -> None:
    if not entries:
        raise invalid(field, _("must not be empty"))
    if len(entries) > most:
        raise ApiError(
            "TOO_MANY_RECIPIENTS", {"field": field, "count": len(entries), "maximum": most}
        )


def _addressed(to: object, shared: SendBody, reading: Reading) -> SendBody | RefusedEntry:
    try:
        number = reading.numbers.read(to, short_codes=reading.short_codes)
    except ApiError as refusal:
        return RefusedEntry(_shown(to), refusal.reason)
    return msgspec.structs.replace(shared, to=number)


def _entry(value: object, shared: SendBody, reading: Reading) -> SendBody | RefusedEntry:
    try:
        return msgspec.structs.replace(shared, **_read(BulkEntry, value, reading))
    except ApiError as refusal:
        to = value.get("to") if isinstance(value, dict) else None
        return RefusedEntry(_shown(to), refusal.reason)


def _shown(to: object) -> str | None:
    """Return a refused recipient as written, shortened for the answer."""
    if not isinstance(to, str):
        return None
    return to[:40].encode("utf-8", "replace").decode()


def _bulk(entries: list[SendBody | RefusedEntry], *, once: bool) -> Bulk:
    first = entries[0]
    if isinstance(first, RefusedEntry) and all(
        isinstance(entry, RefusedEntry) for entry in entries
    ):
        raise ApiError(first.reason.code, first.reason.details)
    seen: dict[str, int] = {}
    same_as: list[int | None] = []
    for index, entry in enumerate(entries):
        earlier = None
        if once and isinstance(entry, SendBody):
            earlier = seen.setdefault(entry.to, index)
        same_as.append(earlier if earlier != index else None)
    return Bulk(tuple(entries), tuple(same_as))

"""The responses of the API, field for field, and their conversion from the services' values."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.core.i18n import Language
from appliance.domain import validation, views
from appliance.domain.errors import FAILURES

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
MomentOrNull = Annotated[
    str | None,
    Meta(description="null if not reached.", extra_json_schema={"format": "date-time"}),
]
Metadata = Annotated[Any, Meta(extra_json_schema={"type": ["object", "null"]})]
STATUSES = ["queued", "sent", "delivered", "failed", "cancelled"]
Status = Annotated[str, Meta(extra_json_schema={"enum": STATUSES})]


class SuccessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A success."""

    success: Annotated[bool, Meta(extra_json_schema={"const": True})] = True
    warnings: Annotated[
        list[str] | UnsetType,
        Meta(
            description="Unknown fields of the body, which were ignored; how a time without offset was read."
        ),
    ] = UNSET


def moment(milliseconds: int) -> str:
    """Return a time that was reached, as the API writes it."""
    text = validation.timestamp(milliseconds)
    assert text is not None  # None only for None
    return text


def raw(text: str | None) -> Any:
    """Return stored JSON for use in an answer unchanged."""
    return None if text is None else msgspec.Raw(text.encode())


class FailureBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message failed."""

    code: Annotated[str, Meta(extra_json_schema={"enum": list(FAILURES)})]
    message: str
    details: Annotated[
        str | None,
        Meta(description="The cause in words, with the code of the modem or the network."),
    ] = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known about a message. A time that was not reached is null."""

    message_id: str
    status: Status
    to: str
    message: str
    priority: str
    created_at: Moment
    queued_at: Moment
    scheduled_at: MomentOrNull
    sent_at: MomentOrNull
    delivered_at: MomentOrNull
    failed_at: MomentOrNull
    cancelled_at: MomentOrNull
    metadata: Metadata
    uncertain: Annotated[
        bool,
        Meta(
            description="Nobody knows whether it left: it was submitted, and the answer was lost. "
            "Stays true on a `failed` message until a late report proves that it arrived."
        ),
    ]
    cancellable: Annotated[bool, Meta(description="Whether DELETE would work.")]
    device_id: str | None
    parts: int
    attempts: int
    error: FailureBody | None
    batch_id: str | None


Told = TypeVar("Told", bound=Message)


def message(view: views.MessageView, language: Language, kind: type[Told]) -> Told:
    """Return a message as `kind`: Message, or an answer with its fields."""
    return kind(
        message_id=view.message_id,
        status=view.status,
        to=view.to,
        message=view.message,
        priority=validation.priority_name(view.priority),
        created_at=moment(view.created_at),
        queued_at=moment(view.queued_at),
        scheduled_at=validation.timestamp(view.scheduled_at),
        sent_at=validation.timestamp(view.sent_at),
        delivered_at=validation.timestamp(view.delivered_at),
        failed_at=validation.timestamp(view.failed_at),
        cancelled_at=validation.timestamp(view.cancelled_at),
        metadata=raw(view.metadata),
        uncertain=view.uncertain,
        cancellable=view.cancellable,
        device_id=view.device_id,
        parts=view.parts,
        attempts=view.attempts,
        error=None if view.error is None else failure(view.error, language),
        batch_id=view.batch_id,
    )


def failure(value: views.Failure, language: Language) -> FailureBody:
    """Return a failure in words: the public sentence, and the cause with the modem's number."""
    cause = value.cause.plain(language) if value.cause else None
    if value.source is not None and value.number is not None:
        number = f"{value.source} {value.number}"
        cause = f"{cause} ({number})" if cause else number
    return FailureBody(code=value.code, message=FAILURES[value.code].plain(language), details=cause)


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a page."""

    current_page: int
    per_page: int
    total_pages: int
    total_items: int
    total_exact: Annotated[
        bool, Meta(description="false if counting stopped at total_items and there are more.")
    ] = True


def pagination(page: int, limit: int, total: int, *, exact: bool = True) -> Pagination:
    """Return the pagination of `total` entries in pages of `limit`."""
    return Pagination(
        current_page=page,
        per_page=limit,
        total_pages=-(-total // limit),
        total_items=total,
        total_exact=exact,
    )

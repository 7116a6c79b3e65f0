"""The responses of the API, field for field, and their conversion from the services' values."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from appliance.core.i18n import Language
from appliance.domain import views
from appliance.domain.errors import FAILURES
from appliance.domain.validation import priority_name, utc
from appliance.domain.views import Moment, MomentOrNull

Metadata = Annotated[Any, Meta(extra_json_schema={"type": ["object", "null"]})]
STATUSES = ["queued", "sent", "delivered", "failed", "cancelled"]
Status = Annotated[str, Meta(extra_json_schema={"enum": STATUSES})]


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


MessageT = TypeVar("MessageT", bound=Message)


def message(view: views.MessageView, language: Language, kind: type[MessageT]) -> MessageT:
    """Return a message as `kind`: Message, or an answer with its fields."""
    return kind(
        message_id=view.message_id,
        status=view.status,
        to=view.to,
        message=view.message,
        priority=priority_name(view.priority),
        created_at=utc(view.created_at),
        queued_at=utc(view.queued_at),
        scheduled_at=utc(view.scheduled_at),
        sent_at=utc(view.sent_at),
        delivered_at=utc(view.delivered_at),
        failed_at=utc(view.failed_at),
        cancelled_at=utc(view.cancelled_at),
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

"""POST /v1/sms/send, send-bulk, send-bulk-personalized and {message_id}/resend."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import post
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from appliance.core.i18n import Language
from appliance.domain import parsing, validation, views
from appliance.domain.errors import Code
from appliance.domain.schemas import BulkBody, PersonalizedBody, SendBody
from appliance.domain.views import AcceptedAnswer, Moment, Queued, SuccessResponse
from appliance.services import Services
from web.body import BULK_BYTES
from web.error_responses import ErrorBody, error_body
from web.openapi.metadata import IDEMPOTENCY_KEY, MESSAGE_ID, documented
from web.request import ApiRequest, CallerDep, ServicesDep


class BulkMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a bulk request."""

    message_id: str | None
    to: str | None
    status: Annotated[str, Meta(extra_json_schema={"enum": ["queued", "failed"]})]
    error: ErrorBody | UnsetType = UNSET


class BulkAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The accepted messages of the batch are on disk."""

    batch_id: str
    total_recipients: int
    total_messages: int
    queued_messages: int
    failed_messages: int
    message_ids: list[str]
    messages: list[BulkMessage]
    queued_at: Moment
    sendable_now: Annotated[
        int | UnsetType,
        Meta(description="How many messages leave now, when limits delay the others."),
    ] = UNSET
    rest_from: Annotated[
        Moment | UnsetType, Meta(description="When the remaining messages follow.")
    ] = UNSET


def bulk_accepted(value: views.BulkAccepted, language: Language) -> BulkAnswer:
    """Return the answer to a bulk: every entry in order, each message counted once."""
    messages = [_bulk_message(entry, language) for entry in value.messages]
    ids = list(dict.fromkeys(m.message_id for m in messages if m.message_id is not None))
    failed = sum(1 for m in messages if m.status == "failed")
    return BulkAnswer(
        batch_id=value.batch_id,
        total_recipients=len(messages),
        total_messages=len(ids) + failed,
        queued_messages=len(ids),
        failed_messages=failed,
        message_ids=ids,
        messages=messages,
        queued_at=validation.utc(value.queued_at),
        sendable_now=UNSET if value.sendable_now is None else value.sendable_now,
        rest_from=UNSET if value.rest_from is None else validation.utc(value.rest_from),
    )


def _bulk_message(entry: views.BulkResult, language: Language) -> BulkMessage:
    return BulkMessage(
        message_id=entry.message_id,
        to=entry.to,
        status="queued" if entry.error is None else "failed",
        error=UNSET if entry.error is None else error_body(entry.error, language),
    )


class ResentAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The message is queued again."""

    message_id: str
    status: Queued = "queued"


_REFUSED: tuple[Code, ...] = (
    *("IDEMPOTENCY_CONFLICT", "BLOCKED_NUMBER", "QUEUE_FULL", "QUOTA_EXCEEDED"),
    *("DEVICE_OFFLINE", "NO_DEVICE_AVAILABLE"),
)
_ILL_WRITTEN: tuple[Code, ...] = (
    *("INVALID_PHONE_NUMBER", "MESSAGE_TOO_LONG", "INVALID_PRIORITY", "INVALID_SCHEDULED_DATE"),
    "INVALID_WEBHOOK_URL",
)


@post(
    "/sms/send",
    status_code=202,
    summary="Send one SMS",
    tags=["Sending"],
    opt=documented(
        body=SendBody,
        errors=(*_ILL_WRITTEN, *_REFUSED),
        headers=(IDEMPOTENCY_KEY,),
        example={
            "to": "+33612345678",
            "message": "Bonjour, votre commande est en cours de livraison",
            "priority": "normal",
            "metadata": {"order_id": "order_12345"},
        },
    ),
)
async def send(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> AcceptedAnswer:
    """Queues one SMS. A 202 means that it is on disk and survives a power cut at that instant."""
    idempotency = request.idempotency
    if idempotency and (earlier := services.intake.earlier(caller, idempotency)):
        assert isinstance(earlier, AcceptedAnswer)  # the fingerprint has the route in it
        return earlier
    return await services.intake.send(
        caller, parsing.read(SendBody, request.fields, request.reading), idempotency
    )


@post(
    "/sms/send-bulk",
    status_code=202,
    request_max_body_size=BULK_BYTES,
    summary="Send many SMS",
    tags=["Sending"],
    opt=documented(
        body=BulkBody,
        errors=("TOO_MANY_RECIPIENTS", *_ILL_WRITTEN, *_REFUSED),
        headers=(IDEMPOTENCY_KEY,),
        example={"recipients": ["+33612345678", "+33698765432"], "message": "Bonjour"},
    ),
)
async def send_bulk(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> BulkAnswer:
    """Queues many SMS: `recipients` with one `message`, or `messages`. Refused entries keep their place in
    the answer and the others are sent. If no entry can be sent, the answer is the first one's error."""
    return await _send_bulk(request, caller, services, BulkBody)


@post(
    "/sms/send-bulk-personalized",
    status_code=202,
    request_max_body_size=BULK_BYTES,
    summary="Send many SMS with individual texts",
    tags=["Sending"],
    opt=documented(
        body=PersonalizedBody,
        errors=("TOO_MANY_RECIPIENTS", *_ILL_WRITTEN, *_REFUSED),
        headers=(IDEMPOTENCY_KEY,),
        example={
            "messages": [
                {"to": "+33612345678", "message": "Bonjour Alice"},
                {"to": "+33698765432", "message": "Bonjour Bob", "priority": "high"},
            ]
        },
    ),
)
async def send_bulk_personalized(
    request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> BulkAnswer:
    """Queues many SMS with individual texts: the second form of send-bulk."""
    return await _send_bulk(request, caller, services, PersonalizedBody)


async def _send_bulk(
    request: ApiRequest,
    caller: views.Caller,
    services: Services,
    form: type[BulkBody | PersonalizedBody],
) -> BulkAnswer:
    idempotency = request.idempotency
    if idempotency and (earlier := services.intake.earlier(caller, idempotency)):
        assert isinstance(earlier, views.BulkAccepted)  # the fingerprint has the route in it
        return bulk_accepted(earlier, request.language)
    bulk = parsing.bulk(parsing.read(form, request.fields, request.reading), request.reading)
    return bulk_accepted(
        await services.intake.send_bulk(caller, bulk, idempotency), request.language
    )


@post(
    "/sms/{message_id:str}/resend",
    status_code=202,
    summary="Resend a failed SMS",
    tags=["Sending"],
    opt=documented(
        errors=("MESSAGE_NOT_FOUND", "CANNOT_RESEND_MESSAGE", *_REFUSED[1:]), path=(MESSAGE_ID,)
    ),
)
async def resend(
    message_id: FromPath[str], caller: CallerDep, services: ServicesDep
) -> ResentAnswer:
    """Queues a failed message again, under its own id and with all its parts."""
    await services.intake.resend(caller, message_id)
    return ResentAnswer(message_id=message_id)

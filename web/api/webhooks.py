"""/v1/webhooks: configure, list, delete, test; logs and replay."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath
from msgspec import Meta

from appliance.core.i18n import Text, _
from appliance.domain import parsing, validation, views
from appliance.domain.errors import WEBHOOK_ANSWERED, ApiError
from appliance.domain.requests import PageFilter
from appliance.domain.schemas import WebhookBody
from appliance.domain.views import Moment, SuccessResponse
from web.openapi.metadata import LIMIT, LOG_ID, PAGE, WEBHOOK_ID, documented
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import Pagination, pagination


class ConfiguredAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The webhook is active."""

    webhook_id: str
    url: str
    events: list[str]
    secret: Annotated[str | None, Meta(description="The signing secret, shown only once.")]
    status: str
    created_at: Moment


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    events: list[str]
    status: str
    created_at: Moment


class WebhooksAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The webhooks of this client."""

    webhooks: list[Webhook]


class TestedAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The answer of the receiver."""

    message: str
    response_status: Annotated[int | None, Meta(description="null if the receiver did not answer.")]
    reason: Annotated[str | None, Meta(description="Why the attempt failed, in English.")] = None


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


class LogsAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of attempts, newest first."""

    logs: list[WebhookLog]
    pagination: Pagination


class ReplayedAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The event will be sent again."""

    log_id: str
    webhook_id: str | None
    event_id: str


@post(
    "/webhooks/configure",
    status_code=200,
    summary="Configure a webhook",
    tags=["Webhooks"],
    opt=documented(
        body=WebhookBody,
        errors=("INVALID_WEBHOOK_URL",),
        example={"url": "https://example.com/sms", "events": ["sms.delivered", "sms.failed"]},
    ),
)
async def configure(
    request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> ConfiguredAnswer:
    """Creates a webhook. The answer has the secret that signs each call; it is shown only once."""
    body = parsing.read(WebhookBody, request.fields, request.reading)
    if not caller.permissions.read:  # a webhook receives all texts
        raise ApiError("KEY_NOT_ALLOWED", {"reason": "read"})
    if not caller.permissions.read:  # a webhook receives all texts
        raise ApiError("KEY_NOT_ALLOWED", {"reason": "read"})
    view = await services.webhooks.configure(caller.tenant, body, caller.key_id)
    return ConfiguredAnswer(
        webhook_id=view.webhook_id,
        url=view.url,
        events=list(view.events),
        secret=view.secret,
        status=view.status,
        created_at=validation.utc(view.created_at),
    )


@get("/webhooks", summary="List webhooks", tags=["Webhooks"], opt=documented())
async def webhooks(caller: CallerDep, services: ServicesDep) -> WebhooksAnswer:
    """Lists the webhooks of this client, without their secrets."""
    return WebhooksAnswer(
        webhooks=[_webhook(view) for view in await services.webhooks.listed(caller.tenant)]
    )


def _webhook(view: views.WebhookView) -> Webhook:
    return Webhook(
        webhook_id=view.webhook_id,
        url=view.url,
        events=list(view.events),
        status=view.status,
        created_at=validation.utc(view.created_at),
    )


@delete(
    "/webhooks/{webhook_id:str}",
    status_code=204,
    summary="Delete a webhook",
    tags=["Webhooks"],
    opt=documented(errors=("WEBHOOK_NOT_FOUND",), path=(WEBHOOK_ID,)),
)
async def remove(webhook_id: FromPath[str], caller: CallerDep, services: ServicesDep) -> None:
    """Deletes a webhook. It is not called any more."""
    await services.webhooks.delete(caller.tenant, webhook_id)


@post(
    "/webhooks/{webhook_id:str}/test",
    status_code=200,
    summary="Test a webhook",
    tags=["Webhooks"],
    opt=documented(errors=("WEBHOOK_NOT_FOUND",), path=(WEBHOOK_ID,)),
)
async def test(
    webhook_id: FromPath[str], request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> TestedAnswer:
    """Calls a webhook once, now, and returns its answer."""
    tested = await services.webhooks.test(caller.tenant, webhook_id)
    return TestedAnswer(
        message=_heard(tested).plain(request.language),
        response_status=tested.response_status,
        reason=tested.reason,
    )


def _heard(tested: views.WebhookTest) -> Text:
    """Return the outcome in words, with the reason after a failure."""
    if tested.why is None:
        return WEBHOOK_ANSWERED
    return _("The webhook did not answer as it should: {why}.", why=tested.why)


@get(
    "/webhooks/logs",
    summary="List attempts",
    tags=["Webhooks"],
    opt=documented(errors=("INVALID_REQUEST",), query=(PAGE, LIMIT)),
)
async def logs(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> LogsAnswer:
    """Lists the attempts to call webhooks, newest first."""
    query = request.wanted
    wanted = PageFilter(validation.page(query.get("page")), validation.limit(query.get("limit")))
    page = await services.webhooks.logs(caller.tenant, wanted)
    return LogsAnswer(
        logs=[_log(entry) for entry in page.logs],
        pagination=pagination(wanted.page, wanted.limit, page.total),
    )


def _log(entry: views.WebhookLogEntry) -> WebhookLog:
    return WebhookLog(
        log_id=entry.log_id,
        webhook_id=entry.webhook_id,
        event=entry.event,
        event_id=entry.event_id,
        url=entry.url,
        response_status=entry.response_status,
        response_time_ms=entry.response_time_ms,
        success=entry.success,
        attempt=entry.attempt,
        timestamp=validation.utc(entry.timestamp),
        reason=entry.reason,
    )


@post(
    "/webhooks/logs/{log_id:str}/replay",
    status_code=202,
    summary="Replay an event",
    tags=["Webhooks"],
    opt=documented(errors=("WEBHOOK_NOT_FOUND",), path=(LOG_ID,)),
)
async def replay(log_id: FromPath[str], caller: CallerDep, services: ServicesDep) -> ReplayedAnswer:
    """Sends the event of an attempt again, with the same `event_id` to the same receiver."""
    replayed = await services.webhooks.replay(caller.tenant, log_id)
    return ReplayedAnswer(
        log_id=replayed.log_id, webhook_id=replayed.webhook_id, event_id=replayed.event_id
    )

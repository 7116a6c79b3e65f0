"""/v1/webhooks: configure, list, delete, test; logs and replay."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, post
from litestar.params import FromPath
from msgspec import Meta

from appliance.core.i18n import Text, _
from appliance.domain import parsing, validation, views
from appliance.domain.errors import WEBHOOK_ANSWERED, ApiError
from appliance.domain.requests import PageFilter
from appliance.domain.schemas import WebhookBody
from appliance.domain.views import (
    ConfiguredAnswer,
    ReplayedAnswer,
    SuccessResponse,
    Webhook,
    WebhookLog,
)
from web.openapi.metadata import LIMIT, LOG_ID, PAGE, WEBHOOK_ID, documented
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import Pagination, pagination


class WebhooksAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The webhooks of this client."""

    webhooks: list[Webhook]


class TestedAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The answer of the receiver."""

    message: str
    response_status: Annotated[int | None, Meta(description="null if the receiver did not answer.")]
    reason: Annotated[str | None, Meta(description="Why the attempt failed, in English.")] = None


class LogsAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of attempts, newest first."""

    logs: list[WebhookLog]
    pagination: Pagination


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
    return await services.webhooks.configure(caller.tenant, body, caller.key_id)


@get("/webhooks", summary="List webhooks", tags=["Webhooks"], opt=documented())
async def webhooks(caller: CallerDep, services: ServicesDep) -> WebhooksAnswer:
    """Lists the webhooks of this client, without their secrets."""
    return WebhooksAnswer(webhooks=list(await services.webhooks.listed(caller.tenant)))


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
        logs=list(page.logs),
        pagination=pagination(wanted.page, wanted.limit, page.total),
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
    return await services.webhooks.replay(caller.tenant, log_id)

"""POST /v1/alerts/{kind}: alerts of monitoring programs, in the bodies that each of them sends."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import post
from litestar.params import FromPath
from msgspec import Meta

from appliance.core.i18n import _
from appliance.domain.errors import invalid
from appliance.domain.schemas import AlertsBody
from appliance.domain.views import SuccessResponse
from web.openapi.metadata import ALERT_KIND, documented
from web.request import ApiRequest, CallerDep, ServicesDep


class AlertsAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The alerts are on disk: sent now, or known as sent already."""

    received: int
    repeated: Annotated[
        int, Meta(description="Alerts that were sent already, and ends of unknown ones.")
    ]
    message_ids: Annotated[
        list[str], Meta(description="One message for each number; none without news.")
    ]


@post(
    "/alerts/{kind:str}",
    status_code=202,
    summary="Receive alerts",
    tags=["Sending"],
    opt=documented(
        body=AlertsBody,
        path=(ALERT_KIND,),
        errors=(
            *("NOT_FOUND", "BLOCKED_NUMBER", "QUEUE_FULL", "QUOTA_EXCEEDED"),
            *("DEVICE_OFFLINE", "NO_DEVICE_AVAILABLE"),
        ),
        example={"endpoint": "shop", "group": "web", "status": "TRIGGERED", "description": "down"},
        key_only=True,
    ),
)
async def receive_alerts(
    kind: FromPath[str], request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> AlertsAnswer:
    """Sends the alerts of a monitoring program to the numbers of the key, in one SMS each. The body is the
    program's own. An alert is sent once within an hour (setting), and its end once."""
    # Imported by the first alert: most boxes never get one.
    from appliance.domain import alerts
    from appliance.messaging.alerts import deliver

    request.kept["warnings"] = []  # of the many fields of the programs none is wrong
    if not isinstance(request.fields, dict):
        raise invalid("body", _("must be a JSON object"))
    try:
        body = {
            name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
            for name, value in request.fields.items()
        }
    except RecursionError:
        raise invalid("body", _("is nested too deeply")) from None
    except ValueError as error:
        raise invalid("body", _("is not valid JSON ({error})", error=str(error))) from None
    result = await deliver(
        services.context,
        services.intake,
        caller,
        alerts.read(kind, body),
        services.admin.preferences.language,
    )
    return AlertsAnswer(
        received=result.received,
        repeated=result.repeated,
        message_ids=list(result.message_ids),
    )

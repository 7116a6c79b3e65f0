"""Alerts of monitoring programs as SMS; imported by the first alert."""

from __future__ import annotations

from sqlite3 import Connection

import msgspec

from appliance.context import Context
from appliance.core.i18n import Language, _
from appliance.domain.alerts import Alert, compose
from appliance.domain.errors import ApiError
from appliance.domain.schemas import SendBody
from appliance.domain.views import Caller
from appliance.messaging.admission import Route
from appliance.messaging.intake import Intake
from appliance.store import alerts as store

PRIORITY = 2  # before ordinary messages; urgent ones may be for a code that somebody waits for

FIRING = _("ALERT")
RESOLVED = _("RESOLVED")


class AlertResult(msgspec.Struct, frozen=True):
    """What became of a request: how many alerts were new, and the messages about them."""

    received: int
    repeated: int
    message_ids: tuple[str, ...]


async def deliver(
    box: Context, intake: Intake, caller: Caller, alerts: list[Alert], language: Language
) -> AlertResult:
    """Queue one message for each number of the key about the alerts that are new, in one commit.

    Raises KEY_NOT_ALLOWED for a key without numbers, and what a send raises if no number can be notified.
    """
    numbers = caller.permissions.alert_to
    if not numbers:
        raise ApiError("KEY_NOT_ALLOWED", {"reason": "alerts"})
    intake.check_storage()
    for to in numbers:
        intake.check_permission(caller, to)
    route = await intake.route(caller, scheduled=False)
    await box.clock_jumps.adjust()
    result = await box.db.write(_take, box, intake, caller, alerts, language, route)
    box.wakeups.work()
    return result


def _take(
    db: Connection,
    box: Context,
    intake: Intake,
    caller: Caller,
    alerts: list[Alert],
    language: Language,
    route: Route,
) -> AlertResult:
    now = box.clock.now()
    settings = box.config.alerts
    window = round(settings.repeat_minutes * 60_000)
    fresh = [
        alert
        for alert in alerts
        if not alert.identity
        or store.is_new(db, caller.key_id, alert.identity, alert.firing, now, window)
    ]
    if not fresh:
        return AlertResult(len(alerts), len(alerts), ())
    text = compose(fresh, settings.template, FIRING.plain(language), RESOLVED.plain(language))
    taken: list[str] = []
    refused: list[ApiError] = []
    for to in caller.permissions.alert_to:
        order = SendBody(to=to, message=text, priority=PRIORITY)
        try:
            taken.append(intake.take(db, caller, order, route, now).message_id)
        except ApiError as refusal:
            refused.append(refusal)
    if not taken:
        raise refused[0]  # rolls back: the program may ask again
    return AlertResult(len(alerts), len(alerts) - len(fresh), tuple(taken))

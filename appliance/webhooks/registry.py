"""The webhooks of clients: configured, listed, tested; the log of attempts, and replay."""

from __future__ import annotations

import secrets
from sqlite3 import Connection
from typing import Any

from appliance.context import Context
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.requests import PageFilter
from appliance.domain.schemas import WebhookBody
from appliance.domain.validation import utc
from appliance.domain.views import (
    ConfiguredAnswer,
    ReplayedAnswer,
    Webhook,
    WebhookLog,
    WebhookLogPage,
    WebhookTest,
)
from appliance.store import clients, deliveries, events
from appliance.store.deliveries import DeliveryState
from appliance.store.rows import CallRow, DeliveryRow, WebhookRow
from appliance.webhooks.dispatcher import WebhookDispatcher
from appliance.webhooks.http_client import egress_rules

SECRET_BYTES = 24
TEST_EVENT = "webhook.test"


class WebhookRegistry:
    """The webhooks of all clients. What does not exist and what belongs to another client are refused alike."""

    def __init__(self, box: Context, dispatcher: WebhookDispatcher) -> None:
        self._box = box
        self._dispatcher = dispatcher
        self._egress = egress_rules(box.config.webhook)

    async def configure(self, tenant: int, order: WebhookBody, key_id: int = 0) -> ConfiguredAnswer:
        """Create a webhook; only this answer has its secret. Raises INVALID_WEBHOOK_URL.

        Raises INVALID_API_KEY for a key that was revoked since it was read.
        """
        self._egress.check_url(order.url, "url")
        secret = order.secret or "whsec_" + secrets.token_hex(SECRET_BYTES)
        now = self._box.clock.now()

        def work(db: Connection) -> WebhookRow:
            if not clients.still_may(db, key_id, tenant // 2):
                raise ApiError("INVALID_API_KEY")
            return deliveries.add_webhook(db, tenant, order.url, order.events, secret, now)

        row = await self._box.db.write(work)
        return ConfiguredAnswer(**_fields(row), secret=secret)

    async def listed(self, tenant: int) -> tuple[Webhook, ...]:
        rows = await self._box.db.read(deliveries.webhooks, tenant)
        return tuple(Webhook(**_fields(row)) for row in rows)

    async def delete(self, tenant: int, webhook_id: str) -> None:
        """WEBHOOK_NOT_FOUND."""
        number = ids.parse_decimal("wh", webhook_id)
        if number is None or not await self._box.db.write(
            deliveries.delete_webhook, tenant, number, self._box.clock.now()
        ):
            raise ApiError("WEBHOOK_NOT_FOUND")

    async def test(self, tenant: int, webhook_id: str) -> WebhookTest:
        """Call a webhook once with a test event, and log it. Raises WEBHOOK_NOT_FOUND."""
        number = ids.parse_decimal("wh", webhook_id)
        delivery = None
        if number is not None:
            delivery = await self._box.db.write(self._test_event, tenant, number)
        if delivery is None:
            raise ApiError("WEBHOOK_NOT_FOUND")
        call = await self._box.db.read(
            deliveries.call, delivery, self._box.clock.now(), (DeliveryState.TEST,)
        )
        if call is None:
            raise ApiError("WEBHOOK_NOT_FOUND")
        answer = await self._dispatcher.attempt(delivery, call)
        return WebhookTest(answer.status, answer.reason or None, answer.why)

    def _test_event(self, db: Connection, tenant: int, number: int) -> int | None:
        row = deliveries.webhook(db, tenant, number)
        if row is None:
            return None
        now = self._box.clock.now()
        data = {"webhook_id": f"wh_{number}", "message": "Test"}
        event = events.store(db, self._box.ids, tenant, TEST_EVENT, data, now)
        return deliveries.add(
            db,
            self._box.ids,
            event,
            tenant,
            number,
            row.url,
            now,
            stream=TEST_EVENT,
            state=DeliveryState.TEST,
        )

    async def logs(self, tenant: int, wanted: PageFilter) -> WebhookLogPage:
        rows, total = await self._box.db.read(deliveries.log_page, tenant, wanted)
        return WebhookLogPage(tuple(_log(row) for row in rows), total)

    async def replay(self, tenant: int, log_id: str) -> ReplayedAnswer:
        """Deliver the event of an attempt again, with the whole schedule. Raises WEBHOOK_NOT_FOUND."""
        number = ids.parse("log", log_id)
        row = None
        if number is not None:
            row = await self._box.db.write(deliveries.replay, tenant, number, self._box.clock.now())
        if row is None:
            raise ApiError("WEBHOOK_NOT_FOUND")
        self._box.wakeups.webhooks.set()
        return ReplayedAnswer(
            log_id=log_id, webhook_id=_webhook_id(row), event_id=ids.short_id("evt", row.event)
        )


def _webhook_id(row: DeliveryRow | CallRow) -> str | None:
    return None if row.webhook is None else f"wh_{row.webhook}"


def _fields(row: WebhookRow) -> dict[str, Any]:
    """Return what a webhook and the answer that has its secret have in common."""
    return {
        "webhook_id": f"wh_{row.id}",
        "url": row.url,
        "events": row.events.split(","),
        "status": "active",
        "created_at": utc(row.created_at),
    }


def _log(row: CallRow) -> WebhookLog:
    return WebhookLog(
        log_id=ids.short_id("log", row.id),
        webhook_id=_webhook_id(row),
        event=row.name,
        event_id=ids.short_id("evt", row.event),
        url=row.url,
        response_status=row.response_status,
        response_time_ms=row.response_time_ms,
        success=bool(row.success),
        attempt=row.attempt,
        timestamp=utc(row.at),
        reason=row.reason or None,
    )

"""Delivery of webhook events: the oldest due event of each message goes to its receivers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from sqlite3 import Connection, Row
from typing import cast

import structlog

from appliance.context import Context
from appliance.core.wakeup import SAFETY_POLL_SECONDS
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.requests import PageFilter, WebhookEvent, WebhookOrder
from appliance.domain.views import (
    Replayed,
    WebhookLogEntry,
    WebhookLogPage,
    WebhookTest,
    WebhookView,
)
from appliance.store import clients, deliveries, events
from appliance.store.deliveries import Call, DeliveryResult, DeliveryState
from appliance.webhooks.concurrency import ConcurrencyLimiter
from appliance.webhooks.egress import Egress
from appliance.webhooks.http_client import CallResult, WebhookClient, is_own, trust

log = structlog.get_logger(__name__)

SECRET_BYTES = 24
EACH = 8  # due events read per receiver; more than it has places
SLOW_SHARE = 0.5  # an answer is slow if it takes more than this share of the time-out
# A due time further ahead than the longest wait of the schedule by this much comes from a clock that
# has been set back since.
STEPPED_BACK_MS = 60_000
# The time-out of a call ends at the response head; this is for the rest.
ENDING_SECONDS = 2.0
TEST_EVENT = "webhook.test"


class AttemptCounters:
    """Attempts since the start of the box, for /metrics."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.given_up = 0


class Webhooks:
    """The notifying leg, and the webhooks of clients."""

    def __init__(self, box: Context, courier: WebhookClient | None = None) -> None:
        """Prepare the leg. Raises OSError if the configured authorities cannot be read."""
        settings = box.config.webhook
        self._box = box
        self._settings = settings
        self._rules = Egress(is_own, allow_loopback=settings.allow_loopback)
        self._courier = courier or WebhookClient(
            self._rules,
            timeout_seconds=settings.timeout_seconds,
            trusted=trust(settings.ca_file),
        )
        self._turns = ConcurrencyLimiter()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._stopping = False
        self._rests_until = 0.0
        self.counters = AttemptCounters()

    # --- the leg -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver due events until `stop`; then start the calls due by then, and wait for open calls."""
        while True:
            last = self._stopping
            seconds = await self._start_due_calls()
            if last:
                break
            await self._box.clock.wait(self._box.wakeups.webhooks, seconds)
        if self._calls:
            await asyncio.wait(list(self._calls.values()), timeout=self.ending_seconds)
        await self.close()

    @property
    def open_calls(self) -> int:
        """The number of calls that wait for an answer."""
        return len(self._calls)

    @property
    def ending_seconds(self) -> float:
        """The longest time that stopping takes, in seconds: the time-out of open calls, and a little more."""
        return self._settings.timeout_seconds + ENDING_SECONDS

    def stop(self) -> None:
        """Start no more calls after those that are due now; undelivered events stay due."""
        self._stopping = True
        self._box.wakeups.webhooks.set()

    async def close(self) -> None:
        """Cancel open calls at once; they are due again when the box is back."""
        for call in list(self._calls.values()):
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)
        await self._courier.close()

    async def _start_due_calls(self) -> float:
        """Start every due call within the concurrency limits; return the seconds until the next one is due."""
        rest = self._rests_until - self._box.clock.monotonic()
        if rest > 0:
            return min(rest, SAFETY_POLL_SECONDS)
        now = self._box.clock.now()
        longest = max(self._settings.retry_seconds, default=0.0)
        horizon = now + round(longest * 1000) + STEPPED_BACK_MS
        found = await self._box.db.read(deliveries.due, now, horizon, EACH)
        if found.beyond:
            await self._box.db.write(deliveries.pull_back, now, horizon)
            self._box.wakeups.webhooks.set()
        due = {one.receiver: one.calls for one in found.due}
        for receiver in self._turns.in_order(due):
            self._begin(receiver, due[receiver])
        if found.next_at is None:
            return SAFETY_POLL_SECONDS
        return min(SAFETY_POLL_SECONDS, (found.next_at - now) / 1000)

    def _begin(self, receiver: str, calls: Iterable[tuple[int, str]]) -> None:
        for number, host in calls:
            if number in self._calls:
                continue
            if not self._turns.free(receiver, host):
                return  # the end of a call wakes the loop
            self._turns.take(receiver, host)
            self._calls[number] = asyncio.create_task(
                self._deliver(number, receiver, host), name=f"webhook {number}"
            )

    async def _deliver(self, number: int, receiver: str, host: str) -> None:
        """Make one attempt: read the delivery, call, record the result."""
        slow = False
        try:
            call = await self._box.db.read(deliveries.call, number, self._box.clock.now())
            if call is not None:
                answer = await self._post(call)
                slow = answer.milliseconds > self._settings.timeout_seconds * 1000 * SLOW_SHARE
                await self._record(number, answer)
        except Exception:
            # It could not be recorded (such as on a full disk): do not repeat the call at once.
            log.exception("webhook_result_not_recorded", delivery=number)
            self._rests_until = self._box.clock.monotonic() + SAFETY_POLL_SECONDS
        finally:
            del self._calls[number]
            self._turns.give_back(receiver, host, slow=slow)
            self._box.wakeups.webhooks.set()

    async def _post(self, call: Call) -> CallResult:
        """Call the receiver once, with exactly the documented headers."""
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", "ZimSend-Webhook/1.0"),
            ("X-Webhook-Signature", signature(call.secret, call.body)),
        ]
        try:
            return await self._courier.post(call.url, headers, call.body)
        except Exception:
            # An unexpected error counts as a failed attempt, so that the schedule ends it.
            log.exception("webhook_call_failed")
            return CallResult(None, 0, "internal error, see the log of the box")

    async def _record(self, number: int, answer: CallResult) -> None:
        state = await self._box.db.write(
            deliveries.record,
            self._box.ids,
            number,
            _outcome(answer),
            self._settings.retry_seconds,
            self._box.clock.now(),
        )
        if answer.success:
            self.counters.succeeded += 1
            return
        self.counters.failed += 1
        if state is DeliveryState.GIVEN_UP:
            self.counters.given_up += 1
            log.warning("webhook_given_up", delivery=number, reason=answer.reason)

    # --- requests of clients -------------------------------------------------------------------------

    def check_url(self, url: str | None, field: str = "webhook_url") -> None:
        """Raise INVALID_WEBHOOK_URL for a URL that is not allowed as written."""
        if url is not None:
            self._rules.check_url(url, field)

    async def configure(self, tenant: int, order: WebhookOrder, key_id: int = 0) -> WebhookView:
        """Create a webhook; only this answer has its secret. Raises INVALID_WEBHOOK_URL.

        Raises INVALID_API_KEY for a key that was revoked since it was read.
        """
        self.check_url(order.url, "url")
        secret = order.secret or "whsec_" + secrets.token_hex(SECRET_BYTES)
        now = self._box.clock.now()

        def work(db: Connection) -> Row:
            if not clients.still_may(db, key_id, tenant // 2):
                raise ApiError("INVALID_API_KEY")
            return deliveries.add_webhook(db, tenant, order.url, order.events, secret, now)

        return _view(await self._box.db.write(work), secret)

    async def listed(self, tenant: int) -> tuple[WebhookView, ...]:
        rows = await self._box.db.read(deliveries.webhooks, tenant)
        return tuple(_view(row) for row in rows)

    async def delete(self, tenant: int, webhook_id: str) -> None:
        """Delete a webhook. Raises WEBHOOK_NOT_FOUND."""
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
        answer = await self._post(call)
        await self._record(delivery, answer)
        return WebhookTest(answer.status)

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
            row["url"],
            now,
            stream=TEST_EVENT,
            state=DeliveryState.TEST,
        )

    async def logs(self, tenant: int, wanted: PageFilter) -> WebhookLogPage:
        rows, total = await self._box.db.read(deliveries.log_page, tenant, wanted)
        return WebhookLogPage(tuple(_log(row) for row in rows), total)

    async def replay(self, tenant: int, log_id: str) -> Replayed:
        """Deliver the event of an attempt again, with the whole schedule. Raises WEBHOOK_NOT_FOUND."""
        number = ids.parse("log", log_id)
        row = None
        if number is not None:
            row = await self._box.db.write(deliveries.replay, tenant, number, self._box.clock.now())
        if row is None:
            raise ApiError("WEBHOOK_NOT_FOUND")
        self._box.wakeups.webhooks.set()
        return Replayed(log_id, _webhook_id(row), ids.short_id("evt", row["event"]))


def signature(secret: str, body: bytes) -> str:
    """Return `X-Webhook-Signature`: the hexadecimal HMAC-SHA256 of the raw body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _outcome(answer: CallResult) -> DeliveryResult:
    return DeliveryResult(answer.status, answer.milliseconds, answer.success, answer.reason)


def _webhook_id(row: Row) -> str | None:
    return None if row["webhook"] is None else f"wh_{row['webhook']}"


def _view(row: Row, secret: str | None = None) -> WebhookView:
    return WebhookView(
        webhook_id=f"wh_{row['id']}",
        url=row["url"],
        events=cast("tuple[WebhookEvent, ...]", tuple(row["events"].split(","))),
        status="active",
        created_at=row["created_at"],
        secret=secret,
    )


def _log(row: Row) -> WebhookLogEntry:
    return WebhookLogEntry(
        log_id=ids.short_id("log", row["id"]),
        webhook_id=_webhook_id(row),
        event=row["name"],
        event_id=ids.short_id("evt", row["event"]),
        url=row["url"],
        response_status=row["response_status"],
        response_time_ms=row["response_time_ms"],
        success=bool(row["success"]),
        attempt=row["attempt"],
        timestamp=row["at"],
        reason=row["reason"] or None,
    )

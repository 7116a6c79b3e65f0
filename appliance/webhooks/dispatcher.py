"""Telling: the oldest due event of each message goes to who asked for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from sqlite3 import Connection, Row
from typing import cast

import structlog

from appliance.context import Box
from appliance.core.wakeup import SAFETY_LOOK_SECONDS
from appliance.domain import ids
from appliance.domain.errors import Refusal
from appliance.domain.requests import PageFilter, WebhookEvent, WebhookOrder
from appliance.domain.views import Replayed, WebhookLog, WebhookLogPage, WebhookTest, WebhookView
from appliance.store import clients, deliveries, events
from appliance.store.deliveries import Call, Outcome, State
from appliance.webhooks.concurrency import Turns
from appliance.webhooks.egress import Egress
from appliance.webhooks.http_client import Answer, Courier, is_own, trust

log = structlog.get_logger(__name__)

SECRET_BYTES = 24
EACH = 8  # due events of one receiver looked at; more than it has places
SLOW_SHARE = 0.5  # an answer that took more of the time-out than this held its place for long
# A moment further ahead than the longest wait of the schedule by this much was set by a clock that
# has stepped back since.
STEPPED_BACK_MS = 60_000
# The time-out of a call covers it to its answer's head; the rest is ours.
ENDING_SECONDS = 2.0
TEST_EVENT = "webhook.test"


class Counters:
    """Attempts since the box started, for /metrics."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.given_up = 0


class Webhooks:
    """The leg that tells, and what clients ask of it."""

    def __init__(self, box: Box, courier: Courier | None = None) -> None:
        """Raises OSError if the configured authorities cannot be read."""
        settings = box.config.webhook
        self._box = box
        self._settings = settings
        self._rules = Egress(is_own, allow_loopback=settings.allow_loopback)
        self._courier = courier or Courier(
            self._rules,
            timeout_seconds=settings.timeout_seconds,
            trusted=trust(settings.ca_file),
        )
        self._turns = Turns()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._stopping = False
        self._rests_until = 0.0
        self.counters = Counters()

    # --- the leg -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell what is due until `stop`; then look once more, and let the open calls end."""
        while True:
            last = self._stopping
            seconds = await self._look()
            if last:
                break
            await self._box.clock.wait(self._box.bells.webhooks, seconds)
        if self._calls:
            await asyncio.wait(list(self._calls.values()), timeout=self.ending_seconds)
        await self.close()

    @property
    def open_calls(self) -> int:
        """How many calls wait for an answer just now."""
        return len(self._calls)

    @property
    def ending_seconds(self) -> float:
        """How long it takes to stop at the most: the time-out of the open calls and a little."""
        return self._settings.timeout_seconds + ENDING_SECONDS

    def stop(self) -> None:
        """No more calls begin after one last look; what is not told stays due."""
        self._stopping = True
        self._box.bells.webhooks.set()

    async def close(self) -> None:
        """End at once: open calls are dropped, and due again when the box is back."""
        for call in list(self._calls.values()):
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)
        await self._courier.close()

    async def _look(self) -> float:
        """Begin every call that is due and has a place. Seconds until the next one is due."""
        rest = self._rests_until - self._box.clock.monotonic()
        if rest > 0:
            return min(rest, SAFETY_LOOK_SECONDS)
        now = self._box.clock.now()
        longest = max(self._settings.retry_seconds, default=0.0)
        horizon = now + round(longest * 1000) + STEPPED_BACK_MS
        found = await self._box.db.read(deliveries.look, now, horizon, EACH)
        if found.beyond:
            await self._box.db.write(deliveries.pull_back, now, horizon)
            self._box.bells.webhooks.set()
        due = {one.receiver: one.calls for one in found.due}
        for receiver in self._turns.in_order(due):
            self._begin(receiver, due[receiver])
        if found.next_at is None:
            return SAFETY_LOOK_SECONDS
        return min(SAFETY_LOOK_SECONDS, (found.next_at - now) / 1000)

    def _begin(self, receiver: str, calls: Iterable[tuple[int, str]]) -> None:
        for number, host in calls:
            if number in self._calls:
                continue
            if not self._turns.free(receiver, host):
                return  # a call that ends rings
            self._turns.take(receiver, host)
            self._calls[number] = asyncio.create_task(
                self._tell(number, receiver, host), name=f"webhook {number}"
            )

    async def _tell(self, number: int, receiver: str, host: str) -> None:
        """One attempt, from the row to the row."""
        slow = False
        try:
            call = await self._box.db.read(deliveries.call, number, self._box.clock.now())
            if call is not None:
                answer = await self._post(call)
                slow = answer.milliseconds > self._settings.timeout_seconds * 1000 * SLOW_SHARE
                await self._record(number, answer)
        except Exception:
            # It could not be recorded (a full disk, say): not again and again at the receiver's cost.
            log.exception("webhook_not_recorded", delivery=number)
            self._rests_until = self._box.clock.monotonic() + SAFETY_LOOK_SECONDS
        finally:
            del self._calls[number]
            self._turns.give_back(receiver, host, slow=slow)
            self._box.bells.webhooks.set()

    async def _post(self, call: Call) -> Answer:
        """Call the receiver once, with exactly the documented headers."""
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", "ZimSend-Webhook/1.0"),
            ("X-Webhook-Signature", signature(call.secret, call.body)),
        ]
        try:
            return await self._courier.post(call.url, headers, call.body)
        except Exception:
            # Whatever a receiver made us stumble over counts as its failed attempt, so that the
            # schedule ends it.
            log.exception("webhook_call_broke")
            return Answer(None, 0, "internal error, see the log of the box")

    async def _record(self, number: int, answer: Answer) -> None:
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
        if state is State.GIVEN_UP:
            self.counters.given_up += 1
            log.warning("webhook_given_up", delivery=number, reason=answer.reason)

    # --- what clients ask ----------------------------------------------------------------------------

    def check_url(self, url: str | None, field: str = "webhook_url") -> None:
        """INVALID_WEBHOOK_URL if it may not be called, as far as it says itself where it leads."""
        if url is not None:
            self._rules.check_url(url, field)

    async def configure(self, scope: int, order: WebhookOrder, key_id: int = 0) -> WebhookView:
        """A webhook for these events; its secret is in this answer only. INVALID_WEBHOOK_URL.

        INVALID_API_KEY for a key that was revoked since it was read.
        """
        self.check_url(order.url, "url")
        secret = order.secret or "whsec_" + secrets.token_hex(SECRET_BYTES)
        now = self._box.clock.now()

        def work(db: Connection) -> Row:
            if not clients.still_may(db, key_id, scope // 2):
                raise Refusal("INVALID_API_KEY")
            return deliveries.add_webhook(db, scope, order.url, order.events, secret, now)

        return _view(await self._box.db.write(work), secret)

    async def listed(self, scope: int) -> tuple[WebhookView, ...]:
        rows = await self._box.db.read(deliveries.webhooks, scope)
        return tuple(_view(row) for row in rows)

    async def delete(self, scope: int, webhook_id: str) -> None:
        """WEBHOOK_NOT_FOUND."""
        number = ids.parse_decimal("wh", webhook_id)
        if number is None or not await self._box.db.write(
            deliveries.delete_webhook, scope, number, self._box.clock.now()
        ):
            raise Refusal("WEBHOOK_NOT_FOUND")

    async def test(self, scope: int, webhook_id: str) -> WebhookTest:
        """Call it once, now, with an event of its own; logged like any. WEBHOOK_NOT_FOUND."""
        number = ids.parse_decimal("wh", webhook_id)
        delivery = None
        if number is not None:
            delivery = await self._box.db.write(self._test_event, scope, number)
        if delivery is None:
            raise Refusal("WEBHOOK_NOT_FOUND")
        call = await self._box.db.read(
            deliveries.call, delivery, self._box.clock.now(), (State.TEST,)
        )
        if call is None:
            raise Refusal("WEBHOOK_NOT_FOUND")
        answer = await self._post(call)
        await self._record(delivery, answer)
        return WebhookTest(answer.status)

    def _test_event(self, db: Connection, scope: int, number: int) -> int | None:
        row = deliveries.webhook(db, scope, number)
        if row is None:
            return None
        now = self._box.clock.now()
        data = {"webhook_id": f"wh_{number}", "message": "Test"}
        event = events.store(db, self._box.ids, scope, TEST_EVENT, data, now)
        return deliveries.add(
            db,
            self._box.ids,
            event,
            scope,
            number,
            row["url"],
            now,
            stream=TEST_EVENT,
            state=State.TEST,
        )

    async def logs(self, scope: int, wanted: PageFilter) -> WebhookLogPage:
        rows, total = await self._box.db.read(deliveries.log_page, scope, wanted)
        return WebhookLogPage(tuple(_log(row) for row in rows), total)

    async def replay(self, scope: int, log_id: str) -> Replayed:
        """Tell the event of that attempt again, on the whole schedule. WEBHOOK_NOT_FOUND."""
        number = ids.parse("log", log_id)
        row = None
        if number is not None:
            row = await self._box.db.write(deliveries.replay, scope, number, self._box.clock.now())
        if row is None:
            raise Refusal("WEBHOOK_NOT_FOUND")
        self._box.bells.webhooks.set()
        return Replayed(log_id, _webhook_id(row), ids.short_id("evt", row["event"]))


def signature(secret: str, body: bytes) -> str:
    """`X-Webhook-Signature`: hex HMAC-SHA256 of the raw body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _outcome(answer: Answer) -> Outcome:
    return Outcome(answer.status, answer.milliseconds, answer.success, answer.reason)


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


def _log(row: Row) -> WebhookLog:
    return WebhookLog(
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

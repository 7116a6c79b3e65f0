"""Delivery of webhook events: the oldest due event of each message goes to its receivers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable

import structlog

from appliance.context import Context
from appliance.core.wakeup import SAFETY_POLL_SECONDS
from appliance.store import deliveries
from appliance.store.deliveries import Call, DeliveryResult, DeliveryState
from appliance.webhooks.concurrency import ConcurrencyLimiter
from appliance.webhooks.http_client import CallResult, WebhookClient, egress_rules, trust

log = structlog.get_logger(__name__)

EACH = 8  # due events read per receiver; more than it has places
SLOW_SHARE = 0.5  # an answer is slow if it takes more than this share of the time-out
# A due time further ahead than the longest wait of the schedule by this much comes from a clock that
# has been set back since.
STEPPED_BACK_MS = 60_000
# The time-out of a call ends at the response head; this is for the rest.
ENDING_SECONDS = 2.0


class AttemptCounters:
    """Attempts since the start of the box, for /metrics."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.given_up = 0


class WebhookDispatcher:
    """The notifying leg."""

    def __init__(self, box: Context, http_client: WebhookClient | None = None) -> None:
        """Prepare the leg. Raises OSError if the configured authorities cannot be read."""
        settings = box.config.webhook
        self._box = box
        self._settings = settings
        self._http_client = http_client or WebhookClient(
            egress_rules(settings),
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
        await self._http_client.close()

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
                answer = await self.attempt(number, call)
                slow = answer.milliseconds > self._settings.timeout_seconds * 1000 * SLOW_SHARE
        except Exception:
            # It could not be recorded (such as on a full disk): do not repeat the call at once.
            log.exception("webhook_result_not_recorded", delivery=number)
            self._rests_until = self._box.clock.monotonic() + SAFETY_POLL_SECONDS
        finally:
            del self._calls[number]
            self._turns.give_back(receiver, host, slow=slow)
            self._box.wakeups.webhooks.set()

    async def attempt(self, number: int, call: Call) -> CallResult:
        """Call the receiver of a delivery once, and record the result."""
        answer = await self._post(call)
        await self._record(number, answer)
        return answer

    async def _post(self, call: Call) -> CallResult:
        """Call the receiver once, with exactly the documented headers."""
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", "ZimSend-Webhook/1.0"),
            ("X-Webhook-Signature", signature(call.secret, call.body)),
        ]
        try:
            return await self._http_client.post(call.url, headers, call.body)
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


def signature(secret: str, body: bytes) -> str:
    """Return `X-Webhook-Signature`: the hexadecimal HMAC-SHA256 of the raw body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _outcome(answer: CallResult) -> DeliveryResult:
    return DeliveryResult(answer.status, answer.milliseconds, answer.success, answer.reason)

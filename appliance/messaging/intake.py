"""Accepting messages: checked against the state of the box, and on disk in one commit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from sqlite3 import Connection
from typing import TypeVar

from appliance.context import Context
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.domain import ids, limits
from appliance.domain.errors import ApiError, later
from appliance.domain.parsing import Bulk, RefusedEntry
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import SendBody
from appliance.domain.validation import priority_name, utc
from appliance.domain.views import AcceptedAnswer, BulkAccepted, BulkResult, Caller, OtpAnswer
from appliance.messaging import admission
from appliance.messaging.admission import QueueSnapshot, Route
from appliance.messaging.tracking import own_message
from appliance.store import archive, backlog, blocklist, clients, history, messages
from appliance.store import idempotency as idempotency_store
from appliance.store.rows import TrackedRow
from appliance.webhooks.http_client import egress_rules
from modem.sms import gsm7

T = TypeVar("T", AcceptedAnswer, BulkAccepted, OtpAnswer)


def _may_use(caller: Caller, a: Attached, mine: set[int]) -> bool:
    """Return whether the caller may use a modem, by the settings and by its number once it has one.

    A modem reserved for a client that does not exist is available to nobody.
    """
    return (not a.number or a.number in mine) and (not a.clients or caller.client_id in a.clients)


class Intake:
    """Accepts messages: the only way into the queue."""

    def __init__(self, box: Context, devices: Devices) -> None:
        self._box = box
        self._devices = devices
        self._egress = egress_rules(box.config.webhook)

    # --- before the store ----------------------------------------------------------------------------

    def check_storage(self) -> None:
        """Raise STORAGE_FULL if only the reserve for the box's own results is free."""
        if self._box.free_space.mib < self._box.config.storage.reserve_mib:
            raise ApiError("STORAGE_FULL")

    def earlier(
        self, caller: Caller, idempotency: Idempotency
    ) -> AcceptedAnswer | BulkAccepted | OtpAnswer | None:
        """Return the answer that this idempotency key was given before. Raises IDEMPOTENCY_CONFLICT.

        For requests that are checked against the clock; `once` looks again in its transaction.
        """
        now = self._box.clock.now()
        return self._box.db.read_now(idempotency_store.earlier, caller.tenant, idempotency, now)

    def check_webhook(self, url: str | None) -> None:
        """Raise INVALID_WEBHOOK_URL for a URL of a message that is not allowed as written."""
        if url is not None:
            self._egress.check_url(url)

    def check_permission(self, caller: Caller, to: str) -> None:
        """Check what the key may do. Raises KEY_NOT_ALLOWED; INVALID_PHONE_NUMBER for a short code."""
        may = caller.permissions
        if not to.startswith("+"):
            if not may.short_codes:
                raise ApiError("INVALID_PHONE_NUMBER", {"field": "to"})
        elif may.prefixes and not to.startswith(may.prefixes):
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "prefixes", "field": "to"})

    async def route(self, caller: Caller, scheduled: bool, before: int = 0) -> Route:
        """Return the modem for a message. Raises DEVICE_OFFLINE, NO_DEVICE_AVAILABLE for a send for now.

        `before` is the modem that was named for it earlier; it is used again if it is still available.
        """
        test = caller.mode == "test"
        if test:
            await self._devices.test_modem()
        rows = self._box.credentials.devices(caller.client_id, test)
        mine = {row.id for row in rows}
        named = before if before in mine else None
        if caller.device_id:
            named = ids.parse_decimal("device", caller.device_id)
        if test:
            named = None
        attached = [
            a
            for a in self._devices.attached
            if a.test == test and _may_use(caller, a, mine) and (named is None or a.number == named)
        ]
        # A modem without an identity yet may be the named one.
        unknown = [a for a in self._devices.attached if a.test == test and not a.number]
        if (
            not scheduled
            and not test
            and not any(self._expected(a) for a in (*attached, *(unknown if named else ())))
        ):
            raise ApiError("DEVICE_OFFLINE" if named else "NO_DEVICE_AVAILABLE")
        if named is not None:
            return Route(named, True, tuple(attached))
        best = sorted(attached, key=lambda a: (not a.online, not a.number, a.number))
        device = best[0].number if best and best[0].number else min(mine, default=0)
        # Beside modems of others it is its only one's; of several of its own each may take it, and a
        # modem of others takes none (queue.OF_CLIENTS), but has to look past it.
        others = any(
            a.test == test and not _may_use(caller, a, mine) for a in self._devices.attached
        )
        return Route(device, others and bool(device) and len(attached) < 2, tuple(attached))

    def _expected(self, attached: Attached) -> bool:
        """Return whether a modem is online, or offline for less than the grace period."""
        grace = self._box.config.sending.offline_grace_minutes * 60
        since = attached.offline_since  # None: it has just gone, and the event is not handled yet
        away = 0.0 if since is None else self._box.clock.monotonic() - since
        return attached.online or away < grace

    # --- in the transaction --------------------------------------------------------------------------

    async def send(
        self, caller: Caller, order: SendBody, idempotency: Idempotency | None
    ) -> AcceptedAnswer:
        """Accept one message; it is on disk when this returns."""
        self.check_webhook(order.webhook_url)
        self.check_storage()
        self.check_permission(caller, order.to)
        route = await self.route(caller, order.scheduled_at is not None)
        scheduled = order.scheduled_at is not None
        take = partial(self.take, caller=caller, order=order, route=route)
        accepted = await self.once(caller, idempotency, take, due=not scheduled)
        self.ring(scheduled=scheduled)
        return accepted

    async def once(
        self,
        caller: Caller,
        idempotency: Idempotency | None,
        take: Callable[[Connection], T],
        *,
        due: bool = False,
    ) -> T:
        """Accept something in one commit, or return the earlier answer for the idempotency key.

        What is due at once shares this commit with its claim, if a modem waits for work.
        """
        # Otherwise this would count as accepted before the clock was set.
        await self._box.clock_jumps.adjust()
        now = self._box.clock.now()
        db = self._box.db
        if idempotency is None:
            accepted = db.start_write(take)
        else:
            accepted = db.start_write(idempotency_store.once, caller.tenant, idempotency, now, take)
        if due:
            self._box.wakeups.accepting()
        return await accepted

    def ring(self, *, scheduled: bool) -> None:
        """Wake up who sends what was just accepted."""
        if scheduled:
            self._box.wakeups.housekeeping.set()
        self._box.wakeups.work()

    def _check_room(self, waiting: int) -> None:
        """Raise QUEUE_FULL if no more messages may wait."""
        if waiting >= self._box.config.queue.max_waiting:
            raise later("QUEUE_FULL", 60)

    def check_recipient(self, db: Connection, caller: Caller, to: str) -> None:
        """Raise what refuses any message to a number now, such as for its first segment.

        INVALID_API_KEY, BLOCKED_NUMBER, QUEUE_FULL.
        """
        if not clients.still_may(db, caller.key_id, caller.client_id):
            raise ApiError("INVALID_API_KEY")
        if blocklist.is_blocked(db, caller.tenant, to, "sms"):
            raise ApiError("BLOCKED_NUMBER", {"field": "to"})
        self._check_room(backlog.messages(db, caller.mode == "test"))

    def _count_against_cap(self, db: Connection, caller: Caller, now: int) -> None:
        """Count a message against the key's daily cap. Raises KEY_NOT_ALLOWED."""
        cap = caller.permissions.daily_cap
        if cap is None:
            return
        today = limits.day_number(now, self._box.zone)
        if idempotency_store.taken_by_key(db, caller.key_id, today) >= cap:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "daily_cap", "cap": cap})
        idempotency_store.count_key(db, caller.key_id, today)

    def take(
        self,
        db: Connection,
        caller: Caller,
        order: SendBody,
        route: Route,
        now: int | None = None,
        *,
        waiting: int | None = None,
        ahead: QueueSnapshot | None = None,
        batch: int | None = None,
        kind: str = "sms",
        expires_at: int | None = None,
        secret_text: str | None = None,
    ) -> AcceptedAnswer:
        """Store one message. Raises QUEUE_FULL, BLOCKED_NUMBER, KEY_NOT_ALLOWED (daily cap), QUOTA_EXCEEDED.

        A one-time password comes with `order.message` masked and its real text in `secret_text`.
        `waiting` is the number of queued messages and `ahead` what waits before it, if known.
        """
        if now is None:
            now = self._box.clock.now()
        if waiting is None:
            waiting = backlog.messages(db, caller.mode == "test")
        self._check_room(waiting)
        config = self._box.config
        text = secret_text if secret_text is not None else order.message
        plan = gsm7.plan(text, shifts=config.sending.national_shifts)
        due_at, end = self._span(order.scheduled_at, now)
        if expires_at is not None:
            end = min(end, expires_at)
        ahead = ahead or self._ahead(db, caller, route, due_at, end, now)
        self._admit(db, caller, order.to, len(plan.parts), route, ahead, now, end, kind)
        fresh = messages.NewMessage(
            tenant=caller.tenant,
            api_key=caller.key_id,
            kind=kind,
            batch=batch,
            recipient=order.to,
            body=order.message,
            secret=self._box.encryption.encrypt(text) if secret_text is not None else None,
            alphabet=plan.alphabet.value,
            shift=plan.shift,
            parts=len(plan.parts),
            priority=order.priority,
            device=route.device,
            bound=route.bound,
            due_at=due_at,
            expires_at=end,
            max_attempts=order.retry_attempts,
            on_uncertain=order.on_uncertain or config.sending.on_uncertain,
            scheduled_at=order.scheduled_at,
            validity_minutes=order.validity_minutes,
            flash=order.flash,
            metadata=order.metadata,
            webhook_url=order.webhook_url,
        )
        rank = limits.rank(order.priority, due_at, config.queue.aging_minutes)
        number = messages.insert(db, self._box.ids, fresh, rank, now)
        estimate = admission.estimate(
            route, ahead, order.priority, len(plan.parts), due_at, now, self._box.zone
        )
        return AcceptedAnswer(
            message_id=ids.message_id(number),
            to=order.to,
            queued_at=utc(now),
            estimated_delivery=utc(estimate),
            scheduled_at=utc(order.scheduled_at),
            priority=priority_name(order.priority),
            device_id=f"device_{route.device}" if route.device else None,
            parts=len(plan.parts),
            encoding=plan.alphabet.value,
        )

    def _span(self, scheduled_at: int | None, now: int) -> tuple[int, int]:
        """Return when a message is due, and when its lifetime ends (ms)."""
        due_at = now if scheduled_at is None else scheduled_at
        return due_at, due_at + round(self._box.config.queue.lifetime_hours * 3_600_000)

    def _ahead(
        self, db: Connection, caller: Caller, route: Route, due_at: int, end: int, now: int
    ) -> QueueSnapshot:
        test = caller.mode == "test"
        return admission.ahead(db, test, route, due_at, end, now, self._box.zone)

    def _admit(
        self,
        db: Connection,
        caller: Caller,
        recipient: str,
        parts: int,
        route: Route,
        ahead: QueueSnapshot,
        now: int,
        until: int,
        kind: str,
    ) -> None:
        """The refusals that the store decides: BLOCKED_NUMBER, QUOTA_EXCEEDED, KEY_NOT_ALLOWED, INVALID_API_KEY."""
        if not clients.still_may(db, caller.key_id, caller.client_id):
            raise ApiError("INVALID_API_KEY")
        if blocklist.is_blocked(db, caller.tenant, recipient, kind):
            raise ApiError("BLOCKED_NUMBER", {"field": "to"})
        if caller.mode == "live":
            admission.check_quota(route, ahead, recipient, parts, now, until, self._box.zone)
        # Last, so that messages refused for another reason do not count.
        self._count_against_cap(db, caller, now)

    # --- many ----------------------------------------------------------------------------------------

    async def send_bulk(
        self, caller: Caller, order: Bulk, idempotency: Idempotency | None
    ) -> BulkAccepted:
        """Accept all valid entries in one transaction. Raises the first entry's error if there is none."""
        for url in {e.webhook_url for e in order.entries if isinstance(e, SendBody)}:
            self.check_webhook(url)
        self.check_storage()
        scheduled = any(
            e.scheduled_at is not None for e in order.entries if isinstance(e, SendBody)
        )
        route = await self.route(caller, scheduled)
        accepted = await self.once(
            caller, idempotency, partial(self._send_bulk, caller=caller, order=order, route=route)
        )
        self.ring(scheduled=scheduled)
        return accepted

    def _send_bulk(self, db: Connection, caller: Caller, order: Bulk, route: Route) -> BulkAccepted:
        now = self._box.clock.now()
        waiting = backlog.messages(db, caller.mode == "test")
        batch = self._box.ids.other(now)
        ahead = None
        entries: list[BulkResult] = []
        taken: list[AcceptedAnswer] = []
        parts = 0
        refused: list[ApiError] = []
        for entry, same in zip(order.entries, order.same_as, strict=True):
            if same is not None:
                entries.append(entries[same])
                continue
            try:
                if isinstance(entry, RefusedEntry):
                    raise ApiError(entry.reason.code, entry.reason.details)
                self.check_permission(caller, entry.to)
                if ahead is None:  # the same for all entries, apart from the batch itself
                    due_at, end = self._span(entry.scheduled_at, now)
                    ahead = self._ahead(db, caller, route, due_at, end, now)
                behind = ahead.behind(parts)
                accepted = self.take(
                    db,
                    caller,
                    entry,
                    route,
                    now,
                    waiting=waiting + len(taken),
                    ahead=behind,
                    batch=batch,
                )
            except ApiError as refusal:
                refused.append(refusal)
                entries.append(BulkResult(None, entry.to, refusal.reason))
            else:
                taken.append(accepted)
                parts += accepted.parts
                entries.append(BulkResult(accepted.message_id, accepted.to))
        if not taken:
            raise refused[0]
        over = any(refusal.code == "QUOTA_EXCEEDED" for refusal in refused)
        going, rest_from = None, None
        if ahead is not None and caller.mode == "live":
            going, rest_from = admission.window(route, ahead, taken, over, now, self._box.zone)
        return BulkAccepted(
            batch_id=ids.short_id("batch", batch),
            messages=tuple(entries),
            queued_at=now,
            sendable_now=going,
            rest_from=rest_from,
        )

    # --- again ---------------------------------------------------------------------------------------

    async def resend(self, caller: Caller, message_id: str) -> None:
        """Queue a failed message again under the rules of a send.

        Raises MESSAGE_NOT_FOUND, CANNOT_RESEND_MESSAGE for any other message, and what a send raises.
        """
        row = own_message(self._box, caller, message_id)
        if not _resendable(row):
            raise ApiError("CANNOT_RESEND_MESSAGE")
        number = row.id
        self.check_storage()
        before = await self._box.db.read(messages.named_device, number)
        route = await self.route(caller, scheduled=False, before=before)
        await self._box.clock_jumps.adjust()
        if not await self._box.db.write(self._resend, caller, number, route):
            raise ApiError("CANNOT_RESEND_MESSAGE")
        self.ring(scheduled=False)
        self._box.wakeups.changed()

    def _resend(self, db: Connection, caller: Caller, number: int, route: Route) -> bool:
        row = history.one(db, caller.tenant, number)
        if row is None or not _resendable(row):
            return False
        now = self._box.clock.now()
        config = self._box.config
        recipient = row.recipient
        if not recipient.startswith("+") and not caller.permissions.short_codes:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "short_codes"})
        self.check_permission(caller, recipient)
        self._check_room(backlog.messages(db, caller.mode == "test"))
        plan = gsm7.plan(row.body, shifts=config.sending.national_shifts)
        _, end = self._span(None, now)
        ahead = self._ahead(db, caller, route, now, end, now)
        self._admit(db, caller, recipient, len(plan.parts), route, ahead, now, end, row.kind)
        rank = limits.rank(row.priority, now, config.queue.aging_minutes)
        if messages.get(db, number) is None:
            archive.take_back(db, number, now, end, rank)
        messages.resend(
            db,
            self._box.ids,
            number,
            now,
            end,
            rank,
            plan.alphabet.value,
            plan.shift,
            len(plan.parts),
            bound_device=route.device if route.bound else 0,
            api_key=caller.key_id,
        )
        return True


def _resendable(row: TrackedRow) -> bool:
    """Return whether a message can be resent: it failed and is not a one-time password."""
    return bool(row.status == "failed" and row.kind == "sms")

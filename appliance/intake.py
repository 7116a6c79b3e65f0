"""Taking: what was asked for is checked against the box's state and put on the disk in one commit."""

from __future__ import annotations

import shutil
from sqlite3 import Connection

import msgspec

from appliance import ids, pacing
from appliance.box import Box
from appliance.devices import Attached, Devices
from appliance.interface import Accepted, BulkAccepted, BulkMessage, Caller
from appliance.orders import BulkOrder, Idempotency, Refused, SendOrder
from appliance.refusals import Refusal, later
from appliance.store import answers, blocked, messages, queue
from appliance.store import devices as device_table
from modem import alphabet

MIB = 1 << 20


class Route(msgspec.Struct, frozen=True):
    """Which modem a message is meant for: the one named, or one the box picks."""

    device: int  # 0: none is known yet
    pinned: bool
    candidates: tuple[Attached, ...]

    @property
    def pace_ms(self) -> float:
        """Milliseconds per part with all of them at work."""
        return (
            1000 / sum((1 / a.pace_seconds for a in self.candidates), 0.0)
            if self.candidates
            else 4000.0
        )


class Intake:
    """The only way a message comes into the box."""

    def __init__(self, box: Box, devices: Devices) -> None:
        self._box = box
        self._devices = devices

    # --- before the store ----------------------------------------------------------------------------

    def check_storage(self) -> None:
        """The box keeps room for its own results. STORAGE_FULL."""
        free = shutil.disk_usage(self._box.db.path.parent).free
        if free < self._box.config.storage.reserve_mib * MIB:
            raise Refusal("STORAGE_FULL")

    def check_permission(self, caller: Caller, order: SendOrder) -> None:
        """What the owner lets this key do. KEY_NOT_ALLOWED, INVALID_PHONE_NUMBER for a short code."""
        may = caller.permissions
        if not order.to.startswith("+"):
            if not may.short_codes:
                raise Refusal("INVALID_PHONE_NUMBER", {"field": "to"})
        elif may.prefixes and not order.to.startswith(may.prefixes):
            raise Refusal("KEY_NOT_ALLOWED", {"reason": "prefixes", "field": "to"})

    async def route(self, caller: Caller, scheduled: bool) -> Route:
        """The modem for this caller's message. DEVICE_OFFLINE, NO_DEVICE_AVAILABLE for a send for now."""
        test = caller.mode == "test"
        if test:
            await self._devices.test_modem()
        rows = await self._box.db.read(device_table.visible, caller.client_id, test)
        mine = {row["id"] for row in rows}
        named = (
            ids.parse_decimal("device", caller.device_id) if caller.device_id and not test else None
        )
        attached = [
            a
            for a in self._devices.attached
            if a.test == test
            and (a.number in mine or not a.number)
            and (named is None or a.number == named)
        ]
        if not scheduled and not test and not any(self._expected(a) for a in attached):
            raise Refusal("DEVICE_OFFLINE" if named else "NO_DEVICE_AVAILABLE")
        if named is not None:
            return Route(named, True, tuple(attached))
        best = sorted(attached, key=lambda a: (not a.online, not a.number, a.number))
        device = best[0].number if best and best[0].number else min(mine, default=0)
        # A client that may not use every modem gets its messages pinned to one of its own.
        others = any(
            a.test == test and a.number and a.number not in mine for a in self._devices.attached
        )
        return Route(device, others and bool(device), tuple(attached))

    def _expected(self, attached: Attached) -> bool:
        """Online, or not away for longer than the grace."""
        grace = self._box.config.sending.offline_grace_minutes * 60
        since = attached.offline_since
        return attached.online or since is None or self._box.clock.monotonic() - since <= grace

    # --- in the transaction --------------------------------------------------------------------------

    async def send(
        self, caller: Caller, order: SendOrder, idempotency: Idempotency | None
    ) -> Accepted:
        """One message: on the disk when this returns."""
        self.check_storage()
        self.check_permission(caller, order)
        route = await self.route(caller, order.scheduled_at is not None)
        accepted = await self._box.db.write(self._send, caller, order, idempotency, route)
        self._ring(order.scheduled_at)
        return accepted

    def _ring(self, scheduled_at: int | None) -> None:
        if scheduled_at is not None:
            self._box.bells.housekeeping.set()
        self._box.bells.work()

    def _send(
        self,
        db: Connection,
        caller: Caller,
        order: SendOrder,
        idempotency: Idempotency | None,
        route: Route,
    ) -> Accepted:
        now = self._box.clock.now()
        earlier = answers.again(db, caller.scope, idempotency, Accepted)
        if earlier is not None:
            return earlier
        accepted = self.take(db, caller, order, route, now, ahead=self.waiting(db, caller, 1))
        answers.keep(db, caller.scope, idempotency, accepted, now)
        return accepted

    def waiting(self, db: Connection, caller: Caller, more: int) -> int:
        """Messages waiting in this mode. QUEUE_FULL if `more` do not fit."""
        waiting = queue.waiting(db, caller.mode == "test")
        if waiting + more > self._box.config.queue.max_waiting:
            raise later("QUEUE_FULL", 60)
        return waiting

    def _count_against_cap(self, db: Connection, caller: Caller, now: int) -> None:
        """The key's own daily cap. KEY_NOT_ALLOWED."""
        cap = caller.permissions.daily_cap
        if cap is None:
            return
        today = pacing.day_number(now, self._box.zone)
        if answers.taken_by_key(db, caller.key_id, today) >= cap:
            raise Refusal("KEY_NOT_ALLOWED", {"reason": "daily_cap", "cap": cap})
        answers.count_key(db, caller.key_id, today)

    def take(
        self,
        db: Connection,
        caller: Caller,
        order: SendOrder,
        route: Route,
        now: int,
        *,
        ahead: int,
        batch: int | None = None,
        kind: str = "sms",
        expires_at: int | None = None,
        secret_text: str | None = None,
    ) -> Accepted:
        """Store one message. BLOCKED_NUMBER, KEY_NOT_ALLOWED (daily cap), QUOTA_EXCEEDED.

        A one-time password comes with `order.message` masked and its real text in `secret_text`.
        """
        if blocked.is_blocked(db, caller.scope, order.to):
            raise Refusal("BLOCKED_NUMBER", {"field": "to"})
        self._count_against_cap(db, caller, now)
        config = self._box.config
        text = secret_text if secret_text is not None else order.message
        plan = alphabet.plan(text, shifts=config.sending.national_shifts)
        due_at = order.scheduled_at if order.scheduled_at is not None else now
        end = due_at + round(config.queue.lifetime_hours * 3_600_000)
        if expires_at is not None:
            end = min(end, expires_at)
        if caller.mode == "live":
            self._check_quota(db, order.to, len(plan.parts), route, ahead, now, end)
        fresh = messages.Fresh(
            scope=caller.scope,
            api_key=caller.key_id,
            kind=kind,
            batch=batch,
            recipient=order.to,
            body=order.message,
            secret=self._box.vault.encrypt(text) if secret_text is not None else None,
            alphabet=plan.alphabet.value,
            shift=plan.shift,
            parts=len(plan.parts),
            priority=order.priority,
            rank=pacing.rank(order.priority, due_at, config.queue.aging_minutes),
            device=route.device,
            pinned=route.pinned,
            due_at=due_at,
            expires_at=end,
            tries=order.retry_attempts,
            on_uncertain=order.on_uncertain or config.sending.on_uncertain,
            scheduled_at=order.scheduled_at,
            validity_minutes=order.validity_minutes,
            flash=order.flash,
            metadata=order.metadata,
            webhook_url=order.webhook_url,
        )
        number = messages.insert(db, self._box.ids, fresh, now)
        before = 0 if order.priority == pacing.URGENT else ahead
        estimate = round(
            max(due_at, now + before * route.pace_ms) + len(plan.parts) * route.pace_ms
        )
        return Accepted(
            message_id=ids.message_id(number),
            to=order.to,
            queued_at=now,
            estimated_delivery=estimate,
            scheduled_at=order.scheduled_at,
            priority=order.priority,
            device_id=f"device_{route.device}" if route.device else None,
            parts=len(plan.parts),
            encoding=plan.alphabet.value,
        )

    def _check_quota(
        self,
        db: Connection,
        recipient: str,
        parts: int,
        route: Route,
        ahead: int,
        now: int,
        until: int,
    ) -> None:
        """What cannot go within the queue's lifetime by the daily and monthly caps. QUOTA_EXCEEDED."""
        total = 0
        for a in route.candidates:
            limits = a.limits
            if not (limits.per_day or limits.per_month or limits.recipients_per_month):
                return
            used = queue.usage(db, a.iccid, limits, now, self._box.zone)
            if self._new_recipient_refused(db, a, recipient, used, now, until):
                continue
            room = pacing.room(limits, used, now, until, self._box.zone)
            if room is None:
                return
            total += room
        if route.candidates and ahead + parts > total:
            raise later("QUOTA_EXCEEDED", 3600)

    def _new_recipient_refused(
        self, db: Connection, a: Attached, recipient: str, used: pacing.Usage, now: int, until: int
    ) -> bool:
        cap = a.limits.recipients_per_month
        month = pacing.month_number(now, self._box.zone, a.limits.billing_day)
        if not cap or pacing.next_month(now, self._box.zone, a.limits.billing_day) <= until:
            return False
        known = db.execute(
            "SELECT 1 FROM sim_recipient WHERE sim = ? AND month = ? AND recipient = ?",
            (a.iccid, month, recipient),
        ).fetchone()
        if known:
            return False
        waiting: int = db.execute(
            "SELECT COUNT(DISTINCT recipient) FROM message WHERE status = 'queued' AND scope & 1 = 0 "
            "AND recipient NOT IN (SELECT recipient FROM sim_recipient WHERE sim = ? AND month = ?)",
            (a.iccid, month),
        ).fetchone()[0]
        return used.recipients + waiting >= cap

    # --- many ----------------------------------------------------------------------------------------

    async def send_bulk(
        self, caller: Caller, order: BulkOrder, idempotency: Idempotency | None
    ) -> BulkAccepted:
        """All that can go, in one transaction; if nothing can, the first entry's refusal."""
        self.check_storage()
        scheduled = any(
            e.scheduled_at is not None for e in order.entries if isinstance(e, SendOrder)
        )
        route = await self.route(caller, scheduled)
        accepted = await self._box.db.write(self._send_bulk, caller, order, idempotency, route)
        self._ring(0 if scheduled else None)
        return accepted

    def _send_bulk(
        self,
        db: Connection,
        caller: Caller,
        order: BulkOrder,
        idempotency: Idempotency | None,
        route: Route,
    ) -> BulkAccepted:
        now = self._box.clock.now()
        earlier = answers.again(db, caller.scope, idempotency, BulkAccepted)
        if earlier is not None:
            return earlier
        ahead = self.waiting(db, caller, 0)
        batch = self._box.ids.other(now)
        entries: list[BulkMessage] = []
        parts = 0
        first: Refusal | None = None
        for entry, same in zip(order.entries, order.same_as, strict=True):
            if same is not None:
                entries.append(entries[same])
                continue
            if isinstance(entry, Refused):
                first = first or Refusal(entry.reason.code, entry.reason.details)
                entries.append(BulkMessage(None, entry.to, entry.reason))
                continue
            try:
                self.check_permission(caller, entry)
                self.waiting(db, caller, 1)
                taken = self.take(db, caller, entry, route, now, ahead=ahead + parts, batch=batch)
            except Refusal as refusal:
                first = first or refusal
                entries.append(BulkMessage(None, entry.to, refusal.reason))
            else:
                parts += taken.parts
                entries.append(BulkMessage(taken.message_id, taken.to))
        if first is not None and not any(e.message_id for e in entries):
            raise first
        now_count, rest_from = self._window(db, route, caller, ahead, entries, parts, now)
        accepted = BulkAccepted(
            batch_id=ids.short_id("batch", batch),
            messages=tuple(entries),
            queued_at=now,
            sendable_now=now_count,
            rest_from=rest_from,
        )
        answers.keep(db, caller.scope, idempotency, accepted, now)
        return accepted

    def _window(
        self,
        db: Connection,
        route: Route,
        caller: Caller,
        ahead: int,
        entries: list[BulkMessage],
        parts: int,
        now: int,
    ) -> tuple[int | None, int | None]:
        """How many of a batch go in the windows that run now, and when the rest will."""
        going = len({e.message_id for e in entries if e.message_id})
        if caller.mode == "test" or not going:
            return None, None
        rooms: list[int] = []
        moments: list[int] = []
        for a in route.candidates:
            used = queue.usage(db, a.iccid, a.limits, now, self._box.zone)
            quiet_until = pacing.quiet(a.limits.quiet_hours, now, self._box.zone)
            room = 0 if quiet_until else pacing.room_today(a.limits, used)
            if room is None:
                return None, None
            rooms.append(room)
            per_day_full = a.limits.per_day and room >= a.limits.per_day - used.day
            moments.append(
                quiet_until
                or (
                    pacing.next_day(now, self._box.zone)
                    if per_day_full
                    else pacing.next_month(now, self._box.zone, a.limits.billing_day)
                )
            )
        room = sum(rooms)
        if not rooms or ahead + parts <= room:
            return None, None
        share = max(0, room - ahead) * going // max(parts, 1)
        return min(going, share), min(moments)

"""Admission: which modem, what is ahead, when a message will be sent, and whether the caps allow it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from sqlite3 import Connection
from zoneinfo import ZoneInfo

import msgspec

from appliance.core.config import Limits
from appliance.devices.attached import Attached
from appliance.domain import limits as limit_rules
from appliance.domain.errors import ApiError, later
from appliance.domain.validation import priority
from appliance.domain.views import AcceptedAnswer
from appliance.store import backlog, queue
from appliance.store.backlog import Recipients


class Route(msgspec.Struct, frozen=True):
    """The modem for a message: the named one, or one that the box picks."""

    device: int  # 0: not known yet
    bound: bool  # only this device may send it
    candidates: tuple[Attached, ...]

    @property
    def capped(self) -> bool:
        """Whether every modem has a cap that may refuse a message."""
        return bool(self.candidates) and all(_capped(a.limits) for a in self.candidates)

    @property
    def pace_ms(self) -> float:
        """Milliseconds per part with all modems sending."""
        return (
            1000 / sum((1 / a.pace_seconds for a in self.candidates), 0.0)
            if self.candidates
            else 4000.0
        )


class QueueSnapshot(msgspec.Struct, frozen=True):
    """What a message that is due `at` a moment finds: parts due by then, parts that share its caps, of
    these the ones that are due before the day of its moment (if that is not today), what each SIM has sent."""

    at: int
    parts: int
    rivals: int
    earlier: int
    used: tuple[limit_rules.Usage, ...]
    recipients: tuple[Recipients | None, ...]

    def behind(self, parts: int) -> QueueSnapshot:
        """Return the same for a message after this many more parts."""
        return msgspec.structs.replace(self, parts=self.parts + parts, rivals=self.rivals + parts)


def _capped(limits: Limits) -> bool:
    """Return the limits without those that only delay: minutes, hours and quiet hours."""
    return bool(limits.per_day or limits.per_month or limits.recipients_per_month)


def ahead(
    db: Connection, test: bool, route: Route, due_at: int, end: int, now: int, zone: ZoneInfo
) -> QueueSnapshot:
    """Return what is ahead of a message that is due at `due_at` and may be sent until `end`."""
    capped = route.capped and not test
    day = limit_rules.day_start(due_at, zone)
    return QueueSnapshot(
        at=due_at,
        parts=backlog.parts(db, test, due_at, exact=False),
        rivals=backlog.parts(db, test, end) if capped else 0,
        earlier=backlog.parts(db, test, day - 1) if capped and day > now else 0,
        used=tuple(
            limit_rules.Usage()
            if test or queue.unlimited(a.limits)
            else queue.usage(db, a.iccid, a.limits, now, zone)
            for a in route.candidates
        ),
        recipients=tuple(
            None if test or not a.limits.recipients_per_month else _recipients(db, a, now, zone)
            for a in route.candidates
        ),
    )


def _recipients(db: Connection, a: Attached, now: int, zone: ZoneInfo) -> Recipients:
    month = limit_rules.month_number(now, zone, a.limits.billing_day)
    return backlog.recipients(db, a.iccid, month)


def estimate(
    route: Route,
    ahead: QueueSnapshot,
    priority: int,
    parts: int,
    due_at: int,
    now: int,
    zone: ZoneInfo,
) -> int:
    """Return when the message will have been sent, after what is ahead of it (ms)."""
    urgent = priority == limit_rules.URGENT
    before = 0 if urgent else ahead.parts
    # What is ahead is sent from now on, and part of it is gone when this one is due.
    gone = (due_at - now) / route.pace_ms
    total = max(0, round(before - gone)) + parts
    moments = [
        limit_rules.expected(
            Limits() if a.test else a.limits,
            used,
            a.pace_seconds * 1000,
            max(1, round(total * route.pace_ms / (a.pace_seconds * 1000))),
            due_at,
            now,
            zone,
            urgent=urgent,
        )
        for a, used in zip(route.candidates, ahead.used, strict=True)
    ]
    return min(moments, default=round(due_at + total * route.pace_ms))


def check_quota(
    route: Route,
    ahead: QueueSnapshot,
    recipient: str,
    parts: int,
    now: int,
    until: int,
    zone: ZoneInfo,
) -> None:
    """What cannot go within the queue's lifetime by the daily and monthly caps. QUOTA_EXCEEDED.

    All that waits until then has the time from now on; what is for a later day has only that from there.
    """
    if not route.capped:
        return

    def fits(start: int, rivals: int, end: int) -> bool:
        room = _room(route, ahead, recipient, start, now, end, zone)
        return room is None or rivals + parts <= room

    if not fits(now, ahead.rivals, until):
        if ahead.at > now:
            raise ApiError(
                "QUOTA_EXCEEDED"
            )  # its scheduled time is fixed, so waiting makes no room
        # There is more room once a later lifetime reaches the next day or billing month.
        ends = {limit_rules.next_day(until, zone)}
        ends |= {
            limit_rules.next_month(until, zone, a.limits.billing_day) for a in route.candidates
        }
        enough = (end for end in sorted(ends) if fits(now, ahead.rivals, end))
        raise later("QUOTA_EXCEEDED", math.ceil((next(enough, max(ends)) - until) / 1000))
    if not fits(ahead.at, ahead.rivals - ahead.earlier, until):
        raise ApiError("QUOTA_EXCEEDED")


def _room(
    route: Route,
    ahead: QueueSnapshot,
    recipient: str,
    start: int,
    now: int,
    until: int,
    zone: ZoneInfo,
) -> int | None:
    """Return how many parts may be sent to a number between two times; None without caps."""
    total = 0
    for a, used, numbers in zip(route.candidates, ahead.used, ahead.recipients, strict=True):
        limits = a.limits
        month_ends = limit_rules.next_month(now, zone, limits.billing_day)
        if (
            numbers is not None
            and month_ends > until
            and numbers.leave_no_room(recipient, limits.recipients_per_month)
        ):
            continue
        left = limit_rules.still_counts(limits, used, now, start, zone)
        room = limit_rules.room(limits, left, start, until, zone)
        if room is None:
            return None
        total += room
    return total


def window(
    route: Route,
    ahead: QueueSnapshot,
    taken: Sequence[AcceptedAnswer],
    over: bool,
    now: int,
    zone: ZoneInfo,
) -> tuple[int | None, int | None]:
    """How many of a batch go in the windows that run at its moment, and when the rest will.

    `over`: some were refused because no window has room for them in time.
    """
    windows = [
        limit_rules.window(
            a.limits, limit_rules.still_counts(a.limits, used, now, ahead.at, zone), ahead.at, zone
        )
        for a, used in zip(route.candidates, ahead.used, strict=True)
    ]
    fresh = {
        t.to
        for t in taken
        if all(numbers is None or numbers.is_new(t.to) for numbers in ahead.recipients)
    }
    going = limit_rules.going(
        windows,
        ahead.parts - ahead.earlier,
        [(priority(t.priority), t.parts, t.to in fresh) for t in taken],
    )
    if not windows or (going == len(taken) and not over):
        return None, None
    return going, min(w.ends_at for w in windows)

"""Order in the queue, limits of a SIM, and back-off. Pure: the time is passed in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from appliance.core.config import Limits

MINUTE_MS = 60_000
URGENT = 1
# Priority 1 ranks before everything else, in its own order of due time.
URGENT_LEAD_MS = 1 << 52


def rank(priority: int, due_at: int, aging_minutes: float) -> int:
    """Return the rank of a message in the queue; the smallest is sent first."""
    if priority == URGENT:
        return due_at - URGENT_LEAD_MS
    return due_at + round((priority - 2) * aging_minutes * MINUTE_MS)


def backoff_ms(attempts: int, first_seconds: float, longest_seconds: float) -> int:
    """Return the wait after the n-th refusal (ms): doubled each time, with jitter against synchronised retries."""
    seconds: float = min(first_seconds * 2.0 ** (attempts - 1), longest_seconds)
    return round(seconds * 1000 * random.uniform(0.8, 1.2))


class Usage(msgspec.Struct, frozen=True):
    """What a SIM has sent in the current windows, in parts, and its recipients of the billing month."""

    minute: int = 0
    hour: int = 0
    day: int = 0
    month: int = 0
    recipients: int = 0


def still_counts(limits: Limits, used: Usage, now: int, then: int, zone: ZoneInfo) -> Usage:
    """Return what still counts at a later time: each window starts from zero."""
    billing = limits.billing_day
    month = month_number(then, zone, billing) == month_number(now, zone, billing)
    return Usage(
        minute=used.minute * (then // MINUTE_MS == now // MINUTE_MS),
        hour=used.hour * (then // (60 * MINUTE_MS) == now // (60 * MINUTE_MS)),
        day=used.day * (day_number(then, zone) == day_number(now, zone)),
        month=used.month * month,
        recipients=used.recipients * month,
    )


class Allowance(msgspec.Struct, frozen=True):
    """What may be sent now. `again_at` (ms) is when more may be sent; None without a restriction."""

    ordinary: bool
    urgent: bool
    new_recipients: bool = True
    again_at: int | None = None
    reason: str = ""


def allowance(limits: Limits, usage: Usage, now: int, zone: ZoneInfo) -> Allowance:
    """Return what a SIM may send now under its limits and quiet hours."""
    for count, most, again_at, reason in (
        (usage.minute, limits.per_minute, (now // MINUTE_MS + 1) * MINUTE_MS, "per_minute"),
        (usage.hour, limits.per_hour, (now // (60 * MINUTE_MS) + 1) * 60 * MINUTE_MS, "per_hour"),
        (usage.day, limits.per_day, next_day(now, zone), "per_day"),
        (usage.month, limits.per_month, next_month(now, zone, limits.billing_day), "per_month"),
    ):
        if most and count >= most:
            return Allowance(False, False, True, again_at, reason)
    full = bool(limits.recipients_per_month) and usage.recipients >= limits.recipients_per_month
    quiet_until = quiet(limits.quiet_hours, now, zone)
    if quiet_until is not None:
        return Allowance(False, limits.urgent_passes, not full, quiet_until, "quiet_hours")
    more_at = next_month(now, zone, limits.billing_day) if full else None
    return Allowance(True, True, not full, more_at, "recipients_per_month" if full else "")


def local(now: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(now / 1000, zone)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def day_number(now: int, zone: ZoneInfo) -> int:
    """Return the local day as its proleptic ordinal."""
    return local(now, zone).date().toordinal()


def day_start(now: int, zone: ZoneInfo) -> int:
    return _ms(datetime.combine(local(now, zone).date(), time(), zone))


def next_day(now: int, zone: ZoneInfo) -> int:
    tomorrow = local(now, zone).date() + timedelta(days=1)
    return _ms(datetime.combine(tomorrow, time(), zone))


def month_number(now: int, zone: ZoneInfo, billing_day: int) -> int:
    """Return the billing month as year * 12 + month (from 0) of its first day."""
    today = local(now, zone)
    months = today.year * 12 + today.month - 1
    return months if today.day >= billing_day else months - 1


def month_start(month: int, billing_day: int, zone: ZoneInfo) -> datetime:
    return datetime(month // 12, month % 12 + 1, billing_day, tzinfo=zone)


def next_month(now: int, zone: ZoneInfo, billing_day: int) -> int:
    return _ms(month_start(month_number(now, zone, billing_day) + 1, billing_day, zone))


def quiet(spans: Sequence[str], now: int, zone: ZoneInfo) -> int | None:
    """Return when the current quiet hours end (ms), None outside of them. Spans are "21:30-07:00"."""
    here = local(now, zone)
    ends: list[int] = []
    for span in spans:
        start, end = (time.fromisoformat(moment.strip()) for moment in span.split("-"))
        for day in (here.date() - timedelta(days=1), here.date()):
            begins = datetime.combine(day, start, zone)
            finishes = datetime.combine(day + timedelta(days=int(end <= start)), end, zone)
            # In UTC, which repeats no hour; in a repeated local hour they end the second time.
            end_ms = max(_ms(finishes), _ms(finishes.replace(fold=1)))
            if _ms(begins) <= now < end_ms:
                ends.append(end_ms)
    return max(ends, default=None)


def room(limits: Limits, used: Usage, now: int, until: int, zone: ZoneInfo) -> int | None:
    """Return how many parts the daily and monthly caps allow until a time; None without caps."""
    rooms: list[int] = []
    if limits.per_day:
        days = day_number(until, zone) - day_number(now, zone)
        rooms.append(max(0, limits.per_day - used.day) + limits.per_day * days)
    if limits.per_month:
        months = month_number(until, zone, limits.billing_day) - month_number(
            now, zone, limits.billing_day
        )
        rooms.append(max(0, limits.per_month - used.month) + limits.per_month * months)
    return min(rooms, default=None)


def room_today(limits: Limits, used: Usage) -> int | None:
    """Return how many parts the caps still allow in the current day and month; None without caps."""
    rooms = [
        max(0, most - count)
        for most, count in ((limits.per_day, used.day), (limits.per_month, used.month))
        if most
    ]
    return min(rooms, default=None)


def expected(
    limits: Limits,
    used: Usage,
    pace_ms: float,
    parts: int,
    start: int,
    now: int,
    zone: ZoneInfo,
    *,
    urgent: bool = False,
) -> int:
    """Return when a SIM that starts at `start` has sent this many parts, by its pace and limits (ms)."""
    done = start + parts * pace_ms
    for most, count, span in (
        (limits.per_minute, used.minute, MINUTE_MS),
        (limits.per_hour, used.hour, 60 * MINUTE_MS),
    ):
        first = start // span
        begins, left = _spread(parts, most, count if first == now // span else 0)
        if begins:
            done = max(done, (first + begins) * span + left * pace_ms)
    if limits.per_day:
        same = day_number(start, zone) == day_number(now, zone)
        days, left = _spread(parts, limits.per_day, used.day if same else 0)
        if days:
            done = max(done, _days_on(start, days, zone) + left * pace_ms)
    if limits.per_month:
        month = month_number(start, zone, limits.billing_day)
        same = month == month_number(now, zone, limits.billing_day)
        months, left = _spread(parts, limits.per_month, used.month if same else 0)
        if months:
            begin = month_start(month + months, limits.billing_day, zone)
            done = max(done, _ms(begin) + left * pace_ms)
    if not limits.quiet_hours:
        return round(done)
    quiet_until = quiet(limits.quiet_hours, round(done), zone)
    if quiet_until is not None and not (urgent and limits.urgent_passes):
        done = max(done, quiet_until + pace_ms)
    return round(done)


def _spread(parts: int, most: int, count: int) -> tuple[int, int]:
    """Return how many further windows of `most` parts are needed, and the parts in the last one."""
    over = parts - max(0, most - count)
    if not most or over <= 0:
        return 0, 0
    windows = -(-over // most)
    return windows, over - (windows - 1) * most


def _days_on(start: int, days: int, zone: ZoneInfo) -> int:
    """Return the start of a later local day (ms)."""
    day = local(start, zone).date() + timedelta(days=days)
    return _ms(datetime.combine(day, time(), zone))


class Window(msgspec.Struct, frozen=True):
    """What a SIM may still send in the current day, month and hours, and when the next ones begin."""

    ordinary: bool
    urgent: bool
    room: int | None  # parts; None: any number
    fresh: int | None  # recipients that are new in this billing month; None: any number
    ends_at: int


def window(limits: Limits, used: Usage, now: int, zone: ZoneInfo) -> Window:
    """Return the current windows of a SIM."""
    quiet_until = quiet(limits.quiet_hours, now, zone)
    room = room_today(limits, used)
    most = limits.recipients_per_month
    if quiet_until is not None:
        ends_at = quiet_until
    elif limits.per_day and room == max(0, limits.per_day - used.day):
        ends_at = next_day(now, zone)
    else:
        ends_at = next_month(now, zone, limits.billing_day)
    return Window(
        ordinary=quiet_until is None,
        urgent=quiet_until is None or limits.urgent_passes,
        room=room,
        fresh=max(0, most - used.recipients) if most else None,
        ends_at=ends_at,
    )


def going(windows: Sequence[Window], ahead: int, batch: Sequence[tuple[int, int, bool]]) -> int:
    """Return how many entries of a batch can be sent now, after `ahead` parts.

    An entry is (priority, parts, whether its recipient is new).
    """
    ordinary = _together([w.room for w in windows if w.ordinary])
    urgent = _together([w.room for w in windows if w.urgent])
    fresh = _together([w.fresh for w in windows])
    ordinary -= ahead
    count = 0
    for priority, parts, new in sorted(batch, key=lambda entry: entry[0]):
        left = urgent if priority == URGENT else ordinary
        if parts > left or (new and fresh < 1):
            continue
        ordinary, urgent, fresh = ordinary - parts, urgent - parts, fresh - new
        count += 1
    return count


def _together(rooms: Sequence[int | None]) -> float:
    """Return the sum of several windows; infinite if one of them is unlimited."""
    return sum((float("inf") if room is None else room for room in rooms), 0.0)

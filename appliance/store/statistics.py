"""Read the figures of a period from the kept daily and hourly counters."""

from __future__ import annotations

from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any

from appliance.domain.requests import HistoryFilter, MessageStatus, StatsFilter
from appliance.domain.views import Day, Stats
from appliance.store.counters import DAY_MS
from appliance.store.history import count_by_status, device_condition, kept_from

DAYS_LISTED = 366
FIGURES: tuple[MessageStatus, ...] = ("queued", "sent", "delivered", "failed")


def stats(db: Connection, tenant: int, wanted: StatsFilter) -> Stats:
    """Return the figures of a period by UTC days of `created_at`, by current status.

    Whole days come from daily counters, parts of a day from hours and rows. Beyond the retention a part becomes
    the whole day (and `start` and `end` show it).
    """
    device, arguments = device_condition(wanted.device_id)
    arguments |= {"tenant": tenant}
    start, end = _rounded(db, arguments, wanted.start, wanted.end)
    first, last = start // DAY_MS, (max(end, start + 1) - 1) // DAY_MS
    days: dict[int, list[int]] = {}
    for row in db.execute(
        "SELECT day, SUM(queued), SUM(sent), SUM(delivered), SUM(failed) FROM day_count "
        f"WHERE tenant = :tenant{device} AND day BETWEEN :first AND :last GROUP BY day",
        arguments | {"first": first, "last": last},
    ):
        days[row[0]] = list(row[1:])
    for day in {first, last}:
        begins, ends = max(start, day * DAY_MS), min(end, (day + 1) * DAY_MS)
        if ends - begins < DAY_MS:
            days[day] = _part_of_day(db, tenant, wanted.device_id, begins, ends)
    totals = [sum(figures[i] for figures in days.values()) for i in range(4)]
    from_day = max(first, last - DAYS_LISTED + 1)
    return Stats(
        start=start,
        end=end,
        total_sent=sum(totals[1:]),
        delivered=totals[2],
        failed=totals[3],
        pending=totals[0],
        by_day=tuple(_day(d, days.get(d, [0, 0, 0, 0])) for d in range(from_day, last + 1)),
        truncated=from_day > first,
    )


def _day(day: int, figures: list[int]) -> Day:
    date = datetime.fromtimestamp(day * DAY_MS // 1000, UTC).date().isoformat()
    return Day(date=date, sent=sum(figures[1:]), delivered=figures[2], failed=figures[3])


def _rounded(db: Connection, arguments: dict[str, Any], start: int, end: int) -> tuple[int, int]:
    """Return the period, widened to whole days at an edge where messages were removed."""
    oldest = kept_from(db)
    if start < oldest:
        start = start // DAY_MS * DAY_MS
        if end // DAY_MS * DAY_MS < oldest:
            end = -(-end // DAY_MS) * DAY_MS
    return start, end


def _part_of_day(
    db: Connection, tenant: int, device_id: str | None, start: int, end: int
) -> list[int]:
    """Return the figures of less than a day: hours by counters, the two edges by rows."""
    wanted = HistoryFilter(device_id=device_id)
    counted = count_by_status(db, tenant, wanted, start, end)
    return [counted[status] for status in FIGURES]

"""Read messages: one by its id, a page of the history, a search, an export."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from operator import itemgetter
from sqlite3 import Connection
from typing import Any, Literal

import msgspec

from appliance.domain import ids
from appliance.domain.message import Status
from appliance.domain.requests import HistoryFilter, Period
from appliance.domain.views import Failure, HistoryPage, MessageView
from appliance.store.counters import DAY_MS, HOUR_MS
from appliance.store.failure_causes import stored_cause
from appliance.store.rows import TrackedRow, columns, every, first

COUNT_MOST = 10_000  # docs/api-contract.md, "Tracking": counting may stop here
SKIP_FROM = 500  # a page this deep is found by hourly counters instead of stepping over rows
EDGE_ROWS = 500  # rows of an hour counted before trying the other side
EVER = 1 << 40  # hours: later than any clock, and its milliseconds fit SQLite's integers
# Up to this many messages are searched directly: the text index is of all clients, and the time to skip
# what others wrote would reveal it (docs/adr/0006-substring-search.md).
LOOKED_THROUGH = 500

COLUMNS = columns(TrackedRow)


def view(row: TrackedRow) -> MessageView:
    """Return a row of either table as a client sees it."""
    return MessageView(
        message_id=ids.message_id(row.id),
        status=row.status,
        to=row.recipient,
        message=row.body,
        priority=row.priority,
        created_at=row.created_at,
        queued_at=row.queued_at,
        scheduled_at=row.scheduled_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        failed_at=row.failed_at,
        cancelled_at=row.cancelled_at,
        metadata=row.metadata,
        uncertain=bool(row.uncertain),
        cancellable=row.status == "queued" and not (row.ever_submitted or row.attempts),
        device_id=f"device_{row.device}" if row.device else None,
        parts=row.parts,
        attempts=row.attempts,
        error=failure(row.error_code, row.error_detail),
        batch_id=ids.short_id("batch", row.batch) if row.batch else None,
    )


def failure(code: Any, detail: str | None) -> Failure | None:
    """Return the error of a failed message."""
    if code is None:
        return None
    cause = stored_cause(detail)
    return Failure(code, cause.text, cause.source, cause.number)


_ONE = " UNION ALL ".join(
    f"SELECT {COLUMNS} FROM {table} WHERE id = ?1 AND tenant = ?2"
    for table in ("message", "history")
)


def one(db: Connection, tenant: int, number: int) -> TrackedRow | None:
    """Return a message's row from either table; None if there is none in this tenant."""
    return first(TrackedRow, db.execute(_ONE, (number, tenant)))


class _Where(msgspec.Struct, frozen=True):
    """Return a condition for both tables."""

    text: str
    arguments: dict[str, Any]


def _where(tenant: int, wanted: HistoryFilter) -> _Where:
    clauses: list[str] = ["tenant = :tenant"]
    arguments: dict[str, Any] = {"tenant": tenant}
    if wanted.status is not None:
        clauses.append("status = :status")
        arguments["status"] = wanted.status
    if wanted.period.start is not None:
        clauses.append("created_at >= :start")
        arguments["start"] = wanted.period.start
    if wanted.period.end is not None:
        clauses.append("created_at < :end")
        arguments["end"] = wanted.period.end
    if wanted.device_id is not None:
        clauses.append("device = :device")
        arguments["device"] = ids.parse_decimal("device", wanted.device_id) or -1
    return _Where(" AND ".join(clauses), arguments)


def _both(hot: str, cold: str, status: str | None) -> str:
    """Return a query over both tables; for the queue one branch per status, each in index order."""
    branches = [hot] if status else [f"{hot} AND status = '{one}'" for one in Status]
    return (
        "".join(f"SELECT {COLUMNS} FROM message WHERE {branch} UNION ALL " for branch in branches)
        + f"SELECT {COLUMNS} FROM history WHERE {cold}"
    )


def page(db: Connection, tenant: int, wanted: HistoryFilter) -> HistoryPage:
    """Return a page of the history, newest first, with the total."""
    offset = (wanted.page - 1) * wanted.limit
    if wanted.search is not None or wanted.to is not None:
        return _sought(db, tenant, wanted, offset)
    where = _where(tenant, wanted)
    total = count_rows(db, tenant, wanted)
    rows: list[TrackedRow] = []
    if offset < total:
        end = wanted.period.end
        if offset >= SKIP_FROM:
            end, offset = _skip(db, tenant, wanted, offset)
        arguments = where.arguments | {"limit": wanted.limit, "offset": offset}
        text = where.text
        if end != wanted.period.end:
            arguments["end"] = end
            text += "" if wanted.period.end is not None else " AND created_at < :end"
        found = db.execute(
            f"{_both(text, text, wanted.status)} ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset",
            arguments,
        )
        rows = every(TrackedRow, found)
    return HistoryPage(tuple(view(r) for r in rows), total)


def _sum_of(status: str | None) -> str:
    return status or "queued + sent + delivered + failed + cancelled"


def device_condition(device_id: str | None) -> tuple[str, dict[str, int]]:
    if device_id is None:
        return "", {}
    return " AND device = :device", {"device": ids.parse_decimal("device", device_id) or -1}


def _rows_between(
    db: Connection, tenant: int, wanted: HistoryFilter, start: int, end: int, most: int = -1
) -> int:
    """Count rows, at most `most` per table; for less than an hour."""
    if start >= end:
        return 0
    narrowed = msgspec.structs.replace(wanted, period=Period(start, end))
    where = _where(tenant, narrowed)
    every = ", ".join(f"'{status}'" for status in Status)
    hot = where.text + ("" if wanted.status else f" AND status IN ({every})")
    n: int = db.execute(
        f"SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM message WHERE {hot} LIMIT :most)) "
        f"+ (SELECT COUNT(*) FROM (SELECT 1 FROM history WHERE {where.text} LIMIT :most))",
        where.arguments | {"most": most},
    ).fetchone()[0]
    return n


def _before_in_hour(db: Connection, tenant: int, wanted: HistoryFilter, moment: int) -> int:
    """Count the messages of an hour that are older than a time, from the side with fewer rows.

    Usually the time is now, and nothing is newer, however much was queued within the hour.
    """
    hour = moment // HOUR_MS
    begins, ends = hour * HOUR_MS, (hour + 1) * HOUR_MS
    if moment == begins:
        return 0
    newer = _rows_between(db, tenant, wanted, moment, ends, EDGE_ROWS)
    if newer < EDGE_ROWS:
        return _hours(db, tenant, wanted, hour, hour + 1) - newer
    return _rows_between(db, tenant, wanted, begins, moment)


def _hours(db: Connection, tenant: int, wanted: HistoryFilter, first: int, last: int) -> int:
    """Count the messages of whole hours, `last` excluded, by the counters of days, and of hours at the edges."""
    device, arguments = device_condition(wanted.device_id)
    days = _whole_days(db, first, last)
    until, since = (days.start * 24, days.stop * 24) if days else (last, last)
    n: int = db.execute(
        f"SELECT {_sum('hour', wanted.status, device, 'first', 'until')} + "
        f"{_sum('day', wanted.status, device, 'day_first', 'day_last')} + "
        f"{_sum('hour', wanted.status, device, 'since', 'last')}",
        arguments
        | {"tenant": tenant, "first": first, "until": until, "since": since, "last": last}
        | {"day_first": days.start, "day_last": days.stop},
    ).fetchone()[0]
    return n


def _sum(
    unit: Literal["hour", "day"], status: str | None, device: str, first: str, last: str
) -> str:
    """Return the subquery for a sum of counters."""
    return (
        f"(SELECT COALESCE(SUM({_sum_of(status)}), 0) FROM {unit}_count WHERE tenant = :tenant{device} "
        f"AND {unit} >= :{first} AND {unit} < :{last})"
    )


def _whole_days(db: Connection, first: int, last: int) -> range:
    """Return the days within hours (`last` excluded) whose counters are the sums of those of their hours.

    Part of a day may be removed by the retention, so its counter is too high.
    """
    if last - first < 24:
        return range(0)
    return range(max(-(-first // 24), kept_from(db) // DAY_MS + 1), last // 24)


def count_rows(db: Connection, tenant: int, wanted: HistoryFilter) -> int:
    """Return the exact total: whole hours by counters, the two edges by rows."""
    start, end = wanted.period.start, wanted.period.end
    if start is not None and end is not None and start >= end:
        return 0
    first = start // HOUR_MS if start is not None else -EVER
    last = end // HOUR_MS if end is not None else EVER
    n = _hours(db, tenant, wanted, first, last)
    if end is not None:
        n += _before_in_hour(db, tenant, wanted, end)
    if start is not None:
        n -= _before_in_hour(db, tenant, wanted, start)
    return n


def count_by_status(
    db: Connection, tenant: int, wanted: HistoryFilter, start: int, end: int
) -> Counter[str]:
    """Return the exact totals of less than a day by status: whole hours by counters, the two edges by rows."""
    if start >= end:
        return Counter()
    found = _hours_by_status(db, tenant, wanted, start // HOUR_MS, end // HOUR_MS)
    found.update(_before_by_status(db, tenant, wanted, end))
    found.subtract(_before_by_status(db, tenant, wanted, start))
    return found


def _before_by_status(
    db: Connection, tenant: int, wanted: HistoryFilter, moment: int
) -> Counter[str]:
    """Count the messages of an hour that are older than a time, as `_before_in_hour` does."""
    hour = moment // HOUR_MS
    begins, ends = hour * HOUR_MS, (hour + 1) * HOUR_MS
    if moment == begins:
        return Counter()
    newer = _rows_by_status(db, tenant, wanted, moment, ends, EDGE_ROWS)
    if newer.total() >= EDGE_ROWS:
        return _rows_by_status(db, tenant, wanted, begins, moment)
    found = _hours_by_status(db, tenant, wanted, hour, hour + 1)
    found.subtract(newer)
    return found


def _hours_by_status(
    db: Connection, tenant: int, wanted: HistoryFilter, first: int, last: int
) -> Counter[str]:
    device, arguments = device_condition(wanted.device_id)
    sums = ", ".join(f"COALESCE(SUM({status}), 0)" for status in Status)
    row = db.execute(
        f"SELECT {sums} FROM hour_count WHERE tenant = :tenant{device} AND hour >= :first AND hour < :last",
        arguments | {"tenant": tenant, "first": first, "last": last},
    ).fetchone()
    return Counter(dict(zip(Status, row, strict=True)))


def _rows_by_status(
    db: Connection, tenant: int, wanted: HistoryFilter, start: int, end: int, most: int = -1
) -> Counter[str]:
    """Count rows by status, at most `most` per table; for less than an hour."""
    where = _where(tenant, msgspec.structs.replace(wanted, period=Period(start, end)))
    # Status by status, because an index then has all that is asked for, in order.
    counts = ", ".join(
        " + ".join(
            f"(SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE {where.text} AND status = '{status}' LIMIT :most))"
            for table in ("message", "history")
        )
        for status in Status
    )
    row = db.execute(f"SELECT {counts}", where.arguments | {"most": most}).fetchone()
    return Counter(dict(zip(Status, row, strict=True)))


def _skip(
    db: Connection, tenant: int, wanted: HistoryFilter, offset: int
) -> tuple[int | None, int]:
    """Skip whole days and hours by counters; return an earlier end and the remaining offset."""
    end = wanted.period.end
    if end is not None:
        edge = _before_in_hour(db, tenant, wanted, end)
        if offset < edge:
            return end, offset
        offset -= edge
    last = end // HOUR_MS if end is not None else EVER
    # The hours of the day that `end` cuts, then whole days, then the hours of the day it stops in.
    # Part of a day may be removed by the retention, so its counter is too high: use hours there.
    hour, offset, found = _walk(db, tenant, wanted, "hour", (last // 24 * 24, last), offset)
    if not found:
        whole = (kept_from(db) // DAY_MS + 1, last // 24)
        day, offset, _ = _walk(db, tenant, wanted, "day", whole, offset)
        hour, offset, _ = _walk(db, tenant, wanted, "hour", (-EVER, day * 24), offset)
    return hour * HOUR_MS, offset


def _walk(
    db: Connection,
    tenant: int,
    wanted: HistoryFilter,
    unit: Literal["hour", "day"],
    span: tuple[int, int],
    offset: int,
) -> tuple[int, int, bool]:
    """Skip back from the end of `span` over whole hours or days.

    Return where it stopped (exclusive), the remaining offset, and whether that is within the last one.
    """
    device, arguments = device_condition(wanted.device_id)
    arguments |= {"tenant": tenant, "first": span[0], "last": span[1]}
    # Both in order, so that neither is read further than the page.
    totals, changes = (
        db.execute(
            f"SELECT {unit}, SUM({_sum_of(wanted.status)}) FROM {unit}_{table} WHERE tenant = :tenant{device} "
            f"AND {unit} >= :first AND {unit} < :last GROUP BY {unit} ORDER BY {unit} DESC",
            arguments,
        )
        for table in ("total", "change")
    )
    both = heapq.merge(totals, changes, key=itemgetter(0), reverse=True)
    stopped = span[1]
    for number, figures in itertools.groupby(both, itemgetter(0)):
        n = sum(figure for _, figure in figures)
        if offset < n:
            return number + 1, offset, True
        offset -= n
        stopped = number
    return stopped, offset, False


def kept_from(db: Connection) -> int:
    """Return the time before which messages were removed, and only their figures are left."""
    row = db.execute("SELECT value FROM meta WHERE key = 'kept_from'").fetchone()
    return int(row[0]) if row else 0


def phrase(folded: str) -> str:
    """Return a text as one phrase of the FTS5 query language."""
    return '"' + folded.replace('"', '""') + '"'


def _sought(db: Connection, tenant: int, wanted: HistoryFilter, offset: int) -> HistoryPage:
    """Return a page of a search or of a number: the index for the history, a scan of the queue."""
    where = _where(tenant, wanted)
    arguments = dict(where.arguments)
    hot = cold = where.text
    order = "created_at DESC, id DESC"
    if wanted.to is not None:
        arguments["to"] = wanted.to
        hot += " AND recipient = :to"
        cold += (
            " AND id IN (SELECT id FROM history_recipient WHERE tenant = :tenant AND recipient = :to"
            + (" AND created_at >= :start" if wanted.period.start is not None else "")
            + (" AND created_at < :end" if wanted.period.end is not None else "")
            + ")"
        )
    if wanted.search is not None:
        arguments["search"] = wanted.search
        hot += " AND instr(fold(body), :search)"
        indexable = len(wanted.search) >= 3 and wanted.to is None
        if indexable and _among(db, tenant, wanted) > LOOKED_THROUGH:
            arguments["phrase"] = phrase(wanted.search)
            return _searched(db, wanted, hot, cold, arguments, offset)
        cold += " AND instr(fold(body), :search)"
    total = _bounded(
        db,
        f"SELECT 1 FROM message WHERE {hot} UNION ALL SELECT 1 FROM history WHERE {cold}",
        arguments,
    )
    rows = db.execute(
        f"{_both(hot, cold, wanted.status)} ORDER BY {order} LIMIT :limit OFFSET :offset",
        arguments | {"limit": wanted.limit, "offset": offset},
    )
    return _bounded_page(every(TrackedRow, rows), total)


def _among(db: Connection, tenant: int, wanted: HistoryFilter) -> int:
    """Return how many messages a search without the text index would read."""
    return count_rows(db, tenant, msgspec.structs.replace(wanted, device_id=None))


def _searched(
    db: Connection,
    wanted: HistoryFilter,
    hot: str,
    cold: str,
    arguments: dict[str, Any],
    offset: int,
) -> HistoryPage:
    """Search the text index, which returns ids newest first and can stop early."""
    indexed = (
        "FROM history_text t CROSS JOIN history h ON h.id = t.rowid "
        f"WHERE t.folded MATCH :phrase AND {cold}"
    )
    total = _bounded(
        db, f"SELECT 1 FROM message WHERE {hot} UNION ALL SELECT 1 {indexed}", arguments
    )
    most = {"most": offset + wanted.limit}
    recent = db.execute(
        f"SELECT {COLUMNS} FROM message WHERE {hot} ORDER BY id DESC LIMIT :most",
        arguments | most,
    )
    finished = db.execute(
        f"SELECT {columns(TrackedRow, 'h')} {indexed} ORDER BY t.rowid DESC LIMIT :most",
        arguments | most,
    )
    # Row by row, so that a deep page of a common word is not held in memory.
    both = (map(TrackedRow._make, recent), map(TrackedRow._make, finished))
    rows = heapq.merge(*both, key=_newest, reverse=True)
    page = list(itertools.islice(rows, offset, offset + wanted.limit))
    return _bounded_page(sorted(page, key=_newest, reverse=True), total)


def _newest(row: TrackedRow) -> tuple[int, int]:
    return row.created_at, row.id


def _bounded(db: Connection, rows: str, arguments: dict[str, Any]) -> int:
    n: int = db.execute(
        f"SELECT COUNT(*) FROM ({rows} LIMIT {COUNT_MOST + 1})", arguments
    ).fetchone()[0]
    return n


def _bounded_page(rows: list[TrackedRow], total: int) -> HistoryPage:
    exact = total <= COUNT_MOST
    return HistoryPage(tuple(view(r) for r in rows), min(total, COUNT_MOST), exact)


def after(
    db: Connection, tenant: int, wanted: HistoryFilter, before: tuple[int, int] | None, most: int
) -> tuple[list[TrackedRow], tuple[int, int] | None]:
    """Return the next `most` rows older than `before` (created_at, id), for an export."""
    where = _where(tenant, wanted)
    arguments = where.arguments | {"most": most}
    text = where.text
    if before is not None:
        text += " AND (created_at, id) < (:created, :id)"
        arguments |= {"created": before[0], "id": before[1]}
    if wanted.to is not None:
        text += " AND recipient = :to"
        arguments["to"] = wanted.to
    if wanted.search is not None:
        text += " AND instr(fold(body), :search)"
        arguments["search"] = wanted.search
    found = db.execute(
        f"{_both(text, text, wanted.status)} ORDER BY created_at DESC, id DESC LIMIT :most",
        arguments,
    )
    rows = every(TrackedRow, found)
    return rows, _newest(rows[-1]) if len(rows) == most else None

"""Move finished messages to the history and remove old ones, in batches so small that no request waits for them."""

from __future__ import annotations

from sqlite3 import Connection

import msgspec

from appliance.core.folding import fold
from appliance.domain.ids import Ids
from appliance.domain.message import Status
from appliance.store import counters, timeline
from appliance.store.counters import DAY_MS, HOUR_MS
from appliance.store.rows import IndexedRow, columns, every
from appliance.store.starts import THIS_START

MOVED = """id, tenant, kind, batch, recipient, body, alphabet, parts, priority, device, bound, status, uncertain,
ever_submitted, attempts, max_attempts, round, created_at, queued_at, scheduled_at, sent_at, delivered_at, failed_at,
cancelled_at, error_code, error_detail, validity_minutes, flash, on_uncertain, metadata, webhook_url"""


def finished(db: Connection, most: int, closed_before: int) -> list[int]:
    """Return finished messages, if a batch is full or the oldest has waited long enough."""
    rows = db.execute(
        "SELECT id, closed_at FROM message WHERE closed_at IS NOT NULL ORDER BY closed_at LIMIT ?",
        (most,),
    ).fetchall()
    if len(rows) < most and not (rows and rows[0][1] <= closed_before):
        return []
    return [number for number, _ in rows]


def move(db: Connection, most: int, closed_before: int) -> int:
    """Move one batch to the history and feed its indexes. Return how many were moved."""
    numbers = sorted(finished(db, most, closed_before))
    for number in numbers:
        events = msgspec.json.encode(timeline.live_timeline(db, number)).decode()
        db.execute(
            f"INSERT INTO history ({MOVED}, timeline) SELECT {MOVED}, ? FROM message WHERE id = ?",
            (events, number),
        )
    marks = ",".join("?" * len(numbers))
    found = db.execute(
        f"SELECT {columns(IndexedRow)} FROM history WHERE id IN ({marks}) "
        "AND recipient != ''",  # a deleted client's
        numbers,
    )
    rows = every(IndexedRow, found)
    db.executemany(
        "INSERT INTO history_recipient (tenant, recipient, created_at, id) VALUES (?, ?, ?, ?)",
        sorted((r.tenant, r.recipient, r.created_at, r.id) for r in rows),
    )
    db.executemany(
        "INSERT INTO history_text (rowid, folded) VALUES (?, ?)",
        [(r.id, fold(r.body)) for r in rows],
    )
    for table, column in (("part", "message"), ("attempt", "message"), ("message", "id")):
        db.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", numbers)
    return len(numbers)


def _unindex(db: Connection, row: IndexedRow) -> None:
    """Remove a history row from its indexes; a contentless index needs the indexed text."""
    db.execute(
        "DELETE FROM history_recipient WHERE tenant = ? AND recipient = ? AND created_at = ? AND id = ?",
        (row.tenant, row.recipient, row.created_at, row.id),
    )
    db.execute(
        "INSERT INTO history_text (history_text, rowid, folded) VALUES ('delete', ?, ?)",
        (row.id, fold(row.body)),
    )


def take_back(db: Connection, number: int, now: int, expires_at: int, rank: int) -> bool:
    """Move a failed message from the history back to the queue tables. Return False without one."""
    found = db.execute(
        f"SELECT {columns(IndexedRow)}, priority, timeline FROM history WHERE id = ?", (number,)
    ).fetchone()
    if found is None:
        return False
    row = IndexedRow._make(found[:-2])
    priority, stored = found[-2:]
    db.execute(
        f"INSERT INTO message ({MOVED}, shift, due_at, expires_at, start_number, changed_at) "
        f"SELECT {MOVED}, 0, ?, ?, {THIS_START}, ? FROM history WHERE id = ?",
        (now, expires_at, now, number),
    )
    for part in msgspec.json.decode(stored, type=timeline.Attempts).parts:
        db.execute(
            "INSERT INTO part (message, number, state, test, bound_device, urgent, scheduled, rank, ready_at, ready, "
            "attempts, device, sim, submitted_at, answered_at, reference, tp_status, reported_at, error) "
            "VALUES (?, ?, ?, ?, 0, ?, 0, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, part.number, part.state, row.tenant & 1, int(priority == 1), rank, now)
            + (part.attempts, part.device, part.sim, part.submitted_at, part.answered_at)
            + (part.reference, part.tp_status, part.reported_at)
            + (None if part.error is None else msgspec.json.encode(part.error).decode(),),
        )
    _unindex(db, row)
    db.execute("DELETE FROM history WHERE id = ?", (number,))
    return True


def retire(db: Connection, before: int, most: int) -> int:
    """Remove the oldest messages created before a time; their daily figures stay.

    Only finished messages: a message in the queue tables is never removed.
    """
    found = db.execute(
        # Not by id: ids from a clock that was ahead stay ahead of every later time.
        f"SELECT {columns(IndexedRow)}, device, status FROM history WHERE tenant IN "
        "(SELECT id * 2 FROM client UNION ALL SELECT id * 2 + 1 FROM client) "
        "AND created_at < ? LIMIT ?",
        (before, most),
    )
    rows = [(IndexedRow._make(row[:-2]), *row[-2:]) for row in found.fetchall()]
    if rows:
        counters.fold(db)  # removed below: only hours that have all their changes
    for row, device, status in rows:
        # An erased one is in no index; removing it twice would corrupt the index.
        if row.recipient:
            _unindex(db, row)
        db.execute("DELETE FROM history WHERE id = ?", (row.id,))
        db.execute(
            f"UPDATE hour_total SET {Status(status)} = {Status(status)} - 1 "
            "WHERE tenant = ? AND device = ? AND hour = ?",
            (row.tenant, device, row.created_at // HOUR_MS),
        )
    if rows:
        db.execute(
            "DELETE FROM hour_total WHERE hour < ? AND queued = 0 AND sent = 0 AND delivered = 0 "
            "AND failed = 0 AND cancelled = 0",
            (before // HOUR_MS,),
        )
    db.execute(
        "INSERT INTO meta VALUES ('kept_from', ?1) ON CONFLICT DO UPDATE SET value = MAX(value, ?1)",
        (before,),
    )
    return len(rows)


def erase_step(db: Connection, client: int, most: int) -> int:
    """Empty some finished messages of a deleted client; their figures stay. Return how many."""
    found = db.execute(
        f"SELECT {columns(IndexedRow)} FROM history WHERE tenant IN (?, ?) AND recipient != '' LIMIT ?",
        (client * 2, client * 2 + 1, most),
    )
    rows = every(IndexedRow, found)
    for row in rows:
        _unindex(db, row)
        db.execute(
            "UPDATE history SET body = '', recipient = '', metadata = NULL, webhook_url = NULL, "
            """timeline = '{"parts":[],"attempts":[]}' WHERE id = ?""",
            (row.id,),
        )
    return len(rows)


def oldest(db: Connection) -> int | None:
    """Return when the oldest finished message was created."""
    row = db.execute("SELECT created_at FROM history ORDER BY id LIMIT 1").fetchone()
    return row[0] if row else None


def tidy(db: Connection, now: int, *, log_days: int) -> None:
    """Remove expired answers, hashes, logs and minute counters."""
    day_ago, logs = now - DAY_MS, now - log_days * DAY_MS
    db.execute("DELETE FROM idempotency WHERE created_at < ?", (day_ago,))
    db.execute("DELETE FROM seen WHERE at < ?", (now - 30 * DAY_MS,))
    db.execute("DELETE FROM sim_minute_total WHERE minute < ?", ((now - 2 * HOUR_MS) // 60_000,))
    db.execute("DELETE FROM otp WHERE expires_at < ?", (now - 7 * DAY_MS,))
    db.execute("DELETE FROM undecodable WHERE at < ?", (logs,))


def marks(db: Connection) -> Ids:
    """Return the highest ids so far, so that new ones grow even after the clock was set back."""
    kept = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('long_mark', 'short_mark')"))
    long_mark = max(
        [kept.get("long_mark", 0)]
        + [
            db.execute(f"SELECT COALESCE(MAX(id), 0) FROM {t}").fetchone()[0]
            for t in ("message", "history")
        ]
    )
    short_mark = max(
        [kept.get("short_mark", 0)]
        + [
            db.execute(f"SELECT COALESCE(MAX({column}), 0) FROM {table}").fetchone()[0]
            for table, column in (
                ("event", "id"),
                ("otp", "id"),
                ("inbound", "id"),
                ("delivery", "id"),
                ("delivery_log", "id"),
                ("message", "batch"),
            )
        ]
    )
    return Ids(long_mark, short_mark)


def keep_marks(db: Connection, new_ids: Ids) -> None:
    """Store the highest ids before rows are removed."""
    long_mark, short_mark = new_ids.marks
    db.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = MAX(value, excluded.value)",
        [("long_mark", long_mark), ("short_mark", short_mark)],
    )

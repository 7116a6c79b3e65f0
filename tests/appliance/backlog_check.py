"""Compare the counts that the store keeps of its queue with the rows."""

from __future__ import annotations

from collections import Counter
from sqlite3 import Connection

from appliance.store import backlog
from appliance.store.backlog import DAY_MS, HOUR_MS, MINUTE_MS


def assert_counts_are_true(db: Connection) -> None:
    """Every kept count equals what counting the rows gives."""
    _same(
        db,
        "SELECT tenant, priority, messages, parts FROM queued_count WHERE messages",
        "SELECT tenant, priority, COUNT(*), SUM(parts) FROM message WHERE status = 'queued' GROUP BY 1, 2",
    )
    _same(
        db,
        "SELECT test, bound_device, ready, delayed, submitted FROM part_count WHERE ready OR delayed OR submitted",
        "SELECT test, bound_device, SUM(state = 'waiting' AND ready), SUM(state = 'waiting' AND NOT ready), "
        "SUM(state = 'submitted') FROM part WHERE state IN ('waiting', 'submitted') GROUP BY 1, 2",
    )
    for width in (DAY_MS, HOUR_MS, MINUTE_MS):
        _same(
            db,
            "SELECT class, bucket, n, parts FROM due_count WHERE kind = 'part' AND width = :width",
            "SELECT test, ready_at / :width, COUNT(*), COUNT(*) FROM part "
            "WHERE state = 'waiting' AND ready = 0 GROUP BY 1, 2",
            width,
        )
        _same(
            db,
            "SELECT class, bucket, n, parts FROM due_count WHERE kind = 'message' AND width = :width",
            "SELECT (tenant & 1) * 8 + priority, due_at / :width, COUNT(*), SUM(parts) FROM message "
            "WHERE status = 'queued' AND scheduled_at IS NOT NULL GROUP BY 1, 2",
            width,
        )
    _same(
        db,
        "SELECT recipient, messages FROM queued_recipient",
        "SELECT recipient, COUNT(*) FROM message WHERE status = 'queued' AND tenant & 1 = 0 "
        "AND (SELECT value FROM meta WHERE key = 'recipients_counted') GROUP BY 1",
    )
    _same(
        db,
        "SELECT sim, month, recipients, queued FROM recipient_count WHERE sim != ''",
        "SELECT sim, month, COUNT(*), SUM(recipient IN (SELECT recipient FROM queued_recipient)) "
        "FROM sim_recipient GROUP BY 1, 2",
    )
    _same(
        db,
        "SELECT queued FROM recipient_count WHERE sim = ''",
        "SELECT COUNT(*) FROM queued_recipient",
    )
    _same(
        db,
        "SELECT state, n FROM delivery_count WHERE n",
        "SELECT state, COUNT(*) FROM delivery GROUP BY 1",
    )
    _same(
        db,
        "SELECT tenant, n FROM delivery_log_count WHERE n",
        "SELECT tenant, COUNT(*) FROM delivery_log GROUP BY 1",
    )


def assert_sums_are_true(db: Connection, now: int) -> None:
    """What is asked of the counts at this moment equals what counting the rows gives."""
    for test in (0, 1):
        for until in (now, now + 59_999, now + HOUR_MS, now + 30 * HOUR_MS, now + 400 * DAY_MS):
            counted = db.execute(
                "SELECT COUNT(*) FROM part WHERE test = ? AND (state = 'submitted' OR (state = 'waiting' "
                "AND (ready OR ready_at <= ?)))",
                (test, until),
            ).fetchone()[0]
            assert backlog.parts(db, bool(test), until) == counted
            assert backlog.parts(db, bool(test), until, exact=False) >= counted
    due, later = backlog.levels(db, now)
    waiting = "FROM message WHERE status = 'queued' AND tenant & 1 = 0 AND due_at"
    assert [(level.priority, level.messages, level.parts) for level in due] == [
        tuple(row)
        for row in db.execute(
            f"SELECT priority, COUNT(*), SUM(parts) {waiting} <= ? GROUP BY 1 ORDER BY 1", (now,)
        )
    ]
    assert later == db.execute(f"SELECT COUNT(*) {waiting} > ?", (now,)).fetchone()[0]


def _same(db: Connection, kept: str, counted: str, width: int = 0) -> None:
    found = [
        Counter(tuple(row) for row in db.execute(s, {"width": width})) for s in (kept, counted)
    ]
    assert found[0] == found[1], kept

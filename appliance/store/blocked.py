"""The block list: numbers that get no SMS, by a client's wish or because they said STOP."""

from __future__ import annotations

from sqlite3 import Connection, Row


def is_blocked(db: Connection, scope: int, number: str) -> bool:
    """On this client's list, or opted out of the box's SIMs."""
    return (
        db.execute(
            "SELECT 1 FROM blocked WHERE scope IN (?, ?) AND number = ?", (scope, scope & 1, number)
        ).fetchone()
        is not None
    )


def add(
    db: Connection,
    scope: int,
    number: str,
    reason: str,
    source: str,
    now: int,
    device: int | None = None,
) -> Row:
    """Put a number on the list; what stood there stays."""
    db.execute(
        "INSERT INTO blocked (scope, number, reason, source, device, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (scope, number, reason, source, device, now),
    )
    row: Row = db.execute(
        "SELECT * FROM blocked WHERE scope = ? AND number = ?", (scope, number)
    ).fetchone()
    return row


def remove(db: Connection, scope: int, number: str) -> bool:
    """Take it off this client's list and out of the opt-outs; False if it stood on neither."""
    done = db.execute(
        "DELETE FROM blocked WHERE scope IN (?, ?) AND number = ?", (scope, scope & 1, number)
    )
    return bool(done.rowcount)


def listed(db: Connection, scope: int) -> list[Row]:
    """This client's list and the opt-outs, newest first."""
    return db.execute(
        "SELECT * FROM blocked WHERE scope IN (?, ?) GROUP BY number ORDER BY created_at DESC, number",
        (scope, scope & 1),
    ).fetchall()

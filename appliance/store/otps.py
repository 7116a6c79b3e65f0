"""One-time passwords: a keyed hash, a few attempts, an end."""

from __future__ import annotations

from sqlite3 import Connection, Row

from appliance.store.tally import HOUR_MS


def recent(db: Connection, test: bool, recipient: str, now: int) -> int:
    """How many went to this number within the last hour, of every client of that mode."""
    n: int = db.execute(
        "SELECT COUNT(*) FROM otp WHERE recipient = ? AND created_at > ? AND scope & 1 = ?",
        (recipient, now - HOUR_MS, int(test)),
    ).fetchone()[0]
    return n


def add(
    db: Connection,
    number: int,
    scope: int,
    message: int,
    recipient: str,
    code_hash: bytes,
    attempts: int,
    expires_at: int,
    purpose: str | None,
    now: int,
) -> None:
    db.execute(
        "INSERT INTO otp (id, scope, message, recipient, code_hash, attempts_left, expires_at, purpose, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, scope, message, recipient, code_hash, attempts, expires_at, purpose, now),
    )


def get(db: Connection, scope: int, number: int) -> Row | None:
    row: Row | None = db.execute(
        "SELECT * FROM otp WHERE id = ? AND scope = ?", (number, scope)
    ).fetchone()
    return row


def spend_attempt(db: Connection, number: int) -> None:
    db.execute("UPDATE otp SET attempts_left = attempts_left - 1 WHERE id = ?", (number,))


def verified(db: Connection, number: int, now: int) -> None:
    db.execute("UPDATE otp SET verified_at = ? WHERE id = ?", (now, number))

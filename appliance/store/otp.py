"""One-time passwords: a keyed hash, a number of attempts, an expiry."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.store.counters import HOUR_MS
from appliance.store.rows import OtpRow, columns, first
from appliance.store.starts import THIS_START


def wait(db: Connection, test: bool, recipient: str, most: int, now: int) -> int:
    """Return the milliseconds until a number may get another code, with `most` per hour in a mode.

    Times from a clock that was ahead before this start do not count.
    """
    row = db.execute(
        "SELECT created_at FROM otp WHERE recipient = ? AND tenant & 1 = ? AND created_at < ? "
        "ORDER BY created_at DESC LIMIT 1 OFFSET ?",
        (recipient, int(test), now + HOUR_MS, most - 1),
    ).fetchone()
    return max(0, row[0] + HOUR_MS - now) if row else 0


def add(
    db: Connection,
    number: int,
    tenant: int,
    message: int,
    recipient: str,
    code_hash: bytes,
    attempts: int,
    expires_at: int,
    purpose: str | None,
    now: int,
) -> None:
    db.execute(
        "INSERT INTO otp (id, tenant, message, recipient, code_hash, attempts_left, expires_at, purpose, "
        f"created_at, start_number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {THIS_START})",
        (number, tenant, message, recipient, code_hash, attempts, expires_at, purpose, now),
    )


def get(db: Connection, tenant: int, number: int) -> OtpRow | None:
    """Return a one-time password of a client; None without one."""
    found = db.execute(
        f"SELECT {columns(OtpRow)} FROM otp WHERE id = ? AND tenant = ?", (number, tenant)
    )
    return first(OtpRow, found)


def spend_attempt(db: Connection, number: int) -> None:
    db.execute("UPDATE otp SET attempts_left = attempts_left - 1 WHERE id = ?", (number,))


def verified(db: Connection, number: int, now: int) -> None:
    db.execute("UPDATE otp SET verified_at = ? WHERE id = ?", (now, number))


def move_expiry(db: Connection, step: int) -> None:
    """Move the expiry of codes created since the box started by a clock jump."""
    db.execute(
        "UPDATE otp SET expires_at = expires_at + ?1, created_at = created_at + ?1 "
        f"WHERE start_number = {THIS_START}",
        (step,),
    )

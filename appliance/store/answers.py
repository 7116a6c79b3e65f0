"""Answers kept under their Idempotency-Key, in the same transaction as what they answer."""

from __future__ import annotations

from sqlite3 import Connection
from typing import TypeVar

import msgspec

from appliance.orders import Idempotency
from appliance.refusals import Refusal

T = TypeVar("T", bound=msgspec.Struct)


def earlier(db: Connection, scope: int, idempotency: Idempotency | None, kind: type[T]) -> T | None:
    """The answer this key got before. IDEMPOTENCY_CONFLICT when it came with another body."""
    if idempotency is None:
        return None
    row = db.execute(
        "SELECT fingerprint, answer FROM idempotency WHERE scope = ? AND key = ?",
        (scope, idempotency.key),
    ).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != idempotency.fingerprint:
        raise Refusal("IDEMPOTENCY_CONFLICT")
    return msgspec.json.decode(row["answer"], type=kind)


def keep(
    db: Connection, scope: int, idempotency: Idempotency | None, answer: msgspec.Struct, now: int
) -> None:
    if idempotency is not None:
        db.execute(
            "INSERT INTO idempotency (scope, key, fingerprint, status, answer, created_at) "
            "VALUES (?, ?, ?, 202, ?, ?)",
            (scope, idempotency.key, idempotency.fingerprint, msgspec.json.encode(answer), now),
        )


def taken_by_key(db: Connection, key_id: int, day: int) -> int:
    """Messages taken with this key on that local day."""
    row = db.execute(
        "SELECT taken FROM key_day WHERE api_key = ? AND day = ?", (key_id, day)
    ).fetchone()
    return row[0] if row else 0


def count_key(db: Connection, key_id: int, day: int) -> None:
    db.execute(
        "INSERT INTO key_day (api_key, day, taken) VALUES (?, ?, 1) "
        "ON CONFLICT DO UPDATE SET taken = taken + 1",
        (key_id, day),
    )

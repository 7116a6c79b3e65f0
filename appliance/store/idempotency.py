"""Responses stored by Idempotency-Key, in the transaction of their request."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import TypeVar, cast

import msgspec

from appliance.domain.errors import ApiError
from appliance.domain.requests import Idempotency
from appliance.domain.views import AcceptedAnswer, BulkAccepted, OtpAnswer
from appliance.store.counters import DAY_MS
from appliance.store.starts import THIS_START

Answer = AcceptedAnswer | BulkAccepted | OtpAnswer
T = TypeVar("T", AcceptedAnswer, BulkAccepted, OtpAnswer)
KINDS: dict[str, type[Answer]] = {k.__name__: k for k in (AcceptedAnswer, BulkAccepted, OtpAnswer)}


class _Kept(msgspec.Struct, frozen=True):
    kind: str
    answer: msgspec.Raw


def earlier(db: Connection, tenant: int, idempotency: Idempotency, now: int) -> Answer | None:
    """Return the answer stored for a key within its window.

    Raises IDEMPOTENCY_CONFLICT if it came with another body or route.
    """
    row = db.execute(
        "SELECT fingerprint, answer FROM idempotency WHERE tenant = ? AND key = ? AND created_at > ? "
        "AND created_at < ?",  # ignore times from a clock that was ahead before this start
        (tenant, idempotency.key, now - idempotency.window_ms, now + DAY_MS),
    ).fetchone()
    if row is None:
        return None
    fingerprint, stored = row
    if fingerprint != idempotency.fingerprint:
        raise ApiError("IDEMPOTENCY_CONFLICT")
    kept = msgspec.json.decode(stored, type=_Kept)
    return msgspec.json.decode(kept.answer, type=KINDS[kept.kind])


def once(
    db: Connection,
    tenant: int,
    idempotency: Idempotency,
    now: int,
    take: Callable[[Connection], T],
) -> T:
    """Return the stored answer of a key, or call `take` and store its answer in the same transaction."""
    found = earlier(db, tenant, idempotency, now)
    if found is not None:
        return cast(
            "T", found
        )  # the fingerprint includes the route, so it cannot be of another kind
    other = idempotency.otherwise
    answer = take(db) if other is None else once(db, tenant, other, now, take)
    kept = _Kept(type(answer).__name__, msgspec.Raw(msgspec.json.encode(answer)))
    db.execute(
        "INSERT OR REPLACE INTO idempotency (tenant, key, fingerprint, status, answer, created_at, start_number) "
        f"VALUES (?, ?, ?, 202, ?, ?, {THIS_START})",
        (tenant, idempotency.key, idempotency.fingerprint, msgspec.json.encode(kept), now),
    )
    return answer


def move(db: Connection, step: int) -> None:
    """Move the times of answers stored since the box started by a clock jump."""
    db.execute(
        f"UPDATE idempotency SET created_at = created_at + ? WHERE start_number = {THIS_START}",
        (step,),
    )


def taken_by_key(db: Connection, key_id: int, day: int) -> int:
    """Return how many messages were accepted with a key on a local day."""
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

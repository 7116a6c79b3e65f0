"""Counters by hour and day of creation, updated in the transaction of the change.

Changes are rows of `counter`, which all counters share; `fold` adds them to the tables of hours and days.
"""

from __future__ import annotations

from sqlite3 import Connection

from appliance.domain.message import Status

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# The columns of `counter` for kind 'hour'.
COLUMN = dict(zip(Status, ("n1", "n2", "n3", "n4", "n5"), strict=True))


def add(
    db: Connection, tenant: int, device: int, created_at: int, status: Status, n: int = 1
) -> None:
    """Add `n` messages to a status (n may be negative)."""
    column = COLUMN[status]
    db.execute(
        f"INSERT INTO counter (kind, a, b, c, {column}) VALUES ('hour', ?, ?, ?, ?) "
        f"ON CONFLICT DO UPDATE SET {column} = {column} + excluded.{column}",
        (tenant, device, created_at // HOUR_MS, n),
    )


def move(
    db: Connection, tenant: int, device: int, created_at: int, before: Status, then: Status
) -> None:
    """Count a message that changed its status."""
    old, new = COLUMN[before], COLUMN[then]
    db.execute(
        f"INSERT INTO counter (kind, a, b, c, {old}, {new}) VALUES ('hour', ?, ?, ?, -1, 1) "
        f"ON CONFLICT DO UPDATE SET {old} = {old} - 1, {new} = {new} + 1",
        (tenant, device, created_at // HOUR_MS),
    )


def change_device(
    db: Connection, tenant: int, before: int, then: int, created_at: int, status: Status
) -> None:
    """Count a message that changed its device."""
    add(db, tenant, before, created_at, status, -1)
    add(db, tenant, then, created_at, status)


def count_part(db: Connection, sim: str, day: int, minute: int) -> None:
    """Count a part that a SIM has sent."""
    db.execute(
        "INSERT INTO counter (kind, a, b, c, n1) VALUES ('minute', ?, ?, ?, 1) "
        "ON CONFLICT DO UPDATE SET n1 = n1 + 1",
        (sim, day, minute),
    )


_STATUSES = ", ".join(Status)
_ADDED = ", ".join(f"{status} = {status} + excluded.{status}" for status in Status)
_SUMS = ", ".join(f"SUM({column})" for column in COLUMN.values())
_FOLD = (
    *(
        f"INSERT INTO {unit}_total (tenant, device, {unit}, {_STATUSES}) "
        f"SELECT a, b, c / {hours}, {_SUMS} FROM counter WHERE kind = 'hour' GROUP BY 1, 2, 3 "
        f"ON CONFLICT DO UPDATE SET {_ADDED}"
        for unit, hours in (("hour", 1), ("day", 24))
    ),
    *(
        f"INSERT INTO sim_{unit}_total (sim, {unit}, parts) "
        f"SELECT a, {column}, SUM(n1) FROM counter WHERE kind = 'minute' GROUP BY 1, 2 "
        "ON CONFLICT DO UPDATE SET parts = parts + excluded.parts"
        for unit, column in (("minute", "c"), ("day", "b"))
    ),
    "DELETE FROM counter WHERE kind IN ('hour', 'minute')",
)


def fold(db: Connection) -> None:
    """Add the recent changes to the tables of hours, days and minutes, so that they stay few."""
    for statement in _FOLD:
        db.execute(statement)

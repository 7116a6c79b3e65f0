"""Counters by hour and day of creation, updated in the transaction of the change."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.domain.message import Status

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def add(
    db: Connection, tenant: int, device: int, created_at: int, status: Status, n: int = 1
) -> None:
    """Add `n` messages to a status (n may be negative)."""
    for table, unit, width in (("hour_count", "hour", HOUR_MS), ("day_count", "day", DAY_MS)):
        db.execute(
            f"INSERT INTO {table} (tenant, device, {unit}, {status}) VALUES (?, ?, ?, ?) "
            f"ON CONFLICT DO UPDATE SET {status} = {status} + excluded.{status}",
            (tenant, device, created_at // width, n),
        )


def move(
    db: Connection, tenant: int, device: int, created_at: int, before: Status, then: Status
) -> None:
    """Count a message that changed its status."""
    for table, unit, width in (("hour_count", "hour", HOUR_MS), ("day_count", "day", DAY_MS)):
        db.execute(
            f"INSERT INTO {table} (tenant, device, {unit}, {before}, {then}) VALUES (?, ?, ?, -1, 1) "
            f"ON CONFLICT DO UPDATE SET {before} = {before} - 1, {then} = {then} + 1",
            (tenant, device, created_at // width),
        )


def change_device(
    db: Connection, tenant: int, before: int, then: int, created_at: int, status: Status
) -> None:
    """Count a message that changed its device."""
    add(db, tenant, before, created_at, status, -1)
    add(db, tenant, then, created_at, status)

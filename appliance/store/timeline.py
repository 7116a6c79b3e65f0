"""What happened to one message: its parts, attempts, reports and webhook calls. Times in ms."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import msgspec


class PartTimeline(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a message with its current attempt, or an earlier attempt of it."""

    number: int
    state: str = "attempted"
    attempts: int = 0
    device: int | None = None
    sim: str | None = None
    submitted_at: int | None = None
    answered_at: int | None = None
    reference: int | None = None
    tp_status: int | None = None
    reported_at: int | None = None
    error: dict[str, object] | None = None


class Attempts(msgspec.Struct, frozen=True):
    """The parts of a message and their earlier attempts, as stored with it in the history."""

    parts: tuple[PartTimeline, ...]
    attempts: tuple[PartTimeline, ...]


class WebhookNotification(msgspec.Struct, frozen=True):
    """One notification of a message to its client's server."""

    name: str
    url: str
    state: str
    attempt: int
    due_at: int
    created_at: int


def timeline(db: Connection, number: int) -> Attempts:
    """Return the parts and attempts of a message in either table."""
    row = db.execute("SELECT timeline FROM history WHERE id = ?", (number,)).fetchone()
    return live_timeline(db, number) if row is None else msgspec.json.decode(row[0], type=Attempts)


def live_timeline(db: Connection, number: int) -> Attempts:
    """Return the parts and attempts of a message in the queue tables."""
    parts = db.execute(
        f"SELECT number, state, attempts, {_COLUMNS} FROM part WHERE message = ? ORDER BY number",
        (number,),
    )
    attempts = db.execute(
        f"SELECT number, 'attempted', 0, {_COLUMNS} FROM attempt WHERE message = ? ORDER BY id",
        (number,),
    )
    return Attempts(tuple(_part(*row) for row in parts), tuple(_part(*row) for row in attempts))


_COLUMNS = "device, sim, submitted_at, answered_at, reference, tp_status, reported_at, error"


def _part(*columns: Any) -> PartTimeline:
    part = PartTimeline(*columns)
    if part.error is None:
        return part
    return msgspec.structs.replace(part, error=msgspec.json.decode(columns[-1]))


def notifications(db: Connection, number: int) -> tuple[WebhookNotification, ...]:
    """Return the webhook calls of a message."""
    rows = db.execute(
        "SELECT e.name, d.url, d.state, d.attempt, d.due_at, e.created_at FROM event e "
        "JOIN delivery d ON d.event = e.id WHERE d.message = ? ORDER BY d.id",
        (number,),
    )
    return tuple(WebhookNotification(*row) for row in rows)

"""Read what happened to one message: its parts, attempts, reports and webhook calls."""

from __future__ import annotations

from sqlite3 import Connection, Row
from typing import Any

import msgspec


def timeline(db: Connection, number: int) -> dict[str, Any]:
    """Return the timeline of a message: its parts, earlier attempts and webhook calls."""
    row = db.execute("SELECT timeline FROM history WHERE id = ?", (number,)).fetchone()
    if row is not None:
        found: dict[str, Any] = msgspec.json.decode(row["timeline"])
    else:
        found = live_timeline(db, number)
    found["deliveries"] = [
        dict(r)
        for r in db.execute(
            "SELECT e.id AS event, e.name, d.url, d.state, d.attempt, d.due_at, e.created_at FROM event e "
            "JOIN delivery d ON d.event = e.id WHERE d.message = ? ORDER BY d.id",
            (number,),
        )
    ]
    return found


ATTEMPT_COLUMNS = (
    "number, device, sim, submitted_at, answered_at, reference, tp_status, reported_at, error"
)
PART_COLUMNS = f"{ATTEMPT_COLUMNS}, state, attempts"


def live_timeline(db: Connection, number: int) -> dict[str, Any]:
    """Return parts and attempts of a message as stored with it in the history."""
    parts = db.execute(
        f"SELECT {PART_COLUMNS} FROM part WHERE message = ? ORDER BY number", (number,)
    )
    attempts = db.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE message = ? ORDER BY id", (number,)
    )
    return {
        "parts": [_without_nulls(r) for r in parts],
        "attempts": [_without_nulls(r) for r in attempts],
    }


def _without_nulls(row: Row) -> dict[str, Any]:
    found = {key: row[key] for key in row.keys() if row[key] is not None}  # noqa: SIM118 - a Row
    if "error" in found:
        found["error"] = msgspec.json.decode(found["error"])
    return found

"""Messages held after a restore: nobody knows what became of them after the backup. All synchronous."""

from __future__ import annotations

from enum import IntEnum
from sqlite3 import Connection
from typing import Literal

from appliance.domain.ids import Ids
from appliance.domain.message import PartEvent, PartState
from appliance.store import messages
from appliance.store.failure_causes import DROPPED_BY_OWNER, NO_ANSWER
from appliance.store.rows import HeldRow, MessageRow, PartRow, columns, every

Decision = Literal["send", "drop"]
DECISION_HOURS = 72  # how long the owner has to decide: longer than a weekend


class Held(IntEnum):
    """The column `held` of a message."""

    NO = 0
    UNDECIDED = 1
    SEND = 2  # decided, and carried out by the running box
    DROP = 3


# Test messages never leave the box, so sending one again does no harm.
_LIVE_QUEUED = "SELECT id FROM message WHERE status = 'queued' AND tenant & 1 = 0"
_OPEN_PARTS = f"state IN ('waiting', 'submitted', 'uncertain') AND message IN ({_LIVE_QUEUED})"


def hold_queued(db: Connection, now: int) -> int:
    """Hold every live message that is queued, in-flight ones included. Return how many.

    For the database of a backup, before it is used. They fail if nobody decides within `DECISION_HOURS`; a
    one-time password keeps its own expiry. The status stays `queued`, so there is no event.
    """
    db.execute(
        "INSERT INTO attempt (message, number, device, sim, submitted_at, answered_at, reference, tp_status, "
        "reported_at, open, error, round) SELECT p.message, p.number, p.device, p.sim, p.submitted_at, "
        "COALESCE(p.answered_at, ?1), p.reference, p.tp_status, p.reported_at, 1, ?2, m.round "
        "FROM part p JOIN message m ON m.id = p.message WHERE p.state IN ('submitted', 'uncertain') "
        "AND m.status = 'queued' AND m.tenant & 1 = 0",
        (now, NO_ANSWER),
    )
    db.execute(
        "UPDATE part SET state = 'held', ready = 0, device = NULL, sim = NULL, submitted_at = NULL, "
        "answered_at = NULL, reference = NULL, tp_status = NULL, reported_at = NULL, open = 0, error = NULL "
        f"WHERE {_OPEN_PARTS}"
    )
    # It may have been sent after the backup, so it cannot be cancelled: cancelled is final.
    return db.execute(
        "UPDATE message SET held = ?, uncertain = 1, attempts = MAX(attempts, 1), changed_at = ?2, "
        "expires_at = IIF(kind = 'otp', expires_at, MAX(expires_at, ?3)) "
        "WHERE status = 'queued' AND tenant & 1 = 0 "
        "AND EXISTS (SELECT 1 FROM part WHERE message = id AND state = 'held')",
        (Held.UNDECIDED, now, now + DECISION_HOURS * 3_600_000),
    ).rowcount


def undecided(db: Connection) -> int:
    """Return how many messages wait for the owner's decision."""
    n: int = db.execute(
        "SELECT COUNT(*) FROM message WHERE held = ? AND held != 0", (Held.UNDECIDED,)
    ).fetchone()[0]
    return n


def listed(db: Connection, most: int, skipped: int = 0) -> list[HeldRow]:
    """Return at most `most` messages that wait for a decision, the oldest first, without the first `skipped`."""
    rows = db.execute(
        f"SELECT {columns(HeldRow)} FROM message WHERE held = ? AND held != 0 ORDER BY id LIMIT ? OFFSET ?",
        (Held.UNDECIDED, most, skipped),
    )
    return every(HeldRow, rows)


def decide(db: Connection, decision: Decision, number: int | None = None) -> int:
    """Note the decision about one held message, or about all (None). Return how many it concerns.

    The running box carries it out (`carry_out`), so the command line can decide beside it or while it is stopped.
    """
    to = Held.SEND if decision == "send" else Held.DROP
    return db.execute(
        "UPDATE message SET held = ? WHERE held = ? AND held != 0 AND (?3 IS NULL OR id = ?3)",
        (to, Held.UNDECIDED, number),
    ).rowcount


def carry_out(db: Connection, new_ids: Ids, lifetime_ms: int, now: int, most: int) -> int:
    """Queue (for a full lifetime) or fail messages as the owner decided. Return how many."""
    rows = db.execute(
        f"SELECT {columns(MessageRow)} FROM message WHERE held IN (2, 3) AND held != 0 LIMIT ?",
        (most,),
    )
    decided = every(MessageRow, rows)
    for row in decided:
        parts = [p for p in messages.parts_of(db, row.id) if p.state == PartState.HELD]
        db.execute("UPDATE message SET held = 0 WHERE id = ?", (row.id,))
        if row.held == Held.DROP:
            messages.step_part(
                db, parts[0], PartEvent.REFUSE, error=DROPPED_BY_OWNER, answered_at=now
            )
        else:
            _release(db, row, parts, lifetime_ms, now)
        messages.settle(db, new_ids, row.id, now)
    return len(decided)


def _release(
    db: Connection, message: MessageRow, parts: list[PartRow], lifetime_ms: int, now: int
) -> None:
    """Make the held parts wait for their modem; nothing else of the message changes its place."""
    due_at = max(message.due_at, now)
    later = due_at > now
    for part in parts:
        columns = {"ready": int(not later), "ready_at": due_at, "scheduled": int(later)}
        messages.step_part(db, part, PartEvent.RELEASE, **columns)
    if message.kind != "otp":
        db.execute(
            "UPDATE message SET expires_at = MAX(expires_at, ?) WHERE id = ?",
            (due_at + lifetime_ms, message.id),
        )
    if messages.unbind(db, message.id):  # the phone must not join it with parts sent before
        db.execute("UPDATE message SET concatenation = NULL WHERE id = ?", (message.id,))

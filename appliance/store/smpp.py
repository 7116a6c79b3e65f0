"""Messages that came over SMPP, segments that wait for others, and what goes to engines."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import NamedTuple

from appliance.domain.ids import LONG_SHIFT, Ids
from appliance.domain.message_state import MessageState
from appliance.store.rows import columns, every, first
from appliance.store.starts import THIS_START

# Column `answer` of a submission.
WRITTEN, RECEIVED, LOST = range(3)

# Column `receipts` of a submission: when its engine wants a receipt.
ON_DELIVERY, ON_FAILURE, ON_THE_WAY = 1, 2, 4
_WANTED = {MessageState.DELIVERED: ON_DELIVERY, MessageState.ENROUTE: ON_THE_WAY}


class NewSubmission(NamedTuple):
    """A submission to store: the columns of its row."""

    id: int
    tenant: int
    message: int | None
    addresses: str
    receipts: int
    fingerprint: bytes
    at: int


class SegmentRow(NamedTuple):
    """A segment that waits for the others of its message; `text` is UTF-16, which may cut a surrogate pair."""

    submission: int
    tenant: int
    long_message: bytes
    number: int
    recipient: str
    text: bytes
    at: int


class EngineDeliveryRow(NamedTuple):
    """What goes to an engine: a receipt with its submission, or a received text."""

    id: int
    at: int
    submission: int | None
    state: int | None
    error: int | None
    inbound: int | None
    addresses: str | None
    submitted_at: int | None
    sender: str | None
    body: str | None
    phone_number: str | None


# --- submissions -----------------------------------------------------------------------------------


def add(db: Connection, new: NewSubmission) -> None:
    """Store a submission whose answer is about to be written."""
    marks = ", ".join("?" * len(new))
    db.execute(
        f"INSERT INTO smpp_submission ({columns(NewSubmission)}, start_number) "
        f"VALUES ({marks}, {THIS_START})",
        new,
    )


def adopt(db: Connection, fingerprint: bytes, since: int) -> int | None:
    """Return the oldest equal submission whose answer was lost, as answered again; None without one."""
    row = db.execute(
        "UPDATE smpp_submission SET answer = ? WHERE id = (SELECT MIN(id) FROM smpp_submission "
        "WHERE fingerprint = ? AND answer = 2 AND at > ?) RETURNING id",
        (WRITTEN, fingerprint, since),
    ).fetchone()
    return None if row is None else int(row[0])


def mark(db: Connection, numbers: Sequence[int], answer: int) -> None:
    """Store what became of the answers to submissions. A lost one stays lost until it is adopted."""
    db.executemany(
        "UPDATE smpp_submission SET answer = ? WHERE id = ? AND answer = 0",
        [(answer, number) for number in numbers],
    )


def lose_open(db: Connection) -> int:
    """Mark every answer lost that nobody has confirmed, after a start. Return how many."""
    return db.execute("UPDATE smpp_submission SET answer = 2 WHERE answer = 0").rowcount


def message_of(db: Connection, tenant: int, number: int) -> tuple[int | None, bool]:
    """Return the message of a submission, and whether there is such a submission of a client."""
    row = db.execute(
        "SELECT message FROM smpp_submission WHERE id = ? AND tenant = ?", (number, tenant)
    ).fetchone()
    return (None, False) if row is None else (row[0], True)


def forget(db: Connection, before: int, most: int) -> None:
    """Forget submissions, and what no engine took, from before a time (ms)."""
    db.execute(
        "DELETE FROM smpp_submission WHERE id IN (SELECT id FROM smpp_submission WHERE id < ? LIMIT ?)",
        (before << LONG_SHIFT, most),
    )
    db.execute("DELETE FROM smpp_segment WHERE at < ?", (before,))
    db.execute("DELETE FROM smpp_delivery WHERE at < ?", (before,))


# --- segments --------------------------------------------------------------------------------------


def add_segment(db: Connection, row: SegmentRow) -> None:
    """Store a segment that waits for others."""
    marks = ", ".join("?" * len(row))
    db.execute(
        f"INSERT INTO smpp_segment ({columns(SegmentRow)}, start_number) "
        f"VALUES ({marks}, {THIS_START})",
        row,
    )


def segments(db: Connection, long_message: bytes) -> list[SegmentRow]:
    """Return the segments of a message that have come, in order."""
    found = db.execute(
        f"SELECT {columns(SegmentRow)} FROM smpp_segment WHERE long_message = ? ORDER BY number",
        (long_message,),
    )
    return every(SegmentRow, found)


def waiting_segments(db: Connection, tenant: int) -> int:
    """Return how many segments of a client wait for others."""
    n: int = db.execute("SELECT COUNT(*) FROM smpp_segment WHERE tenant = ?", (tenant,)).fetchone()[
        0
    ]
    return n


def joined(db: Connection, long_message: bytes, message: int) -> None:
    """Give the segments of a message to the message that they have become."""
    db.execute(
        "UPDATE smpp_submission SET message = ? WHERE id IN "
        "(SELECT submission FROM smpp_segment WHERE long_message = ?)",
        (message, long_message),
    )
    db.execute("DELETE FROM smpp_segment WHERE long_message = ?", (long_message,))


def give_up(db: Connection, new_ids: Ids, long_message: bytes, now: int) -> int:
    """Give up the segments of a message that will not be complete; their receipts say EXPIRED. Return how many."""
    rows = segments(db, long_message)
    for row in rows:
        _note(db, new_ids, row.submission, MessageState.EXPIRED, None, now)
    db.execute("DELETE FROM smpp_segment WHERE long_message = ?", (long_message,))
    return len(rows)


def overdue(db: Connection, before: int, after: int) -> list[bytes]:
    """Return the messages whose first segment came before a time, or after one that is not reached yet."""
    rows = db.execute(
        "SELECT long_message FROM smpp_segment GROUP BY long_message HAVING MIN(at) < ? OR MIN(at) > ?",
        (before, after),
    )
    return [row[0] for row in rows]


# --- what goes to engines --------------------------------------------------------------------------


def note_state(
    db: Connection, new_ids: Ids, message: int, state: MessageState, error: int | None, now: int
) -> None:
    """Store the receipts that engines want for a message in this state."""
    rows = db.execute("SELECT id FROM smpp_submission WHERE message = ?", (message,)).fetchall()
    for (submission,) in rows:
        _note(db, new_ids, submission, state, error, now)


def _note(
    db: Connection, new_ids: Ids, submission: int, state: MessageState, error: int | None, now: int
) -> None:
    number = new_ids.other(now)
    db.execute(
        "INSERT INTO smpp_delivery (id, tenant, submission, state, error, at, start_number) "
        f"SELECT ?, tenant, id, ?, ?, ?, {THIS_START} FROM smpp_submission "
        "WHERE id = ? AND receipts & ?",
        (number, state, error, now, submission, _WANTED.get(state, ON_FAILURE)),
    )


def note_received(db: Connection, new_ids: Ids, tenant: int, inbound: int, now: int) -> None:
    """Store that a received text goes to the engines of a client, if it has a password for one."""
    db.execute(
        "INSERT INTO smpp_delivery (id, tenant, inbound, at, start_number) "
        f"SELECT ?, ?, ?, ?, {THIS_START} WHERE EXISTS "
        "(SELECT 1 FROM api_key WHERE smpp = 1 AND client = ? AND test = ? AND revoked_at IS NULL)",
        (new_ids.other(now), tenant, inbound, now, tenant // 2, tenant & 1),
    )


_DELIVERIES = """
SELECT d.id, d.at, d.submission, d.state, d.error, d.inbound, s.addresses, s.at, i.sender, i.body, v.phone_number
FROM smpp_delivery d LEFT JOIN smpp_submission s ON s.id = d.submission
LEFT JOIN inbound i ON i.id = d.inbound LEFT JOIN device v ON v.id = i.device
WHERE d.tenant = ?1 AND (d.inbound IS NULL OR ?2)
  AND (d.submission IS NULL OR d.at <= ?3 OR d.at > ?4) ORDER BY d.id LIMIT ?5
"""


def deliveries(
    db: Connection, tenant: int, *, texts: bool, before: int, after: int, most: int
) -> tuple[list[EngineDeliveryRow], bool]:
    """Return the oldest deliveries of a client, and whether there are receipts that are not due yet.

    Receipts are due from before a time, or after one that is not reached yet.
    """
    found = db.execute(_DELIVERIES, (tenant, int(texts), before, after, most))
    rows = every(EngineDeliveryRow, found)
    held = db.execute(
        "SELECT 1 FROM smpp_delivery WHERE tenant = ? AND submission IS NOT NULL AND at > ? AND at <= ? LIMIT 1",
        (tenant, before, after),
    ).fetchone()
    return rows, held is not None


def delivered(db: Connection, numbers: Sequence[int]) -> None:
    """Remove deliveries that an engine has confirmed."""
    db.executemany("DELETE FROM smpp_delivery WHERE id = ?", [(number,) for number in numbers])


def undelivered(db: Connection) -> int:
    """Return how many deliveries wait for an engine."""
    n: int = db.execute("SELECT COUNT(*) FROM smpp_delivery").fetchone()[0]
    return n


def expired(db: Connection, before: int) -> int:
    """Return how many deliveries no engine took since a time."""
    n: int = db.execute("SELECT COUNT(*) FROM smpp_delivery WHERE at < ?", (before,)).fetchone()[0]
    return n


def expire_deliveries(db: Connection, before: int) -> None:
    """Remove deliveries that no engine took since a time."""
    db.execute("DELETE FROM smpp_delivery WHERE at < ?", (before,))


def move(db: Connection, step: int) -> None:
    """Move the times of submissions, segments and deliveries since the box started by a clock jump."""
    for table in ("smpp_submission", "smpp_segment", "smpp_delivery"):
        db.execute(f"UPDATE {table} SET at = at + ? WHERE start_number = {THIS_START}", (step,))


def has_password(db: Connection) -> bool:
    """Return whether a client has a password for SMPP."""
    row = db.execute("SELECT 1 FROM api_key WHERE smpp = 1 AND revoked_at IS NULL LIMIT 1")
    return row.fetchone() is not None


def segment(db: Connection, long_message: bytes, number: int) -> SegmentRow | None:
    """Return a segment of a message that waits for others; None if it has not come."""
    found = db.execute(
        f"SELECT {columns(SegmentRow)} FROM smpp_segment WHERE long_message = ? AND number = ?",
        (long_message, number),
    )
    return first(SegmentRow, found)

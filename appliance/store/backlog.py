"""Read the length of the queue from the counts that triggers keep (0001.sql); no function counts rows of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from sqlite3 import Connection
from typing import Literal

import msgspec

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
_FIRST_MOMENT = 0  # nothing is due before 1970


class Level(msgspec.Struct, frozen=True):
    """The waiting messages of one priority (1 first) and their parts."""

    priority: int
    messages: int
    parts: int


def messages(db: Connection, test: bool) -> int:
    """Return how many messages are queued, scheduled ones included."""
    n: int = db.execute(
        "SELECT COALESCE(SUM(messages), 0) FROM queued_count WHERE tenant & 1 = ?", (int(test),)
    ).fetchone()[0]
    return n


def parts(db: Connection, test: bool, until: int, *, exact: bool = True) -> int:
    """Return how many parts that are due by `until` (ms) have not gone, in-flight parts included.

    Not `exact`: all that is due in the minute of `until` counts. Exact, the parts of that one minute are read.
    """
    n: int = db.execute(
        "SELECT COALESCE(SUM(ready + submitted), 0) FROM part_count WHERE test = ?", (int(test),)
    ).fetchone()[0]
    if not exact:
        return n + _due_before(db, "part", int(test), (until // MINUTE_MS + 1) * MINUTE_MS)[1]
    edge = (until + 1) // MINUTE_MS * MINUTE_MS
    n += _due_before(db, "part", int(test), edge)[1]
    n += db.execute(
        "SELECT COUNT(*) FROM part WHERE state = 'waiting' AND ready = 0 AND ready_at >= ? "
        "AND ready_at <= ? AND test = ?",
        (edge, until, int(test)),
    ).fetchone()[0]
    return n


def levels(db: Connection, now: int) -> tuple[tuple[Level, ...], int]:
    """Return what is queued in live mode and due, by priority, and how many messages are for later."""
    due: dict[int, list[int]] = {}
    for priority, n, size in db.execute(
        "SELECT priority, SUM(messages), SUM(parts) FROM queued_count WHERE tenant & 1 = 0 "
        "GROUP BY priority"
    ):
        due[priority] = [n, size]
    later = 0
    for priority, level in due.items():
        n, size = _scheduled_after(db, priority, now)
        level[0] -= n
        level[1] -= size
        later += n
    return tuple(Level(p, n, size) for p, (n, size) in sorted(due.items()) if n), later


def _scheduled_after(db: Connection, priority: int, now: int) -> tuple[int, int]:
    """Return the live messages of this priority that are scheduled for after `now`, and their parts."""
    minute_ends = (now // MINUTE_MS + 1) * MINUTE_MS
    all_n, all_parts = db.execute(
        "SELECT COALESCE(SUM(n), 0), COALESCE(SUM(parts), 0) FROM due_count "
        "WHERE kind = 'message' AND class = ? AND width = ?",
        (priority, DAY_MS),
    ).fetchone()
    if not all_n:
        return 0, 0
    past_n, past_parts = _due_before(db, "message", priority, minute_ends)
    # Parts due later in the current minute.
    edge_n, edge_parts = db.execute(
        "SELECT COUNT(*), COALESCE(SUM(parts), 0) FROM message WHERE status = 'queued' "
        "AND scheduled_at IS NOT NULL AND tenant & 1 = 0 AND due_at > ? AND due_at < ? AND priority = ?",
        (now, minute_ends, priority),
    ).fetchone()
    return all_n - past_n + edge_n, all_parts - past_parts + edge_parts


def _due_before(
    db: Connection, kind: Literal["part", "message"], category: int, end: int
) -> tuple[int, int]:
    """Return messages and parts that are due before `end`, a whole minute: days, then hours, then minutes."""
    items = size = 0
    for width, first, last in _spans(end):
        row = db.execute(
            "SELECT COALESCE(SUM(n), 0), COALESCE(SUM(parts), 0) FROM due_count WHERE kind = ? "
            "AND class = ? AND width = ? AND bucket >= ? AND bucket < ?",
            (kind, category, width, first, last),
        ).fetchone()
        items += row[0]
        size += row[1]
    return items, size


def _spans(end: int) -> Iterator[tuple[int, int, int]]:
    """Return the buckets (width, first, last excluded) that cover everything before `end`."""
    start = _FIRST_MOMENT
    for width in (DAY_MS, HOUR_MS, MINUTE_MS):
        yield width, start // width, end // width
        start = end // width * width


# --- recipients -------------------------------------------------------------------------------------


class Recipients(msgspec.Struct, frozen=True):
    """The numbers that a SIM with a cap on recipients has written to in one billing month, and those that wait.

    Each call reads the store, so messages that the present transaction has queued count.
    """

    db: Connection
    sim: str
    month: int

    def is_new(self, number: str) -> bool:
        """Return whether the SIM has not written to this number in that month."""
        return not self.db.execute(
            "SELECT 1 FROM sim_recipient WHERE recipient = ? AND sim = ? AND month = ?",
            (number, self.sim, self.month),
        ).fetchone()

    def leave_no_room(self, number: str, most: int) -> bool:
        """Return whether this number would exceed `most`."""
        return self.is_new(number) and not self._waits(number) and self._used() >= most

    def _waits(self, number: str) -> bool:
        found = self.db.execute("SELECT 1 FROM queued_recipient WHERE recipient = ?", (number,))
        return found.fetchone() is not None

    def _used(self) -> int:
        """Return how many numbers were written to, and how many others messages wait for."""
        known, known_and_waiting = self.db.execute(
            "SELECT COALESCE(SUM(recipients), 0), COALESCE(SUM(queued), 0) FROM recipient_count "
            "WHERE sim = ? AND month = ?",
            (self.sim, self.month),
        ).fetchone()
        queued = self.db.execute("SELECT queued FROM recipient_count WHERE sim = ''").fetchone()[0]
        return int(known + queued - known_and_waiting)


def recipients(db: Connection, sim: str, month: int) -> Recipients:
    """Return the numbers that count against this SIM's cap; the first call makes the store keep them."""
    counted = db.execute("SELECT 1 FROM meta WHERE key = 'recipients_counted'").fetchone()
    if counted is None:
        db.execute(
            "INSERT INTO queued_recipient SELECT recipient, COUNT(*) FROM message "
            "WHERE status = 'queued' AND tenant & 1 = 0 GROUP BY recipient"
        )
        db.execute("INSERT INTO meta VALUES ('recipients_counted', 1)")
    return Recipients(db, sim, month)

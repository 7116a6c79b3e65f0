"""Delivery reports and their parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from sqlite3 import Connection
from typing import Any

from appliance.domain import report_matching
from appliance.domain.ids import Ids
from appliance.domain.message import PartEvent, PartState, possible
from appliance.domain.report_matching import Candidate, Offset, ReportFields
from appliance.store import messages, submissions
from appliance.store.failure_causes import fault_cause
from appliance.store.rows import AttemptRow, PartRow, ReportRow, columns, every, first
from modem.error_codes import lookup

UNPLACED_KEPT_MS = 30 * 86_400_000
LOOKED_AT = (
    200  # unmatched reports examined per answer, newest first: a part must not wait for them
)


def arrived(
    db: Connection,
    new_ids: Ids,
    device: int,
    sim: str,
    report: ReportFields,
    tp_status: int,
    discharged_at: int | None,
    now: int,
) -> Candidate | None:
    """Record a report with its part and return the submission; keep it if it matches none yet.

    A report on the part that is being sent (kind "air") is kept until the modem has answered, or is not waited for
    any longer: the answer has the reference that decides.
    """
    found = _find(db, sim, report)
    if found is None or found.kind == "air":
        db.execute(
            "INSERT INTO stray_report (device, sim, reference, recipient, tp_status, scts, "
            "discharged_at, arrived_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (device, sim, report.reference, report.recipient, tp_status)
            + (report.scts, discharged_at, now),
        )
        apply_strays(db, new_ids, sim, now)  # several reports together may decide what one cannot
        return found
    if found.kind == "past":
        return None  # a copy, or too late
    _apply(db, new_ids, found, report, tp_status, now)
    apply_strays(db, new_ids, sim, now)  # this match may decide another report
    return found


def _find(
    db: Connection,
    sim: str,
    report: ReportFields,
    centre: Callable[[], Offset | None] | None = None,
) -> Candidate | None:
    """Return the submission that a report is about, if that is known now."""
    return report_matching.match(
        report,
        submissions.candidates(db, sim, report),
        centre or (lambda: submissions.centre(db, sim)),
        lambda: submissions.uncounted(db, sim, report),
    )


def _apply(
    db: Connection, new_ids: Ids, found: Candidate, report: ReportFields, tp_status: int, now: int
) -> None:
    """Apply the event that a report means."""
    if found.kind == "try":
        _apply_to_attempt(db, new_ids, found, report, tp_status, now)
        return
    message, number = found.key
    part = messages.part_of(db, message, number)
    assert part is not None, "a candidate is in the store"
    if part.state == PartState.TAKEN:
        # `sent` is emitted before `delivered`, also if the answer's `settle_sent` is still to come.
        messages.settle(db, new_ids, message, part.answered_at or now)
    submissions.remember(db, part, found.recipient, report.reference, report.scts)
    settled = lookup.status(tp_status)
    changes = {"reference": report.reference, "tp_status": tp_status, "reported_at": now}
    state = PartState(part.state)
    if settled.meaning == "delivered":
        _deliver(db, part, changes)
    elif settled.meaning == "failed" and possible(state, PartEvent.UNDELIVER):
        # Stays open: a later 00 overrides any earlier failure.
        messages.step_part(
            db, part, PartEvent.UNDELIVER, error=fault_cause(settled.fault), **changes
        )
    else:
        if settled.meaning == "ended":
            changes["open"] = 0
        if state == PartState.UNCERTAIN:
            # "Still trying" or "forwarded" proves that the network has accepted it.
            messages.step_part(db, part, PartEvent.TAKE, error=None)
        columns = ", ".join(f"{name} = ?" for name in changes)
        db.execute(
            f"UPDATE part SET {columns} WHERE message = ? AND number = ?",
            (*changes.values(), message, number),
        )
    messages.settle(db, new_ids, message, now)


def _deliver(db: Connection, part: PartRow, changes: dict[str, Any]) -> None:
    if possible(PartState(part.state), PartEvent.DELIVER):
        messages.step_part(db, part, PartEvent.DELIVER, error=None, open=0, **changes)


def _apply_to_attempt(
    db: Connection, new_ids: Ids, found: Candidate, report: ReportFields, tp_status: int, now: int
) -> None:
    """Apply a report on an earlier attempt: only `delivered` counts, and saves sending the part again."""
    selected = f"SELECT {columns(AttemptRow)} FROM attempt WHERE id = ?"
    row = first(AttemptRow, db.execute(selected, (found.row,)))
    assert row is not None, "a candidate is in the store"
    submissions.remember(db, row, found.recipient, report.reference, report.scts)
    kind = lookup.status(tp_status).meaning
    db.execute(
        "UPDATE attempt SET reference = ?, tp_status = ?, reported_at = ?, open = ? WHERE id = ?",
        (report.reference, tp_status, now, int(kind == "trying"), found.row),
    )
    message = row.message
    if kind == "delivered":
        submissions.close(db, message)
        for part in _arrived_with(db, row):
            # Without a later submission, that one counts.
            of_it = ("device", "sim", "submitted_at", "answered_at", "reference")
            changes = {name: getattr(row, name) for name in of_it if part.submitted_at is None}
            _deliver(db, part, changes | {"tp_status": tp_status, "reported_at": now})
    messages.settle(
        db, new_ids, message, now
    )  # also if it was only the last report that was waited for


def _arrived_with(db: Connection, row: AttemptRow) -> list[PartRow]:
    """Return the parts that need not be sent (again) because an attempt has arrived.

    That is its own part; but for a round before a resend all parts or none, because the recipient joins parts
    by reference, and a part of the old text completes no new one.
    """
    message = messages.get(db, row.message)
    assert message is not None, "an attempt that is open belongs to a message in motion"
    parts = messages.parts_of(db, row.message)
    if row.round == message.round:
        return [part for part in parts if part.number == row.number]
    arrived = db.execute(
        "SELECT COUNT(DISTINCT number) FROM attempt WHERE message = ? AND round = ? AND tp_status = 0",
        (row.message, row.round),
    ).fetchone()[0]
    return parts if arrived == message.parts else []


def apply_strays(db: Connection, new_ids: Ids, sim: str, now: int) -> None:
    """Match kept reports again, after an answer or a report."""
    while _apply_a_stray(db, new_ids, sim, now):
        pass


_STRAYS = f"SELECT {columns(ReportRow)} FROM stray_report WHERE sim = ? ORDER BY id DESC LIMIT ?"


def _apply_a_stray(db: Connection, new_ids: Ids, sim: str, now: int) -> bool:
    strays = [
        (
            row,
            ReportFields(row.reference, row.recipient, row.scts, row.arrived_at),
        )
        for row in reversed(every(ReportRow, db.execute(_STRAYS, (sim, LOOKED_AT))))
    ]

    @cache
    def centre() -> Offset | None:
        known = submissions.centre(db, sim)
        if known is not None:
            return known
        kept = ((report, submissions.candidates(db, sim, report)) for _, report in strays)
        return report_matching.agreement(kept)

    for row, report in strays:
        found = _find(db, sim, report, centre)
        if found is None or found.kind == "air":
            continue
        db.execute("DELETE FROM stray_report WHERE id = ?", (row.id,))
        if found.kind != "past":
            _apply(db, new_ids, found, report, row.tp_status, now)
            return True
    return False


def has_strays(db: Connection, sim: str) -> bool:
    """Return whether reports are kept that match no part yet."""
    found = db.execute("SELECT 1 FROM stray_report WHERE sim = ? LIMIT 1", (sim,))
    return found.fetchone() is not None


def forget_strays(db: Connection, before: int) -> list[ReportRow]:
    """Give up and return unmatched reports older than a time; they are kept in `unplaced_report` for a month."""
    given_up = f"DELETE FROM stray_report WHERE arrived_at < ? RETURNING {columns(ReportRow)}"
    rows = every(ReportRow, db.execute(given_up, (before,)))
    db.executemany(
        "INSERT INTO unplaced_report (device, sim, reference, recipient, tp_status, scts, "
        "discharged_at, arrived_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [row[1:] for row in rows],
    )
    db.execute("DELETE FROM unplaced_report WHERE arrived_at < ?", (before - UNPLACED_KEPT_MS,))
    return rows


def unplaced(db: Connection, since: int) -> int:
    """Return how many reports have come since a time that belong to no message."""
    n: int = db.execute(
        "SELECT COUNT(*) FROM unplaced_report WHERE arrived_at >= ?", (since,)
    ).fetchone()[0]
    return n

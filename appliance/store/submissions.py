"""Submissions: all parts and attempts that a report can be about, including finished ones."""

from __future__ import annotations

from sqlite3 import Connection, Cursor

from appliance.domain import report_matching
from appliance.domain.report_matching import Candidate, Offset, ReportFields
from appliance.store.rows import AttemptRow, PartRow, PastRow, SubmissionRow, columns, every

NO_REFERENCE = -1  # the reference of a submission without an answer
# A modem without an answer may still have been sending (24.011: TR1M is below 45 s).
DOUBT_MS = 60_000
CLOCK_SAMPLES = 32  # how many of the newest reports determine the service centre's clock

# As in the index part_uncertain: SQLite uses it only if the statement has this condition, and otherwise
# scans every waiting part.
UNSETTLED = "state IN ('submitted', 'uncertain')"

OPEN = f"""
SELECT 'part' AS kind, 0 AS id, p.message, p.number, m.recipient, p.reference, p.submitted_at,
    p.answered_at
  FROM part p JOIN message m ON m.id = p.message
  WHERE p.sim = :sim AND p.open = 1 AND (p.reference = :reference OR p.reference IS NULL)
UNION ALL
SELECT 'air', 0, p.message, p.number, m.recipient, NULL, p.submitted_at, NULL
  FROM part p JOIN message m ON m.id = p.message
  WHERE p.{UNSETTLED} AND p.state = 'submitted' AND p.sim = :sim
UNION ALL
SELECT 'try', t.id, t.message, t.number, m.recipient, t.reference, t.submitted_at, t.answered_at
  FROM attempt t JOIN message m ON m.id = t.message
  WHERE t.sim = :sim AND t.open = 1 AND (t.reference = :reference OR t.reference IS NULL)
"""
PAST = (
    f"SELECT {columns(PastRow)} FROM submission "
    "WHERE sim = :sim AND reference IN (:reference, :no_reference)"
)
REMEMBER = """
INSERT INTO submission (sim, reference, submitted_at, message, number, recipient, taken_by, scts)
VALUES (:sim, :reference, :submitted_at, :message, :number, :recipient, :taken_by, :scts)
ON CONFLICT DO UPDATE SET scts = COALESCE(scts, excluded.scts)
"""
# A submission that expects no further report. The conflict: a report has arrived before.
CLOSE = f"""
INSERT OR IGNORE INTO submission
  (sim, reference, submitted_at, message, number, recipient, taken_by, scts)
SELECT t.sim, COALESCE(t.reference, {NO_REFERENCE}), t.submitted_at, t.message, t.number, m.recipient,
    COALESCE(t.answered_at, t.submitted_at) + IIF(t.reference IS NULL, {DOUBT_MS}, 0), NULL
  FROM (SELECT message, number, sim, reference, submitted_at, answered_at FROM part
          WHERE message = :message AND open = 1
        UNION ALL
        SELECT message, number, sim, reference, submitted_at, answered_at FROM attempt
          WHERE message = :message AND open = 1) t
  JOIN message m ON m.id = t.message
  WHERE t.sim IS NOT NULL AND t.submitted_at IS NOT NULL
"""


# The submissions whose reference cannot be compared with that of a report: one of the two is always 0.
UNCOUNTED = """
SELECT 'part' AS kind, 0 AS id, p.message, p.number, m.recipient, p.reference, p.submitted_at,
    p.answered_at
  FROM part p JOIN message m ON m.id = p.message
  WHERE p.sim = :sim AND p.open = 1 AND {reference} AND m.recipient LIKE :tail
UNION ALL
SELECT 'try', t.id, t.message, t.number, m.recipient, t.reference, t.submitted_at, t.answered_at
  FROM attempt t JOIN message m ON m.id = t.message
  WHERE t.sim = :sim AND t.open = 1 AND {reference} AND m.recipient LIKE :tail
"""
PAST_UNCOUNTED = (
    f"SELECT {columns(PastRow)} FROM submission "
    "WHERE sim = :sim AND {reference} AND recipient LIKE :tail"
)


def uncounted(db: Connection, sim: str, report: ReportFields) -> list[Candidate]:
    """Return the submissions to the number of a report that one reference of 0 does not tell apart."""
    digits = report.recipient.lstrip("+")
    if not digits.isdecimal():
        return []
    # A report without a reference may be about any; one with a reference about those that the modem did not count.
    is_uncounted = (
        "reference >= 0" if report.reference == report_matching.UNCOUNTED else "reference = 0"
    )
    wanted = {"sim": sim, "tail": "%" + digits[-report_matching.TAIL_DIGITS :]}
    past = db.execute(PAST_UNCOUNTED.format(reference=is_uncounted), wanted)
    return _joined(report, db.execute(UNCOUNTED.format(reference=is_uncounted), wanted), past)


def candidates(db: Connection, sim: str, report: ReportFields) -> list[Candidate]:
    """Return all submissions through a SIM that a report with this reference can be about."""
    wanted = {"sim": sim, "reference": report.reference, "no_reference": NO_REFERENCE}
    return _joined(report, db.execute(OPEN, wanted), db.execute(PAST, wanted))


def _joined(report: ReportFields, open_rows: Cursor, past_rows: Cursor) -> list[Candidate]:
    past = {_key(row): row for row in every(PastRow, past_rows)}
    found = []
    for row in every(SubmissionRow, open_rows):
        known = past.pop(_key(row), None)
        found.append(
            Candidate(
                row.kind,
                (row.message, row.number),
                row.recipient,
                row.reference,
                row.submitted_at,
                report.arrived_at if row.kind == "air" else taken_by(row),
                known.scts if known else None,
                row.id,
            )
        )
    over = [
        Candidate(
            "past",
            (row.message, row.number),
            row.recipient,
            None if row.reference == NO_REFERENCE else row.reference,
            row.submitted_at,
            row.taken_by,
            row.scts,
        )
        for row in past.values()
    ]
    return found + over


def _key(row: SubmissionRow | PastRow) -> tuple[int, int, int]:
    """Return the key of a submission: a modem has one part at a time, so the time identifies it."""
    return row.message, row.number, row.submitted_at


def taken_by(row: SubmissionRow | PartRow | AttemptRow) -> int:
    """Return the latest time at which the network can have accepted a submission."""
    answered = row.answered_at or row.submitted_at
    assert answered is not None, "a submission has the time at which it was submitted"
    return answered + (DOUBT_MS if row.reference is None else 0)


def centre(db: Connection, sim: str) -> Offset | None:
    """Return the offset of the service centre's clock, from earlier reports."""
    rows = db.execute(
        "SELECT submitted_at, taken_by, scts FROM submission "
        "WHERE sim = ? AND scts IS NOT NULL ORDER BY submitted_at DESC LIMIT ?",
        (sim, CLOCK_SAMPLES),
    )
    return report_matching.offset((r[0], r[1], r[2]) for r in rows)


def remember(
    db: Connection,
    row: PartRow | AttemptRow,
    recipient: str,
    reference: int | None,
    scts: int | None = None,
    *,
    answered_at: int | None = None,
) -> None:
    """Keep a submission (a part's or an attempt's row) with what is known about it."""
    db.execute(
        REMEMBER,
        {
            "sim": row.sim,
            "reference": NO_REFERENCE if reference is None else reference,
            "submitted_at": row.submitted_at,
            "message": row.message,
            "number": row.number,
            "recipient": recipient,
            "taken_by": answered_at or taken_by(row),
            "scts": scts,
        },
    )


def close(db: Connection, message: int) -> None:
    """Keep the submissions of a message before `open` is cleared, so that their reports match no other."""
    db.execute(CLOSE, {"message": message})


def forget(db: Connection, before: int) -> None:
    """Forget submissions too old to compete for reports."""
    db.execute("DELETE FROM submission WHERE submitted_at < ?", (before,))

"""Delivery reports meet their parts."""

from __future__ import annotations

from sqlite3 import Connection, Row

from appliance import matching
from appliance.ids import Ids
from appliance.matching import Candidate, Heard
from appliance.message import Part, Step, possible
from appliance.store import messages
from appliance.store.causes import fault_cause
from modem import faults

CANDIDATES = """
SELECT 'part' AS kind, p.message, p.number, p.reference, p.handed_at, m.recipient
  FROM part p JOIN message m ON m.id = p.message
  WHERE p.sim = :sim AND p.open = 1 AND (p.reference = :reference OR p.reference IS NULL)
UNION ALL
SELECT 'try', t.id, 0, t.reference, t.handed_at, m.recipient
  FROM try t JOIN message m ON m.id = t.message
  WHERE t.sim = :sim AND t.open = 1 AND (t.reference = :reference OR t.reference IS NULL)
"""


def arrived(
    db: Connection,
    new_ids: Ids,
    device: int,
    sim: str,
    heard: Heard,
    tp_status: int,
    discharged_at: int | None,
    now: int,
) -> int | None:
    """Record a report with its part; keep it if it fits none yet. Returns the message it changed."""
    found = _find(db, sim, heard)
    if found is None:
        db.execute(
            "INSERT INTO stray_report (device, sim, reference, recipient, tp_status, submitted_at, "
            "discharged_at, arrived_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (device, sim, heard.reference, heard.recipient, tp_status)
            + (heard.submitted_at, discharged_at, now),
        )
        return None
    return _apply(db, new_ids, found, heard.reference, tp_status, discharged_at, now)


ANOTHER_S = """
SELECT m.recipient, p.handed_at FROM part p JOIN message m ON m.id = p.message
  WHERE p.sim = :sim AND (p.state = 'handed' OR (p.open = 0 AND p.reference = :reference))
"""


def _find(db: Connection, sim: str, heard: Heard) -> Candidate | None:
    """The hand-over that the report speaks of, if that can be said now."""
    rows = db.execute(CANDIDATES, {"sim": sim, "reference": heard.reference})
    found = matching.match(
        heard,
        [
            Candidate(
                r["kind"],
                (r["message"], r["number"]),
                r["recipient"],
                r["reference"],
                r["handed_at"],
            )
            for r in rows
        ],
    )
    if found is None or found.reference is not None:
        return found
    # A doubt is settled only by a report that cannot be another's: of the part that is on the air
    # just now (its answer, with its reference, is still to come), or one that comes a second time.
    others = db.execute(ANOTHER_S, {"sim": sim, "reference": heard.reference}).fetchall()
    mistakable = any(
        matching.same_number(r["recipient"], heard.recipient)
        and matching.near(heard.submitted_at, r["handed_at"])
        for r in others
    )
    return None if mistakable else found


def _apply(
    db: Connection,
    new_ids: Ids,
    found: Candidate,
    reference: int,
    tp_status: int,
    discharged_at: int | None,
    now: int,
) -> int:
    """Take the step this report means."""
    if found.kind == "try":
        return _apply_to_try(db, new_ids, found.key[0], tp_status, now)
    message, number = found.key
    part: Row = db.execute(
        "SELECT * FROM part WHERE message = ? AND number = ?", (message, number)
    ).fetchone()
    settled = faults.status(tp_status)
    told = {"reference": reference, "tp_status": tp_status, "reported_at": now}
    state = Part(part["state"])
    if settled.meaning == "delivered":
        _deliver(db, part, told)
    elif settled.meaning == "failed" and possible(state, Step.UNDELIVER):
        # Open stays: a later 00 beats an earlier failure of any kind.
        messages.step_part(db, part, Step.UNDELIVER, error=fault_cause(settled.fault), **told)
    else:
        if settled.meaning == "ended":
            told["open"] = 0
        if state == Part.UNCERTAIN:
            # "Still trying" or "forwarded" proves that the network has it.
            messages.step_part(db, part, Step.TAKE, error=None)
        columns = ", ".join(f"{name} = ?" for name in told)
        db.execute(
            f"UPDATE part SET {columns} WHERE message = ? AND number = ?",
            (*told.values(), message, number),
        )
    messages.settle(db, new_ids, message, now)
    return message


def _deliver(db: Connection, part: Row, told: dict[str, int]) -> None:
    if possible(Part(part["state"]), Step.DELIVER):
        messages.step_part(db, part, Step.DELIVER, error=None, open=0, **told)


def _apply_to_try(db: Connection, new_ids: Ids, key: int, tp_status: int, now: int) -> int:
    """A report for an earlier try: only `delivered` counts, and then the part need not go again."""
    row: Row = db.execute("SELECT * FROM try WHERE id = ?", (key,)).fetchone()
    kind = faults.status(tp_status).meaning
    db.execute(
        "UPDATE try SET tp_status = ?, reported_at = ?, open = ? WHERE id = ?",
        (tp_status, now, int(kind == "trying"), key),
    )
    message: int = row["message"]
    if kind == "delivered":
        part: Row = db.execute(
            "SELECT * FROM part WHERE message = ? AND number = ?", (message, row["number"])
        ).fetchone()
        if part["state"] != Part.DELIVERED:
            _deliver(db, part, {"tp_status": tp_status, "reported_at": now})
            messages.settle(db, new_ids, message, now)
    return message


def apply_strays(db: Connection, new_ids: Ids, sim: str, now: int) -> None:
    """After an answer: the reports that came before it find their part, or the doubt they settle."""
    strays = db.execute("SELECT * FROM stray_report WHERE sim = ? ORDER BY id", (sim,)).fetchall()
    for stray in strays:
        heard = Heard(
            stray["reference"], stray["recipient"], stray["submitted_at"], stray["arrived_at"]
        )
        found = _find(db, sim, heard)
        if found is None:
            continue
        db.execute("DELETE FROM stray_report WHERE id = ?", (stray["id"],))
        told = (stray["reference"], stray["tp_status"], stray["discharged_at"], now)
        _apply(db, new_ids, found, *told)


def forget_strays(db: Connection, before: int) -> list[Row]:
    """Reports that nobody missed, for the log."""
    return db.execute(
        "DELETE FROM stray_report WHERE arrived_at < ? RETURNING *", (before,)
    ).fetchall()

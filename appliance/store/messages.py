"""Messages in the store: inserted, settled from their parts, cancelled, resent. All synchronous."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any, NamedTuple

import msgspec

from appliance.domain import message as states
from appliance.domain.ids import Ids
from appliance.domain.message import PartEvent, PartState, Status
from appliance.domain.message_state import MessageState, state_of
from appliance.store import counters, events, smpp, submissions
from appliance.store.failure_causes import UNKNOWN_OUTCOMES, stored_cause
from appliance.store.rows import MessageRow, PartRow, columns, every, first
from appliance.store.starts import THIS_START
from modem.error_codes import lookup

NEVER = 1 << 52  # ready_at of a parked part, far in the future


class NewMessage(NamedTuple):
    """A message to store, as decided by intake: the columns of its row. Times in ms."""

    tenant: int
    recipient: str
    body: str
    alphabet: str
    shift: int
    parts: int
    priority: int
    device: int
    bound: bool
    due_at: int
    expires_at: int
    max_attempts: int
    on_uncertain: str
    api_key: int | None = None
    kind: str = "sms"
    secret: bytes | None = None
    batch: int | None = None
    scheduled_at: int | None = None
    validity_minutes: int | None = None
    flash: bool = False
    metadata: str | None = None
    webhook_url: str | None = None


# The octets that a row grows by until its report, so that its page is not split then.
MESSAGE_RESERVE, PART_RESERVE = 24, 44

INSERT_MESSAGE = (
    "INSERT INTO message (id, status, created_at, queued_at, changed_at, start_number, reserve, "
    f"{columns(NewMessage)}) VALUES (?1, 'queued', ?2, ?2, ?2, {THIS_START}, "
    f"zeroblob({MESSAGE_RESERVE}){', ?' * len(NewMessage._fields)})"
)

INSERT_PART = f"""
INSERT INTO part (message, number, state, test, bound_device, urgent, scheduled, rank, ready_at, ready, reserve)
VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?, zeroblob({PART_RESERVE}))
"""


def insert(db: Connection, new_ids: Ids, fresh: NewMessage, rank: int, now: int) -> int:
    """Store a message and its parts as queued, at a rank in the queue. Return its id."""
    number = new_ids.message(now)
    db.execute(INSERT_MESSAGE, (number, now, *fresh))
    bound_device = fresh.device if fresh.bound else 0
    scheduled = fresh.scheduled_at is not None
    common = (fresh.tenant & 1, bound_device, fresh.priority == 1, scheduled, rank, fresh.due_at)
    ready = fresh.due_at <= now
    for part in range(1, fresh.parts + 1):
        db.execute(INSERT_PART, (number, part, *common, ready))
    counters.add(db, fresh.tenant, fresh.device, now, Status.QUEUED)
    return number


_MESSAGE = f"SELECT {columns(MessageRow)} FROM message WHERE id = ?"
_PARTS = f"SELECT {columns(PartRow)} FROM part WHERE message = ?"


def get(db: Connection, number: int) -> MessageRow | None:
    """Return the row of a message in the queue tables; None if it is not there."""
    return first(MessageRow, db.execute(_MESSAGE, (number,)))


def named_device(db: Connection, number: int) -> int:
    """Return the modem that was named for a message; 0 if the box picked one."""
    row = db.execute(
        "SELECT device FROM message WHERE id = ?1 AND bound = 1 UNION ALL "
        "SELECT device FROM history WHERE id = ?1 AND bound = 1",
        (number,),
    ).fetchone()
    return row[0] if row else 0


def parts_of(db: Connection, number: int) -> list[PartRow]:
    """Return the parts of a message, in order."""
    return every(PartRow, db.execute(f"{_PARTS} ORDER BY number", (number,)))


def part_of(db: Connection, message: int, number: int) -> PartRow | None:
    """Return a part of a message in the queue tables; None if it is not there."""
    return first(PartRow, db.execute(f"{_PARTS} AND number = ?", (message, number)))


def step_part(db: Connection, part: PartRow, step: PartEvent, **columns: Any) -> PartState:
    """Apply an event to a part, and set further columns. Raises ImpossibleStep."""
    then = states.after(PartState(part.state), step)
    names = "".join(f", {name} = ?" for name in columns)
    db.execute(
        f"UPDATE part SET state = ?{names} WHERE message = ? AND number = ?",
        (then, *columns.values(), part.message, part.number),
    )
    return then


def unbind(db: Connection, message: int) -> bool:
    """Release a message from its SIM; return False if a part was accepted, which keeps it there."""
    changed = db.execute(
        "UPDATE part SET bound_sim = NULL, bound_device = (SELECT IIF(bound, device, 0) FROM message WHERE id = ?1) "
        "WHERE message = ?1 AND NOT EXISTS (SELECT 1 FROM part WHERE message = ?1 "
        "AND state NOT IN ('waiting', 'dropped'))",
        (message,),
    )
    return bool(changed.rowcount)


def drop_waiting(db: Connection, number: int) -> None:
    """Drop the waiting and held parts of a message."""
    db.execute(
        "UPDATE part SET state = 'dropped', open = 0 WHERE message = ? AND state IN ('waiting', 'held')",
        (number,),
    )


def settle(db: Connection, new_ids: Ids, number: int, now: int, *, resent: bool = False) -> Status:
    """Bring a message in line with its parts: status, times, error, counters, event. Return its status.

    Call it after any change of a part. Raises ImpossibleStep if the contract has no such transition.
    """
    message = get(db, number)
    assert message is not None, "settle is called for messages in motion"
    parts = parts_of(db, number)
    before = Status(message.status)
    then = states.follow(before, (PartState(p.state) for p in parts), resent=resent)
    uncertain = int(_uncertain(db, message, then, parts))
    if then == before:
        if then == Status.FAILED and any(p.state == PartState.WAITING for p in parts):
            # It failed while this part was being sent, and the modem refused the part.
            drop_waiting(db, number)
            parts = parts_of(db, number)
        if uncertain != message.uncertain:
            db.execute(
                "UPDATE message SET uncertain = ?, changed_at = ? WHERE id = ?",
                (uncertain, now, number),
            )
        _close_if_finished(db, new_ids, message, then, parts, now)
        return then
    states.check(before, then)
    changes: dict[str, Any] = {"status": then, "uncertain": uncertain, "changed_at": now, "held": 0}
    changes["reserve"] = None
    if then in (Status.SENT, Status.DELIVERED):
        changes["sent_at"] = message.sent_at or _last_submission(parts, then) or now
        changes |= {"failed_at": None, "error_code": None, "error_detail": None, "secret": None}
    if then == Status.DELIVERED:
        changes["delivered_at"] = now
    elif then == Status.FAILED:
        drop_waiting(db, number)
        parts = parts_of(db, number)
        error = next(
            (p.error for p in parts if p.state == PartState.FAILED and p.error),
            '{"code": "DEVICE_ERROR"}',
        )
        detail = msgspec.json.decode(error)
        changes |= {
            "failed_at": now,
            "error_code": detail["code"],
            "error_detail": error,
            "secret": None,
        }
    elif then == Status.CANCELLED:
        changes |= {"cancelled_at": now, "secret": None}
    elif then == Status.QUEUED:  # resend
        changes |= {"failed_at": None, "sent_at": None, "error_code": None, "error_detail": None}
    assignments = ", ".join(f"{name} = ?" for name in changes)
    db.execute(f"UPDATE message SET {assignments} WHERE id = ?", (*changes.values(), number))
    counters.move(db, message.tenant, message.device, message.created_at, before, then)
    if then != Status.QUEUED:
        events.of_message(db, new_ids, message, f"sms.{then}", now)
        code = changes.get("error_code")
        state = state_of(then, uncertain=bool(uncertain), error=code)
        smpp.note_state(db, new_ids, number, state, _number_of(changes.get("error_detail")), now)
    _close_if_finished(db, new_ids, message, then, parts, now)
    return then


def _number_of(error_detail: str | None) -> int | None:
    """Return the number of the network or the modem in the cause of a failure."""
    return stored_cause(error_detail).number if error_detail else None


def _uncertain(db: Connection, message: MessageRow, then: Status, parts: list[PartRow]) -> bool:
    """Return whether nobody knows what became of a message: while it waits for a report, and after it has failed."""
    if then == Status.QUEUED:
        return any(p.state in (PartState.UNCERTAIN, PartState.HELD) for p in parts)
    if then != Status.FAILED:
        return False
    attempts = [(p.error, p.tp_status) for p in parts if p.state == PartState.FAILED]
    # An attempt without an answer may have left although a later one of the same part was refused.
    attempts += db.execute(
        "SELECT error, tp_status FROM attempt WHERE message = ? AND round = ?",
        (message.id, message.round),
    ).fetchall()
    return any(
        error in UNKNOWN_OUTCOMES and not _reported_failed(tp_status)
        for error, tp_status in attempts
    )


def _reported_failed(tp_status: int | None) -> bool:
    return tp_status is not None and lookup.status(tp_status).meaning == "failed"


def _last_submission(parts: list[PartRow], then: Status) -> int | None:
    """Return `sent_at` of a message settled by a late report: when its last part was submitted."""
    if then != Status.DELIVERED:
        return None
    return max((p.submitted_at for p in parts if p.submitted_at is not None), default=None)


def _close_if_finished(
    db: Connection,
    new_ids: Ids,
    message: MessageRow,
    status: Status,
    parts: list[PartRow],
    now: int,
) -> None:
    """Mark a message that nothing can change any more, so that it may move to the history."""
    number = message.id
    final = status in (Status.DELIVERED, Status.CANCELLED) or (
        status in (Status.SENT, Status.FAILED) and not _report_may_come(db, number, parts)
    )
    if final:
        submissions.close(db, number)
        db.execute("UPDATE part SET open = 0 WHERE message = ? AND open = 1", (number,))
        db.execute("UPDATE attempt SET open = 0 WHERE message = ? AND open = 1", (number,))
    if final != (message.closed_at is not None):
        if final and status == Status.SENT:  # no report came, and none will
            smpp.note_state(db, new_ids, number, MessageState.UNKNOWN, None, now)
        closed_at = now if final else None
        db.execute("UPDATE message SET closed_at = ? WHERE id = ?", (closed_at, number))


def _report_may_come(db: Connection, number: int, parts: list[PartRow]) -> bool:
    """Return whether a report or an answer may still come for a part or an earlier attempt."""
    if any(p.open or p.state == PartState.SUBMITTED for p in parts):
        return True
    open_attempt = db.execute(
        "SELECT 1 FROM attempt WHERE message = ? AND open = 1 LIMIT 1", (number,)
    )
    return open_attempt.fetchone() is not None


def move_lifetime(db: Connection, step: int) -> int:
    """Move the lifetimes of messages queued since the box started by a clock jump. Return how many."""
    if step < 0:  # a retry must not wait for its old time
        db.execute(
            "UPDATE part SET ready_at = ready_at + ? WHERE state = 'waiting' AND ready = 0 "
            "AND scheduled = 0 AND ready_at < ?",
            (step, NEVER),
        )
    return db.execute(
        "UPDATE message SET due_at = due_at + ?1, expires_at = expires_at + ?1 "
        f"WHERE status = 'queued' AND scheduled_at IS NULL AND start_number = {THIS_START}",
        (step,),
    ).rowcount


def cancel(db: Connection, new_ids: Ids, number: int, now: int) -> bool:
    """Cancel a message; return False if it is not queued, or a part was ever submitted.

    This includes attempts before a resend: they may still arrive, and cancelled is final.
    """
    message = get(db, number)
    if message is None or message.status != Status.QUEUED:
        return False
    if message.ever_submitted or message.attempts:
        return False
    drop_waiting(db, number)
    settle(db, new_ids, number, now)
    return True


def keep_attempt(
    db: Connection, part: PartRow, *, error: str | None, answered_at: int | None, awaited: bool
) -> None:
    """Keep a superseded attempt, for the timeline and for a late report."""
    db.execute(
        "INSERT INTO attempt (message, number, device, sim, submitted_at, answered_at, reference, tp_status, "
        "reported_at, open, error, round) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, round FROM message "
        "WHERE id = ?",
        (
            (part.message, part.number, part.device, part.sim, part.submitted_at)
            + (answered_at, part.reference, part.tp_status, part.reported_at)
            + (int(awaited), error, part.message)
        ),
    )


def resend(
    db: Connection,
    new_ids: Ids,
    number: int,
    now: int,
    expires_at: int,
    rank: int,
    alphabet: str,
    shift: int,
    parts: int,
    *,
    bound_device: int = 0,
    api_key: int | None = None,
) -> None:
    """Queue a failed message again with all parts and a new concatenation reference.

    Its earlier attempts are kept: a report on one of them still settles it. `bound_device` binds it to a modem.
    """
    message = get(db, number)
    assert message is not None
    states.check(Status(message.status), Status.QUEUED)
    if parts != message.parts:
        # Segmented differently: parts of the earlier text complete nothing.
        submissions.close(db, number)
        db.execute("UPDATE attempt SET open = 0 WHERE message = ?", (number,))
    submitted = [part for part in parts_of(db, number) if part.submitted_at is not None]
    for part in submitted:
        awaited = parts == message.parts
        keep_attempt(db, part, error=part.error, answered_at=part.answered_at, awaited=awaited)
    attempts = max(
        message.attempts, int(bool(submitted))
    )  # its first attempt may still be under way
    tenant = message.tenant
    if bound_device and bound_device != message.device:
        before = message.device
        counters.change_device(db, tenant, before, bound_device, message.created_at, Status.FAILED)
    db.execute("DELETE FROM part WHERE message = ?", (number,))
    db.executemany(
        INSERT_PART,
        [
            (number, k, tenant & 1, bound_device, int(message.priority == 1), 0, rank, now, 1)
            for k in range(1, parts + 1)
        ],
    )
    db.execute(
        "UPDATE message SET concatenation = NULL, round = round + 1, queued_at = ?, due_at = ?, "
        f"expires_at = ?, start_number = {THIS_START}, ever_submitted = 0, alphabet = ?, shift = ?, parts = ?, "
        "scheduled_at = NULL, "
        "bound = ?, device = ?, api_key = ?, attempts = ?, attempts_before = ? WHERE id = ?",
        (
            now,
            now,
            expires_at,
            alphabet,
            shift,
            parts,
            int(bool(bound_device)),
            bound_device or message.device,
            api_key,
            attempts,
            attempts,
            number,
        ),
    )
    settle(db, new_ids, number, now, resent=True)

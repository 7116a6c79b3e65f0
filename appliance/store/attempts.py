"""Outcomes of submitted parts, and the end of uncertain ones."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.core.i18n import _
from appliance.domain import limits
from appliance.domain.ids import Ids
from appliance.domain.message import PartEvent, PartState, Status
from appliance.store import clients, messages, received, reports, submissions
from appliance.store.failure_causes import HELD_TOO_LONG, NO_ANSWER, cause, fault_cause
from appliance.store.queue import WAITED_TOO_LONG, Job, Sender, SendingRules, count_use
from appliance.store.rows import MessageRow, PartRow, columns, every
from appliance.store.starts import THIS_START
from appliance.store.submissions import UNSETTLED
from modem.interface import Outcome, Verdict


def record(
    db: Connection,
    new_ids: Ids,
    rules: SendingRules,
    sender: Sender,
    job: Job,
    outcome: Outcome,
    now: int,
    *,
    later: bool = False,
) -> bool:
    """Record the outcome of a submitted part. Return whether its message is in line with it.

    With `later` that is left to `settle_sent` if the part was accepted: the part alone says that it must not be
    sent again, and many messages settled together write their pages once.
    """
    part = messages.part_of(db, job.message, job.number)
    if part is None or (part.submitted_at, part.device) != (job.submitted_at, job.device):
        _record_before(db, rules, sender, job, outcome, now)
        if messages.get(db, job.message) is not None:
            messages.settle(db, new_ids, job.message, now)  # the message may be complete now
        reports.apply_strays(db, new_ids, job.sim, now)
        return True
    if part.state != PartState.SUBMITTED:
        # A report on an earlier attempt has settled it meanwhile; the answer only adds its reference.
        if outcome.verdict in (Verdict.TAKEN, Verdict.UNKNOWN):
            _used(db, rules, sender, job, now)
        _attempted(db, part)
        db.execute(
            "UPDATE part SET reference = ?, answered_at = ? WHERE message = ? AND number = ?",
            (outcome.reference, now, job.message, job.number),
        )
        submissions.remember(db, part, job.recipient, outcome.reference, answered_at=now)
        reports.apply_strays(db, new_ids, job.sim, now)
        return True
    error = fault_cause(outcome.fault)
    if _perhaps_taken(outcome):
        submissions.remember(db, part, job.recipient, None, answered_at=now)
    match outcome.verdict:
        case Verdict.TAKEN:
            _used(db, rules, sender, job, now)
            _attempted(db, part)
            messages.step_part(
                db, part, PartEvent.TAKE, reference=outcome.reference, answered_at=now, open=1
            )
        case Verdict.UNKNOWN:
            _used(db, rules, sender, job, now)
            _attempted(db, part)
            _lose(db, part, now, error)
        case Verdict.OWNER if sender.test:
            # A test number produced this: show the failure, because no owner can fix a simulated SIM.
            _attempted(db, part)
            messages.step_part(db, part, PartEvent.REFUSE, answered_at=now, error=error)
        case Verdict.NEVER:
            _attempted(db, part)
            messages.step_part(db, part, PartEvent.REFUSE, answered_at=now, error=error)
        case Verdict.AGAIN:
            _attempted(db, part)
            _again(db, rules, part, error, now)
        case Verdict.WAIT | Verdict.OWNER | Verdict.HOUSEKEEP:
            # Nothing left the modem and the message is fine: as if never submitted. But a number that the
            # network refused lets the others go first.
            turn = {"ready": 1}
            if outcome.fault is not None and outcome.fault.by_network:
                turn = {"ready": 0, "scheduled": 0, "ready_at": now + rules.behind_ms}
            messages.step_part(
                db,
                part,
                PartEvent.BACK,
                device=None,
                sim=None,
                submitted_at=None,
                error=error,
                **turn,
            )
            messages.unbind(db, job.message)
            db.execute(
                "UPDATE message SET ever_submitted = attempts > 0 WHERE id = ?",
                (job.message,),
            )
    if later and outcome.verdict == Verdict.TAKEN and not reports.has_strays(db, job.sim):
        return False
    messages.settle(db, new_ids, job.message, now)  # `sent` is emitted before `delivered`
    reports.apply_strays(db, new_ids, job.sim, now)
    return True


def settle_sent(db: Connection, new_ids: Ids, message: int, now: int) -> None:
    """Bring a message in line with a part that was accepted at `now`; it may be finished and moved meanwhile."""
    if messages.get(db, message) is not None:
        messages.settle(db, new_ids, message, now)


def settle_after_start(db: Connection, new_ids: Ids, now: int) -> None:
    """Settle the messages of accepted parts that a crash left without `settle_sent`."""
    rows = db.execute(
        "SELECT p.message, MAX(p.answered_at) FROM part p INDEXED BY part_open "
        "CROSS JOIN message m ON m.id = p.message "
        "WHERE p.open = 1 AND p.state = 'taken' AND m.status = 'queued' GROUP BY p.message"
    ).fetchall()
    for message, answered_at in rows:
        messages.settle(db, new_ids, message, answered_at or now)


def _record_before(
    db: Connection, rules: SendingRules, sender: Sender, job: Job, outcome: Outcome, now: int
) -> None:
    """Record the outcome of a submission whose message was resent meanwhile, with its attempt."""
    left = outcome.verdict in (Verdict.TAKEN, Verdict.UNKNOWN)
    if left:
        _used(db, rules, sender, job, now)
    db.execute(
        "UPDATE attempt SET reference = ?, answered_at = ?, open = ?, error = ? "
        "WHERE message = ? AND number = ? AND submitted_at = ? AND device = ?",
        (outcome.reference, now, int(left), fault_cause(outcome.fault))
        + (job.message, job.number, job.submitted_at, job.device),
    )


def _perhaps_taken(outcome: Outcome) -> bool:
    """Return whether the network may have accepted a part that the modem refused.

    A modem answers CMS 500 also if the network's answer was lost.
    """
    fault = outcome.fault
    refused = outcome.verdict not in (Verdict.TAKEN, Verdict.UNKNOWN)
    return refused and outcome.given and not (fault is not None and fault.by_network)


def _used(db: Connection, rules: SendingRules, sender: Sender, job: Job, now: int) -> None:
    if job.number == 1 and not clients.is_deleted(db, job.tenant // 2):
        received.wrote(db, sender.test, job.device, job.recipient, job.tenant, now)
    if not sender.test:
        count_use(db, job.sim, job.recipient, sender.limits, now, rules.zone)


def _attempted(db: Connection, part: PartRow) -> None:
    db.execute(
        "UPDATE message SET attempts = MAX(attempts, attempts_before + ?) WHERE id = ?",
        (part.attempts + 1, part.message),
    )


def _again(db: Connection, rules: SendingRules, part: PartRow, error: str | None, now: int) -> None:
    """Plan another attempt, or fail the part if its attempts are used up."""
    attempts = part.attempts + 1
    message = messages.get(db, part.message)
    assert message is not None
    if attempts >= message.max_attempts:
        messages.step_part(
            db, part, PartEvent.REFUSE, attempts=attempts, answered_at=now, error=error
        )
        return
    messages.keep_attempt(db, part, error=error, answered_at=now, awaited=bool(part.open))
    ready_at = now + limits.backoff_ms(
        attempts, rules.first_backoff_seconds, rules.longest_backoff_seconds
    )
    messages.step_part(
        db, part, PartEvent.BACK, attempts=attempts, ready=0, ready_at=ready_at, scheduled=0
    )
    messages.unbind(db, part.message)


def _lose(db: Connection, part: PartRow, now: int, error: str | None) -> None:
    """Mark a part as uncertain; its window begins now.

    `ready_at` has the beginning, because clock jumps move it, and reports match by `answered_at`.
    """
    messages.step_part(db, part, PartEvent.LOSE, answered_at=now, ready_at=now, open=1, error=error)
    db.execute(
        f"UPDATE part SET start_number = {THIS_START} WHERE message = ? AND number = ?",
        (part.message, part.number),
    )


def mark_uncertain_after_start(db: Connection, new_ids: Ids, now: int) -> int:
    """Mark parts as uncertain that were being sent when the box crashed. Return how many."""
    settle_after_start(db, new_ids, now)
    submitted = f"SELECT {columns(PartRow)} FROM part WHERE {UNSETTLED} AND state = 'submitted'"
    rows = every(PartRow, db.execute(submitted))
    for part in rows:
        _attempted(db, part)
        _lose(db, part, now, None)
        messages.settle(db, new_ids, part.message, now)
    for sim in {part.sim for part in rows}:
        assert sim is not None, "a submitted part has the SIM that it was submitted to"
        reports.apply_strays(db, new_ids, sim, now)
    return len(rows)


REMOVED = cause(
    "DEVICE_ERROR",
    _("The modem it waited for was removed."),
)


def settle_uncertain(db: Connection, new_ids: Ids, window_ms: int, now: int) -> int | None:
    """Settle uncertain parts whose window has ended, as their message asks (fail or resend).

    The window counts from the last change of any part of the message; waiting parts are sent first. A change in
    the future was before the clock was set back, and does not count. Return when the next window ends (ms), None if
    nothing is uncertain.
    """
    rows = db.execute(
        "SELECT message, MAX(IIF(at <= ?, at, 0)) AS since FROM (SELECT message, state, "
        "IIF(state = 'uncertain', ready_at, COALESCE(answered_at, submitted_at)) AS at FROM part "
        f"WHERE message IN (SELECT message FROM part WHERE {UNSETTLED} AND state = 'uncertain') "
        ") GROUP BY message HAVING SUM(state IN ('waiting', 'submitted')) = 0",
        (now,),
    ).fetchall()
    next_end: int | None = None
    for number, since in rows:
        if since + window_ms > now:
            next_end = min(next_end or since + window_ms, since + window_ms)
            continue
        message = messages.get(db, number)
        assert message is not None
        for part in messages.parts_of(db, number):
            if part.state == PartState.UNCERTAIN:
                _settle_uncertain_part(db, message, part, now)
        messages.settle(db, new_ids, number, now)
    return next_end


def move_uncertain_windows(db: Connection, step: int) -> None:
    """Move the windows of parts that became uncertain since the box started by a clock jump."""
    db.execute(
        "UPDATE part SET ready_at = ready_at + ? "
        f"WHERE {UNSETTLED} AND state = 'uncertain' AND start_number = {THIS_START}",
        (step,),
    )


def _settle_uncertain_part(db: Connection, message: MessageRow, part: PartRow, now: int) -> None:
    again = (
        message.on_uncertain == "resend"
        and part.attempts + 1 < message.max_attempts
        and now < message.expires_at
        and message.status == Status.QUEUED
    )
    if again:
        messages.keep_attempt(
            db,
            part,
            error=NO_ANSWER,
            answered_at=part.answered_at,
            awaited=bool(part.open),
        )
        messages.step_part(
            db,
            part,
            PartEvent.REPEAT,
            attempts=part.attempts + 1,
            ready=1,
            ready_at=now,
            open=0,
            scheduled=0,
        )
    else:
        messages.step_part(db, part, PartEvent.EXPIRE, error=NO_ANSWER)


def fail_for_removed(db: Connection, new_ids: Ids, now: int, most: int) -> int:
    """Fail messages bound to a removed modem. Return how many.

    Device numbers are never reused, so a number without a row was removed.
    """
    rows = db.execute(
        "WITH RECURSIVE gone (id) AS (SELECT seq FROM sqlite_sequence WHERE name = 'device' "
        "UNION ALL SELECT id - 1 FROM gone WHERE id > 1) "
        "SELECT p.message, MIN(p.number) FROM gone JOIN part p ON p.bound_device = gone.id "
        "WHERE gone.id NOT IN (SELECT id FROM device) AND p.state = 'waiting' AND p.bound_device != 0 "
        "GROUP BY p.message LIMIT ?",
        (most,),
    ).fetchall()
    for message, number in rows:
        part = messages.part_of(db, message, number)
        assert part is not None, "it was read just now"
        messages.step_part(db, part, PartEvent.REFUSE, error=REMOVED, answered_at=now)
        messages.settle(db, new_ids, message, now)
    return len(rows)


def expire(db: Connection, new_ids: Ids, now: int, most: int) -> int:
    """Fail messages whose lifetime has ended (a modem that does not come back). Return how many.

    Also beside an uncertain part, which keeps its window.
    """
    rows = db.execute(
        f"SELECT {columns(PartRow, 'p')} FROM message m JOIN part p ON p.message = m.id AND p.number = "
        "(SELECT MIN(number) FROM part WHERE message = m.id AND state IN ('waiting', 'held')) "
        "WHERE m.status = 'queued' AND m.expires_at < ? LIMIT ?",
        (now, most),
    )
    parts = every(PartRow, rows)
    for part in parts:
        error = HELD_TOO_LONG if part.state == PartState.HELD else WAITED_TOO_LONG
        messages.step_part(db, part, PartEvent.EXPIRE, error=error, answered_at=now)
        messages.settle(db, new_ids, part.message, now)
    return len(parts)


def close_reports(
    db: Connection,
    new_ids: Ids,
    before: int,
    now: int,
    *,
    after: int = messages.NEVER,
    most: int = 500,
) -> int:
    """Stop waiting for reports on parts submitted before one time or after another; their status stays."""
    rows = db.execute(
        "SELECT message FROM part WHERE open = 1 AND state != 'uncertain' "
        "AND (submitted_at < ?1 OR submitted_at > ?2) "
        "UNION SELECT message FROM attempt JOIN message m ON m.id = attempt.message "
        "WHERE open = 1 AND (submitted_at < ?1 OR submitted_at > ?2) LIMIT ?3",
        (before, after, most),
    ).fetchall()
    for (message,) in rows:
        submissions.close(db, message)
        for table in ("part", "attempt"):
            db.execute(
                f"UPDATE {table} SET open = 0 "
                "WHERE message = ? AND (submitted_at < ? OR submitted_at > ?)",
                (message, before, after),
            )
        messages.settle(db, new_ids, message, now)
    return len(rows)

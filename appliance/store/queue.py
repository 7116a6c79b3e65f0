"""The queue: claim the next part, record what became of it. All synchronous, all in one commit."""

from __future__ import annotations

from sqlite3 import Connection, Row
from zoneinfo import ZoneInfo

import msgspec

from appliance import pacing
from appliance.config import Limits
from appliance.ids import Ids
from appliance.message import Part, Status, Step
from appliance.pacing import Allowance, Usage
from appliance.store import inbound, messages, reports, tally
from modem.interface import Fault, Outcome, Verdict


class Rules(msgspec.Struct, frozen=True):
    """What the configuration says about sending."""

    zone: ZoneInfo
    first_backoff_seconds: float = 5.0
    longest_backoff_seconds: float = 600.0
    late_grace_ms: int = 24 * 3_600_000
    late_fails: bool = False


class Sender(msgspec.Struct, frozen=True):
    """The modem that asks for work, and the limits of its SIM."""

    device: int
    test: bool
    sim: str  # ICCID
    limits: Limits
    only_urgent: bool = False  # bulk is held: low credit, an operator that refuses
    probe: bool = False  # one part although bulk is held, to see whether it goes again


class Job(msgspec.Struct, frozen=True):
    """A part claimed for a modem: its row says `handed` on the disk."""

    message: int
    number: int
    parts: int
    recipient: str
    body: str
    secret: bytes | None
    alphabet: str
    shift: int
    concatenation: int | None
    validity_minutes: int | None
    flash: bool
    handed_at: int


class Nothing(msgspec.Struct, frozen=True):
    """Nothing may go now. `look_at` (ms): when something will, None if only a bell can tell."""

    look_at: int | None = None
    held: str = ""  # the limit that holds it back


def ripen(db: Connection, now: int, trusted: bool) -> None:
    """Parts whose moment has come may go. A scheduled one waits for a clock that can be trusted."""
    db.execute(
        "UPDATE part SET ripe = 1 WHERE state = 'waiting' AND ripe = 0 AND ready_at <= ?"
        + ("" if trusted else " AND scheduled = 0"),
        (now,),
    )


def next_ready(db: Connection, trusted: bool) -> int | None:
    """When the next part that is not due yet will be."""
    row = db.execute(
        "SELECT MIN(ready_at) FROM part WHERE state = 'waiting' AND ripe = 0"
        + ("" if trusted else " AND scheduled = 0")
    ).fetchone()
    moment: int | None = row[0]
    return moment


def usage(db: Connection, sim: str, limits: Limits, now: int, zone: ZoneInfo) -> Usage:
    """What this SIM has sent in the running minute, hour, local day and billing month."""
    minute = now // pacing.MINUTE_MS
    row = db.execute(
        "SELECT COALESCE(SUM(parts) FILTER (WHERE minute = ?), 0), COALESCE(SUM(parts), 0) "
        "FROM sim_minute WHERE sim = ? AND minute >= ?",
        (minute, sim, minute // 60 * 60),
    ).fetchone()
    today = pacing.day_number(now, zone)
    month = pacing.month_number(now, zone, limits.billing_day)
    first = pacing.month_start(month, limits.billing_day, zone).date().toordinal()
    days = db.execute(
        "SELECT COALESCE(SUM(parts) FILTER (WHERE day = ?), 0), COALESCE(SUM(parts), 0) "
        "FROM sim_day WHERE sim = ? AND day >= ?",
        (today, sim, first),
    ).fetchone()
    recipients = db.execute(
        "SELECT COUNT(*) FROM sim_recipient WHERE sim = ? AND month = ?", (sim, month)
    ).fetchone()[0]
    return Usage(row[0], row[1], days[0], days[1], recipients)


def count_use(
    db: Connection, sim: str, recipient: str, limits: Limits, now: int, zone: ZoneInfo
) -> None:
    """One more part has left through this SIM."""
    for table, unit, value in (
        ("sim_minute", "minute", now // pacing.MINUTE_MS),
        ("sim_day", "day", pacing.day_number(now, zone)),
    ):
        db.execute(
            f"INSERT INTO {table} (sim, {unit}, parts) VALUES (?, ?, 1) "
            "ON CONFLICT DO UPDATE SET parts = parts + 1",
            (sim, value),
        )
    db.execute(
        "INSERT OR IGNORE INTO sim_recipient (sim, month, recipient) VALUES (?, ?, ?)",
        (sim, pacing.month_number(now, zone, limits.billing_day), recipient),
    )


def _unlimited(limits: Limits) -> bool:
    return not (
        limits.per_minute
        or limits.per_hour
        or limits.per_day
        or limits.per_month
        or limits.recipients_per_month
        or limits.quiet_hours
    )


CLAIM = """
UPDATE part SET state = 'handed', device = :device, sim = :sim, handed_at = :now, answered_at = NULL,
  reference = NULL, tp_status = NULL, reported_at = NULL, open = 0, error = NULL
WHERE (message, number) = (
  SELECT message, number FROM (
    SELECT * FROM (SELECT message, number, rank FROM part
      WHERE state = 'waiting' AND ripe = 1 AND test = :test AND pin = 0 AND {condition}
      ORDER BY rank, message, number LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT message, number, rank FROM part
      WHERE state = 'waiting' AND ripe = 1 AND test = :test AND pin = :device
        AND (pin_sim IS NULL OR pin_sim = :sim) AND {condition}
      ORDER BY rank, message, number LIMIT 1))
  ORDER BY rank, message, number LIMIT 1)
RETURNING message, number, scheduled, ready_at
"""
KNOWN_RECIPIENT = """EXISTS (SELECT 1 FROM message m JOIN sim_recipient r ON r.recipient = m.recipient
  WHERE m.id = part.message AND r.sim = :sim AND r.month = :month)"""


def claim(
    db: Connection, new_ids: Ids, rules: Rules, sender: Sender, now: int, trusted: bool
) -> Job | Nothing:
    """Hand the next part over to this modem, on the disk, before its first octet goes out."""
    ripen(db, now, trusted)
    may = Allowance(ordinary=True, urgent=True)
    if not sender.test and not _unlimited(sender.limits):
        used = usage(db, sender.sim, sender.limits, now, rules.zone)
        may = pacing.allowance(sender.limits, used, now, rules.zone)
    if not may.urgent:
        return Nothing(may.again_at, may.reason)
    conditions = ["1"]
    if not may.ordinary or (sender.only_urgent and not sender.probe):
        conditions.append("urgent = 1")
    if not may.new_recipients:
        conditions.append(KNOWN_RECIPIENT)
    statement = CLAIM.format(condition=" AND ".join(conditions))
    arguments = {
        "device": sender.device,
        "sim": sender.sim,
        "test": int(sender.test),
        "now": now,
        "month": pacing.month_number(now, rules.zone, sender.limits.billing_day),
    }
    while True:
        row = db.execute(statement, arguments).fetchone()
        if row is None:
            look_at = min(
                (m for m in (next_ready(db, trusted), may.again_at) if m is not None), default=None
            )
            return Nothing(look_at, may.reason)
        message = messages.get(db, row["message"])
        assert message is not None, "a waiting part has a message in motion"
        error = _too_late(db, rules, message, now, trusted)
        if error is None:
            return _bind(db, sender, message, row["number"], now)
        _refuse(db, new_ids, message["id"], row["number"], error, now)


def _error(code: str, en: str, fr: str) -> str:
    return msgspec.json.encode({"code": code, "en": en, "fr": fr}).decode()


def _too_late(db: Connection, rules: Rules, message: Row, now: int, trusted: bool) -> str | None:
    """Why this message must not go any more, looked at again at hand-over; JSON, None if it may."""
    blocked = db.execute(
        "SELECT 1 FROM blocked WHERE scope IN (?, ?) AND number = ?",
        (message["scope"], message["scope"] & 1, message["recipient"]),
    ).fetchone()
    if blocked:
        return _error(
            "BLOCKED_NUMBER",
            "The number is on the block list or has opted out.",
            "Le numéro est sur la liste de blocage ou s'est désinscrit.",
        )
    if not trusted:
        return None
    if now > message["expires_at"]:
        return _error(
            "SMS_SEND_TIMEOUT",
            "The message waited in the queue for longer than its lifetime.",
            "Le message a attendu dans la file plus longtemps que sa durée de vie.",
        )
    late = now - message["due_at"]
    if message["scheduled_at"] is not None and rules.late_fails and late > rules.late_grace_ms:
        return _error(
            "SMS_SEND_TIMEOUT",
            "The scheduled moment had passed by more than the rule allows.",
            "L'heure prévue était dépassée de plus que la règle ne le permet.",
        )
    if message["validity_minutes"] is not None and late >= message["validity_minutes"] * 60_000:
        return _error(
            "SMS_SEND_TIMEOUT",
            "The validity ended before the message could be handed over.",
            "La validité a pris fin avant que le message puisse être transmis.",
        )
    return None


def _refuse(db: Connection, new_ids: Ids, message: int, number: int, error: str, now: int) -> None:
    part = _part(db, message, number)
    messages.step_part(
        db, part, Step.REFUSE, error=error, answered_at=now, handed_at=None, device=None, sim=None
    )
    messages.settle(db, new_ids, message, now)


def _part(db: Connection, message: int, number: int) -> Row:
    row: Row = db.execute(
        "SELECT * FROM part WHERE message = ? AND number = ?", (message, number)
    ).fetchone()
    return row


def _bind(db: Connection, sender: Sender, message: Row, number: int, now: int) -> Job:
    """The message is this modem's now; its long text gets its reference."""
    if message["parts"] > 1:
        db.execute(
            "UPDATE part SET pin = ?, pin_sim = ? WHERE message = ? AND pin_sim IS NULL",
            (sender.device, sender.sim, message["id"]),
        )
    reference = message["concatenation"]
    if message["parts"] > 1 and reference is None:
        reference = db.execute(
            "INSERT INTO concatenation (recipient, reference) VALUES (?, 0) "
            "ON CONFLICT DO UPDATE SET reference = (reference + 1) % 256 RETURNING reference",
            (message["recipient"],),
        ).fetchone()[0]
    db.execute(
        "UPDATE message SET touched = 1, device = ?, concatenation = ?, changed_at = ? WHERE id = ?",
        (sender.device, reference, now, message["id"]),
    )
    if message["device"] != sender.device:
        tally.change_device(
            db,
            message["scope"],
            message["device"],
            sender.device,
            message["created_at"],
            Status(message["status"]),
        )
    validity = message["validity_minutes"]
    if validity is not None:
        validity = max(1, validity - max(0, now - message["due_at"]) // 60_000)
    return Job(
        message=message["id"],
        number=number,
        parts=message["parts"],
        recipient=message["recipient"],
        body=message["body"],
        secret=message["secret"],
        alphabet=message["alphabet"],
        shift=message["shift"],
        concatenation=reference,
        validity_minutes=validity,
        flash=bool(message["flash"]),
        handed_at=now,
    )


def record(
    db: Connection,
    new_ids: Ids,
    rules: Rules,
    sender: Sender,
    job: Job,
    outcome: Outcome,
    now: int,
) -> None:
    """What became of the part on the line."""
    part = _part(db, job.message, job.number)
    if part["state"] != Part.HANDED:
        # The report of an earlier try settled it meanwhile; the answer only adds its reference.
        db.execute(
            "UPDATE part SET reference = ?, answered_at = ? WHERE message = ? AND number = ?",
            (outcome.reference, now, job.message, job.number),
        )
        return
    error = fault_json(outcome.fault)
    match outcome.verdict:
        case Verdict.TAKEN:
            _used(db, rules, sender, job, now)
            _attempted(db, part)
            messages.step_part(
                db, part, Step.TAKE, reference=outcome.reference, answered_at=now, open=1
            )
            messages.settle(db, new_ids, job.message, now)  # `sent` is told before `delivered`
            reports.apply_strays(db, new_ids, sender.sim, job.message, job.number, now)
        case Verdict.UNKNOWN:
            _used(db, rules, sender, job, now)
            _attempted(db, part)
            messages.step_part(db, part, Step.LOSE, answered_at=now, open=1, error=error)
            reports.apply_strays(db, new_ids, sender.sim, job.message, job.number, now)
        case Verdict.NEVER:
            _attempted(db, part)
            messages.step_part(db, part, Step.REFUSE, answered_at=now, error=error)
        case Verdict.AGAIN:
            _attempted(db, part)
            _again(db, rules, part, error, now)
        case Verdict.WAIT | Verdict.OWNER | Verdict.HOUSEKEEP:
            # Nothing left the modem and nothing is wrong with the message: as if never handed over.
            messages.step_part(
                db, part, Step.BACK, ripe=1, device=None, sim=None, handed_at=None, error=error
            )
            _unbind(db, job.message)
            db.execute(
                "UPDATE message SET touched = attempts > 0 WHERE id = ?",
                (job.message,),
            )
    messages.settle(db, new_ids, job.message, now)


def _used(db: Connection, rules: Rules, sender: Sender, job: Job, now: int) -> None:
    message = messages.get(db, job.message)
    if message is not None and job.number == 1:
        inbound.wrote(db, sender.test, sender.device, job.recipient, message["scope"], now)
    if not sender.test:
        count_use(db, sender.sim, job.recipient, sender.limits, now, rules.zone)


def _attempted(db: Connection, part: Row) -> None:
    db.execute(
        "UPDATE message SET attempts = MAX(attempts, ?) WHERE id = ?",
        (part["tries"] + 1, part["message"]),
    )


def _again(db: Connection, rules: Rules, part: Row, error: str | None, now: int) -> None:
    """Back into the queue with a moment, or failed when its tries are used up."""
    tries = part["tries"] + 1
    message = messages.get(db, part["message"])
    assert message is not None
    if tries >= message["tries"]:
        messages.step_part(db, part, Step.REFUSE, tries=tries, answered_at=now, error=error)
        return
    keep_try(db, part, error=error, answered_at=now)
    ready_at = now + pacing.backoff_ms(
        tries, rules.first_backoff_seconds, rules.longest_backoff_seconds
    )
    messages.step_part(db, part, Step.BACK, tries=tries, ripe=0, ready_at=ready_at, scheduled=0)
    _unbind(db, part["message"])


def keep_try(db: Connection, part: Row, *, error: str | None, answered_at: int | None) -> None:
    """Keep a try that no longer counts: for the story, and for a report that may still come."""
    db.execute(
        "INSERT INTO try (message, number, device, sim, handed_at, answered_at, reference, tp_status, "
        "reported_at, open, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (part["message"], part["number"], part["device"], part["sim"], part["handed_at"])
            + (answered_at, part["reference"], part["tp_status"], part["reported_at"])
            + (part["open"], error)
        ),
    )


def _unbind(db: Connection, message: int) -> None:
    """As long as no part was taken, another SIM may have the message."""
    db.execute(
        "UPDATE part SET pin_sim = NULL, pin = (SELECT IIF(pinned, device, 0) FROM message WHERE id = ?1) "
        "WHERE message = ?1 AND NOT EXISTS (SELECT 1 FROM part WHERE message = ?1 "
        "AND state NOT IN ('waiting', 'dropped'))",
        (message,),
    )


def fault_json(fault: Fault | None) -> str | None:
    """A fault as it is stored with a part."""
    if fault is None:
        return None
    return msgspec.json.encode(
        {
            "code": fault.code,
            "en": fault.english,
            "fr": fault.french,
            "source": fault.source,
            "number": fault.number,
        }
    ).decode()


def doubt_after_start(db: Connection, new_ids: Ids, now: int) -> int:
    """What was on a line when the box stopped without a word: nobody knows. Returns how many parts."""
    rows = db.execute("SELECT * FROM part WHERE state = 'handed'").fetchall()
    for part in rows:
        _attempted(db, part)
        messages.step_part(db, part, Step.LOSE, open=1, answered_at=now)
        reports.apply_strays(db, new_ids, part["sim"], part["message"], part["number"], now)
        messages.settle(db, new_ids, part["message"], now)
    return len(rows)


TIMED_OUT = _error(
    "SMS_SEND_TIMEOUT",
    "The message was handed over and no answer came; it may or may not have arrived.",
    "Le message a été transmis mais aucune réponse n'est venue ; il a pu partir ou non.",
)


def end_doubts(db: Connection, new_ids: Ids, window_ms: int, now: int) -> int | None:
    """Settle the uncertain parts whose window is over, as their message asks for (fail or resend).

    The window counts from the last thing that happened to any part of the message; parts that still
    wait go first. Returns when to look again (ms), None if nothing is in doubt.
    """
    rows = db.execute(
        "SELECT message, MAX(COALESCE(answered_at, handed_at)) AS since FROM part "
        "WHERE message IN (SELECT message FROM part WHERE state = 'uncertain') GROUP BY message "
        "HAVING SUM(state IN ('waiting', 'handed')) = 0"
    ).fetchall()
    look_at: int | None = None
    for row in rows:
        if row["since"] + window_ms > now:
            look_at = min(look_at or row["since"] + window_ms, row["since"] + window_ms)
            continue
        message = messages.get(db, row["message"])
        assert message is not None
        for part in messages.parts_of(db, row["message"]):
            if part["state"] == Part.UNCERTAIN:
                _end_doubt(db, message, part, now)
        messages.settle(db, new_ids, row["message"], now)
    return look_at


def _end_doubt(db: Connection, message: Row, part: Row, now: int) -> None:
    again = (
        message["on_uncertain"] == "resend"
        and part["tries"] + 1 < message["tries"]
        and now < message["expires_at"]
        and message["status"] == Status.QUEUED
    )
    if again:
        keep_try(db, part, error=part["error"] or TIMED_OUT, answered_at=part["answered_at"])
        messages.step_part(
            db,
            part,
            Step.REPEAT,
            tries=part["tries"] + 1,
            ripe=1,
            ready_at=now,
            open=0,
            scheduled=0,
        )
    else:
        messages.step_part(db, part, Step.EXPIRE, error=TIMED_OUT)


def expire(db: Connection, new_ids: Ids, now: int, most: int = 500) -> int:
    """Fail what has waited longer than its lifetime (a modem that does not come back)."""
    error = _error(
        "SMS_SEND_TIMEOUT",
        "The message waited in the queue for longer than its lifetime.",
        "Le message a attendu dans la file plus longtemps que sa durée de vie.",
    )
    rows = db.execute(
        "SELECT id FROM message WHERE status = 'queued' AND uncertain = 0 AND expires_at < ? LIMIT ?",
        (now, most),
    ).fetchall()
    return sum(messages.fail(db, new_ids, row["id"], error, now) for row in rows)


def close_reports(db: Connection, new_ids: Ids, before: int, now: int, most: int = 500) -> int:
    """Stop waiting for reports on what was handed over before that moment; the status stands."""
    rows = db.execute(
        "SELECT DISTINCT message FROM part WHERE open = 1 AND state != 'uncertain' AND handed_at < ? LIMIT ?",
        (before, most),
    ).fetchall()
    for row in rows:
        db.execute(
            "UPDATE part SET open = 0 WHERE message = ? AND handed_at < ?", (row["message"], before)
        )
        messages.settle(db, new_ids, row["message"], now)
    return len(rows)


def waiting(db: Connection, test: bool) -> int:
    """How many messages wait in the queue."""
    n: int = db.execute(
        "SELECT COUNT(*) FROM message WHERE status = 'queued' AND scope & 1 = ?", (int(test),)
    ).fetchone()[0]
    return n

"""The queue: claim the next ready part under the limits of a SIM. All synchronous."""

from __future__ import annotations

from sqlite3 import Connection
from zoneinfo import ZoneInfo

import msgspec

from appliance.core.config import Limits
from appliance.core.i18n import _
from appliance.domain import limits as limit_rules
from appliance.domain.ids import Ids
from appliance.domain.limits import Allowance, Usage
from appliance.domain.message import PartEvent, Status
from appliance.store import blocklist, clients, counters, messages
from appliance.store.failure_causes import cause
from appliance.store.rows import MessageRow


class SendingRules(msgspec.Struct, frozen=True):
    """The settings that sending needs."""

    zone: ZoneInfo
    first_backoff_seconds: float = 5.0
    longest_backoff_seconds: float = 600.0
    late_grace_ms: int = 24 * 3_600_000
    late_fails: bool = False
    behind_ms: int = (
        15 * 60_000
    )  # how long a refused number waits, so that the next probe is another one


class Sender(msgspec.Struct, frozen=True):
    """The modem that claims a part, and the limits of its SIM."""

    device: int
    test: bool
    sim: str  # ICCID
    limits: Limits
    only_urgent: bool = False  # only urgent messages: low credit, or the operator refuses
    probe: bool = False  # one part as a probe nevertheless
    clients: tuple[int, ...] = ()  # the clients that may use the modem; empty: all


class Job(msgspec.Struct, frozen=True):
    """A part claimed for a modem: it is stored as submitted."""

    message: int
    tenant: int
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
    submitted_at: int
    device: (
        int  # the device that it was submitted to, whatever its number at the time of the answer
    )
    sim: str


class NothingReady(msgspec.Struct, frozen=True):
    """No part is ready. `ready_at` (ms) is when one will be; None if only a wake-up event tells."""

    ready_at: int | None = None
    held: str = ""  # the limit that delays it


def mark_ready(db: Connection, now: int, trusted: bool) -> None:
    """Mark due parts as ready. Scheduled ones need a trusted clock."""
    db.execute(
        "UPDATE part SET ready = 1 WHERE state = 'waiting' AND ready = 0 AND ready_at <= ?"
        + ("" if trusted else " AND scheduled = 0"),
        (now,),
    )


def next_ready(db: Connection, trusted: bool, after: int = 0) -> int | None:
    """Return when the next part is due, of those due later than `after`; None without one."""
    row = db.execute(
        "SELECT MIN(ready_at) FROM part WHERE state = 'waiting' AND ready = 0 AND ready_at > ?"
        + ("" if trusted else " AND scheduled = 0"),
        (after,),
    ).fetchone()
    moment: int | None = row[0]
    return moment


def usage(db: Connection, sim: str, limits: Limits, now: int, zone: ZoneInfo) -> Usage:
    """Return what a SIM has sent in the current minute, hour, local day and billing month."""
    minute = now // limit_rules.MINUTE_MS
    row = db.execute(
        "SELECT COALESCE(SUM(parts) FILTER (WHERE minute = ?), 0), COALESCE(SUM(parts), 0) "
        "FROM sim_minute WHERE sim = ? AND minute BETWEEN ? AND ?",
        (minute, sim, minute // 60 * 60, minute),  # ignore what a clock that was ahead has noted
    ).fetchone()
    today = limit_rules.day_number(now, zone)
    month = limit_rules.month_number(now, zone, limits.billing_day)
    first = limit_rules.month_start(month, limits.billing_day, zone).date().toordinal()
    days = db.execute(
        "SELECT COALESCE(SUM(parts) FILTER (WHERE day = ?), 0), COALESCE(SUM(parts), 0) "
        "FROM sim_day WHERE sim = ? AND day BETWEEN ? AND ?",
        (today, sim, first, today),
    ).fetchone()
    recipients = db.execute(
        "SELECT recipients FROM recipient_count WHERE sim = ? AND month = ?", (sim, month)
    ).fetchone()
    return Usage(row[0], row[1], days[0], days[1], recipients[0] if recipients else 0)


def count_use(
    db: Connection, sim: str, recipient: str, limits: Limits, now: int, zone: ZoneInfo
) -> None:
    """Count a part that was sent through a SIM."""
    counters.count_part(db, sim, limit_rules.day_number(now, zone), now // limit_rules.MINUTE_MS)
    db.execute(
        "INSERT OR IGNORE INTO sim_recipient (sim, month, recipient) VALUES (?, ?, ?)",
        (sim, limit_rules.month_number(now, zone, limits.billing_day), recipient),
    )


def unlimited(limits: Limits) -> bool:
    """Return whether a SIM has no limits."""
    return not (
        limits.per_minute
        or limits.per_hour
        or limits.per_day
        or limits.per_month
        or limits.recipients_per_month
        or limits.quiet_hours
    )


WAITED_TOO_LONG = cause(
    "SMS_SEND_TIMEOUT",
    _("The message waited in the queue for longer than its lifetime."),
)

CLIENT_DELETED = cause("DEVICE_ERROR", _("Its client was deleted."))

# How many expired messages one commit handles: after days without power there may be a hundred
# thousand, and every request waits for the commit.
PASSED_OVER_MOST = 100

CLAIM = """
UPDATE part SET state = 'submitted', device = :device, sim = :sim, submitted_at = :now, answered_at = NULL,
  reference = NULL, tp_status = NULL, reported_at = NULL, open = 0, error = NULL, reserve = NULL
WHERE (message, number) = (
  SELECT message, number FROM (
    SELECT * FROM (SELECT message, number, rank FROM part
      WHERE state = 'waiting' AND ready = 1 AND test = :test AND bound_device = 0 AND {condition}
      ORDER BY rank, message, number LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT message, number, rank FROM part
      WHERE state = 'waiting' AND ready = 1 AND test = :test AND bound_device = :device
        AND (bound_sim IS NULL OR bound_sim = :sim) AND {condition}
      ORDER BY rank, message, number LIMIT 1))
  ORDER BY rank, message, number LIMIT 1)
RETURNING message, number
"""
KNOWN_RECIPIENT = """EXISTS (SELECT 1 FROM message m JOIN sim_recipient r ON r.recipient = m.recipient
  WHERE m.id = part.message AND r.sim = :sim AND r.month = :month)"""

OF_CLIENTS = """EXISTS (SELECT 1 FROM message m WHERE m.id = part.message
  AND m.tenant / 2 IN ({clients}))"""


def claim(
    db: Connection, new_ids: Ids, rules: SendingRules, sender: Sender, now: int, trusted: bool
) -> Job | NothingReady:
    """Claim the next ready part for a modem, and store it as submitted before its first octet is sent."""
    mark_ready(db, now, trusted)
    may = Allowance(ordinary=True, urgent=True)
    if not sender.test and not unlimited(sender.limits):
        used = usage(db, sender.sim, sender.limits, now, rules.zone)
        may = limit_rules.allowance(sender.limits, used, now, rules.zone)
    if not may.urgent:
        return NothingReady(may.again_at, may.reason)
    conditions = ["1"]
    if not may.ordinary or (sender.only_urgent and not sender.probe):
        conditions.append("urgent = 1")
    if not may.new_recipients:
        conditions.append(KNOWN_RECIPIENT)
    if sender.clients:
        # Checked again here: the message may be older than the current settings.
        conditions.append(OF_CLIENTS.format(clients=", ".join(map(str, sender.clients))))
    statement = CLAIM.format(condition=" AND ".join(conditions))
    arguments = {
        "device": sender.device,
        "sim": sender.sim,
        "test": int(sender.test),
        "now": now,
        "month": limit_rules.month_number(now, rules.zone, sender.limits.billing_day),
    }
    for _passed_over in range(PASSED_OVER_MOST):
        claimed = db.execute(statement, arguments).fetchone()
        if claimed is None:
            ready_at = min(
                (m for m in (next_ready(db, trusted), may.again_at) if m is not None), default=None
            )
            return NothingReady(ready_at, may.reason)
        message = messages.get(db, claimed[0])
        number: int = claimed[1]
        assert message is not None, "a waiting part has a message in motion"
        if clients.is_disabled(db, message.tenant // 2):
            part = messages.part_of(db, message.id, number)
            assert part is not None, "it was claimed just now"
            parked = {"ready": 0, "ready_at": messages.NEVER}
            messages.step_part(
                db, part, PartEvent.BACK, device=None, sim=None, submitted_at=None, **parked
            )
            continue
        error = _too_late(db, rules, message, now, trusted)
        if error is None:
            return _bind(db, sender, message, number, now)
        _refuse(db, new_ids, message.id, number, error, now)
    return NothingReady(now, may.reason)


def _too_late(
    db: Connection, rules: SendingRules, message: MessageRow, now: int, trusted: bool
) -> str | None:
    """Return why a message must not be sent any more, checked at the claim, as JSON; None if it may."""
    if clients.is_deleted(db, message.tenant // 2):
        return CLIENT_DELETED
    if blocklist.is_blocked(db, message.tenant, message.recipient, message.kind):
        return cause(
            "BLOCKED_NUMBER",
            _("The number is on the block list or has opted out."),
        )
    if not trusted:
        return None
    if now > message.expires_at:
        return WAITED_TOO_LONG
    late = now - message.due_at
    if message.scheduled_at is not None and rules.late_fails and late > rules.late_grace_ms:
        return cause(
            "SMS_SEND_TIMEOUT",
            _("The scheduled moment had passed by more than the rule allows."),
        )
    if message.validity_minutes is not None and late >= message.validity_minutes * 60_000:
        return cause(
            "SMS_SEND_TIMEOUT",
            _("The validity ended before the message could be handed over."),
        )
    return None


def _refuse(db: Connection, new_ids: Ids, message: int, number: int, error: str, now: int) -> None:
    part = messages.part_of(db, message, number)
    assert part is not None, "it was claimed just now"
    messages.step_part(
        db,
        part,
        PartEvent.REFUSE,
        error=error,
        answered_at=now,
        submitted_at=None,
        device=None,
        sim=None,
    )
    messages.settle(db, new_ids, message, now)


def _bind(db: Connection, sender: Sender, message: MessageRow, number: int, now: int) -> Job:
    """Bind a message to this modem; allocate the concatenation reference of a long one."""
    if message.parts > 1:
        db.execute(
            "UPDATE part SET bound_device = ?, bound_sim = ? WHERE message = ? AND bound_sim IS NULL",
            (sender.device, sender.sim, message.id),
        )
    reference = message.concatenation
    if message.parts > 1 and reference is None:
        reference = db.execute(
            "INSERT INTO concatenation (recipient, reference) VALUES (?, 0) "
            "ON CONFLICT DO UPDATE SET reference = (reference + 1) % 256 RETURNING reference",
            (message.recipient,),
        ).fetchone()[0]
    db.execute(
        "UPDATE message SET ever_submitted = 1, device = ?, concatenation = ?, changed_at = ? WHERE id = ?",
        (sender.device, reference, now, message.id),
    )
    if message.device != sender.device:
        counters.change_device(
            db,
            message.tenant,
            message.device,
            sender.device,
            message.created_at,
            Status(message.status),
        )
    validity = message.validity_minutes
    if validity is not None:
        validity = max(1, validity - max(0, now - message.due_at) // 60_000)
    return Job(
        message=message.id,
        tenant=message.tenant,
        number=number,
        parts=message.parts,
        recipient=message.recipient,
        body=message.body,
        secret=message.secret,
        alphabet=message.alphabet,
        shift=message.shift,
        concatenation=reference,
        validity_minutes=validity,
        flash=bool(message.flash),
        submitted_at=now,
        device=sender.device,
        sim=sender.sim,
    )


def forget_recipients(db: Connection, before: int) -> None:
    """Forget the recipients of past billing months."""
    db.execute("DELETE FROM sim_recipient WHERE month < ?", (before,))


def forget_references(db: Connection, after: str, most: int) -> str:
    """Forget concatenation references of unused numbers, `most` numbers after a given one.

    Return where to continue; "" at the end.
    """
    rows = db.execute(
        "SELECT recipient, EXISTS (SELECT 1 FROM last_writer w WHERE w.test IN (0, 1) "
        "AND w.recipient = concatenation.recipient) FROM concatenation "
        "WHERE recipient > ? ORDER BY recipient LIMIT ?",
        (after, most),
    ).fetchall()
    if over := {number for number, written in rows if not written}:
        # A text that has its reference but was not taken yet: nobody is its number's writer.
        over -= {
            number
            for (number,) in db.execute(
                "SELECT recipient FROM message WHERE concatenation NOT NULL"
            )
        }
        db.executemany("DELETE FROM concatenation WHERE recipient = ?", [(n,) for n in over])
    return rows[-1][0] if len(rows) == most else ""

"""Received messages: parts kept until complete, complete texts stored for a client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from appliance.core.folding import fold
from appliance.domain import ids
from appliance.domain.ids import Ids
from appliance.domain.requests import InboxFilter
from appliance.domain.validation import timestamp
from appliance.store import conversations, devices, events, smpp
from appliance.store.rows import InboundPartRow, InboundRow, PictureRow, columns, every
from appliance.store.starts import THIS_START
from modem.sms.mms import MmsNotification

PICTURES_KEPT_MS = 7 * 86_400_000  # operators keep a picture message for some days
NATIONAL_DIGITS = 7  # without the trunk 0; fewer digits are a short code


class ReceivedPart(msgspec.Struct, frozen=True):
    """One part of a received text."""

    sender: str
    text: str
    sent_at: int | None
    hex: str
    reference: int = 0
    total: int = 1
    number: int = 1


UNOWNED = "no client to give it to"  # reason of a text that is kept raw


class Whole(msgspec.Struct, frozen=True):
    """A complete received text. `hex` has its PDUs."""

    sender: str
    text: str
    sent_at: int | None
    hex: str
    incomplete: bool = False


def first_time(db: Connection, sim: str, hex_digits: str, now: int) -> bool:
    """Return whether a PDU is received for the first time: a modem may hand it out twice."""
    digest = hashlib.sha256(f"{sim}:{hex_digits}".encode()).digest()
    done = db.execute("INSERT OR IGNORE INTO seen (hash, at) VALUES (?, ?)", (digest, now))
    return bool(done.rowcount)


def keep_part(
    db: Connection, device: int, sim: str, part: ReceivedPart, now: int
) -> list[InboundPartRow] | None:
    """Store a part; return all parts of its text if it was the last one missing, else None."""
    group = (sim, part.sender, part.reference, part.total)
    db.execute(
        "INSERT INTO inbound_part (device, sim, sender, reference, total, number, text, sent_at, arrived_at, hex, "
        f"start_number) SELECT ?5, ?1, ?2, ?3, ?4, ?6, ?7, ?8, ?9, ?10, {THIS_START} "
        "WHERE NOT EXISTS (SELECT 1 FROM inbound_part WHERE sim = ?1 "
        "AND sender = ?2 AND reference = ?3 AND total = ?4 AND number = ?6)",
        (*group, device, part.number, part.text, part.sent_at, now, part.hex),
    )
    rows = _group(db, *group)
    if len(rows) < part.total:
        return None
    _drop(db, rows)
    return rows


def overtaken(db: Connection, sim: str, part: ReceivedPart) -> list[InboundPartRow]:
    """Remove and return the parts of an earlier, incomplete text whose reference is used again."""
    rows = _group(db, sim, part.sender, part.reference, part.total)
    if not any(r.number == part.number and r.text != part.text for r in rows):
        return []
    _drop(db, rows)
    return rows


def _group(
    db: Connection, sim: str, sender: str, reference: int, total: int
) -> list[InboundPartRow]:
    rows = db.execute(
        f"SELECT {columns(InboundPartRow)} FROM inbound_part WHERE sim = ? AND sender = ? "
        "AND reference = ? AND total = ? ORDER BY number",
        (sim, sender, reference, total),
    )
    return every(InboundPartRow, rows)


def _drop(db: Connection, rows: list[InboundPartRow]) -> None:
    db.executemany("DELETE FROM inbound_part WHERE id = ?", [(r.id,) for r in rows])


def overdue(db: Connection, before: int) -> list[list[InboundPartRow]]:
    """Remove and return incomplete texts whose last part arrived before a time."""
    groups = db.execute(
        "SELECT sim, sender, reference, total FROM inbound_part GROUP BY sim, sender, reference, total "
        "HAVING MAX(arrived_at) < ?",
        (before,),
    ).fetchall()
    found = [_group(db, *group) for group in groups]
    for rows in found:
        _drop(db, rows)
    return found


def move_parts(db: Connection, step: int) -> None:
    """Move the arrival of parts received since the box started by a clock jump."""
    db.execute(
        f"UPDATE inbound_part SET arrived_at = arrived_at + ? WHERE start_number = {THIS_START}",
        (step,),
    )


def tenant_for(
    db: Connection, device: int, test: bool, sender: str, reply_ms: int, now: int
) -> int | None:
    """Return the tenant of a received text: the client that wrote to that number last, else the first."""
    clients = devices.clients_of(db, device)
    rows = db.execute(
        "SELECT tenant FROM last_writer WHERE test = ? AND recipient = ? AND at > ? "
        "ORDER BY device = ? DESC, at DESC",
        (int(test), sender, now - reply_ms, device),
    )
    for (tenant,) in rows:
        if tenant // 2 in clients:  # the texts of a reserved SIM go to its clients only
            found: int = tenant
            return found
    return clients[0] * 2 + int(test) if clients else None


def known_as(db: Connection, test: bool, sender: str) -> str:
    """Return the number we wrote to, for a sender in national form (0612345678).

    Unchanged if there is none, or several match.
    """
    national = sender.lstrip("0")
    if not national.isdecimal() or len(national) < NATIONAL_DIGITS:
        return sender  # international already, a name, or a short code
    rows = db.execute(
        "SELECT DISTINCT recipient FROM last_writer WHERE test = ? AND recipient LIKE '+%' || ?",
        (int(test), national),
    ).fetchall()
    return rows[0][0] if len(rows) == 1 else sender


def wrote(db: Connection, test: bool, device: int, recipient: str, tenant: int, now: int) -> None:
    """Note that a client has written to a number."""
    db.execute(
        "INSERT INTO last_writer (test, device, recipient, tenant, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET tenant = excluded.tenant, at = excluded.at",
        (int(test), device, recipient, tenant, now),
    )


def forget_writers(db: Connection, before: int) -> None:
    """Forget numbers that nobody has written to since a time."""
    db.execute("DELETE FROM last_writer WHERE at < ?", (before,))


def store_picture(
    db: Connection,
    new_ids: Ids,
    device: int,
    tenant: int,
    sender: str,
    found: MmsNotification,
    now: int,
) -> None:
    """Store that a picture message waits at the operator, with its event."""
    db.execute("DELETE FROM picture_message WHERE received_at < ?", (now - PICTURES_KEPT_MS,))
    db.execute(
        "INSERT INTO picture_message (id, tenant, device, sender, size, url, received_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new_ids.other(now), tenant, device, sender, found.size, found.url, now),
    )
    data = {
        "from": sender,
        "size": found.size,
        "url": found.url,
        "received_at": timestamp(now),
        "device_id": f"device_{device}",
    }
    stream = f"device_{device} {sender}"
    events.emit(db, new_ids, tenant, "mms.received", lambda: data, now, stream=stream)


def pictures(db: Connection, tenants: Sequence[int], since: int) -> list[PictureRow]:
    """Return the picture messages that have come since a time, newest first."""
    marks = ", ".join("?" * len(tenants))
    rows = db.execute(
        f"SELECT {columns(PictureRow)} FROM picture_message WHERE tenant IN ({marks}) AND received_at >= ? "
        "ORDER BY received_at DESC, id DESC",
        (*tenants, since),
    )
    return every(PictureRow, rows)


def store(db: Connection, new_ids: Ids, device: int, tenant: int, whole: Whole, now: int) -> int:
    """Store a received text in its client's inbox, with its event. Return its number."""
    number = new_ids.other(now)
    db.execute(
        "INSERT INTO inbound (id, tenant, device, sender, body, folded, sent_at, received_at, incomplete) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, tenant, device, whole.sender, whole.text, fold(whole.text))
        + (whole.sent_at, now, int(whole.incomplete)),
    )
    conversations.received(db, tenant, whole.sender, number, now)
    data = {
        "inbox_id": ids.short_id("inbox", number),
        "from": whole.sender,
        "message": whole.text,
        "received_at": timestamp(now),
        "device_id": f"device_{device}",
        "incomplete": whole.incomplete,
    }
    events.emit(
        db,
        new_ids,
        tenant,
        "sms.received",
        lambda: data,
        now,
        stream=f"device_{device} {whole.sender}",
    )
    smpp.note_received(db, new_ids, tenant, number, now)
    return number


def undecodable(db: Connection, device: int, hex_digits: str, reason: str, now: int) -> None:
    """Store an undecodable PDU, so that it may be deleted from the modem."""
    db.execute(
        "INSERT INTO undecodable (device, hex, reason, at) VALUES (?, ?, ?, ?)",
        (device, hex_digits, reason, now),
    )


def unowned(db: Connection) -> list[tuple[int, int, bool, str, int]]:
    """Return (number, device, test, PDUs, time of arrival) of every text that came before there was a client for it."""
    rows = db.execute(
        "SELECT undecodable.id, device, device.test, hex, undecodable.at FROM undecodable "
        "JOIN device ON device.id = undecodable.device WHERE reason = ? ORDER BY undecodable.id",
        (UNOWNED,),
    ).fetchall()
    return [(number, device, bool(test), digits, at) for number, device, test, digits, at in rows]


def remove_raw(db: Connection, number: int) -> None:
    """Remove a PDU that was kept raw."""
    db.execute("DELETE FROM undecodable WHERE id = ?", (number,))


def oldest(db: Connection) -> int | None:
    """Return when the oldest received text arrived."""
    row = db.execute("SELECT received_at FROM inbound ORDER BY id LIMIT 1").fetchone()
    return row[0] if row else None


def retire(db: Connection, before: int) -> None:
    """Remove texts received before a time."""
    db.execute("DELETE FROM inbound WHERE received_at < ?", (before,))
    conversations.retire(db, before)


COUNT_MOST = 10_000


def page(db: Connection, tenant: int, wanted: InboxFilter) -> tuple[list[InboundRow], int, bool]:
    """Return a page of a client's inbox, newest first, with the total."""
    clauses: list[str] = ["tenant = ?"]
    arguments: list[str | int] = [tenant]
    senders = json.dumps(wanted.senders) if wanted.senders else None
    for clause, value in (
        ("sender IN (SELECT value FROM json_each(?))", senders),
        ("received_at >= ?", wanted.period.start),
        ("received_at < ?", wanted.period.end),
        ("instr(folded, ?)", wanted.search),
    ):
        if value is not None:
            clauses.append(clause)
            arguments.append(value)
    where = " AND ".join(clauses)
    total: int = db.execute(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM inbound WHERE {where} LIMIT {COUNT_MOST + 1})",
        arguments,
    ).fetchone()[0]
    rows = db.execute(
        f"SELECT {columns(InboundRow)} FROM inbound WHERE {where} ORDER BY received_at DESC, id DESC LIMIT ? OFFSET ?",
        (*arguments, wanted.limit, (wanted.page - 1) * wanted.limit),
    )
    return every(InboundRow, rows), min(total, COUNT_MOST), total <= COUNT_MOST

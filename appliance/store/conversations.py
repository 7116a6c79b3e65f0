"""Conversations: the numbers that have written to a client, and the texts exchanged with each.

A row of `conversation` begins with the first text received from a number and ends with the last one that the
retention removes. Texts sent are found by their recipient.
"""

from __future__ import annotations

from sqlite3 import Connection
from typing import NamedTuple

from appliance.domain.message import Status
from appliance.store import history
from appliance.store.rows import ConversationRow, InboundRow, TrackedRow, columns, every, first

COUNT_MOST = 10_000  # as in the history, counting stops here


class TextPlace(NamedTuple):
    """Where a text of a conversation is stored, by its time (ms)."""

    at: int
    id: int
    received: int


def received(db: Connection, tenant: int, number: str, inbox_id: int, now: int) -> None:
    """Put a received text into its conversation, unread."""
    db.execute(
        "INSERT INTO conversation (tenant, number, last, last_at, unread) VALUES (?, ?, ?, ?, 1) "
        "ON CONFLICT DO UPDATE SET last = excluded.last, last_at = excluded.last_at, unread = unread + 1",
        (tenant, number, inbox_id, now),
    )


def retire(db: Connection, before: int) -> None:
    """Remove the conversations whose last text was received before a time."""
    db.execute("DELETE FROM conversation WHERE last_at < ?", (before,))


def page(
    db: Connection, tenant: int, *, unread: bool, limit: int, offset: int
) -> tuple[list[ConversationRow], int]:
    """Return conversations, the last one that received a text first, and how many there are, at most COUNT_MOST + 1."""
    where = "c.tenant = ?" + (" AND c.unread > 0" if unread else "")
    total: int = db.execute(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM conversation c WHERE {where} LIMIT {COUNT_MOST + 1})",
        (tenant,),
    ).fetchone()[0]
    rows = db.execute(
        "SELECT c.tenant, c.number, COALESCE(k.name, ''), c.unread, c.last_at, i.body FROM conversation c "
        "JOIN inbound i ON i.id = c.last "
        "LEFT JOIN contact k ON k.tenant = c.tenant AND k.number = c.number "
        f"WHERE {where} ORDER BY c.last_at DESC, c.number LIMIT ? OFFSET ?",
        (tenant, limit, offset),
    )
    return every(ConversationRow, rows), total


def unread(db: Connection, tenants: list[int]) -> int:
    """Return how many conversations have a text that nobody has read."""
    marks = ", ".join("?" * len(tenants))
    n: int = db.execute(
        f"SELECT COUNT(*) FROM conversation WHERE tenant IN ({marks}) AND unread > 0", tenants
    ).fetchone()[0]
    return n


def thread(
    db: Connection, tenant: int, number: str, *, limit: int, offset: int
) -> tuple[list[TrackedRow | InboundRow], int]:
    """Return the texts exchanged with a number, newest first, and how many there are, at most COUNT_MOST + 1.

    A text that was sent has the time at which it was accepted.
    """
    every_status = ", ".join(f"'{status}'" for status in Status)
    places = (
        "SELECT created_at, id, 0 FROM message "
        f"WHERE tenant = :tenant AND status IN ({every_status}) AND recipient = :number "
        "UNION ALL SELECT created_at, id, 0 FROM history_recipient WHERE tenant = :tenant AND recipient = :number "
        "UNION ALL SELECT received_at, id, 1 FROM inbound WHERE tenant = :tenant AND sender = :number"
    )
    wanted: dict[str, object] = {"tenant": tenant, "number": number}
    total: int = db.execute(
        f"SELECT COUNT(*) FROM ({places} LIMIT {COUNT_MOST + 1})", wanted
    ).fetchone()[0]
    found = db.execute(
        f"{places} ORDER BY 1 DESC, 2 DESC LIMIT :limit OFFSET :offset",
        wanted | {"limit": limit, "offset": offset},
    ).fetchall()
    rows = (_text(db, tenant, TextPlace._make(place)) for place in found)
    return [row for row in rows if row is not None], total


def _text(db: Connection, tenant: int, place: TextPlace) -> TrackedRow | InboundRow | None:
    if not place.received:
        return history.one(db, tenant, place.id)
    rows = db.execute(f"SELECT {columns(InboundRow)} FROM inbound WHERE id = ?", (place.id,))
    return first(InboundRow, rows)


def read(db: Connection, tenant: int, number: str, upto: int | None) -> bool:
    """Mark the texts of a number as read, up to an inbox id if one is named; return False without a conversation.

    A text that arrived after the reader looked stays unread.
    """
    done = db.execute(
        "UPDATE conversation SET unread = CASE WHEN :upto IS NULL OR last <= :upto THEN 0 ELSE "
        "MIN(unread, (SELECT COUNT(*) FROM inbound i WHERE i.tenant = :tenant AND i.sender = :number "
        "AND i.id > :upto)) END WHERE tenant = :tenant AND number = :number",
        {"tenant": tenant, "number": number, "upto": upto},
    )
    return bool(done.rowcount)

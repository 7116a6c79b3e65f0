"""Read the data of the status page and of the owner's lists, over all clients."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from appliance.domain.requests import HistoryFilter, InboxFilter, PageFilter
from appliance.domain.views import MessageView
from appliance.store import backlog, conversations, history
from appliance.store import received as received_store
from appliance.store.backlog import Level
from appliance.store.counters import HOUR_MS
from appliance.store.rows import BlockedRow, ConversationRow, InboundRow, PictureRow, columns
from appliance.store.submissions import UNSETTLED


class QueueFigures(msgspec.Struct, frozen=True):
    """The queue. `scheduled` messages are for later and in no level."""

    levels: tuple[Level, ...]
    scheduled: int
    ready_since: int | None  # since when the first part could have been sent

    @property
    def messages(self) -> int:
        return sum(level.messages for level in self.levels)

    @property
    def parts(self) -> int:
        return sum(level.parts for level in self.levels)


class Figures(msgspec.Struct, frozen=True):
    """Messages of a period by current status."""

    queued: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0

    @property
    def gone(self) -> int:
        """Messages that have left the queue."""
        return self.sent + self.delivered + self.failed


def tenants(db: Connection, *, test: bool, client: int | None = None) -> list[int]:
    """Return the tenants of all clients, or of one, in a mode."""
    return [
        row[0] * 2 + int(test)
        for row in db.execute(
            "SELECT id FROM client WHERE deleted_at IS NULL AND (?1 IS NULL OR id = ?1) ORDER BY id",
            (client,),
        )
    ]


def queue(db: Connection, now: int) -> QueueFigures:
    """Return the queue in live mode."""
    levels, later = backlog.levels(db, now)
    first = db.execute(
        "SELECT ready_at FROM part WHERE state = 'waiting' AND ready = 1 AND test = 0 AND bound_device = 0 "
        "ORDER BY rank LIMIT 1"
    ).fetchone()
    return QueueFigures(levels, later, first[0] if first else None)


def uncertain(db: Connection) -> int:
    """Return the number of uncertain messages in live mode."""
    n: int = db.execute(
        f"SELECT COUNT(DISTINCT message) FROM part WHERE {UNSETTLED} AND state = 'uncertain' AND test = 0"
    ).fetchone()[0]
    return n


def last_sent(db: Connection) -> int | None:
    """Return the minute in which a SIM last sent a part (ms); None without one."""
    row = db.execute("SELECT MAX(minute) FROM sim_minute").fetchone()
    return row[0] * 60_000 if row[0] is not None else None


def hours(db: Connection, of: Sequence[int], since: int) -> dict[int, Figures]:
    """Return figures by hour (ms of its start) from an hour on."""
    marks = ", ".join("?" * len(of))
    return {
        row[0] * HOUR_MS: Figures(*row[1:])
        for row in db.execute(
            "SELECT hour, SUM(queued), SUM(sent), SUM(delivered), SUM(failed) FROM hour_count "
            f"WHERE tenant IN ({marks}) AND hour >= ? GROUP BY hour",
            (*of, since // HOUR_MS),
        )
    }


def received(db: Connection, of: Sequence[int], since: int) -> int:
    """Return how many texts were received since a time."""
    marks = ", ".join("?" * len(of))
    n: int = db.execute(
        f"SELECT COUNT(*) FROM inbound WHERE tenant IN ({marks}) AND received_at >= ?", (*of, since)
    ).fetchone()[0]
    return n


def given_up(db: Connection, since: int) -> int:
    """Return how many webhook events were given up since a time."""
    n: int = db.execute(
        "SELECT COUNT(*) FROM delivery WHERE state = 'given_up' AND created_at >= ?", (since,)
    ).fetchone()[0]
    return n


# --- lists over several clients ------------------------------------------------------------------


class Owned(msgspec.Struct, frozen=True):
    """A message and its tenant."""

    tenant: int
    view: MessageView

    @property
    def test(self) -> bool:
        return bool(self.tenant & 1)

    @property
    def age_key(self) -> tuple[int, str]:
        return self.view.created_at, self.view.message_id


class MessagePage(msgspec.Struct, frozen=True):
    """A page of messages, newest first; `exact` is False if counting stopped."""

    messages: tuple[Owned, ...]
    total: int
    exact: bool = True


def latest(db: Connection, of: Sequence[int], most: int) -> list[Owned]:
    """Return the newest messages."""
    found = [
        Owned(tenant, history.view(row))
        for tenant in of
        for row in history.after(db, tenant, HistoryFilter(), None, most)[0]
    ]
    return sorted(found, key=lambda m: m.age_key, reverse=True)[:most]


def messages(db: Connection, of: Sequence[int], wanted: HistoryFilter) -> MessagePage:
    """Return a page of messages of several tenants."""
    upto = wanted.page * wanted.limit
    several = len(of) > 1
    each = msgspec.structs.replace(wanted, page=1, limit=upto) if several else wanted
    pages = [(tenant, history.page(db, tenant, each)) for tenant in of]
    found = [Owned(tenant, view) for tenant, page in pages for view in page.messages]
    if several:
        found.sort(key=lambda m: m.age_key, reverse=True)
        found = found[upto - wanted.limit : upto]
    return MessagePage(
        tuple(found), sum(page.total for _, page in pages), all(page.exact for _, page in pages)
    )


class InboxRows(msgspec.Struct, frozen=True):
    """One page of received texts, newest first."""

    rows: tuple[InboundRow, ...]
    total: int
    exact: bool = True
    pictures: tuple[PictureRow, ...] = ()  # picture messages that wait at the operator


def inbox(db: Connection, of: Sequence[int], wanted: InboxFilter) -> InboxRows:
    """Return a page of received texts of several tenants."""
    upto = wanted.page * wanted.limit
    several = len(of) > 1
    each = msgspec.structs.replace(wanted, page=1, limit=upto) if several else wanted
    pages = [received_store.page(db, tenant, each) for tenant in of]
    rows = [row for some, _, _ in pages for row in some]
    if several:
        rows.sort(key=lambda r: (r.received_at, r.id), reverse=True)
        rows = rows[upto - wanted.limit : upto]
    return InboxRows(tuple(rows), sum(n for _, n, _ in pages), all(e for _, _, e in pages))


class ConversationRows(msgspec.Struct, frozen=True):
    """One page of conversations, the last one that received a text first."""

    rows: tuple[ConversationRow, ...]
    total: int
    exact: bool = True


def recent_conversations(db: Connection, of: Sequence[int], wanted: PageFilter) -> ConversationRows:
    """Return a page of conversations of several tenants."""
    upto = wanted.page * wanted.limit
    pages = [conversations.page(db, tenant, unread=False, limit=upto, offset=0) for tenant in of]
    rows = sorted(
        (row for some, _ in pages for row in some), key=lambda r: (-r.last_at, r.number, r.tenant)
    )
    totals = [min(n, conversations.COUNT_MOST) for _, n in pages]
    exact = all(n <= conversations.COUNT_MOST for _, n in pages)
    return ConversationRows(tuple(rows[upto - wanted.limit : upto]), sum(totals), exact)


def tenant_of(db: Connection, number: int) -> int | None:
    """Return the tenant of a message in either table."""
    row = db.execute(
        "SELECT tenant FROM message WHERE id = ?1 UNION ALL SELECT tenant FROM history WHERE id = ?1",
        (number,),
    ).fetchone()
    return row[0] if row else None


def blocked(db: Connection) -> list[tuple[BlockedRow, str]]:
    """Return the block lists of all clients and the opt-outs, newest first, in live mode, with their client's name."""
    rows = db.execute(
        f"SELECT {columns(BlockedRow, 'b')}, COALESCE(c.name, '') FROM blocked b "
        "LEFT JOIN client c ON c.id = b.tenant / 2 "
        "WHERE b.tenant & 1 = 0 ORDER BY b.created_at DESC, b.number, b.tenant"
    )
    return [(BlockedRow._make(row[:-1]), row[-1]) for row in rows.fetchall()]

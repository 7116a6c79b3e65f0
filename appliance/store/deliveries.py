"""Deliveries: an event for one receiver, its attempts and their log. The row is the job."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from sqlite3 import Connection
from urllib.parse import urlsplit

import msgspec

from appliance.domain.ids import SHORT_SHIFT, Ids
from appliance.domain.requests import PageFilter
from appliance.store.rows import CallRow, DeliveryRow, WebhookRow, columns, every, first


class DeliveryState(StrEnum):
    """The state of a delivery."""

    DUE = "due"
    BEHIND = "behind"  # an earlier event of its stream has not reached this receiver yet
    DONE = "done"
    GIVEN_UP = "given_up"
    DROPPED = "dropped"  # its webhook was deleted
    TEST = "test"  # of a test call, which is never due by itself


OPEN = "state IN ('due', 'behind')"


def receiver(tenant: int, webhook: int | None, url: str) -> str:
    """Return the receiver: a webhook, or the server of a message's own URL."""
    if webhook is not None:
        return f"wh_{webhook}"
    parts = urlsplit(url)
    return f"{tenant} {parts.scheme.lower()}://{parts.netloc.lower()}"


def add(
    db: Connection,
    new_ids: Ids,
    event: int,
    tenant: int,
    webhook: int | None,
    url: str,
    now: int,
    *,
    stream: str,
    message: int | None = None,
    state: DeliveryState | None = None,
) -> int:
    """Store a delivery of an event to a receiver. Return its number."""
    number = new_ids.other(now)
    who = receiver(tenant, webhook, url)
    if state is None:
        state = DeliveryState.BEHIND if _has_open(db, who, stream) else DeliveryState.DUE
    db.execute(
        "INSERT INTO delivery (id, event, tenant, message, webhook, url, receiver, stream, state, "
        "due_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, event, tenant, message, webhook, url, who, stream, state, now, now),
    )
    return number


def _has_open(db: Connection, who: str, stream: str) -> bool:
    found = db.execute(
        f"SELECT 1 FROM delivery WHERE receiver = ? AND stream = ? AND {OPEN} LIMIT 1",
        (who, stream),
    )
    return found.fetchone() is not None


# --- due deliveries --------------------------------------------------------------------------------


class Due(msgspec.Struct, frozen=True):
    """The oldest due deliveries of a receiver: number and host."""

    receiver: str
    calls: tuple[tuple[int, str], ...]


class DueDeliveries(msgspec.Struct, frozen=True):
    """The due deliveries, and when the next one will be due (None: none is planned)."""

    due: tuple[Due, ...]
    next_at: int | None
    beyond: bool  # a delivery is planned later than any schedule allows: the clock was set back


RECEIVERS = """
WITH RECURSIVE found(name) AS (
  SELECT MIN(receiver) FROM delivery WHERE state = 'due'
  UNION ALL
  SELECT (SELECT MIN(receiver) FROM delivery WHERE state = 'due' AND receiver > name)
  FROM found WHERE name IS NOT NULL)
SELECT name FROM found WHERE name IS NOT NULL
"""


def due(db: Connection, now: int, horizon: int, each: int) -> DueDeliveries:
    """Return up to `each` due deliveries per receiver, oldest first, by index skips without a scan."""
    found: list[Due] = []
    moments: list[int] = []
    beyond = False
    for (name,) in db.execute(RECEIVERS).fetchall():
        rows = db.execute(
            "SELECT id, url, due_at FROM delivery WHERE state = 'due' AND receiver = ? "
            "ORDER BY due_at, id LIMIT ?",
            (name, each),
        ).fetchall()
        ready = tuple((delivery, urlsplit(url).netloc) for delivery, url, at in rows if at <= now)
        moments += [at for _, _, at in rows if at > now]
        if ready:
            found.append(Due(name, ready))
        last = db.execute(
            "SELECT MAX(due_at) FROM delivery WHERE state = 'due' AND receiver = ?", (name,)
        ).fetchone()[0]
        beyond = beyond or last > horizon
    return DueDeliveries(tuple(found), min(moments, default=None), beyond)


def pull_back(db: Connection, now: int, horizon: int) -> int:
    """Make deliveries due that are planned later than any schedule allows. Return how many."""
    done = db.execute(
        "UPDATE delivery SET due_at = ? WHERE state = 'due' AND due_at > ?", (now, horizon)
    )
    return done.rowcount


class Call(msgspec.Struct, frozen=True):
    """A call to make, with its body and current secret."""

    url: str
    body: bytes
    secret: str
    event: str


def call(
    db: Connection, number: int, now: int, states: Sequence[DeliveryState] = (DeliveryState.DUE,)
) -> Call | None:
    """Return the call of a delivery; None if it is not due (any more, or yet).

    The caller may have seen it as due before the last attempt was recorded.
    """
    row = db.execute(
        "SELECT d.state, d.due_at, d.url, e.body, e.name, COALESCE(w.secret, c.signing_secret) AS secret "
        "FROM delivery d JOIN event e ON e.id = d.event JOIN client c ON c.id = d.tenant / 2 "
        "LEFT JOIN webhook w ON w.id = d.webhook WHERE d.id = ? AND w.deleted_at IS NULL",
        (number,),
    ).fetchone()
    if row is None:
        return None
    state, due_at, url, body, name, secret = row
    if state not in states or (state == DeliveryState.DUE and due_at > now):
        return None
    return Call(url, body.encode(), secret, name)


class DeliveryResult(msgspec.Struct, frozen=True):
    """The result of an attempt."""

    status: int | None
    milliseconds: int
    success: bool
    reason: str


def record(
    db: Connection,
    new_ids: Ids,
    number: int,
    outcome: DeliveryResult,
    retry_seconds: Sequence[float],
    now: int,
) -> DeliveryState | None:
    """Log an attempt and plan the next one. Return None if the delivery is gone (its client was erased)."""
    selected = f"SELECT {columns(DeliveryRow)} FROM delivery WHERE id = ?"
    row = first(DeliveryRow, db.execute(selected, (number,)))
    if row is None:
        return None
    attempt, scheduled = row.attempt + 1, row.scheduled_attempts + 1
    db.execute(
        "INSERT INTO delivery_log (id, delivery, tenant, response_status, response_time_ms, success, "
        "attempt, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (new_ids.other(now), number, row.tenant, outcome.status, outcome.milliseconds)
        + (int(outcome.success), attempt, outcome.reason, now),
    )
    state, due_at = DeliveryState(row.state), row.due_at
    if state is DeliveryState.DUE:
        state, due_at = after(outcome.success, scheduled, retry_seconds, now)
    db.execute(
        "UPDATE delivery SET state = ?, attempt = ?, scheduled_attempts = ?, due_at = ? WHERE id = ?",
        (state, attempt, scheduled, due_at, number),
    )
    if state in (DeliveryState.DONE, DeliveryState.GIVEN_UP):
        _next_of_stream(db, row.receiver, row.stream, now)
    return state


def after(
    success: bool, attempt: int, retry_seconds: Sequence[float], now: int
) -> tuple[DeliveryState, int]:
    """Return the state of a delivery after its attempt number `attempt`, and when it is due again."""
    if success:
        return DeliveryState.DONE, now
    if attempt <= len(retry_seconds):
        return DeliveryState.DUE, now + round(retry_seconds[attempt - 1] * 1000)
    return DeliveryState.GIVEN_UP, now


def _next_of_stream(db: Connection, who: str, stream: str, now: int) -> None:
    """Make the next event of a stream due, unless one of the stream is due already."""
    db.execute(
        "UPDATE delivery SET state = 'due', due_at = ?1 WHERE id = (SELECT MIN(id) FROM delivery "
        f"WHERE receiver = ?2 AND stream = ?3 AND {OPEN}) AND NOT EXISTS (SELECT 1 FROM delivery "
        "WHERE receiver = ?2 AND stream = ?3 AND state = 'due')",
        (now, who, stream),
    )


# --- webhooks and their log -------------------------------------------------------------------------


def add_webhook(
    db: Connection, tenant: int, url: str, events: Sequence[str], secret: str, now: int
) -> WebhookRow:
    """Store a webhook."""
    inserted = db.execute(
        "INSERT INTO webhook (tenant, url, events, secret, created_at) VALUES (?, ?, ?, ?, ?) "
        f"RETURNING {columns(WebhookRow)}",
        (tenant, url, ",".join(events), secret, now),
    )
    return WebhookRow._make(inserted.fetchone())


def webhooks(db: Connection, tenant: int) -> list[WebhookRow]:
    """Return the webhooks of a client."""
    rows = db.execute(
        f"SELECT {columns(WebhookRow)} FROM webhook WHERE tenant = ? AND deleted_at IS NULL ORDER BY id",
        (tenant,),
    )
    return every(WebhookRow, rows)


def webhook(db: Connection, tenant: int, number: int) -> WebhookRow | None:
    """Return a webhook of a client; None without one."""
    row = db.execute(
        f"SELECT {columns(WebhookRow)} FROM webhook WHERE id = ? AND tenant = ? AND deleted_at IS NULL",
        (number, tenant),
    )
    return first(WebhookRow, row)


def delete_webhook(db: Connection, tenant: int, number: int, now: int) -> bool:
    """Delete a webhook, its secret and its open deliveries; its log stays. Return False without one."""
    done = db.execute(
        "UPDATE webhook SET deleted_at = ?, secret = '' WHERE id = ? AND tenant = ? "
        "AND deleted_at IS NULL",
        (now, number, tenant),
    )
    if done.rowcount:
        db.execute(
            f"UPDATE delivery SET state = 'dropped' WHERE receiver = ? AND {OPEN}",
            (receiver(tenant, number, ""),),
        )
    return bool(done.rowcount)


def log_page(db: Connection, tenant: int, wanted: PageFilter) -> tuple[list[CallRow], int]:
    """Return a page of a client's attempts, newest first, with the total."""
    total: int = db.execute(
        "SELECT COALESCE(SUM(n), 0) FROM delivery_log_count WHERE tenant = ?", (tenant,)
    ).fetchone()[0]
    rows = db.execute(
        "SELECT l.id, d.webhook, d.url, d.event, e.name, l.response_status, l.response_time_ms, l.success, "
        "l.attempt, l.reason, l.at FROM (SELECT * FROM delivery_log "
        "WHERE tenant = ? ORDER BY id DESC LIMIT ? OFFSET ?) l JOIN delivery d ON d.id = l.delivery "
        "JOIN event e ON e.id = d.event ORDER BY l.id DESC",
        (tenant, wanted.limit, (wanted.page - 1) * wanted.limit),
    )
    return every(CallRow, rows), total


def replay(db: Connection, tenant: int, log: int, now: int) -> DeliveryRow | None:
    """Deliver the event of an attempt again. Return None if it is not this client's, or its webhook is gone."""
    found = db.execute(
        f"SELECT {columns(DeliveryRow, 'd')} FROM delivery_log l JOIN delivery d ON d.id = l.delivery "
        "LEFT JOIN webhook w ON w.id = d.webhook WHERE l.id = ? AND l.tenant = ? "
        "AND (d.webhook IS NULL OR w.deleted_at IS NULL)",
        (log, tenant),
    )
    row = first(DeliveryRow, found)
    if row is None or row.state == DeliveryState.BEHIND:
        return row
    if row.state == DeliveryState.DUE or not _has_open(db, row.receiver, row.stream):
        state = DeliveryState.DUE
    else:
        state = DeliveryState.BEHIND
    db.execute(
        "UPDATE delivery SET state = ?, scheduled_attempts = 0, due_at = ? WHERE id = ?",
        (state, now, row.id),
    )
    return row


def pending(db: Connection) -> int:
    """Return how many deliveries are open."""
    n: int = db.execute(f"SELECT COALESCE(SUM(n), 0) FROM delivery_count WHERE {OPEN}").fetchone()[
        0
    ]
    return n


def tidy(db: Connection, before: int, most: int) -> int:
    """Remove a bounded number of finished rows older than a time. Return how many."""
    first = before << SHORT_SHIFT  # ids grow with time
    done = 0
    for table, finished in (
        ("delivery_log", "1"),
        (
            "delivery",
            f"NOT ({OPEN}) AND NOT EXISTS (SELECT 1 FROM delivery_log l WHERE l.delivery = delivery.id)",
        ),
        ("event", "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = event.id)"),
    ):
        done += db.execute(
            f"DELETE FROM {table} WHERE id IN "
            f"(SELECT id FROM {table} WHERE id < ? AND {finished} ORDER BY id LIMIT ?)",
            (first, most),
        ).rowcount
    return done

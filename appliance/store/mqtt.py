"""The position in the events that are published by MQTT. The rows of `event` are the queue."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from appliance.domain import ids
from appliance.domain.validation import timestamp

# Rows of `meta`: the partition whose events are published, up to which event they are, and the client id. Without
# the first one nothing is published, and events without a webhook are not stored.
TENANT, POSITION, IDENTITY, SESSION = (
    "mqtt_tenant",
    "mqtt_position",
    "mqtt_identity",
    "mqtt_session",
)
REMOVED_AT_ONCE = 500


class PendingEvent(msgspec.Struct, frozen=True):
    """A committed event that was not published yet."""

    id: int
    name: str
    body: str


def _value(db: Connection, key: str) -> int | str | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    value: int | str | None = row[0] if row else None
    return value


def _keep(db: Connection, key: str, value: int | str) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def wanted(db: Connection, tenant: int) -> bool:
    """Return whether the events of a client are published."""
    return _value(db, TENANT) == tenant


def switch_on(db: Connection, tenant: int) -> None:
    """Store that a client's events are published: those of before only if it was so already."""
    if not wanted(db, tenant):
        newest = db.execute("SELECT COALESCE(MAX(id), 0) FROM event").fetchone()[0]
        _keep(db, POSITION, newest)
        _keep(db, TENANT, tenant)


def switch_off(db: Connection) -> None:
    """Store that no events are published. What waited for the broker is removed by the retention."""
    db.execute("DELETE FROM meta WHERE key = ?", (TENANT,))


def is_on(db: Connection) -> bool:
    """Return whether events are stored for MQTT."""
    return _value(db, TENANT) is not None


def identity(db: Connection, fresh: str) -> str:
    """Return the id of the box among the clients of the broker: the stored one, else `fresh`."""
    found = _value(db, IDENTITY)
    if found is None:
        _keep(db, IDENTITY, fresh)
    return fresh if found is None else str(found)


def session(db: Connection, *, present: bool) -> int:
    """Return the number of the broker's session, a new one unless it still has the last one."""
    number = int(_value(db, SESSION) or 0)
    if not present or not number:
        number += 1
        _keep(db, SESSION, number)
    return number


def pending(db: Connection, after: int | None, most: int) -> list[PendingEvent]:
    """Return the oldest events after one (None: after the position), the oldest first."""
    begin = int(_value(db, POSITION) or 0) if after is None else after
    rows = db.execute(
        "SELECT id, name, body FROM event WHERE id > ? AND tenant = ? "
        "AND name != 'webhook.test' ORDER BY id LIMIT ?",
        (begin, _value(db, TENANT), most),
    )
    return [PendingEvent(*row) for row in rows]


def count_pending(db: Connection, most: int) -> int:
    """Return how many events wait for the broker, counted up to `most`."""
    found: int = db.execute(
        "SELECT COUNT(*) FROM (SELECT 1 FROM event WHERE id > ? AND tenant = ? LIMIT ?)",
        (int(_value(db, POSITION) or 0), _value(db, TENANT), most),
    ).fetchone()[0]
    return found


def published(db: Connection, numbers: Sequence[int], position: int) -> None:
    """Move the position, and remove the events that no webhook has a delivery of."""
    _keep(db, POSITION, position)
    db.executemany(
        "DELETE FROM event WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = ?1)",
        [(number,) for number in numbers],
    )


def drop_oldest(db: Connection, most: int) -> int:
    """Give up the oldest events beyond `most`, a bounded number at once. Return how many."""
    over = count_pending(db, most + REMOVED_AT_ONCE) - most
    if over <= 0:
        return 0
    lost = [event.id for event in pending(db, None, over)]
    published(db, lost, lost[-1])
    return len(lost)


def last_received(db: Connection) -> bytes | None:
    """Return the client's last received message as JSON; None without one."""
    row = db.execute(
        "SELECT id, device, sender, body, received_at FROM inbound WHERE tenant = ? ORDER BY id DESC LIMIT 1",
        (_value(db, TENANT),),
    ).fetchone()
    if row is None:
        return None
    number, device, sender, body, received_at = row
    return msgspec.json.encode(
        {
            "inbox_id": ids.short_id("inbox", number),
            "from": sender,
            "message": body,
            "received_at": timestamp(received_at),
            "device_id": f"device_{device}",
        }
    )

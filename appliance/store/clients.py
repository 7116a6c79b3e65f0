"""Clients and their API keys. A key is kept as its SHA-256 only."""

from __future__ import annotations

import hashlib
import secrets
from sqlite3 import Connection, Row

import msgspec

from appliance.domain.ids import Ids
from appliance.domain.message import Status
from appliance.domain.views import Permissions
from appliance.store import counters, messages

KEY_BYTES = 24


class NewClient(msgspec.Struct, frozen=True):
    """A client as it was made; its signing secret is shown this once."""

    id: int
    name: str
    signing_secret: str


class NewKey(msgspec.Struct, frozen=True):
    """A key as it was made; it is shown this once and kept nowhere."""

    id: int
    client: int
    key: str


def add_client(db: Connection, name: str, now: int) -> NewClient:
    """A new client with a secret that signs the calls to its messages' own webhook_url."""
    secret = "whsec_" + secrets.token_hex(24)
    cursor = db.execute(
        "INSERT INTO client (name, signing_secret, created_at) VALUES (?, ?, ?)",
        (name, secret, now),
    )
    assert cursor.lastrowid is not None
    return NewClient(cursor.lastrowid, name, secret)


def replace_signing_secret(db: Connection, client: int) -> str | None:
    """A new signing secret; None if there is no such client."""
    secret = "whsec_" + secrets.token_hex(24)
    done = db.execute(
        "UPDATE client SET signing_secret = ? WHERE id = ? AND deleted_at IS NULL", (secret, client)
    )
    return secret if done.rowcount else None


def clients(db: Connection) -> list[Row]:
    return db.execute("SELECT * FROM client WHERE deleted_at IS NULL ORDER BY id").fetchall()


def client(db: Connection, number: int) -> Row | None:
    row: Row | None = db.execute(
        "SELECT * FROM client WHERE id = ? AND deleted_at IS NULL", (number,)
    ).fetchone()
    return row


def is_deleted(db: Connection, number: int) -> bool:
    """Whether this client is gone: what was on the line then does not go again."""
    row = db.execute("SELECT deleted_at FROM client WHERE id = ?", (number,)).fetchone()
    return row is not None and row[0] is not None


def is_disabled(db: Connection, number: int) -> bool:
    """Whether this client's messages are held back."""
    row = db.execute("SELECT disabled_at FROM client WHERE id = ?", (number,)).fetchone()
    return row is not None and row[0] is not None


def still_may(db: Connection, key_id: int, client: int) -> bool:
    """Whether a key is not revoked and its client there, at the moment of a commit.

    A request may take its time between its headers and its body. Key 0 is the owner's own hand.
    """
    row = db.execute(
        "SELECT 1 FROM client c LEFT JOIN api_key k ON k.id = ? "
        "WHERE c.id = ? AND c.deleted_at IS NULL AND k.revoked_at IS NULL",
        (key_id, client),
    ).fetchone()
    return row is not None


def hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def add_key(
    db: Connection,
    client: int,
    now: int,
    *,
    test: bool = False,
    name: str = "",
    expires_at: int | None = None,
    permissions: Permissions = Permissions(),
) -> NewKey:
    """A new key of this client."""
    key = f"zs_{'test' if test else 'live'}_{secrets.token_hex(KEY_BYTES)}"
    cursor = db.execute(
        "INSERT INTO api_key (client, test, hash, hint, name, narrowing, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (client, int(test), hashed(key), key[-4:], name)
        + (msgspec.json.encode(permissions).decode(), now, expires_at),
    )
    assert cursor.lastrowid is not None
    return NewKey(cursor.lastrowid, client, key)


def keys(db: Connection, client: int | None = None) -> list[Row]:
    """All keys, or one client's, the revoked ones too."""
    return db.execute(
        "SELECT k.*, c.name AS client_name FROM api_key k JOIN client c ON c.id = k.client "
        "WHERE c.deleted_at IS NULL AND (?1 IS NULL OR k.client = ?1) ORDER BY k.id",
        (client,),
    ).fetchall()


def access_version(db: Connection) -> int:
    """Return a number that grows with every change to keys, clients and devices."""
    version: int = db.execute("SELECT version FROM access_version").fetchone()[0]
    return version


def by_hash(db: Connection, digest: bytes) -> Row | None:
    """The key's row with its client's state, whatever became of them."""
    row: Row | None = db.execute(
        "SELECT k.*, c.disabled_at, c.deleted_at FROM api_key k JOIN client c ON c.id = k.client "
        "WHERE k.hash = ?",
        (digest,),
    ).fetchone()
    return row


def narrow(db: Connection, key_id: int, permissions: Permissions) -> bool:
    """What this key may from now on; False if there is no such key or it was revoked."""
    done = db.execute(
        "UPDATE api_key SET narrowing = ? WHERE id = ? AND revoked_at IS NULL",
        (msgspec.json.encode(permissions).decode(), key_id),
    )
    return bool(done.rowcount)


def used(db: Connection, key_id: int, now: int) -> None:
    db.execute("UPDATE api_key SET last_used_at = ? WHERE id = ?", (now, key_id))


def revoke(db: Connection, key_id: int, now: int, *, cancel_queued: bool = False) -> bool:
    """Revoke at once; False if there is no such key or it was revoked before.

    With `cancel_queued` its waiting messages are parked here and cancelled by the box.
    """
    done = db.execute(
        "UPDATE api_key SET revoked_at = ?, cancel_queued = ? WHERE id = ? AND revoked_at IS NULL",
        (now, int(cancel_queued), key_id),
    )
    if cancel_queued and done.rowcount:
        db.execute(
            "UPDATE part SET ripe = 0, ready_at = ? WHERE state = 'waiting' AND message IN "
            "(SELECT id FROM message WHERE api_key = ? AND status = 'queued' AND touched = 0 AND attempts = 0)",
            (messages.NEVER, key_id),
        )
    return bool(done.rowcount)


def cancel_of_revoked(db: Connection, new_ids: Ids, now: int, most: int) -> int:
    """Cancel what keys queued that were revoked with `cancel_queued`. Returns how many."""
    rows = db.execute(
        "SELECT m.id FROM message m JOIN api_key k ON k.id = m.api_key WHERE k.cancel_queued = 1 "
        "AND m.status = 'queued' AND m.touched = 0 AND m.attempts = 0 LIMIT ?",
        (most,),
    ).fetchall()
    return sum(messages.cancel(db, new_ids, row["id"], now) for row in rows)


def disable(db: Connection, client: int, now: int) -> bool:
    """A disabled client's keys are refused and its waiting messages stay where they are."""
    done = db.execute(
        "UPDATE client SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL AND deleted_at IS NULL",
        (now, client),
    )
    db.execute(
        "UPDATE part SET ripe = 0, ready_at = ? WHERE state = 'waiting' AND message IN "
        "(SELECT id FROM message WHERE scope IN (?, ?) AND status = 'queued')",
        (messages.NEVER, client * 2, client * 2 + 1),
    )
    return bool(done.rowcount)


def enable(db: Connection, client: int) -> bool:
    """Takes a disabled client back; what waited goes on, each at its due time."""
    done = db.execute(
        "UPDATE client SET disabled_at = NULL WHERE id = ? AND disabled_at IS NOT NULL AND deleted_at IS NULL",
        (client,),
    )
    db.execute(
        "UPDATE part SET ready_at = (SELECT due_at FROM message WHERE message.id = part.message) "
        "WHERE state = 'waiting' AND ready_at = ? AND message IN "
        "(SELECT m.id FROM message m LEFT JOIN api_key k ON k.id = m.api_key WHERE m.scope IN (?, ?) "
        "AND (COALESCE(k.cancel_queued, 0) = 0 OR m.touched OR m.attempts > 0))",
        (messages.NEVER, client * 2, client * 2 + 1),
    )
    return bool(done.rowcount)


def erase(db: Connection, client: int, now: int) -> bool:
    """Delete a client: its keys, texts and numbers go, its counts stay.

    What is on the line at this moment is only emptied, so that its outcome finds its row. Its
    history is emptied by `archive.erase_step`, again and again until nothing is left.
    """
    done = db.execute(
        "UPDATE client SET deleted_at = ?, name = '', signing_secret = '' WHERE id = ? AND deleted_at IS NULL",
        (now, client),
    )
    if not done.rowcount:
        return False
    scopes = (client * 2, client * 2 + 1)
    db.execute(
        "UPDATE api_key SET revoked_at = COALESCE(revoked_at, ?), name = '' WHERE client = ?",
        (now, client),
    )
    both = "scope IN (?, ?)"
    for row in db.execute(
        f"SELECT id, scope, device, created_at FROM message WHERE {both} AND status = 'queued' AND touched = 0",
        scopes,
    ).fetchall():
        counters.add(db, row["scope"], row["device"], row["created_at"], Status.QUEUED, -1)
        counters.add(db, row["scope"], row["device"], row["created_at"], Status.CANCELLED)
        # Earlier tries too: it may have been resent.
        for table, column in (("part", "message"), ("try", "message"), ("message", "id")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (row["id"],))
    # A part that waits behind one that was handed over goes no more.
    db.execute(
        "UPDATE part SET state = 'dropped' WHERE state = 'waiting' "
        f"AND message IN (SELECT id FROM message WHERE {both})",
        scopes,
    )
    blank = "body = '', recipient = '', metadata = NULL, webhook_url = NULL"
    db.execute(f"UPDATE message SET {blank}, secret = NULL WHERE {both}", scopes)
    for table in ("idempotency", "otp", "inbound", "delivery", "delivery_log", "blocked", "opt_in"):
        db.execute(f"DELETE FROM {table} WHERE {both}", scopes)
    for table in ("event", "webhook", "last_writer"):
        db.execute(f"DELETE FROM {table} WHERE {both}", scopes)
    dropped = (
        f"SELECT id FROM message WHERE {both} AND status = 'queued' "
        "AND EXISTS (SELECT 1 FROM part WHERE message = id AND state = 'dropped')"
    )
    for row in db.execute(dropped, scopes).fetchall():
        messages.settle(db, Ids(0, 0), row["id"], now)  # nobody is told: no id is needed
    return True

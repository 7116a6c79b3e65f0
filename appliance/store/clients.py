"""Clients and their API keys. A key is kept as its SHA-256 only."""

from __future__ import annotations

import hashlib
import secrets
from sqlite3 import Connection

import msgspec

from appliance.domain.ids import Ids
from appliance.domain.message import Status
from appliance.domain.views import Permissions
from appliance.store import counters, messages
from appliance.store.rows import ClientRow, KeyRow, columns, every, first

KEY_BYTES = 24
# SMPP allows 8 octets (3.4, 4.1.1): without letters that look like others, 46 bits.
PASSWORD_OCTETS = 8
PASSWORD_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# scrypt, 16 MiB for some 50 ms on a laptop: 46 bits are too few for a quick hash.
SCRYPT_COST, SCRYPT_BLOCK = 2**14, 8


class NewClient(msgspec.Struct, frozen=True):
    """A new client with its signing secret, which is shown only once."""

    id: int
    name: str
    signing_secret: str


class NewKey(msgspec.Struct, frozen=True):
    """A new key, which is shown only once and not stored."""

    id: int
    client: int
    key: str


def add_client(db: Connection, name: str, now: int) -> NewClient:
    """Create a client, with a secret that signs calls to a message's own webhook_url."""
    secret = "whsec_" + secrets.token_hex(24)
    cursor = db.execute(
        "INSERT INTO client (name, signing_secret, created_at) VALUES (?, ?, ?)",
        (name, secret, now),
    )
    assert cursor.lastrowid is not None
    return NewClient(cursor.lastrowid, name, secret)


def replace_signing_secret(db: Connection, client: int) -> str | None:
    """Replace and return a client's signing secret; None if there is no such client."""
    secret = "whsec_" + secrets.token_hex(24)
    done = db.execute(
        "UPDATE client SET signing_secret = ? WHERE id = ? AND deleted_at IS NULL", (secret, client)
    )
    return secret if done.rowcount else None


_CLIENTS = f"SELECT {columns(ClientRow)} FROM client WHERE deleted_at IS NULL"


def clients(db: Connection) -> list[ClientRow]:
    """Return the clients."""
    return every(ClientRow, db.execute(f"{_CLIENTS} ORDER BY id"))


def client(db: Connection, number: int) -> ClientRow | None:
    """Return a client; None without one."""
    return first(ClientRow, db.execute(f"{_CLIENTS} AND id = ?", (number,)))


def is_deleted(db: Connection, number: int) -> bool:
    """Return whether a client is deleted, so that its parts are not sent again."""
    row = db.execute("SELECT deleted_at FROM client WHERE id = ?", (number,)).fetchone()
    return row is not None and row[0] is not None


def is_disabled(db: Connection, number: int) -> bool:
    """Return whether a client's messages are held back."""
    row = db.execute("SELECT disabled_at FROM client WHERE id = ?", (number,)).fetchone()
    return row is not None and row[0] is not None


def still_may(db: Connection, key_id: int, client: int) -> bool:
    """Return whether a key and its client are still valid, at the time of a commit.

    Time may pass between the headers and the body of a request. Key 0 is the owner on the status page.
    """
    row = db.execute(
        "SELECT 1 FROM client c LEFT JOIN api_key k ON k.id = ? "
        "WHERE c.id = ? AND c.deleted_at IS NULL AND k.revoked_at IS NULL",
        (key_id, client),
    ).fetchone()
    return row is not None


def hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def hashed_password(client: int, password: str) -> bytes:
    """Return the hash of a password for SMPP. Takes a moment, on purpose."""
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=f"zimbox smpp client_{client}".encode(),
        n=SCRYPT_COST,
        r=SCRYPT_BLOCK,
        p=1,
        dklen=32,
    )


def add_key(
    db: Connection,
    client: int,
    now: int,
    *,
    test: bool = False,
    smpp: bool = False,
    name: str = "",
    expires_at: int | None = None,
    permissions: Permissions = Permissions(),
) -> NewKey:
    """Create a key of a client, or with `smpp` a password."""
    if smpp:
        key = "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_OCTETS))
        digest, hint = hashed_password(client, key), ""  # its last four would be half of it
    else:
        key = f"zs_{'test' if test else 'live'}_{secrets.token_hex(KEY_BYTES)}"
        digest, hint = hashed(key), key[-4:]
    cursor = db.execute(
        "INSERT INTO api_key (client, test, smpp, hash, hint, name, permissions, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (client, int(test), int(smpp), digest, hint, name)
        + (msgspec.json.encode(permissions).decode(), now, expires_at),
    )
    assert cursor.lastrowid is not None
    return NewKey(cursor.lastrowid, client, key)


_KEYS = (
    "SELECT k.id, k.client, k.test, k.hint, k.name, k.permissions, k.created_at, k.last_used_at, k.expires_at, "
    "k.revoked_at, c.disabled_at, c.deleted_at, k.smpp FROM api_key k JOIN client c ON c.id = k.client"
)


def keys(db: Connection, client: int | None = None) -> list[KeyRow]:
    """Return all keys, or those of a client, including revoked ones."""
    found = db.execute(
        f"{_KEYS} WHERE c.deleted_at IS NULL AND (?1 IS NULL OR k.client = ?1) ORDER BY k.id",
        (client,),
    )
    return every(KeyRow, found)


def access_version(db: Connection) -> int:
    """Return a number that grows with every change to keys, clients and devices."""
    version: int = db.execute("SELECT version FROM access_version").fetchone()[0]
    return version


def by_hash(db: Connection, digest: bytes) -> KeyRow | None:
    """Return a key with its client's state, even if revoked or deleted."""
    return first(KeyRow, db.execute(f"{_KEYS} WHERE k.hash = ?", (digest,)))


def set_permissions(db: Connection, key_id: int, permissions: Permissions) -> bool:
    """Change the permissions of a key; return False if there is none, or it was revoked."""
    done = db.execute(
        "UPDATE api_key SET permissions = ? WHERE id = ? AND revoked_at IS NULL",
        (msgspec.json.encode(permissions).decode(), key_id),
    )
    return bool(done.rowcount)


def used(db: Connection, key_id: int, now: int) -> None:
    db.execute("UPDATE api_key SET last_used_at = ? WHERE id = ?", (now, key_id))


def revoke(db: Connection, key_id: int, now: int, *, cancel_queued: bool = False) -> bool:
    """Revoke a key; return False if there is none, or it was already revoked.

    With `cancel_queued` its waiting messages are parked here and cancelled by the box.
    """
    done = db.execute(
        "UPDATE api_key SET revoked_at = ?, cancel_queued = ? WHERE id = ? AND revoked_at IS NULL",
        (now, int(cancel_queued), key_id),
    )
    if cancel_queued and done.rowcount:
        db.execute(
            "UPDATE part SET ready = 0, ready_at = ? WHERE state = 'waiting' AND message IN "
            "(SELECT id FROM message WHERE api_key = ? AND status = 'queued' AND ever_submitted = 0 AND attempts = 0)",
            (messages.NEVER, key_id),
        )
    return bool(done.rowcount)


def cancel_of_revoked(db: Connection, new_ids: Ids, now: int, most: int) -> int:
    """Cancel messages of keys that were revoked with `cancel_queued`. Return how many."""
    rows = db.execute(
        "SELECT m.id FROM message m JOIN api_key k ON k.id = m.api_key WHERE k.cancel_queued = 1 "
        "AND m.status = 'queued' AND m.ever_submitted = 0 AND m.attempts = 0 LIMIT ?",
        (most,),
    ).fetchall()
    return sum(messages.cancel(db, new_ids, number, now) for (number,) in rows)


def disable(db: Connection, client: int, now: int) -> bool:
    """Disable a client: its keys are refused, and its waiting messages stay."""
    done = db.execute(
        "UPDATE client SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL AND deleted_at IS NULL",
        (now, client),
    )
    db.execute(
        "UPDATE part SET ready = 0, ready_at = ? WHERE state = 'waiting' AND message IN "
        "(SELECT id FROM message WHERE tenant IN (?, ?) AND status = 'queued')",
        (messages.NEVER, client * 2, client * 2 + 1),
    )
    return bool(done.rowcount)


def enable(db: Connection, client: int) -> bool:
    """Enable a client; its waiting messages are sent, each at its due time."""
    done = db.execute(
        "UPDATE client SET disabled_at = NULL WHERE id = ? AND disabled_at IS NOT NULL AND deleted_at IS NULL",
        (client,),
    )
    db.execute(
        "UPDATE part SET ready_at = (SELECT due_at FROM message WHERE message.id = part.message) "
        "WHERE state = 'waiting' AND ready_at = ? AND message IN "
        "(SELECT m.id FROM message m LEFT JOIN api_key k ON k.id = m.api_key WHERE m.tenant IN (?, ?) "
        "AND (COALESCE(k.cancel_queued, 0) = 0 OR m.ever_submitted OR m.attempts > 0))",
        (messages.NEVER, client * 2, client * 2 + 1),
    )
    return bool(done.rowcount)


def erase(db: Connection, client: int, now: int) -> bool:
    """Delete a client with its keys, texts and numbers; its statistics stay.

    The part that is being sent is only emptied, so that its outcome finds its row. `archive.erase_step` empties the
    history step by step.
    """
    done = db.execute(
        "UPDATE client SET deleted_at = ?, name = '', signing_secret = '' WHERE id = ? AND deleted_at IS NULL",
        (now, client),
    )
    if not done.rowcount:
        return False
    tenants = (client * 2, client * 2 + 1)
    db.execute(
        "UPDATE api_key SET revoked_at = COALESCE(revoked_at, ?), name = '' WHERE client = ?",
        (now, client),
    )
    db.execute(
        "DELETE FROM alert WHERE api_key IN (SELECT id FROM api_key WHERE client = ?)", (client,)
    )
    both = "tenant IN (?, ?)"
    for number, tenant, device, created_at in db.execute(
        f"SELECT id, tenant, device, created_at FROM message WHERE {both} AND status = 'queued' AND ever_submitted = 0",
        tenants,
    ).fetchall():
        counters.add(db, tenant, device, created_at, Status.QUEUED, -1)
        counters.add(db, tenant, device, created_at, Status.CANCELLED)
        # Earlier attempts too: it may have been resent.
        for table, column in (("part", "message"), ("attempt", "message"), ("message", "id")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))
    # Parts that wait behind a submitted one are not sent any more.
    db.execute(
        "UPDATE part SET state = 'dropped' WHERE state IN ('waiting', 'held') "
        f"AND message IN (SELECT id FROM message WHERE {both})",
        tenants,
    )
    blank = "body = '', recipient = '', metadata = NULL, webhook_url = NULL"
    db.execute(f"UPDATE message SET {blank}, secret = NULL WHERE {both}", tenants)
    for table in (
        "idempotency",
        "otp",
        "inbound",
        "conversation",
        "contact",
        "picture_message",
        "delivery",
        "delivery_log",
        "blocked",
        "opt_in",
        "smpp_submission",
        "smpp_segment",
        "smpp_delivery",
    ):
        db.execute(f"DELETE FROM {table} WHERE {both}", tenants)
    for table in ("event", "webhook", "last_writer"):
        db.execute(f"DELETE FROM {table} WHERE {both}", tenants)
    dropped = (
        f"SELECT id FROM message WHERE {both} AND status = 'queued' "
        "AND EXISTS (SELECT 1 FROM part WHERE message = id AND state = 'dropped')"
    )
    for (number,) in db.execute(dropped, tenants).fetchall():
        messages.settle(db, Ids(0, 0), number, now)  # there is no event, so no id is needed
    return True

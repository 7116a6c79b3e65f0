"""What the page keeps of its owner: settings made there, sessions, limits of a modem."""

from __future__ import annotations

import hashlib
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from appliance.core.config import Limits

T = TypeVar("T")


def setting(db: Connection, name: str, kind: type[T]) -> T | None:
    """A setting as it was kept; None where there is none."""
    row = db.execute("SELECT value FROM owner_setting WHERE name = ?", (name,)).fetchone()
    return msgspec.json.decode(row[0], type=kind) if row else None


def keep(db: Connection, name: str, value: object) -> None:
    """Keep a setting in place of what stood there."""
    db.execute(
        "INSERT INTO owner_setting (name, value) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value",
        (name, msgspec.json.encode(value).decode()),
    )


def claim(db: Connection, password_hash: str) -> bool:
    """Set the first password; False if the box has one already."""
    done = db.execute(
        "INSERT INTO owner_setting (name, value) VALUES ('password', ?) ON CONFLICT DO NOTHING",
        (msgspec.json.encode(password_hash).decode(),),
    )
    return bool(done.rowcount)


def given(db: Connection, password_hash: str) -> bool:
    """The password out of the settings file, once: a change made on the page later stays. True if new."""
    if setting(db, "password_given", str) == password_hash:
        return False
    keep(db, "password_given", password_hash)
    keep(db, "password", password_hash)
    db.execute("DELETE FROM owner_session")
    return True


def forget(db: Connection) -> bool:
    """No password and no session any more; False if there was none."""
    done = db.execute("DELETE FROM owner_setting WHERE name = 'password'")
    db.execute("DELETE FROM owner_session")
    return bool(done.rowcount)


# --- sessions ------------------------------------------------------------------------------------


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def open_session(db: Connection, token: str, agent: str, now: int, most: int) -> None:
    """A new session; beyond `most` the longest unused ones end (never the new one, whatever the clock says)."""
    db.execute(
        "INSERT INTO owner_session (hash, created_at, seen_at, agent) VALUES (?, ?, ?, ?)",
        (_hash(token), now, now, agent),
    )
    db.execute(
        "DELETE FROM owner_session WHERE hash NOT IN "
        "(SELECT hash FROM owner_session ORDER BY hash = ? DESC, seen_at DESC LIMIT ?)",
        (_hash(token), most),
    )


def session_seen(db: Connection, token: str) -> tuple[int, int] | None:
    """When this session began and when it was last seen; None if there is none."""
    row = db.execute(
        "SELECT created_at, seen_at FROM owner_session WHERE hash = ?", (_hash(token),)
    ).fetchone()
    return (row[0], row[1]) if row else None


def see_session(db: Connection, token: str, now: int) -> None:
    db.execute("UPDATE owner_session SET seen_at = ? WHERE hash = ?", (now, _hash(token)))


def move_sessions(db: Connection, since: int, step: int) -> None:
    """The clock was set by so much: who was seen since then was seen as long ago as before."""
    db.execute("UPDATE owner_session SET seen_at = seen_at + ? WHERE seen_at >= ?", (step, since))


def end_session(db: Connection, token: str) -> None:
    db.execute("DELETE FROM owner_session WHERE hash = ?", (_hash(token),))


def end_other_sessions(db: Connection, token: str) -> None:
    """Everybody else is logged out."""
    db.execute("DELETE FROM owner_session WHERE hash != ?", (_hash(token),))


# --- limits --------------------------------------------------------------------------------------


def limits(db: Connection, device: int) -> Limits | None:
    """What the page set for this modem; None: as configured.

    A modem without any takes over those of the one that its SIM was in before: the operator's cap is
    the SIM's, and a HAT that was replaced must not lift it.
    """
    db.execute(
        "INSERT INTO device_limits (device, limits) SELECT here.id, l.limits FROM device AS here "
        "JOIN device AS there ON there.sim = here.sim AND there.id != here.id "
        "JOIN device_limits l ON l.device = there.id "
        "WHERE here.id = ? AND here.sim != '' ORDER BY there.since DESC LIMIT 1 ON CONFLICT DO NOTHING",
        (device,),
    )
    row = db.execute("SELECT limits FROM device_limits WHERE device = ?", (device,)).fetchone()
    return msgspec.json.decode(row[0], type=Limits) if row else None


def set_limits(db: Connection, device: int, wanted: Limits) -> bool:
    """Of this device; False if there is none (any more)."""
    done = db.execute(
        "INSERT INTO device_limits (device, limits) SELECT id, ? FROM device WHERE id = ? "
        "ON CONFLICT DO UPDATE SET limits = excluded.limits",
        (msgspec.json.encode(wanted).decode(), device),
    )
    return bool(done.rowcount)

"""Data of the status page: settings made there, the owner's password and sessions, limits of a modem."""

from __future__ import annotations

import hashlib
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from appliance.core.config import Limits
from appliance.store.starts import THIS_START

T = TypeVar("T")


def setting(db: Connection, name: str, kind: type[T]) -> T | None:
    """Return a stored setting; None without one."""
    row = db.execute("SELECT value FROM admin_setting WHERE name = ?", (name,)).fetchone()
    return msgspec.json.decode(row[0], type=kind) if row else None


def keep(db: Connection, name: str, value: object) -> None:
    """Store a setting."""
    db.execute(
        "INSERT INTO admin_setting (name, value) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET value = excluded.value",
        (name, msgspec.json.encode(value).decode()),
    )


def first_started(db: Connection, now: int) -> int:
    """Return when the box first started without a password, in ms; `now` if it never did."""
    first = setting(db, "first_started", int)
    if first is None:
        keep(db, "first_started", now)
    return now if first is None else first


def claim(db: Connection, password_hash: str) -> bool:
    """Set the first password; return False if there is one already."""
    done = db.execute(
        "INSERT INTO admin_setting (name, value) VALUES ('password', ?) ON CONFLICT DO NOTHING",
        (msgspec.json.encode(password_hash).decode(),),
    )
    return bool(done.rowcount)


def given(db: Connection, password_hash: str) -> bool:
    """Take the password from the settings file, once; a later change stays. Return whether it was new."""
    if setting(db, "password_given", str) == password_hash:
        return False
    keep(db, "password_given", password_hash)
    keep(db, "password", password_hash)
    db.execute("DELETE FROM admin_session")
    return True


def forget(db: Connection) -> bool:
    """Remove password and sessions; return False if there was no password."""
    done = db.execute("DELETE FROM admin_setting WHERE name = 'password'")
    db.execute("DELETE FROM admin_session")
    return bool(done.rowcount)


# --- sessions ------------------------------------------------------------------------------------


def hash_of(token: str) -> bytes:
    """Return what is stored of a session's cookie."""
    return hashlib.sha256(token.encode()).digest()


def open_session(db: Connection, token: str, agent: str, now: int, most: int) -> None:
    """Store a session; beyond `most` the least recently used ones end, never the new one."""
    db.execute(
        "INSERT INTO admin_session (hash, created_at, seen_at, start_number, agent) "
        f"VALUES (?, ?, ?, {THIS_START}, ?)",
        (hash_of(token), now, now, agent),
    )
    db.execute(
        "DELETE FROM admin_session WHERE hash NOT IN "
        "(SELECT hash FROM admin_session ORDER BY hash = ? DESC, seen_at DESC LIMIT ?)",
        (hash_of(token), most),
    )


def session_seen(db: Connection, token: str) -> tuple[int, int] | None:
    """Return when a session began and was last used; None without one."""
    row = db.execute(
        "SELECT created_at, seen_at FROM admin_session WHERE hash = ?", (hash_of(token),)
    ).fetchone()
    return (row[0], row[1]) if row else None


def see_session(db: Connection, token: str, now: int) -> None:
    db.execute(
        f"UPDATE admin_session SET seen_at = ?, start_number = {THIS_START} WHERE hash = ?",
        (now, hash_of(token)),
    )


def move_sessions(db: Connection, step: int) -> None:
    """Move the last use of sessions used since the box started by a clock jump."""
    db.execute(
        f"UPDATE admin_session SET seen_at = seen_at + ? WHERE start_number = {THIS_START}", (step,)
    )


def end_session(db: Connection, token: str) -> None:
    db.execute("DELETE FROM admin_session WHERE hash = ?", (hash_of(token),))


def end_other_sessions(db: Connection, token: str) -> None:
    """End all other sessions."""
    db.execute("DELETE FROM admin_session WHERE hash != ?", (hash_of(token),))


# --- limits --------------------------------------------------------------------------------------


def limits(db: Connection, device: int) -> Limits | None:
    """Return the limits that the page set for a modem; None: as configured.

    A modem without limits takes over those of the modem that its SIM was in before: the cap belongs to the SIM,
    and a replaced HAT must not lift it.
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
    """Store the limits of a modem; return False if there is no such modem."""
    done = db.execute(
        "INSERT INTO device_limits (device, limits) SELECT id, ? FROM device WHERE id = ? "
        "ON CONFLICT DO UPDATE SET limits = excluded.limits",
        (msgspec.json.encode(wanted).decode(), device),
    )
    return bool(done.rowcount)

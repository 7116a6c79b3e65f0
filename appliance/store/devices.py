"""Devices: a persistent number for each modem, bound to its IMEI, or to what replaces it."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

from appliance.domain import ids
from appliance.store.rows import DeviceRow, columns, every, first
from modem.interface import Identity, Limitation

# A row may name a client that does not exist (yet): it reserves the modem nevertheless.
_MAY_USE = """(NOT EXISTS (SELECT 1 FROM kept_for c WHERE c.device = device.id)
  OR EXISTS (SELECT 1 FROM kept_for c WHERE c.device = device.id AND c.client = client.id))"""


def known(db: Connection, key: str, name: str, test: bool, now: int) -> DeviceRow:
    """Return the device with this key (its IMEI, or what replaces it); create it if it is new."""
    # Select first: a conflicting INSERT would use up a number each time.
    db.execute(
        "INSERT INTO device (imei, test, name, created_at) SELECT ?1, ?2, ?3, ?4 "
        "WHERE NOT EXISTS (SELECT 1 FROM device WHERE imei = ?1)",
        (key, int(test), name, now),
    )
    found = db.execute(f"SELECT {columns(DeviceRow)} FROM device WHERE imei = ?", (key,))
    return DeviceRow._make(found.fetchone())


def get(db: Connection, number: int) -> DeviceRow | None:
    """Return a device; None without one."""
    found = db.execute(f"SELECT {columns(DeviceRow)} FROM device WHERE id = ?", (number,))
    return first(DeviceRow, found)


def with_key(db: Connection, key: str) -> bool:
    """Return whether a device is known by this key: its IMEI, or what replaces it."""
    return db.execute("SELECT 1 FROM device WHERE imei = ?", (key,)).fetchone() is not None


def describe(db: Connection, device: int, name: str, identity: Identity) -> None:
    """Store name and number of a device; an empty value overwrites nothing."""
    db.execute(
        "UPDATE device SET name = IIF(?1 = '', name, ?1), "
        "phone_number = IIF(?2 = '', phone_number, ?2), sim = IIF(?3 = '', sim, ?3) WHERE id = ?4",
        (name, identity.phone_number, identity.sim, device),
    )


def set_online(db: Connection, device: int, online: bool, now: int) -> bool:
    """Store whether a device can send; return whether that has changed."""
    done = db.execute(
        "UPDATE device SET online = ?1, since = ?2 WHERE id = ?3 AND (online != ?1 OR since IS NULL)",
        (int(online), now, device),
    )
    return bool(done.rowcount)


def set_limitations(
    db: Connection, device: int, limitations: frozenset[Limitation], *, complete: bool
) -> dict[Limitation, bool]:
    """Store what a modem cannot do; return what has begun (True) or ended (False).

    Unless `complete`, as while a modem starts, what is missing has not ended.
    """
    row = db.execute("SELECT limitations FROM device WHERE id = ?", (device,)).fetchone()
    if row is None:
        return {}
    before = {Limitation(name) for name in row[0].split() if name in set(Limitation)}
    now = limitations if complete else limitations | before
    if now != before:
        names = " ".join(sorted(now))
        db.execute("UPDATE device SET limitations = ? WHERE id = ?", (names, device))
    return {each: each in now for each in sorted(now ^ before)}


def assign(db: Connection, device: int, clients: Sequence[int]) -> list[int]:
    """Reserve a device for clients; none means all. Return the clients that do not exist (yet)."""
    db.execute("DELETE FROM kept_for WHERE device = ?", (device,))
    db.executemany(
        "INSERT OR IGNORE INTO kept_for (device, client) VALUES (?, ?)",
        [(device, c) for c in clients],
    )
    there = clients_of(db, device) if clients else []
    return [client for client in clients if client not in there]


def live(db: Connection) -> list[DeviceRow]:
    """Return every known device that was not removed."""
    found = db.execute(f"SELECT {columns(DeviceRow)} FROM device WHERE test = 0 ORDER BY id")
    return every(DeviceRow, found)


def live_with_waiting(db: Connection) -> list[tuple[DeviceRow, int]]:
    """Return the same, each with the number of parts that wait for that device only."""
    found = db.execute(
        f"SELECT {columns(DeviceRow)}, (SELECT COALESCE(SUM(ready + delayed), 0) FROM part_count "
        "WHERE bound_device = device.id) FROM device WHERE test = 0 ORDER BY id"
    )
    return [(DeviceRow._make(row[:-1]), row[-1]) for row in found.fetchall()]


def numbers(db: Connection) -> set[int]:
    """Return all devices, including the simulated one of the test keys."""
    return {row[0] for row in db.execute("SELECT id FROM device")}


def remove(db: Connection, device: int) -> bool:
    """Remove a device; return False if there is none, or it is online.

    Its number is not used again. The maintenance jobs fail what is bound to it.
    """
    gone = "IN (SELECT id FROM device WHERE id = ? AND test = 0 AND online = 0)"
    for table in ("kept_for", "device_alias", "device_limits"):
        db.execute(f"DELETE FROM {table} WHERE device {gone}", (device,))
    return bool(db.execute(f"DELETE FROM device WHERE id {gone}", (device,)).rowcount)


def visible(db: Connection, client: int, test: bool) -> list[DeviceRow]:
    """Return the devices that a client may use in a mode."""
    found = db.execute(
        f"SELECT {columns(DeviceRow, 'device')} FROM device JOIN client ON client.id = ? "
        f"WHERE device.test = ? AND {_MAY_USE} ORDER BY device.id",
        (client, int(test)),
    )
    return every(DeviceRow, found)


def everybodys(db: Connection, device: int) -> bool:
    """Return whether a device is not reserved."""
    return not db.execute("SELECT 1 FROM kept_for WHERE device = ?", (device,)).fetchone()


def clients_of(db: Connection, device: int) -> list[int]:
    """Return the existing clients that may use a device: those it is reserved for, else all."""
    return [
        row[0]
        for row in db.execute(
            "SELECT client.id FROM client JOIN device ON device.id = ? "
            f"WHERE client.deleted_at IS NULL AND {_MAY_USE} ORDER BY client.id",
            (device,),
        )
    ]


def set_alias(
    db: Connection, client: int, alias: str, device: int, *, by_settings: bool = False
) -> bool:
    """Let a client name a device by a further id, instead of what it meant before. Return False without a device."""
    done = db.execute(
        "INSERT INTO device_alias (client, alias, device, by_settings) "
        "SELECT ?1, ?2, id, ?4 FROM device WHERE id = ?3 AND test = 0 "
        "ON CONFLICT DO UPDATE SET device = excluded.device, by_settings = excluded.by_settings",
        (client, alias, device, int(by_settings)),
    )
    return bool(done.rowcount)


def remove_alias(db: Connection, client: int, alias: str) -> bool:
    """Remove a client's further id of a device; return False if there is none."""
    return bool(
        db.execute(
            "DELETE FROM device_alias WHERE client = ? AND alias = ?", (client, alias)
        ).rowcount
    )


def set_configured_aliases(db: Connection, device: int, aliases: Sequence[tuple[int, str]]) -> None:
    """Replace the aliases (client, id) that earlier settings gave a device."""
    db.execute("DELETE FROM device_alias WHERE device = ? AND by_settings = 1", (device,))
    for client, alias in aliases:
        set_alias(db, client, alias, device, by_settings=True)


def aliases(db: Connection, device: int) -> list[tuple[int, str]]:
    """Return the further ids of a device, each with its client."""
    return [
        (row[0], row[1])
        for row in db.execute(
            "SELECT client, alias FROM device_alias WHERE device = ? ORDER BY client, alias",
            (device,),
        )
    ]


def named(db: Connection, client: int, device_id: str) -> int | None:
    """Return the device that a client means by an id: an alias of its own, else the box's id."""
    row = db.execute(
        "SELECT device FROM device_alias WHERE client = ? AND alias = ?", (client, device_id)
    ).fetchone()
    return row[0] if row else ids.parse_decimal("device", device_id)

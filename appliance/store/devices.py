"""Devices: a persistent number for each modem, bound to its IMEI."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection, Row

from modem.interface import Identity

# A row may name a client that is made later or was deleted: it keeps the modem from all others.
_MAY_USE = """(NOT EXISTS (SELECT 1 FROM kept_for c WHERE c.device = device.id)
  OR EXISTS (SELECT 1 FROM kept_for c WHERE c.device = device.id AND c.client = client.id))"""


def known(db: Connection, imei: str, name: str, test: bool, now: int) -> Row:
    """The device with this IMEI, made if it is new."""
    # Looked for first: an INSERT that conflicts would use up a number each time.
    db.execute(
        "INSERT INTO device (imei, test, name, created_at) SELECT ?1, ?2, ?3, ?4 "
        "WHERE NOT EXISTS (SELECT 1 FROM device WHERE imei = ?1)",
        (imei, int(test), name, now),
    )
    row: Row = db.execute("SELECT * FROM device WHERE imei = ?", (imei,)).fetchone()
    return row


def describe(db: Connection, device: int, name: str, identity: Identity) -> None:
    """What the owner or the SIM says of it; nothing is overwritten with nothing."""
    db.execute(
        "UPDATE device SET name = IIF(?1 = '', name, ?1), "
        "phone_number = IIF(?2 = '', phone_number, ?2), sim = IIF(?3 = '', sim, ?3) WHERE id = ?4",
        (name, identity.phone_number, identity.sim, device),
    )


def set_online(db: Connection, device: int, online: bool, now: int) -> bool:
    """Note whether it can send; True if that is news."""
    done = db.execute(
        "UPDATE device SET online = ?1, since = ?2 WHERE id = ?3 AND (online != ?1 OR since IS NULL)",
        (int(online), now, device),
    )
    return bool(done.rowcount)


def assign(db: Connection, device: int, clients: Sequence[int]) -> list[int]:
    """Only these clients may use it; none means all. Returns those that there are not (yet)."""
    db.execute("DELETE FROM kept_for WHERE device = ?", (device,))
    db.executemany(
        "INSERT OR IGNORE INTO kept_for (device, client) VALUES (?, ?)",
        [(device, c) for c in clients],
    )
    there = clients_of(db, device) if clients else []
    return [client for client in clients if client not in there]


def live(db: Connection) -> list[Row]:
    """Every modem that was ever here and not removed, with how many parts wait for it alone."""
    return db.execute(
        "SELECT device.*, (SELECT COALESCE(SUM(ripe + delayed), 0) FROM part_count "
        "WHERE pin = device.id) AS waiting FROM device WHERE test = 0 ORDER BY id"
    ).fetchall()


def numbers(db: Connection) -> set[int]:
    """Of all devices, the simulated one of the test keys as well."""
    return {row[0] for row in db.execute("SELECT id FROM device")}


def remove(db: Connection, device: int) -> bool:
    """Forget a modem that is gone for good; False if there is none, or it is online.

    Its number is given to no other. What waits for it is failed by housekeeping.
    """
    gone = "IN (SELECT id FROM device WHERE id = ? AND test = 0 AND online = 0)"
    for table in ("kept_for", "device_limits"):
        db.execute(f"DELETE FROM {table} WHERE device {gone}", (device,))
    return bool(db.execute(f"DELETE FROM device WHERE id {gone}", (device,)).rowcount)


def visible(db: Connection, client: int, test: bool) -> list[Row]:
    """This client's devices of that mode."""
    return db.execute(
        "SELECT device.* FROM device JOIN client ON client.id = ? "
        f"WHERE device.test = ? AND {_MAY_USE} ORDER BY device.id",
        (client, int(test)),
    ).fetchall()


def everybodys(db: Connection, device: int) -> bool:
    """Whether it is assigned to nobody in particular."""
    return not db.execute("SELECT 1 FROM kept_for WHERE device = ?", (device,)).fetchone()


def clients_of(db: Connection, device: int) -> list[int]:
    """Whose it is, of the clients that there are: those it is assigned to, else all."""
    return [
        row[0]
        for row in db.execute(
            "SELECT client.id FROM client JOIN device ON device.id = ? "
            f"WHERE client.deleted_at IS NULL AND {_MAY_USE} ORDER BY client.id",
            (device,),
        )
    ]

"""Devices: a persistent number for each modem, bound to its IMEI."""

from __future__ import annotations

from sqlite3 import Connection, Row

VISIBLE = """(NOT EXISTS (SELECT 1 FROM device_client c WHERE c.device = device.id)
  OR EXISTS (SELECT 1 FROM device_client c WHERE c.device = device.id AND c.client = :client))"""


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


def describe(db: Connection, device: int, name: str, phone_number: str) -> None:
    """What the owner or the SIM says of it; nothing is overwritten with nothing."""
    db.execute(
        "UPDATE device SET name = IIF(?1 = '', name, ?1), phone_number = IIF(?2 = '', phone_number, ?2) "
        "WHERE id = ?3",
        (name, phone_number, device),
    )


def set_online(db: Connection, device: int, online: bool, now: int) -> bool:
    """Note whether it can send; True if that is news."""
    done = db.execute(
        "UPDATE device SET online = ?1, since = ?2 WHERE id = ?3 AND (online != ?1 OR since IS NULL)",
        (int(online), now, device),
    )
    return bool(done.rowcount)


def assign(db: Connection, device: int, clients: list[int]) -> None:
    """Only these clients may use it; none means all."""
    db.execute("DELETE FROM device_client WHERE device = ?", (device,))
    db.executemany(
        "INSERT INTO device_client (device, client) VALUES (?, ?)", [(device, c) for c in clients]
    )


def visible(db: Connection, client: int, test: bool) -> list[Row]:
    """This client's devices of that mode."""
    return db.execute(
        f"SELECT * FROM device WHERE test = :test AND {VISIBLE} ORDER BY id",
        {"client": client, "test": int(test)},
    ).fetchall()


def clients_of(db: Connection, device: int) -> list[int]:
    """Whose it is: those it is assigned to, else all."""
    own = [r[0] for r in db.execute("SELECT client FROM device_client WHERE device = ?", (device,))]
    return own or [
        r[0] for r in db.execute("SELECT id FROM client WHERE deleted_at IS NULL ORDER BY id")
    ]


def remove(db: Connection, device: int) -> bool:
    """Forget a modem that is gone for good."""
    db.execute("DELETE FROM device_client WHERE device = ?", (device,))
    return bool(db.execute("DELETE FROM device WHERE id = ?", (device,)).rowcount)

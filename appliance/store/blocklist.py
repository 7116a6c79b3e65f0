"""The block list: numbers blocked by a client or the owner, and numbers that opted out with STOP.

A row belongs to one client (its tenant) or to all clients (tenant 0, in test mode 1: a block by the owner, or an
opt-out from a SIM that all clients share). `opt_in` exempts one client from an opt-out.
"""

from __future__ import annotations

from sqlite3 import Connection

from appliance.store import devices
from appliance.store.rows import BlockedRow, columns, every

HOLDS = """(tenant = :tenant OR (tenant = :tenant & 1 AND NOT (source = 'stop'
  AND EXISTS (SELECT 1 FROM opt_in i WHERE i.tenant = :tenant AND i.number = blocked.number))))"""


def is_blocked(db: Connection, tenant: int, number: str, kind: str = "sms") -> bool:
    """Return whether a number is blocked by the client or the owner, or opted out of a SIM of the client.

    An opt-out does not cover one-time passwords (`kind` "otp"; docs/adr/0035): whoever enters a number asks for one.
    """
    return (
        db.execute(
            f"SELECT 1 FROM blocked WHERE number = :number AND {HOLDS} "
            "AND NOT (source = 'stop' AND :kind = 'otp')",
            {"tenant": tenant, "number": number, "kind": kind},
        ).fetchone()
        is not None
    )


def add(
    db: Connection,
    tenant: int,
    number: str,
    reason: str,
    source: str,
    now: int,
    device: int | None = None,
) -> BlockedRow:
    """Block a number. An existing entry stays, except that it replaces an opt-out."""
    db.execute(
        "INSERT INTO blocked (tenant, number, reason, source, device, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET reason = excluded.reason, source = excluded.source "
        "WHERE blocked.source = 'stop' AND excluded.source != 'stop'",
        (tenant, number, reason, source, device, now),
    )
    found = db.execute(
        f"SELECT {columns(BlockedRow)} FROM blocked WHERE tenant = ? AND number = ?",
        (tenant, number),
    )
    return BlockedRow._make(found.fetchone())


def opt_out(db: Connection, device: int, test: bool, number: str, now: int) -> None:
    """Store a STOP to a SIM, for each of its clients, also those exempted before."""
    for tenant in _tenants(db, device, test):
        add(db, tenant, number, "STOP", "stop", now, device)
        db.execute(
            "DELETE FROM opt_in WHERE number = ? AND (tenant = ? OR (? < 2 AND tenant & 1 = ?))",
            (number, tenant, tenant, int(test)),
        )


def opt_in(db: Connection, device: int, test: bool, number: str, now: int) -> None:
    """Store a START to a SIM: its clients may write again, unless one blocked the number itself."""
    for tenant in _tenants(db, device, test):
        db.execute(
            "DELETE FROM blocked WHERE number = ? AND source = 'stop' "
            "AND (tenant = ? OR (? < 2 AND tenant & 1 = ?))",
            (number, tenant, tenant, int(test)),
        )
        if tenant > 1:
            _ask_back(db, tenant, number, now)


def _tenants(db: Connection, device: int, test: bool) -> list[int]:
    """Return the tenants of a SIM's clients: those it is reserved for, or the tenant for all."""
    if devices.everybodys(db, device):
        return [int(test)]
    return [client * 2 + test for client in devices.clients_of(db, device)]


def _ask_back(db: Connection, tenant: int, number: str, now: int) -> bool:
    """Exempt one client from an opt-out of all clients; return False without one."""
    done = db.execute(
        "INSERT OR IGNORE INTO opt_in (tenant, number, created_at) SELECT ?1, number, ?3 FROM blocked "
        "WHERE tenant = ?1 & 1 AND number = ?2 AND source = 'stop'",
        (tenant, number, now),
    )
    return bool(done.rowcount)


def remove(db: Connection, tenant: int, number: str, now: int) -> bool:
    """Remove a number from a client's list and exempt the client from its opt-out; return False for neither.

    Other clients are unaffected: the opt-out holds for them, and a block by the owner for all.
    """
    own = db.execute(
        "DELETE FROM blocked WHERE tenant = ? AND number = ?", (tenant, number)
    ).rowcount
    return _ask_back(db, tenant, number, now) or bool(own)


def take_off(db: Connection, tenant: int, number: str) -> bool:
    """Delete one row, for the owner; return False if it is not there."""
    done = db.execute("DELETE FROM blocked WHERE tenant = ? AND number = ?", (tenant, number))
    return bool(done.rowcount)


def listed(db: Connection, tenant: int) -> list[BlockedRow]:
    """Return the entries that hold for a client, each number once, newest first, its own entry preferred."""
    rows = db.execute(
        f"SELECT {columns(BlockedRow)} FROM blocked WHERE {HOLDS} ORDER BY tenant",
        {"tenant": tenant},
    )
    once = {row.number: row for row in every(BlockedRow, rows)}
    return sorted(once.values(), key=lambda row: (-row.created_at, row.number))

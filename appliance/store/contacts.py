"""Contacts: names that a client gives to numbers."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.core.folding import fold
from appliance.store.rows import ContactRow, columns, every, first

COUNT_MOST = 10_000  # as in the history, counting stops here


def name(db: Connection, tenant: int, number: str, text: str) -> None:
    """Give a number a name, in place of an earlier one."""
    db.execute(
        "INSERT INTO contact (tenant, number, name, folded) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET name = excluded.name, folded = excluded.folded",
        (tenant, number, text, fold(text)),
    )


def remove(db: Connection, tenant: int, number: str) -> bool:
    """Remove a contact; return False if there is none."""
    done = db.execute("DELETE FROM contact WHERE tenant = ? AND number = ?", (tenant, number))
    return bool(done.rowcount)


def one(db: Connection, tenant: int, number: str) -> ContactRow | None:
    """Return the contact of a number; None without one."""
    rows = db.execute(
        f"SELECT {columns(ContactRow)} FROM contact WHERE tenant = ? AND number = ?",
        (tenant, number),
    )
    return first(ContactRow, rows)


def page(
    db: Connection, tenant: int, search: str | None, *, limit: int, offset: int
) -> tuple[list[ContactRow], int]:
    """Return contacts by name, and how many there are, at most COUNT_MOST + 1. `search` is folded."""
    where = "tenant = :tenant" + (" AND instr(folded, :search)" if search else "")
    wanted: dict[str, object] = {"tenant": tenant, "search": search}
    total: int = db.execute(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM contact WHERE {where} LIMIT {COUNT_MOST + 1})", wanted
    ).fetchone()[0]
    rows = db.execute(
        f"SELECT {columns(ContactRow)} FROM contact WHERE {where} ORDER BY folded, number "
        "LIMIT :limit OFFSET :offset",
        wanted | {"limit": limit, "offset": offset},
    )
    return every(ContactRow, rows), total

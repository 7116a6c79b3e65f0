"""The block list: numbers that get no SMS, by a client's or the owner's wish or because they said STOP.

A row is one client's (its scope) or every client's (scope 0, in test mode 1: the owner's block, or an
opt-out from a SIM that is everybody's). `opt_in` takes one client out of an opt-out.
"""

from __future__ import annotations

from sqlite3 import Connection, Row

from appliance.store import devices

HOLDS = """(scope = :scope OR (scope = :scope & 1 AND NOT (source = 'stop'
  AND EXISTS (SELECT 1 FROM opt_in i WHERE i.scope = :scope AND i.number = blocked.number))))"""


def is_blocked(db: Connection, scope: int, number: str) -> bool:
    """On this client's list, on the owner's, or opted out of a SIM of this client."""
    return (
        db.execute(
            f"SELECT 1 FROM blocked WHERE number = :number AND {HOLDS}",
            {"scope": scope, "number": number},
        ).fetchone()
        is not None
    )


def add(
    db: Connection,
    scope: int,
    number: str,
    reason: str,
    source: str,
    now: int,
    device: int | None = None,
) -> Row:
    """Put a number on the list. What stood there stays, but a wish outlasts an opt-out."""
    db.execute(
        "INSERT INTO blocked (scope, number, reason, source, device, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET reason = excluded.reason, source = excluded.source "
        "WHERE blocked.source = 'stop' AND excluded.source != 'stop'",
        (scope, number, reason, source, device, now),
    )
    row: Row = db.execute(
        "SELECT * FROM blocked WHERE scope = ? AND number = ?", (scope, number)
    ).fetchone()
    return row


def opt_out(db: Connection, device: int, test: bool, number: str, now: int) -> None:
    """STOP, said to this SIM: for each of its clients, also one that was asked back before."""
    for scope in _scopes(db, device, test):
        add(db, scope, number, "STOP", "stop", now, device)
        db.execute(
            "DELETE FROM opt_in WHERE number = ? AND (scope = ? OR (? < 2 AND scope & 1 = ?))",
            (number, scope, scope, int(test)),
        )


def opt_in(db: Connection, device: int, test: bool, number: str, now: int) -> None:
    """START, said to this SIM: its clients may write again, unless one blocked the number itself."""
    for scope in _scopes(db, device, test):
        db.execute(
            "DELETE FROM blocked WHERE number = ? AND source = 'stop' "
            "AND (scope = ? OR (? < 2 AND scope & 1 = ?))",
            (number, scope, scope, int(test)),
        )
        if scope > 1:
            _ask_back(db, scope, number, now)


def _scopes(db: Connection, device: int, test: bool) -> list[int]:
    """The clients of this SIM: those it is assigned to, or the scope that is everybody's."""
    if devices.everybodys(db, device):
        return [int(test)]
    return [client * 2 + test for client in devices.clients_of(db, device)]


def _ask_back(db: Connection, scope: int, number: str, now: int) -> bool:
    """Take one client out of the opt-out that is every client's; False if there is none to it."""
    done = db.execute(
        "INSERT OR IGNORE INTO opt_in (scope, number, created_at) SELECT ?1, number, ?3 FROM blocked "
        "WHERE scope = ?1 & 1 AND number = ?2 AND source = 'stop'",
        (scope, number, now),
    )
    return bool(done.rowcount)


def remove(db: Connection, scope: int, number: str, now: int) -> bool:
    """Take it off this client's list and this client out of its opt-out; False if neither held.

    Nobody else's: an opt-out goes on for the other clients, and the owner's block for all.
    """
    own = db.execute("DELETE FROM blocked WHERE scope = ? AND number = ?", (scope, number)).rowcount
    return _ask_back(db, scope, number, now) or bool(own)


def take_off(db: Connection, scope: int, number: str) -> bool:
    """Delete one row, for the owner; False if it is not there."""
    done = db.execute("DELETE FROM blocked WHERE scope = ? AND number = ?", (scope, number))
    return bool(done.rowcount)


def listed(db: Connection, scope: int) -> list[Row]:
    """What holds for this client, each number once, newest first; its own entry rather than another."""
    rows = db.execute(
        f"SELECT * FROM blocked WHERE {HOLDS} ORDER BY scope DESC", {"scope": scope}
    ).fetchall()
    once: dict[str, Row] = {}
    for row in rows:
        once.setdefault(row["number"], row)
    return sorted(once.values(), key=lambda row: (-row["created_at"], row["number"]))

"""The store's file: shared commits, migrations beside each other, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.store import clients
from appliance.store.database import Database, NewerSchema, beside, schema_version


def test_many_commands_may_make_the_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zimbox.db"
    with ThreadPoolExecutor(8) as pool:
        made = [
            pool.submit(beside, path, lambda db: clients.add_client(db, "x", 0)) for _ in range(8)
        ]
        assert sorted(m.result().id for m in made) == list(range(1, 9))


async def test_a_work_that_fails_takes_nobody_elses_with_it(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")

    def bad(connection: Connection) -> None:
        clients.add_client(connection, "never", 0)
        raise ValueError("no")

    try:
        results = await asyncio.gather(
            db.write(clients.add_client, "one", 0),
            db.write(bad),
            db.write(clients.add_client, "two", 0),
            return_exceptions=True,
        )
        assert isinstance(results[1], ValueError)
        names = await db.read(lambda c: [row["name"] for row in clients.clients(c)])
        assert names == ["one", "two"]
    finally:
        await db.close()


async def test_requests_that_arrive_together_share_a_commit(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    try:

        def changes(connection: Connection) -> int:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

        before = await db.read(changes)
        await asyncio.gather(*(db.write(clients.add_client, str(i), 0) for i in range(100)))
        assert await db.read(lambda c: len(clients.clients(c))) == 100
        assert await db.read(changes) != before
    finally:
        await db.close()


@pytest.mark.parametrize("spoil", ["newer", "garbage"])
async def test_a_store_that_cannot_be_opened_leaves_no_thread(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "zimbox.db"
    if spoil == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version = {schema_version() + 1}")
        connection.close()
    else:
        path.write_bytes(b"this is no database" * 1000)
    before = set(threading.enumerate())
    with pytest.raises((NewerSchema, sqlite3.DatabaseError)):
        await Database.open(path)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)  # it was told to end
        assert not thread.is_alive()

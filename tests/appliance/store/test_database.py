"""The database: shared commits, concurrent migrations, errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.store import archive, clients, database
from appliance.store.database import (
    READERS,
    Database,
    NewerSchema,
    StorageFull,
    beside,
    migrations,
    schema_version,
    statements,
)
from tests.appliance.conftest import START, Stage


def test_many_commands_may_make_the_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zimbox.db"
    with ThreadPoolExecutor(8) as pool:
        made = [
            pool.submit(beside, path, lambda db: clients.add_client(db, "x", 0)) for _ in range(8)
        ]
        assert sorted(m.result().id for m in made) == list(range(1, 9))


async def test_a_migration_reports_each_statement_and_a_later_start_none(tmp_path: Path) -> None:
    path, reported = tmp_path / "zimbox.db", list[tuple[int, int]]()

    def progress(done: int, total: int) -> None:
        reported.append((done, total))

    await (await Database.open(path, progress)).close()
    total = sum(len(list(statements(step.read_text("utf-8")))) for step in migrations())
    assert reported == [(done, total) for done in range(1, total + 1)]
    reported.clear()
    await (await Database.open(path, progress)).close()
    assert reported == []


def test_a_statement_of_a_migration_that_takes_long_is_reported_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "REPORT_INSTRUCTIONS", 10)
    reported = list[tuple[int, int]]()
    database.upgrade(tmp_path / "zimbox.db", lambda done, total: reported.append((done, total)))
    assert reported[0][0] == 0, "the first is under way"
    assert len(reported) > len(set(reported)), "one statement is reported several times"
    assert reported == sorted(reported)


def test_a_command_waits_for_the_box_that_migrates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    path, reported = tmp_path / "zimbox.db", list[tuple[int, int]]()
    sqlite3.connect(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as box:
        box.execute("PRAGMA journal_mode = WAL")
        box.execute("BEGIN IMMEDIATE")

        def progress(done: int, total: int) -> None:
            reported.append((done, total))
            if not total:
                box.execute("ROLLBACK")

        database.upgrade(path, progress)
    assert reported[0] == (0, 0)
    assert reported[-1][0] == reported[-1][1] > 0


async def test_a_failed_write_does_not_roll_back_others(tmp_path: Path) -> None:
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
        names = await db.read(lambda c: [row.name for row in clients.clients(c)])
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


NEVER_SECONDS = 3600.0


async def test_lazy_writes_share_the_last_commit_of_their_time(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    try:
        seconds = 0.0
        db.time = lambda: seconds
        await db.write(clients.add_client, "first", 0)
        lazy = [
            asyncio.create_task(db.write_lazily(NEVER_SECONDS, clients.add_client, name, 0))
            for name in ("one", "two")
        ]
        await asyncio.sleep(0)  # they are queued, and nothing has begun
        seconds = 1.0  # commits follow each other closely
        await db.write(clients.add_client, "early", 0)
        assert not any(task.done() for task in lazy), "they wait for others of their kind"
        seconds = NEVER_SECONDS - 1  # their time is nearly over
        before = _commits(db.path)
        assert (await db.write(clients.add_client, "next", 0)).id == 3
        assert [(await task).id for task in lazy] == [4, 5]
        assert _commits(db.path) - before == 1
    finally:
        await db.close()


async def test_a_lazy_write_shares_a_commit_that_none_follows_in_time(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    try:
        lazy = asyncio.create_task(db.write_lazily(NEVER_SECONDS, clients.add_client, "lazy", 0))
        await asyncio.sleep(0)
        before = _commits(db.path)
        await db.write(clients.add_client, "the first commit for long", 0)
        await lazy
        assert _commits(db.path) - before == 1
    finally:
        await db.close()


async def test_a_lazy_write_without_company_is_committed_in_time(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    try:
        assert (await db.write_lazily(0.01, clients.add_client, "lazy", 0)).id == 1
    finally:
        await db.close()


async def test_a_lazy_write_does_not_wait_for_the_time_of_an_earlier_one(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    try:
        patient = asyncio.create_task(
            db.write_lazily(NEVER_SECONDS, clients.add_client, "patient", 0)
        )
        await asyncio.sleep(0)
        assert (await db.write_lazily(0.01, clients.add_client, "urgent", 0)).id == 2
        assert (await patient).id == 1, "it shares the commit"
    finally:
        await db.close()


async def test_the_time_of_a_lazy_write_that_is_done_wakes_no_later_one(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    try:
        first = asyncio.create_task(db.write_lazily(0.05, clients.add_client, "first", 0))
        await asyncio.sleep(0)
        await db.write(clients.add_client, "company", 0)
        await first
        second = asyncio.create_task(
            db.write_lazily(NEVER_SECONDS, clients.add_client, "second", 0)
        )
        await asyncio.sleep(0.2)  # longer than the time of the first
        assert not second.done()
        late = db.time() + NEVER_SECONDS
        db.time = lambda: late  # its time is nearly over
        await db.write(clients.add_client, "company", 0)
        await second
    finally:
        await db.close()


async def test_a_lazy_write_is_committed_when_the_store_is_closed(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    lazy = asyncio.create_task(db.write_lazily(NEVER_SECONDS, clients.add_client, "lazy", 0))
    await asyncio.sleep(0)
    await db.close()
    assert (await lazy).id == 1


def test_a_new_database_has_small_pages(tmp_path: Path) -> None:
    """A commit writes whole pages: with 4 KiB a message writes 3.5 times as many bytes to the card."""
    beside(tmp_path / "zimbox.db", lambda db: clients.add_client(db, "x", 0))
    with sqlite3.connect(tmp_path / "zimbox.db") as file:
        assert file.execute("PRAGMA page_size").fetchone() == (1024,)


def _commits(path: Path) -> int:
    """Count the commits in the write-ahead log (https://www.sqlite.org/fileformat2.html, 4.1)."""
    log = path.with_name(path.name + "-wal").read_bytes()
    page = int.from_bytes(log[8:12])
    frames = range(32, len(log), 24 + page)
    return sum(
        log[at + 4 : at + 8] != bytes(4) for at in frames if log[at + 8 : at + 16] == log[16:24]
    )


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


# What a later release may do to the data that this one is given back.
TOMORROW = """
CREATE TABLE tomorrow (id INTEGER PRIMARY KEY, what TEXT NOT NULL);
ALTER TABLE message ADD COLUMN mood INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN mood INTEGER NOT NULL DEFAULT 0;
ALTER TABLE part ADD COLUMN mood INTEGER;
"""


async def _written_by_tomorrow(path: Path, oldest_reader: int) -> None:
    db = await Database.open(path)
    await db.write(clients.add_client, "one", START)
    await db.close()
    with sqlite3.connect(path) as connection:
        for statement in statements(TOMORROW):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {schema_version() + 1}")
        connection.execute(
            "UPDATE meta SET value = ? WHERE key = 'oldest_reader'", (oldest_reader,)
        )
    connection.close()


async def test_data_of_a_newer_release_is_used_after_a_rollback(tmp_path: Path) -> None:
    path = tmp_path / "zimbox.db"
    await _written_by_tomorrow(path, oldest_reader=schema_version())
    db = await Database.open(path)
    try:
        stage = Stage(db, await db.read(archive.marks))
        number = await stage.sent(7)
        await stage.report(7)
        assert await stage.status(number) == "delivered"
        assert await stage.archive() == 1
        assert await stage.status(number) == "delivered"
    finally:
        await db.close()
    with sqlite3.connect(path) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    assert version == schema_version() + 1, "the newer release finds its data as it left them"


async def test_incompatible_data_of_a_newer_release_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "zimbox.db"
    await _written_by_tomorrow(path, oldest_reader=schema_version() + 1)
    with pytest.raises(NewerSchema):
        await Database.open(path)


def test_migrations_only_add() -> None:
    """So that the release before can work on the data of the one after it."""
    allowed = re.compile(
        r"CREATE (TABLE|INDEX|VIRTUAL TABLE) "
        r"|ALTER TABLE \w+ ADD COLUMN \w+ \w+(?! NOT NULL(?! DEFAULT))"
    )
    for step in migrations()[1:]:
        new: set[str] = set()
        for statement in statements(step.read_text("utf-8")):
            words = " ".join(re.sub(r"--.*", "", statement).split())
            if made := re.match(r"CREATE TABLE (\w+)", words):
                new.add(made[1])
            filled = re.match(r"INSERT INTO (\w+) SELECT ", words)
            assert allowed.match(words) or (filled and filled[1] in new), f"{step.name}: {words}"


async def test_a_file_that_cannot_be_opened_for_the_moment_is_a_store_that_takes_nothing(
    db: Database, tmp_path: Path
) -> None:
    """SQLite opens files beside the database; without a free descriptor that is no error of the program."""

    def work(_: sqlite3.Connection) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "none" / "x")):
            pass

    with pytest.raises(StorageFull):
        await db.write(work)
    with pytest.raises(StorageFull):
        await db.read(work)


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Make every read of the database and its WAL fail, as on a failing card."""
    files = {str(path), f"{path}-wal"}
    held = [
        int(entry.name)
        for entry in Path("/proc/self/fd").iterdir()
        if entry.is_symlink() and str(entry.readlink()) in files
    ]
    kept = [os.dup(descriptor) for descriptor in held]
    failing = os.open("/", os.O_RDONLY)  # a directory: EISDIR
    try:
        for descriptor in held:
            os.dup2(failing, descriptor)
        yield
    finally:
        for descriptor, copy in zip(held, kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(failing)


async def test_a_card_that_cannot_be_read_is_a_store_that_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "zimbox.db"
    db = await Database.open(path)
    try:
        # Every connection knows the schema; then a commit makes what it holds of the table out of date. SQLite ends
        # a transaction by itself in which a statement fails so.
        assert await asyncio.gather(*[db.read(clients.clients) for _ in range(READERS)])
        assert db.read_now(clients.clients) == []
        await db.write(clients.add_client, "one", 0)
        with unreadable(path):
            for _ in range(READERS):
                with pytest.raises(StorageFull):
                    await db.read(clients.clients)
            with pytest.raises(StorageFull):
                db.read_now(clients.clients)
        assert [row.name for row in await db.read(clients.clients)] == ["one"]
        assert [row.name for row in db.read_now(clients.clients)] == ["one"]
    finally:
        await db.close()


async def test_a_lock_that_is_held_too_long_is_a_store_that_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "zimbox.db"
    db = await Database.open(path)
    try:
        await db.writer.run(lambda c: c.execute("PRAGMA busy_timeout = 1"))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageFull):
                await db.write(clients.add_client, "one", 0)
        assert (await db.write(clients.add_client, "two", 0)).id == 1
    finally:
        await db.close()

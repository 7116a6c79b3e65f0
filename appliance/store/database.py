"""The database: one path for writing, separate connections for reading. The only module that imports aiosqlite.

A unit of work is an ordinary function of a `sqlite3.Connection`; it runs on that connection's
thread from start to end, so that no other statement can run between its own. Writes that arrive
together share one commit: each has its own savepoint, and all return after the one sync.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import aiosqlite
import structlog

from appliance.core.folding import fold

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
# Called by a migration after each statement and while a long one runs, in the writer's thread: statements run, and all
# of them.
Progress = Callable[[int, int], None]

# A command beside the running box (`zimbox key create`) may hold the write lock briefly.
BUSY_SECONDS = 10.0
READERS = 2
# Pages in the log before they are copied to the file: more of them means fewer copies of a page that changes often.
CHECKPOINT_PAGES = 4000
PAGE_BYTES = (
    1024  # every commit writes whole pages (docs/adr/0045-small-pages-and-shared-commits.md)
)
# The most that SQLite keeps of the file: where rows are written, where they are searched, and where single rows are
# read by their keys. The kernel's cache is behind it.
WRITER_CACHE_KIB, READER_CACHE_KIB, NEAR_CACHE_KIB = 8 * 1024, 2 * 1024, 512
CACHED_STATEMENTS = 512  # all statements of the store: compiling one costs as much as running it
# The wait before the next try on a disk that accepts no write (full, read-only, locked).
AGAIN_SECONDS = 2.0
GROUP_MOST = 200  # the most functions in one commit, so that none waits too long


class StorageFull(Exception):
    """The disk accepts no write (full, read-only, failing or locked); the work was rolled back."""


# And their extended codes. CANTOPEN: a file that SQLite needs beside the database, with no descriptor left.
# BUSY: another process has held the write lock for longer than BUSY_SECONDS.
NO_MORE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_BUSY")
TAKES_NOTHING = (StorageFull, sqlite3.OperationalError)


class StoreConnection(aiosqlite.Connection):
    """A connection with its thread, which runs whole functions instead of statements."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]  # not typed there
        return result

    async def end(self) -> None:
        """Close the connection, or wait for the thread of one that could not be opened."""
        if self._connection is not None:
            await self.close()
        elif self._thread.is_alive():
            self._thread.join()  # asked to end above; it needs no loop for that


def open_connection(
    path: Path, *, writer: bool = False, cache_kib: int = READER_CACHE_KIB
) -> sqlite3.Connection:
    if writer and not path.exists():  # only the box's user may read texts and numbers
        path.touch(0o600)
    uri = f"{path.absolute().as_uri()}{'' if writer else '?mode=ro'}"
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    with contextlib.ExitStack() as opened:
        opened.callback(connection.close)  # not a database: the first PRAGMA reports it
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("fold", 1, fold, deterministic=True)
        if writer:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new database
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a 202 survives a power cut
            connection.execute("PRAGMA secure_delete = FAST")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        else:
            connection.execute("PRAGMA query_only = ON")
        opened.pop_all()
    return connection


def migrations() -> list[Traversable]:
    """Return the migrations in order."""
    scripts = resources.files("appliance.store") / "migrations"
    return sorted(
        (s for s in scripts.iterdir() if s.name.endswith(".sql")), key=lambda step: step.name
    )


def schema_version() -> int:
    """Return the schema version of this release."""
    return len(migrations())


def schema_objects(connection: sqlite3.Connection) -> set[tuple[str, str, str, str]]:
    """Return the objects of a database: kind, name, table and, for triggers, the definition.

    SQLite's own tables are left out. The definitions of an index's helper tables depend on SQLite's version.
    """
    return {
        (kind, name, table, sql or "" if kind in ("trigger", "view") else "")
        for kind, name, table, sql in connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
        )
        if not (kind == "table" and name.startswith("sqlite_"))
    }


def expected_objects(version: int) -> set[tuple[str, str, str, str]]:
    """Return the objects of a database of this schema version."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.create_function("fold", 1, fold, deterministic=True)
        for step in migrations()[:version]:
            for statement in statements(step.read_text("utf-8")):
                connection.execute(statement)
        return schema_objects(connection)


class DatabaseMissing(sqlite3.DatabaseError):
    """The database is gone or empty where there was one: this is not a new box."""


class NewerSchema(Exception):
    """The data is from a newer release, and this release cannot work with it."""


# Migrations only add (tests/appliance/store/test_database.py holds them to it), so a release that knows this
# schema works on data of any later one: after an update that is taken back, the data may have stayed.
# A migration that has to break with that raises this to its own number.
OLDEST_READER = 1


# A report while one statement runs: each so many instructions of SQLite, some ten times a second.
REPORT_INSTRUCTIONS = 1_000_000


def _unreported(done: int, total: int) -> None:
    pass


def migrate(connection: sqlite3.Connection, progress: Progress = _unreported) -> int:
    """Bring the schema up to date, one transaction per migration. Return its version.

    Data of a newer release is used unchanged if that release has stored that this one can. Raises NewerSchema.
    """
    steps = [list(statements(step.read_text("utf-8"))) for step in migrations()]
    first = version = _version(connection)
    total = sum(len(step) for step in steps[first:])
    while version < len(steps):
        # Checked again under the lock: a command may migrate while a box starts.
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version(connection)
            if version < len(steps):
                before = sum(len(step) for step in steps[first:version])
                _run(connection, steps[version], progress, before, total)
                version += 1
                connection.execute(f"PRAGMA user_version = {version}")
                connection.execute(
                    "INSERT INTO meta VALUES ('oldest_reader', ?1) "
                    "ON CONFLICT DO UPDATE SET value = ?1",
                    (OLDEST_READER,),
                )
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    if version > len(steps) and _oldest_reader(connection) > len(steps):
        raise NewerSchema(
            f"the data was written by a newer release (schema {version}, this one knows {len(steps)})"
        )
    return version


def _run(
    connection: sqlite3.Connection, script: list[str], progress: Progress, before: int, total: int
) -> None:
    try:
        for done, statement in enumerate(script, before):
            connection.set_progress_handler(partial(progress, done, total), REPORT_INSTRUCTIONS)
            connection.execute(statement)
            progress(done + 1, total)
    finally:
        connection.set_progress_handler(None, 0)


def _oldest_reader(connection: sqlite3.Connection) -> int:
    """Return the oldest schema version that can work with this data, as stored by the release that wrote it."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'oldest_reader'").fetchone()
    except sqlite3.OperationalError:  # no such table: not our data
        row = None
    return int(row[0]) if row else _version(connection)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a migration: `executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def group(
    connection: sqlite3.Connection, works: Sequence[Callable[[sqlite3.Connection], Any]]
) -> list[Any]:
    """Run all functions in one transaction; one that raises is rolled back alone, and its error returned."""
    results: list[Any] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for work in works:
            connection.execute("SAVEPOINT work")
            try:
                results.append(work(connection))
            except Exception as error:
                if not connection.in_transaction:  # SQLite has rolled everything back
                    raise
                connection.execute("ROLLBACK TO work")
                results.append(error)
            connection.execute("RELEASE work")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


def _ours(error: Exception) -> Exception:
    """Convert SQLite's errors of a disk that accepts no write to StorageFull."""
    code: str = getattr(error, "sqlite_errorname", "")
    full = code.startswith(NO_MORE) or (isinstance(error, OSError) and error.errno == 28)
    return StorageFull(str(error)) if full else error


def beside(
    path: Path,
    work: Callable[Concatenate[sqlite3.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run one function from another process (the command line), whether the box runs or not."""
    connection = open_connection(path, writer=True, cache_kib=WRITER_CACHE_KIB)
    try:
        migrate(connection)
        result = group(connection, [lambda db: work(db, *args, **kwargs)])[0]
    finally:
        connection.close()
    if isinstance(result, Exception):
        raise _ours(result)
    done: T = result
    return done


def upgrade(path: Path, progress: Progress) -> None:
    """Migrate a database from another process (the command line), and report how far it is. Raises NewerSchema.

    While the box itself migrates it, wait, and report 0 of 0.
    """
    with contextlib.closing(
        open_connection(path, writer=True, cache_kib=WRITER_CACHE_KIB)
    ) as connection:
        while True:
            try:
                migrate(connection, progress)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY":
                    raise
                progress(0, 0)
            else:
                return


class Database:
    """The store's file. `await Database.open(path)`, `write`, `read`, `read_now`, `close`."""

    _near: sqlite3.Connection  # of the event loop's thread

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = StoreConnection(
            lambda: open_connection(path, writer=True, cache_kib=WRITER_CACHE_KIB), 64
        )
        self._readers = [StoreConnection(lambda: open_connection(path), 64) for _ in range(READERS)]
        self._free: asyncio.Queue[StoreConnection] = asyncio.Queue()
        self._waiting: list[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = []
        # Work that waits for a commit to share, and the time at which the first of it makes its own.
        self._lazy: list[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = []
        self._lazy_until, self._lazy_is_due = 0.0, False
        self._taken_at = -math.inf  # when the last commit began
        self.time: Callable[[], float] = time.monotonic  # seconds; tests set it
        self._lazy_timer: asyncio.TimerHandle | None = None
        self._wakeup = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, progress: Progress = _unreported) -> Database:
        """Open, migrate and start. Raises sqlite3.Error if the file is not a ZimBox database."""
        database = cls(path)
        try:
            await database.writer
            await database.writer.run(partial(migrate, progress=progress))
            for reader in database._readers:
                await reader
                database._free.put_nowait(reader)
            database._near = open_connection(path, cache_kib=NEAR_CACHE_KIB)
        except BaseException:
            # The thread of a connection keeps the process alive until it is ended.
            for line in (database.writer, *database._readers):
                await line.end()
            raise
        database._task = asyncio.create_task(database._write_groups(), name="store writer")
        return database

    async def close(self) -> None:
        """Finish waiting work, then close every connection."""
        if self._task:
            task, self._task = self._task, None
            self._wakeup.set()
            await task
        self._near.close()
        for reader in self._readers:
            await reader.close()
        await self.writer.close()

    async def write(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` in the next commit; return after the commit is on the disk.

        Raises the error of `work`, or StorageFull. Cancelling the caller does not undo the work.
        """
        return await self.start_write(work, *args, **kwargs)

    def start_write(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[T]:
        """Queue `work` for the next commit, with what else is queued before this returns to the event loop.

        The future is done as `write` returns.
        """
        future = self._queue(self._waiting, work, *args, **kwargs)
        self._wakeup.set()
        return future

    def _queue(
        self,
        works: list[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]],
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[T]:
        if self._task is None:
            raise RuntimeError("the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        works.append((lambda connection: work(connection, *args, **kwargs), future))
        return future

    async def write_until_stored(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` as `write` does, and repeat it until the disk accepts it. For facts known nowhere else."""
        return await _until_stored(lambda: self.write(work, *args, **kwargs))

    async def write_lazily(
        self,
        within_seconds: float,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As `write_until_stored`, but share a commit, or make one after `within_seconds`.

        A commit costs a sync and a copy of every page that it changes, so two changes of one message are
        cheaper in one. A commit that another one follows in time, at the pace of the last two, is not shared: so
        many lazy writes share one and its pages.
        """

        def share() -> Awaitable[T]:
            future = self._queue(self._lazy, work, *args, **kwargs)
            until = self.time() + within_seconds
            if self._lazy_timer is None or until < self._lazy_until:
                if self._lazy_timer is not None:
                    self._lazy_timer.cancel()
                self._lazy_until = until
                loop = asyncio.get_running_loop()
                self._lazy_timer = loop.call_later(within_seconds, self._lazy_due)
            return future

        return await _until_stored(share)

    def _lazy_due(self) -> None:
        self._lazy_is_due = True
        self._wakeup.set()

    def _take(self) -> list[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]]:
        """Take the work of the next commit, the lazy work last: a report follows the answer it belongs to."""
        batch, self._waiting = self._waiting[:GROUP_MOST], self._waiting[GROUP_MOST:]
        if self._waiting:
            self._wakeup.set()
        now, closing = self.time(), self._task is None
        # Twice the time, because the next commit may be later than the last.
        follows = now + 2 * (now - self._taken_at) < self._lazy_until
        if batch:
            self._taken_at = now
        if self._lazy_is_due or closing or (batch and not follows):
            batch += self._lazy
            self._lazy, self._lazy_is_due = [], False
            if self._lazy_timer is not None:
                self._lazy_timer.cancel()
                self._lazy_timer = None
        return batch

    async def write_best_effort(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], object],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run `work` as `write` does, or skip it if the disk accepts no write. For data that may be lost."""
        try:
            await self.write(work, *args, **kwargs)
        except TAKES_NOTHING as error:
            log.warning("best_effort_write_failed", reason=str(error))

    async def read(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` on a reading connection, all its statements on one snapshot. Raises StorageFull."""
        line = await self._free.get()
        try:
            return await asyncio.shield(line.run(lambda c: _snapshot(c, work, *args, **kwargs)))
        except sqlite3.Error as error:
            raise _ours(error) from error
        finally:
            self._free.put_nowait(line)

    def read_now(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a read of a few rows by their keys at once, on the event loop's own thread. Raises StorageFull.

        Two thread switches take several times as long as such a read. Each statement has its own snapshot.
        """
        if self._task is None:
            raise RuntimeError("the store is closed")
        try:
            return work(self._near, *args, **kwargs)
        except sqlite3.Error as error:
            raise _ours(error) from error

    async def _write_groups(self) -> None:
        while self._task is not None or self._waiting or self._lazy:
            if self._task is not None:
                await self._wakeup.wait()
            self._wakeup.clear()
            batch = self._take()
            if not batch:
                continue
            works = [work for work, _ in batch]
            try:
                results = await self.writer.run(partial(group, works=works))
            except Exception as error:
                log.exception("store_commit_failed", works=len(works))
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(_ours(result))
                else:
                    future.set_result(result)


async def _until_stored(write: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await write()
        except TAKES_NOTHING as error:
            log.error("store_not_writable", reason=str(error), again_in_seconds=AGAIN_SECONDS)
            await asyncio.sleep(AGAIN_SECONDS)


def _snapshot(
    connection: sqlite3.Connection,
    work: Callable[Concatenate[sqlite3.Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection, *args, **kwargs)
    finally:
        if connection.in_transaction:  # SQLite has ended it after an I/O error
            connection.execute("ROLLBACK")

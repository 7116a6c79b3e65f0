"""Totals, pages and statistics from counters equal those from rows, and cost no more when there are more rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection, connect

import pytest

from appliance.domain.message import Status
from appliance.domain.requests import HistoryFilter, Period, StatsFilter
from appliance.store import archive, history, statistics
from appliance.store.counters import DAY_MS, HOUR_MS
from appliance.store.database import migrate
from tests.bench.million import COUNT, INDEX, INSERT, rows

TENANT = 4
DAYS = 89  # of tests.bench.million.rows
END = 20_500 * DAY_MS + 13 * HOUR_MS + 1_234_567  # within an hour
FEW, MANY = 1_500, 15_000
# Between two calls of the progress handler, of SQLite's virtual machine.
STEPS_PER_CALL = 10


def stored(path: Path, n: int) -> Connection:
    """A database with n finished messages over 89 days, two modems in turn."""
    db = connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.create_function("fold", 1, str.lower, deterministic=True)
    migrate(db)
    db.execute("BEGIN")
    db.execute(
        "INSERT INTO client (id, name, signing_secret, created_at) VALUES (?, '', '', 0)",
        (TENANT // 2,),
    )
    db.executemany(INSERT, rows(n, TENANT, END))
    db.execute("UPDATE history SET device = 1 + id % 2")
    for statement in INDEX:
        db.execute(statement)
    for table, unit, width in (("hour_total", "hour", HOUR_MS), ("day_total", "day", DAY_MS)):
        db.execute(COUNT.format(table=table, unit=unit, width=width))
    db.execute("COMMIT")
    return db


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with closing(stored(tmp_path_factory.mktemp("few") / "store.db", FEW)) as db:
        yield db


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with closing(stored(tmp_path_factory.mktemp("many") / "store.db", MANY)) as db:
        yield db


def counted(db: Connection, start: int, end: int, device: int | None) -> Counter[str]:
    """What the rows of a period say."""
    found = db.execute(
        "SELECT status, COUNT(*) FROM history WHERE tenant = ? AND created_at >= ? AND created_at < ? "
        "AND ? IN (device, 0) GROUP BY status",
        (TENANT, start, end, device or 0),
    )
    return Counter(dict(found.fetchall()))


def periods(db: Connection, chance: random.Random, since: int) -> Iterator[tuple[int, int]]:
    """Periods that begin and end at days, hours, messages and anywhere, some shorter than an hour."""
    created = [
        row[0]
        for row in db.execute("SELECT created_at FROM history WHERE created_at >= ?", (since,))
    ]
    for _ in range(60):
        edges = []
        for _ in range(2):
            at = chance.choice(created) + chance.choice((0, 1))
            width = chance.choice((1, 1, HOUR_MS, DAY_MS))
            edges.append(max(since, at // width * width))
        yield min(edges), max(edges)
    first = chance.choice(created)
    yield first, first
    yield first, first + 20 * 60_000


def check(db: Connection, since: int) -> None:
    chance = random.Random(since)
    for start, end in periods(db, chance, since):
        for device in (None, 1, 2):
            device_id = None if device is None else f"device_{device}"
            by_rows = counted(db, start, end, device)
            for status in (None, *Status):
                wanted = HistoryFilter(
                    status=status, device_id=device_id, period=Period(start, end)
                )
                total = history.count_rows(db, TENANT, wanted)
                assert total == (by_rows[status] if status else by_rows.total()), (
                    start,
                    end,
                    wanted,
                )
            found = statistics.stats(db, TENANT, StatsFilter(start, end, device_id=device_id))
            assert (found.delivered, found.failed) == (by_rows["delivered"], by_rows["failed"])
            assert sum(day.delivered for day in found.by_day) == found.delivered


def test_totals_and_statistics_equal_the_rows(few: Connection) -> None:
    check(few, END - DAYS * DAY_MS)


def test_they_do_so_after_the_retention_has_removed_part_of_a_day(tmp_path: Path) -> None:
    with closing(stored(tmp_path / "store.db", FEW)) as db:
        db.row_factory = None
        since = END - 40 * DAY_MS + 5 * HOUR_MS
        while archive.retire(db, since, 500):
            pass
        assert history.kept_from(db) == since
        check(db, since)
        every = HistoryFilter()
        assert history.count_rows(db, TENANT, every) == counted(db, 0, 1 << 60, None).total()


QUESTIONS: dict[str, Callable[[Connection, int], object]] = {
    "newest": lambda db, n: history.page(db, TENANT, HistoryFilter()),
    "status and dates": lambda db, n: history.page(
        db,
        TENANT,
        HistoryFilter(status="delivered", period=Period(END - 60 * DAY_MS, END - 10 * DAY_MS)),
    ),
    "deep": lambda db, n: history.page(
        db, TENANT, HistoryFilter(page=round(n * 0.3 / 50), limit=50)
    ),
    "statistics": lambda db, n: statistics.stats(
        db, TENANT, StatsFilter(END - DAYS * DAY_MS, END, device_id=None)
    ),
    "absent word": lambda db, n: history.page(db, TENANT, HistoryFilter(search="xylophone")),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_ten_times_as_many_rows_cost_no_more_steps(
    few: Connection, many: Connection, question: str
) -> None:
    def steps(db: Connection, n: int) -> int:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += STEPS_PER_CALL
            return 0

        db.set_progress_handler(step, STEPS_PER_CALL)
        try:
            QUESTIONS[question](db, n)
        finally:
            db.set_progress_handler(None, STEPS_PER_CALL)
        return taken

    # The rows of two hours at the edges are counted: 15 more of them here, at some 20 steps.
    assert steps(many, MANY) <= 1.1 * steps(few, FEW) + 1_000

"""What each step of a message's life writes to the card: the frames of the write-ahead log, by table and index.

Counted in the log itself, with the store's own functions, so that it is the same on every machine and under any load.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from appliance.core.config import Limits
from appliance.domain.ids import Ids
from appliance.domain.report_matching import ReportFields
from appliance.store import (
    archive,
    attempts,
    clients,
    counters,
    database,
    messages,
    queue,
    reports,
)
from appliance.store.queue import Job, Sender, SendingRules
from modem.interface import Outcome, Verdict

TEXT = "Votre commande 4711 est en cours de livraison, elle arrive demain entre 9 h et 11 h."
START_MS = 1_790_000_000_000
SIM = "8933150319000000001"
HEADER, FRAME_HEADER = 32, 24
IDLE, BUSY = 40, 1000
# Of a burst at 500 messages per second: reports come after 200 ms, and those of 50 ms share a commit.
PACE_MS, IN_FLIGHT, TOGETHER = 2, 100, 25
FOLD_MS = 15 * 60_000  # as in appliance/maintenance/jobs.py


class Written(msgspec.Struct):
    """What some commits wrote."""

    frames: Counter[str] = msgspec.field(default_factory=Counter)  # by table or index
    commits: int = 0
    log_bytes: int = 0
    database_bytes: int = 0  # by checkpoints

    def summary(self, messages: int) -> str:
        """Return bytes and frames per message, the largest first."""
        parts = ", ".join(f"{k} {n / messages:.2f}" for k, n in self.frames.most_common())
        log, pages = self.log_bytes / 1024 / messages, self.database_bytes / 1024 / messages
        return (
            f"{log + pages:.1f} KiB ({log:.1f} log, {pages:.1f} database), "
            f"{sum(self.frames.values()) / messages:.1f} pages: {parts}"
        )


class Life:
    """A store, and messages that live in it."""

    def __init__(self, path: Path, *, by_table: bool) -> None:
        self.db = database.open_connection(path, writer=True, cache_kib=database.WRITER_CACHE_KIB)
        database.migrate(self.db)
        self._log = Path(f"{path}-wal")
        self._page = int(self.db.execute("PRAGMA page_size").fetchone()[0])
        self._checkpoint_frames = int(self.db.execute("PRAGMA wal_autocheckpoint").fetchone()[0])
        # A log that only grows: what checkpoints would write is worked out.
        self.db.execute("PRAGMA wal_autocheckpoint = 0")
        self.db.execute("PRAGMA synchronous = OFF")  # the bytes are the same
        self.now = self.folded = START_MS
        self.references = 0
        self.ids, self.rules = Ids(0, 0), SendingRules(zone=ZoneInfo("Europe/Paris"))
        self.sender = Sender(device=1, test=False, sim=SIM, limits=Limits())
        self._chance = random.Random(1)
        self._by_table = by_table
        self._owners: dict[int, str] = {}
        self._logged: list[int] = []  # pages in the log since the last checkpoint
        self._legs: dict[str, Written] = {}
        self.tenant = database.group(self.db, [self._client])[0]
        self._read = self._log.stat().st_size

    def _client(self, db: Connection) -> int:
        db.execute(
            "INSERT INTO device (imei, test, name, created_at, online, sim) VALUES ('1', 0, 'm', ?, 1, ?)",
            (self.now, SIM),
        )
        return 2 * clients.add_client(db, "shop", self.now).id

    def commit(self, leg: str, *works: Callable[[Connection], Any]) -> list[Any]:
        """Run functions in one transaction, and note the pages that it wrote."""
        found = database.group(self.db, works)
        for one in found:
            if isinstance(one, Exception):
                raise one
        with self._log.open("rb") as log:
            log.seek(self._read or HEADER)
            data = log.read()
            self._read = log.tell()
        frames = range(0, len(data), FRAME_HEADER + self._page)
        pages = [struct.unpack_from(">I", data, at)[0] for at in frames]
        # A page that was freed in this commit has no owner any more, only the one that it had.
        self._owners |= self.db.execute("SELECT pageno, name FROM dbstat") if self._by_table else ()
        one = self._legs.setdefault(leg, Written())
        one.commits += 1
        one.frames.update(self._owners.get(page, "any") for page in pages)
        one.log_bytes += len(data)
        self._logged += pages
        if len(self._logged) >= self._checkpoint_frames:
            one.database_bytes += len(set(self._logged)) * self._page
            self._logged = []
        return found

    def written(self) -> dict[str, Written]:
        """Return what was written by each leg, checkpoints under the leg that caused them."""
        return self._legs

    # --- the legs ------------------------------------------------------------------------------------

    def accept(self, db: Connection) -> int:
        fresh = messages.NewMessage(
            tenant=self.tenant,
            recipient=f"+336{self._chance.randrange(10**8):08d}",
            body=TEXT,
            alphabet="GSM-7",
            shift=0,
            parts=1,
            priority=3,
            device=1,
            bound=False,
            due_at=self.now,
            expires_at=self.now + 72 * 3_600_000,
            max_attempts=3,
            on_uncertain="fail",
            api_key=1,
        )
        return messages.insert(self.db, self.ids, fresh, self.now, self.now)

    def claim(self, db: Connection) -> Job:
        found = queue.claim(db, self.ids, self.rules, self.sender, self.now, True)
        assert isinstance(found, Job), found
        return found

    def sent(self, db: Connection, job: Job, *, later: bool = False) -> ReportFields:
        """The modem's answer; returns the report that will come."""
        reference = self.references = (self.references + 1) % 256
        outcome = Outcome(Verdict.TAKEN, reference)
        attempts.record(db, self.ids, self.rules, self.sender, job, outcome, self.now, later=later)
        return ReportFields(reference, job.recipient, self.now // 1000 * 1000, self.now)

    def settled(self, db: Connection, job: Job) -> None:
        attempts.settle_sent(db, self.ids, job.message, self.now)

    def reported(self, db: Connection, report: ReportFields) -> None:
        fields = msgspec.structs.replace(report, arrived_at=self.now)
        found = reports.arrived(db, self.ids, 1, SIM, fields, 0, self.now, self.now)
        assert found is not None, "a report of the only message with its reference"

    def archived(self, batch: int = 500) -> None:
        while self.commit("archive", lambda db: archive.move(db, batch, self.now))[0]:
            pass


def idle(path: Path, count: int = IDLE, *, by_table: bool = False) -> dict[str, Written]:
    """Messages one after the other: three commits each, then the move to the history."""
    life = Life(path, by_table=by_table)
    for _ in range(count):
        _, job = life.commit("accept and claim", life.accept, life.claim)
        life.now += 3000
        (report,) = life.commit("sent", partial(life.sent, job=job))
        life.now += 4000
        life.commit("report", partial(life.reported, report=report))
        life.now += 60_000
        if life.now - life.folded >= FOLD_MS:
            life.folded = life.now
            life.commit("counters", counters.fold)
    life.archived()
    return life.written()


def busy(path: Path, count: int = BUSY, *, by_table: bool = False) -> dict[str, Written]:
    """A burst: accepted together; the result of one and the claim of the next share a commit.

    Each of some also settles the messages that were sent meanwhile, and has the reports that came.
    """
    life = Life(path, by_table=by_table)
    life.commit("accept", *[life.accept] * count)
    sent: list[Job] = []
    waiting: list[ReportFields] = []
    (job,) = life.commit("claim", life.claim)
    for number in range(1, count + 1):
        life.now += PACE_MS
        last = number == count
        works: list[Callable[[Connection], Any]] = [partial(life.sent, job=job, later=not last)]
        if not last:
            works.append(life.claim)
        leg = "sent and claim"
        if number % TOGETHER == 0:
            leg = "the same, and what shares its commit"
            works += [partial(life.settled, job=job) for job in sent]
            due = waiting[:TOGETHER] if len(waiting) >= IN_FLIGHT + TOGETHER else []
            works += [partial(life.reported, report=report) for report in due]
            del waiting[: len(due)]
            sent = []
        found = life.commit(leg, *works)
        sent.append(job)
        waiting.append(found[0])
        if not last:
            job = found[1]
    rest = [partial(life.reported, report=report) for report in waiting]
    life.commit("the rest", *(partial(life.settled, job=job) for job in sent), *rest)
    life.archived()
    return life.written()


def whole(legs: dict[str, Written]) -> Written:
    """Return what all legs wrote together."""
    total = Written()
    for one in legs.values():
        total.frames.update(one.frames)
        total.commits += one.commits
        total.log_bytes += one.log_bytes
        total.database_bytes += one.database_bytes
    return total


def measure(folder: Path) -> Iterator[str]:
    for name, run, count in (("idle", idle, IDLE), ("busy", busy, BUSY)):
        legs = run(folder / f"{name}.db", count, by_table=True)
        total = whole(legs)
        yield f"{name}, per message: {total.commits / count:.2f} commits, {total.summary(count)}"
        for leg, written in legs.items():
            yield f"  {leg}: {written.summary(count)}"

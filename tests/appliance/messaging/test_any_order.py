"""Whatever happens to messages in whatever order: counts are true, nothing is stuck, orphaned or kept for ever.

250 random steps out of all that intake, outboxes, reports, owner and time do with the store, looked at after
each; then everything comes to its end. A seed that fails is the whole story of its failure.
"""

from __future__ import annotations

import random
from collections import Counter
from sqlite3 import Connection

import pytest

from appliance.core.config import Limits
from appliance.domain.message import Status
from appliance.domain.report_matching import ReportFields
from appliance.store import (
    archive,
    attempts,
    backlog,
    blocklist,
    clients,
    devices,
    history,
    messages,
    reports,
)
from appliance.store.queue import Job, Sender
from modem.interface import Fault, FaultKind, Outcome, Verdict
from tests.appliance.backlog_check import assert_counts_are_true, assert_sums_are_true
from tests.appliance.conftest import NEVER, NUMBER, REFUSED, START, Stage

pytestmark = pytest.mark.seconds(15)

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
STEPS = 250
CLIENTS = (1, 2, 3)
SENDERS = {n: Sender(n, False, f"sim{n}", Limits()) for n in (1, 2)}
BARRED = Fault(Verdict.OWNER, FaultKind.BARRED, "CMS", 8, "Barred.")
REFERENCES = 8  # so that they come round while older ones are open
TP_STATUS = (0, 0, 0, 1, 2, 0x20, 0x30, 0x41, 0x45)
# Every step's name, the frequent ones more than once.
FREQUENT = ("take", "claim", "record", "report") * 3
STEP_NAMES = (
    *(*FREQUENT, "resend", "resend", "cancel", "pass_time", "pass_time", "enable"),
    *("expire", "settle_uncertain", "archive", "close_reports"),
    *("block", "erase", "disable", "retire", "crash"),
)


class Life:
    """All that may happen, each by dice."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.dice = random.Random(seed)
        self.alive = set(CLIENTS)
        self.taken: list[tuple[int, int]] = []  # message, client
        self.on_air: dict[int, Job] = {}
        self.reference = dict.fromkeys(SENDERS, 0)
        self.accepted: set[tuple[int, int]] = (
            set()
        )  # message, part: the network said that it took it
        self.resent_on_air: set[int] = set()
        self.handed: list[tuple[int, int, str, int]] = []  # modem, reference, recipient, when

    async def step(self) -> None:
        await getattr(self, self.dice.choice(STEP_NAMES))()

    async def take(self) -> None:
        dice, client = self.dice, self.dice.choice(sorted(self.alive))
        later = {"scheduled_at": self.stage.now + dice.randrange(1, 10**7)}
        number = await self.stage.take(
            tenant=client * 2,
            parts=dice.choice([1, 1, 2, 3]),
            priority=dice.choice([1, 3, 5]),
            recipient=dice.choice([NUMBER, "+33611111111"]),
            max_attempts=dice.choice([1, 2, 3]),
            on_uncertain=dice.choice(["fail", "resend"]),
            bound=dice.random() < 0.2,
            device=dice.choice(list(SENDERS)),
            **(later if dice.random() < 0.2 else {}),
        )
        self.taken.append((number, client))

    async def claim(self) -> None:
        sender = SENDERS[self.dice.choice(list(SENDERS))]
        if sender.device not in self.on_air:
            found = await self.stage.claim(sender)
            if isinstance(found, Job):
                assert (found.message, found.number) not in self.accepted, "sent twice unasked"
                self.on_air[sender.device] = found

    async def record(self) -> None:
        if not self.on_air:
            return
        device = self.dice.choice(sorted(self.on_air))
        job = self.on_air.pop(device)
        reference = (self.reference[device] + 1) % REFERENCES
        outcome = self.dice.choice(
            [
                *([Outcome(Verdict.TAKEN, reference)] * 3),
                Outcome(Verdict.UNKNOWN),
                Outcome(Verdict.AGAIN, fault=REFUSED),
                Outcome(Verdict.NEVER, fault=NEVER),
                Outcome(Verdict.WAIT, fault=NEVER, given=False),
                Outcome(Verdict.HOUSEKEEP, fault=NEVER),
                Outcome(Verdict.OWNER, fault=BARRED),
            ]
        )
        if outcome.verdict in (Verdict.TAKEN, Verdict.UNKNOWN):
            self.reference[device] = reference
            self.handed.append((device, reference, job.recipient, self.stage.now))
        if outcome.verdict is Verdict.TAKEN and job.message not in self.resent_on_air:
            self.accepted.add((job.message, job.number))
        await self.stage.record(job, outcome, SENDERS[device])

    async def report(self) -> None:
        if not self.handed:
            return
        device, reference, recipient, at = self.dice.choice(self.handed[-6:])
        submitted = self.dice.choice([None, at // 1000 * 1000])
        await self.stage.db.write(
            reports.arrived,
            self.stage.ids,
            device,
            SENDERS[device].sim,
            ReportFields(reference, recipient, submitted, self.stage.now),
            self.dice.choice(TP_STATUS),
            None,
            self.stage.now,
        )

    async def resend(self) -> None:
        if not self.taken:
            return
        number, client = self.dice.choice(self.taken)
        pin = self.dice.choice([0, 0, 1, 2])
        stage, until = self.stage, self.stage.now + DAY_MS

        def work(db: Connection) -> None:
            row = history.one(db, client * 2, number)
            if client not in self.alive or row is None or row.status != "failed":
                return
            if messages.get(db, number) is None:
                archive.take_back(db, number, stage.now, until, 0)
            messages.resend(
                *(db, stage.ids, number, stage.now, until, stage.now, "GSM-7", 0, row.parts),
                bound_device=pin,
            )
            self.accepted = {part for part in self.accepted if part[0] != number}
            if any(job.message == number for job in self.on_air.values()):
                self.resent_on_air.add(number)  # what is answered now was not what was asked for

        await stage.db.write(work)

    async def cancel(self) -> None:
        if self.taken:
            number, _ = self.dice.choice(self.taken)
            await self.stage.db.write(messages.cancel, self.stage.ids, number, self.stage.now)

    async def pass_time(self) -> None:
        seconds = self.dice.choice([1, 60, 700, 4 * 3600, 25 * 3600])
        self.stage.now += seconds * 1000

    async def enable(self) -> None:
        for client in CLIENTS:
            await self.stage.db.write(clients.enable, client)

    async def disable(self) -> None:
        if self.dice.random() < 0.3:
            client = self.dice.choice([2, 3])
            await self.stage.db.write(clients.disable, client, self.stage.now)

    async def erase(self) -> None:
        if self.dice.random() < 0.1 and self.alive != {1}:
            client = self.dice.choice(sorted(self.alive - {1}))
            self.alive.discard(client)
            await self.stage.db.write(clients.erase, client, self.stage.now)
            while await self.stage.db.write(archive.erase_step, client, 3):
                pass

    async def expire(self) -> None:
        await self.stage.expire()

    async def settle_uncertain(self) -> None:
        await self.stage.settle_uncertain()

    async def archive(self) -> None:
        await self.stage.archive()

    async def close_reports(self) -> None:
        now = self.stage.now
        await self.stage.db.write(attempts.close_reports, self.stage.ids, now - 72 * HOUR_MS, now)

    async def block(self) -> None:
        if self.dice.random() < 0.3:
            await self.stage.db.write(blocklist.add, 2, NUMBER, "", "api", self.stage.now)

    async def retire(self, days: int = 5) -> int:
        before = (self.stage.now - days * DAY_MS) // HOUR_MS * HOUR_MS
        return await self.stage.db.write(archive.retire, before, 50)

    async def crash(self) -> None:
        if self.dice.random() < 0.2:
            self.on_air.clear()
            await self.stage.db.write(
                attempts.mark_uncertain_after_start, self.stage.ids, self.stage.now
            )

    async def come_to_the_end(self) -> None:
        """Modems answer, clients are enabled, days go by without a word."""
        for device in list(self.on_air):
            await self.stage.record(
                self.on_air.pop(device), Outcome(Verdict.UNKNOWN), SENDERS[device]
            )
        await self.enable()
        for _ in range(8):
            self.stage.now += 30 * HOUR_MS
            await self.expire()
            await self.settle_uncertain()
            await self.close_reports()
            while await self.stage.archive():
                pass

    # --- what is true after every step ---------------------------------------------------------------

    def look(self, db: Connection) -> None:
        counted: Counter[tuple[int, int, str]] = Counter()
        for table in ("message", "history"):
            for row in db.execute(f"SELECT tenant, device, status FROM {table}"):
                counted[row["tenant"], row["device"], row["status"]] += 1
        kept: Counter[tuple[int, int, str]] = Counter()
        for row in db.execute("SELECT * FROM hour_count"):
            for status in Status:
                kept[row["tenant"], row["device"], status] += row[status]
        for found in (counted, kept):  # a deleted client's figures stay, its rows may go
            for key in [k for k, n in found.items() if not n or k[0] // 2 not in self.alive]:
                del found[key]
        assert counted == kept
        assert_counts_are_true(db)
        assert_sums_are_true(db, self.stage.now)
        for message in db.execute("SELECT * FROM message").fetchall():
            self._look_at(db, message["id"], message["status"], message["closed_at"])
        for table in ("part", "attempt"):
            orphans = f"SELECT 1 FROM {table} WHERE message NOT IN (SELECT id FROM message)"
            assert db.execute(orphans).fetchone() is None, f"an orphan in {table}"
        (handed,) = db.execute("SELECT COUNT(*) FROM part WHERE state = 'submitted'").fetchone()
        assert handed <= len(self.on_air)

    def _look_at(self, db: Connection, number: int, status: str, closed_at: int | None) -> None:
        parts = messages.parts_of(db, number)
        states = {part.state for part in parts}
        awaited = any(part.open or part.state == "submitted" for part in parts)
        attempts = "SELECT 1 FROM attempt WHERE open = 1 AND message = ?"
        awaited = awaited or db.execute(attempts, (number,)).fetchone() is not None
        if status == Status.QUEUED:
            assert states & {"waiting", "submitted", "uncertain"}, "it would wait for ever"
        if status in (Status.FAILED, Status.CANCELLED):
            assert "waiting" not in states
        if status in (Status.SENT, Status.FAILED):
            assert closed_at is not None or awaited, "nothing ends it"
        if status == Status.DELIVERED:
            assert states == {"delivered"}


@pytest.mark.parametrize("seed", range(40))
async def test_counts_are_exact_and_every_message_ends_after_random_operations(
    stage: Stage, seed: int
) -> None:
    life = Life(stage, seed)
    await stage.db.write(clients.add_client, "three", START)
    for sender in SENDERS.values():
        await stage.db.write(devices.known, sender.sim, "", False, START)
    counted_from = life.dice.randrange(STEPS)  # when a SIM gets a cap on recipients
    for step in range(STEPS):
        await life.step()
        if step == counted_from:
            await stage.db.write(backlog.recipients, "sim1", 0)
        await stage.db.read(life.look)
    await life.come_to_the_end()
    assert await stage.db.read(_rows, "message") == 0, "in motion for ever"
    stage.now += 200 * DAY_MS
    while await life.retire(90):
        pass
    for table in ("history", "history_recipient"):
        assert await stage.db.read(_rows, table) == 0, f"{table} is kept for ever"


def _rows(db: Connection, table: str) -> int:
    (count,) = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    assert isinstance(count, int)
    return count

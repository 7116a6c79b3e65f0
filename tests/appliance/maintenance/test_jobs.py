"""The maintenance jobs: retention, wake-ups, clock jumps."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, tzinfo
from pathlib import Path
from sqlite3 import Connection

import msgspec
import pytest
from apscheduler.schedulers import base as scheduling
from apscheduler.triggers.interval import IntervalTrigger

from appliance.context import Context
from appliance.core.clock import SystemClock
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.devices.balance import Balances
from appliance.domain import limits
from appliance.maintenance.jobs import MaintenanceJobs
from appliance.messaging.inbox import Inbox
from appliance.store import archive, history, messages
from appliance.store import received as received_store
from appliance.store.database import Database
from appliance.store.queue import NothingReady
from appliance.store.received import Whole
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import NEVER, REFUSED, SIM, Stage
from tests.manual_clock import ManualClock
from tests.waiting import eventually

DAY = 86_400
DAY_MS, HOUR_MS = DAY * 1000, 3_600_000
NUMBER, OTHER = "+33612345678", "+33698765432"


class Keeper:
    """Housekeeping over a real store, whose clock is set."""

    def __init__(self, box: Context, clock: ManualClock) -> None:
        self.box = box
        self.clock = clock
        self.jobs = MaintenanceJobs(box, Inbox(box), Balances(clock, []))

    async def wrote(self, number: str) -> None:
        def work(db: Connection) -> None:
            now = self.clock.now()
            received_store.wrote(db, False, 1, number, 2, now)
            month = limits.month_number(now, self.box.zone, 1)
            db.execute("INSERT OR IGNORE INTO sim_recipient VALUES ('sim', ?, ?)", (month, number))

        await self.box.db.write(work)

    async def received(self) -> None:
        text = Whole(NUMBER, "bonjour", None, "")
        await self.box.db.write(received_store.store, self.box.ids, 1, 2, text, self.clock.now())

    async def rows(self, table: str, column: str) -> list[str]:
        return [
            row[0]
            for row in await self.box.db.read(
                lambda db: db.execute(f"SELECT {column} FROM {table} ORDER BY 1").fetchall()
            )
        ]


@pytest.fixture
async def keeper(db: Database, tmp_path: Path) -> Keeper:
    clock = ManualClock()
    ids = await db.read(archive.marks)
    return Keeper(Context(Config(), clock, db, ids, Encryption(tmp_path / "key")), clock)


async def test_numbers_are_forgotten_with_the_messages_to_them(keeper: Keeper) -> None:
    await keeper.wrote(NUMBER)
    keeper.clock.advance(60 * DAY)
    await keeper.wrote(OTHER)
    await keeper.jobs.tidy()
    assert await keeper.rows("last_writer", "recipient") == [NUMBER, OTHER]
    assert await keeper.rows("sim_recipient", "recipient") == [OTHER]
    keeper.clock.advance(31 * DAY)
    await keeper.jobs.tidy()
    assert await keeper.rows("last_writer", "recipient") == [OTHER]


async def test_a_clock_jump_forward_does_not_empty_the_inbox_at_once(keeper: Keeper) -> None:
    for _ in range(5):
        await keeper.received()
        keeper.clock.advance(2 * DAY)
    keeper.clock.step(10 * 365 * DAY * 1000)
    await keeper.jobs.retire()
    assert len(await keeper.rows("inbound", "id")) == 3
    await keeper.jobs.retire()
    assert len(await keeper.rows("inbound", "id")) == 1


async def test_received_texts_are_removed_after_their_retention(keeper: Keeper) -> None:
    await keeper.received()
    keeper.clock.advance(89 * DAY)
    await keeper.jobs.retire()
    assert len(await keeper.rows("inbound", "id")) == 1
    keeper.clock.advance(2 * DAY)
    await keeper.jobs.retire()
    assert await keeper.rows("inbound", "id") == []


async def test_a_due_message_without_a_modem_wakes_the_outbox_once(
    stage: Stage, tmp_path: Path
) -> None:
    clock = SystemClock()
    stage.now = clock.now() - 1000
    box = Context(Config(), clock, stage.db, stage.ids, Encryption(tmp_path / "key"))
    jobs = MaintenanceJobs(box, Inbox(box), Balances(clock, []))
    await stage.take(scheduled_at=stage.now + 500)
    event, rings = box.wakeups.add_outbox(), 0

    async def count() -> None:
        nonlocal rings
        while await event.wait():
            event.clear()
            rings += 1

    jobs.start()
    running = [asyncio.create_task(count()), asyncio.create_task(jobs.watch_due())]
    await eventually(lambda: rings, "it rings")
    await asyncio.sleep(0.5)  # no modem claims it meanwhile, and it does not ring again
    jobs.stop()
    for task in running:
        task.cancel()
    assert rings == 1


async def test_messages_made_due_by_a_clock_change_wake_the_outbox(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    async def is_to_ring() -> bool:
        await jobs.schedule_due()
        job = jobs.scheduler.get_job("due")
        due: bool = job is not None and job.trigger.run_date <= datetime.now(
            jobs.scheduler.timezone
        )
        return due

    jobs.scheduler.start(paused=True)
    for hours in (1, 2):
        await stage.take(scheduled_at=stage.now + hours * HOUR_MS)
    assert not await is_to_ring()
    for minutes in (90, 60):  # over the one, over the other
        clock.step(minutes * 60_000)
        assert await is_to_ring()
        await jobs.ring()
        assert not await is_to_ring()
    await stage.take(scheduled_at=clock.now() + 1000)
    clock.step(-HOUR_MS)
    clock.step(HOUR_MS + 1000)
    assert await is_to_ring()
    await jobs.ring()
    clock.trusted = False
    await jobs.ring()
    clock.trusted = True  # now what was scheduled may go
    assert await is_to_ring()
    jobs.stop()


async def test_rows_from_a_clock_that_was_ahead_do_not_stop_the_retention(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    stage.now += 3650 * DAY_MS
    await stage.sent(1)
    stage.now -= 3650 * DAY_MS
    number = await stage.sent(2)
    await stage.report(2)
    await stage.archive()
    clock.advance(100 * 86_400)
    for _ in range(3):
        await jobs.retire()
    assert await stage.db.read(history.one, 2, number) is None


async def test_the_reference_of_a_long_message_is_removed_with_it(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    await stage.take(parts=2)
    for reference in (1, 2):
        await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, reference))
        await stage.report(reference)
    stage.now += 1
    await stage.archive()
    clock.advance(400 * 86_400)
    await jobs.retire()
    await jobs.tidy()

    def numbers(db: Connection) -> list[str]:
        return [r[0] for r in db.execute("SELECT recipient FROM concatenation")]

    assert await stage.db.read(numbers) == []


async def test_a_failed_report_for_an_earlier_attempt_ends_the_wait_for_reports(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    number = await stage.take(on_uncertain="resend")
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    clock.advance(601)
    stage.now = clock.now()
    await stage.settle_uncertain()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.status(number) == "failed"
    await stage.report(9, tp_status=0x45)  # of the first try, and the last word on it
    clock.advance(100 * 86_400)
    await jobs.close_reports()
    await jobs.archive()
    await jobs.retire()
    assert await stage.db.read(history.one, 2, number) is None


async def test_an_answer_from_before_a_resend_does_not_keep_the_message_for_ever(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    number = await stage.take(parts=2)
    job = await stage.must_claim()
    clock.advance(25 * 3600)
    stage.now = clock.now()
    await stage.expire()  # its second part
    await stage.db.write(
        messages.resend, stage.ids, number, stage.now, stage.now + DAY_MS, 0, "GSM-7", 0, 2
    )
    other = msgspec.structs.replace(stage.sender, device=2, sim="8933010000000002")
    again = await stage.must_claim(other)
    await stage.record(again, Outcome(Verdict.NEVER, fault=NEVER), other)
    assert await stage.status(number) == "failed"
    await stage.record(job, Outcome(Verdict.NEVER, fault=NEVER))  # its modem was slow
    clock.advance(100 * 86_400)
    await jobs.close_reports()
    await jobs.archive()
    await jobs.retire()
    assert await stage.db.read(history.one, 2, number) is None


async def test_a_report_counts_until_its_window_ends(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    """`reports.window_hours` is 72 as shipped."""
    in_time, too_late = await stage.sent(1), await stage.sent(2, recipient="+33698765432")
    clock.advance(71 * 3600)
    stage.now = clock.now()
    await jobs.close_reports()
    await stage.report(1)
    assert await stage.status(in_time) == "delivered"
    clock.advance(2 * 3600)
    stage.now = clock.now()
    await jobs.close_reports()
    await stage.report(2, recipient="+33698765432")
    assert await stage.status(too_late) == "sent"


# --- a clock that is set ---------------------------------------------------------------------------

YEAR_1970, YEAR_2040 = DAY_MS, 2_208_988_800_000
MOST_PLANNED = 1000  # far more runs than the jobs of a minute have, far less than a jump has missed


@pytest.fixture
def wall(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The settable clock, which APScheduler takes for the machine's."""

    class WallTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # as the patched one
            return datetime.fromtimestamp(clock.now() / 1000, tz)

    planned = 0
    plan = IntervalTrigger.get_next_fire_time

    def counted(trigger: IntervalTrigger, *times: datetime | None) -> datetime | None:
        nonlocal planned
        planned += 1
        assert planned < MOST_PLANNED, "the scheduler lists every missed run"
        found: datetime | None = plan(trigger, *times)
        return found

    monkeypatch.setattr(scheduling, "datetime", WallTime)
    monkeypatch.setattr(IntervalTrigger, "get_next_fire_time", counted)
    clock.step(YEAR_1970 - clock.now())
    return clock


async def later(jobs: MaintenanceJobs, clock: ManualClock, seconds: float) -> None:
    """Let time pass, and the scheduler start what is due."""
    clock.advance(seconds)
    jobs.scheduler.wakeup()
    await asyncio.sleep(0)  # it wakes in the next turn of the loop


async def test_jobs_run_at_their_interval_from_1970_to_2040_and_back(
    wall: ManualClock, jobs: MaintenanceJobs
) -> None:
    runs: asyncio.Queue[int] = asyncio.Queue()

    async def run() -> None:
        await runs.put(wall.now())

    jobs.every("proof", 60.0, run)
    jobs.scheduler.start()
    try:
        for year in (YEAR_1970, YEAR_2040, YEAR_1970, YEAR_2040 - 400 * DAY_MS, YEAR_2040):
            wall.step(year - wall.now())
            await later(jobs, wall, 59)
            assert runs.empty()
            await later(jobs, wall, 1)
            assert await asyncio.wait_for(runs.get(), 30) == year + 60_000
            assert runs.empty()
    finally:
        jobs.stop()


async def test_the_scheduler_sleeps_until_the_next_run(
    jobs: MaintenanceJobs, caplog: pytest.LogCaptureFixture
) -> None:
    """Not woken without end by a planned time that was converted to the present."""

    async def run() -> None:
        return None

    jobs.every("proof", 3600.0, run)
    caplog.set_level(logging.DEBUG, "apscheduler.scheduler")
    jobs.scheduler.start()
    try:
        await asyncio.sleep(0.2)  # a scheduler that does not sleep looks thousands of times
        looks = [r for r in caplog.records if r.getMessage() == "Looking for jobs to run"]
        assert 1 <= len(looks) <= 3
    finally:
        jobs.stop()


async def test_every_kind_of_job_runs_through_clock_jumps_from_1970_to_2040_and_back(
    wall: ManualClock, stage: Stage, tmp_path: Path
) -> None:
    """A jump shortens no window and lengthens none: lifetime, retry, doubt, report, schedule, missing part."""
    stage.now = wall.now()
    box = Context(Config(), wall, stage.db, stage.ids, Encryption(tmp_path / "key"))
    jobs = MaintenanceJobs(box, Inbox(box), Balances(wall, []))

    async def set_to(year: int) -> None:
        wall.step(year - wall.now())
        stage.now = wall.now()
        await jobs.adjust_to_jump()

    async def passes(seconds: float) -> None:
        wall.advance(seconds)
        stage.now = wall.now()
        for job in (jobs.expire, jobs.settle_uncertain, jobs.close_reports, jobs.give_up_waiting):
            await job()

    async def count(table: str, condition: str = "1") -> int:
        query = f"SELECT COUNT(*) FROM {table} WHERE {condition}"
        found: int = await stage.db.read(lambda db: db.execute(query).fetchone()[0])
        return found

    async def awaited(message: int) -> int:
        return await count("part", f"open = 1 AND message = {message}")

    for year, other in ((YEAR_1970, YEAR_2040), (YEAR_2040, YEAR_1970)):
        await set_to(year)
        sent = await stage.sent(7)
        doubtful = await stage.take()
        await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
        again = await stage.take()
        await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
        waiting = await stage.take()
        scheduled = await stage.take(scheduled_at=YEAR_2040 + HOUR_MS)
        part = received_store.ReceivedPart(
            NUMBER, "Bon", None, "00", reference=1, total=2, number=1
        )
        await stage.db.write(received_store.keep_part, 1, SIM, part, stage.now)

        await set_to(other)
        await passes(60)
        assert [await stage.status(n) for n in (again, waiting)] == ["queued", "queued"]
        assert (await stage.view(doubtful)).uncertain
        assert await awaited(sent)
        assert await count("inbound_part") == 1
        taken = set()
        for _ in range(2):
            job = await stage.must_claim()
            taken.add(job.message)
            await stage.record(job, Outcome(Verdict.NEVER, fault=NEVER))
        assert taken == {again, waiting}
        assert isinstance(await stage.claim(), NothingReady)

        await passes(600)
        assert await stage.status(doubtful) == "failed"
        await passes(24 * 3600)
        assert await count("inbound_part") == 0
        if other == YEAR_2040:
            job = await stage.must_claim()
            assert job.message == scheduled
            await stage.record(job, Outcome(Verdict.NEVER, fault=NEVER))
        await passes(72 * 3600)
        assert not await awaited(sent)
        if other == YEAR_1970:
            assert await stage.status(scheduled) == "queued"

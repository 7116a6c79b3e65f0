"""A clock change does not make waiting messages older."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.context import Context
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.devices.balance import Balances
from appliance.domain.requests import Idempotency
from appliance.domain.validation import utc
from appliance.domain.views import AcceptedAnswer
from appliance.maintenance.jobs import MaintenanceJobs
from appliance.messaging.inbox import Inbox
from appliance.store import idempotency, otp, received, starts
from appliance.store.clock_jumps import STEP_MS
from appliance.store.database import Database
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import NUMBER, REFUSED, SIM, Stage
from tests.manual_clock import ManualClock

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


class Board:
    """A box that has just started, on a clock without a chip."""

    def __init__(self, stage: Stage, db: Database, folder: Path) -> None:
        self.clock = ManualClock(stage.now, trusted=False)
        self.box = Context(Config(), self.clock, db, stage.ids, Encryption(folder / "key"))
        self.jobs = MaintenanceJobs(self.box, Inbox(self.box), Balances(self.clock, []))
        self.stage = stage

    def set_clock(self, step: int) -> None:
        self.clock.step(step)
        self.clock.trusted = True
        self.stage.now = self.clock.now()


@pytest.fixture
async def before(stage: Stage) -> int:
    """A message that waits since before this start."""
    number = await stage.take()
    stage.now += 1000
    return number


@pytest.fixture
async def board(before: int, stage: Stage, db: Database, tmp_path: Path) -> Board:
    await db.write(starts.begin)
    return Board(stage, db, tmp_path)


async def test_a_message_accepted_just_before_the_clock_was_set_is_sent(
    board: Board, before: int, stage: Stage
) -> None:
    waiting = await stage.take(validity_minutes=60)
    scheduled = await stage.take(scheduled_at=stage.now + 5 * DAY_MS)
    board.set_clock(3 * DAY_MS)
    await board.jobs.expire()
    assert await stage.status(before) == "failed"  # three days are over for it
    assert [await stage.status(n) for n in (waiting, scheduled)] == ["queued", "queued"]
    job = await stage.must_claim()
    assert (job.message, job.validity_minutes) == (waiting, 60)


async def test_the_report_window_of_a_submitted_part_survives_a_clock_change(
    board: Board, stage: Stage
) -> None:
    number = await stage.take(rank=0)
    job = await stage.must_claim()
    assert job.message == number
    await stage.record(job, Outcome(Verdict.TAKEN, 1))
    board.set_clock(4 * DAY_MS)
    await board.jobs.close_reports()
    await stage.report(1)
    assert await stage.status(number) == "delivered"


async def test_a_clock_change_does_not_change_a_lifetime(board: Board, stage: Stage) -> None:
    number = await stage.take()
    board.set_clock(3 * DAY_MS)
    await board.jobs.expire()
    board.clock.advance(24 * 3600 + 1)
    await board.jobs.expire()
    assert await stage.status(number) == "failed"


async def test_a_clock_that_is_set_twice_and_once_back(board: Board, stage: Stage) -> None:
    first = await stage.take()
    board.set_clock(3 * DAY_MS)
    await board.jobs.expire()
    second = await stage.take()
    board.set_clock(-2 * DAY_MS)
    await board.jobs.expire()
    third = await stage.take()
    board.set_clock(30 * DAY_MS)
    await board.jobs.expire()
    assert {await stage.status(n) for n in (first, second, third)} == {"queued"}
    board.clock.advance(24 * 3600 + 1)
    await board.jobs.expire()
    assert {await stage.status(n) for n in (first, second, third)} == {"failed"}


async def test_a_clock_change_does_not_change_the_expiry_of_a_code(
    board: Board, stage: Stage, db: Database
) -> None:
    number = stage.ids.other(stage.now)
    ends = stage.now + 300_000
    await db.write(otp.add, number, 2, 1, NUMBER, b"hash", 3, ends, None, stage.now)
    board.set_clock(3 * DAY_MS)
    await board.box.clock_jumps.adjust()
    row = await db.read(otp.get, 2, number)
    assert row is not None and row.expires_at == ends + 3 * DAY_MS


@pytest.mark.parametrize("step", [3 * DAY_MS, -3 * DAY_MS])
async def test_used_codes_count_for_an_hour_across_clock_changes(
    board: Board, stage: Stage, db: Database, step: int
) -> None:
    for _ in range(3):
        number = stage.ids.other(stage.now)
        ends = stage.now + 300_000
        await db.write(otp.add, number, 2, 1, NUMBER, b"hash", 3, ends, None, stage.now)
        await db.write(otp.verified, number, stage.now)
    board.set_clock(step)
    await board.box.clock_jumps.adjust()
    assert await db.read(otp.wait, False, NUMBER, 3, stage.now) == HOUR_MS


async def test_drift_of_the_clock_is_not_a_jump(board: Board, stage: Stage) -> None:
    number = await stage.take()
    board.clock.advance(23 * 3600)
    board.set_clock(STEP_MS - 1)
    assert not board.box.clock_jumps.pending
    board.clock.advance(3600)
    await board.jobs.expire()
    assert await stage.status(number) == "failed"


async def test_a_clock_set_back_does_not_delay_a_retry(
    board: Board, before: int, stage: Stage
) -> None:
    board.clock.advance(20 * 3600)
    stage.now = board.clock.now()
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    board.set_clock(-15 * HOUR_MS)
    await board.box.clock_jumps.adjust()
    board.clock.advance(1800)
    stage.now = board.clock.now()
    assert (await stage.must_claim()).message == before


async def test_an_idempotency_key_from_a_clock_that_was_ahead_is_ignored(
    stage: Stage, db: Database
) -> None:
    def sent() -> AcceptedAnswer:
        return AcceptedAnswer(
            message_id="msg_0000000000000001",
            to=NUMBER,
            queued_at=utc(stage.now),
            estimated_delivery=utc(stage.now),
            scheduled_at=None,
            priority="normal",
            device_id=None,
            parts=1,
            encoding="GSM-7",
        )

    ahead, key = stage.now + 365 * DAY_MS, Idempotency("order-17", b"same")
    await db.write(idempotency.once, 2, key, ahead, lambda _: sent())
    assert await db.read(idempotency.earlier, 2, key, ahead) is not None
    assert await db.read(idempotency.earlier, 2, key, ahead - HOUR_MS) is not None
    assert await db.read(idempotency.earlier, 2, key, stage.now) is None  # it was for a day


async def test_an_uncertain_part_keeps_its_window_across_a_clock_change(
    board: Board, before: int, stage: Stage
) -> None:
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    board.set_clock(3 * DAY_MS)
    await board.jobs.settle_uncertain()
    assert (await stage.view(before)).uncertain  # for ten minutes; its report may still come
    board.clock.advance(601)
    await board.jobs.settle_uncertain()
    assert await stage.status(before) == "failed"


@pytest.mark.parametrize("step", [3 * DAY_MS, -3 * DAY_MS])
async def test_the_wait_for_a_missing_part_survives_a_clock_change(
    board: Board, stage: Stage, db: Database, step: int
) -> None:
    first = received.ReceivedPart(NUMBER, "Bonjour", None, "00", reference=1, total=2, number=1)
    await db.write(received.keep_part, 1, SIM, first, stage.now)
    board.set_clock(step)
    await board.jobs.give_up_waiting()

    def kept(db: Connection) -> int:
        n: int = db.execute("SELECT COUNT(*) FROM inbound_part").fetchone()[0]
        return n

    assert await db.read(kept) == 1
    board.clock.advance(24 * 3600)
    await board.jobs.give_up_waiting()
    assert await db.read(kept) == 0


async def test_an_uncertain_part_keeps_its_window_when_the_clock_is_set_back_and_forward_again(
    board: Board, before: int, stage: Stage
) -> None:
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    for step in (-20 * HOUR_MS, 20 * HOUR_MS):
        board.set_clock(step)
        await board.jobs.settle_uncertain()
        assert (await stage.view(before)).uncertain
    board.clock.advance(601)
    await board.jobs.settle_uncertain()
    assert await stage.status(before) == "failed"


async def test_an_uncertain_part_of_an_earlier_start_does_not_wait_longer(
    before: int, stage: Stage, db: Database, tmp_path: Path
) -> None:
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    await db.write(starts.begin)
    board = Board(stage, db, tmp_path)
    for step in (-20 * HOUR_MS, 20 * HOUR_MS):
        board.set_clock(step)
        await board.box.clock_jumps.adjust()
    board.clock.advance(601)
    await board.jobs.settle_uncertain()
    assert await stage.status(before) == "failed"

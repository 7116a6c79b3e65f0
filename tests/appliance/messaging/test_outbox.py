"""The sending loop after unexpected errors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from sqlite3 import IntegrityError

import pytest

from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.messaging import outbox as outbox_module
from appliance.messaging.outbox import Outbox
from appliance.store import messages
from appliance.store.database import Database
from modem.driver.device import ModemDriver
from modem.interface import ModemState, Outcome, Tpdu, Verdict
from modem.timeouts import SerialLine
from tests.appliance.conftest import Stage
from tests.manual_clock import ManualClock
from tests.waiting import HANG_SECONDS, eventually


class Breaks(ModemDriver):
    """Its first send breaks in a way that no modem's fault explains."""

    sends = 0

    async def send(self, tpdu: Tpdu) -> Outcome:
        self.sends += 1
        if self.sends == 1:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return Outcome(Verdict.TAKEN, self.sends)


@pytest.fixture
def box(stage: Stage, db: Database, tmp_path: Path) -> Context:
    return Context(Config(), ManualClock(stage.now), db, stage.ids, Encryption(tmp_path / "key"))


@pytest.fixture
async def outbox(box: Context) -> Outbox:
    modem = Breaks(SerialLine("/nowhere"))
    modem.publisher.update(ModemState.READY)
    attached = Attached(box, ModemSettings(), modem, test=False)
    attached.number = 1
    return Outbox(box, attached)


async def test_an_error_during_a_send_leaves_its_part_uncertain_and_the_next_part_is_sent(
    stage: Stage, box: Context, outbox: Outbox
) -> None:
    first, second = await stage.take(), await stage.take()
    news = asyncio.Event()
    box.wakeups.watchers.add(news)
    running = asyncio.create_task(outbox.run())
    async with asyncio.timeout(HANG_SECONDS):
        while await stage.status(second) != "sent":
            await news.wait()
            news.clear()
    (part,) = await stage.db.read(messages.parts_of, first)
    assert part.state == "uncertain"
    outbox.stop()
    await running


async def test_a_message_is_claimed_in_the_commit_that_accepts_it(
    stage: Stage, box: Context, outbox: Outbox
) -> None:
    running = asyncio.create_task(outbox.run())
    await eventually(lambda: outbox.waits, "the outbox waits for work")
    statements: list[str] = []
    await stage.db.write(lambda db: db.set_trace_callback(statements.append))
    statements.clear()
    taking = asyncio.create_task(stage.take())
    await asyncio.sleep(0)  # its write is queued, and nothing has begun
    box.wakeups.accepting()
    number = await taking
    outbox.stop()
    await running
    first = statements[: statements.index("COMMIT")]
    assert [s for s in first if s.startswith("INSERT INTO message ")]
    assert [s for s in first if s.lstrip().startswith("UPDATE part SET state = 'submitted'")]
    (part,) = await stage.db.read(messages.parts_of, number)
    assert part.state == "uncertain", "it was given to the modem, whose first send breaks"


class Poisons(ModemDriver):
    """While its part is on the air, the next claim becomes impossible."""

    db: Database

    async def send(self, tpdu: Tpdu) -> Outcome:
        trigger = (
            "CREATE TRIGGER IF NOT EXISTS poison BEFORE UPDATE ON part WHEN new.state = 'submitted' "
            "BEGIN SELECT RAISE(ABORT, 'this row cannot be claimed'); END"
        )
        await self.db.write(lambda db: db.execute(trigger).fetchall())
        return Outcome(Verdict.TAKEN, 7)


async def test_an_outcome_is_recorded_although_the_next_claim_fails(
    stage: Stage, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "RECORD_AGAIN_SECONDS", 0)
    first, _ = await stage.take(), await stage.take()
    box = Context(Config(), ManualClock(stage.now), db, stage.ids, Encryption(tmp_path / "key"))
    modem = Poisons(SerialLine("/nowhere"))
    modem.db = db
    modem.publisher.update(ModemState.READY)
    attached = Attached(box, ModemSettings(), modem, test=False)
    attached.number = 1
    news = asyncio.Event()
    box.wakeups.watchers.add(news)
    running = asyncio.create_task(Outbox(box, attached).run())
    async with asyncio.timeout(HANG_SECONDS):
        await news.wait()
    assert await stage.status(first) == "sent"
    with pytest.raises(IntegrityError):
        await running


class Slow(ModemDriver):
    def __init__(self, line: SerialLine) -> None:
        super().__init__(line)
        self.given = asyncio.Event()
        self.answer = asyncio.Event()

    async def send(self, tpdu: Tpdu) -> Outcome:
        self.given.set()
        await self.answer.wait()
        return Outcome(Verdict.TAKEN, 5)


async def test_an_outcome_finds_its_part_although_the_modem_got_another_number(
    stage: Stage, tmp_path: Path
) -> None:
    box = Context(
        Config(), ManualClock(stage.now), stage.db, stage.ids, Encryption(tmp_path / "key")
    )
    modem = Slow(SerialLine("/nowhere"))
    modem.publisher.update(ModemState.READY)
    attached = Attached(box, ModemSettings(), modem, test=False)
    attached.number = 1
    number = await stage.take()
    outbox = Outbox(box, attached)
    running = asyncio.create_task(outbox.run())
    await modem.given.wait()
    attached.removed()  # meet_again: `zimbox device remove` beside the running box
    modem.answer.set()
    outbox.stop()
    await running
    assert await stage.status(number) == "sent"


@pytest.mark.parametrize("state", [s for s in ModemState if s is not ModemState.READY])
async def test_nothing_is_claimed_for_a_modem_that_is_not_ready(
    stage: Stage, box: Context, state: ModemState
) -> None:
    modem = Counts(SerialLine("/nowhere"))
    modem.publisher.update(state)
    attached = Attached(box, ModemSettings(), modem, test=False)
    attached.number = 1
    outbox = Outbox(box, attached)
    number = await stage.take()
    running = asyncio.create_task(outbox.run())
    clock = box.clock
    assert isinstance(clock, ManualClock)
    await eventually(lambda: bool(clock.sleepers or modem.sends), "it has looked")
    assert modem.sends == 0
    (part,) = await stage.db.read(messages.parts_of, number)
    assert (part.state, part.submitted_at) == ("waiting", None)
    modem.publisher.update(ModemState.READY)
    box.wakeups.work()
    await eventually(lambda: modem.sends, "it sends once the modem is ready")
    outbox.stop()
    await running


class Counts(ModemDriver):
    """Takes whatever it is given."""

    sends = 0

    async def send(self, tpdu: Tpdu) -> Outcome:
        self.sends += 1
        return Outcome(Verdict.TAKEN, self.sends)

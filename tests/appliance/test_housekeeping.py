"""What the box forgets, and that it forgets no more at once than it should."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance import pacing
from appliance.balance import Balances
from appliance.box import Box
from appliance.clock import ManualClock
from appliance.config import Config
from appliance.housekeeping import Housekeeping
from appliance.inbox import Inbox
from appliance.store import archive, inbound
from appliance.store.database import Database
from appliance.store.inbound import Whole
from appliance.vault import Vault

DAY = 86_400
NUMBER, OTHER = "+33612345678", "+33698765432"


class Keeper:
    """Housekeeping over a real store, whose clock is set."""

    def __init__(self, box: Box, clock: ManualClock) -> None:
        self.box = box
        self.clock = clock
        self.jobs = Housekeeping(box, Inbox(box), Balances(clock, []))

    async def wrote(self, number: str) -> None:
        def work(db: Connection) -> None:
            now = self.clock.now()
            inbound.wrote(db, False, 1, number, 2, now)
            month = pacing.month_number(now, self.box.zone, 1)
            db.execute("INSERT OR IGNORE INTO sim_recipient VALUES ('sim', ?, ?)", (month, number))

        await self.box.db.write(work)

    async def received(self) -> None:
        text = Whole(NUMBER, "bonjour", None, "")
        await self.box.db.write(inbound.store, self.box.ids, 1, 2, text, self.clock.now())

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
    return Keeper(Box(Config(), clock, db, ids, Vault(tmp_path / "key")), clock)


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


async def test_a_clock_that_jumps_ahead_does_not_empty_the_inbox_in_one_go(keeper: Keeper) -> None:
    for _ in range(5):
        await keeper.received()
        keeper.clock.advance(2 * DAY)
    keeper.clock.step(10 * 365 * DAY * 1000)
    await keeper.jobs.retire()
    assert len(await keeper.rows("inbound", "id")) == 3
    await keeper.jobs.retire()
    assert len(await keeper.rows("inbound", "id")) == 1


async def test_what_was_received_goes_when_its_days_are_over(keeper: Keeper) -> None:
    await keeper.received()
    keeper.clock.advance(89 * DAY)
    await keeper.jobs.retire()
    assert len(await keeper.rows("inbound", "id")) == 1
    keeper.clock.advance(2 * DAY)
    await keeper.jobs.retire()
    assert await keeper.rows("inbound", "id") == []

"""The limit of one-time codes per number."""

from __future__ import annotations

from sqlite3 import Connection

import pytest

from appliance.store import messages, otp
from appliance.store.database import Database
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import NEVER, NUMBER, START, Stage

HOUR, MINUTE = 3_600_000, 60_000


async def make(db: Database, number: int, at: int, tenant: int = 2, to: str = NUMBER) -> None:
    await db.write(otp.add, number, tenant, 1, to, b"", 3, at + 5 * MINUTE, None, at)


async def wait(db: Database, now: int, *, test: bool = False) -> int:
    return await db.read(otp.wait, test, NUMBER, 3, now)


async def test_the_next_code_waits_for_the_oldest_of_the_hours(db: Database) -> None:
    for k, minutes in enumerate((0, 10, 20)):
        assert await wait(db, START + minutes * MINUTE) == 0
        await make(db, k + 1, START + minutes * MINUTE, tenant=2 + 2 * (k % 2))  # of every client
    now = START + 30 * MINUTE
    assert await wait(db, now) == 30 * MINUTE
    assert await wait(db, START + HOUR - 1) == 1
    assert await wait(db, START + HOUR) == 0
    await make(db, 4, START + HOUR)
    assert await wait(db, START + HOUR) == 10 * MINUTE


async def test_other_numbers_and_the_other_mode_do_not_count(db: Database) -> None:
    for k in range(3):
        await make(db, k + 1, START, tenant=3)
        await make(db, k + 11, START, to="+33698765432")
    assert await wait(db, START) == 0
    assert await wait(db, START, test=True) == HOUR


async def test_codes_from_a_clock_that_was_ahead_lock_nobody_out(db: Database) -> None:
    for k in range(3):
        await make(db, k + 1, START + 365 * 24 * HOUR)
    assert await wait(db, START) == 0
    assert await wait(db, START + 365 * 24 * HOUR) == HOUR


def secrets(db: Connection) -> list[bytes | None]:
    return [row["secret"] for row in db.execute("SELECT secret FROM message ORDER BY id")]


@pytest.mark.parametrize("end", ["sent", "delivered", "failed", "cancelled"])
async def test_the_text_of_a_code_is_erased_however_its_message_ends(
    stage: Stage, end: str
) -> None:
    number = await stage.take(kind="otp", secret=b"encrypted", body="code: ***")
    assert await stage.db.read(secrets) == [b"encrypted"]
    match end:
        case "cancelled":
            assert await stage.db.write(messages.cancel, stage.ids, number, stage.now)
        case "failed":
            await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
        case _:
            await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 7))
            if end == "delivered":
                await stage.report(7)
    assert await stage.status(number) == end
    assert await stage.db.read(secrets) == [None]


async def test_the_history_never_has_the_text_of_a_code(stage: Stage) -> None:
    number = await stage.take(kind="otp", secret=b"encrypted", body="code: ***")
    assert await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    stage.now += HOUR
    assert await stage.archive() == 1

    def everything(db: Connection) -> list[object]:
        return [value for row in db.execute("SELECT * FROM history") for value in tuple(row)]

    kept = await stage.db.read(everything)
    assert "code: ***" in kept
    assert not [value for value in kept if b"encrypted" in str(value).encode()]

"""Messages queued in a restored backup wait for the admin's decision."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.context import Context
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.domain import ids
from appliance.maintenance import backup
from appliance.messaging.held import HeldMessages
from appliance.store import archive, attempts, clients, held, messages
from appliance.store.database import Database, beside, schema_version
from appliance.store.held import DECISION_HOURS, Decision
from appliance.store.queue import NothingReady
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import START, Stage
from tests.manual_clock import ManualClock

HOUR_MS = 3_600_000
ELSEWHERE = "+33612000001"


class Restored(Stage):
    """A box on a restored backup."""

    def __init__(self, db: Database, new_ids: ids.Ids, folder: Path) -> None:
        super().__init__(db, new_ids)
        self.clock = ManualClock(START)
        box = Context(Config(), self.clock, db, new_ids, Encryption(folder / "key"))
        self.held = HeldMessages(box)

    async def start_again(self) -> None:
        """What a start does to in-flight parts."""
        await self.db.write(attempts.mark_uncertain_after_start, self.ids, self.now)


@pytest.fixture
async def restored(stage: Stage, tmp_path: Path) -> AsyncIterator[Restored]:
    """A box restored from a backup made with one message in each state of a queued one, and others."""
    await stage.sent(1)  # 1: sent
    in_flight = await stage.take(
        on_uncertain="resend", parts=2, webhook_url="https://example.com/hook"
    )
    await stage.must_claim()
    assert in_flight
    uncertain = await stage.take(on_uncertain="resend", priority=1, recipient=ELSEWHERE)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    assert (await stage.view(uncertain)).uncertain
    await stage.take()
    await stage.take(scheduled_at=START + 48 * HOUR_MS)
    await stage.take(tenant=3)  # a test key's
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    backup.restore(tmp_path / "box.backup", tmp_path / "other", schema_version())
    db = await Database.open(tmp_path / "other/zimbox.db")
    made = Restored(db, await db.read(archive.marks), tmp_path)
    await made.start_again()
    yield made
    await db.close()


async def queued(stage: Stage) -> list[int]:
    rows = await stage.db.read(
        lambda db: db.execute(
            "SELECT id FROM message WHERE status = 'queued' AND tenant = 2 ORDER BY id"
        ).fetchall()
    )
    return [row["id"] for row in rows]


async def test_nothing_of_a_restored_queue_is_sent_whatever_its_state(restored: Restored) -> None:
    for later_ms in (0, 11 * 60_000, 49 * HOUR_MS):  # the uncertain window, the scheduled time
        restored.now = START + later_ms
        await restored.settle_uncertain()
        assert isinstance(await restored.claim(), NothingReady)
    assert await restored.db.read(held.undecided) == 4
    for number in await queued(restored):
        view = await restored.view(number)
        assert (view.uncertain, view.cancellable) == (True, False)
        assert not await restored.db.write(messages.cancel, restored.ids, number, restored.now)


async def test_a_client_that_is_disabled_and_enabled_again_releases_nothing(
    restored: Restored,
) -> None:
    await restored.db.write(clients.disable, 1, START)
    await restored.db.write(clients.enable, 1)
    assert isinstance(await restored.claim(), NothingReady)


async def test_what_the_owner_sends_goes_out_once_and_whole(restored: Restored) -> None:
    assert await restored.held.decide("send") == 4
    claimed = []
    while not isinstance(job := await restored.claim(), NothingReady):
        claimed.append((job.message, job.number))
        await restored.record(job, Outcome(Verdict.TAKEN, len(claimed)))
    in_flight, uncertain, waiting, scheduled = sorted(
        {m for m, _ in claimed} | set(await queued(restored))
    )
    assert sorted(claimed) == [(in_flight, 1), (in_flight, 2), (uncertain, 1), (waiting, 1)]
    assert await queued(restored) == [scheduled]
    restored.now = START + 48 * HOUR_MS
    assert (await restored.must_claim()).message == scheduled
    assert await restored.db.read(held.undecided) == 0


async def test_what_the_owner_drops_fails_and_may_have_been_sent(restored: Restored) -> None:
    first, *others = await queued(restored)
    assert await restored.held.decide("drop", first) == 1
    view = await restored.view(first)
    assert view.error is not None
    assert (view.status, view.error.code, view.uncertain) == ("failed", "SMS_SEND_TIMEOUT", True)
    assert await queued(restored) == others
    assert await restored.held.decide("drop", first) == 0
    assert "sms.failed" in await restored.events()


async def test_a_report_on_an_attempt_before_the_backup_still_settles_it(
    restored: Restored,
) -> None:
    _, uncertain, *_ = await queued(restored)
    restored.now += 1000
    await restored.report(reference=77, recipient=ELSEWHERE)
    assert await restored.status(uncertain) == "delivered"
    assert await restored.db.read(held.undecided) == 3
    await restored.held.decide("send")
    claimed = set()
    while not isinstance(job := await restored.claim(), NothingReady):
        claimed.add(job.message)
        await restored.record(job, Outcome(Verdict.TAKEN, len(claimed)))
    assert claimed and uncertain not in claimed


async def test_without_a_decision_a_held_message_fails(restored: Restored) -> None:
    numbers = await queued(restored)
    rows = await restored.db.read(lambda db: held.listed(db, 10))
    assert [row.id for row in rows] == numbers
    last = max(row.expires_at for row in rows)
    restored.now = last
    await restored.expire()
    assert await queued(restored), "the last may still be decided"
    restored.now = last + 1
    await restored.expire()
    assert await queued(restored) == []
    view = await restored.view(numbers[0])
    assert view.error is not None and view.error.code == "SMS_SEND_TIMEOUT"
    assert DECISION_HOURS >= 72


@pytest.mark.parametrize("decision", ["send", "drop"])
async def test_the_command_line_decides_and_the_box_carries_it_out(
    restored: Restored, decision: Decision
) -> None:
    data = str(restored.db.path.parent)
    number = (await queued(restored))[0]
    done = CliRunner().invoke(main, ["held", decision, ids.message_id(number), "--data", data])
    assert (done.exit_code, done.stdout) == (0, f"1 messages to {decision}\n")
    again = CliRunner().invoke(main, ["held", decision, ids.message_id(number), "--data", data])
    assert again.exit_code == 1 and "is not held" in again.stderr
    assert await restored.db.read(held.undecided) == 3
    await restored.held.carry_out()
    assert await restored.status(number) == ("queued" if decision == "send" else "failed")


async def test_restore_says_how_many_messages_are_held(stage: Stage, tmp_path: Path) -> None:
    await stage.take()
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    words = ["restore", "--data", str(tmp_path / "other"), str(tmp_path / "box.backup")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0
    assert "1 messages were queued when the backup was made" in done.stdout
    assert beside(tmp_path / "other/zimbox.db", held.undecided) == 1

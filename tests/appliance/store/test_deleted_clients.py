"""Clients deleted or disabled while their messages are in flight."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.assembly import compose
from appliance.context import Context
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.devices.manager import Devices
from appliance.domain.errors import ApiError
from appliance.domain.parsing import Bulk
from appliance.domain.schemas import SendBody, WebhookBody
from appliance.maintenance.jobs import MaintenanceJobs
from appliance.services import Services
from appliance.store import archive, backlog, clients, messages
from appliance.store.queue import NothingReady
from appliance.webhooks.dispatcher import WebhookDispatcher
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import NEVER, NUMBER, REFUSED, START, Stage
from tests.manual_clock import ManualClock

DAY_MS = 86_400_000


async def test_deleting_a_client_with_a_resent_message_does_not_stop_the_closing_of_reports(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    number = await stage.take(tenant=4)
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    await stage.db.write(
        messages.resend, stage.ids, number, stage.now, stage.now + DAY_MS, 0, "GSM-7", 0, 1
    )
    await stage.db.write(clients.erase, 2, stage.now)
    other = await stage.sent(7, tenant=2)

    def awaited(db: Connection) -> bool:
        return bool(db.execute("SELECT open FROM part WHERE message = ?", (other,)).fetchone()[0])

    assert await stage.db.read(awaited)
    clock.advance(73 * 3600)
    await jobs.close_reports()
    assert not await stage.db.read(awaited)


async def test_messages_of_a_deleted_client_end(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    await stage.take(tenant=4)
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    await stage.db.write(clients.erase, 2, stage.now)
    clock.advance(100 * 3600)
    await jobs.expire()
    await jobs.settle_uncertain()
    await jobs.close_reports()
    await jobs.cancel_of_revoked()
    assert await stage.db.read(backlog.messages, False) == 0


async def test_a_part_being_sent_for_a_deleted_client_is_not_sent_again_empty(
    stage: Stage,
) -> None:
    await stage.take(tenant=4)
    job = await stage.must_claim()
    await stage.db.write(clients.erase, 2, stage.now)
    await stage.record(job, Outcome(Verdict.AGAIN, fault=REFUSED))
    stage.now += 60_000
    assert isinstance(await stage.claim(), NothingReady)


async def test_the_recipient_of_a_deleted_client_s_part_being_sent_is_not_stored_again(
    stage: Stage,
) -> None:
    await stage.take(tenant=4)
    job = await stage.must_claim()
    await stage.db.write(clients.erase, 2, stage.now)
    await stage.record(job, Outcome(Verdict.TAKEN, 1))

    def writers(db: Connection) -> list[str]:
        return [r[0] for r in db.execute("SELECT recipient FROM last_writer WHERE tenant = 4")]

    assert await stage.db.read(writers) == []


async def test_the_retention_removes_messages_of_a_deleted_client(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    for tenant in (4, 4, 4, 4, 2):
        await stage.sent(tenant * 10 + 1, tenant=tenant)
        await stage.report(tenant * 10 + 1)
        stage.now += 1000
    await stage.archive()
    await stage.db.write(clients.erase, 2, stage.now)
    while await stage.db.write(archive.erase_step, 2, 2):
        pass
    clock.advance(100 * 86_400)
    for _ in range(3):
        await jobs.retire()

    def left(db: Connection) -> int:
        db.execute("SELECT COUNT(*) FROM history_text WHERE history_text MATCH 'bonjour'")
        n: int = db.execute("SELECT COUNT(*) FROM history").fetchone()[0]
        return n

    assert await stage.db.read(left) == 0


async def test_messages_cancelled_with_their_key_are_not_sent_when_the_client_is_enabled(
    stage: Stage,
) -> None:
    key = await stage.db.write(clients.add_key, 1, START)
    await stage.take(api_key=key.id)
    await stage.db.write(clients.revoke, key.id, stage.now, cancel_queued=True)
    await stage.db.write(clients.disable, 1, stage.now)
    await stage.db.write(clients.enable, 1)
    assert isinstance(await stage.claim(), NothingReady)


@pytest.fixture
async def services(stage: Stage, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Services]:
    async def receive(_: object, __: object) -> None:
        raise AssertionError("no modem is attached")

    box = Context(Config(), clock, stage.db, stage.ids, Encryption(tmp_path / "key"))
    devices, dispatcher = Devices(box, tmp_path, receive), WebhookDispatcher(box)
    yield compose(box, devices, dispatcher)
    await dispatcher.close()


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_slow_request_is_refused_when_its_key_is_revoked_meanwhile(
    stage: Stage, services: Services, deleted: bool
) -> None:
    key = await stage.db.write(clients.add_key, 2, START)
    caller = await services.authenticator.authenticate(
        key.key, "client_2", None
    )  # its body is on its way
    if deleted:
        await stage.db.write(clients.erase, 2, START)
    else:
        await stage.db.write(clients.revoke, key.id, START)
    order = SendBody(to=NUMBER, message="Bonjour", scheduled_at=START + DAY_MS)
    with pytest.raises(ApiError, match="INVALID_API_KEY"):
        await services.intake.send(caller, order, None)
    with pytest.raises(ApiError, match="INVALID_API_KEY"):
        await services.intake.send_bulk(caller, Bulk((order, order), (None, None)), None)
    hook = WebhookBody("https://example.com/sms", ("sms.received",))
    with pytest.raises(ApiError, match="INVALID_API_KEY"):
        await services.webhooks.configure(caller.tenant, hook, caller.key_id)
    assert await stage.db.read(backlog.messages, False) == 0

"""A disk that accepts no write: requests get an answer, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.admin.auth import AdminAuth
from appliance.assembly import compose
from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.domain.requests import HistoryFilter
from appliance.domain.schemas import SendBody, VerifyBody
from appliance.services import Services
from appliance.store import archive, clients, database
from appliance.store.database import TAKES_NOTHING, Database, StorageFull
from appliance.webhooks.dispatcher import WebhookDispatcher
from modem.driver.device import ModemDriver
from modem.interface import Changed, Identity, ModemState, ModemStatus
from modem.timeouts import SerialLine
from tests.manual_clock import ManualClock
from tests.waiting import HANG_SECONDS

IDENTITY = Identity(imei="860123456789012", manufacturer="Quectel", model="EC25")


@pytest.fixture
async def box(db: Database, tmp_path: Path) -> Context:
    ids = await db.read(archive.marks)
    return Context(Config(), ManualClock(), db, ids, Encryption(tmp_path / "secret.key"))


async def takes(box: Context, *, nothing: bool) -> None:
    """The disk goes read-only, or is back."""
    await box.db.writer.run(lambda db: db.execute(f"PRAGMA query_only = {int(nothing)}").fetchall())


@pytest.fixture
async def services(box: Context, tmp_path: Path) -> AsyncIterator[Services]:
    async def receive(_: object, __: object) -> None:
        raise AssertionError("no modem is attached")

    devices, dispatcher = Devices(box, tmp_path, receive), WebhookDispatcher(box)
    yield compose(box, devices, dispatcher)
    await dispatcher.close()


async def test_a_read_succeeds_although_the_last_use_cannot_be_stored(
    box: Context, services: Services
) -> None:
    made = await box.db.write(clients.add_key, 1, box.clock.now())
    await takes(box, nothing=True)
    caller = await services.authenticator.authenticate(made.key, "client_1", None)
    assert caller.key_id == made.id
    await takes(box, nothing=False)


async def test_health_says_why_nothing_can_be_stored(box: Context, services: Services) -> None:
    assert isinstance(box.clock, ManualClock)
    assert (await services.health.take()).reason == "no_modem"  # none is attached here
    await takes(box, nothing=True)
    assert (await services.health.take()).reason == "no_modem", "one probe in ten seconds"
    box.clock.advance(10)
    found = await services.health.take()
    assert (found.status, found.reason) == ("degraded", "storage_not_writable")
    await takes(box, nothing=False)
    box.clock.advance(10)
    assert (await services.health.take()).reason == "no_modem"


async def test_concurrent_health_requests_cause_one_write(box: Context, services: Services) -> None:
    await asyncio.gather(*(services.health.take() for _ in range(50)))

    def written(db: Connection) -> int:
        n: int = db.total_changes
        return n

    before = await box.db.writer.run(written)
    await asyncio.gather(*(services.health.take() for _ in range(50)))
    assert await box.db.writer.run(written) == before


async def test_a_message_on_a_full_disk_is_refused_and_nothing_is_stored(
    box: Context, services: Services
) -> None:
    made = await box.db.write(clients.add_key, 1, box.clock.now())
    caller = await services.authenticator.authenticate(made.key, "client_1", None)
    order = SendBody("+33612345678", "Bonjour", scheduled_at=box.clock.now() + 60_000)
    await takes(box, nothing=True)
    with pytest.raises(StorageFull):  # 503 STORAGE_FULL, by `web.envelope`
        await services.intake.send(caller, order, None)
    await takes(box, nothing=False)
    assert (await services.tracking.history(caller, HistoryFilter())).total == 0


async def test_a_request_after_a_clock_change_on_a_full_disk_is_refused_at_once(
    box: Context, services: Services
) -> None:
    assert isinstance(box.clock, ManualClock)
    made = await box.db.write(clients.add_key, 1, box.clock.now())
    caller = await services.authenticator.authenticate(made.key, "client_1", None)
    box.clock.step(3_600_000)
    order = SendBody("+33612345678", "Bonjour", scheduled_at=box.clock.now() + 60_000)
    await takes(box, nothing=True)
    async with asyncio.timeout(HANG_SECONDS):
        with pytest.raises(StorageFull):
            await services.intake.send(caller, order, None)
        with pytest.raises(StorageFull):
            await services.otps.verify(caller, VerifyBody("otp_0123456789ab", "123456"))
    assert box.clock_jumps.pending, "it is told to the store when that takes something again"
    await takes(box, nothing=False)
    await services.intake.send(caller, order, None)
    assert not box.clock_jumps.pending


async def test_the_owner_sees_the_page_of_a_full_box(box: Context) -> None:
    assert isinstance(box.clock, ManualClock)
    access = AdminAuth(box)
    hashed = await access.claim("une phrase bien longue", "", "127.0.0.1", "zimbox.local")
    token = await access.open_session("a browser", hashed)
    await takes(box, nothing=True)
    box.clock.advance(2 * 3600)
    assert await access.is_admin(token)
    await takes(box, nothing=False)


async def test_the_state_of_a_modem_is_recorded_when_the_disk_accepts_writes_again(
    box: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "AGAIN_SECONDS", 0.01)

    async def receive(_: object, __: object) -> None:
        raise AssertionError("nothing was received")

    devices = Devices(box, tmp_path, receive)
    modem = ModemDriver(SerialLine("/nowhere"))
    attached = Attached(box, ModemSettings(), modem, test=False)
    listening = asyncio.create_task(devices.listen(attached))
    await takes(box, nothing=True)
    modem.publisher.publish(Changed(ModemStatus(ModemState.SEARCHING, identity=IDENTITY)))
    with contextlib.suppress(*TAKES_NOTHING):  # whoever had something to write has tried by then
        for _ in range(3):
            await asyncio.sleep(0)
        await box.db.write(lambda db: None)
    await takes(box, nothing=False)
    async with asyncio.timeout(HANG_SECONDS):
        await devices.first_known.wait()
    assert attached.number == 1
    listening.cancel()
    await modem.stop()

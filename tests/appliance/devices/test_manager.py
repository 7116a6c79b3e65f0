"""Modems become devices by their IMEI, and are reserved as configured."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from appliance.context import Context
from appliance.core.config import Balance, Config, Limits, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices, own_address
from appliance.domain.errors import ApiError
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import OtpBody, SendBody, VerifyBody
from appliance.domain.views import Caller, Permissions
from appliance.messaging.intake import Intake
from appliance.messaging.otp import OneTimePasswords
from appliance.store import admin, archive, attempts, clients, devices
from appliance.store.database import Database
from appliance.store.queue import NothingReady
from modem.driver.device import ModemDriver
from modem.interface import Identity, ModemState, NetworkTime, ReceivedPdu
from modem.timeouts import SerialLine
from tests.appliance.conftest import NUMBER, START, Stage
from tests.manual_clock import ManualClock
from tests.waiting import HANG_SECONDS, eventually

IMEI = "860123456789012"


DAY_MS = 86_400_000
CALLER = Caller(1, 1, "client_1", "live", 2, None, Permissions())


class Bench:
    """Devices over a real store; what a modem shows is set by the test."""

    def __init__(self, box: Context, folder: Path) -> None:
        self.box = box
        self.devices = Devices(box, folder, self._receive)
        self._listening: list[asyncio.Task[None]] = []

    async def _receive(self, _: object, __: object) -> None:
        raise AssertionError("nothing was received")

    async def meet(self, identity: Identity, settings: ModemSettings | None = None) -> Attached:
        """A modem that is ready and says who it is."""
        modem = ModemDriver(SerialLine("/nowhere"))
        attached = Attached(self.box, settings or ModemSettings(), modem, test=False)
        self.devices.attached.append(attached)
        self._listening.append(asyncio.create_task(self.devices.listen(attached)))
        modem.publisher.update(ModemState.READY, identity=identity)
        async with asyncio.timeout(HANG_SECONDS):
            await attached.been_online.wait()
        return attached

    async def online_are(self, numbers: set[int]) -> bool:
        """Whether exactly these are online on the disk, which follows the memory in its own time."""
        rows = await self.box.db.read(
            lambda db: db.execute("SELECT id FROM device WHERE online = 1").fetchall()
        )
        return {row["id"] for row in rows} == numbers

    def stop_listening(self) -> None:
        for task in self._listening:
            task.cancel()

    async def close(self) -> None:
        self.stop_listening()
        for attached in self.devices.attached:
            await attached.modem.stop()


@pytest.fixture
async def bench(db: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    ids = await db.read(archive.marks)
    made = Bench(Context(Config(), ManualClock(), db, ids, Encryption(tmp_path / "key")), tmp_path)
    yield made
    await made.close()


async def test_a_modem_reserved_for_a_missing_client_is_known_but_usable_by_nobody(
    bench: Bench,
) -> None:
    attached = await bench.meet(Identity(IMEI), ModemSettings(clients=("client_9",)))
    assert attached.number == 1
    caller = CALLER
    with pytest.raises(ApiError, match="NO_DEVICE_AVAILABLE"):
        await Intake(bench.box, bench.devices).route(caller, scheduled=False)


async def test_a_client_named_twice_for_a_modem_is_one(bench: Bench) -> None:
    twice = ModemSettings(clients=("client_1", "client_1"))
    assert (await bench.meet(Identity(IMEI), twice)).number == 1


async def test_limits_set_on_the_page_follow_the_sim_into_another_modem(bench: Bench) -> None:
    capped = Limits(recipients_per_month=250)
    first = await bench.meet(Identity(IMEI, iccid="8933010000000000001"))
    await bench.box.db.write(admin.set_limits, first.number, capped)
    other_sim = await bench.meet(Identity("860123456789013", iccid="8933010000000000002"))
    assert other_sim.limits == Limits()
    replaced = await bench.meet(Identity("860123456789014", iccid="8933010000000000001"))
    assert replaced.limits == capped
    await bench.box.db.write(admin.set_limits, other_sim.number, Limits(per_day=5))
    assert isinstance(other_sim.modem, ModemDriver)
    other_sim.modem.publisher.update(ModemState.OFFLINE)
    moved = await bench.meet(Identity("860123456789013", iccid="8933010000000000001"))
    assert moved.limits == Limits(per_day=5), "a modem's own stay"


async def test_a_modem_removed_while_it_is_attached_is_a_new_device(bench: Bench) -> None:
    attached = await bench.meet(Identity(IMEI, iccid="8933010000000000001"))
    await bench.box.db.write(admin.set_limits, attached.number, Limits(per_day=5))
    attached.limits = Limits(per_day=5)
    board = attached.modem
    assert isinstance(board, ModemDriver)
    board.publisher.update(ModemState.OFFLINE)
    await eventually(lambda: bench.online_are(set()), "no device is online on the disk")
    assert await bench.box.db.write(devices.remove, 1)
    assert not await bench.box.db.write(admin.set_limits, 1, Limits(per_day=7)), "of no device"
    await bench.devices.meet_again()
    assert (attached.number, attached.limits) == (2, Limits())
    await bench.devices.meet_again()
    assert attached.number == 2, "met once"


@pytest.mark.parametrize(("minutes", "refused"), [(0.0, True), (10.0, False)])
async def test_a_modem_that_has_just_disconnected_counts_as_offline_at_once(
    bench: Bench, minutes: float, refused: bool
) -> None:
    await bench.box.db.write(clients.add_client, "A shop", 0)
    sending = msgspec.structs.replace(bench.box.config.sending, offline_grace_minutes=minutes)
    bench.box.config = msgspec.structs.replace(bench.box.config, sending=sending)
    attached = await bench.meet(Identity(IMEI))
    board = attached.modem
    assert isinstance(board, ModemDriver)
    caller = Caller(1, 1, "client_1", "live", 2, "device_1", Permissions())
    intake = Intake(bench.box, bench.devices)
    assert (await intake.route(caller, scheduled=False)).device == 1
    bench.stop_listening()
    board.publisher.update(ModemState.OFFLINE)
    assert attached.offline_since is None, "nobody has heard of it yet"
    if refused:
        with pytest.raises(ApiError, match="DEVICE_OFFLINE"):
            await intake.route(caller, scheduled=False)
    else:
        assert (await intake.route(caller, scheduled=False)).device == 1


async def test_a_resend_by_another_key_is_not_cancelled_with_the_revoked_key(
    bench: Bench,
    stage: Stage,
) -> None:
    db = stage.db
    old = await db.write(clients.add_key, 1, START)
    new = await db.write(clients.add_key, 1, START)
    await bench.meet(Identity("860123456789012"))
    clock = bench.box.clock
    assert isinstance(clock, ManualClock)
    intake = Intake(bench.box, bench.devices)
    by_old = msgspec.structs.replace(CALLER, key_id=old.id)
    by_new = msgspec.structs.replace(CALLER, key_id=new.id)
    accepted = await intake.send(by_old, SendBody(to=NUMBER, message="Bonjour"), None)
    number = int(accepted.message_id[4:], 16)
    clock.advance(25 * 3600)
    await db.write(attempts.expire, bench.box.ids, clock.now(), 100)
    assert await stage.status(number) == "failed"
    await db.write(clients.revoke, old.id, clock.now(), cancel_queued=True)
    await intake.resend(by_new, accepted.message_id)
    await db.write(clients.cancel_of_revoked, bench.box.ids, clock.now(), 100)
    assert await stage.status(number) == "queued"


async def test_a_code_created_after_the_clock_was_set_back_is_sent_and_valid(
    bench: Bench,
    stage: Stage,
) -> None:
    await bench.meet(Identity("860123456789012"))
    clock = bench.box.clock
    assert isinstance(clock, ManualClock)
    clock.advance(3600)
    clock.step(-600_000)
    intake = Intake(bench.box, bench.devices)
    passwords = OneTimePasswords(bench.box, intake)
    taken = await passwords.send(CALLER, OtpBody(to=NUMBER, template="{code}"), None)
    await bench.box.clock_jumps.adjust()  # as the outbox does, rung for this message
    stage.now = clock.now()
    found = await stage.claim()
    assert not isinstance(found, NothingReady), await stage.view(int(taken.message_id[4:], 16))


async def test_a_code_created_after_the_clock_was_set_expires_at_its_stated_time(
    bench: Bench,
    stage: Stage,
) -> None:
    await bench.meet(Identity("860123456789012"))
    clock = bench.box.clock
    assert isinstance(clock, ManualClock)
    clock.advance(10)
    clock.step(30 * DAY_MS)
    passwords = OneTimePasswords(bench.box, Intake(bench.box, bench.devices))
    taken = await passwords.send(CALLER, OtpBody(to=NUMBER, template="{code}"), None)
    await bench.box.clock_jumps.adjust()
    clock.advance(24 * 3600)

    with pytest.raises(ApiError, match="OTP_EXPIRED"):
        await passwords.verify(CALLER, VerifyBody(taken.otp_id, "000000"))


async def test_an_idempotency_key_holds_across_a_clock_change(
    bench: Bench,
    stage: Stage,
) -> None:
    await bench.meet(Identity("860123456789012"))
    clock = bench.box.clock
    assert isinstance(clock, ManualClock)
    intake = Intake(bench.box, bench.devices)
    order, key = SendBody(to=NUMBER, message="Bonjour"), Idempotency("order-17", b"same")
    clock.advance(10)
    first = await intake.send(CALLER, order, key)
    clock.step(60 * DAY_MS)
    await bench.box.clock_jumps.adjust()
    clock.advance(5)
    assert (await intake.send(CALLER, order, key)).message_id == first.message_id


async def test_a_named_modem_without_known_identity_is_within_its_grace_period(
    bench: Bench,
    stage: Stage,
) -> None:
    await stage.db.write(devices.known, "860123456789012", "Modem", False, START)
    modem = ModemDriver(SerialLine("/nowhere"))  # the box has just started: it has not answered yet
    bench.devices.attached.append(Attached(bench.box, ModemSettings(), modem, test=False))
    caller = msgspec.structs.replace(CALLER, device_id="device_1")
    assert (await Intake(bench.box, bench.devices).route(caller, scheduled=False)).device == 1


async def test_a_message_goes_through_the_client_s_other_modem_when_the_first_is_gone(
    bench: Bench,
    stage: Stage,
) -> None:
    own, other = ModemSettings(clients=("client_1",)), ModemSettings(clients=("client_2",))
    first = await bench.meet(Identity("860123456789012"), own)
    second = await bench.meet(Identity("860123456789013"), own)
    await bench.meet(Identity("860123456789014"), other)
    intake = Intake(bench.box, bench.devices)
    accepted = await intake.send(CALLER, SendBody(to=NUMBER, message="Bonjour"), None)
    assert accepted.device_id == first.device_id
    stage.now = bench.box.clock.now()
    sender = msgspec.structs.replace(stage.sender, device=second.number, clients=(1,))
    assert not isinstance(await stage.claim(sender), NothingReady)


async def test_another_modem_at_the_same_port_does_not_inherit_limits(bench: Bench) -> None:
    attached = await bench.meet(Identity("860123456789012", iccid="8933010000000000001"))
    await bench.box.db.write(admin.set_limits, attached.number, Limits(per_day=5))
    attached.limits = Limits(per_day=5)  # as the page does
    modem = attached.modem
    assert isinstance(modem, ModemDriver)
    modem.publisher.update(ModemState.OFFLINE)
    modem.publisher.update(
        ModemState.READY, identity=Identity("860123456789013", iccid="8933010000000000002")
    )
    await eventually(lambda: attached.number == 2, "another device")
    assert attached.limits == Limits()


async def test_the_credit_of_an_old_sim_does_not_limit_the_new_one(bench: Bench) -> None:
    settings = ModemSettings(balance=Balance(code="*123#", reserve=1.0))
    attached = await bench.meet(Identity("860123456789012", iccid="8933010000000000001"), settings)
    attached.balance = 0.1
    assert attached.bulk_held(bench.box.clock)
    modem = attached.modem
    assert isinstance(modem, ModemDriver)
    modem.publisher.update(ModemState.SIM_MISSING)
    modem.publisher.update(
        ModemState.READY, identity=Identity("860123456789012", iccid="8933010000000000002")
    )
    await eventually(
        lambda: attached.iccid == "8933010000000000002", 'attached.iccid != "8933010000000000002"'
    )
    await asyncio.sleep(0.1)  # a late event of the old SIM would arrive by now
    assert not attached.bulk_held(bench.box.clock)


async def test_two_modems_whose_ports_have_changed_names_stay_two(bench: Bench) -> None:
    """The second to come back still shows, until it is asked, who was on its port before."""
    other = "860123456789013"
    left = await bench.meet(Identity(IMEI))
    right = await bench.meet(Identity(other))
    publishers = []
    for attached in (left, right):
        assert isinstance(attached.modem, ModemDriver)
        publishers.append(attached.modem.publisher)
    for publisher in publishers:
        publisher.update(ModemState.OFFLINE, "the ports are gone")
    publishers[1].update(ModemState.READY, identity=Identity(IMEI))
    await eventually(lambda: right.number == 1, "right is 1")
    publishers[0].update(ModemState.STARTING, "the modem answers")
    await asyncio.sleep(0.1)  # the wrong modem would be taken for number 1 by now
    assert bench.devices.by_number(1) is right
    await eventually(lambda: bench.online_are({1}), "only 1 is online on the disk")
    publishers[0].update(ModemState.READY, identity=Identity(other))
    await eventually(lambda: left.number == 2, "left is 2")
    await eventually(lambda: left.online and right.online, "both are online")
    await eventually(lambda: bench.online_are({1, 2}), "both are online on the disk")


async def test_a_network_time_delayed_by_a_full_disk_is_corrected_for_the_wait(
    bench: Bench,
) -> None:
    """A card that takes nothing for a while: by the wait the clock would be set back, and trusted."""
    room = asyncio.Event()
    result: list[float] = []

    async def receive(_: object, __: object) -> None:
        await room.wait()

    bench.devices = Devices(bench.box, Path(), receive)
    bench.devices.network_time_received = result.append
    attached = await bench.meet(Identity(IMEI))
    assert isinstance(attached.modem, ModemDriver)
    board = attached.modem.publisher
    board.publish(ReceivedPdu("00", None, ""))
    before = time.monotonic()
    board.publish(NetworkTime(1000.0))
    published = time.monotonic()
    await asyncio.sleep(0.5)  # the delay whose correction the test measures
    opened = time.monotonic()
    room.set()
    await eventually(lambda: result, "a time is received")
    assert opened - published <= result[0] - 1000 <= time.monotonic() - before


def test_a_box_without_a_free_descriptor_has_no_address_to_tell() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        assert own_address() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

"""A modem becomes a device: by its IMEI, for those whom the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from appliance.attached import Attached
from appliance.box import Box
from appliance.clock import ManualClock
from appliance.config import Config, Limits, ModemSettings
from appliance.devices import Devices
from appliance.intake import Intake
from appliance.interface import Caller, Permissions
from appliance.refusals import Refusal
from appliance.store import archive, clients, devices, owner
from appliance.store.database import Database
from appliance.vault import Vault
from modem.device import Device
from modem.interface import Identity, State
from modem.timing import Line

IMEI = "860123456789012"


class Bench:
    """Devices over a real store; what a modem shows is set by the test."""

    def __init__(self, box: Box, folder: Path) -> None:
        self.box = box
        self.devices = Devices(box, folder, self._receive)
        self._listening: list[asyncio.Task[None]] = []

    async def _receive(self, _: object, __: object) -> None:
        raise AssertionError("nothing was received")

    async def meet(self, identity: Identity, settings: ModemSettings | None = None) -> Attached:
        """A modem that is ready and says who it is."""
        modem = Device(Line("/nowhere"))
        attached = Attached(self.box, settings or ModemSettings(), modem, test=False)
        self.devices.attached.append(attached)
        self._listening.append(asyncio.create_task(self.devices.listen(attached)))
        modem._board.show(State.READY, identity=identity)
        async with asyncio.timeout(5):
            await attached.been_online.wait()
        return attached

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
    made = Bench(Box(Config(), ManualClock(), db, ids, Vault(tmp_path / "key")), tmp_path)
    yield made
    await made.close()


async def test_a_modem_kept_for_a_client_that_does_not_exist_is_nobodys_and_known_all_the_same(
    bench: Bench,
) -> None:
    attached = await bench.meet(Identity(IMEI), ModemSettings(clients=("client_9",)))
    assert attached.number == 1
    caller = Caller(1, 1, "client_1", "live", 2, None, Permissions())
    with pytest.raises(Refusal, match="NO_DEVICE_AVAILABLE"):
        await Intake(bench.box, bench.devices).route(caller, scheduled=False)


async def test_a_client_named_twice_for_a_modem_is_one(bench: Bench) -> None:
    twice = ModemSettings(clients=("client_1", "client_1"))
    assert (await bench.meet(Identity(IMEI), twice)).number == 1


async def test_limits_set_on_the_page_go_with_the_sim_into_another_modem(bench: Bench) -> None:
    capped = Limits(recipients_per_month=250)
    first = await bench.meet(Identity(IMEI, iccid="8933010000000000001"))
    await bench.box.db.write(owner.set_limits, first.number, capped)
    other_sim = await bench.meet(Identity("860123456789013", iccid="8933010000000000002"))
    assert other_sim.limits == Limits()
    replaced = await bench.meet(Identity("860123456789014", iccid="8933010000000000001"))
    assert replaced.limits == capped
    await bench.box.db.write(owner.set_limits, other_sim.number, Limits(per_day=5))
    moved = await bench.meet(Identity("860123456789013", iccid="8933010000000000001"))
    assert moved.limits == Limits(per_day=5), "a modem's own stay"


async def test_a_modem_removed_while_it_is_attached_is_a_new_device(bench: Bench) -> None:
    attached = await bench.meet(Identity(IMEI, iccid="8933010000000000001"))
    await bench.box.db.write(owner.set_limits, attached.number, Limits(per_day=5))
    attached.limits = Limits(per_day=5)
    board = attached.modem
    assert isinstance(board, Device)
    board._board.show(State.OFFLINE)
    while await bench.box.db.read(
        lambda db: db.execute("SELECT MAX(online) FROM device").fetchone()[0]
    ):
        await asyncio.sleep(0.01)
    assert await bench.box.db.write(devices.remove, 1)
    assert not await bench.box.db.write(owner.set_limits, 1, Limits(per_day=7)), "of no device"
    await bench.devices.meet_again()
    assert (attached.number, attached.limits) == (2, Limits())
    await bench.devices.meet_again()
    assert attached.number == 2, "met once"


@pytest.mark.parametrize(("minutes", "refused"), [(0.0, True), (10.0, False)])
async def test_a_modem_that_has_just_gone_is_away_before_that_was_heard_of(
    bench: Bench, minutes: float, refused: bool
) -> None:
    await bench.box.db.write(clients.add_client, "A shop", 0)
    sending = msgspec.structs.replace(bench.box.config.sending, offline_grace_minutes=minutes)
    bench.box.config = msgspec.structs.replace(bench.box.config, sending=sending)
    attached = await bench.meet(Identity(IMEI))
    board = attached.modem
    assert isinstance(board, Device)
    caller = Caller(1, 1, "client_1", "live", 2, "device_1", Permissions())
    intake = Intake(bench.box, bench.devices)
    assert (await intake.route(caller, scheduled=False)).device == 1
    bench.stop_listening()
    board._board.show(State.OFFLINE)
    assert attached.offline_since is None, "nobody has heard of it yet"
    if refused:
        with pytest.raises(Refusal, match="DEVICE_OFFLINE"):
            await intake.route(caller, scheduled=False)
    else:
        assert (await intake.route(caller, scheduled=False)).device == 1

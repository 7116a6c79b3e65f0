"""Modems without an IMEI of their own: one device each, and the loss of one is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.monitoring import diagnosis
from appliance.store import archive
from appliance.store.database import Database
from modem.driver.device import ModemDriver
from modem.interface import Identity, ModemState
from tests.appliance.devices.test_manager import IMEI, Bench
from tests.appliance.monitoring.snapshots import modem
from tests.manual_clock import ManualClock
from tests.waiting import eventually

LEFT, RIGHT = "8933010000000000001", "8933010000000000002"


@pytest.fixture
async def bench(db: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    ids = await db.read(archive.marks)
    made = Bench(Context(Config(), ManualClock(), db, ids, Encryption(tmp_path / "key")), tmp_path)
    yield made
    await made.close()


def show(attached: Attached, state: ModemState, identity: Identity | None = None) -> None:
    assert isinstance(attached.modem, ModemDriver)
    if identity is None:
        attached.modem.publisher.update(state)
    else:
        attached.modem.publisher.update(state, identity=identity)


async def test_two_modems_with_one_imei_are_two_devices_and_the_loss_of_one_is_seen(
    bench: Bench,
) -> None:
    left = await bench.meet(Identity(IMEI, iccid=LEFT))
    right = await bench.meet(Identity(IMEI, iccid=RIGHT))
    assert (left.number, right.number) == (1, 2)
    assert (left.identified_by, right.identified_by) == ("imei", "imei and sim")
    await eventually(lambda: bench.online_are({1, 2}), "both are online")
    show(right, ModemState.OFFLINE)
    await eventually(lambda: bench.online_are({1}), "the second is gone")
    show(left, ModemState.SEARCHING)
    show(left, ModemState.READY)
    show(right, ModemState.READY, Identity(IMEI, iccid=RIGHT))
    await eventually(lambda: bench.online_are({1, 2}), "the second is back")
    assert (left.number, right.number) == (1, 2)
    show(left, ModemState.OFFLINE)
    await eventually(lambda: bench.online_are({2}), "the first is gone")
    assert right.number == 2


async def test_two_modems_with_one_imei_keep_their_numbers_in_another_order(bench: Bench) -> None:
    await bench.meet(Identity(IMEI, iccid=LEFT))
    await bench.meet(Identity(IMEI, iccid=RIGHT))
    await bench.close()
    bench.devices.attached.clear()  # the box restarts
    right = await bench.meet(Identity(IMEI, iccid=RIGHT))
    left = await bench.meet(Identity(IMEI, iccid=LEFT))
    assert (left.number, right.number) == (1, 2)


async def test_one_modem_under_another_port_is_the_same_device(bench: Bench) -> None:
    """A USB modem that was found again under another name."""
    attached = [await bench.meet(Identity(IMEI, iccid=LEFT))]
    show(attached[0], ModemState.OFFLINE)
    attached.append(await bench.meet(Identity(IMEI, iccid=LEFT)))
    assert attached[1].number == 1 and attached[0].number == 0


async def test_a_modem_without_an_imei_is_known_by_its_sim(bench: Bench) -> None:
    one = await bench.meet(Identity("", iccid=LEFT))
    other = await bench.meet(Identity("", iccid=RIGHT))
    assert (one.number, other.number) == (1, 2)
    assert one.identified_by == "sim"
    await eventually(lambda: bench.online_are({1, 2}), "both are online")
    show(one, ModemState.OFFLINE)
    await eventually(lambda: bench.online_are({2}), "one is gone")


async def test_a_modem_without_imei_and_iccid_is_known_by_its_port(bench: Bench) -> None:
    settings = [ModemSettings(port=f"/dev/ttyUSB{n}") for n in range(2)]
    one = await bench.meet(Identity(""), settings[0])
    other = await bench.meet(Identity(""), settings[1])
    assert (one.number, other.number, one.identified_by) == (1, 2, "port")


async def test_a_modem_that_tells_its_imei_late_is_known_by_it_from_then_on(bench: Bench) -> None:
    attached = await bench.meet(Identity("", iccid=LEFT))
    show(attached, ModemState.READY, Identity(IMEI, iccid=LEFT))
    await eventually(lambda: attached.identified_by == "imei", "its IMEI")
    await eventually(lambda: bench.online_are({attached.number}), "one device is online")


@pytest.mark.parametrize("by", ["sim", "port", "imei and sim"])
def test_the_page_says_what_a_modem_is_known_by(by: str) -> None:
    found = diagnosis.of_modem(modem(identified_by=by))
    assert [problem.code for problem in found] == ["identity"]
    assert not diagnosis.of_modem(modem())

"""Parts that were sent although the modem's answer (+CMGS) was lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.assembly import Assembly
from appliance.core.config import Config, ModemSettings
from appliance.domain.schemas import SendBody
from appliance.domain.views import Caller, Permissions
from appliance.store import clients, history
from modem.simulator import Settings, Simulator
from modem.timeouts import Timing
from tests.waiting import HANG_SECONDS, eventually

ANSWER_LOST = "+49151555010{}".format
CALLER = Caller(1, 1, "client_1", "live", 2, None, Permissions())


async def status(box: Assembly, message: int) -> str:
    row = await box.box.db.read(history.one, CALLER.tenant, message)
    assert row is not None
    return history.view(row).status


@pytest.mark.parametrize("personality", ["sim800", "sim7600"])
async def test_a_report_on_the_part_being_sent_ends_the_wait_for_its_lost_answer(
    tmp_path: Path, personality: str
) -> None:
    simulator = Simulator(Settings(personality=personality), link=tmp_path / "modem")
    port = await simulator.start()
    never = Timing(network_seconds=2 * HANG_SECONDS, reported_seconds=0.1)
    box = await Assembly.build(tmp_path / "data", Config(timing=never))
    await box.box.db.write(clients.add_client, "one", box.box.clock.now())
    await box.start([ModemSettings(port=str(port), reports="direct")])
    async with asyncio.timeout(HANG_SECONDS):
        await box.devices.first_known.wait()
    lost = await box.services.intake.send(CALLER, SendBody(ANSWER_LOST(9), "Bonjour"), None)
    number = int(lost.message_id.removeprefix("msg_"), 16)
    await eventually(lambda: delivered(box, number), "the report settles its part")
    await box.stop()
    await box.webhooks.close()
    await simulator.stop()


async def delivered(box: Assembly, message: int) -> bool:
    return await status(box, message) == "delivered"

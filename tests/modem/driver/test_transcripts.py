"""The driver against real modules, as far as what they said was published.

What a recording does not have is answered as by a modem with which nothing is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from modem.driver.device import ModemDriver, SerialLine
from modem.interface import ModemState, ReceivedPdu, Verdict
from tests.modem.driven import part, quick
from tests.modem.scripted import TRANSCRIPTS, Scripted, transcript
from tests.waiting import HANG_SECONDS

REPORT = "07919471016700000606780B911326880736F4111011719551401110117195714000"
SERVING = {
    "wavecom-multiband-900e-1800": ("direct", "111111111111111", "MULTIBAND  900E  1800"),
    "huawei-k3715-11.104.05.00.00": ("direct", "111111111111111", "K3715"),
    "huawei-e1752-11.126.13.00.00": ("direct", "111111111111111", "E1752"),
    "qualcomm-m6280-v1.0.0": ("direct", "111111111111111", "M6280"),
    "zte-k3565-z-bd_p673a2v1.0.0b09": ("direct", "111111111111111", "K3565-Z"),
    "simcom-sim800l": ("direct", "867322030000017", "SIMCOM_SIM800L"),
    "simcom-sim7600": ("direct", "867322030000017", "SIM7600E-H"),
    "quectel-ec25-ec25efar06a10m4g": ("stored", "867322030000017", "EC25"),
    "cinterion-mc75i": ("stored", "867322030000017", "SIMCOM_SIM800L"),
}
UNABLE = {
    "nokia-n79-11.049": ModemState.SIM_FAILURE,
    "simcom-a7670e-23110b01a7670m4a": ModemState.SIM_FAILURE,
}


@asynccontextmanager
async def started(name: str) -> AsyncIterator[tuple[ModemDriver, Scripted]]:
    with transcript(name) as modem:
        device = ModemDriver(
            SerialLine(modem.path),
            # The player answers in a thread of its own, late where the machine is busy.
            timing=quick(idle_poll_seconds=60, store_seconds=0.3, resync_seconds=30),
        )
        await device.start()
        try:
            yield device, modem
        finally:
            await device.stop()


async def reach(device: ModemDriver, state: ModemState) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while device.status.state is not state:
            await device.next_event()


def test_every_recording_is_played() -> None:
    assert {path.stem for path in TRANSCRIPTS.glob("*.txt")} == SERVING.keys() | UNABLE.keys()


@pytest.mark.parametrize("name", SERVING)
async def test_a_recorded_module_comes_up_and_sends(name: str) -> None:
    reports, imei, model = SERVING[name]
    async with started(name) as (device, modem):
        await reach(device, ModemState.READY)
        identity = device.status.identity
        assert identity is not None
        assert (identity.imei, identity.model) == (imei, model)
        assert device.status.report_mode == reports
        assert "AT+CPIN=" not in "".join(modem.heard)
        outcome = await device.send(part())
        assert outcome.verdict is Verdict.TAKEN
        assert outcome.reference in (12, 78)
        assert set(device.status.recoveries) <= {"resync"}


@pytest.mark.parametrize("name", UNABLE)
async def test_a_recorded_module_that_cannot_serve_is_told_and_left_alone(name: str) -> None:
    async with started(name) as (device, modem):
        await reach(device, UNABLE[name])
        assert device.status.detail
        assert (await device.send(part())).verdict is Verdict.WAIT
        assert "AT+CMGS=19" not in modem.heard


async def test_a_report_that_an_ec25_announces_in_the_wrong_place_is_found() -> None:
    async with started("quectel-ec25-ec25efar06a10m4g") as (device, modem):
        await reach(device, ModemState.READY)
        modem.answer("AT+CMGL=4", f"+CMGL: 3,1,,26\n{REPORT}\n\nOK")
        assert (await device.send(part())).reference == 78
        async with asyncio.timeout(HANG_SECONDS):
            while not isinstance(event := await device.next_event(), ReceivedPdu):
                pass
        assert event.hex == REPORT
        assert event.slot is not None
        assert (event.slot.storage, event.slot.index) == ("SR", 3)
        await device.forget(event)
        assert modem.heard[-3:] == ['AT+CPMS="SR"', "AT+CMGD=3", 'AT+CPMS="SM"']

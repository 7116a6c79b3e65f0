"""Requests of the admin to a modem: USSD, time, restart."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest

from modem.driver.device import ModemDriver
from modem.interface import Modem, ModemState, NetworkTime, UssdError, UssdProblem, Verdict
from modem.simulator import Settings
from modem.timeouts import SerialLine
from tests.modem.driven import QUICK, driven, part, patient, quick
from tests.modem.scripted import HEALTHY, SENDING, Scripted
from tests.waiting import HANG_SECONDS, eventually


@pytest.mark.parametrize(
    "order",
    [
        {"text": "Solde: 5 EUR"},
        {"text": "Solde: 5 EUR", "form": "ucs2"},
        {"text": "Solde: 5 EUR", "form": "packed"},
        {"text": "Solde: 5 EUR", "form": "no dcs"},
        {"text": "Solde: 5 EUR", "before_ok": True},
        {"text": "Solde: 5 EUR", "after": 0.2},
    ],
)
async def test_a_ussd_request_is_answered_in_every_encoding(
    tmp_path: Path, order: dict[str, object]
) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("ussd", code="*100#", **order)
        assert await box.device.ussd("*100#") == "Solde: 5 EUR"


async def test_a_ussd_text_of_two_lines(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("ussd", code="*100#", text="Solde:\r\n5 EUR")
        assert await box.device.ussd("*100#") == "Solde:\n5 EUR"


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ({"status": 4}, UssdProblem.UNKNOWN_CODE),
        ({"status": 2}, UssdProblem.ENDED),
        ({"cme": 30}, UssdProblem.FAILED),
        ({"text": "x", "after": 9}, UssdProblem.SILENT),
    ],
)
async def test_a_ussd_question_without_an_answer_says_why(
    tmp_path: Path, order: dict[str, object], problem: UssdProblem
) -> None:
    async with driven(tmp_path, timing=quick(ussd_seconds=0.5)) as box:
        await box.ready()
        await box.order("ussd", **order)
        with pytest.raises(UssdError) as caught:
            await box.device.ussd("*100#")
        assert caught.value.problem is problem
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN


async def test_a_message_is_sent_during_a_ussd_request(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("ussd", code="*100#", text="Solde", after=0.3)
        query = asyncio.create_task(box.device.ussd("*100#"))
        await asyncio.sleep(0)  # the USSD request takes the line first
        assert (await box.send()).verdict is Verdict.TAKEN
        assert not query.done()
        assert await query == "Solde"


async def test_a_ussd_notice_after_a_message_is_not_the_answer_to_the_next_request() -> None:
    """Many a prepaid SIM gets its credit by SMS after each SMS."""
    question = 'AT+CUSD=1,"*100#",15'
    script = [entry for entry in SENDING if entry[0] != "<text>"]
    sent = [("<text>", "<wait 0.3>+CMGS: 12\n\nOK"), (question, 'OK\n\n+CUSD: 0,"Credit",15')]
    with Scripted([*HEALTHY, *script, *sent]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=quick())
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.READY:
                await device.next_event()
        sending = asyncio.create_task(device.send(part()))
        await asyncio.to_thread(modem.wait_for, "AT+CMGS=19")
        query = asyncio.create_task(device.ussd("*100#"))
        await asyncio.sleep(0.1)  # the USSD request would be on the line by now
        modem.say('\r\n+CUSD: 2,"That was 5 cents",15\r\n')
        assert (await sending).verdict is Verdict.TAKEN
        assert await query == "Credit"
        await device.stop()


@pytest.mark.parametrize("refusal", ["ERROR", "OK\n\n+CUSD: 4"])
async def test_a_module_that_accepts_only_packed_codes_gets_packed_ones(refusal: str) -> None:
    plain, packed = 'AT+CUSD=1,"*100#",15', 'AT+CUSD=1,"AA180C3602",15'
    script = [(plain, refusal), (packed, 'OK\n\n+CUSD: 0,"Credit",15'), ("AT+CUSD=2", "OK")]
    with Scripted([*HEALTHY, *script]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=quick())
        await device.start()
        try:
            async with asyncio.timeout(HANG_SECONDS):
                while device.status.state is not ModemState.READY:
                    await device.next_event()
            assert await device.ussd("*100#") == "Credit"
            assert await device.ussd("*100#") == "Credit"
            assert (modem.heard.count(plain), modem.heard.count(packed)) == (1, 2)
        finally:
            await device.stop()


@pytest.mark.parametrize("answer", ["OK", 'OK\n\n+CUSD: 1,"1 Credit 2 Offers",15'])
async def test_an_open_ussd_session_is_ended_before_the_next_request(
    answer: str,
) -> None:
    """To an open menu the next code would be an answer; a late answer would be the next question's."""
    asked = [f'AT+CUSD=1,"{code}",15' for code in ("*100#", "*123#")]
    answers = [(asked[0], answer), (asked[1], 'OK\n\n+CUSD: 0,"Credit",15'), ("AT+CUSD=2", "OK")]
    with Scripted([*HEALTHY, *answers]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=quick())
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.READY:
                await device.next_event()
        with contextlib.suppress(UssdError):
            await device.ussd("*100#")
        assert await device.ussd("*123#") == "Credit"
        assert [one for one in modem.heard if "CUSD" in one] == [asked[0], "AT+CUSD=2", asked[1]]
        await device.stop()


@pytest.mark.parametrize("code", ["", '*100#"\rATD112;', "abc", "*100#\r"])
async def test_only_valid_ussd_codes_are_sent(tmp_path: Path, code: str) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        with pytest.raises(UssdError):
            await box.device.ussd(code)


async def test_a_ussd_request_to_an_offline_modem_is_an_error(tmp_path: Path) -> None:
    async with driven(tmp_path, start=False) as box:
        with pytest.raises(UssdError):
            await box.device.ussd("*100#")


@pytest.mark.parametrize("personality", ["sim800", "sim7600", "ec25", "quiet"])
async def test_the_network_s_time_is_reported_if_there_is_one(
    tmp_path: Path, personality: str
) -> None:
    async with driven(tmp_path, Settings(personality=personality)) as box:
        await box.ready()
        await box.order("time", at="2031-05-06T07:08:09Z")
        expected = 1935817689.0

        def reported() -> bool:
            return any(
                isinstance(event, NetworkTime) and abs(event.epoch - expected) < 5
                for event in box.events
            )

        await box.until(reported)


async def test_the_clock_of_a_modem_is_read_twice_when_it_is_due(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=patient(stored_poll_seconds=0.05)) as box:
        await box.ready()
        await box.order("time", at="2031-05-06T07:08:09Z", tell=False)
        box.simulator.equipment.clock_set = True  # set before we came
        await box.until(lambda: sum(isinstance(event, NetworkTime) for event in box.events) == 2)


async def test_a_time_urc_during_a_clock_read_causes_another_read() -> None:
    unset, result = (
        f'+CCLK: "{at}"\n\nOK' for at in ("04/01/01,00:00:00+00", "31/05/06,07:08:09+00")
    )
    script = [entry for entry in HEALTHY if entry[0] != "AT+CCLK?"]
    clock = [("AT+CCLK?", "<wait 0.2>" + unset), ("AT+CCLK?", result)]
    with Scripted([*script, *clock]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=patient(stored_poll_seconds=600))
        await device.start()
        await asyncio.to_thread(modem.wait_for, "AT+CCLK?")
        modem.say("\r\nDST: 0\r\n")
        async with asyncio.timeout(HANG_SECONDS):  # not after stored_poll_seconds
            while not isinstance(event := await device.next_event(), NetworkTime):
                pass
        assert event.epoch == 1935817689.0
        await device.stop()


async def test_an_unset_clock_is_not_reported(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=patient(clock_poll_seconds=0.05)) as box:
        await box.ready()
        await asyncio.sleep(0.3)  # six polls of the clock
        assert not [event for event in box.events if isinstance(event, NetworkTime)]


async def test_a_restart_requested_during_a_start_is_not_repeated_later(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, start=False) as box:
        await box.order("answer", command="+CIMI*", late=0.3)
        await box.device.start()
        await box.until(lambda: "SIM is ready" in box.device.status.detail)
        await box.device.restart()
        await box.until(lambda: box.device.status.recoveries.get("soft_reset"))
        await box.ready()


async def test_a_restart_requested_during_the_sim_check_is_done() -> None:
    script = [entry for entry in HEALTHY if entry[0] != "AT+CPIN?"]
    wants = "+CPIN: SIM PIN\n\nOK"
    with Scripted([*script, ("AT+CPIN?", wants)]) as modem:
        timing = quick(backoff_longest_seconds=60)
        device = ModemDriver(SerialLine(modem.path), timing=timing)
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.PIN_REQUIRED:
                await device.next_event()
        modem.answer("AT+CPIN?", "<wait 0.3>" + wants)
        count = modem.heard.count("AT+CPIN?")
        await asyncio.to_thread(modem.wait_for, "AT+CPIN?", count + 2)
        await device.restart()
        await asyncio.to_thread(modem.wait_for, "AT+CFUN=1,1")
        await device.stop()
        assert modem.heard.count("AT+CFUN=1,1") == 1


@pytest.mark.seconds(5)
async def test_stop_in_every_state(tmp_path: Path) -> None:
    for order in ({"do": "off"}, {"do": "unplug"}, {"do": "sim", "present": False}, {"do": "hang"}):
        async with driven(tmp_path, timing=QUICK) as box:
            await box.ready()
            await box.simulator.command(order)
            await box.left(ModemState.READY)
            await asyncio.wait_for(box.device.stop(), HANG_SECONDS)
            assert box.device.status.state is ModemState.STOPPED


async def test_a_stop_while_the_port_is_being_opened_leaves_it_closed(tmp_path: Path) -> None:
    async with driven(tmp_path, start=False) as box:
        port = str(tmp_path / "port")
        for turns in range(40):
            device = ModemDriver(SerialLine(port), timing=quick())
            await device.start()
            for _ in range(turns // 8 + 1):
                await asyncio.sleep(0)
            await device.stop()
        await eventually(
            lambda: all(thread.name != f"read {port}" for thread in threading.enumerate()),
            "no thread reads the port",
        )
        await box.device.start()
        assert (await box.ready()).state is ModemState.READY


def test_a_device_implements_the_modem_interface() -> None:
    implemented: type[Modem] = ModemDriver
    assert implemented is ModemDriver

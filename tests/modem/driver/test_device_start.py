"""The start of a modem, from any kind and state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modem.driver.device import ModemDriver, SerialLine
from modem.interface import ModemState, Verdict
from modem.simulator import PERSONALITIES, Settings, Simulator
from tests.modem.driven import QUICK, attached, driven, part, patient, quick
from tests.modem.scripted import HEALTHY, SENDING, Scripted
from tests.modem.simulated import Client
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.seconds(10)


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_every_module_comes_up_sends_and_reports(tmp_path: Path, personality: str) -> None:
    async with driven(tmp_path, Settings(personality=personality, boot=0.05)) as box:
        status = await box.ready()
        assert status.identity is not None
        assert status.identity.imei == "860123456789015"
        assert status.identity.iccid == "89490200001234567890"
        assert status.identity.smsc == "+491710760000"
        assert status.report_mode == "direct"
        outcome = await box.send("Hello")
        assert (outcome.verdict, outcome.reference) == (Verdict.TAKEN, 0)
        await box.until(lambda: box.reports)
        assert box.reports[0].reference == 0
        assert [line["text"] for line in box.journal()] == ["Hello"]
        assert status.recoveries == {}


async def test_noise_at_the_start_does_not_degrade_the_line() -> None:
    """A UART that comes alive while it is asked for the first time."""
    with Scripted(HEALTHY) as scripted:
        scripted.answer("AT", "<hex 0d0aff80fe0d0a>\nOK", "OK")
        device = ModemDriver(SerialLine(scripted.path), timing=quick())
        await device.start()
        try:
            await eventually(
                lambda: device.status.state is ModemState.READY,
                "device.status.state is State.READY",
            )
            assert not device.degraded
        finally:
            await device.stop()


@pytest.mark.parametrize(
    "before",
    [
        b"AT+CMGS=23\r",  # left at the prompt
        b'AT+CMGF=1\r\nAT+CSCS="UCS2"\r',
        b"ATE1\rAT+CNMI=0,0,0,0,0\rAT+CMEE=0\r",
        b"ATV0\r",
        b"ATQ1\r",
        b"AT+CFUN=4\r",
        b"AT+CPMS=",  # half a command
        b"\x80\xff\x00AT\x1a\x1b",
    ],
)
async def test_a_modem_starts_from_any_state_of_its_line(tmp_path: Path, before: bytes) -> None:
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(), journal=journal, link=tmp_path / "port")
    path = await simulator.start()
    other = Client(path)
    other.write(before)
    await asyncio.sleep(0.05)  # the simulator reads what the other program has written
    other.close()
    async with attached(path, simulator, journal) as box:
        await box.ready()
        assert (await box.send("Hello")).verdict is Verdict.TAKEN
        await box.until(lambda: box.reports)
        assert [line["text"] for line in box.journal()] == ["Hello"]
    await simulator.stop()


@pytest.mark.seconds(10)
async def test_a_modem_at_another_speed_is_found_and_set_to_the_right_one(tmp_path: Path) -> None:
    settings = Settings(baud=9600, fixed_baud=True)
    async with driven(tmp_path, settings, timing=quick(boot_seconds=6, probe_seconds=0.1)) as box:
        await box.ready()
        assert box.simulator.equipment.speed == 115200
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.order("restart")  # and is at 9600 again, which reads as noise
        await box.left(ModemState.READY)
        await box.ready()
        before = len(box.reports)
        assert (await box.send("at the old speed")).verdict is Verdict.TAKEN
        await box.reported(before + 1)


async def test_an_auto_bauding_modem_without_rdy_starts(tmp_path: Path) -> None:
    """Auto-baud, as a SIM800 comes: the first AT is lost, and a restart says nothing at all."""
    async with driven(tmp_path, Settings(personality="sim800", autobaud=True), timing=QUICK) as box:
        await box.ready()
        await box.order("restart")
        await box.left(ModemState.READY)
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.reported(1)


async def test_a_modem_that_is_still_booting_is_waited_for(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="a7670", boot=0.2)) as box:
        status = await box.ready()
        assert status.recoveries == {}
        assert (await box.send()).verdict is Verdict.TAKEN


async def test_a_message_store_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    """With the library's own start the box would be up and deaf: no report, no message, ever."""
    async with driven(tmp_path, start=False) as box:
        await box.order("answer", command="+CPMS*", final="+CMS ERROR: 314", times=4)
        await box.order("answer", command="+CPIN[?]", final="+CME ERROR: 14", times=3)
        await box.device.start()
        status = await box.ready()
        assert status.report_mode == "direct"
        await box.send()
        await box.until(lambda: box.reports)


async def test_a_modem_that_loses_its_settings_at_once_is_not_ready(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, start=False) as box:
        await box.order("answer", command="+CNMI[?]", lines=["+CNMI: 0,0,0,0,0"], times=3)
        await box.device.start()
        await box.until(lambda: "does not keep its settings" in box.device.status.detail)
        assert box.device.status.state is ModemState.REFUSING
        assert (await box.send()).verdict is Verdict.WAIT
        await box.ready()


async def test_a_module_that_refuses_the_first_choice_of_reports_gets_the_second(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, Settings(personality="ec25"), start=False) as box:
        await box.order("answer", command="+CNMI=2,1,0,1,*", final="ERROR", times=None)
        await box.device.start()
        assert (await box.ready()).report_mode == "stored"
        await box.send()
        await box.until(lambda: box.reports)


@pytest.mark.parametrize(
    "refusal",
    [
        {"final": "+CMS ERROR: 314", "times": 3},
        {"final": "+CME ERROR: SIM busy", "times": 3},
        {"final": "+CMS ERROR: 515", "times": 3},
        {"final": "ERROR"},
    ],
)
@pytest.mark.parametrize("command", ["+CNMI=2,1,0,1,*", "+CNMI=[?]"])
async def test_a_temporary_refusal_of_direct_reports_does_not_disable_them(
    tmp_path: Path, command: str, refusal: dict[str, object]
) -> None:
    """The second choice was stored ones, or none at all, until the next start."""
    async with driven(tmp_path, Settings(personality="sim800"), start=False) as box:
        await box.order("answer", command=command, **refusal)
        await box.device.start()
        assert (await box.ready()).report_mode == "direct"
        await box.send()
        await box.reported(1)


async def test_a_sim_without_a_service_centre_waits_for_the_admin(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(smsc="")) as box:
        status = await box.state(ModemState.NO_SMSC)
        assert "SMSC" in status.detail
        assert (await box.send()).verdict is Verdict.WAIT
        await box.order("smsc", number="+491710760000")
        assert (await box.ready()).identity is not None


async def test_a_modem_without_a_sim_starts_when_one_is_inserted(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, start=False) as box:
        await box.order("sim", present=False)
        await box.device.start()
        await box.state(ModemState.SIM_MISSING)
        await box.order("sim", present=True)
        await box.ready()


async def test_a_module_with_verbose_errors_only_works(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, Settings(personality="a7670"), start=False) as box:
        await box.order("quirks", always_words=True)
        await box.order("sim", present=False)
        await box.device.start()
        await box.state(ModemState.SIM_MISSING)
        await box.order("answer", command="+CPMS*", final="+CMS ERROR: SIM busy", times=3)
        await box.order("answer", command="+CSCA[?]", final="+CMS ERROR: SIM busy", times=2)
        await box.order("sim", present=True)
        await box.ready()
        for code, verdict in ((38, Verdict.AGAIN), (1, Verdict.NEVER), (322, Verdict.HOUSEKEEP)):
            await box.order("send", cms=code)
            outcome = await box.send()
            assert outcome.fault is not None
            assert (outcome.verdict, outcome.fault.number) == (verdict, code)
            await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.reported(1)


async def test_another_sim_replaces_the_identity(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("sim", present=False)
        await box.left(ModemState.READY)
        await box.order("sim", iccid="89490200009999999999", imsi="262019999999999")
        status = await box.ready()
        assert status.identity is not None
        assert status.identity.iccid == "89490200009999999999"
        assert status.identity.imsi == "262019999999999"
        await box.order("incoming", sender="+4915112345999", text="to the new SIM")
        await box.until(lambda: box.messages)
        assert box.received[-1].iccid == "89490200009999999999"


async def test_registration_lost_for_an_hour_comes_back_by_itself(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("registration", stat=2)
        await box.state(ModemState.SEARCHING)
        assert (await box.send()).verdict is Verdict.WAIT
        # Beyond `registration_seconds`, after which the modem has to choose a network by itself.
        await asyncio.sleep(QUICK.registration_seconds * 3)
        assert box.device.status.state is ModemState.SEARCHING
        await box.order("registration", stat=5)
        status = await box.ready()
        assert status.roaming
        assert (await box.send()).verdict is Verdict.TAKEN


async def test_registration_denied_differs_from_no_network(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("registration", stat=3)
        await box.state(ModemState.DENIED)
        await box.order("registration", stat=1)
        await box.ready()


OPTIONAL = (
    *("AT+CBATCHK=1", "AT+CLTS=1", "AT+CTZU=1", "AT+CTZR=1", "AT+COPS=3,0", "AT+CREG=1"),
    *("AT+CEREG=1", "AT+CMMS=2", 'AT+QURCCFG="urcport"', "AT+CSMS=0", "AT+CSMS?", "AT+CNUM"),
    *("AT+CNMI=?", "AT+CMEE=1", 'AT+CSCS="GSM"', "AT+CCLK?", "AT+COPS?"),
)


@pytest.mark.parametrize("answer", ["<silence>", "COMMAND NO RESPONSE!"])
async def test_no_optional_command_stops_the_start(answer: str) -> None:
    needed = [entry for entry in (*HEALTHY, *SENDING) if entry[0] not in OPTIONAL]
    with Scripted([*((command, answer) for command in OPTIONAL), *needed]) as modem:
        device = ModemDriver(
            SerialLine(modem.path), timing=quick(command_seconds=0.15, slow_command_seconds=0.2)
        )
        await device.start()
        try:
            async with asyncio.timeout(HANG_SECONDS):
                while device.status.state is not ModemState.READY:
                    await device.next_event()
            assert device.status.recoveries.keys() <= {"resync"}
            assert (await device.send(part())).verdict is Verdict.TAKEN
            # A second start in the same port does not wait for them again.
            before = {command: modem.heard.count(command) for command in OPTIONAL[:12]}
            starts = modem.heard.count("ATE0")
            device._service.request_startup("the test wants it")
            await asyncio.to_thread(modem.wait_for, "ATE0", starts + 1, HANG_SECONDS)
            await eventually(lambda: device.status.state is ModemState.READY, "ready again")
            again = {command: modem.heard.count(command) for command in OPTIONAL[:12]}
            assert (again == before) is (answer == "<silence>")
        finally:
            await device.stop()


@pytest.mark.parametrize("stat", [6, 7])
async def test_a_registration_for_messages_only_can_send(tmp_path: Path, stat: int) -> None:
    async with driven(tmp_path, Settings(registration=stat)) as box:
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN


async def test_signal_operator_and_store_are_known_once_the_line_is_idle(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.until(lambda: box.device.status.operator)
        status = box.device.status
        assert (status.operator, status.technology) == ("ZimSim", "LTE")
        await eventually(lambda: box.device.status.storage, "box.device.status.storage")
        assert box.device.status.signal_dbm == -73


async def test_a_port_that_another_program_holds_is_not_shared(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        second = ModemDriver(SerialLine(str(tmp_path / "port")), timing=QUICK)
        await second.start()
        async with asyncio.timeout(HANG_SECONDS):
            while "lock" not in second.status.last_error:
                await second.next_event()
        await second.stop()
        assert (await box.send()).verdict is Verdict.TAKEN


async def test_a_port_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(), journal=journal, link=tmp_path / "port")
    async with attached(str(tmp_path / "port"), simulator, journal) as box:
        await box.until(lambda: "No such file" in box.device.status.detail)
        await simulator.start()
        await box.ready()
    await simulator.stop()


async def test_of_several_ports_of_one_modem_the_one_that_answers_is_found(tmp_path: Path) -> None:
    deaf: list[tuple[str, str]] = [("*", "<silence>")]
    with Scripted(deaf) as diagnostics, Scripted(HEALTHY) as modem:
        (tmp_path / "usb-EC25-if01").symlink_to(diagnostics.path)
        (tmp_path / "usb-EC25-if02").symlink_to(modem.path)
        device = ModemDriver(
            SerialLine(str(tmp_path / "usb-EC25-*")), timing=quick(boot_seconds=0.4)
        )
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.READY:
                await device.next_event()
        assert diagnostics.heard and modem.heard
        await device.stop()


async def test_a_port_can_be_named_by_a_pattern(tmp_path: Path) -> None:
    with Scripted(HEALTHY) as modem:
        (tmp_path / "usb-Quectel_EC25-if02-port0").symlink_to(modem.path)
        device = ModemDriver(SerialLine(str(tmp_path / "usb-Quectel*-if02-*")), timing=QUICK)
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.READY:
                await device.next_event()
        assert "AT+CGSN" in modem.heard
        await device.stop()


async def test_an_imei_that_could_not_be_read_at_the_start_is_read_later() -> None:
    """Without it the modem is no device, and sends nothing."""
    script = [entry for entry in HEALTHY if entry[0] != "AT+CGSN"]
    busy = [("AT+CGSN", "+CME ERROR: 14")] * 14
    with Scripted([*script, *busy, ("AT+CGSN", "867322030000017\n\nOK")]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=QUICK)
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while not (device.status.identity and device.status.identity.imei):
                await device.next_event()
        assert device.status.identity.imei == "867322030000017"
        await device.stop()


async def test_a_sim_changed_during_a_network_loss_is_identified_before_a_part_is_sent(
    tmp_path: Path,
) -> None:
    """Some modules say nothing of a SIM that is taken out; that the network is gone, they do."""
    async with driven(tmp_path, timing=patient(idle_poll_seconds=60)) as box:
        await box.ready()
        await box.order("registration", stat=2)
        await box.state(ModemState.SEARCHING)
        card = box.simulator.equipment.card
        assert card is not None
        card.iccid = "89490200001234567899"
        await box.order("registration", stat=1)
        await box.ready()
        identity = box.device.status.identity
        assert identity is not None
        assert identity.iccid == "89490200001234567899"


async def test_another_module_on_the_port_gets_its_own_iccid_command(
    tmp_path: Path,
) -> None:
    port = tmp_path / "port"
    other = [entry for entry in HEALTHY if entry[0] != "AT+CCID"]
    with (
        Scripted(HEALTHY) as first,
        Scripted([*other, ("AT+QCCID", "+QCCID: 89490200001234567891\n\nOK")]) as second,
    ):
        port.symlink_to(first.path)
        device = ModemDriver(SerialLine(str(port)), timing=QUICK)
        await device.start()
        iccids: list[str] = []
        for modem in (first, second):
            async with asyncio.timeout(HANG_SECONDS):
                while device.status.state is not ModemState.READY:
                    await device.next_event()
            assert device.status.identity is not None
            iccids.append(device.status.identity.iccid)
            if modem is first:
                port.unlink()
                port.symlink_to(second.path)
                first.unplug()
                async with asyncio.timeout(HANG_SECONDS):
                    while device.status.state is ModemState.READY:
                        await device.next_event()
        assert iccids == ["89490200001234567890", "89490200001234567891"]
        await device.stop()

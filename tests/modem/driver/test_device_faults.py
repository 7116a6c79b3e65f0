"""Faults that people have met with real modems, each with its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from modem.driver.device import ModemDriver, SerialLine
from modem.driver.urc_monitor import UrcMonitor
from modem.interface import Changed, Limitation, ModemState, Verdict
from modem.simulator import Settings
from modem.timeouts import Timing
from tests.modem.driven import Driven, driven, part, patient, quick
from tests.modem.scripted import HEALTHY, SENDING, Echo, Script, Scripted
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.seconds(20)


def but(*script: tuple[str, str]) -> Script:
    """A healthy modem, but for these answers."""
    known = {command for command, _ in script}
    return [*script, *(entry for entry in (*HEALTHY, *SENDING) if entry[0] not in known)]


class Watched:
    """A driver on a scripted modem, with every state that it has shown."""

    def __init__(self, device: ModemDriver, modem: Scripted) -> None:
        self.device = device
        self.modem = modem
        self.loggable_command: list[ModemState] = []

    async def until(self, state: ModemState, limitation: Limitation | None = None) -> None:
        async with asyncio.timeout(HANG_SECONDS):
            while not self._is(state, limitation):
                event = await self.device.next_event()
                if isinstance(event, Changed):
                    self.loggable_command.append(event.status.state)

    async def sent(self) -> None:
        """Send a part, as soon as the modem takes it."""
        async with asyncio.timeout(HANG_SECONDS):
            while (await self.device.send(part())).verdict is not Verdict.TAKEN:
                await asyncio.sleep(0.01)  # repeats a send that is refused at once

    def _is(self, state: ModemState, limitation: Limitation | None) -> bool:
        status = self.device.status
        return status.state is state and (limitation is None or limitation in status.limitations)


@asynccontextmanager
async def on(
    script: Script, *, echo: Echo = "", timing: Timing | None = None
) -> AsyncIterator[Watched]:
    with Scripted(script, echo=echo) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=timing or quick())
        await device.start()
        try:
            yield Watched(device, modem)
        finally:
            await device.stop()


# Echo


@pytest.mark.parametrize("echo", ["always", "commands", "texts", "until ATE0"])
async def test_an_echo_that_cannot_be_switched_off_is_no_restart(echo: Echo) -> None:
    """It was taken for one: a start-up after each command or message, without a pause, never ready."""
    async with on(but(), echo=echo) as box:
        await box.until(ModemState.READY)
        for _ in range(5):
            assert (await box.device.send(part())).verdict is Verdict.TAKEN
        assert box.device.status.recoveries == {}
        assert not box.device.degraded


async def test_an_echo_that_the_modem_switches_on_again_by_itself_ends_in_service() -> None:
    async with on(but(), echo="until ATE0") as box:
        await box.until(ModemState.READY)
        for _ in range(4):
            box.modem.echo = "until ATE0"
            await box.sent()
        assert box.device.status.recoveries["restart"] == 2  # then it is known


async def test_a_restart_is_still_noticed_where_the_echo_is_always_on() -> None:
    async with on(but(), echo="always") as box:
        await box.until(ModemState.READY)
        box.modem.answer("AT+CNMI?", "+CNMI: 0,0,0,0,0\n\nOK")
        assert (await box.device.send(part())).verdict is Verdict.WAIT
        assert box.device.status.recoveries.keys() <= {"restart"}
        box.modem.answer("AT+CNMI?", "+CNMI: 2,1,0,1,0\n\nOK")
        await box.sent()


@pytest.mark.parametrize("echoed", ["<hex 1b>", "<hex 1b0d>", "<hex 1b1b>", "<hex 1a>"])
async def test_our_own_escape_beside_a_start_line_is_no_damage(echoed: str) -> None:
    """A good line counted as degraded for an hour."""
    script = but(("AT", f"OK\n{echoed}\nSMS DONE"), ("AT+CMEE?", f"{echoed}+CMEE: 1\n\nOK"))
    async with on(script, echo="until ATE0") as box:
        with capture_logs() as logged:
            await box.until(ModemState.READY)
            assert (await box.device.send(part())).verdict is Verdict.TAKEN
        assert not box.device.degraded
        assert [line["event"] for line in logged if line["log_level"] == "warning"] == []


async def test_a_module_that_takes_escape_for_the_begin_of_a_command_is_resynchronised() -> None:
    """ESC is followed by CR, so that the next command stands on a line of its own."""

    class Strict(Scripted):
        def _commands(self, buffer: bytearray):  # type: ignore[no-untyped-def]
            if not self._text and b"\x1bAT" in buffer:
                buffer[:] = b"NO\r"
            yield from super()._commands(buffer)

    with Strict(but(("AT+CPIN?", "<silence>"), ("AT+CPIN?", "+CPIN: READY\n\nOK"))) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=quick(slow_command_seconds=0.2))
        await device.start()
        try:
            async with asyncio.timeout(HANG_SECONDS):
                while device.status.state is not ModemState.READY:
                    await device.next_event()
            assert device.status.recoveries.keys() <= {"resync"}
            assert "NO" not in modem.heard
        finally:
            await device.stop()


# Start


@pytest.mark.parametrize("answer", ["ERROR", "+CME ERROR: 10", "COMMAND NOT SUPPORT"])
async def test_a_modem_that_answers_at_with_an_error_is_awake(answer: str) -> None:
    async with on(but(("AT", answer), ("ATQ0V1E0", answer))) as box:
        await box.until(ModemState.READY)
        assert box.device.status.recoveries == {}


@pytest.mark.parametrize(
    "lines",
    [
        "PB DONE\n<wait 0.1>+CMGS: 12\n\nOK",
        "SMS DONE\nPB DONE\n<wait 0.1>+CMGS: 12\n\nOK",
        "+CMGS: 12\n\nCall Ready\nOK",
        "+CMGS: 12\nRDY",  # the answer was there, whatever happened next
        "RDY\n<wait 0.05>+CMGS: 12\n\nOK",
        "*ATREADY: 1\n+CMGS: 12\n\nOK",
    ],
)
async def test_what_looks_like_a_restart_in_a_send_does_not_undo_its_answer(lines: str) -> None:
    """PB DONE came 35 s after RDY: the message had gone out and ended as failed."""
    script = but(("<text>", lines), ("<text>", "+CMGS: 13\n\nOK"))
    async with on(script, timing=quick(boot_seconds=0.4)) as box:
        await box.until(ModemState.READY)
        await asyncio.sleep(0.5)  # the tail of the start is over
        outcome = await box.device.send(part())
        assert (outcome.verdict, outcome.reference) == (Verdict.TAKEN, 12)
        await box.sent()


# A modem that is dead, or that cannot be started


async def test_a_dead_modem_is_said_to_be_dead_until_it_answers(tmp_path: Path) -> None:
    """The page said "starting: wait a minute" three quarters of the time."""
    timing = quick(boot_seconds=0.2, backoff_longest_seconds=0.05)
    async with driven(tmp_path, timing=timing) as box:
        await box.ready()
        await box.order("hang")
        await box.state(ModemState.OFFLINE)
        before = len(box.events)
        resets = box.device.status.recoveries.get("soft_reset", 0)
        await box.until(lambda: box.device.status.recoveries.get("soft_reset", 0) >= resets + 3)
        loggable_command = {e.status.state for e in box.events[before:] if isinstance(e, Changed)}
        assert loggable_command == {ModemState.OFFLINE}
        await box.order("restart")
        await box.ready()


async def test_a_modem_that_answers_and_always_fails_at_the_same_point_is_not_starting() -> None:
    script = but(('AT+CPMS="SM","SM","SM"', "<silence>"), ("AT+CFUN=1,1", "OK"))
    timing = quick(
        slow_command_seconds=0.1,
        command_seconds=0.1,
        boot_seconds=0.3,
        backoff_longest_seconds=0.05,
    )
    async with on(script, timing=timing) as box:
        await box.until(ModemState.OFFLINE)  # the port is opened
        await box.until(ModemState.STARTING)
        await box.until(ModemState.OFFLINE)
        box.loggable_command.clear()
        async with asyncio.timeout(HANG_SECONDS):
            while box.device.status.recoveries.get("soft_reset", 0) < 2:
                event = await box.device.next_event()
                if isinstance(event, Changed):
                    box.loggable_command.append(event.status.state)
        assert ModemState.STARTING not in box.loggable_command[2:]
        box.modem.answer('AT+CPMS="SM","SM","SM"', "+CPMS: 0,30,0,30,0,30\n\nOK")
        await box.until(ModemState.READY)


@pytest.mark.parametrize(
    ("refused", "state"),
    [
        (("AT+CPIN?", "+CME ERROR: 13"), ModemState.SIM_FAILURE),
        (("AT+CPIN?", "+CME ERROR: 10"), ModemState.SIM_MISSING),
        (("AT+CMGF?", "+CMGF: 1\n\nOK"), ModemState.REFUSING),
        (("AT+CNMI?", "+CNMI: 0,0,0,0,0\n\nOK"), ModemState.REFUSING),
        (("ATE0", "ERROR"), ModemState.REFUSING),
    ],
)
async def test_a_start_that_fails_keeps_its_reason_on_show_until_one_succeeds(
    refused: tuple[str, str], state: ModemState
) -> None:
    async with on(but(refused, ("ATZ", "OK"), ("AT+CFUN=1,1", "OK"))) as box:
        await box.until(state)
        box.loggable_command.clear()
        starts = box.modem.heard.count("AT+CPIN?")
        await asyncio.to_thread(box.modem.wait_for, "AT+CPIN?", starts + 12, HANG_SECONDS)
        assert box.device.status.detail
        while box.device.publisher.pending:
            event = await box.device.next_event()
            if isinstance(event, Changed):
                box.loggable_command.append(event.status.state)
        assert set(box.loggable_command) <= {state}


@pytest.mark.parametrize("cure", ["ATZ", "AT+CFUN=1,1"])
async def test_a_storage_that_is_an_error_until_it_is_set_back_is_set_back(cure: str) -> None:
    """A multi-SIM device, once AT+CFUN=1 was given: it was asked +CPMS=? for ever."""
    script = but(
        ("AT+CPMS=?", "ERROR"),
        ('AT+CPMS="SM","SM","SM"', "ERROR"),
        ("AT+CPMS?", "ERROR"),
        ("ATZ", "OK"),
        ("AT+CFUN=1,1", "OK"),
    )
    async with on(script, timing=quick(store_seconds=0.1)) as box:
        await asyncio.to_thread(box.modem.wait_for, cure, 1, HANG_SECONDS)
        box.modem.answer("AT+CPMS=?", '+CPMS: ("SM"),("SM"),("SM")\n\nOK')
        box.modem.answer('AT+CPMS="SM","SM","SM"', "+CPMS: 0,30,0,30,0,30\n\nOK")
        await box.until(ModemState.READY)


# No loop without a pause and a word for the owner


async def test_a_modem_that_restarts_again_and_again_gets_ever_longer_pauses_and_a_word(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, timing=patient(steady_seconds=600)) as box:
        await box.ready()
        with capture_logs() as logged:
            for _ in range(6):
                await box.order("restart")
                await box.left(ModemState.READY)
                await box.ready()
        pauses = [one["next_in_seconds"] for one in logged if one["event"] == "start_paused"]
        assert pauses == sorted(pauses)
        assert len(set(pauses)) >= 3
        assert box.device.status.limitations == {Limitation.RESTARTING}


async def test_a_modem_that_is_steady_again_is_no_longer_said_to_restart(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=patient(steady_seconds=0.3)) as box:
        await box.ready()
        for _ in range(5):
            await box.order("restart")
            await box.left(ModemState.READY)
            await box.ready()
        await box.until(lambda: not box.device.status.limitations)


async def test_the_owner_need_not_wait_for_a_pause_between_two_starts(tmp_path: Path) -> None:
    timing = quick(steady_seconds=600, backoff_first_seconds=600, backoff_longest_seconds=600)
    async with driven(tmp_path, timing=timing) as box:
        await box.ready()
        for _ in range(3):
            await box.order("restart")
            await box.left(ModemState.READY)
            await box.ready()
        await box.order("restart")
        await box.until(lambda: Limitation.RESTARTING in box.device.status.limitations)
        await box.device.restart()
        await box.ready()


@pytest.mark.parametrize(
    "chatter",
    [
        ("AT+CREG?", "+CREG: 1,1\n\nOK\n+CREG: 1"),
        ("AT+CMGL=4", "OK\n+CMTI: ,-1"),
        ("AT+CMGR=3", '+CMS ERROR: 321\n+CMTI: "SM",3'),
        ("AT+CNMI?", "+CNMI: 2,1,0,1,0\n\nOK\nSMS DONE"),
    ],
)
async def test_an_answer_that_asks_for_its_own_question_makes_no_busy_loop(
    chatter: tuple[str, str],
) -> None:
    command = chatter[0]
    async with on(but(chatter), timing=quick(repeat_seconds=HANG_SECONDS)) as box:
        await box.until(ModemState.READY)
        box.modem.say('\r\n+CMTI: "SM",3\r\n\r\n+CREG: 1\r\n\r\nSMS DONE\r\n')
        await asyncio.to_thread(box.modem.wait_for, "AT+COPS?", 1, HANG_SECONDS)
        before = box.modem.heard.count(command)
        asked = box.modem.heard.count("AT+CSQ")
        await asyncio.to_thread(box.modem.wait_for, "AT+CSQ", asked + 2, HANG_SECONDS)
        assert box.modem.heard.count(command) - before <= 3


async def test_a_simulated_module_with_a_lasting_echo_serves(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="sim800"), start=False) as box:
        await box.order("quirks", echo_stays=True)
        await box.device.start()
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.reported(1)
        assert box.device.status.recoveries == {}


# What cannot be received or reported


async def test_a_storage_with_three_names_only_is_read_and_emptied(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="huawei")) as box:
        await box.ready()
        await box.order("fill", store="ME", count=2)
        await box.order("incoming", text="in the SIM")
        await box.until(lambda: len(box.messages) >= 1)
        for received in box.received:
            await box.device.forget(received)
        await eventually(
            lambda: not box.simulator.cards["89490200001234567890"].storage.places, "emptied"
        )


async def test_a_storage_lost_by_switching_the_radio_on_comes_back(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=quick(store_seconds=0.1), start=False) as box:
        await box.order("quirks", storage_after_reset=True)
        box.simulator.equipment.set_function(4)
        await box.device.start()
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN


async def test_messages_come_directly_where_no_storage_has_places(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(sim_slots=0, me_slots=0)) as box:
        assert (await box.ready()).limitations == frozenset()
        await box.order("incoming", text="without a place")
        await box.until(lambda: box.messages)
        assert box.received[0].slot is None
        await asyncio.sleep(0.5)  # looks at the settings meanwhile: they hold
        assert box.device.status.recoveries == {}


async def test_a_modem_that_neither_stores_nor_shows_messages_says_so(tmp_path: Path) -> None:
    settings = Settings(sim_slots=0, me_slots=0)
    async with driven(tmp_path, settings, start=False) as box:
        await box.order("answer", command="+CNMI=2,2*", final="ERROR", times=None)
        await box.device.start()
        assert (await box.ready()).limitations == {Limitation.NO_STORAGE}


async def test_a_message_without_a_place_is_a_limitation_until_one_is_received(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, Settings(sim_slots=1)) as box:
        await box.ready()
        await box.order("quirks", announces_no_place=True)
        await box.order("fill", store="SM")
        await box.order("incoming", text="no place for it")
        await box.until(lambda: Limitation.NO_STORAGE in box.device.status.limitations)
        await box.until(lambda: box.messages)
        for received in box.received:
            await box.device.forget(received)
        await box.until(lambda: not box.device.status.limitations)


async def test_a_storage_that_cannot_be_emptied_is_a_limitation_until_it_can(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, Settings(sim_slots=2), start=False) as box:
        await box.order("quirks", deletes=False)
        await box.order("fill", store="SM", record="0791?!garbage")
        await box.device.start()
        await box.until(lambda: len(box.received) >= 2)
        for received in box.received:
            await box.device.forget(received)
        await box.until(lambda: Limitation.STORAGE_STUCK in box.device.status.limitations)
        await box.order("quirks", deletes=True)
        await box.until(lambda: not box.device.status.limitations)


async def test_a_storage_that_cannot_be_listed_is_read_place_by_place(tmp_path: Path) -> None:
    async with driven(tmp_path, start=False) as box:
        await box.order("quirks", lists_storage=False)
        await box.order("fill", store="SM", count=3)
        await box.device.start()
        await box.ready()
        assert len(box.messages) == 3


async def send_until(box: Driven, true: Callable[[], object]) -> None:
    """Send parts whose reports go elsewhere, until something holds."""
    async with asyncio.timeout(HANG_SECONDS):
        while not true():
            await box.send("whose report goes elsewhere")
            await asyncio.sleep(0.05)  # between two parts, for the driver's next look


@pytest.mark.parametrize("personality", ["huawei", "ec25"])
async def test_lines_that_go_to_another_port_are_brought_to_ours(
    tmp_path: Path, personality: str
) -> None:
    """Reports never came and nobody was notified."""
    timing = quick(urc_silence_seconds=0.2, stored_poll_seconds=0.1)
    async with driven(
        tmp_path, Settings(personality=personality), timing=timing, start=False
    ) as box:
        await box.order("quirks", urc_port="usbmodem", honest_cdsi=True)
        await box.device.start()
        await box.ready()
        await send_until(box, lambda: box.reports)
        assert box.simulator.equipment.urc_port == "usbat"
        assert box.device.status.limitations == frozenset()


async def test_reports_that_arrive_on_no_port_are_stored_and_fetched(tmp_path: Path) -> None:
    timing = quick(urc_silence_seconds=0.2, stored_poll_seconds=0.1)
    async with driven(tmp_path, Settings(personality="huawei"), timing=timing, start=False) as box:
        await box.order("quirks", urc_port="pcui", portsel=False)
        await box.device.start()
        assert (await box.ready()).report_mode == "direct"
        await send_until(box, lambda: box.reports)
        assert box.device.status.report_mode == "stored"
        assert box.device.status.limitations == frozenset()
        await box.order("quirks", urc_port="usbat")
        await box.order("incoming", text="announced on our port")
        await box.until(lambda: box.device.status.report_mode == "direct")
        await box.ready()
        before = len(box.reports)
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.reported(before + 1)


async def test_reports_that_can_be_had_in_no_way_are_a_limitation_until_one_comes(
    tmp_path: Path,
) -> None:
    timing = quick(urc_silence_seconds=0.1, stored_poll_seconds=0.05)
    async with driven(tmp_path, Settings(personality="sim800"), timing=timing, start=False) as box:
        await box.order("quirks", urc_port="elsewhere")
        await box.device.start()
        await box.ready()
        await send_until(box, lambda: Limitation.NO_REPORTS in box.device.status.limitations)
        await box.order("quirks", urc_port="usbat")
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.until(lambda: not box.device.status.limitations)


async def test_of_several_ports_the_one_with_unsolicited_lines_is_found(tmp_path: Path) -> None:
    with Scripted(but()) as mute, Scripted(but()) as telling:
        (tmp_path / "usb-HUAWEI-if00").symlink_to(mute.path)
        (tmp_path / "usb-HUAWEI-if02").symlink_to(telling.path)
        device = ModemDriver(
            SerialLine(str(tmp_path / "usb-HUAWEI-*")),
            timing=quick(urc_silence_seconds=0.1, stored_poll_seconds=0.05),
        )
        await device.start()
        try:
            async with asyncio.timeout(HANG_SECONDS):
                while "AT+CMGS=19" not in telling.heard:
                    await device.send(part())
                    await asyncio.sleep(0.02)  # for the next look
        finally:
            await device.stop()
        assert "AT+CMGS=19" in telling.heard


@pytest.mark.parametrize("off", [-3, 2, 100])
async def test_what_comes_directly_with_a_wrong_length_is_kept(tmp_path: Path, off: int) -> None:
    async with driven(tmp_path, Settings(sim_slots=0, me_slots=0)) as box:
        await box.ready()
        await box.order("quirks", direct_length_off=off)
        await box.order("incoming", text="its own lengths fit")
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.until(lambda: box.messages and box.reports)
        assert not box.device.degraded


async def test_another_sim_is_noticed_without_an_iccid(tmp_path: Path) -> None:
    async with driven(tmp_path, start=False) as box:
        await box.order("quirks", iccid="")
        await box.device.start()
        await box.ready()
        card = box.simulator.equipment.card
        assert card is not None
        card.imsi = "262019999999999"
        await box.left(ModemState.READY)
        status = await box.ready()
        assert status.identity is not None
        assert status.identity.imsi == "262019999999999"


def test_one_late_report_does_not_make_a_port_deaf() -> None:
    """A phone that is off: direct reports were given up for stored ones that some modules cannot show."""
    monitor = UrcMonitor(300)
    monitor.part_accepted(0)
    assert not monitor.urcs_missing(301, 1)
    assert monitor.urcs_missing(3600, 1)
    monitor.part_accepted(10)
    monitor.part_accepted(20)
    assert monitor.urcs_missing(301, 1)
    monitor.urc_received()
    assert not monitor.urcs_missing(9999, 1)

"""Recovery of a silent modem, step by step, never during an open send."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import structlog
import structlog.testing

from modem.driver import submit, supervisor
from modem.driver.device import ModemDriver, SerialLine
from modem.driver.recovery import PowerCapabilities
from modem.driver.references import References
from modem.interface import ModemState, Outcome, Verdict
from modem.simulator import Settings, Simulator
from tests.modem.driven import QUICK, Driven, attached, driven, part, patient, quick
from tests.modem.scripted import HEALTHY, Scripted
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.seconds(35)

IMPATIENT = quick(boot_seconds=0.3, backoff_longest_seconds=0.1)


class Board:
    """A PWRKEY wired to a simulated modem: it toggles, as the real ones do."""

    off_seconds = 0.02

    def __init__(
        self, simulator: Simulator, capabilities: PowerCapabilities, *, status: bool = False
    ) -> None:
        self.capabilities = capabilities
        self.pressed: list[str] = []
        self._simulator = simulator
        self._status = status
        self._loop = asyncio.get_running_loop()

    def running(self) -> bool | None:
        return self._simulator.equipment.powered if self._status else None

    def switch_on(self) -> None:
        self.pressed.append("on")
        self._loop.call_soon_threadsafe(self._toggle, False)

    def switch_off(self) -> None:
        self.pressed.append("off")
        self._loop.call_soon_threadsafe(self._toggle, True)

    def reset(self) -> None:
        self.pressed.append("reset")
        self._loop.call_soon_threadsafe(self._simulator.equipment.restart)

    def cut_supply(self) -> None:
        self.pressed.append("supply")
        self._loop.call_soon_threadsafe(self._simulator.equipment.restart)

    def _toggle(self, long: bool) -> None:
        modem = self._simulator.equipment
        if not modem.powered:
            modem.power_on()
        elif long:  # a short press does not switch off a modem that hangs
            modem.power_off()


async def test_one_silent_command_does_not_stop_the_queue(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=QUICK) as box:
        await box.ready()
        await box.order("answer", command="+CSQ", silent=True)
        await box.until(lambda: box.device.status.recoveries.get("resync"))
        await box.ready()
        assert (await box.send()).verdict is Verdict.TAKEN
        assert set(box.device.status.recoveries) == {"resync"}


async def test_a_modem_that_hangs_is_reset_and_comes_back(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=IMPATIENT, start=False) as box:
        await box.device.start()
        await box.ready()
        await box.order("hang")
        await box.left(ModemState.READY)
        await box.until(lambda: box.device.status.recoveries.get("soft_reset"))
        await box.order("restart")  # what a reset would do, were it heard
        await box.ready()
        counted = box.device.status.recoveries
        assert counted["reopen"] >= 1
        assert (await box.send()).verdict is Verdict.TAKEN


@pytest.mark.parametrize(
    ("capabilities", "pressed"),
    [
        (PowerCapabilities(reset=True), ["reset"]),
        (PowerCapabilities(power_key=True), ["on", "off", "on"]),
        (PowerCapabilities(supply=True), ["supply"]),
        (PowerCapabilities(reset=True, power_key=True, supply=True), ["reset"]),
    ],
)
async def test_recovery_uses_the_board_s_capabilities_in_order(
    tmp_path: Path, capabilities: PowerCapabilities, pressed: list[str]
) -> None:
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(), journal=journal, link=tmp_path / "port")
    path = await simulator.start()
    board = Board(simulator, capabilities)
    async with attached(path, simulator, journal, timing=IMPATIENT, power=board) as box:
        await box.ready()
        await box.order("hang")
        await box.left(ModemState.READY)
        await box.ready()
        assert board.pressed == pressed
        assert (await box.send()).verdict is Verdict.TAKEN
    await simulator.stop()


@pytest.mark.parametrize("status", [False, True])
async def test_a_modem_that_is_off_is_switched_on_and_one_that_runs_is_not_switched_off(
    tmp_path: Path, status: bool
) -> None:
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(), journal=journal, link=tmp_path / "port")
    path = await simulator.start()
    await simulator.command({"do": "off"})
    board = Board(simulator, PowerCapabilities(power_key=True), status=status)
    async with attached(path, simulator, journal, timing=IMPATIENT, power=board) as box:
        await box.ready()
        assert board.pressed == ["on"]
        assert box.device.status.recoveries == {"power_key": 1}
        await asyncio.sleep(IMPATIENT.boot_seconds * 2)  # a second press would follow by now
        assert board.pressed == ["on"]
    await simulator.stop()


async def test_a_usb_modem_that_is_pulled_and_plugged_in_again(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(latency=0.1)) as box:
        await box.ready()
        sending = asyncio.create_task(box.send("in doubt"))
        await eventually(lambda: box.simulator.equipment.sending.in_the_air, "a part is in the air")
        await box.order("unplug", back_after=0.3)
        assert (await sending).verdict is Verdict.UNKNOWN
        assert box.device.status.state is not ModemState.READY
        assert (await box.send()).verdict is Verdict.WAIT
        await box.ready()
        assert (await box.send("after")).verdict is Verdict.TAKEN


async def test_a_missing_modem_is_searched_for_ever(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=quick(vanished_seconds=0.05)) as box:
        await box.ready()
        await box.order("unplug")
        await box.until(lambda: box.device.status.recoveries.get("reopen", 0) > 5)
        assert box.device.status.state is ModemState.OFFLINE
        assert box.device.status.last_error
        await box.order("plug")
        await box.ready()


async def test_plugging_in_ends_the_longest_pause(tmp_path: Path) -> None:
    timing = quick(vanished_seconds=0.05, backoff_first_seconds=60, backoff_longest_seconds=600)
    async with driven(tmp_path, timing=timing) as box:
        await box.ready()
        await box.order("unplug")
        await box.until(lambda: box.device.status.recoveries.get("reopen"))
        await asyncio.sleep(0.3)  # longer than `vanished_seconds`
        await box.order("plug")
        await box.ready()


async def test_replugging_a_hung_modem_ends_the_pause(
    tmp_path: Path,
) -> None:
    """What an owner does who sees that it is not ready: the pause of minutes is over then, too."""
    timing = quick(boot_seconds=0.3, backoff_first_seconds=600, backoff_longest_seconds=600)
    with structlog.testing.capture_logs() as logged:
        async with driven(tmp_path, timing=timing) as box:
            await box.ready()
            await box.order("hang")
            # The last step of the ladder, and after that the pause.
            await box.until(lambda: box.device.status.recoveries.get("soft_reset"))
            await eventually(
                lambda: any("failed_recoveries" in each for each in logged), "the pause"
            )
            await box.order("unplug")
            await asyncio.sleep(0.3)  # the duration of the power loss
            await box.order("restart")  # it has lost its power
            await box.order("plug")
            await box.ready()


async def test_a_brown_out_is_a_restart_and_a_warning(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="sim800")) as box:
        await box.ready()
        await box.order("restart", say=["UNDER-VOLTAGE WARNNING"])
        await box.until(lambda: box.device.status.recoveries.get("restart"))
        await box.ready()
        assert box.device.status.warning == "undervoltage"
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.until(lambda: box.reports)


async def test_a_silent_restart_is_noticed_on_an_idle_line(tmp_path: Path) -> None:
    """The library goes on without echo off, without reports, without an error."""
    async with driven(tmp_path, Settings(personality="quiet")) as box:
        await box.ready()
        await box.order("restart")
        await box.until(lambda: box.device.status.recoveries.get("restart"))
        await box.ready()
        await box.send()
        await box.until(lambda: box.reports)


async def test_settings_that_are_gone_without_echo_are_noticed_too(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        box.simulator.equipment.modes.cnmi = [2, 1, 0, 0, 0]
        await box.until(lambda: box.device.status.recoveries.get("restart"))
        await box.ready()
        await box.send()
        await box.until(lambda: box.reports)


async def test_the_owner_restarts_the_modem_after_an_open_send(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(latency=0.2)) as box:
        await box.ready()
        sending = asyncio.create_task(box.send())
        await eventually(lambda: box.simulator.equipment.sending.in_the_air, "a part is in the air")
        await box.device.restart()
        assert (await sending).verdict is Verdict.TAKEN
        await box.until(lambda: box.device.status.recoveries.get("soft_reset"))
        await box.ready()
        assert box.simulator.equipment.starts == 2


async def test_every_recovery_step_is_in_the_status(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=IMPATIENT) as box:
        await box.ready()
        await box.order("hang")
        await box.until(lambda: box.device.status.detail == "recovery: soft_reset")
        assert "no answer" in box.device.status.last_error


@pytest.mark.parametrize(("personality", "first"), [("sim800", 1), ("a7670", 2), ("quiet", 3)])
async def test_a_restart_in_the_middle_of_any_start_up_command(
    tmp_path: Path, personality: str, first: int
) -> None:
    """With echo on, settings gone, and nothing said on a quiet modem: the next part has its report."""
    async with driven(tmp_path, Settings(personality=personality), timing=QUICK) as box:
        await box.ready()
        for number in range(first, 46, 5):
            await restart_within_a_start(box, number)
            await report_of_the_next_part(box)


async def test_no_part_is_sent_to_a_silently_restarted_modem_on_a_degraded_line(
    tmp_path: Path,
) -> None:
    """Where the echo is wanted it tells of no restart, and a part may be given while a silent command
    is still waited for: it went out without a report."""
    async with driven(tmp_path, Settings(personality="quiet"), timing=QUICK) as box:
        await box.ready()
        await box.order("raw", hex="80ff800d0a")
        for number in (3, 5, 7, 8, 11, 24, 52):
            await restart_within_a_start(box, number)
            await report_of_the_next_part(box)


async def test_references_of_before_a_restart_correct_none_after_it(tmp_path: Path) -> None:
    """On a degraded line 0 might be 10 with a digit lost; but this module counts from 0 at each start."""
    settings = Settings(personality="chatty", reference=9)
    async with driven(tmp_path, settings) as box:
        await box.ready()
        await box.order("raw", hex="80ff800d0a")
        assert (await box.send()).reference == 9
        assert box.device.degraded
        restarted = asyncio.ensure_future(box.left(ModemState.READY))
        await box.order("restart")
        await restarted
        await box.ready()
        assert box.device.degraded
        assert (await box.send()).reference == 0


async def test_on_a_degraded_line_a_part_is_sent_only_right_after_a_probe(tmp_path: Path) -> None:
    """A box that stood still since then (a card that stalls) cannot know who listens now."""
    async with driven(
        tmp_path, timing=patient(stored_poll_seconds=60, idle_poll_seconds=60)
    ) as box:
        await box.ready()
        await box.order("raw", hex="80ff800d0a")
        assert (await box.send()).verdict is Verdict.TAKEN
        client = box.device._session.client
        assert client.port.degraded

        async def given(seconds_ago: float) -> Outcome:
            client.port.suspect = False
            client.port.verified_at = time.monotonic() - seconds_ago
            return await asyncio.to_thread(submit.submit, client, part("late"), References())

        assert await given(QUICK.probe_max_age_seconds + 0.5) is submit.PROBE_REQUIRED
        assert [line["text"] for line in box.journal()] == ["Hello"]
        assert (await given(0)).verdict is Verdict.TAKEN
        assert [line["text"] for line in box.journal()] == ["Hello", "late"]


@pytest.mark.parametrize("line", ["RING", '+CMTI: "SM",3', "+CREG: 1", "OVER-VOLTAGE WARNNING"])
async def test_events_within_the_echo_break_no_start_and_no_text(tmp_path: Path, line: str) -> None:
    """While the echo is still on, and where it is wanted because the line has spoilt bytes."""
    async with driven(tmp_path, timing=QUICK) as box:
        await box.ready()
        for cut in (1, 4):
            await box.order("echo", urc=[line], cut=cut, times=2)
            left = asyncio.create_task(box.left(ModemState.READY))
            await box.order("restart")
            await left
            await box.ready()
            assert box.simulator.faults.active() == 0
            await report_of_the_next_part(box)
        await box.order("raw", hex="80ff800d0a")
        for cut in (0, 2, 20):
            await box.order("echo", urc=[line], cut=cut, times=2, every=3)
            while box.simulator.faults.active():
                await report_of_the_next_part(box)
        assert {line["text"] for line in box.journal()} == {"Hello"}
        assert len(box.journal()) == len(box.reports)


async def report_of_the_next_part(box: Driven) -> None:
    reported = len(box.reports)
    async with asyncio.timeout(HANG_SECONDS):
        while (await box.send()).verdict is not Verdict.TAKEN:
            await asyncio.sleep(0.02)  # repeats a send that is refused at once
    await box.reported(reported + 1)


async def restart_within_a_start(box: Driven, commands: int) -> None:
    """The modem restarts, and once more after so many commands."""
    before = box.simulator.equipment.starts
    await box.order("answer", command="*", skip=commands, restart=True)
    await box.order("restart")
    await box.until(lambda: box.simulator.equipment.starts >= before + 2)


async def test_settings_lost_within_a_burst_are_noticed_on_a_degraded_line_too(
    tmp_path: Path,
) -> None:
    """There the echo is wanted, so that it tells nothing; and a burst leaves no idle moment."""
    timing = patient(idle_after_seconds=600, stored_poll_seconds=0.1)
    async with driven(tmp_path, timing=timing) as box:
        await box.ready()
        await box.order("raw", hex="80ff800d0a")
        assert (await box.send("checked by its echo")).verdict is Verdict.TAKEN
        await box.order("forget")
        before = len(box.reports)
        async with asyncio.timeout(HANG_SECONDS):
            while len(box.reports) <= before + 1:
                await box.send("one of a burst")
                await asyncio.sleep(0.005)  # repeats a send that is refused at once


async def test_a_port_that_appears_after_an_attempt_is_opened_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for one that is there and cannot be opened: a rest of up to ten minutes."""
    link, looks = tmp_path / "modem", 0

    def appears(path: str) -> str:
        nonlocal looks
        looks += 1
        if looks == 2:
            link.symlink_to(scripted.path)
        return path

    monkeypatch.setattr(supervisor, "find", appears)
    timing = quick(backoff_first_seconds=600, backoff_longest_seconds=600)
    device = ModemDriver(SerialLine(str(link)), timing=timing)
    with Scripted(HEALTHY) as scripted:
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.READY:
                await device.next_event()
        await device.stop()
    assert looks > 1

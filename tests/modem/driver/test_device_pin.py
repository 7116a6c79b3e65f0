"""The SIM's PIN: the box spends one attempt by itself, whatever happens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modem.driver.device import ModemDriver, SerialLine
from modem.driver.pin_guard import FilePinMemory
from modem.interface import CodeProblem, CodeRefused, ModemState, Verdict
from modem.simulator import Settings, Simulator
from tests.modem.driven import QUICK, Driven, attached, driven, quick
from tests.modem.scripted import HEALTHY, Scripted
from tests.waiting import HANG_SECONDS, eventually

ICCID = "89490200001234567890"
# How the modules tell the tries left: +CPINR, +SPIC, +QPINC, and not at all.
TELLING = ["sim7600", "sim800", "a7670", "ec25"]
EVERY = [*TELLING, "quiet"]


def tries(box: Driven) -> int:
    return box.simulator.cards[ICCID].pin_left


@pytest.mark.parametrize("personality", EVERY)
async def test_the_right_pin_opens_the_sim_at_every_start(tmp_path: Path, personality: str) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    settings = Settings(personality=personality, pin="4071")
    async with driven(tmp_path, settings, timing=QUICK, pin="4071", pin_memory=memory) as box:
        await box.ready()
        assert not memory.failed(ICCID, "4071")
        for _ in range(3):
            await box.order("restart")
            await box.left(ModemState.READY)
            await box.ready()
        assert tries(box) == 3


@pytest.mark.seconds(7)
@pytest.mark.parametrize("personality", EVERY)
async def test_a_wrong_pin_is_tried_once_across_restarts(tmp_path: Path, personality: str) -> None:
    """The library's loop uses all three tries in three rounds, and goes on at the PUK."""
    journal = tmp_path / "journal"
    simulator = Simulator(
        Settings(personality=personality, pin="4071"), journal=journal, link=tmp_path / "port"
    )
    path = await simulator.start()
    for start in range(4):  # of the box
        memory = FilePinMemory(tmp_path / "pin.json")
        async with attached(
            path, simulator, journal, timing=QUICK, pin="1111", pin_memory=memory
        ) as box:
            status = await box.state(ModemState.PIN_REQUIRED)
            assert tries(box) == 2
            if start:
                assert "tr" in status.detail  # "only 2 of 3 PIN tries …", "was tried before …"
            for _ in range(3):  # of the modem
                await box.order("answer", command="E*", times=2)  # in a start-up only
                await box.order("restart")
                await eventually(lambda: not box.simulator.faults.active(), "started again")
                await box.state(ModemState.PIN_REQUIRED)
            await box.device.restart()
            await box.left(ModemState.PIN_REQUIRED)
            await box.state(ModemState.PIN_REQUIRED)
            assert tries(box) == 2
    await simulator.stop()


@pytest.mark.parametrize("personality", TELLING)
async def test_a_reinstalled_box_makes_no_second_pin_attempt(
    tmp_path: Path, personality: str
) -> None:
    settings = Settings(personality=personality, pin="4071", pin_tries=3)
    async with driven(tmp_path, settings, start=False, pin="1111") as box:
        await box.order("pin", tries=2)  # spent by the box before its card was written anew
        await box.device.start()
        status = await box.state(ModemState.PIN_REQUIRED)
        assert tries(box) == 2
        assert status.pin_tries_left == 2


def problem(refused: CodeRefused | None) -> CodeProblem | None:
    return refused.problem if refused else None


async def test_without_known_attempts_and_memory_no_pin_is_entered(
    tmp_path: Path,
) -> None:
    settings = Settings(personality="quiet", pin="4071")
    async with driven(tmp_path, settings, pin="1111") as box:
        await box.state(ModemState.PIN_REQUIRED)
        assert tries(box) == 3


async def test_a_modem_that_is_pulled_while_it_waits_for_its_pin(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(pin="4071")) as box:
        await box.state(ModemState.PIN_REQUIRED)
        await box.order("unplug", back_after=0.2)
        await box.state(ModemState.OFFLINE)
        status = await box.state(ModemState.PIN_REQUIRED)
        assert "unforeseen" not in status.last_error
        assert await box.device.enter_pin("4071") is None
        await box.ready()


async def test_without_a_pin_the_admin_must_enter_it(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(pin="4071")) as box:
        status = await box.state(ModemState.PIN_REQUIRED)
        assert status.pin_tries_left == 3
        assert (await box.send()).verdict is Verdict.WAIT
        assert await box.device.enter_pin("12") is not None
        assert await box.device.enter_pin("4071") is None
        await box.ready()
        # … and remembered for as long as the box runs.
        await box.order("restart")
        await box.left(ModemState.READY)
        await box.ready()


async def test_after_one_wrong_pin_one_attempt_remains_for_a_phone(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, Settings(pin="4071")) as box:
        await box.state(ModemState.PIN_REQUIRED)
        assert problem(await box.device.enter_pin("1111")) is CodeProblem.WRONG
        assert problem(await box.device.enter_pin("2222")) is CodeProblem.WRONG
        assert problem(await box.device.enter_pin("3333")) is CodeProblem.LAST_TRY
        assert problem(await box.device.enter_pin("4071")) is CodeProblem.LAST_TRY
        assert tries(box) == 1


async def test_two_concurrent_pins_leave_one_attempt_for_a_phone(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(pin="4071")) as box:
        await box.state(ModemState.PIN_REQUIRED)
        codes = ("1111", "2222", "3333", "5555")
        answers = await asyncio.gather(*(box.device.enter_pin(code) for code in codes))
        assert [problem(answer) for answer in answers] == [
            *[CodeProblem.WRONG] * 2,
            *[CodeProblem.LAST_TRY] * 2,
        ]
        assert tries(box) == 1


async def test_a_double_tap_costs_one_attempt(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(pin="4071")) as box:
        await box.state(ModemState.PIN_REQUIRED)
        twice = await asyncio.gather(*(box.device.enter_pin("1111") for _ in range(2)))
        assert [problem(answer) for answer in twice] == [CodeProblem.WRONG, CodeProblem.REPEATED]
        assert tries(box) == 2


async def test_the_box_never_tries_a_puk_by_itself(tmp_path: Path) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    async with driven(
        tmp_path, Settings(pin="4071"), start=False, pin="4071", pin_memory=memory
    ) as box:
        await box.order("pin", tries=0)
        await box.device.start()
        await box.state(ModemState.PUK_REQUIRED)
        await asyncio.sleep(0.2)  # a PUK would be tried by now
        assert box.simulator.cards[ICCID].puk_left == 10
        assert await box.device.enter_pin("4071") is not None
        taps = (box.device.unlock("99999999", "2468") for _ in range(2))
        answers = await asyncio.gather(*taps)
        assert [problem(answer) for answer in answers] == [CodeProblem.WRONG, CodeProblem.REPEATED]
        assert await box.device.unlock("1234", "2468") is not None
        assert box.simulator.cards[ICCID].puk_left == 9
        assert await box.device.unlock("12345678", "2468") is None
        await box.ready()
        await box.order("restart")
        await box.left(ModemState.READY)
        await box.ready()  # with the new PIN
        assert tries(box) == 3


async def test_an_attempt_that_cannot_be_stored_is_not_made(tmp_path: Path) -> None:
    memory = FilePinMemory(tmp_path / "file" / "pin.json")
    (tmp_path / "file").write_text("not a folder")
    settings = Settings(personality="quiet", pin="4071")
    async with driven(tmp_path, settings, pin="4071", pin_memory=memory) as box:
        status = await box.state(ModemState.PIN_REQUIRED)
        assert "cannot be looked up" in status.detail
        assert tries(box) == 3


async def test_a_sim_that_is_busy_after_its_pin_gets_no_second_one(tmp_path: Path) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    async with driven(
        tmp_path, Settings(pin="4071"), start=False, pin="4071", pin_memory=memory
    ) as box:
        await box.order("answer", command="+CPIN[?]", final="+CME ERROR: 14", skip=1, times=5)
        await box.device.start()
        await box.ready()
        assert len(box.journal("pin")) == 1
        assert not memory.failed(ICCID, "4071")


@pytest.mark.parametrize("state", ["NOT READY", "SIM PUK2", "PH-SIM PIN", "SIM PUK", ""])
async def test_only_a_sim_that_asks_for_its_pin_gets_one(tmp_path: Path, state: str) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    async with driven(
        tmp_path, Settings(pin="4071"), start=False, pin="1111", pin_memory=memory
    ) as box:
        await box.order("answer", command="+CPIN[?]", lines=[f"+CPIN: {state}"], times=None)
        await box.device.start()
        await box.left(ModemState.OFFLINE)
        if state == "SIM PUK2":
            await asyncio.sleep(0.5)  # the PIN would be tried by now
        else:
            await box.left(ModemState.STARTING)
        assert tries(box) == 3


OTHER = "89490200001234567891"


def without_tries(**answers: list[str]) -> list[tuple[str, str]]:
    """A modem that cannot say how many tries are left, with a SIM that wants its PIN and refuses it."""
    changed = {"AT+CPIN?": ["+CPIN: SIM PIN\n\nOK"], **answers}
    script = [entry for entry in HEALTHY if entry[0] not in changed]
    script += [(command, one) for command, all_ in changed.items() for one in all_]
    return [*script, ('AT+CPIN="1111"', "+CME ERROR: 16")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"AT+CCID": ["ERROR"]}, {}),
        ({}, {"AT+CCID": ["ERROR"]}),
        ({"AT+CCID": ["ERROR"], "AT+CGSN": ["ERROR"]}, {"AT+CCID": ["ERROR"]}),
        ({"AT+CGSN": ["ERROR"]}, {"AT+CCID": ["ERROR"]}),
    ],
)
async def test_a_sim_whose_number_can_be_read_only_sometimes_gets_one_try(
    tmp_path: Path, first: dict[str, list[str]], second: dict[str, list[str]]
) -> None:
    received: list[str] = []
    for answers in (first, second):  # two starts of the box
        memory = FilePinMemory(tmp_path / "pin.json")
        with Scripted(without_tries(**answers)) as modem:
            device = ModemDriver(
                SerialLine(modem.path), timing=QUICK, pin="1111", pin_memory=memory
            )
            await device.start()
            async with asyncio.timeout(HANG_SECONDS):
                while device.status.state is not ModemState.PIN_REQUIRED:
                    await device.next_event()
            await device.stop()
            received += modem.heard
    assert received.count('AT+CPIN="1111"') <= 1


async def test_a_wrong_pin_entered_twice_at_once_is_tried_once(tmp_path: Path) -> None:
    """A double tap on the page: the second would have been the last."""
    async with driven(tmp_path, Settings(pin="4071")) as box:
        await box.state(ModemState.PIN_REQUIRED)
        await box.order("pin", tries=2)
        await asyncio.gather(box.device.enter_pin("1111"), box.device.enter_pin("1111"))
        assert tries(box) == 1


async def test_an_unlocked_sim_clears_no_attempt_of_another_sim(tmp_path: Path) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    settings = Settings(personality="quiet", pin="4071")
    async with driven(
        tmp_path, settings, timing=QUICK, start=False, pin="1111", pin_memory=memory
    ) as box:
        await box.order("answer", command='+CPIN="1111"', late=3.0)
        await box.device.start()
        await eventually(lambda: box.journal("pin"), 'box.journal("pin")')
        await box.order("sim", iccid=OTHER)  # which wants no PIN
        await box.ready()
        assert memory.failed(ICCID, "1111")


async def test_a_right_pin_on_a_slow_sim_is_not_counted_as_failed(
    tmp_path: Path,
) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    settings = Settings(personality="quiet", pin="4071")
    async with driven(tmp_path, settings, start=False, pin="4071", pin_memory=memory) as box:
        # Longer than `sim_seconds`.
        await box.order("answer", command="+CPIN[?]", final="+CME ERROR: 14", skip=1, times=40)
        await box.device.start()
        await box.ready()
        assert not memory.failed(ICCID, "4071")
        await box.order("restart")
        await box.left(ModemState.READY)
        await box.ready()


async def test_lines_after_the_pin_are_not_a_restart(tmp_path: Path) -> None:
    """Call Ready, SMS Ready: late, since the owner was."""
    settings = Settings(personality="sim800", pin="4071")
    async with driven(tmp_path, settings, timing=quick(boot_seconds=0.3)) as box:
        await box.state(ModemState.PIN_REQUIRED)
        await asyncio.sleep(0.5)  # longer than `boot_seconds`: the start is over
        assert await box.device.enter_pin("4071") is None
        await box.ready()
        await asyncio.sleep(0.3)  # a restart would be noticed by now
        assert "restart" not in box.device.status.recoveries

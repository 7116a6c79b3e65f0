"""Each fault that can be requested happens."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from pathlib import Path
from typing import Any

import pytest

from modem.simulator.faults import FaultRules, SendFault
from modem.sms.tpdu import encode_submit
from tests.modem.simulated import Bench, Client, no_more, send, simulated, submit
from tests.waiting import HANG_SECONDS


async def begin(client: Client, to: str = "+4915112340001") -> None:
    """A send up to and with Ctrl-Z; the answer is not waited for."""
    tpdu = encode_submit(submit(to=to, report=False))
    client.write(b"AT+CMGS=%d\r" % tpdu.length)
    await client.until(b"> ")
    client.write(tpdu.hex.encode() + b"\x1a")


def strikes(fault: SendFault, sends: int = 8, seed: int = 0) -> list[int]:
    """Which of so many sends a fault strikes, counted from 1."""
    rules: FaultRules[SendFault] = FaultRules(lambda: 0.0, random.Random(seed))
    rules.add(fault)
    return [n for n in range(1, sends + 1) if rules.strike(lambda _: True)]


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (SendFault(), [1]),
        (SendFault(times=3), [1, 2, 3]),
        (SendFault(every=3, times=None), [3, 6]),
        (SendFault(skip=2), [3]),
        (SendFault(skip=1, every=2, times=2), [3, 5]),
        (SendFault(probability=0.0), []),
        (SendFault(times=None), [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_a_fault_strikes_as_often_as_requested(fault: SendFault, struck: list[int]) -> None:
    assert strikes(fault) == struck


def test_random_faults_are_repeatable() -> None:
    fault = SendFault(times=None, probability=0.5)
    assert strikes(fault, 40, seed=1) == strikes(fault, 40, seed=1) != strikes(fault, 40, seed=2)


def test_a_fault_ends_with_its_time() -> None:
    now = 100.0
    rules: FaultRules[SendFault] = FaultRules(lambda: now, random.Random(0))
    rules.add(SendFault(times=None, seconds=20))
    assert rules.strike(lambda _: True)
    now = 120.0
    assert not rules.strike(lambda _: True)


# -- sends


async def test_a_send_is_refused_by_code_and_by_recipient(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", cms=38, to="*0002", times=None)
        await bench.order("send", cme=14, to="*0003")
        await bench.order("send", final="+CMS ERROR: network out of order", to="*0004")
        for to, answer in (
            ("+4915112340001", "OK"),
            ("+4915112340002", "+CMS ERROR: 38"),
            ("+4915112340002", "+CMS ERROR: 38"),
            ("+4915112340003", "+CME ERROR: 14"),
            ("+4915112340003", "OK"),
            ("+4915112340004", "+CMS ERROR: network out of order"),
        ):
            assert (await send(client, submit(to=to, report=False)))[-1] == answer
        assert [line["code"] for line in bench.journal("refused")] == [38, 38, 14]
        assert [line["reference"] for line in bench.journal("submit")] == [0, 1]


async def test_refused_before_the_prompt(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at="command", cms=302)
        assert await client.ask("AT+CMGS=20") == ["+CMS ERROR: 302"]


async def test_no_prompt_comes(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at="command", silent=True)
        client.write(b"AT+CMGS=20\r")
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]  # nothing before it


async def test_the_prompt_comes_late(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at="command", late=0.05)
        start = asyncio.get_running_loop().time()
        assert await send(client) == ["+CMGS: 0", "OK"]
        assert asyncio.get_running_loop().time() - start >= 0.05


@pytest.mark.parametrize(("at", "taken"), [("body", False), ("taken", True)])
async def test_no_answer_after_ctrl_z(tmp_path: Path, at: str, taken: bool) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at=at, silent=True)
        await begin(client)
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]
        assert len(bench.journal("submit")) == taken
        assert [line["submit"] for line in bench.journal("unanswered")] == [1] * taken


@pytest.mark.parametrize("at", ["command", "prompt", "body", "taken", "answer"])
async def test_a_hung_modem_answers_only_after_a_restart(tmp_path: Path, at: str) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at=at, hang=True)
        await attempt(bench)
        unanswered = int(at in ("taken", "answer"))
        await bench.until(lambda: not bench.simulator.equipment.terminal.listening)
        if at != "command":
            await client.until(b"+CMGS: 0\r\n" if at == "answer" else b"> ")
        client.read.clear()
        client.write(b"AT\r")
        await no_more(bench)
        assert len(bench.journal("unanswered")) == unanswered
        await bench.order("restart")
        await client.until(b"PB DONE\r\n")
        assert (await client.ask("AT"))[-1] == "OK"


async def test_the_answer_comes_late(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at="taken", late=0.05)
        await begin(client)
        await client.until(b"+CMGS: 0\r\n\r\nOK\r\n")
        (taken,) = bench.journal("submit")
        assert time.monotonic() - taken["mono"] >= 0.05  # the network had it all that time


@pytest.mark.parametrize("at", ["command", "body", "taken", "answer"])
async def test_urcs_can_come_at_any_stage_of_a_send(tmp_path: Path, at: str) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at=at, urc=["RING", "+CREG: 2", '+CMTI: "SM",7'])
        client.write(b"AT+CMGS=20\r")
        output = await client.until(b"> ")
        client.write(b"\x1b")
        await client.until(b"OK\r\n")
        await begin(client)
        output += await client.until(b"OK\r\n")
        burst = '\r\nRING\r\n\r\n+CREG: 2\r\n\r\n+CMTI: "SM",7\r\n'
        assert burst in output
        if at == "command":
            assert output.startswith(burst + "\r\n> ")
        if at == "answer":
            assert output.endswith("+CMGS: 0\r\n" + burst + "\r\nOK\r\n")


async def test_a_urc_right_after_the_prompt(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at="prompt", urc=["RING"])
        client.write(b"AT+CMGS=20\r")
        assert await client.until(b"RING\r\n") == "\r\n> \r\nRING\r\n"


@pytest.mark.parametrize(("name", "held"), [("sim7600", True), ("chatty", False)])
async def test_most_modules_hold_urcs_back_at_the_prompt(
    tmp_path: Path, name: str, held: bool
) -> None:
    async with simulated(tmp_path, personality=name) as bench:
        client = await bench.ready()
        await bench.order("report", hold=True)
        await send(client)
        client.write(b"AT+CMGS=20\r")
        await client.until(b"> ")
        await bench.order("release")
        if held:
            await asyncio.sleep(0.01)  # the report would arrive by now
            assert b"+CDS" not in client.read
            client.write(b"\x1b")
        await client.until(b"+CDS: 26\r\n")


@pytest.mark.parametrize("at", ["command", "prompt", "body", "taken", "answer"])
async def test_a_brown_out_in_the_middle_of_a_send(tmp_path: Path, at: str) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at=at, restart=True, say=["UNDER-VOLTAGE WARNNING"])
        await attempt(bench)
        output = await client.until(b"PB DONE\r\n")
        assert output.index("UNDER-VOLTAGE WARNNING") < output.index("RDY")
        assert len(bench.journal("submit")) == (at in ("taken", "answer"))
        assert (await client.ask("AT+CNMI?"))[1] == "+CNMI: 2,1,0,0,0"
        assert [line["on"] for line in bench.journal("power")] == [True, False, True]


@pytest.mark.parametrize("at", ["command", "prompt", "body", "taken", "answer"])
async def test_unplugged_in_the_middle_of_a_send(tmp_path: Path, at: str) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", at=at, unplug=True, back_after=0.02)
        await attempt(bench)
        await client.hung_up()
        assert len(bench.journal("submit")) == (at in ("taken", "answer"))
        await bench.order("plug")
        assert (await (await bench.reopen()).ask("AT"))[-1] == "OK"


async def attempt(bench: Bench) -> None:
    """A send to a modem that may die at any moment of it."""
    client, modem = bench.client, bench.simulator.equipment
    tpdu = encode_submit(submit(report=False))
    client.write(b"AT+CMGS=%d\r" % tpdu.length)
    async with asyncio.timeout(HANG_SECONDS):
        while not (client.gone or b"> " in client.read or b"RDY" in client.read):
            if not modem.terminal.listening:
                return
            await asyncio.sleep(0.001)  # polls two sides of the line
    with contextlib.suppress(OSError):  # the port may be gone at any moment
        client.write(tpdu.hex.encode() + b"\x1a")


async def test_a_part_in_the_air_at_a_power_loss_arrives_or_not(tmp_path: Path) -> None:
    for luck in (0.0, 1.0):
        async with simulated(tmp_path / str(luck), latency=5.0, in_the_air=luck) as bench:
            client = await bench.ready()
            await begin(client)
            await bench.until(lambda: bench.simulator.equipment.sending.in_the_air)
            assert (await bench.order("status"))["in_the_air"]
            await bench.order("restart")
            await client.until(b"PB DONE\r\n")
            assert len(bench.journal("lost")) == (not luck)
            assert len(bench.journal("submit")) == len(bench.journal("unanswered")) == luck


# -- answers


async def test_any_answer_can_be_replaced_delayed_or_withheld(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("answer", command="+CNMI=*", final="+CME ERROR: SIM busy")
        assert await client.ask("AT+CNMI=2,1,0,1,0") == ["+CME ERROR: SIM busy"]
        await bench.order("answer", command="+CSQ", lines=["+CSQ: 99,99"])
        assert await client.ask("AT+CSQ") == ["+CSQ: 99,99", "OK"]
        await bench.order("answer", command="+CFUN?", lines=[])
        assert await client.ask("AT+CFUN?") == ["OK"]
        await bench.order("answer", command="+CGSN", silent=True)
        client.write(b"AT+CGSN\r")
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]
        await bench.order("answer", late=0.03)
        start = asyncio.get_running_loop().time()
        assert await client.ask("AT+CGSN") == ["860123456789015", "OK"]
        assert asyncio.get_running_loop().time() - start >= 0.03


async def test_a_silent_modem_answers_nothing(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("answer", silent=True, times=None)
        client.write(b"AT\rAT+CSQ\rATE0\r")
        await no_more(bench)
        await bench.order("reset")
        assert await client.ask("AT") == ["OK"]


async def test_urcs_come_before_and_in_the_middle_of_a_response(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("answer", command="+CSQ", before=["RING"])
        assert await client.ask("AT+CSQ") == ["RING", "+CSQ: 20,0", "OK"]
        await bench.order("urc", lines=["RING", "NO CARRIER X"], at="answer")
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "RING", "NO CARRIER X", "OK"]
        await bench.order("urc", lines=["RING"], cut=7)
        client.write(b"AT+CSQ\r")
        assert await client.until(b"OK\r\n") == "\r\n+CSQ:\r\nRING\r\n 20,0\r\n\r\nOK\r\n"


async def test_urcs_at_once_and_before_the_next_prompt(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("urc", lines=["RING"])
        assert await client.until(b"RING\r\n") == "\r\nRING\r\n"
        await bench.order("urc", lines=["+CIEV: 1"], at="prompt")
        client.write(b"AT+CMGS=20\r")
        assert await client.until(b"> ") == "\r\n+CIEV: 1\r\n\r\n> "


async def test_the_modem_hangs(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("hang")
        client.write(b"AT\r")
        await no_more(bench)
        await bench.order("restart", say=["ignored, it cannot speak"])
        assert "cannot" not in await client.until(b"PB DONE\r\n")


async def test_settings_can_be_lost_silently(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("forget", only_echo=True)
        assert await client.ask("AT+CNMI?") == ["AT+CNMI?\r", "+CNMI: 2,1,0,1,0", "OK"]
        await bench.order("forget")
        assert await client.ask("AT+CNMI?") == ["AT+CNMI?\r", "+CNMI: 2,1,0,0,0", "OK"]
        assert (await client.ask("AT+CMGR=9"))[-1] == "ERROR"  # +CMEE is 0 again


async def test_a_restart_without_power_takes_its_time(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("restart", seconds=0.03, say=["UNDER-VOLTAGE POWER DOWN"])
        client.write(b"AT\r")
        assert "OK" not in await client.until(b"RDY\r\n")


async def test_an_unknown_fault_is_refused_with_its_name(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        for words, output in (
            ({"do": "nonsense"}, "nonsense"),
            ({"do": "send", "cms": "x"}, "$.cms"),
            ({"do": "send", "att": "body"}, "att"),
            ({}, "do"),
            ({"do": "raw", "hex": "zz"}, "hexadecimal"),
        ):
            answer = await bench.simulator.command(words)
            assert not answer["ok"] and output in answer["error"], answer


@pytest.mark.parametrize(
    "words",
    [
        {"do": "time", "at": "2031-01-01T00:00:00"},  # in which zone?
        {"do": "time", "at": "9999-12-31T23:59:59+00:00"},
        {"do": "time", "zone_quarters": 200},
        {"do": "incoming", "text": "x", "hours_ago": 1e12},
        {"do": "report", "status": [300]},
        {"do": "report", "recipient": "no number, no name"},
        {"do": "quirks", "cmgs": "{answer} {when}"},
        {"do": "quirks", "cnmi": [[0, 1]]},
    ],
)
async def test_an_impossible_request_is_refused_and_breaks_no_later_send(
    tmp_path: Path, words: dict[str, Any]
) -> None:
    """It was taken, and the next send left the modem deaf for ever."""
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        answer = await bench.simulator.command(words)
        assert not answer["ok"] and answer["error"]
        assert (await send(client, submit(report=False))) == ["+CMGS: 0", "OK"]
        assert (await client.ask("AT+CNMI=2,1,0,1,0"))[-1] == "OK"


async def test_reset_removes_all_faults(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", cms=38, times=None)
        await bench.order("report", lost=True, times=None)
        await bench.order("answer", command="+CSQ", silent=True, times=None)
        await bench.order("line", lose=0.5, spare=[])
        assert (await bench.order("status"))["faults"] == 3
        await bench.order("reset")
        assert (await bench.order("status"))["faults"] == 0
        assert await send(client) == ["+CMGS: 0", "OK"]
        await client.until(b"+CDS: 26\r\n")


async def test_the_journal_counts_what_it_holds(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("send", cms=42)
        await send(client)
        await send(client)
        await client.until(b"+CDS: 26\r\n")
        counters = (await bench.order("counters"))["counters"]
        assert counters == {
            "start": 1,
            "power": 1,
            "refused": 1,
            "submit": 1,
            "message": 1,
            "report": 1,
        }
        assert len(bench.journal()) == sum(counters.values())


async def quirk(bench: Bench, **words: object) -> None:
    await bench.order("quirks", **words)


async def test_quirks_can_be_changed(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await quirk(bench, cmgs="{answer}:{reference}")
        assert await send(client, submit(report=False)) == ["+CMGS:0", "OK"]
        await quirk(bench, cmgs='{answer}: {reference},"{stamp}"')
        assert (await send(client, submit(report=False)))[0].startswith('+CMGS: 1,"2')
        await quirk(bench, empty_slot_error=False)
        assert await client.ask("AT+CMGR=5") == ["OK"]
        await quirk(bench, cmms=False)
        assert await client.ask("AT+CMMS=2") == ["+CMS ERROR: 500"]
        await quirk(bench, cnmi=[[0, 1], [0, 1], [0], [0, 2], [0]])
        assert await client.ask("AT+CNMI=?") == ["+CNMI: (0,1),(0,1),(0),(0,2),(0)", "OK"]
        assert (await client.ask("AT+CNMI=1,1,0,1,0"))[-1] == "+CMS ERROR: 303"


async def test_an_ec25_can_send_urcs_to_another_port(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="ec25") as bench:
        client = await bench.ready()
        await quirk(bench, urc_port="usbmodem")
        assert await send(client) == ["+CMGS: 0", "OK"]
        await no_more(bench)
        assert [line["taken"] for line in bench.journal("report")] == ["direct"]
        assert await client.ask('AT+QURCCFG="urcport","usbat"') == ["OK"]
        await send(client)
        await client.until(b"+CDS: 26\r\n")


async def test_urcs_can_come_within_the_echo(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("ATE1")
        await bench.order("echo", urc=["RING"])
        assert (await bench.order("status"))["faults"] == 1
        client.write(b"AT+CSQ\r")
        assert await client.until(b"OK\r\n") == "AT+\r\nRING\r\nCSQ\r\r\n+CSQ: 20,0\r\n\r\nOK\r\n"
        client.write(b"AT\r")
        assert await client.until(b"OK\r\n") == "AT\r\r\nOK\r\n", "once"

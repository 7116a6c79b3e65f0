"""The simulated modem's port: opened, closed, removed, paced, damaged."""

from __future__ import annotations

import asyncio
import os
import random
import select
import termios
import time
from pathlib import Path

import pytest

from modem.simulator import PERSONALITIES, Settings, Simulator
from modem.simulator.distortion import Distortion, distort
from modem.simulator.uart import Pacer
from tests.modem.simulated import Client, no_more, send, simulated, submit
from tests.waiting import eventually


async def test_a_message_goes_out_and_its_report_comes_back(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        assert await send(client, submit("Hello")) == ["+CMGS: 0", "OK"]
        assert (await client.until(b"00\r\n")).startswith("\r\n+CDS: 26\r\n07919471")
        (line,) = bench.journal("submit")
        assert (line["text"], line["recipient"], line["reference"]) == (
            "Hello",
            "+4915112340001",
            0,
        )


async def test_a_client_that_closes_and_opens_the_port_finds_the_same_modem(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        await bench.ready()
        again = await bench.reopen()
        assert await again.ask("AT+CNMI?") == ["+CNMI: 2,1,0,1,0", "OK"]


async def test_urcs_without_a_client_are_lost(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("urc", lines=["RING"])
        client.close()
        await asyncio.sleep(0.005)  # the simulator notices the closed port
        await bench.order("urc", lines=['+CMTI: "SM",1'])
        again = await bench.reopen()
        assert await again.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]
        assert (await bench.order("status"))["bytes_lost"] > 0


async def test_a_client_that_does_not_read_loses_bytes_and_stops_nobody(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        asyncio.get_running_loop().remove_reader(client.file)
        for _ in range(60):
            await bench.order("urc", lines=["x" * 4000])
        assert (await bench.order("status"))["bytes_lost"] > 100_000
        asyncio.get_running_loop().add_reader(client.file, client.readable)
        await eventually(lambda: len(client.read) >= 60_000, "len(client.read) >= 60_000")
        await client.quiet()  # what was still on its way
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]


async def test_an_unplugged_port_and_its_link_disappear_and_the_client_notices(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        assert (tmp_path / "port").is_symlink()
        await bench.order("unplug")
        await client.hung_up()
        assert not (tmp_path / "port").is_symlink()
        assert not (await bench.order("status"))["plugged"]
        await bench.order("plug")
        again = await bench.reopen()
        assert "ATE0" in (await again.ask("ATE0"))[0]  # the echo is back, as all else
        assert await again.ask("AT+CNMI?") == ["+CNMI: 2,1,0,0,0", "OK"]


async def test_an_unplugged_port_returns_after_its_time(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        await bench.order("unplug", back_after=0.02)
        await bench.client.hung_up()
        await bench.until(lambda: bench.simulator.equipment.powered)
        assert (await (await bench.reopen()).ask("AT"))[-1] == "OK"


async def test_a_link_never_replaces_a_real_file(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("precious")
    simulator = Simulator(Settings(), link=tmp_path / "port")
    with pytest.raises(FileExistsError):
        await simulator.start()
    await simulator.stop()
    assert (tmp_path / "port").read_text() == "precious"


def test_an_unknown_personality_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match=r"nokia.*sim800"):
        Simulator(Settings(personality="nokia"))


async def test_bytes_take_as_long_as_on_a_uart(tmp_path: Path) -> None:
    async with simulated(tmp_path, baud=9600) as bench:
        client = bench.client
        await client.ask("ATE0")
        start = time.monotonic()
        assert await send(client, submit("x", report=False)) == ["+CMGS: 0", "OK"]
        # 11 characters of command, 33 of PDU, 27 of answers, at 1.04 ms each
        assert time.monotonic() - start >= 0.070


def test_bytes_are_written_one_by_one() -> None:
    # In packet mode each write is read as what it was, however late.
    out, into = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    pacer = Pacer(into, baud=115200)
    start = time.monotonic()
    pacer.put(b"+CSQ: 20,0\r\n")
    pieces: list[bytes] = []
    while b"".join(pieces) != b"+CSQ: 20,0\r\n":
        select.select([out], [], [], 20)
        pieces.append(os.read(out, 100))
    assert time.monotonic() - start >= 12 * 10 / 115200
    assert [len(each) for each in pieces] == [1] * 12
    pacer.put(b"x" * 100_000)  # nine seconds of it
    pacer.stop()
    os.close(out)
    os.close(into)


async def test_a_client_at_another_speed_reads_only_noise(tmp_path: Path) -> None:
    async with simulated(tmp_path, baud=115200, fixed_baud=True) as bench:
        client = bench.client
        client.speed(termios.B9600)
        client.write(b"AT\r")
        await bench.order("urc", lines=["RING"])
        await eventually(lambda: client.read, "client.read")
        assert min(client.read) >= 0x80
        client.speed(termios.B115200)
        await asyncio.sleep(0.01)  # the last bytes at the wrong speed arrive
        client.read.clear()
        assert (await client.ask("AT"))[-1] == "OK"


async def test_in_autobaud_nothing_is_sent_before_the_first_at(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="sim800", autobaud=True) as bench:
        await bench.order("restart")
        await bench.order("urc", lines=["RING"])
        bench.client.write(b"AT\r")  # by which it finds the speed, no more
        assert await bench.client.ask("AT") == ["\0AT\r", "OK"]
        assert (await bench.client.ask("AT+IPR=115200;&W"))[-1] == "OK"
        await bench.order("restart")
        assert "RDY" in await bench.client.until(b"RDY")


async def test_a_speed_holds_from_the_ok_until_a_restart(tmp_path: Path) -> None:
    async with simulated(tmp_path, baud=9600, fixed_baud=True) as bench:
        client = bench.client
        client.speed(termios.B9600)
        assert (await client.ask("AT+IPR=115200"))[-1] == "OK"
        client.speed(termios.B115200)
        assert (await client.ask("AT"))[-1] == "OK"
        await bench.order("restart")
        await bench.until(lambda: bench.simulator.equipment.sms_ready)
        client.speed(termios.B9600)
        await client.quiet()
        assert (await client.ask("AT+IPR?"))[-2:] == ["+IPR: 0", "OK"]
        assert (await client.ask("AT+IPR=115200;&W"))[-1] == "OK"
        client.speed(termios.B115200)
        await bench.order("restart")
        await client.until(b"PB DONE")


async def test_a_sim_that_is_pulled_while_it_starts_finds_no_network(tmp_path: Path) -> None:
    async with simulated(tmp_path, boot=0.01) as bench:
        modem = bench.simulator.equipment
        await bench.until(lambda: modem.sim_read)
        await bench.order("sim", present=False)
        await asyncio.sleep(0.15)  # the SIM would be registered after 0.09
        assert not modem.attached and not modem.sms_ready
        await bench.order("sim")
        await bench.until(lambda: modem.attached)


async def test_a_plugged_modem_starts_exactly_once(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        await bench.order("unplug")
        await bench.order("restart")
        await bench.order("plug")
        assert [line["on"] for line in bench.journal("power")] == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("name", "mode", "reference"), [("quiet", 1, 8), ("chatty", 1, 0), ("sim800", 0, 8)]
)
async def test_each_module_keeps_its_own_settings_across_a_restart(
    tmp_path: Path, name: str, mode: int, reference: int
) -> None:
    async with simulated(tmp_path, personality=name, reference=7) as bench:
        client = await bench.ready()
        assert any("7" in line for line in await send(client, submit(report=False)))
        await bench.order("restart")
        await client.ask("ATE0")
        assert f"+CMGF: {mode}" in "".join(await client.ask("AT+CMGF?")).replace(":1", ": 1")
        await client.ask("AT+CMGF=0")
        await send(client, submit(report=False))
        assert bench.journal("submit")[-1]["reference"] == reference


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_a_line_that_loses_bytes_breaks_commands(tmp_path: Path, direction: str) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("line", lose=1.0, direction=direction, spare=[])
        client.write(b"AT\r")
        await no_more(bench)
        await bench.order("reset")
        assert (await client.ask("AT"))[-1] == "OK"


async def test_a_line_that_splits_and_delays_loses_nothing(tmp_path: Path) -> None:
    async with simulated(tmp_path, seed=3) as bench:
        client = await bench.ready()
        await bench.order("line", split=0.3, delay=0.1, delay_seconds=0.001)
        for n in range(20):
            assert await send(client, submit(f"Text {n}", report=False)) == [f"+CMGS: {n}", "OK"]
        assert [line["text"] for line in bench.journal("submit")] == [
            f"Text {n}" for n in range(20)
        ]


async def test_noise_has_the_high_bit(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("line", noise=1.0, direction="out")
        client.write(b"AT\r")
        await client.until(b"K")
        await bench.order("reset")
        await bench.order("raw", hex="80ff00")
        assert "\x80\xff\x00" in await client.until(b"\x80\xff\x00")


def test_spared_bytes_are_not_damaged() -> None:
    chance = random.Random(1)
    data = b"\r\n+CDS: 26\r\n0791F00123456789ABCDEF\r\n" * 50
    hexadecimal = b"0123456789ABCDEF"
    for kind in ("lose", "double", "garble"):
        line = Distortion(spare=(kind,), **{kind: 0.5})  # type: ignore[arg-type]
        ((_, out),) = distort(data, line, chance)
        assert out != data
        if kind != "garble":  # garbled bytes may become digits
            kept = [b for b in out if b in hexadecimal]
            assert kept == [b for b in data if b in hexadecimal]
    spoilt = distort(data, Distortion(lose=0.5, spare=()), chance)[0][1]
    assert sum(b in hexadecimal for b in spoilt) < 0.7 * sum(b in hexadecimal for b in data)


def test_garbling_by_default_leaves_hex_digits_alone() -> None:
    ((_, out),) = distort(b"0123456789ABCDEFabcdef", Distortion(garble=1.0), random.Random(0))
    assert out == b"0123456789ABCDEFabcdef"
    ((_, out),) = distort(b"+MGS: \r\n", Distortion(garble=1.0), random.Random(0))
    assert all(a != b for a, b in zip(out, b"+MGS: \r\n", strict=True))


def test_the_same_seed_gives_the_same_damage() -> None:
    line = Distortion(lose=0.1, double=0.1, garble=0.1, split=0.2, delay=0.1, noise=0.1)
    runs = [distort(b"AT+CMGS=23\r" * 9, line, random.Random(7)) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.measure
async def test_more_than_a_thousand_messages_a_second(tmp_path: Path) -> None:
    """A loose bound for a busy machine; the measured figure stands in docs/simulator.md."""
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        start, spent = time.monotonic(), time.process_time()
        for _ in range(300):
            await send(client, submit("Hello"))
        spent = time.process_time() - spent
        assert time.monotonic() - start < 10
        assert spent / 300 < 0.002  # client and modem together, in one process


@pytest.mark.parametrize("name", PERSONALITIES)
async def test_each_personality_starts_with_its_own_words(tmp_path: Path, name: str) -> None:
    async with simulated(tmp_path, personality=name) as bench:
        client: Client = bench.client
        await bench.order("restart")
        kind = PERSONALITIES[name]
        for line in (*kind.greeting, *kind.ready_lines):
            await client.until(line.encode() + b"\r\n")
        assert (await client.ask("AT+CSQ"))[-1] == "OK"
        assert kind.model in "".join(await client.ask("AT+CGMM"))


async def test_start_up_goes_through_its_stages(tmp_path: Path) -> None:
    async with simulated(tmp_path, boot=1000) as bench:  # so slow that only the test moves it on
        client, modem = bench.client, bench.simulator.equipment
        client.write(b"AT\r")
        await no_more(bench)  # not started yet
        modem.come_alive()
        await client.until(b"RDY\r\n")
        await client.ask("ATE0;+CMEE=1")
        assert await client.ask("AT+CPIN?") == ["+CME ERROR: 14"]
        assert await client.ask("AT+CPMS?") == ["+CMS ERROR: 314"]
        modem.read_sim()
        await client.until(b"+CPIN: READY\r\n")
        assert (await client.ask("AT+CIMI"))[-1] == "OK"
        assert await client.ask("AT+CNMI=2,1,0,1,0") == ["+CMS ERROR: 314"]
        assert await client.ask("AT+CREG?;+CSQ") == ["+CREG: 0,2", "+CSQ: 99,99", "OK"]
        modem.messages_ready()
        await client.until(b"PB DONE\r\n")
        assert await client.ask("AT+CNMI=2,1,0,1,0") == ["OK"]
        assert (await send(client))[-1] == "+CMS ERROR: 331"
        modem.attach()
        assert await client.ask("AT+CREG?;+CSQ") == ["+CREG: 0,1", "+CSQ: 20,0", "OK"]
        assert await send(client) == ["+CMGS: 0", "OK"]


async def test_start_up_times_follow_the_boot_setting(tmp_path: Path) -> None:
    start = time.monotonic()
    async with simulated(tmp_path, boot=0.004) as bench:  # 8 s to the SIM become 32 ms
        await bench.client.until(b"+CPIN: READY\r\n")
        assert time.monotonic() - start >= 0.032
        await bench.client.until(b"PB DONE\r\n")
        assert time.monotonic() - start >= 0.048

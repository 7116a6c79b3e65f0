"""The simulated SIM: PIN, PUK, removal, insertion, exchange."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.modem.simulated import send, simulated


async def test_the_right_pin_unlocks_the_sim(tmp_path: Path) -> None:
    async with simulated(tmp_path, pin="1234") as bench:
        client = bench.client
        await client.ask("ATE0;+CMEE=1")
        assert await client.ask("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
        assert await client.ask("AT+CIMI") == ["+CME ERROR: 11"]
        assert await client.ask("AT+CNMI=2,1,0,1,0") == ["+CMS ERROR: 311"]
        assert await client.ask("AT+CREG?") == ["+CREG: 0,2", "OK"]
        assert await client.ask("AT+ICCID") == ["+ICCID: 89490200001234567890", "OK"]
        assert (await client.ask('AT+CPIN="1234"'))[0] == "OK"
        await client.until(b"+CPIN: READY\r\n")
        await client.until(b"PB DONE\r\n")
        assert await client.ask("AT+CNMI=2,1,0,1,0") == ["OK"]
        assert await client.ask('AT+CLCK="SC",2') == ["+CLCK: 1", "OK"]


async def test_wrong_pins_are_counted_across_restarts_and_end_at_the_puk(tmp_path: Path) -> None:
    async with simulated(tmp_path, pin="1234", puk="11112222") as bench:
        client = bench.client
        for left, error in ((2, 16), (1, 16), (0, 12)):
            await client.ask("ATE0;+CMEE=1")
            assert await client.ask('AT+CPIN="9999"') == [f"+CME ERROR: {error}"]
            assert (await client.ask("AT+CPINR"))[0] == f"+CPINR: SIM PIN,{left},3"
            await bench.order("restart")
            await client.until(b"+CPIN: SIM P")
        await client.ask("ATE0;+CMEE=1")
        assert await client.ask("AT+CPIN?") == ["+CPIN: SIM PUK", "OK"]
        assert await client.ask('AT+CPIN="1234"') == ["+CME ERROR: 12"]
        assert await client.ask('AT+CPIN="99999999","4321"') == ["+CME ERROR: 16"]
        assert await client.ask('AT+CPIN="11112222","x"') == ["+CME ERROR: 50"]
        assert (await client.ask('AT+CPIN="11112222","4321"'))[0] == "OK"
        await client.until(b"PB DONE\r\n")
        journal = [(line["what"], line["right"], line["pin_left"]) for line in bench.journal("pin")]
        assert journal == [
            ("PIN", False, 2),
            ("PIN", False, 1),
            ("PIN", False, 0),
            ("PIN", False, 0),
            ("PUK", False, 0),
            ("PUK", False, 0),
            ("PUK", True, 3),
        ]
        await bench.order("restart")
        await client.until(b"+CPIN: SIM PIN\r\n")
        assert (await client.ask('AT+CPIN="4321"'))[-1] == "OK"


async def test_a_right_pin_resets_the_attempts(tmp_path: Path) -> None:
    async with simulated(tmp_path, pin="1234") as bench:
        await bench.client.ask("ATE0")
        await bench.client.ask('AT+CPIN="0000"')
        await bench.client.ask('AT+CPIN="1234"')
        await bench.client.until(b"PB DONE\r\n")
        assert (await bench.client.ask("AT+CPINR"))[0] == "+CPINR: SIM PIN,3,3"


async def test_a_sim_without_puk_attempts_is_blocked(tmp_path: Path) -> None:
    async with simulated(tmp_path, pin="1234") as bench:
        await bench.order("pin", tries=0, puk_tries=1)
        await bench.client.ask("ATE0;+CMEE=1")
        assert await bench.client.ask('AT+CPIN="00000000","1234"') == ["+CME ERROR: 13"]
        assert await bench.client.ask("AT+CPIN?") == ["+CME ERROR: 13"]
        assert await bench.client.ask('AT+CPIN="12345678","1234"') == ["+CME ERROR: 13"]
        assert await bench.client.ask("AT+CMGS=20") == ["+CMS ERROR: 313"]


async def test_the_pin_can_be_changed_and_switched_off(tmp_path: Path) -> None:
    async with simulated(tmp_path, pin="1234") as bench:
        client = bench.client
        await client.ask("ATE0;+CMEE=1")
        await client.ask('AT+CPIN="1234"')
        await client.until(b"PB DONE\r\n")
        assert await client.ask('AT+CPWD="SC","0000","4321"') == ["+CME ERROR: 16"]
        assert await client.ask('AT+CPWD="SC","1234","4321"') == ["OK"]
        assert await client.ask('AT+CLCK="SC",0,"4321"') == ["OK"]
        await bench.order("restart")
        await client.until(b"+CPIN: READY\r\n")
        await bench.order("pin", wanted=True)
        await bench.order("restart")
        await client.until(b"+CPIN: SIM PIN\r\n")


@pytest.mark.parametrize("name", ["sim800", "ec25", "quiet"])
async def test_each_module_reports_attempts_left_in_its_own_way_or_not_at_all(
    tmp_path: Path, name: str
) -> None:
    async with simulated(tmp_path, personality=name, pin="1234") as bench:
        await bench.client.ask("ATE0")
        await bench.client.ask('AT+CPIN="0000"')
        expected = {
            "sim800": ("AT+SPIC", "+SPIC: 2,10,3,10"),
            "ec25": ('AT+QPINC="SC"', '+QPINC: "SC",2,10'),
            "quiet": ("AT+CPINR", "ERROR"),
        }
        command, answer = expected[name]
        assert (await bench.client.ask(command))[0] == answer


async def test_the_sim_is_taken_out_and_put_in_again(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("sim", present=False)
        await client.until(b"+CPIN: NOT READY\r\n")
        assert await client.ask("AT+CPIN?") == ["+CME ERROR: 10"]
        assert await client.ask("AT+CSCA?") == ["+CMS ERROR: 310"]
        assert await client.ask("AT+ICCID") == ["+CME ERROR: 10"]
        assert await client.ask("AT+CPINR") == ["ERROR"]
        assert await client.ask('AT+CLCK="SC",2') == ["+CME ERROR: 10"]
        assert (await client.ask("AT+CREG?"))[0] == "+CREG: 0,0"
        assert not (await bench.simulator.command({"do": "fill"}))["ok"]
        assert not (await bench.simulator.command({"do": "pin", "tries": 1}))["ok"]
        await bench.order("restart")
        await client.until(b"+CPIN: NOT INSERTED\r\n")
        await bench.order("sim")
        await client.until(b"PB DONE\r\n")
        await bench.ready()
        assert await send(client) == ["+CMGS: 0", "OK"]


async def test_another_sim_has_its_own_iccid_pin_and_storage(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("fill", count=2)
        await send(client)
        await bench.order(
            "sim", iccid="8949000000000000001", imsi="262010000000001", pin="2222", number="+49123"
        )
        await client.until(b"+CPIN: SIM PIN\r\n")
        await client.ask('AT+CPIN="2222"')
        await client.until(b"PB DONE\r\n")
        assert await client.ask("AT+CIMI") == ["262010000000001", "OK"]
        assert await client.ask("AT+ICCID") == ["+ICCID: 8949000000000000001", "OK"]
        assert (await client.ask("AT+CPMS?"))[0].startswith('+CPMS: "SM",0,20')
        assert await send(client) == ["+CMGS: 0", "OK"]
        await bench.order("sim", iccid="89490200001234567890")
        await client.until(b"PB DONE\r\n")
        assert (await client.ask("AT+CPMS?"))[0].startswith('+CPMS: "SM",2,20')
        assert await send(client) == ["+CMGS: 1", "OK"]
        assert [line["imsi"][-4:] for line in bench.journal("submit")] == ["3210", "0001", "3210"]


async def test_without_a_service_centre_nothing_is_sent(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("smsc", number="")
        assert await client.ask("AT+CSCA?") == ["+CMS ERROR: 330"]
        assert (await send(client))[-1] == "+CMS ERROR: 330"
        assert await client.ask('AT+CSCA="+491710760000",145') == ["OK"]
        assert await send(client) == ["+CMGS: 0", "OK"]

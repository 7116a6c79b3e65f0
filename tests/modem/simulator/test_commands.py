"""The simulated modem's AT commands, one by one."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from modem.simulator import PERSONALITIES
from modem.simulator.commands import syntax
from modem.simulator.commands.interpreter import HANDLERS
from modem.simulator.commands.syntax import Command, CommandKind
from modem.sms.tpdu import encode_submit
from tests.modem.simulated import send, simulated, submit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("E0", [Command("E", CommandKind.EXECUTE, "0")]),
        ("E0V1&F", [Command("E", CommandKind.EXECUTE, "0"), Command("V", CommandKind.EXECUTE, "1"),
                    Command("&F", CommandKind.EXECUTE)]),
        ("e0+cmee=1", [Command("E", CommandKind.EXECUTE, "0"), Command("+CMEE", CommandKind.SET, "1")]),
        ("+CMEE=1;+CREG=2", [Command("+CMEE", CommandKind.SET, "1"), Command("+CREG", CommandKind.SET, "2")]),
        ("+CSQ", [Command("+CSQ", CommandKind.EXECUTE)]),
        ("+CPIN?", [Command("+CPIN", CommandKind.READ)]),
        ("+CNMI=?", [Command("+CNMI", CommandKind.TEST)]),
        ('+CUSD=1,"a;b",15;I', [Command("+CUSD", CommandKind.SET, '1,"a;b",15'), Command("I", CommandKind.EXECUTE)]),
        ("S0=0", [Command("S0", CommandKind.SET, "0")]),
        ("D*100#;", [Command("D", CommandKind.EXECUTE, "*100#")]),
        (" + C", None),
        ("+CSQ?x", None),
        ("=", None),
    ],
)  # fmt: skip
def test_a_line_is_split_into_its_commands(text: str, expected: list[Command] | None) -> None:
    if expected is None:
        with pytest.raises(syntax.SyntaxFault):
            syntax.parse(text)
    else:
        assert syntax.parse(text) == expected


def test_arguments_lose_their_quotes_and_keep_their_commas() -> None:
    assert Command("+X", CommandKind.SET, '"SM","a,b",,3').arguments == ["SM", "a,b", "", "3"]


@pytest.mark.parametrize(
    ("line", "body"), [("AT+CSQ", "+CSQ"), ("\x80\x00AT", ""), ("\x1b", None), ("CNMA", None)]
)
def test_a_line_without_at_is_no_command_line(line: str, body: str | None) -> None:
    assert syntax.body(line) == body


def test_backspace_removes_a_character() -> None:
    assert syntax.edited("AT+CSX\bQ\b\b\b\bI") == "ATI"


ANSWERS = [
    ("AT", []),
    ("ATI", ["SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "+CGMR: LE20B04SIM7600M22"]),
    ("AT+CGMI", ["SIMCOM INCORPORATED"]),
    ("AT+CGMM", ["SIMCOM_SIM7600E-H"]),
    ("AT+CGMR", ["+CGMR: LE20B04SIM7600M22"]),
    ("AT+GSN", ["860123456789015"]),
    ("AT+GCAP", ["+GCAP: +CGSM"]),
    ("AT+CGSN", ["860123456789015"]),
    ("AT+CIMI", ["262019876543210"]),
    ("AT+ICCID", ["+ICCID: 89490200001234567890"]),
    ("AT+CNUM", ['+CNUM: "","+4915112345678",145']),
    ("AT+CPIN?", ["+CPIN: READY"]),
    ("AT+CPINR", ["+CPINR: SIM PIN,3,3", "+CPINR: SIM PUK,10,10"]),
    ('AT+CLCK="SC",2', ["+CLCK: 0"]),
    ("AT+CSQ", ["+CSQ: 20,0"]),
    ("AT+CREG?", ["+CREG: 0,1"]),
    ("AT+CREG=2;+CREG?", ['+CREG: 2,1,"7D01","01A2B3C4",7']),
    ("AT+CGREG?", ["+CGREG: 0,1"]),
    ("AT+CEREG=2;+CEREG?", ['+CEREG: 2,1,"7D01","01A2B3C4",7']),
    ("AT+CGATT?", ["+CGATT: 1"]),
    ("AT+COPS?", ['+COPS: 0,0,"ZimSim",7']),
    ("AT+COPS=3,2;+COPS?", ['+COPS: 0,2,"26201",7']),
    ('AT+CSCS="UCS2";+COPS?', ['+COPS: 0,0,"005A0069006D00530069006D",7']),
    ('AT+CSCS="HEX";+CSCS?', ['+CSCS: "HEX"']),
    ("AT+CSCA?", ['+CSCA: "+491710760000",145']),
    ('AT+CSCA="+4912345";+CSCA?', ['+CSCA: "+4912345",145']),
    ("AT+CSMS?", ["+CSMS: 0,1,1,1"]),
    ("AT+CSMS=1", ["+CSMS: 1,1,1"]),
    ("AT+CMGF=1;+CMGF?", ["+CMGF: 1"]),
    ("AT+CNMI=2,1;+CNMI?", ["+CNMI: 2,1,0,0,0"]),
    ("AT+CPMS?", ['+CPMS: "SM",0,20,"SM",0,20,"SM",0,20']),
    ('AT+CPMS="ME","SM","ME"', ["+CPMS: 0,50,0,20,0,50"]),
    ("AT+CPMS=?", ['+CPMS: ("SM","ME","SR"),("SM","ME"),("SM","ME")']),
    ("AT+CMGL=4", []),
    ("AT+CMMS=2;+CMMS?", ["+CMMS: 2"]),
    ("AT+CSMP?", ["+CSMP: 17,167,0,0"]),
    ("AT+CSMP=49,167,0,0;+CSMP?", ["+CSMP: 49,167,0,0"]),
    ("AT+CUSD?", ["+CUSD: 0"]),
    ("AT+CFUN?", ["+CFUN: 1"]),
    ("AT+CPAS", ["+CPAS: 0"]),
    ("AT+CBC", ["+CBC: 4.000V"]),
    ("AT+IPR?", ["+IPR: 0"]),
    ("AT+CCLK?", ['+CCLK: "80/01/06,00:00:12+00"']),
    ("AT+CTZU=1;+CTZU?", ["+CTZU: 1"]),
    ("AT+CTZR=1;+CTZR?", ["+CTZR: 1"]),
    ("AT+CMEE=2;+CMEE?", ["+CMEE: 2"]),
    ("ATS0?", ["000"]),
    ("ATS0=0", []),
    ("AT&D2&C1", []),
    ("AT+CLIP=1;+CSCB=1", []),
]
# What each table of commands refuses: an error of its own kind, at +CMEE=1.
REFUSALS = [
    ("AT+NOSUCH", "ERROR"),
    ("AT+CSQ;+NOSUCH;+CSQ", "ERROR"),
    ("AT+CMEE=3", "+CME ERROR: 50"),
    ("AT+CFUN=7", "+CME ERROR: 50"),
    ("AT+IPR=1", "+CME ERROR: 50"),
    ('AT+CSCS="KOI8"', "+CME ERROR: 50"),
    ("AT+CREG=5", "+CME ERROR: 50"),
    ("AT+CPIN", "ERROR"),
    ('AT+CPIN="1234"', "+CME ERROR: 3"),
    ('AT+CLCK="FD",2', "+CME ERROR: 4"),
    ('AT+CPWD="P2"', "+CME ERROR: 50"),
    ("AT+CCID", "ERROR"),
    ("AT+SPIC", "ERROR"),
    ("AT+QPINC", "ERROR"),
    ("AT+CLTS=1", "ERROR"),
    ('AT+QURCCFG="urcport"', "ERROR"),
    ("AT+CNMI=2,9", "+CMS ERROR: 303"),
    ("AT+CNMI=2,1,0,1,0,5", "+CMS ERROR: 303"),
    ('AT+CPMS="XX"', "+CMS ERROR: 302"),
    ('AT+CPMS="SM","SR"', "+CMS ERROR: 302"),
    ("AT+CMGF=2", "+CMS ERROR: 302"),
    ("AT+CSMS=2", "+CMS ERROR: 302"),
    ("AT+CNMA", "+CMS ERROR: 340"),
    ("AT+CMGL=9", "+CMS ERROR: 302"),
    ("AT+CMGR=3", "+CMS ERROR: 321"),
    ("AT+CMGD=3", "+CMS ERROR: 321"),
    ("AT+CMGS", "ERROR"),
    ("AT+CMGS=3", "+CMS ERROR: 304"),
    ("AT+CMGS=300", "+CMS ERROR: 304"),
    ("AT+CMSS=3", "+CMS ERROR: 321"),
    ("ATD112;", "NO CARRIER"),
]  # fmt: skip


async def test_each_command_has_its_response(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for command, lines in ANSWERS:
            await client.ask("ATZ;E0;+CMEE=1")
            assert await client.ask(command) == [*lines, "OK"], command


async def test_each_wrong_command_has_its_error(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for command, final in REFUSALS:
            assert (await client.ask(command))[-1] == final, command


async def test_errors_are_plain_numbered_or_verbose(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for mode, final in (
            (0, "ERROR"),
            (1, "+CMS ERROR: 321"),
            (2, "+CMS ERROR: invalid memory index"),
        ):
            await client.ask(f"AT+CMEE={mode}")
            assert await client.ask("AT+CMGR=3") == [final]
        await client.ask("AT+CMEE=1")
        await bench.order("quirks", always_words=True)
        assert await client.ask("AT+CMGR=3") == ["+CMS ERROR: invalid memory index"]


async def test_echo_can_be_switched(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = bench.client
        assert await client.ask("AT+CSQ") == ["AT+CSQ\r", "+CSQ: 20,0", "OK"]
        assert await client.ask("ATE0") == ["ATE0\r", "OK"]
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]
        assert await client.ask("ATZ") == ["OK"]
        assert await client.ask("AT") == ["AT\r", "OK"]


async def test_final_results_are_digits_or_suppressed(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"ATV0\r")
        assert await client.until(b"0\r") == "0\r"
        client.write(b"AT+CSQ\r")
        assert await client.until(b"\r\n0\r") == "+CSQ: 20,0\r\n0\r"
        client.write(b"AT+NOSUCH\r")
        assert await client.until(b"4\r") == "4\r"
        client.write(b"ATQ1V1\rATQ0\r")
        assert await client.until(b"OK\r\n") == "\r\nOK\r\n"


async def test_a_line_without_at_and_noise_before_at(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"CNMA\r\x1b\r\r\n")
        client.write(b"\x80\xff")
        assert await client.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]
        assert await client.ask("at+csq") == ["+CSQ: 20,0", "OK"]
        assert await client.ask("A/") == ["+CSQ: 20,0", "OK"]
        assert await client.ask("AT+CSQATAT") == ["ERROR"]
        client.write(b"AT" + b"x" * 5000 + b"\r")
        assert await client.until(b"ERROR\r\n")


HEAD = "0001000B911194513240F000"  # up to TP-DCS


async def test_the_longest_text_is_taken(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for scheme_and_length in ("00A0", "048C"):
            client.write(b"AT+CMGS=153\r")
            await client.until(b"> ")
            client.write(f"{HEAD}{scheme_and_length}{'00' * 140}\x1a".encode())
            await client.until(b"OK\r\n")


async def test_a_pdu_of_another_length_than_announced_is_refused(tmp_path: Path) -> None:
    tpdu = encode_submit(submit("Hello"))
    wrong = [
        (tpdu.length + 1, tpdu.hex),
        (tpdu.length, tpdu.hex[:-2]),
        (tpdu.length, tpdu.hex + "0"),
        (tpdu.length, tpdu.hex + "00"),
        (tpdu.length + 1, tpdu.hex + "00"),  # the lengths agree, but TP-UDL does not
        (tpdu.length, "AT+CNMA\r" + tpdu.hex),
        (tpdu.length, ""),
        (tpdu.length, "0004" + tpdu.hex[4:]),  # a DELIVER
        (tpdu.length, "000100" + "00" + tpdu.hex[8:]),  # no recipient
        (tpdu.length, f"{tpdu.hex[:8]} {tpdu.hex[8:]}"),
        (154, f"{HEAD}00A1{'00' * 141}"),  # 161 septets fill 141 octets: one too many
        (154, f"{HEAD}048D{'00' * 141}"),
    ]
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for length, text in wrong:
            client.write(b"AT+CMGS=%d\r" % length)
            await client.until(b"> ")
            client.write(text.encode() + b"\x1a")
            assert await client.until(b"ERROR: 304\r\n"), text
        assert not bench.journal("submit")
        assert len(bench.journal("refused")) == len(wrong)
        assert await send(client) == ["+CMGS: 0", "OK"]


@pytest.mark.parametrize(("name", "says"), [("sim800", "OK"), ("chatty", "ERROR"), ("quiet", "")])
async def test_escape_leaves_the_prompt_with_the_module_s_response(
    tmp_path: Path, name: str, says: str
) -> None:
    async with simulated(tmp_path, personality=name) as bench:
        client = await bench.ready()
        client.write(b"AT+CMGS=20\r")
        await client.until(b"> ")
        client.write(b"0011\x1b")
        if says:
            await client.until(f"\r\n{says}\r\n".encode())
        assert (await client.ask("AT+CGSN"))[-1] == "OK"
        assert not bench.journal("submit")


async def test_a_client_that_ends_at_the_prompt_leaves_the_modem_there(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"AT+CMGS=20\r")
        await client.until(b"> ")
        again = await bench.reopen()
        again.write(b"AT+CSQ\r\x1a")  # swallowed by the message
        assert await again.until(b"ERROR: 304\r\n")
        assert await again.ask("AT+CSQ") == ["+CSQ: 20,0", "OK"]


async def test_input_during_a_command_waits_or_is_lost(tmp_path: Path) -> None:
    for name, kept in (("sim7600", True), ("sim800", False)):
        async with simulated(tmp_path, personality=name) as bench:
            client = await bench.ready()
            await bench.order("answer", command="+CSQ", late=0.01)
            client.write(b"AT+CSQ\rAT+CGSN\r")
            await client.until(b"+CSQ: 20,0\r\n\r\nOK\r\n")
            output = await client.ask("AT+CREG?")
            assert ("860123456789015" in output) is kept
            if kept:
                assert await client.ask("AT") == ["+CREG: 0,1", "OK"]


async def test_text_mode_is_enough_to_be_found_in_and_left(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("AT+CMGF=1;+CSMP=49,167,0,0;+CNMI=2,2,0,1,0")
        client.write(b'AT+CMGS="+4915112340001"\r')
        await client.until(b"> ")
        client.write(b"Hello you\x1a")
        await client.until(b"+CMGS: 0\r\n\r\nOK\r\n")
        assert bench.journal("submit")[0]["text"] == "Hello you"
        assert (await client.until(b",0\r\n")).startswith('\r\n+CDS: 6,0,"+4915112340001",145,"')
        await bench.order("incoming", sender="+4915199", text="Hi")
        assert (await client.until(b"Hi\r\n")).startswith('\r\n+CMT: "+4915199",,"')
        await client.ask("AT+CNMI=2,1,0,1,0")
        await bench.order("incoming", sender="+4915199", text="Ho")
        await client.until(b'+CMTI: "SM",0\r\n')
        (line, text, _) = await client.ask("AT+CMGR=0")
        assert line.startswith('+CMGR: "REC UNREAD","+4915199",,"') and text == "Ho"
        assert (await client.ask('AT+CMGL="ALL"'))[0].startswith(
            '+CMGL: 0,"REC READ","+4915199",,"'
        )
        assert await client.ask('AT+CMGL="SOME"') == ["+CMS ERROR: 302"]
        assert await client.ask('AT+CMGS="abc"') == ["+CMS ERROR: 305"]


async def test_the_store_keeps_messages_to_be_sent(tmp_path: Path) -> None:
    tpdu = encode_submit(submit("Later", report=False))
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"AT+CMGW=%d\r" % tpdu.length)
        await client.until(b"> ")
        client.write(tpdu.hex.encode() + b"\x1a")
        assert "+CMGW: 0\r\n" in await client.until(b"OK\r\n")
        assert (await client.ask("AT+CMGL=2"))[:2] == [f"+CMGL: 0,2,,{tpdu.length}", tpdu.hex]
        assert await client.ask("AT+CMSS=0") == ["+CMSS: 0", "OK"]
        assert (await client.ask("AT+CMGR=0"))[0].startswith("+CMGR: 3,")
        assert bench.journal("submit")[0]["text"] == "Later"


@pytest.mark.parametrize("name", PERSONALITIES)
async def test_the_modem_survives_any_input(tmp_path: Path, name: str) -> None:
    """Noise, commands with arguments of no sense, PDUs of random octets: no error of its own."""
    chance = random.Random(name)
    endings = ["", "=", "?", "=?", "=1", "=-1", "=\xb2", '="\xb2"', "=,,,", '="', "=1,2,3,4,5,6"]
    endings += ["=9" * 40, '="SM"', '="SC",1,"x"', '="12345678","4321"', '=1,"*100#",15', '="+49"']
    commands = sorted(set(HANDLERS) - {"+CPOF", "+QPOWD", "+CPOWD"})  # these do end it
    async with simulated(tmp_path, personality=name, magic=False) as bench:
        terminal = bench.simulator.equipment.terminal
        bench.client.close()  # nobody reads the answers
        for _ in range(3000):
            match chance.randrange(5):
                case 0:
                    typed = chance.randbytes(chance.randrange(40))
                case 1:
                    body = chance.randbytes(chance.randrange(7, 60))
                    body = bytes([chance.choice([0x01, 0x11, 0x41, 0x59])]) + body[1:]
                    terminal.feed(b"\x1bAT+CMGF=0\rAT+CMGS=%d\r" % len(body))
                    await asyncio.sleep(0)
                    typed = b"00" + body.hex().encode() + b"\x1a"
                case 2:
                    terminal.feed(b'\x1bAT+CMGF=1\rAT+CMGS="+4915112340001"\r')
                    await asyncio.sleep(0)
                    typed = chance.randbytes(chance.randrange(9)) + b"\x1a"
                case _:
                    ending = chance.choice(endings).encode("latin-1")
                    typed = b"AT" + chance.choice(commands).encode() + ending + b"\r"
            terminal.feed(typed)
            await asyncio.sleep(0)
        terminal.feed(b"\x1b\r")
        await bench.order("restart")
        assert (await (await bench.reopen()).ask("AT"))[-1] == "OK"


async def test_input_before_the_prompt_is_lost(tmp_path: Path) -> None:
    tpdu = encode_submit(submit())
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"AT+CMGS=%d\r\n%s\x1a" % (tpdu.length, tpdu.hex.encode()))
        await client.until(b"> ")
        client.write(b"\x1b")
        await client.until(b"OK\r\n")
        assert await send(client) == ["+CMGS: 0", "OK"]
        assert len(bench.journal("submit")) == 1


async def test_a_full_store_takes_no_message_to_be_sent(tmp_path: Path) -> None:
    tpdu = encode_submit(submit())
    async with simulated(tmp_path, sim_slots=1) as bench:
        client = await bench.ready()
        for final in ("OK", "+CMS ERROR: 322"):
            client.write(b"AT+CMGW=%d\r" % tpdu.length)
            await client.until(b"> ")
            client.write(tpdu.hex.encode() + b"\x1a")
            await client.until(f"\r\n{final}\r\n".encode())


@pytest.mark.parametrize(
    ("flag", "left"), [(0, {1, 2, 3}), (1, {0, 2, 3}), (2, {0, 2}), (3, {0}), (4, set())]
)
async def test_deleting_by_flag(tmp_path: Path, flag: int, left: set[int]) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("fill", count=1, read=False)
        await bench.order("fill", count=1, read=True)
        tpdu = encode_submit(submit())
        for stored in (b"unsent", b"sent"):
            client.write(b"AT+CMGW=%d\r" % tpdu.length)
            await client.until(b"> ")
            client.write(tpdu.hex.encode() + b"\x1a")
            await client.until(b"OK\r\n")
            if stored == b"sent":
                await client.ask("AT+CMSS=3")
        assert (await client.ask(f"AT+CMGD=0,{flag}"))[-1] == "OK"
        card = bench.simulator.equipment.card
        assert card is not None and set(card.storage.places) == left


async def test_forms_differ_from_module_to_module(tmp_path: Path) -> None:
    cases = {
        "sim800": {
            "AT+CCID": "89490200001234567890",
            "AT+COPS?": '+COPS: 0,0,"ZimSim"',
            "AT+SPIC": "+SPIC: 3,10,3,10",
            "AT+CNMI=?": "+CNMI: (0,1,2,3),(0,1,2,3),(0,2),(0,1),(0,1)",
            "AT+CREG=2;+CREG?": '+CREG: 2,1,"1A2B","0C3D"',
            "AT+CEREG?": "ERROR",
            "AT+CBC": "+CBC: 0,90,4000",
        },
        "sim7070": {"AT+CREG?": "+CREG: 0,3", "AT+CEREG?": "+CEREG: 0,1"},
        "ec25": {
            "AT+QCCID": "+QCCID: 89490200001234567890",
            'AT+QPINC="SC"': '+QPINC: "SC",3,10',
            'AT+QURCCFG="urcport"': '+QURCCFG: "urcport","usbat"',
            'AT+QURCCFG="urcport","usbmodem"': "OK",
            "AT+CPMS?": '+CPMS: "ME",0,50,"ME",0,50,"ME",0,50',
        },
        "a7670": {"AT+CNMI=2,2,0,2,0": "+CMS ERROR: 303", "AT+ICCID": "+ICCID: 89490200001234567890"},
        "quiet": {"AT+CPIN?": "+CPIN:READY", "AT+CMMS=2": "+CMS ERROR: 500", "AT+CMGR=1": "OK"},
    }  # fmt: skip
    for name, answers in cases.items():
        async with simulated(tmp_path, personality=name) as bench:
            client = await bench.ready()
            for command, line in answers.items():
                assert (await client.ask(command))[0] == line, (name, command)


async def test_an_a7670_has_verbose_errors_by_default(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="a7670", boot=1000) as bench:
        bench.simulator.equipment.come_alive()
        await bench.client.until(b"*ATREADY: 1\r\n")
        assert (await bench.client.ask("AT+CPIN?"))[-1] == "+CME ERROR: SIM failure"
        bench.simulator.equipment.read_sim()
        await bench.client.until(b"+CPIN: READY\r\n")
        assert (await bench.client.ask("AT+CMGR=3"))[-1].startswith("+CMS ERROR: ")


async def test_the_chatty_personality_sends_urcs_at_any_time(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="chatty", seed=1) as bench:
        client = await bench.ready()
        output = [line for _ in range(30) for line in await client.ask("AT+CSQ")]
        assert any(
            line.startswith(("RING", "+CIEV", "^RSSI", "*PSUTTZ", "^MODE")) for line in output
        )
        assert output.count("+CSQ: 20,0") == 30
        line, _ = [each for each in await send(client) if each.startswith("+CMGS") or each == "OK"]
        assert line.startswith('+CMGS: 0,"2')


async def test_the_radio_goes_off_and_on_and_the_modem_restarts(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        assert await client.ask("AT+CFUN=4") == ["OK"]
        assert await client.ask("AT+CREG?;+CSQ;+COPS?") == [
            "+CREG: 0,0",
            "+CSQ: 99,99",
            "+COPS: 0",
            "OK",
        ]
        assert (await send(client))[-1] == "+CMS ERROR: 331"
        assert await client.ask("AT+CFUN=0") == ["OK"]
        assert await client.ask("AT+CIMI") == ["ERROR"]
        assert (await client.ask("AT+CFUN=1"))[-1] == "OK"
        await client.until(b"PB DONE\r\n")
        assert (await send(client)) == ["+CMGS: 0", "OK"]
        assert (await client.ask("AT+CFUN=1,1"))[-1] == "OK"
        await client.until(b"RDY\r\n")
        await client.until(b"PB DONE\r\n")
        assert await client.ask("AT+CNMI?") == ["AT+CNMI?\r", "+CNMI: 2,1,0,0,0", "OK"]


async def test_a_modem_switched_off_stays_off_until_restarted(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"AT+CPOF\r")
        await client.until(b"NORMAL POWER DOWN\r\n")
        client.write(b"AT\r")
        assert not (await bench.order("status"))["powered"]
        await bench.order("restart")
        await client.until(b"PB DONE\r\n")
        assert (await client.ask("AT"))[-1] == "OK"

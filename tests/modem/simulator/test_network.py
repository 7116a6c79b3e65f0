"""The simulated network, its reports and messages, the phones behind it, and the test numbers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modem.simulator.network.test_numbers import OUTCOMES
from modem.sms.gsm7 import Alphabet, plan
from modem.sms.tpdu import Concatenation, Deliver, Report, decode
from tests.modem.simulated import Bench, Client, no_more, send, simulated, submit


async def report(client: Client) -> Report:
    """The next +CDS."""
    output = await client.until(b"+CDS: ")
    assert output.endswith("\r\n+CDS: ")
    length = int(await client.until(b"\r\n"))
    hexadecimal = (await client.until(b"\r\n")).strip()
    assert len(hexadecimal) // 2 - 8 == length
    decoded = decode(hexadecimal)
    assert isinstance(decoded, Report)
    return decoded


# -- the own number


@pytest.mark.parametrize("to", ["+4915112345678", "015112345678"])
async def test_a_message_to_the_own_number_comes_back(tmp_path: Path, to: str) -> None:
    text = "Grüße an mich selbst, 5 € " * 8
    planned = plan(text)
    async with simulated(tmp_path, number="+4915112345678") as bench:
        client = await bench.ready()
        for number, part in enumerate(planned.parts, start=1):
            joined = Concatenation(7, len(planned.parts), number)
            assert (await send(client, submit(part, to, concatenation=joined)))[-1] == "OK"
        await bench.until(lambda: len(bench.journal("incoming")) == len(planned.parts))
        came = [decode(line["tpdu"]) for line in bench.journal("incoming")]
        assert "".join(part.text or "" for part in came if isinstance(part, Deliver)) == text
        assert all(isinstance(part, Deliver) and part.sender == "+4915112345678" for part in came)
        assert all(line["taken"] == "stored" for line in bench.journal("incoming"))


async def test_a_message_to_another_number_does_not(tmp_path: Path) -> None:
    async with simulated(tmp_path, number="+4915112345678") as bench:
        client = await bench.ready()
        await send(client, submit(to="+4915112345679"))
        await report(client)
        assert not bench.journal("incoming")


# -- taking parts


async def test_the_journal_has_the_exact_text_that_the_network_received(tmp_path: Path) -> None:
    text = "Grüße, 5 € [ok] 😀 " * 8
    planned = plan(text)
    async with simulated(tmp_path, reference=254) as bench:
        client = await bench.ready()
        for number, part in enumerate(planned.parts, start=1):
            message = submit(
                part,
                alphabet=planned.alphabet,
                concatenation=Concatenation(7, len(planned.parts), number),
                validity_minutes=60,
                flash=True,
                report=False,
            )
            assert (await send(client, message))[-1] == "OK"
        lines = bench.journal("submit")
        assert "".join(line["text"] for line in lines) == text
        assert [line["reference"] for line in lines] == [254, 255, 0]  # TP-MR wraps
        assert lines[0]["concatenation"] == {"reference": 7, "total": 3, "number": 1, "wide": False}
        for line in lines:
            assert (line["alphabet"], line["validity_minutes"]) == ("UCS-2", 60)
            assert line["flash"] and not line["report"] and line["imsi"] == "262019876543210"
            assert datetime.fromisoformat(line["at"]).tzinfo and line["mono"] > 0
        (joined,) = bench.journal("message")
        assert (joined["text"], joined["submits"]) == (text, [1, 2, 3])


async def test_the_reference_is_counted_per_accepted_part_only(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await send(client)
        await bench.order("send", cms=38)
        await send(client)
        assert (await send(client))[0] == "+CMGS: 1" or "+CDS" in client.read.decode()
        assert [line["reference"] for line in bench.journal("submit")] == [0, 1]


async def test_the_network_accepts_a_part_after_the_latency(tmp_path: Path) -> None:
    async with simulated(tmp_path, latency=0.05, latency_jitter=0.01) as bench:
        client = await bench.ready()
        start = asyncio.get_running_loop().time()
        await send(client)
        assert asyncio.get_running_loop().time() - start >= 0.04


async def test_cmms_keeps_the_radio_link_open(tmp_path: Path) -> None:
    async with simulated(tmp_path, link_setup=0.03) as bench:
        client = await bench.ready()
        clock = asyncio.get_running_loop().time
        for command in ("AT+CMMS=0", "AT+CMMS=2"):  # nothing has opened it before
            await client.ask(command)
            start = clock()
            await send(client, submit(report=False))
            assert clock() - start >= 0.03
        await bench.order("network", link_setup=1000.0)
        assert (await send(client, submit(report=False)))[-1] == "OK"  # it is open


async def test_cmms_1_ends_with_the_link_and_2_stays(tmp_path: Path) -> None:
    """27.005 3.5.6."""
    async with simulated(tmp_path, cmms_open=0.01) as bench:
        client = await bench.ready()
        for mode, left in ((1, 0), (2, 2)):
            await client.ask(f"AT+CMMS={mode}")
            await send(client, submit(report=False))
            await asyncio.sleep(0.02)  # longer than `cmms_open`
            await send(client, submit(report=False))
            assert await client.ask("AT+CMMS?") == [f"+CMMS: {left}", "OK"]


async def test_incomplete_messages_are_dropped_in_the_end(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        handsets = bench.simulator.handsets
        for number in range(3000):
            part = submit(to=f"+49151{number:07d}", concatenation=Concatenation(1, 2, 1))
            handsets.receive(part, number, "")
        assert handsets.incomplete == 1000


async def test_parts_are_joined_in_any_order_and_repeated_parts_ignored(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for number in (3, 1, 1, 2):
            part = submit(f"{number};", concatenation=Concatenation(9, 3, number), report=False)
            await send(client, part)
        (joined,) = bench.journal("message")
        assert (joined["text"], joined["submits"]) == ("1;2;3;", [2, 4, 1])
        (twice,) = bench.journal("duplicate part")
        assert (twice["submit"], twice["first"]) == (3, 2)
        assert (await bench.order("status"))["incomplete"] == 0


async def test_a_split_surrogate_pair_is_joined_at_the_phone(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        for number, half in ((1, "d83d"), (2, "de00")):
            body = f"0041000D91945111320400F10008080500030{5:X}020{number}{half}".upper()
            client.write(b"AT+CMGS=%d\r" % (len(body) // 2 - 1))
            await client.until(b"> ")
            client.write(body.encode() + b"\x1a")
            await client.until(b"OK\r\n")
        assert len(bench.journal("submit")) == 2
        assert bench.journal("message")[0]["text"] == "😀"


@pytest.mark.parametrize("stat", [0, 2, 3, 4, 8])
async def test_no_part_is_accepted_without_registration(tmp_path: Path, stat: int) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("AT+CREG=1")
        await bench.order("registration", stat=stat)
        assert await client.until(b"\r\n\r\n", b"+CREG: %d\r\n" % stat)
        assert (await client.ask("AT+CREG?"))[-2] == f"+CREG: 1,{stat}"
        assert (await send(client))[-1] == "+CMS ERROR: 331"


@pytest.mark.parametrize("stat", [1, 5, 6, 7])
async def test_home_roaming_and_sms_only_can_send(tmp_path: Path, stat: int) -> None:
    async with simulated(tmp_path, registration=0) as bench:
        client = await bench.ready()
        await bench.order("registration", stat=stat)
        assert (await client.ask("AT+CEREG?"))[0] == f"+CEREG: 0,{stat}"
        assert (await send(client)) == ["+CMGS: 0", "OK"]


async def test_waiting_messages_arrive_when_registration_returns(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", hold=True)
        await send(client)
        await bench.order("registration", stat=2)
        await bench.order("incoming", text="Are you there?")
        await bench.order("release")
        await no_more(bench)
        assert (await bench.order("status"))["waiting"] == 2
        await bench.order("registration", stat=1)
        await client.until(b"+CMTI: ")
        await client.until(b"+CDS: ")
        taken = [line["taken"] for line in bench.journal("report")]
        assert taken == ["not taken", "direct"]


async def test_registration_is_lost_for_a_while(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("AT+CREG=1")
        await bench.order("registration", stat=2, seconds=0.03)
        await client.until(b"+CREG: 2\r\n")
        await client.until(b"+CREG: 1\r\n")


async def test_the_network_tries_again_by_itself(tmp_path: Path) -> None:
    async with simulated(tmp_path, retry_delay=0.02, sim_slots=1) as bench:
        client = await bench.ready()
        await bench.order("fill")
        await bench.order("incoming", text="Waits")
        await bench.until(lambda: len(bench.journal("incoming")) >= 3)
        card = bench.simulator.equipment.card
        assert card is not None
        card.storage.places.clear()
        await client.until(b"+CMTI: ")


async def test_signal_and_operator_can_be_changed(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("signal", rssi=3)
        await bench.order("operator", name="Other", plmn="20801")
        assert await client.ask("AT+CSQ;+COPS?") == ["+CSQ: 3,0", '+COPS: 0,0,"Other",7', "OK"]


async def test_credit_ends(tmp_path: Path) -> None:
    async with simulated(tmp_path, credit=2, credit_cms=34) as bench:
        client = await bench.ready()
        finals = [(await send(client, submit(report=False)))[-1] for _ in range(3)]
        assert finals == ["OK", "OK", "+CMS ERROR: 34"]
        await bench.order("credit", left=None)
        assert (await send(client, submit(report=False)))[-1] == "OK"


async def test_network_times_can_be_changed_while_it_runs(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("network", latency=0.03)
        start = asyncio.get_running_loop().time()
        await send(client)
        assert asyncio.get_running_loop().time() - start >= 0.03


# -- reports


async def test_a_report_has_recipient_times_and_status(tmp_path: Path) -> None:
    async with simulated(tmp_path, report_delay=2.0, reference=77) as bench:
        client = await bench.ready()
        await bench.order("report", delay=0.0)
        await send(client)
        result = await report(client)
        assert (result.reference, result.recipient, result.status) == (77, "+4915112340001", 0)
        assert result.scts is not None and result.discharged_at is not None
        now = datetime.now(result.scts.tzinfo)
        assert abs((now - result.scts).total_seconds()) < 5


async def test_no_report_where_none_was_asked_for(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await send(client, submit(report=False))
        await no_more(bench)
        assert not bench.journal("report")


async def test_a_report_is_lost(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", lost=True)
        await send(client)
        await no_more(bench)
        assert [line["submit"] for line in bench.journal("report lost")] == [1]


async def test_a_report_overtakes_the_answer(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", early=True)
        lines = await send(client)
        assert lines[0] == "+CDS: 26" and lines[2:] == ["+CMGS: 0", "OK"]


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ({"status": [0x41]}, [0x41]),
        ({"status": [0x30, 0x00]}, [0x30, 0x00]),
        ({"status": [0x62, 0x00], "apart": 0.01}, [0x62, 0x00]),
        ({"copies": 3}, [0, 0, 0]),
        ({"copies": 2, "status": [0x20, 0x45]}, [0x20, 0x20, 0x45, 0x45]),
    ],
)
async def test_reports_with_other_statuses(
    tmp_path: Path, fault: dict[str, Any], statuses: list[int]
) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", **fault)
        await send(client)
        assert [(await report(client)).status for _ in statuses] == statuses
        await no_more(bench)
        assert [line["status"] for line in bench.journal("report")] == statuses


async def test_a_report_without_times_and_with_the_number_in_another_form(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", zero_times=True, recipient="national")
        await bench.order("report", recipient="15112340001")
        await send(client)
        result = await report(client)
        assert (result.scts, result.discharged_at, result.recipient) == (
            None,
            None,
            "015112340001",
        )
        await send(client)
        assert (await report(client)).recipient == "15112340001"


async def test_reports_are_reordered_held_back_and_released(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", swap=True)
        await send(client)
        await no_more(bench)
        await send(client)
        assert [(await report(client)).reference for _ in range(2)] == [1, 0]
        await bench.order("report", hold=True, times=2)
        await send(client)
        await send(client)
        await no_more(bench)
        assert (await bench.order("status"))["held"] == 2
        assert (await bench.order("release"))["reports"] == 2
        assert [(await report(client)).reference for _ in range(2)] == [2, 3]


async def test_reports_survive_a_restart_of_the_modem_and_reach_only_their_sim(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("report", hold=True)
        await send(client)
        await bench.order("restart")
        await client.until(b"PB DONE\r\n")
        await bench.ready()
        await bench.order("sim", iccid="8949000000000000001", imsi="262010000000001")
        await client.until(b"PB DONE\r\n")
        await bench.order("release")
        await no_more(bench)
        await bench.order("sim", iccid="89490200001234567890")
        await client.until(b"PB DONE\r\n")
        assert (await report(client)).reference == 0


# -- how the modem hands on what arrives (27.005 3.4.1)


async def test_stored_reports_are_read_from_sr(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="ec25", report_slots=2) as bench:
        client = await bench.ready()
        await bench.order("quirks", honest_cdsi=True)
        await client.ask("AT+CNMI=2,1,0,2,0")
        await send(client)
        await client.until(b'+CDSI: "SR",0\r\n')
        await send(client)
        await client.until(b'+CDSI: "SR",1\r\n')
        await client.ask('AT+CPMS="SR"')
        (line, hexadecimal, _) = await client.ask("AT+CMGR=1")
        result = decode(hexadecimal)
        assert line == "+CMGR: 0,,26" and isinstance(result, Report) and result.reference == 1
        await send(client)  # the store is full: the network keeps the report
        await no_more(bench)
        await client.ask("AT+CMGD=0")
        await client.until(b'+CDSI: "SR",0\r\n')


async def test_an_ec25_names_the_wrong_place_and_a_sim7600_cannot_read_it(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="ec25") as bench:
        client = await bench.ready()
        await client.ask("AT+CNMI=2,1,0,2,0")
        await send(client)
        await client.until(b'+CDSI: "SM",0\r\n')
        assert await client.ask('AT+CPMS="SM";+CMGR=0') == [
            "+CPMS: 0,20,0,50,0,50",
            "+CMS ERROR: 321",
        ]
        assert len(await client.ask('AT+CPMS="SR";+CMGR=0')) == 4
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("AT+CNMI=2,1,0,2,0")
        await send(client)
        await client.until(b'+CDSI: "SR",0\r\n')
        assert (await client.ask('AT+CPMS="SR";+CMGR=0'))[-1] == "+CMS ERROR: 321"


async def test_without_indications_reports_are_gone(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("AT+CNMI=2,1,0,0,0")
        await send(client)
        await no_more(bench)
        assert [line["taken"] for line in bench.journal("report")] == ["dropped"]


@pytest.mark.parametrize(("clear", "kept"), [(0, [2, 3]), (1, [])])
async def test_indications_are_kept_back_while_the_client_says_so(
    tmp_path: Path, clear: int, kept: list[int]
) -> None:
    async with simulated(tmp_path, indications=2) as bench:
        client = await bench.ready()
        await client.ask("AT+CNMI=0,1,0,1,0")
        for _ in range(4):
            await send(client)
        await no_more(bench)
        client.write(b"AT+CNMI=2,1,0,1,%d\r" % clear)
        assert [(await report(client)).reference for _ in kept] == kept
        await client.until(b"OK\r\n")
        await no_more(bench)


async def test_each_report_needs_an_acknowledgement_at_csms_1(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await client.ask("AT+CSMS=1")
        await send(client)
        assert (await report(client)).reference == 0
        await send(client)
        await no_more(bench)  # the second waits for the thanks for the first
        assert await client.ask("AT+CNMA") == ["OK"]
        assert (await report(client)).reference == 1
        assert await client.ask("AT+CNMA=0") == ["OK"]
        assert await client.ask("AT+CNMA") == ["+CMS ERROR: 340"]


@pytest.mark.parametrize("refused", [False, True])
async def test_without_acknowledgement_indications_are_switched_off(
    tmp_path: Path, refused: bool
) -> None:
    within = 15.0 if refused else 0.02
    async with simulated(tmp_path, acknowledge_within=within) as bench:
        client = await bench.ready()
        await client.ask("AT+CSMS=1")
        await send(client)
        await report(client)
        if refused:
            assert await client.ask("AT+CNMA=2") == ["OK"]
        else:
            await bench.until(lambda: bench.journal("not acknowledged"))
        assert await client.ask("AT+CNMI?") == ["+CNMI: 2,0,0,0,0", "OK"]
        assert len(bench.journal("not acknowledged")) == 1
        assert (await bench.order("status"))["waiting"] == 1


# -- messages to the modem


async def read_all(client: Client) -> list[Deliver]:
    lines = await client.ask("AT+CMGL=4")
    decoded = [decode(each) for each in lines if each.startswith("07")]
    return [each for each in decoded if isinstance(each, Deliver)]


async def test_a_message_arrives_stored_or_directly(tmp_path: Path) -> None:
    async with simulated(tmp_path, personality="sim800") as bench:
        client = await bench.ready()
        await bench.order("incoming", sender="ZimBank", text="Code 1234")
        await client.until(b'+CMTI: "SM",1\r\n')
        (message,) = await read_all(client)
        assert (message.sender, message.text) == ("ZimBank", "Code 1234")
        await client.ask("AT+CNMI=2,2,0,1,0")
        await bench.order("incoming", sender="+4915199", text="Direct")
        await client.until(b"+CMT: ,")
        await client.until(b"\r\n")
        direct = decode((await client.until(b"\r\n")).strip())
        assert isinstance(direct, Deliver) and direct.text == "Direct"
        await client.ask("AT+CNMI=2,0,0,1,0")
        await bench.order("incoming", text="Without a word")
        await no_more(bench)
        assert len(await read_all(client)) == 2


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ({"order": "given"}, [1, 2, 3]),
        ({"order": "reversed"}, [3, 2, 1]),
        ({"without": [2]}, [1, 3]),
        ({"twice": True}, [1, 1, 2, 2, 3, 3]),
        ({"wide": True, "reference": 1000}, [1, 2, 3]),
    ],
)
async def test_long_messages_arrive_in_any_order(
    tmp_path: Path, words: dict[str, Any], numbers: list[int]
) -> None:
    text = "0123456789" * 40
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        answer = await bench.order("incoming", text=text, **words)
        assert answer["parts"] == len(numbers)
        parts = [each.concatenation for each in await read_all(client)]
        assert [each and each.number for each in parts] == numbers
        if words.get("wide"):
            assert all(each and each.wide and each.reference == 1000 for each in parts)


async def test_shuffled_parts_old_stamps_zero_stamps_flash_and_raw(tmp_path: Path) -> None:
    async with simulated(tmp_path, seed=4) as bench:
        client = await bench.ready()
        await bench.order("incoming", text="x" * 900, order="shuffled")
        numbers = [
            each.concatenation.number for each in await read_all(client) if each.concatenation
        ]
        assert sorted(numbers) == [1, 2, 3, 4, 5, 6] != numbers
        await client.ask("AT+CMGD=0,4")
        await bench.order("incoming", text="old", hours_ago=48)
        await bench.order("incoming", text="zero", zero_time=True, flash=True)
        await bench.order(
            "incoming",
            pdu="07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07",
        )
        old, zero, raw = await read_all(client)
        assert old.sent_at is not None and zero.sent_at is None and zero.flash
        assert (datetime.now(old.sent_at.tzinfo) - old.sent_at).total_seconds() > 47 * 3600
        assert raw.text == "How are you?"
        answer = await bench.simulator.command({"do": "incoming", "pdu": "0791"})
        assert not answer["ok"]


async def test_a_full_store_gets_nothing_more_until_there_is_room(tmp_path: Path) -> None:
    async with simulated(tmp_path, sim_slots=3) as bench:
        client = await bench.ready()
        assert (await bench.order("fill", store="SM"))["stored"] == 3
        await bench.order("incoming", text="Waits")
        await no_more(bench)  # not a word
        assert (await client.ask("AT+CPMS?"))[0] == '+CPMS: "SM",3,3,"SM",3,3,"SM",3,3'
        await client.ask("AT+CMGD=1")
        await client.until(b'+CMTI: "SM",1\r\n')
        assert [each.text for each in await read_all(client)] == [
            "old message 1",
            "Waits",
            "old message 3",
        ]
        assert [line["taken"] for line in bench.journal("incoming")] == ["not taken", "stored"]
        assert (await bench.order("fill", store="ME", count=2))["stored"] == 2


async def test_a_phone_replies(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("reply", text="STOP", to="*0001", times=1)
        await bench.order("reply", text="You said: {text}", to="*0002")
        for to in ("+4915112340001", "+4915112340001", "+4915112340002", "+4915112340003"):
            await send(client, submit("Hello", to=to, report=False))
        await bench.until(lambda: len(bench.journal("message")) >= 4)
        await asyncio.sleep(0.01)  # more replies than expected would arrive by now
        assert [(each.sender, each.text) for each in await read_all(client)] == [
            ("+4915112340001", "STOP"),
            ("+4915112340002", "You said: Hello"),
        ]


# -- USSD and time


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"text": "12,34 EUR"}, '+CUSD: 0,"12,34 EUR",15'),
        ({"text": "12 €", "form": "ucs2"}, '+CUSD: 0,"00310032002020AC",72'),
        ({"text": "hello", "form": "packed"}, '+CUSD: 0,"E8329BFD06",15'),
        ({"text": "12", "form": "no dcs"}, '+CUSD: 0,"12"'),
        ({"text": "More?", "status": 1}, '+CUSD: 1,"More?",15'),
        ({"status": 2}, "+CUSD: 2"),
        ({"status": 4}, "+CUSD: 4"),
    ],
)
async def test_ussd_is_answered_in_many_forms(
    tmp_path: Path, answer: dict[str, Any], line: str
) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("ussd", code="[*]101#", **answer)
        assert await client.ask('AT+CUSD=1,"*101#",15') == ["OK"]
        assert await client.until(line.encode() + b"\r\n")


async def test_ussd_before_the_ok_late_refused_and_unknown(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("ussd", code="1", text="first", before_ok=True)
        await bench.order("ussd", code="2", text="late", after=0.03)
        clock = asyncio.get_running_loop().time
        await bench.order("ussd", code="3", cme=30)
        assert await client.ask('AT+CUSD=1,"1",15') == ['+CUSD: 0,"first",15', "OK"]
        start = clock()
        assert await client.ask('AT+CUSD=1,"2",15') == ["OK"]
        await client.until(b'"late",15\r\n')
        assert clock() - start >= 0.03
        assert await client.ask('AT+CUSD=1,"3",15') == ["+CME ERROR: 30"]
        assert await client.ask('AT+CUSD=1,"9",15') == ["OK"]
        await client.until(b"+CUSD: 4\r\n")
        assert await client.ask('AT+CSCS="UCS2"') == ["OK"]
        assert await client.ask('AT+CUSD=1,"0031",15') == [
            '+CUSD: 0,"00660069007200730074",15',
            "OK",
        ]
        await bench.order("registration", stat=2)
        assert await client.ask('AT+CUSD=1,"0031",15') == ["+CME ERROR: 30"]
        wrong = {"do": "ussd", "text": "漢", "form": "packed"}
        assert not (await bench.simulator.command(wrong))["ok"]


async def test_the_network_sends_its_time(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        assert (await client.ask("AT+CCLK?"))[0] == '+CCLK: "80/01/06,00:00:12+00"'
        await client.ask("AT+CTZU=1;+CTZR=1")
        await bench.order("time", at="2031-02-03T04:05:06+00:00", zone_quarters=-14)
        await client.until(b'+CTZV: "-14"\r\n')
        assert (await client.ask("AT+CCLK?"))[0].startswith('+CCLK: "31/02/03,00:35:')
        await client.ask("AT+CTZR=2")
        await bench.order("time", zone_quarters=8)
        await client.until(b'+CTZE: "+08",0,"20')
        await send(client)
    async with simulated(tmp_path, personality="sim800") as bench:
        client = await bench.ready()
        await client.ask("AT+CLTS=1")
        await bench.order("time", at="2031-02-03T04:05:06+00:00", zone_quarters=4)
        await client.until(b'*PSUTTZ: 2031,2,3,4,5,6,"+04",0\r\n\r\nDST: 0\r\n')


async def test_time_stamps_follow_the_network_clock(tmp_path: Path) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await bench.order("time", at="2031-02-03T04:05:06+00:00", tell=False)
        await send(client)
        result = await report(client)
        assert result.scts is not None
        assert result.scts.isoformat().startswith("2031-02-03T04:05:")


# -- test numbers


async def send_twice(
    tmp_path: Path, nn: str, **settings: Any
) -> tuple[list[str], list[int], Bench]:
    """Two sends to a test number: their final results, and the TP-ST that were reported."""
    async with simulated(tmp_path, **settings) as bench:
        client = await bench.ready()
        finals = []
        for _ in range(2):
            lines = await send(client, submit(to=f"+49151555501{nn}"))
            finals.append(next(each for each in reversed(lines) if each[:2] in ("OK", "+C")))
        await asyncio.sleep(0.03)  # all reports of the number would arrive by now
        return finals, [line["status"] for line in bench.journal("report")], bench


@pytest.mark.parametrize(
    ("nn", "finals", "statuses"),
    [
        ("00", ["OK", "OK"], [0, 0]),
        ("01", ["OK", "OK"], [0x41, 0x41]),
        ("02", ["OK", "OK"], [0x46, 0x46]),
        ("03", ["OK", "OK"], []),
        ("05", ["+CMS ERROR: 38", "OK"], [0]),
        ("06", ["+CMS ERROR: 1"] * 2, []),
        ("07", ["+CMS ERROR: 21"] * 2, []),
        ("08", ["+CMS ERROR: 196"] * 2, []),
        ("12", ["OK", "OK"], [0, 0, 0, 0]),
        ("14", ["OK", "OK"], [0x62, 0x62]),
        ("15", ["+CMS ERROR: 42"] * 2, []),
        ("16", ["OK", "OK"], [0, 0]),
        ("17", ["OK", "OK"], [0, 0]),
        ("18", ["OK", "OK"], [0, 0]),
        ("19", ["OK", "OK"], [0, 0]),
        ("20", ["+CMS ERROR: 500"] * 2, []),
        ("99", ["OK", "OK"], [0, 0]),
    ],
)
async def test_test_numbers_do_what_the_table_says(
    tmp_path: Path, nn: str, finals: list[str], statuses: list[int]
) -> None:
    seen, reported, bench = await send_twice(tmp_path, nn)
    assert (seen, reported) == (finals, statuses)
    if nn == "16":
        assert {line["recipient"] for line in bench.journal("report")} == {"015155550116"}
    replies = [line["text"] for line in bench.journal("incoming")]
    assert replies == {"18": ["STOP"] * 2, "19": ["Hello"] * 2}.get(nn, [])


@pytest.mark.parametrize(("nn", "statuses"), [("04", [0x30, 0]), ("13", [0x62, 0])])
async def test_test_numbers_with_two_reports(tmp_path: Path, nn: str, statuses: list[int]) -> None:
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        await send(client, submit(to=f"+49151555501{nn}"))
        assert [(await report(client)).status for _ in range(2)] == statuses


@pytest.mark.parametrize(("nn", "taken"), [("09", True), ("10", False)])
async def test_test_numbers_that_are_not_answered(tmp_path: Path, nn: str, taken: bool) -> None:
    from modem.sms.tpdu import encode_submit

    tpdu = encode_submit(submit(to=f"+49151555501{nn}"))
    async with simulated(tmp_path) as bench:
        client = await bench.ready()
        client.write(b"AT+CMGS=%d\r" % tpdu.length)
        await client.until(b"> ")
        client.write(tpdu.hex.encode() + b"\x1a")
        if taken:
            assert (await report(client)).reference == 0
        assert await client.ask("AT") == ["OK"]
        assert len(bench.journal("submit")) == len(bench.journal("unanswered")) == taken


async def test_the_late_number_and_test_numbers_switched_off(tmp_path: Path) -> None:
    async with simulated(tmp_path, late_report=0.05) as bench:
        client = await bench.ready()
        await send(client, submit(to="+4915155550111"))
        assert (await report(client)).status == 0
        (taken,), (reported,) = bench.journal("submit"), bench.journal("report")
        assert reported["mono"] - taken["mono"] >= 0.05
    _, statuses, _ = await send_twice(tmp_path / "off", "01", magic=False)
    assert statuses == [0, 0]


def test_every_test_number_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()
    for nn, each in OUTCOMES.items():
        assert f"| `555 01{nn}` | {each.meaning} |" in text


def test_alphabets_of_the_journal_are_those_of_the_contract() -> None:
    assert [each.value for each in (Alphabet.GSM7, Alphabet.UCS2)] == ["GSM-7", "UCS-2"]

"""Reports and messages arrive once in every mode of the modem, and are then deleted."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from modem.driver.device import ModemDriver, SerialLine
from modem.driver.storage import HandedOut
from modem.interface import ModemState, ReceivedPdu, Slot, Verdict
from modem.simulator import Settings, Simulator
from modem.sms import tpdu
from tests.modem.driven import QUICK, Driven, attached, driven, patient, quick
from tests.modem.scripted import HEALTHY, SENDING, Scripted
from tests.waiting import HANG_SECONDS, eventually

PDU = tpdu.encode_deliver(tpdu.Deliver(sender="+4915112345999", text="bonjour")).hex
OTHER_ICCID = "89490200001234567891"
REPORT = "0006D60B911326880736F4111011719551401110117195714000"
ONE_STORE = {"AT+CPMS=?": '+CPMS: ("SM"),("SM"),("SM")\n\nOK', "AT+CMGL=4": "OK"}
OTHER_REPORT = "0006D70B911326880736F4111011719551401110117195714000"


async def forget_all(box: Driven) -> None:
    for received in box.received:
        if received.slot is not None:
            await box.device.forget(received)


async def test_a_message_is_read_at_once_and_deleted_after_the_commit(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=patient(stored_poll_seconds=60)) as box:
        await box.ready()
        await box.order("incoming", sender="+4915112345999", text="bonjour à tous")
        await box.until(lambda: box.messages)
        (received,) = box.received
        assert received.slot == Slot("SM", 0)
        assert received.iccid == "89490200001234567890"
        assert box.messages[0].text == "bonjour à tous"
        assert box.simulator.cards[received.iccid].storage.places
        await box.device.forget(received)
        assert not box.simulator.cards[received.iccid].storage.places


async def test_a_long_message_in_reverse_order_with_wide_references(tmp_path: Path) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("incoming", text="x" * 400, wide=True, order="reversed")
        await box.until(lambda: len(box.messages) == 3)
        joined = [message.concatenation for message in box.messages]
        assert sorted(one.number for one in joined if one) == [1, 2, 3]
        assert all(one.wide for one in joined if one)


@pytest.mark.parametrize("personality", ["ec25", "sim7600", "sim800", "chatty"])
async def test_direct_reports_are_used_where_the_module_offers_them(
    tmp_path: Path, personality: str
) -> None:
    async with driven(tmp_path, Settings(personality=personality, report_delay=0.01)) as box:
        assert (await box.ready()).report_mode == "direct"
        for n in range(5):
            await box.send(f"{n}")
        await box.until(lambda: len(box.reports) == 5)
        assert [report.reference for report in box.reports] == list(range(5))
        assert all(received.slot is None for received in box.received)


async def test_stored_reports_are_found_although_the_module_names_a_wrong_place(
    tmp_path: Path,
) -> None:
    """An EC25 announces +CDSI: "SM",0 and stores in SR."""
    async with driven(
        tmp_path, Settings(personality="ec25"), timing=patient(stored_poll_seconds=60), start=False
    ) as box:
        await box.order("answer", command="+CNMI=2,1,0,1,*", final="ERROR", times=None)
        await box.device.start()
        assert (await box.ready()).report_mode == "stored"
        for n in range(3):
            await box.send(f"{n}")
            await box.reported(n + 1)
        assert {received.slot.storage for received in box.received if received.slot} == {"SR"}
        await forget_all(box)
        assert not box.simulator.equipment.storages["SR"].places
        # … and what the module receives goes where it went before.
        await box.order("incoming", text="still here")
        await box.until(lambda: box.messages)


async def test_stored_reports_wait_for_a_box_that_is_off(tmp_path: Path) -> None:
    """The owner may choose them; direct ones that come meanwhile are said to nobody."""
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(personality="ec25", report_delay=0.2), journal=journal)
    path = await simulator.start()
    try:
        async with attached(path, simulator, journal, reports="stored") as box:
            assert (await box.ready()).report_mode == "stored"
            assert (await box.send("before the power cut")).verdict is Verdict.TAKEN
        await eventually(
            lambda: simulator.journal.counts["report"], 'simulator.journal.counts["report"]'
        )
        async with attached(path, simulator, journal, reports="stored") as box:
            await box.reported(1)
    finally:
        await simulator.stop()


async def test_a_module_without_report_storage_gives_direct_reports(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, Settings(personality="sim800"), reports="stored") as box:
        assert (await box.ready()).report_mode == "direct"


async def test_stored_reports_are_read_also_within_a_burst(tmp_path: Path) -> None:
    timing = patient(idle_after_seconds=600, stored_poll_seconds=0.1)
    settings = Settings(personality="ec25", latency=0.002)
    async with driven(tmp_path, settings, timing=timing, start=False) as box:
        await box.order("answer", command="+CNMI=2,1,0,1,*", final="ERROR", times=None)
        await box.device.start()
        await box.ready()
        await box.order("fill", store="SR", count=1)  # of which nothing is said
        async with asyncio.timeout(HANG_SECONDS):
            while not box.received:
                assert (await box.send()).verdict is Verdict.TAKEN


async def test_a_stored_report_is_found_without_any_announcement(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="ec25"), start=False) as box:
        await box.order("answer", command="+CNMI=2,1,0,1,*", final="ERROR", times=None)
        await box.order("fill", store="SR", count=2)
        await box.device.start()
        await box.until(lambda: len(box.received) >= 2)


async def test_old_messages_are_handed_out_at_start(tmp_path: Path) -> None:
    async with driven(tmp_path, start=False) as box:
        await box.order("fill", store="SM")
        await box.order("fill", store="ME", count=3)
        await box.device.start()
        await box.ready()
        assert len(box.messages) == 23
        await forget_all(box)
        assert not box.simulator.cards["89490200001234567890"].storage.places
        assert not box.simulator.equipment.storages["ME"].places


async def test_messages_arrive_as_a_full_storage_is_emptied(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(sim_slots=5, retry_delay=0.05), start=False) as box:
        await box.order("fill", store="SM")
        for n in range(10):
            await box.order("incoming", text=f"late {n}")
        await box.device.start()
        await box.ready()
        async with asyncio.timeout(HANG_SECONDS):
            while len({m.text for m in box.messages if (m.text or "").startswith("late")}) < 10:
                await forget_all(box)
                await asyncio.sleep(0.02)  # between two deletions
        assert sorted(m.text or "" for m in box.messages if (m.text or "").startswith("late")) == [
            f"late {n}" for n in range(10)
        ]


async def test_a_message_is_handed_out_once_until_it_is_forgotten(tmp_path: Path) -> None:
    async with driven(tmp_path, timing=patient(stored_poll_seconds=0.02)) as box:
        await box.ready()
        await box.order("incoming", text="once")
        await box.until(lambda: box.messages)
        await asyncio.sleep(0.2)  # ten polls of the storage
        assert len(box.messages) == 1
        await forget_all(box)
        await box.order("incoming", text="twice")  # in the same place
        await box.until(lambda: len(box.messages) == 2)


def _are(box: Driven, count: int) -> bool:
    return len(box.messages) == count


async def test_no_message_is_deleted_before_it_was_read(tmp_path: Path) -> None:
    """Each comes into the place of the one before, which a look and its receiver both delete."""
    async with driven(tmp_path, timing=patient(stored_poll_seconds=0.0)) as box:
        await box.ready()
        for count in range(1, 41):
            await box.order("incoming", text=f"message {count}")
            await box.until(partial(_are, box, count))
            await box.device.forget(box.received[-1])
        assert [message.text for message in box.messages] == [
            f"message {count}" for count in range(1, 41)
        ]


async def test_an_uncommitted_message_is_offered_again(tmp_path: Path) -> None:
    timing = patient(stored_poll_seconds=0.02, handed_out_seconds=0.1)
    async with driven(tmp_path, timing=timing) as box:
        await box.ready()
        await box.order("incoming", text="again")
        await box.until(lambda: len(box.messages) >= 3)


async def test_a_message_committed_during_a_modem_restart_is_deleted_and_not_offered_again(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path, timing=QUICK) as box:
        await box.ready()
        await box.order("incoming", text="first")
        await box.until(lambda: box.messages)
        await box.order("answer", command="+CMGD=*", silent=True)
        await forget_all(box)
        await box.order("restart")
        await box.left(ModemState.READY)
        await box.ready()
        assert len(box.messages) == 1
        assert not box.simulator.cards["89490200001234567890"].storage.places


async def test_a_message_of_one_sim_deletes_nothing_on_another(
    tmp_path: Path,
) -> None:
    """Both lie in the same place of their SIM, and the first is committed late."""
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("incoming", text="first")
        await box.until(lambda: box.messages)
        await box.order("sim", iccid=OTHER_ICCID)
        await box.order("incoming", text="second")
        await box.until(lambda: len(box.messages) == 2)
        first, second = box.received
        assert first.slot == second.slot
        await box.device.forget(first)
        assert box.simulator.cards[OTHER_ICCID].storage.places, "deleted before it was committed"
        await box.device.forget(second)
        assert not box.simulator.cards[OTHER_ICCID].storage.places


async def until_received(device: ModemDriver) -> ReceivedPdu:
    async with asyncio.timeout(HANG_SECONDS):
        while not isinstance(event := await device.next_event(), ReceivedPdu):
            pass
    return event


async def test_a_message_in_an_overwritten_place_stays_until_its_commit() -> None:
    """A report store that is full begins at its first place again."""
    script = [*(e for e in HEALTHY if e[0] not in ONE_STORE), *ONE_STORE.items()]
    listed = [("AT+CMGD=*", "OK")] + [
        ("AT+CMGL=4", f"+CMGL: 1,1,,26\n{text}\n\nOK") for text in (REPORT, OTHER_REPORT)
    ]
    with Scripted([*script, *listed]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=patient(stored_poll_seconds=0.1))
        await device.start()
        first = await until_received(device)
        second = await until_received(device)
        assert (first.slot, first.hex, second.hex) == (second.slot, REPORT, OTHER_REPORT)
        await device.forget(first)
        assert "AT+CMGD=1" not in modem.heard
        await device.forget(second)
        assert "AT+CMGD=1" in modem.heard
        await device.stop()


async def test_a_deletion_without_an_answer_is_checked_before_it_is_repeated() -> None:
    """It was carried out, and meanwhile another message may lie in that place."""
    script = [*(e for e in HEALTHY if e[0] not in ONE_STORE), *ONE_STORE.items()]
    listed = [("AT+CMGL=4", f"+CMGL: 1,1,,26\n{text}\n\nOK") for text in (REPORT, OTHER_REPORT)]
    deletion = [("AT+CMGD=1", "<silence>"), ("AT+CMGD=1", "OK")]
    with Scripted([*script, *listed, *deletion]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=quick(stored_poll_seconds=0.3))
        await device.start()
        await device.forget(await until_received(device))
        assert (await until_received(device)).hex == OTHER_REPORT
        assert modem.heard.count("AT+CMGD=1") == 1
        await device.stop()


async def test_nothing_is_deleted_while_the_selected_storage_is_unknown() -> None:
    """The modem went back to the messages without a word: a report's place is one of theirs there."""
    script = [e for e in HEALTHY if e[0] not in ("AT+CMGL=4", 'AT+CPMS="SM"', "AT+CNMI=2,1,0,1,0")]
    stored = [
        ("AT+CNMI=?", "+CNMI: (2),(1),(0),(2),(0)\n\nOK"),
        ("AT+CNMI=2,1,0,2,0", "OK"),
        ("AT+CNMI?", "+CNMI: 2,1,0,2,0\n\nOK"),
        ("AT+CMGD=*", "OK"),
        ("AT+CMGL=4", "OK"),
        ("AT+CMGL=4", f"+CMGL: 1,1,,26\n{REPORT}\n\nOK"),
        ("AT+CMGL=4", "OK"),
        ('AT+CPMS="SM"', "<silence>"),
        ('AT+CPMS="SM"', "<silence>"),
        ('AT+CPMS="SM"', "+CPMS: 0,30,0,30,0,30\n\nOK"),
    ]
    script = [entry for entry in script if entry[0] not in ("AT+CNMI=?", "AT+CNMI?")]
    timing = quick(stored_poll_seconds=60, slow_command_seconds=0.2)
    with Scripted([*script, *stored]) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=timing)
        await device.start()
        report = await until_received(device)
        assert report.slot == Slot("SR", 1)
        await asyncio.to_thread(modem.wait_for, 'AT+CPMS="SM"', 2)
        await device.forget(report)
        selected = [one for one in modem.heard if one.startswith(("AT+CPMS=", "AT+CMGD="))]
        assert selected[selected.index("AT+CMGD=1") - 1] == 'AT+CPMS="SR"'
        await device.stop()


async def test_an_undecodable_message_is_handed_out_as_it_is(tmp_path: Path) -> None:
    """The library returns the others under wrong indexes, and deletes those."""
    async with driven(tmp_path, start=False) as box:
        await box.order("incoming", pdu="00FFFF")
        await box.order("incoming", text="good")
        await box.device.start()
        await box.ready()
        await box.until(lambda: len(box.received) == 2)
        raw = next(received for received in box.received if received.hex == "00FFFF")
        with pytest.raises(tpdu.PduError):
            tpdu.decode(raw.hex)
        await box.device.forget(raw)
        places = box.simulator.cards["89490200001234567890"].storage.places
        assert [entry.hex for entry in places.values()] != []
        assert all(entry.hex != "00FFFF" for entry in places.values())


@pytest.mark.parametrize("quirk", [{"empty_slot_error": False}, {"empty_slot_error": True}])
async def test_an_indication_of_an_empty_place_is_ignored(
    tmp_path: Path, quirk: dict[str, bool]
) -> None:
    async with driven(tmp_path, timing=patient(stored_poll_seconds=60)) as box:
        await box.ready()
        await box.order("quirks", **quirk)
        await box.order("urc", lines=['+CMTI: "SM",19', '+CDSI: "SR",8', '+CMTI: "XX",1'])
        await box.order("incoming", text="real")
        await box.until(lambda: box.messages)
        assert box.messages[0].text == "real"
        await box.ready()


async def test_a_burst_of_reports_within_a_response_is_complete(
    tmp_path: Path,
) -> None:
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("report", hold=True, times=None)
        for n in range(20):
            await box.send(f"{n}")
        await box.order("incoming", text="between")
        await box.order("release")
        await box.until(lambda: len(box.reports) == 20 and box.messages)
        assert sorted(report.reference for report in box.reports) == list(range(20))


@pytest.mark.seconds(5)
@pytest.mark.parametrize("baud", [9600, 115200])
async def test_reports_survive_a_slow_uart(tmp_path: Path, baud: int) -> None:
    """Byte by byte the library loses two reports out of three."""
    timing = quick(
        command_seconds=2, list_seconds=3, network_seconds=3, prompt_seconds=1, resync_seconds=0.5
    )
    async with driven(tmp_path, Settings(baud=baud, report_delay=0.01), timing=timing) as box:
        await box.ready()
        for n in range(20):
            assert (await box.send(f"{n}")).reference == n
        await box.until(lambda: len(box.reports) == 20)


async def test_direct_reports_are_acknowledged_if_the_module_requires_it(
    tmp_path: Path,
) -> None:
    """A module that keeps CSMS=1 goes silent unless each +CDS is answered by +CNMA (27.005 4.7)."""
    async with driven(tmp_path, Settings(acknowledge_within=0.5), start=False) as box:
        await box.simulator.command(
            {"do": "answer", "command": "+CSMS=0", "final": "ERROR", "times": None}
        )
        box.simulator.equipment.modes.csms = 1
        await box.device.start()
        await box.ready()
        for n in range(3):
            await box.send(f"{n}")
            await box.reported(n + 1)
            await asyncio.sleep(0.6)  # longer than `acknowledge_within`
        assert box.simulator.equipment.modes.csms == 1
        assert box.simulator.equipment.modes.cnmi[3] == 1


async def test_an_acknowledgement_that_a_send_kept_waiting_silences_the_module_for_a_while(
    tmp_path: Path,
) -> None:
    """Thanks that come too late make <mt> and <ds> zero (27.005 4.7): found, and set up again."""
    settings = Settings(latency=0.5, acknowledge_within=0.1, retry_delay=0.2)
    async with driven(tmp_path, settings, start=False) as box:
        await box.order("answer", command="+CSMS=0", final="ERROR", times=None)
        box.simulator.equipment.modes.csms = 1
        await box.device.start()
        await box.ready()
        sent = [await box.send("its report comes while the next one waits") for _ in range(2)]
        assert [outcome.verdict for outcome in sent] == [Verdict.TAKEN] * 2
        assert box.journal("not acknowledged")
        await box.until(lambda: box.device.status.recoveries.get("restart"))
        await box.ready()
        assert box.simulator.equipment.modes.cnmi[1:4] == [1, 0, 1]
        last = await box.send("heard of again")
        await box.until(lambda: any(one.reference == last.reference for one in box.reports))


async def test_a_report_without_times_is_kept_on_a_degraded_line(tmp_path: Path) -> None:
    """Zeros are the network's; only what is no time and no zeros was spoilt."""
    async with driven(tmp_path) as box:
        await box.ready()
        await box.order("raw", hex="80ff800d0a")
        await box.order("report", zero_times=True, recipient="national")
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.reported(1)
        assert box.device.degraded


async def test_an_unstored_flash_message_arrives_directly(tmp_path: Path) -> None:
    """Class 0 is shown and not stored (23.038 4): some modules say +CMT although +CMTI was chosen."""
    async with driven(tmp_path, Settings(personality="chatty")) as box:
        await box.ready()
        await box.order("incoming", text="flash", flash=True)
        await box.until(lambda: box.messages)
        assert box.received[0].slot is None
        assert (box.messages[0].text, box.messages[0].flash) == ("flash", True)


async def test_cell_broadcasts_are_ignored() -> None:
    with Scripted(HEALTHY) as modem:
        device = ModemDriver(SerialLine(modem.path), timing=QUICK)
        await device.start()
        async with asyncio.timeout(HANG_SECONDS):
            while device.status.state is not ModemState.READY:
                await device.next_event()
        modem.say(
            "\r\n+CBM: 7\r\n00000111223344\r\n\r\n+CDS: 25\r\n0006D60B911326880736F41110117195514011101171957140"
            "00\r\n"
        )
        async with asyncio.timeout(HANG_SECONDS):
            while not isinstance(event := await device.next_event(), ReceivedPdu):
                pass
        assert event.hex.startswith("0006D6")
        await device.stop()


class TestHandedOut:
    SLOT = Slot("SM", 3)

    def test_the_same_pdu_in_the_same_place_is_not_new(self) -> None:
        handed = HandedOut(600)
        assert handed.fresh("sim", self.SLOT, "AA", 0)
        assert not handed.fresh("sim", self.SLOT, "AA", 599)
        assert handed.fresh("sim", self.SLOT, "AA", 601)

    def test_another_pdu_in_the_same_place_is_new(self) -> None:
        handed = HandedOut(600)
        assert handed.fresh("sim", self.SLOT, "AA", 0)
        assert handed.fresh("sim", self.SLOT, "BB", 1)

    def test_the_same_place_of_another_sim_is_new(self) -> None:
        handed = HandedOut(600)
        assert handed.fresh("sim", self.SLOT, "AA", 0)
        assert handed.fresh("other sim", self.SLOT, "AA", 1)

    def test_after_a_restart_uncommitted_messages_are_offered_again(self) -> None:
        handed = HandedOut(600)
        handed.fresh("sim", self.SLOT, "AA", 0)
        handed.restarted()
        assert handed.fresh("sim", self.SLOT, "AA", 1)

    def test_a_committed_message_is_not_offered_before_its_deletion(self) -> None:
        handed = HandedOut(600)
        handed.fresh("sim", self.SLOT, "AA", 0)
        handed.forget("sim", self.SLOT, "AA")
        handed.restarted()
        assert handed.settled("sim", self.SLOT, "AA")
        assert not handed.settled("sim", self.SLOT, "BB")
        handed.deleted("sim", self.SLOT)
        assert not handed.settled("sim", self.SLOT, "AA")


async def start_on(modem: Scripted) -> ModemDriver:
    device = ModemDriver(SerialLine(modem.path), timing=quick(store_seconds=0.1))
    await device.start()
    return device


async def first_received(device: ModemDriver) -> ReceivedPdu:
    async with asyncio.timeout(HANG_SECONDS):
        while not isinstance(event := await device.next_event(), ReceivedPdu):
            pass
    return event


THREE_ONLY = (
    ("AT+CPMS=?", '+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")\n\nOK'),
    ('AT+CPMS="SM"', "ERROR"),
    ('AT+CPMS="ME"', "ERROR"),
    ('AT+CPMS="SM","SM","SM"', "+CPMS: 0,20,0,20,0,20\n\nOK"),
    ('AT+CPMS="ME","SM","SM"', "+CPMS: 0,20,0,20,0,20\n\nOK"),
)


def healthy_but(*script: tuple[str, str]) -> list[tuple[str, str]]:
    known = {command for command, _ in script}
    return [*script, *(entry for entry in (*HEALTHY, *SENDING) if entry[0] not in known)]


async def test_a_module_that_takes_exactly_three_storages_still_receives() -> None:
    with Scripted(healthy_but(*THREE_ONLY)) as modem:
        device = await start_on(modem)
        try:
            await eventually(lambda: device.status.state is ModemState.READY, "ready")
            modem.answer("AT+CMGR=3", f"+CMGR: 0,,{len(PDU) // 2 - 1}\n{PDU}\n\nOK")
            modem.say('\r\n+CMTI: "SM",3\r\n')
            assert (await first_received(device)).hex == PDU
        finally:
            await device.stop()


async def test_with_a_sim_without_places_messages_are_stored_in_the_module() -> None:
    script = (
        ("AT+CPMS=?", '+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")\n\nOK'),
        ('AT+CPMS="SM","SM","SM"', "+CPMS: 0,0,0,0,0,0\n\nOK"),
        ('AT+CPMS="ME","ME","ME"', "+CPMS: 0,23,0,23,0,23\n\nOK"),
    )
    with Scripted(healthy_but(*script)) as modem:
        device = await start_on(modem)
        try:
            await eventually(lambda: device.status.state is ModemState.READY, "ready")
            selected = [one for one in modem.heard if one.startswith('AT+CPMS="')]
            assert selected[1] == 'AT+CPMS="ME","ME","ME"'
            assert 'AT+CPMS="SM","SM","SM"' not in selected[1:]
            modem.answer("AT+CMGL=4", f"+CMGL: 3,0,,{len(PDU) // 2 - 1}\n{PDU}\n\nOK")
            modem.say("\r\n+CMTI: ,-1\r\n")  # without a place: everything is listed
            assert (await first_received(device)).slot == Slot("ME", 3)
        finally:
            await device.stop()


async def test_a_record_that_is_not_hex_is_handed_out_and_deleted() -> None:
    listed = "+CMGL: 2,1,,23\n0791?!garbage\n\nOK"
    read = "+CMGR: 1,,23\n0791?!garbage\n\nOK"
    with Scripted(healthy_but(("AT+CMGL=4", listed), ("AT+CMGR=2", read))) as modem:
        device = await start_on(modem)
        try:
            found = await first_received(device)
            assert (found.hex, found.slot) == ("0791?!garbage", Slot("SM", 2))
            await device.forget(found)
            assert "AT+CMGD=2" in modem.heard
        finally:
            await device.stop()

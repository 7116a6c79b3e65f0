"""Received texts: reassembled in any order, stored once, STOP and START handled."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.domain.requests import InboxFilter
from appliance.messaging.inbox import Inbox
from appliance.store import archive, blocklist, clients, received
from appliance.store import devices as device_table
from appliance.store.database import Database
from appliance.store.rows import InboundRow
from modem.driver.device import ModemDriver
from modem.interface import ReceivedPdu
from modem.sms import tpdu
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu import Concatenation, Deliver
from modem.timeouts import SerialLine
from tests.appliance.conftest import NUMBER, Stage
from tests.manual_clock import ManualClock

SIM = "8933010000000001"
SENDER = "+33698765432"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Receiver:
    """An inbox over a real store; PDUs are handed to it as a modem would."""

    def __init__(self, box: Context, attached: Attached) -> None:
        self.box = box
        self.attached = attached
        self.inbox = Inbox(box)

    async def receive(
        self, text: str, together: Concatenation | None = None, sender: str = SENDER
    ) -> None:
        alphabet = Alphabet.GSM7 if text.isascii() else Alphabet.UCS2
        deliver = Deliver(
            sender=sender,
            text=text,
            data=b"",
            sent_at=AT,
            concatenation=together,
            alphabet=alphabet,
            dcs=0,
            pid=0,
            flash=False,
        )
        await self.hear(tpdu.encode_deliver(deliver).hex)

    async def hear(self, hex_digits: str) -> None:
        await self.inbox.receive(self.attached, ReceivedPdu(hex_digits, None, SIM))

    async def texts(self, tenant: int = 2) -> list[InboundRow]:
        rows, _, _ = await self.box.db.read(received.page, tenant, InboxFilter())
        return rows


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    db = await Database.open(tmp_path / "zimbox.db")
    clock = ManualClock()
    for name in ("one", "two"):
        await db.write(clients.add_client, name, clock.now())
    device = await db.write(device_table.known, "860123456789012", "modem", False, clock.now())
    box = Context(
        Config(), clock, db, await db.read(archive.marks), Encryption(tmp_path / "secret.key")
    )
    attached = Attached(box, ModemSettings(), ModemDriver(SerialLine("/nowhere")), test=False)
    attached.number = device.id
    yield Receiver(box, attached)
    await attached.modem.stop()
    await db.close()


NO_TEXTS = (
    (
        "0791336600305100440B913316325476F800F5621192210300406B0605040B8423F0010622617070"
        "6C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500AF848C82985431008D9089"
        "18802B33333630303030303030302F545950453D504C4D4E008A808E0210008805810303F4808368"
        "7474703A2F2F6D6D732E6578616D",
        "mms_notification",
    ),
    (
        "079133660030510044088188580000000462119221030040850C0804ABCD020105040B8423F00106"
        "226170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500AF848C82985431"
        "008D908918802B33333630303030303030302F545950453D504C4D4E008A808E0210008805810303"
        "F48083687474703A2F2F6D6D732E6578616D706C652E696E76616C69642F6D3F69643D310078",
        "mms_notification",
    ),
    (
        "079133660030510044088188580000000462119221030040340C0804ABCD020205040B8423F07878"
        "78787878787878787878787878787878787878787878787878787878787878787878787878",
        "application_data",
    ),
    (
        "0791336600305100040B913316325476F800C86211922103004000",
        "message_waiting",
    ),
    (
        "0791336600305100440B913316325476F8000062119221030040060401028003",
        "message_waiting",
    ),
    (
        "0791336600305100040B913316325476F87FF6621192210300400D027000001D0D00210000B00010",
        "sim_data",
    ),
    ("0791336600305100040B913316325476F840006211922103004005E8329BFD06", "silent"),
    ("0791336600305100040B913316325476F800D86211922103004000", "message_waiting"),
    ("0791336600305100040B913316325476F800E06211922103004000", "message_waiting"),
    ("0791336600305100040B913316325476F800C06211922103004005E8329BFD06", "message_waiting"),
    (
        "0791336600305100440B913316325476F800F5621192210300400E0605040B8423F0010601BE8C8298",
        "mms_notification",
    ),
    ("0791336600305100040B913316325476F800046211922103004003010203", "data"),
    ("0791336600305100040B913316325476F87D156211922103004003010203", "module_data"),
    ("0791336600305100440B913316325476F800166211922103004006027000010203", "sim_data"),
    (
        "0791336600305100440B913316325476F800F5621192210300400A06050415810000010203",
        "application_data",
    ),
)


@pytest.mark.parametrize(("pdu", "purpose"), NO_TEXTS)
async def test_a_message_without_text_is_stored_raw_and_not_in_the_inbox(
    receiver: Receiver, pdu: str, purpose: str
) -> None:
    """MMS notifications, data for SIM and module, voice-mail indicators, silent messages."""
    await receiver.hear(pdu)
    await receiver.hear(pdu)
    assert await receiver.texts() == []

    def kept(db: Connection) -> list[tuple[str, str]]:
        return [tuple(row) for row in db.execute("SELECT hex, reason FROM undecodable")]

    def waiting(db: Connection) -> int:
        return int(db.execute("SELECT COUNT(*) FROM inbound_part").fetchone()[0])

    assert await receiver.box.db.read(kept) == [(pdu, purpose)]
    assert await receiver.box.db.read(waiting) == 0


@pytest.mark.parametrize(
    "pdu",
    [
        "0791336600305100040B913316325476F800D86211922103004005E8329BFD06",  # text to be stored
        "0791336600305100040B913316325476F87F006211922103004005E8329BFD06",  # PID 7F without class 2
        "0791336600305100040B913316325476F841006211922103004005E8329BFD06",  # replaces an earlier one
        "0791336600305100440B913316325476F80000621192210300400B0401028003A0CB6CF61B",  # with an indicator
    ],
)
async def test_a_text_that_comes_with_an_indication_is_received(
    receiver: Receiver, pdu: str
) -> None:
    await receiver.hear(pdu)
    assert [row.body.lower() for row in await receiver.texts()] == ["hello"]


async def test_parts_in_any_order_become_one_text(receiver: Receiver) -> None:
    words = [f"part {k} of a long text; " for k in range(1, 7)]
    order = list(range(6))
    random.Random(4).shuffle(order)
    for k in order:
        await receiver.receive(words[k], Concatenation(7, 6, k + 1))
    (row,) = await receiver.texts()
    assert row.body == "".join(words)
    assert not row.incomplete


async def test_a_character_cut_between_two_parts_is_whole_again(receiver: Receiver) -> None:
    def part(number: int, units: bytes) -> str:
        deliver = Deliver(
            sender=SENDER,
            text=None,
            data=units,
            sent_at=AT,
            concatenation=Concatenation(9, 2, number),
            alphabet=Alphabet.OCTETS,
            dcs=0,
            pid=0,
            flash=False,
        )
        # 8-bit data with the coding octet turned to UCS-2: as a sender that cuts through a pair.
        return tpdu.encode_deliver(deliver).hex.replace("0004", "0008", 1)

    units = "ok 😀".encode("utf-16-be")
    for number, piece in ((1, units[:8]), (2, units[8:])):
        await receiver.hear(part(number, piece))
    (row,) = await receiver.texts()
    assert row.body == "ok 😀"


async def test_the_same_pdu_twice_is_one_message(receiver: Receiver) -> None:
    """The same sender, text and second of the service centre: GSM has no other mark of a message."""
    await receiver.receive("bonjour")
    await receiver.receive("bonjour")
    assert len(await receiver.texts()) == 1


async def test_a_text_with_a_missing_part_is_delivered_as_incomplete(receiver: Receiver) -> None:
    await receiver.receive("begin ", Concatenation(7, 3, 1))
    await receiver.receive(" end", Concatenation(7, 3, 3))
    assert await receiver.texts() == []
    before = receiver.box.clock.now() + 1
    await receiver.box.db.write(receiver.inbox.give_up_waiting, before)
    (row,) = await receiver.texts()
    assert (row.body, row.incomplete) == ("begin […] end", 1)


@pytest.mark.parametrize("word", ["STOP", "stop.", " Stop ! ", "ARRÊT", "arret", "unsubscribe"])
async def test_stop_blocks_the_sender_for_every_client(receiver: Receiver, word: str) -> None:
    await receiver.receive(word)
    for tenant in (2, 4):
        assert await receiver.box.db.read(blocklist.is_blocked, tenant, SENDER)
    assert not await receiver.box.db.read(blocklist.is_blocked, 3, SENDER), "test mode is apart"
    assert [row.body for row in await receiver.texts()] == [word], (
        "the client gets the text as well"
    )


async def test_stop_ends_texts_but_no_one_time_passwords(receiver: Receiver) -> None:
    db = receiver.box.db
    await receiver.receive("STOP")
    assert await db.read(blocklist.is_blocked, 2, SENDER)
    assert not await db.read(blocklist.is_blocked, 2, SENDER, "otp")
    await db.write(blocklist.add, 2, SENDER, "", "api", receiver.box.clock.now())
    assert await db.read(blocklist.is_blocked, 2, SENDER, "otp"), "the client's own block holds"


@pytest.mark.parametrize("sender", ["0612345678", "33612345678", "0033612345678", "+330612345678"])
async def test_stop_from_any_spelling_blocks_the_number_that_a_client_writes_to(
    receiver: Receiver, sender: str
) -> None:
    """Nobody has written to it yet, so that only the numbering plan can say which number it is."""
    await receiver.receive("STOP", sender=sender)
    assert await receiver.box.db.read(blocklist.is_blocked, 2, "+33612345678")
    (row,) = await receiver.texts()
    assert row.sender == "+33612345678"


async def test_start_removes_the_opt_out_but_not_a_client_s_block(receiver: Receiver) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    await db.write(blocklist.add, 4, SENDER, "", "api", now)
    await receiver.receive("STOP")
    await receiver.receive("start")
    assert not await db.read(blocklist.is_blocked, 2, SENDER)
    assert await db.read(blocklist.is_blocked, 4, SENDER)


async def test_stop_counts_for_the_clients_of_that_sim_only(receiver: Receiver) -> None:
    db = receiver.box.db
    await db.write(device_table.assign, receiver.attached.number, [2])
    await receiver.receive("STOP")
    assert await db.read(blocklist.is_blocked, 4, SENDER)
    assert not await db.read(blocklist.is_blocked, 2, SENDER), "it cannot write from that SIM"
    await receiver.receive("start")
    assert not await db.read(blocklist.is_blocked, 4, SENDER)


async def test_a_client_that_removes_an_opt_out_exempts_only_itself(
    receiver: Receiver,
) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    await receiver.receive("STOP")
    assert await db.write(blocklist.remove, 2, SENDER, now)
    assert not await db.read(blocklist.is_blocked, 2, SENDER)
    assert await db.read(blocklist.is_blocked, 4, SENDER), "who asked the one did not ask the other"
    assert [row.number for row in await db.read(blocklist.listed, 2)] == []
    assert [row.number for row in await db.read(blocklist.listed, 4)] == [SENDER]
    assert not await db.write(blocklist.remove, 2, SENDER, now), "there is nothing left to take off"
    await receiver.receive("STOP.")
    for tenant in (2, 4):
        assert await db.read(blocklist.is_blocked, tenant, SENDER), "the newest word counts"


async def test_start_to_a_reserved_sim_exempts_only_its_clients(receiver: Receiver) -> None:
    db = receiver.box.db
    await receiver.receive("STOP")
    await db.write(device_table.assign, receiver.attached.number, [2])
    await receiver.receive("START")
    assert not await db.read(blocklist.is_blocked, 4, SENDER)
    assert await db.read(blocklist.is_blocked, 2, SENDER)


async def test_a_client_s_own_block_outlasts_stop_and_start(receiver: Receiver) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    await db.write(device_table.assign, receiver.attached.number, [1, 2])
    await receiver.receive("STOP")
    await db.write(blocklist.add, 2, SENDER, "by letter", "api", now)
    await receiver.receive("START")
    assert await db.read(blocklist.is_blocked, 2, SENDER)
    assert not await db.read(blocklist.is_blocked, 4, SENDER)


async def test_only_the_admin_can_remove_the_admin_s_block(receiver: Receiver) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    await db.write(blocklist.add, 0, SENDER, "", "page", now)
    assert not await db.write(blocklist.remove, 2, SENDER, now)
    await receiver.receive("START")
    assert await db.read(blocklist.is_blocked, 2, SENDER)
    assert await db.write(blocklist.take_off, 0, SENDER)
    assert not await db.read(blocklist.is_blocked, 2, SENDER)


async def test_stop_within_a_sentence_is_a_sentence(receiver: Receiver) -> None:
    await receiver.receive("please stop by tomorrow")
    assert not await receiver.box.db.read(blocklist.is_blocked, 2, SENDER)


async def test_a_reply_belongs_to_the_client_that_wrote_last(receiver: Receiver) -> None:
    db, clock = receiver.box.db, receiver.box.clock
    for client, tenant in ((1, 2), (2, 4)):
        await db.write(received.wrote, False, receiver.attached.number, SENDER, tenant, clock.now())
        await receiver.receive(f"to {client}")
    assert [r.body for r in await receiver.texts(2)] == ["to 1"]
    assert [r.body for r in await receiver.texts(4)] == ["to 2"]


async def test_an_undecodable_message_is_stored_raw_and_blocks_nothing(receiver: Receiver) -> None:
    await receiver.hear("00FF")
    await receiver.receive("after")

    def raw(db: Connection) -> list[str]:
        return [row["hex"] for row in db.execute("SELECT hex FROM undecodable")]

    assert await receiver.box.db.read(raw) == ["00FF"]
    assert [r.body for r in await receiver.texts()] == ["after"]


async def test_a_text_without_any_client_is_stored_raw(receiver: Receiver) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    for client in (1, 2):
        await db.write(clients.erase, client, now)
    await receiver.receive("bonjour")
    for number in (2, 1):
        await receiver.receive(f"part {number}", Concatenation(7, 2, number, wide=False))

    def raw(db: Connection) -> list[str]:
        return [row["hex"] for row in db.execute("SELECT hex FROM undecodable ORDER BY id")]

    kept = [[tpdu.decode(digits) for digits in row.split()] for row in await db.read(raw)]
    texts = [[p.text for p in parts if isinstance(p, Deliver)] for parts in kept]
    assert texts == [["bonjour"], ["part 1", "part 2"]]


async def test_texts_that_came_before_any_client_go_to_the_first_one(receiver: Receiver) -> None:
    db, came = receiver.box.db, receiver.box.clock.now()
    for client in (1, 2):
        await db.write(clients.erase, client, came)
    await receiver.receive("bonjour")
    for number, text in ((2, " 😀 !"), (1, "Bien reçu")):
        await receiver.receive(text, Concatenation(7, 2, number))
    await receiver.receive("begin ", Concatenation(8, 2, 1))
    await db.write(receiver.inbox.give_up_waiting, came + 1)
    assert await db.write(receiver.inbox.hand_out_unowned) == 0, "there is still nobody"

    later = came + 3_600_000
    client = (await db.write(clients.add_client, "three", later)).id
    assert await db.write(receiver.inbox.hand_out_unowned) == 3
    assert await db.write(receiver.inbox.hand_out_unowned) == 0, "each once"
    rows = await receiver.texts(2 * client)
    assert [(r.body, r.incomplete) for r in rows] == [
        ("begin […]", 1),
        ("Bien reçu 😀 !", 0),
        ("bonjour", 0),
    ]
    assert {(r.sender, r.received_at) for r in rows} == {(SENDER, came)}


async def test_an_alphanumeric_sender_is_kept_as_it_is(receiver: Receiver) -> None:
    await receiver.receive("solde 3 EUR", sender="Operator")
    assert [r.sender for r in await receiver.texts()] == ["Operator"]


async def test_the_stamp_of_a_report_on_what_was_just_sent_is_a_witness_of_the_time(
    receiver: Receiver,
) -> None:
    """Not that of one from before the start: the clock may have stood still since."""
    clock = receiver.box.clock
    assert isinstance(clock, ManualClock)
    stage = Stage(receiver.box.db, receiver.box.ids)
    for seconds, witnessed in ((-60, 0), (5, 1)):
        stage.now = clock.now() + seconds * 1000
        await stage.sent(7 + witnessed)
        sent_at = datetime.fromtimestamp(stage.now // 1000 + 3, UTC)
        report = tpdu.Report(7 + witnessed, NUMBER, sent_at, sent_at, 0)
        clock.advance(max(seconds, 0) + 10)
        await receiver.hear(tpdu.encode_report(report).hex)
        assert len(clock.heard) == witnessed
    # Three seconds from the hand-over to the stamp, ten from there to the report.
    assert abs(clock.heard[0] - clock.now() / 1000 - 3) < 1.5


@pytest.mark.parametrize("written", ["0698765432", "698765432"])
async def test_a_national_sender_becomes_the_number_that_was_written_to(
    receiver: Receiver, written: str
) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    await db.write(received.wrote, False, receiver.attached.number, SENDER, 4, now)
    await receiver.receive("STOP", sender=written)
    assert [r.sender for r in await receiver.texts(4)] == [SENDER]
    assert await db.read(blocklist.is_blocked, 4, SENDER)


async def test_an_ambiguous_national_sender_is_unchanged(receiver: Receiver) -> None:
    db, now = receiver.box.db, receiver.box.clock.now()
    for number in ("+447911123456", "+917911123456"):
        await db.write(received.wrote, False, receiver.attached.number, number, 2, now)
    for written in ("7911123456", "81234", "Operator"):
        await receiver.receive("bonjour", sender=written)
    assert {r.sender for r in await receiver.texts()} == {"7911123456", "81234", "Operator"}


async def test_a_short_code_is_no_number_that_ends_like_it(receiver: Receiver) -> None:
    """36180 is the operator's; we have written to +33612336180."""
    db, now = receiver.box.db, receiver.box.clock.now()
    await db.write(received.wrote, False, receiver.attached.number, "+33612336180", 4, now)
    await receiver.receive("STOP", sender="36180")
    texts = [r for tenant in (2, 4) for r in await receiver.texts(tenant)]
    assert [r.sender for r in texts] == ["36180"]
    assert not await db.read(blocklist.is_blocked, 4, "+33612336180")


async def test_a_text_to_one_clients_own_sim_goes_to_no_other_client(receiver: Receiver) -> None:
    db = receiver.box.db
    now = receiver.box.clock.now()
    await db.write(received.wrote, False, 77, "+33698765432", 2, now)  # client 1, by its own modem
    await db.write(device_table.assign, receiver.attached.number, [2])
    await receiver.receive("bonjour client 2")
    assert [r.body for r in await receiver.texts(4)] == ["bonjour client 2"]
    assert await receiver.texts(2) == []


async def test_a_reused_reference_neither_loses_nor_mixes_texts(receiver: Receiver) -> None:
    await receiver.receive("Rendez-vous lundi ", Concatenation(7, 2, 1))  # its second part is lost
    receiver.box.clock.advance(1200)  # type: ignore[attr-defined]
    await receiver.receive("Votre colis est ", Concatenation(7, 2, 1))
    await receiver.receive("arrive.", Concatenation(7, 2, 2))
    bodies = [r.body for r in await receiver.texts()]
    assert "Votre colis est arrive." in bodies, bodies


@pytest.mark.parametrize(
    ("pdu", "url"),
    [(NO_TEXTS[0][0], None), (NO_TEXTS[1][0], "http://mms.example.invalid/m?id=1")],
)
async def test_a_picture_message_is_told_to_the_client_that_wrote_to_its_sender(
    receiver: Receiver, stage_webhook: None, pdu: str, url: str | None
) -> None:
    await receiver.hear(pdu)
    await receiver.hear(pdu)  # a modem may hand it out twice
    rows = await receiver.box.db.read(
        lambda db: db.execute("SELECT name, body FROM event").fetchall()
    )
    assert [row["name"] for row in rows] == ["mms.received"]
    data = json.loads(rows[0]["body"])["data"]
    assert (data["from"], data["size"], data["url"]) == ("+33600000000", 4096, url)
    assert data["device_id"] == "device_1"
    assert await receiver.texts() == [], "it is no text"
    waiting = await receiver.box.db.read(received.pictures, [2], 0)
    assert [(row.sender, row.size) for row in waiting] == [("+33600000000", 4096)]


@pytest.fixture
async def stage_webhook(receiver: Receiver) -> None:
    await receiver.box.db.write(
        lambda db: db.execute(
            "INSERT INTO webhook (tenant, url, events, secret, created_at) "
            "VALUES (2, 'http://192.168.1.2/', 'sms.received,mms.received', '00', 0)"
        ).fetchall()
    )

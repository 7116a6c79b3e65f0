"""Sessions with engines: binding, submitting, receipts, received texts; and what no peer may do to the box."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.smpp import accounts, answers
from appliance.store import clients
from modem.interface import Verdict
from tests.waiting import eventually
from tests.web.box import TO
from tests.web.smpp.peer import Peer, SmppBox, smpp_box
from web import certificate
from web.smpp import codec, session
from web.smpp.codec import CommandId, PeerAddress, TlvTag
from web.smpp.status import CommandStatus

OTHER = PeerAddress(1, 1, "33699999999")


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[SmppBox]:
    async with smpp_box(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def quick_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "WRONG_PASSWORD_SECONDS", 0.0)


def segment(reference: int, total: int, number: int, text: bytes) -> bytes:
    return bytes((5, 0, 3, reference, total, number)) + text


# --- bind ------------------------------------------------------------------------------------------


async def test_client_and_password_bind_and_nothing_else_does(box: SmppBox) -> None:
    client, password = await box.account()
    other, _ = await box.account()
    peer = await box.connect()
    for system_id, given in [
        (client, "wrong"),
        (other, password),
        ("nobody", password),
        (client, password + "x"),
    ]:
        assert await peer.bind((system_id, given)) is CommandStatus.ESME_RINVPASWD
    assert await peer.bind((client, password)) is CommandStatus.ESME_ROK
    assert await peer.bind((client, password)) is CommandStatus.ESME_RALYBND


async def test_an_api_key_is_no_password_and_a_password_no_api_key(box: SmppBox) -> None:
    client, password = await box.account()
    peer = await box.connect()
    assert await peer.bind((box.box.client, box.box.key)) is CommandStatus.ESME_RINVPASWD
    assert box.box.services.context.credentials.key(password) is None
    assert await peer.bind((client, password)) is CommandStatus.ESME_ROK


async def test_an_address_that_was_wrong_too_often_is_refused_for_a_minute(box: SmppBox) -> None:
    client, password = await box.account()
    peer = await box.connect()
    for _ in range(accounts.WRONG_PASSWORDS):
        assert await peer.bind((client, "wrong")) is CommandStatus.ESME_RINVPASWD
    assert await peer.bind((client, password)) is CommandStatus.ESME_RINVPASWD
    box.box.clock.advance(accounts.WINDOW_SECONDS)
    assert await peer.bind((client, password)) is CommandStatus.ESME_ROK


async def test_each_bind_allows_its_own_requests(box: SmppBox) -> None:
    who = await box.account()
    unbound = await box.connect()
    assert (await unbound.request(CommandId.SUBMIT_SM))[0] is CommandStatus.ESME_RINVBNDSTS
    receiver = await box.bound(who, CommandId.BIND_RECEIVER)
    assert (await receiver.request(CommandId.SUBMIT_SM))[0] is CommandStatus.ESME_RINVBNDSTS
    transmitter = await box.bound(who, CommandId.BIND_TRANSMITTER)
    await transmitter.accepted()
    await box.settle()
    assert "stat:DELIVRD" in await receiver.receipt()
    assert transmitter.delivered == []


async def test_a_revoked_password_ends_the_session(box: SmppBox) -> None:
    peer = await box.bound()
    keys = await box.box.db.read(clients.keys)
    key = next(row.id for row in keys if row.smpp)
    await box.box.db.write(clients.revoke, key, box.box.clock.now())
    assert await peer.refused() is CommandStatus.ESME_RSUBMITFAIL
    box.box.services.context.wakeups.changed()
    await peer.hung_up()
    assert box.server.bound == 0


async def test_over_tls_with_the_certificate_of_the_box(box: SmppBox, tmp_path: Path) -> None:
    plain = box.server
    await box.restart(certificate.context(tmp_path, "", ""))
    trusting = ssl.create_default_context(cafile=tmp_path / certificate.CERTIFICATE)
    trusting.check_hostname = False
    peer = await box.connect(trusting)
    assert await peer.bind(await box.account()) is CommandStatus.ESME_ROK
    await peer.accepted()
    with pytest.raises(ssl.SSLError):
        await box.connect(ssl.create_default_context())
    assert await box.texts() == ["Bonjour"]
    await plain.stop()


# --- submit ----------------------------------------------------------------------------------------


async def test_a_submission_is_in_the_queue_before_its_answer(box: SmppBox) -> None:
    peer = await box.bound()
    message_id = await peer.accepted(b"\x1be 12")
    assert await box.texts() == ["€ 12"]
    status, body = await peer.request(
        CommandId.QUERY_SM, codec.text(message_id) + b"\0\0" + codec.text("")
    )
    assert (status, body) == (CommandStatus.ESME_ROK, codec.text(message_id) + b"\0\x01\0")
    await box.settle()
    _, body = await peer.request(
        CommandId.QUERY_SM, codec.text(message_id.upper()) + b"\0\0" + codec.text("")
    )
    assert body == codec.text(message_id.upper()) + codec.text("250115103000000+") + b"\x02\0"


async def test_what_the_api_refuses_is_refused_with_its_status(box: SmppBox) -> None:
    peer = await box.bound(await box.account(prefixes=("+33",)))
    assert await peer.refused(b"x" * 254, destination=PeerAddress(1, 1, "1")) is (
        CommandStatus.ESME_RINVDSTADR
    )
    assert await peer.refused(destination=PeerAddress(1, 1, "41791234567")) is (
        CommandStatus.ESME_RSUBMITFAIL
    )
    assert await peer.refused(b"") is CommandStatus.ESME_RSUBMITFAIL
    assert await peer.refused(schedule_delivery_time="x") is CommandStatus.ESME_RINVSCHED
    long = {TlvTag.MESSAGE_PAYLOAD: b"x" * 1601}
    assert await peer.refused(b"", tlvs=long) is CommandStatus.ESME_RINVMSGLEN
    await box.box.services.block_list.block_for_all(TO, "")
    assert await peer.refused() is CommandStatus.ESME_RSUBMITFAIL
    assert await box.texts() == []


async def test_a_full_queue_and_the_rate_limit_ask_for_patience(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, rate_limit=2) as box:
        peer = await box.bound()
        await peer.accepted(b"1")
        await peer.accepted(b"2")
        assert await peer.refused(b"3") is CommandStatus.ESME_RTHROTTLED
        box.box.clock.advance(60)
        await peer.accepted(b"3")


async def test_a_queued_message_can_be_cancelled_and_its_receipt_says_so(box: SmppBox) -> None:
    peer = await box.bound()
    message_id = await peer.accepted()
    body = codec.text("") + codec.text(message_id) + b"\0\0\0" + b"\0\0\0"
    assert (await peer.request(CommandId.CANCEL_SM, body))[0] is CommandStatus.ESME_ROK
    assert "stat:DELETED" in await peer.receipt()
    assert (await peer.request(CommandId.CANCEL_SM, body))[0] is CommandStatus.ESME_RCANCELFAIL
    stranger = await box.bound()
    assert (await stranger.request(CommandId.CANCEL_SM, body))[0] is CommandStatus.ESME_RINVMSGID
    assert (await stranger.request(CommandId.QUERY_SM, codec.text(message_id) + b"\0\0\0"))[0] is (
        CommandStatus.ESME_RINVMSGID
    )


# --- segments --------------------------------------------------------------------------------------


async def test_segments_in_any_order_become_one_message(box: SmppBox) -> None:
    peer = await box.bound()
    pair = "😀".encode("utf-16-be")
    octets = {1: pair[:2], 2: pair[2:] + "Ж".encode("utf-16-be"), 3: "!".encode("utf-16-be")}
    named = {
        number: await peer.accepted(
            segment(9, 3, number, octets[number]), esm_class=0x40, data_coding=8
        )
        for number in (3, 1, 2)
    }
    assert await box.texts() == ["😀Ж!"]
    assert len(set(named.values())) == 3
    assert await box.count("smpp_segment") == 0
    await box.settle()
    await peer.receipt(2)
    told = {line.short_message.decode().split()[0] for line in peer.delivered}
    assert told == {f"id:{message_id}" for message_id in named.values()}
    # Each of its ids finds it.
    for message_id in named.values():
        _, body = await peer.request(CommandId.QUERY_SM, codec.text(message_id) + b"\0\0\0")
        assert body[-2] == 2


async def test_sar_parameters_join_as_headers_do(box: SmppBox) -> None:
    peer = await box.bound()
    for number, text in ((1, b"one "), (2, b"two")):
        sar = {
            TlvTag.SAR_MSG_REF_NUM: b"\x01\x00",
            TlvTag.SAR_TOTAL_SEGMENTS: b"\x02",
            TlvTag.SAR_SEGMENT_SEQNUM: bytes((number,)),
        }
        await peer.accepted(text, tlvs=sar)
    assert await box.texts() == ["one two"]


async def test_references_of_two_numbers_or_senders_do_not_mix(box: SmppBox) -> None:
    peer = await box.bound()
    await peer.accepted(segment(1, 2, 1, b"a"), esm_class=0x40)
    await peer.accepted(segment(1, 2, 2, b"b"), esm_class=0x40, destination=OTHER)
    await peer.accepted(segment(1, 2, 2, b"c"), esm_class=0x40, source=OTHER)
    assert await box.texts() == []
    await peer.accepted(segment(1, 2, 2, b"d"), esm_class=0x40)
    assert await box.texts() == ["ad"]


async def test_a_missing_segment_expires_the_others_and_says_so(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, segment_seconds=60) as box:
        peer = await box.bound()
        message_id = await peer.accepted(segment(1, 2, 1, b"a"), esm_class=0x40)
        box.box.clock.advance(61)
        await box.server.gateway.submissions.tidy()
        line = await peer.receipt()
        assert line.startswith(f"id:{message_id} ") and "stat:EXPIRED" in line
        # The reference is free again.
        await peer.accepted(segment(1, 2, 1, b"c"), esm_class=0x40)
        await peer.accepted(segment(1, 2, 2, b"d"), esm_class=0x40)
        assert await box.texts() == ["cd"]


async def test_another_text_under_the_same_reference_begins_anew(box: SmppBox) -> None:
    peer = await box.bound()
    first = await peer.accepted(segment(1, 2, 1, b"a"), esm_class=0x40)
    again = await peer.accepted(segment(1, 2, 1, b"a"), esm_class=0x40)
    assert again == first
    await peer.accepted(segment(1, 2, 1, b"b"), esm_class=0x40)
    assert f"id:{first} " in await peer.receipt() and "stat:EXPIRED" in await peer.receipt()
    await peer.accepted(segment(1, 2, 2, b"c"), esm_class=0x40)
    assert await box.texts() == ["bc"]


# --- answers that are lost -------------------------------------------------------------------------


async def test_an_equal_submission_after_a_lost_answer_takes_the_old_id(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who)
    peer.silent = True
    first = await peer.accepted()
    await peer.drop()
    again = await box.bound(who)
    assert await again.accepted() == first
    assert await box.texts() == ["Bonjour"]
    # Once only: this answer has not been lost.
    assert await again.accepted() != first
    assert await box.texts() == ["Bonjour", "Bonjour"]


async def test_an_answer_that_the_engine_has_read_is_not_repeated(
    box: SmppBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PROVE_AFTER_SECONDS", 0.0)
    who = await box.account()
    peer = await box.bound(who)
    first = await peer.accepted()
    await peer.enquire()

    async def proven() -> bool:
        row = await box.box.db.read(
            lambda db: db.execute("SELECT answer FROM smpp_submission").fetchone()
        )
        return bool(row[0] == 1)

    await eventually(proven, "the proof is stored")
    await peer.drop()
    again = await box.bound(who)
    assert await again.accepted() != first


async def test_an_orderly_end_proves_the_answers_too(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who)
    peer.silent = True
    first = await peer.accepted()
    await peer.request(CommandId.UNBIND)
    peer.close()
    await peer.hung_up()
    again = await box.bound(who)
    assert await again.accepted() != first


async def test_two_equal_submissions_on_one_connection_are_two(box: SmppBox) -> None:
    peer = await box.bound()
    sequences = [peer.submit() for _ in range(5)]
    names = {(await peer.answer(sequence))[1] for sequence in sequences}
    assert len(names) == 5 and await box.texts() == ["Bonjour"] * 5


async def test_a_connection_that_proves_nothing_is_as_good_as_lost(
    box: SmppBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PROOF_SECONDS", 0.02)
    who = await box.account()
    half_open = await box.bound(who)
    half_open.silent = True
    first = await half_open.accepted()
    again = await box.bound(who)
    assert await again.accepted() == first


async def test_another_living_connection_proves_at_once(box: SmppBox) -> None:
    who = await box.account()
    one, two = await box.bound(who), await box.bound(who)
    assert await one.accepted() != await two.accepted()
    assert await box.texts() == ["Bonjour"] * 2


async def test_other_clients_numbers_texts_and_senders_are_other_messages(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who)
    peer.silent = True
    first = await peer.accepted()
    await peer.drop()
    await box.lost()
    again, stranger = await box.bound(who), await box.bound()
    names = {
        first,
        await stranger.accepted(),
        await again.accepted(b"Bonsoir"),
        await again.accepted(source=OTHER),
        await again.accepted(destination=OTHER),
    }
    assert len(names) == 5


async def test_after_ten_minutes_it_is_another_message(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who)
    peer.silent = True
    first = await peer.accepted()
    await peer.drop()
    await box.lost()
    box.box.clock.advance(601)
    again = await box.bound(who)
    assert await again.accepted() != first


async def test_a_segment_whose_answer_was_lost_is_repeated_too(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who)
    peer.silent = True
    first = await peer.accepted(segment(1, 2, 1, b"a"), esm_class=0x40)
    second = await peer.accepted(segment(1, 2, 2, b"b"), esm_class=0x40)
    await peer.drop()
    await box.lost(2)
    again = await box.bound(who)
    assert await again.accepted(segment(1, 2, 2, b"b"), esm_class=0x40) == second
    assert await again.accepted(segment(1, 2, 1, b"a"), esm_class=0x40) == first
    assert await box.texts() == ["ab"]


async def test_what_was_not_proven_before_the_end_of_the_process_is_lost(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who)
    peer.silent = True
    first = await peer.accepted()
    before = box.server
    await box.restart()
    again = await box.bound(who)
    assert await again.accepted() == first
    await before.stop()


# --- deliveries ------------------------------------------------------------------------------------


async def test_receipts_wait_for_an_engine_that_confirms_them(box: SmppBox) -> None:
    who = await box.account()
    peer = await box.bound(who, CommandId.BIND_TRANSMITTER)
    message_id = await peer.accepted()
    await box.settle()
    deaf = await box.bound(who, CommandId.BIND_RECEIVER, silent=True)
    assert f"id:{message_id} " in await deaf.receipt()
    await deaf.drop()
    receiver = await box.bound(who, CommandId.BIND_RECEIVER)
    assert await receiver.receipt() == deaf.delivered[0].short_message.decode()

    async def confirmed() -> bool:
        return await box.count("smpp_delivery") == 0

    await eventually(confirmed, "the receipt is gone")
    third = await box.bound(who, CommandId.BIND_RECEIVER)
    await third.enquire()
    assert third.delivered == []


async def test_a_receipt_that_is_refused_for_now_comes_again(box: SmppBox) -> None:
    peer = await box.bound()
    peer.deliver_status = CommandStatus.ESME_RX_T_APPN
    await peer.accepted()
    await box.settle()
    await peer.receipt()
    await eventually(lambda: box.server.gateway.deliveries.refused == 1, "the refusal is noted")
    peer.deliver_status = CommandStatus.ESME_RX_P_APPN
    await eventually(lambda: box.box.clock.sleepers > 0, "it waits")
    box.box.clock.advance(10)
    await peer.receipt(1)

    async def gone() -> bool:
        return await box.count("smpp_delivery") == 0

    await eventually(gone, "what is refused for good is given up")


async def test_a_receipt_is_held_until_the_engine_can_know_the_id(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, receipt_seconds=1.0) as box:
        peer = await box.bound()
        await peer.accepted()
        await box.settle()
        await peer.enquire()
        assert peer.delivered == []
        # The loop has seen the receipt when it waits for this second.
        await eventually(lambda: box.box.clock.sleepers > 0, "it waits")
        box.box.clock.advance(1.5)
        box.server.ready()
        assert "stat:DELIVRD" in await peer.receipt()


async def test_uncertain_is_unknown_and_a_later_report_a_second_receipt(box: SmppBox) -> None:
    peer = await box.bound()
    message_id = await peer.accepted()
    await box.settle(verdict=Verdict.UNKNOWN)
    _, body = await peer.request(CommandId.QUERY_SM, codec.text(message_id) + b"\0\0\0")
    assert body[-2] == 7
    await peer.enquire()
    assert peer.delivered == []  # it is not over
    await box.give_up_uncertain()
    assert "stat:UNKNOWN" in await peer.receipt()
    await box.report(1)
    assert "stat:DELIVRD" in await peer.receipt(1)
    assert [pdu.tlvs[TlvTag.MESSAGE_STATE] for pdu in peer.delivered] == [b"\x07", b"\x02"]


async def test_only_the_receipts_that_are_wanted(box: SmppBox) -> None:
    peer = await box.bound()
    await peer.accepted(b"none", registered_delivery=0)
    await peer.accepted(b"failures", registered_delivery=2)
    way = await peer.accepted(b"all", registered_delivery=0x11)
    for _ in range(3):
        await box.settle()
    await peer.receipt(1)
    await peer.enquire()
    lines = [pdu.short_message.decode() for pdu in peer.delivered]
    assert [line.split()[0] for line in lines] == [f"id:{way}"] * 2
    assert ["ENROUTE" in lines[0], "DELIVRD" in lines[1]] == [True, True]
    assert peer.delivered[0].esm_class == 0x20


async def test_a_received_text_goes_to_the_engine_of_its_client(box: SmppBox) -> None:
    who = await box.account()
    peer, stranger = await box.bound(who), await box.bound()
    await peer.accepted()
    await box.settle()
    await peer.receipt()
    await box.box.receive(TO, "Merci €")
    await eventually(lambda: len(peer.delivered) == 2, "the text")
    text = peer.delivered[1]
    assert (text.source, text.esm_class) == (PeerAddress(1, 1, TO[1:]), 0)
    assert text.short_message == b"Merci \x1be"
    await stranger.enquire()
    assert stranger.delivered == []


async def test_a_password_that_may_not_read_gets_receipts_only(box: SmppBox) -> None:
    who = await box.account(read=False)
    peer = await box.bound(who)
    message_id = await peer.accepted()
    await box.settle()
    assert message_id in await peer.receipt()
    await box.box.receive(TO, "Merci")
    await peer.accepted(b"again")
    await box.settle()
    await peer.receipt(1)
    await peer.enquire()
    assert len(peer.delivered) == 2
    status, _ = await peer.request(CommandId.QUERY_SM, codec.text(message_id) + b"\0\0\0")
    assert status is CommandStatus.ESME_RSUBMITFAIL


# --- hostile peers ---------------------------------------------------------------------------------


async def works(box: SmppBox) -> None:
    """The box still takes a message."""
    peer = await box.bound()
    await peer.accepted()
    await peer.drop()


async def test_bad_pdus_are_answered_and_the_session_goes_on(box: SmppBox) -> None:
    peer = await box.bound()
    for command in (0x103, 0x21, 0x102):  # data_sm, submit_multi, none at all
        peer.send(command)
    peer.write((codec.HEADER_OCTETS + 100_000).to_bytes(4) + bytes(12) + bytes(100_000))
    await eventually(lambda: len(peer.nacks) == 4, "four generic_nack")
    assert peer.nacks == [CommandStatus.ESME_RINVCMDID] * 3 + [CommandStatus.ESME_RINVCMDLEN]
    assert (await peer.request(CommandId.SUBMIT_SM, b"?"))[0] is CommandStatus.ESME_RINVCMDLEN
    peer.write(codec.pdu(CommandId.ENQUIRE_LINK | codec.RESPONSE, 4711))  # an answer to nothing
    await peer.accepted()


@pytest.mark.parametrize(
    "octets",
    [
        bytes(16),
        b"\xff" * 16,
        b"GET / HTTP/1.1\r\nHost: box\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # a TLS client
        b"\x00\x00\x00\x0f" + bytes(12),
    ],
)
async def test_what_is_no_smpp_is_hung_up_on(box: SmppBox, octets: bytes) -> None:
    peer = await box.connect()
    peer.write(octets)
    await peer.hung_up()
    await works(box)


async def test_a_flood_of_bad_pdus_ends_the_session(box: SmppBox) -> None:
    peer = await box.connect()
    for _ in range(session.MOST_BAD_PDUS + 1):
        peer.send(0x103)
    await peer.hung_up()
    await works(box)


async def test_slow_octets_and_silence_end_the_connection(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, frame_seconds=0.05, bind_seconds=0.05) as box:
        for begin in (b"", b"\x00\x00\x00\x10"):
            peer = await box.connect()
            peer.write(begin)
            await peer.hung_up()
    async with smpp_box(tmp_path / "more", enquire_seconds=0.05, response_seconds=0.05) as box:
        silent = await box.connect()
        silent.silent = True
        assert await silent.bind(await box.account()) is CommandStatus.ESME_ROK
        await silent.hung_up()


async def test_an_engine_that_reads_nothing_is_ended(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, response_seconds=0.2, enquire_seconds=60) as box:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", box.port))
        reader, writer = await asyncio.open_connection(sock=line, limit=1)
        assert reader is not None
        enquiry = codec.pdu(CommandId.ENQUIRE_LINK, 1)
        with pytest.raises((ConnectionError, OSError)):
            while True:
                writer.write(enquiry * 10_000)
                await writer.drain()
        await works(box)


async def test_a_thousand_connections_leave_room_for_none_too_many(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, connections=8) as box:
        peers = [await box.connect() for _ in range(1000)]
        # Half of them may come from one address.
        await asyncio.gather(*(peer.hung_up() for peer in peers[4:]))
        for peer in peers[:4]:
            await peer.drop()
        await eventually(lambda: box.server.connections == 0, "all are gone")
        await works(box)


async def test_a_client_has_so_many_sessions(box: SmppBox) -> None:
    who = await box.account()
    for _ in range(8):
        await box.bound(who)
    peer = await box.connect()
    assert await peer.bind(who) is CommandStatus.ESME_RBINDFAIL
    await works(box)


async def test_more_requests_than_the_window_wait_their_turn(tmp_path: Path) -> None:
    async with smpp_box(tmp_path, window=2) as box:
        peer: Peer = await box.bound()
        sequences = [peer.submit(b"%d" % number) for number in range(30)]
        names = {(await peer.answer(sequence))[1] for sequence in sequences}
        assert len(names) == 30
        assert sorted(await box.texts(), key=int) == [str(number) for number in range(30)]

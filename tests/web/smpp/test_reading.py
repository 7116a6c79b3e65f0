"""From submit_sm to a submission, and from a delivery to deliver_sm."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.domain.errors import ApiError
from appliance.domain.message_state import MessageState
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.views import Caller, Permissions
from appliance.smpp.deliveries import EngineReceipt, EngineText
from appliance.store.smpp import ON_DELIVERY, ON_FAILURE, ON_THE_WAY
from web.smpp import reading
from web.smpp.codec import BadPdu, PeerAddress, ShortMessage, TlvTag
from web.smpp.status import CommandStatus

NOW = 1_736_937_000_000  # 2025-01-15T10:30:00Z
CALLER = Caller(key_id=1, client_id=1, client="client_1", mode="live", tenant=2)
FRANCE = NumberReader("FR")
SOURCE = PeerAddress(5, 0, "ZimBox")
TO = PeerAddress(1, 1, "33612345678")


def submit(**more: Any) -> ShortMessage:
    fields: dict[str, Any] = {"source": SOURCE, "destination": TO, "short_message": b"Bonjour"}
    return ShortMessage(**{**fields, **more})


def read(**more: Any) -> Any:
    return reading.submission(submit(**more), CALLER, FRANCE, NOW)


@pytest.mark.parametrize(
    ("ton", "digits", "number"),
    [
        (1, "33612345678", "+33612345678"),
        (1, "+33612345678", "+33612345678"),
        (1, "0033612345678", "+33612345678"),
        (0, "+33612345678", "+33612345678"),
        (0, "33612345678", "+33612345678"),
        (2, "0612345678", "+33612345678"),
        (0, "0612345678", None),  # national only where the owner or the engine says so
        (0, "36180", None),  # a short code
        (1, "abc", None),
        (5, "ZimBox", None),
        (0, "", None),
    ],
)
def test_destinations(ton: int, digits: str, number: str | None) -> None:
    address = PeerAddress(ton, 1, digits)
    if number is None:
        with pytest.raises(ApiError, match="INVALID_PHONE_NUMBER"):
            reading.recipient(address, FRANCE, short_codes=False)
    else:
        assert reading.recipient(address, FRANCE, short_codes=False) == number


def test_a_short_code_where_the_password_allows_it() -> None:
    caller = Caller(1, 1, "client_1", "live", 2, permissions=Permissions(short_codes=True))
    found = reading.submission(submit(destination=PeerAddress(0, 0, "36180")), caller, FRANCE, NOW)
    assert found.order.to == "36180"


def test_what_a_submission_says() -> None:
    found = read(
        priority_flag=3,
        schedule_delivery_time="000000010000000R",
        validity_period="000000020000000R",
        registered_delivery=0x11,
    )
    order = found.order
    assert (order.to, order.message, order.priority) == ("+33612345678", "Bonjour", 1)
    assert order.scheduled_at == NOW + 3_600_000
    assert order.validity_minutes == 60  # it counts from when the message is due
    assert found.receipts == ON_DELIVERY | ON_FAILURE | ON_THE_WAY
    assert read(registered_delivery=2).receipts == ON_FAILURE
    assert read().receipts == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"schedule_delivery_time": "soon"}, CommandStatus.ESME_RINVSCHED),
        ({"validity_period": "long"}, CommandStatus.ESME_RINVEXPIRY),
        ({"validity_period": "250115102900000+"}, CommandStatus.ESME_RINVEXPIRY),
    ],
)
def test_times_that_are_none(fields: dict[str, str], status: CommandStatus) -> None:
    with pytest.raises(BadPdu) as refused:
        read(**fields)
    assert refused.value.status is status


@pytest.mark.parametrize("when", ["250115102900000+", "260115103000000+"])
def test_a_time_in_the_past_or_too_far_is_the_api_s_error(when: str) -> None:
    with pytest.raises(ApiError, match="INVALID_SCHEDULED_DATE"):
        read(schedule_delivery_time=when)


def test_equal_submissions_have_one_fingerprint() -> None:
    first = read()
    assert read(registered_delivery=1).fingerprint == first.fingerprint
    assert read(destination=PeerAddress(0, 0, "+33612345678")).fingerprint == first.fingerprint
    others = [
        read(short_message=b"Bonsoir"),
        read(source=PeerAddress(5, 0, "Other")),
        read(destination=PeerAddress(1, 1, "33612345679")),
        read(short_message=b"\x05\x00\x03\x01\x02\x01Bonjour", esm_class=0x40),
        read(short_message=b"\x05\x00\x03\x01\x02\x02Bonjour", esm_class=0x40),
        read(short_message=b"\x05\x00\x03\x02\x02\x01Bonjour", esm_class=0x40),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_a_receipt_as_engines_parse_it() -> None:
    addresses = read().addresses
    one = EngineReceipt(
        1, 2, "msg_1a22875473400000", MessageState.UNDELIVERABLE, 38, addresses, NOW, NOW + 60_000
    )
    pdu = reading.receipt(one)
    assert pdu.short_message == (
        b"id:msg_1a22875473400000 sub:001 dlvrd:000 submit date:2501151030 done date:2501151031 "
        b"stat:UNDELIV err:038 text:"
    )
    assert (pdu.source, pdu.destination, pdu.esm_class) == (TO, SOURCE, 0x04)
    assert pdu.tlvs == {
        TlvTag.RECEIPTED_MESSAGE_ID: b"msg_1a22875473400000\0",
        TlvTag.MESSAGE_STATE: b"\x05",
        TlvTag.NETWORK_ERROR_CODE: b"\x03\x00\x26",
    }


def test_every_state_has_its_word() -> None:
    assert set(reading.STATES) == set(MessageState)
    assert all(len(word) == 7 for word in reading.STATES.values())


def test_received_texts() -> None:
    short = reading.received_text(EngineText(1, "+33612345678", "+33600000000", "Ж"))
    assert (short.source, short.destination) == (TO, PeerAddress(1, 1, "33600000000"))
    assert (short.data_coding, short.short_message) == (8, "Ж".encode("utf-16-be"))
    long = reading.received_text(EngineText(1, "Bank", "", "x" * 300))
    assert long.source == PeerAddress(5, 0, "Bank")
    assert (long.short_message, long.tlvs) == (b"", {TlvTag.MESSAGE_PAYLOAD: b"x" * 300})

"""Data codings, headers and segments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.sms import gsm7
from web.smpp import texts
from web.smpp.codec import BadPdu, PeerAddress, ShortMessage, TlvTag
from web.smpp.status import CommandStatus
from web.smpp.texts import SegmentPlace, ShortMessageText

NOBODY = PeerAddress(0, 0, "")


def submit(octets: bytes = b"", **more: Any) -> ShortMessage:
    return ShortMessage(source=NOBODY, destination=NOBODY, short_message=octets, **more)


@pytest.mark.parametrize(
    ("coding", "octets", "text", "flash"),
    [
        (0, b"Bonjour", "Bonjour", False),
        (0, b"\x1be 12 \x02\x00", "€ 12 $@", False),  # the extension table, and codes below 32
        (1, b"plain", "plain", False),
        (3, b"\xe9t\xe9", "été", False),
        (8, "Ж€".encode("utf-16-be"), "Ж€", False),
        (8, "😀".encode("utf-16-be"), "😀", False),
        (0x10, b"now", "now", True),
        (0x18, "Ж".encode("utf-16-be"), "Ж", True),
        (0xF0, b"now", "now", True),
        (0xF1, b"later", "later", False),
    ],
)
def test_each_coding_of_text(coding: int, octets: bytes, text: str, flash: bool) -> None:
    found = texts.content(submit(octets, data_coding=coding))
    assert found == ShortMessageText(text, None, flash)


@pytest.mark.parametrize(
    ("pdu", "status"),
    [
        (submit(b"\xe9"), CommandStatus.ESME_RSUBMITFAIL),
        (submit(b"\x01", data_coding=4), CommandStatus.ESME_RSUBMITFAIL),
        (submit(b"\x00a\x00", data_coding=8), CommandStatus.ESME_RINVMSGLEN),
        (submit(b"a", tlvs={TlvTag.MESSAGE_PAYLOAD: b"b"}), CommandStatus.ESME_RINVMSGLEN),
        (submit(b"\x05\x00\x03a", esm_class=0x40), CommandStatus.ESME_RINVESMCLASS),
        (submit(b"", esm_class=0x40), CommandStatus.ESME_RINVESMCLASS),
        (submit(b"\x04\x04\x02\x00\x50x", esm_class=0x40), CommandStatus.ESME_RINVESMCLASS),
        (submit(b"\x05\x00\x03\x01\x02\x03x", esm_class=0x40), CommandStatus.ESME_RINVOPTPARAMVAL),
        (submit(b"\x05\x00\x03\x01\x02\x00x", esm_class=0x40), CommandStatus.ESME_RINVOPTPARAMVAL),
        (submit(b"\x05\x00\x03\x01\xff\x01x", esm_class=0x40), CommandStatus.ESME_RINVMSGLEN),
    ],
)
def test_what_is_no_text_is_refused(pdu: ShortMessage, status: CommandStatus) -> None:
    with pytest.raises(BadPdu) as refused:
        texts.content(pdu)
    assert refused.value.status is status


def test_the_payload_takes_the_place_of_the_message() -> None:
    found = texts.content(submit(tlvs={TlvTag.MESSAGE_PAYLOAD: b"x" * 1600}))
    assert found.text == "x" * 1600


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (b"\x05\x00\x03\x07\x02\x01", SegmentPlace(7, 2, 1, False)),
        (b"\x06\x08\x04\x01\x07\x03\x02", SegmentPlace(0x107, 3, 2, True)),
        (b"\x05\x00\x03\x07\x01\x01", None),  # one of one
    ],
)
def test_the_header_names_the_segment(header: bytes, place: SegmentPlace | None) -> None:
    found = texts.content(submit(header + b"text", esm_class=0x40))
    assert found == ShortMessageText("text", place)


def test_sar_parameters_name_the_segment_unless_one_is_missing() -> None:
    sar = {
        TlvTag.SAR_MSG_REF_NUM: b"\x00\x09",
        TlvTag.SAR_TOTAL_SEGMENTS: b"\x04",
        TlvTag.SAR_SEGMENT_SEQNUM: b"\x03",
    }
    assert texts.content(submit(b"x", tlvs=sar)).segment == SegmentPlace(9, 4, 3, True)
    del sar[TlvTag.SAR_SEGMENT_SEQNUM]
    assert texts.content(submit(b"x", tlvs=sar)).segment is None


@given(st.binary(max_size=200), st.sampled_from([0, 0x40]), st.integers(0, 255))
def test_any_octets_are_text_or_refused(octets: bytes, esm_class: int, coding: int) -> None:
    try:
        found = texts.content(submit(octets, esm_class=esm_class, data_coding=coding))
    except BadPdu as bad:
        assert bad.status in CommandStatus
    else:
        assert len(found.text) <= len(octets)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200))
def test_a_text_for_an_engine_is_read_back(text: str) -> None:
    coding, octets = texts.encoded(text)
    assert coding == (texts.UCS2 if gsm7.forcing(text) else texts.GSM7)
    assert texts.content(submit(octets, data_coding=coding)).text == text

"""PDUs: against smpplib, against the octets of the specification, and against octets of any kind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import smpp

from web.smpp import codec
from web.smpp.codec import BadPdu, BindBody, CommandId, PeerAddress, ShortMessage, TlvTag
from web.smpp.status import CommandStatus

OCTET = st.integers(0, 255)


def written(most: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=most)


ADDRESS = st.builds(PeerAddress, OCTET, OCTET, written(20))
MESSAGE = st.builds(
    ShortMessage,
    service_type=written(5),
    source=ADDRESS,
    destination=ADDRESS,
    esm_class=OCTET,
    protocol_id=OCTET,
    priority_flag=OCTET,
    schedule_delivery_time=written(16),
    validity_period=written(16),
    registered_delivery=OCTET,
    replace_if_present=OCTET,
    data_coding=OCTET,
    default_message=OCTET,
    short_message=st.binary(max_size=254),
    tlvs=st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=100), max_size=4),
)


class Sequence:
    """What smpplib asks for numbers."""

    sequence = 1

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence


@given(MESSAGE)
def test_what_is_encoded_is_read_back(one: ShortMessage) -> None:
    assert codec.short_message(codec.encode_short_message(one)) == one


@given(st.binary(max_size=300))
def test_a_body_of_any_octets_is_read_or_refused(body: bytes) -> None:
    for read in (codec.bind, codec.short_message, codec.query, codec.cancel):
        try:
            read(body)
        except BadPdu as bad:
            assert bad.status in CommandStatus


@given(MESSAGE, st.data())
def test_a_body_that_is_cut_is_refused_or_lacks_whole_parameters(
    one: ShortMessage, data: st.DataObject
) -> None:
    body = codec.encode_short_message(one)
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    try:
        found = codec.short_message(cut)
    except BadPdu:
        assert True
    else:
        assert set(found.tlvs.items()) < set(one.tlvs.items())


def test_a_pdu_of_the_octets_that_the_specification_names() -> None:
    # 4.1.5 with the header of 3.2.1: bind_transmitter of SMPP3TEST with the password secret08.
    octets = bytes.fromhex(
        "0000002F 00000002 00000000 00000001"
        "534D50503354455354 00 7365637265743038 00 5355424D495431 00 00 01 01 00"
    )
    head = codec.header(octets)
    assert (head.length, head.command, head.sequence) == (
        len(octets),
        CommandId.BIND_TRANSMITTER,
        1,
    )
    assert codec.bind(octets[16:]) == BindBody(
        "SMPP3TEST", "secret08", "SUBMIT1", 0, PeerAddress(1, 1, "")
    )


def test_smpplib_s_submit_sm_is_read() -> None:
    pdu: Any = smpp.make_pdu(
        "submit_sm",
        client=Sequence(),
        source_addr_ton=5,
        source_addr="ZimBox",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="33612345678",
        data_coding=8,
        short_message="é".encode("utf-16-be"),
        registered_delivery=True,
        sar_msg_ref_num=258,
        sar_total_segments=2,
        sar_segment_seqnum=1,
    )
    octets = pdu.generate()
    found = codec.short_message(octets[16:])
    assert found.source == PeerAddress(5, 0, "ZimBox")
    assert found.destination == PeerAddress(1, 1, "33612345678")
    assert (found.data_coding, found.short_message) == (8, b"\x00\xe9")
    assert found.registered_delivery == 1
    assert found.tlvs == {
        TlvTag.SAR_MSG_REF_NUM: b"\x01\x02",
        TlvTag.SAR_TOTAL_SEGMENTS: b"\x02",
        TlvTag.SAR_SEGMENT_SEQNUM: b"\x01",
    }


def test_smpplib_reads_our_deliver_sm() -> None:
    one = ShortMessage(
        source=PeerAddress(1, 1, "33612345678"),
        destination=PeerAddress(1, 1, "33600000000"),
        esm_class=4,
        short_message=b"id:msg_1 sub:001",
        tlvs={TlvTag.RECEIPTED_MESSAGE_ID: b"msg_1\0", TlvTag.MESSAGE_STATE: b"\x02"},
    )
    octets = codec.pdu(CommandId.DELIVER_SM, 7, codec.encode_short_message(one))
    pdu: Any = smpp.parse_pdu(octets, client=Sequence())
    assert (pdu.command, pdu.sequence, pdu.esm_class) == ("deliver_sm", 7, 4)
    assert pdu.short_message == b"id:msg_1 sub:001"
    assert (pdu.receipted_message_id, pdu.message_state) == (b"msg_1", 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", CommandStatus.ESME_RINVCMDLEN),
        (b"no end of the string", CommandStatus.ESME_RINVCMDLEN),
        (b"\0" * 16 + b"\x09ab", CommandStatus.ESME_RINVCMDLEN),
        (b"\0" * 17 + b"\x04", CommandStatus.ESME_RINVOPTPARSTREAM),
        (b"\0" * 17 + b"\x04\x24\x00\x05ab", CommandStatus.ESME_RINVPARLEN),
    ],
)
def test_a_damaged_body_is_refused_with_its_reason(body: bytes, status: CommandStatus) -> None:
    with pytest.raises(BadPdu) as refused:
        codec.short_message(body)
    assert refused.value.status is status

"""MQTT 3.1.1 as bytes: the examples are worked out by hand from the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.mqtt import packets
from appliance.mqtt.packets import Connack, Pingresp, ProtocolError, Puback, Publish, Suback, Will


@pytest.mark.parametrize(
    ("length", "encoded"),  # 2.2.3, table 2.4
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_the_remaining_length_has_seven_bits_a_byte(length: int, encoded: str) -> None:
    assert packets.remaining_length(length).hex() == encoded


@pytest.mark.parametrize("length", [-1, 268_435_456])
def test_a_longer_packet_cannot_be_written(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        packets.remaining_length(length)


def test_connect_with_will_and_login_keeps_its_session() -> None:
    written = packets.connect(
        "zb", user="u", password="pw", keep_alive=30, will=Will("a/b", b"off")
    )
    # Flags: user, password, will retained with QoS 1; no clean session.
    head = bytes([0x10, 10 + 4 + 5 + 5 + 3 + 4, 0, 4]) + b"MQTT" + bytes([4, 0b1110_1100, 0, 30])
    assert written == head + b"\x00\x02zb\x00\x03a/b\x00\x03off\x00\x01u\x00\x02pw"


def test_connect_without_a_will_leaves_nothing_behind() -> None:
    written = packets.connect("zb", user="", password="unused", keep_alive=30, will=None)
    assert written == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x1e\x00\x02zb"


def test_the_other_packets_of_a_client() -> None:
    assert packets.publish("t", b"x", packet_id=258, retain=True) == b"\x33\x06\x00\x01t\x01\x02x"
    assert packets.publish("t", b"x") == b"\x30\x04\x00\x01tx"
    assert packets.puback(258) == b"\x40\x02\x01\x02"
    assert packets.subscribe(1, ["a", "b/c"]) == b"\x82\x0c\x00\x01\x00\x01a\x01\x00\x03b/c\x01"
    assert packets.PINGREQ == b"\xc0\x00"


@pytest.mark.parametrize(
    ("first", "body", "packet"),
    [
        (0x20, "0100", Connack(session_present=True, code=0)),
        (0x20, "0005", Connack(session_present=False, code=5)),
        (0x30, "000174ff", Publish("t", b"\xff")),
        (0x3B, "0001740102", Publish("t", b"", 1, 258, retain=True, dup=True)),
        (0x40, "0102", Puback(258)),
        (0x90, "00010180", Suback(1, b"\x01\x80")),
        (0xD0, "", Pingresp()),
    ],
)
def test_a_packet_of_the_broker_is_read(first: int, body: str, packet: packets.Packet) -> None:
    assert packets.parse(first, bytes.fromhex(body)) == packet


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (0x00, ""),
        (0x10, ""),
        (0x20, "00"),
        (0x21, "0000"),
        (0x40, "01"),
        (0x90, "0001"),
        (0xD0, "00"),
        (0x30, ""),
        (0x30, "0005ab"),
        (0x32, "000174"),
        (0x32, "0001740000"),  # packet id 0
        (0x30, "0001ff"),  # not UTF-8
        (0x34, "0001740102"),  # QoS 2 was not subscribed to
        (0x36, "0001740102"),
    ],
)
def test_anything_else_is_an_error(first: int, body: str) -> None:
    with pytest.raises(ProtocolError):
        packets.parse(first, bytes.fromhex(body))


@given(first=st.integers(0, 255), body=st.binary(max_size=64))
def test_garbage_is_a_packet_or_an_error(first: int, body: bytes) -> None:
    try:
        packet = packets.parse(first, body)
    except ProtocolError:
        return
    assert isinstance(packet, packets.Packet)


@given(topic=st.text(max_size=40), payload=st.binary(max_size=40), number=st.integers(0, 65_535))
def test_a_published_message_is_read_as_it_was_written(
    topic: str, payload: bytes, number: int
) -> None:
    written = packets.publish(topic, payload, packet_id=number)
    read = packets.parse(written[0], written[2:])
    # A lone surrogate cannot be written in UTF-8.
    assert read == Publish(
        topic.encode("utf-8", "replace").decode(), payload, int(number > 0), number
    )

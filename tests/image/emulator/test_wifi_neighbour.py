"""What the client behind the scenario's access point says: DHCP and mDNS, byte by byte."""

import socket
import struct

import pytest

from image.emulator import wifi_neighbour as neighbour

HARDWARE = bytes.fromhex("020000000000")


def dhcp_request(*options: bytes) -> bytes:
    head = b"\x01\x01\x06\0" + b"\xde\xad\xbe\xef" + b"\0\0\x80\0" + b"\0" * 16
    return head + HARDWARE.ljust(16, b"\0") + b"\0" * 192 + neighbour.COOKIE + b"".join(options)


def test_the_type_of_a_dhcp_message_is_found_among_its_options() -> None:
    assert neighbour.message_type(dhcp_request(b"\0", b"\x0c\x02hi", b"\x35\x01\x03\xff")) == 3
    assert neighbour.message_type(dhcp_request(b"\x0c\x02hi\xff")) == 0
    assert neighbour.message_type(b"too short") == 0


def test_an_offer_goes_to_the_client_that_asked_and_has_an_address_for_it() -> None:
    asked = dhcp_request(b"\x35\x01\x01\xff")
    offer = neighbour.reply(asked, neighbour.OFFER)
    assert len(offer) > 240
    assert offer[0] == 2
    assert offer[4:8] == b"\xde\xad\xbe\xef"
    assert offer[10:12] == b"\x80\0"  # it asked for a broadcast
    assert socket.inet_ntoa(offer[16:20]) == neighbour.OFFERED
    assert offer[28:34] == HARDWARE
    assert neighbour.message_type(offer) == neighbour.OFFER
    assert b"\x01\x04\xff\xff\xff\0" in offer[240:]


def answer_of(*records: tuple[int, bytes], asked: bytes = b"") -> bytes:
    message = struct.pack(">6H", 1, 0x8400, bool(asked), len(records), 0, 0) + asked[12:]
    for kind, data in records:
        message += b"\x06zimbox\x05local\0" + struct.pack(">2HIH", kind, 1, 10, len(data)) + data
    return message


@pytest.mark.parametrize("repeated", [b"", neighbour.question("zimbox.local")])
def test_the_address_is_read_from_an_answer_with_and_without_the_question(repeated: bytes) -> None:
    answer = answer_of((28, b"\0" * 16), (1, bytes((192, 168, 77, 2))), asked=repeated)
    assert neighbour.address(answer) == "192.168.77.2"


def test_an_answer_without_an_address_gives_none() -> None:
    assert neighbour.address(answer_of((28, b"\0" * 16))) == ""


def test_a_name_that_ends_in_a_pointer_is_passed_over() -> None:
    head = struct.pack(">6H", 1, 0x8400, 1, 1, 0, 0)
    record = b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 10, 4) + bytes((10, 0, 0, 1))
    answer = head + neighbour.question("zimbox.local")[12:] + record
    assert neighbour.address(answer) == "10.0.0.1"
